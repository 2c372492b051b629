//! Validates export requests against the catalog (the list of offered datasets). Reports each fault of a request with
//! its JSON pointer.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use protocol::{
    access::may_export,
    catalog::{CatalogDataset, DatasetInfo},
    export::ExportRequest,
    filter,
    json::child,
    params,
    problem::{FieldError, Problem, Slug},
    relative::Reference,
};
use serde_json::{Map, Value, json};

use super::{Catalog, Offer};

/// The maximum number of faults that one problem lists.
const MAX_FAULTS: usize = 20;

/// Checks that a caller with these scopes may export the requested dataset, and validates every member of the request.
/// Returns the dataset with its pool of exporters, and the validated request. The returned dataset has only the columns
/// that the caller may see. Relative times in the request, such as `now-1d`, count from `now`.
///
/// # Errors
/// `forbidden` without the required scope, `unavailable` when no running exporter offers any dataset, `unknown-dataset`
/// when none offers this dataset. One problem that lists the faults of the request otherwise.
pub fn authorize_and_validate(
    catalog: &Catalog,
    scopes: &[String],
    request: &ExportRequest,
    now: DateTime<Utc>,
) -> Result<(Offer, ValidRequest), Problem> {
    let name = &request.dataset;
    if !may_export(scopes, name) {
        let detail = format!("Your token's scope does not allow exports of `{name}`.");
        return Err(Problem::new(Slug::Forbidden, detail));
    }
    let Some(Offer { dataset, pool }) = catalog.find(name) else {
        if catalog.is_empty() {
            let detail = "No exporter offers a dataset at the moment. Retry shortly.";
            return Err(Problem::new(Slug::Unavailable, detail));
        }
        let fault = FieldError::new("/dataset", format!("unknown dataset `{name}`"));
        return Err(Problem::invalid(Slug::UnknownDataset, vec![fault]));
    };
    let wanted = dataset.access.scopes.join("`, `");
    let Some(dataset) = dataset.visible_to(scopes) else {
        let detail = format!("Exports of `{name}` also require the scope `{wanted}`.");
        return Err(Problem::new(Slug::Forbidden, detail));
    };
    let valid = validate(request, &dataset, now)?;
    Ok((Offer { dataset, pool }, valid))
}

/// A valid request with its defaults filled in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ValidRequest {
    /// The name of the template.
    pub template: String,
    /// The name of the format.
    pub format: String,
    /// The name of the compression.
    pub compression: String,
    /// The requested filter; `{}` without a filter. Absolute times replace relative times such as `now-1d`.
    pub filter: Value,
    /// The requested columns; empty for all columns of the template.
    pub columns: Vec<String>,
    /// The parameters with their defaults. Absolute times replace relative times such as `now-1d`.
    pub params: Map<String, Value>,
}

/// Validates every member of a request against its dataset, and fills in the defaults. Relative times, such as
/// `now-1d`, count from `now`.
///
/// # Errors
/// One problem that lists up to [`MAX_FAULTS`] faults. The type of the problem is `unknown-template` if all faults
/// concern the template, `invalid-filter` if all faults concern the filter, and otherwise `invalid-request`.
fn validate(request: &ExportRequest, dataset: &CatalogDataset, now: DateTime<Utc>) -> Result<ValidRequest, Problem> {
    let info = &dataset.info;
    let mut faults: Vec<(Slug, FieldError)> = Vec::new();

    let templates: Vec<&str> = info.templates.iter().map(|t| t.name.as_str()).collect();
    let template = choose_offered(request.template.as_deref(), "default", &templates)
        .map_err(|e| faults.push((Slug::UnknownTemplate, FieldError::new("/template", e))));
    let formats: Vec<&str> = info.formats.iter().map(String::as_str).collect();
    let format = choose_offered(request.format.as_deref(), "csv", &formats)
        .map_err(|e| faults.push((Slug::InvalidRequest, FieldError::new("/format", e))));
    let compressions: Vec<&str> = info.compressions.iter().map(String::as_str).collect();
    let compression = choose_offered(request.compression.as_deref(), "none", &compressions)
        .map_err(|e| faults.push((Slug::InvalidRequest, FieldError::new("/compression", e))));

    if let (Ok(format), Ok(compression)) = (&format, &compression)
        && let Some(info) = info.formats_info.iter().find(|info| info.name == *format)
        && !info.compressions.contains(compression)
    {
        let detail = format!(
            "`{format}` does not support the compression `{compression}`; it supports {}",
            info.compressions.join(", ")
        );
        faults.push((Slug::InvalidRequest, FieldError::new("/compression", detail)));
    }

    let zone = time_zone(request.time_zone.as_deref()).unwrap_or_else(|fault| {
        faults.push((Slug::InvalidRequest, fault));
        Tz::UTC
    });
    let reference = Reference { now, zone };
    let filter = request.filter.clone().unwrap_or_else(|| json!({}));
    let filter = filter::resolve(&filter, &info.columns, &reference)
        .and_then(|filter| filter::parse(&filter, &info.columns).map(|_| filter))
        .map_err(|errors| faults.extend(errors.into_iter().map(|e| (Slug::InvalidFilter, e))));
    let columns = request.columns.clone().unwrap_or_default();
    if request.columns.as_ref().is_some_and(Vec::is_empty) {
        faults.push((Slug::InvalidRequest, FieldError::new("/columns", "name at least one column, or omit `columns`")));
    }
    let (known, holder) = selectable_columns(info, template.as_deref().ok());
    for (i, name) in columns.iter().enumerate() {
        if faults.len() >= MAX_FAULTS {
            break;
        }
        let pointer = child("/columns", &i.to_string());
        if !known.contains(&name.as_str()) {
            let detail = format!("unknown column `{name}`; this {holder} has {}", known.join(", "));
            faults.push((Slug::InvalidRequest, FieldError::new(pointer, detail)));
        } else if columns[..i].contains(name) {
            faults.push((Slug::InvalidRequest, FieldError::new(pointer, format!("`{name}` is named twice"))));
        }
    }
    let params = params::resolve(&dataset.param_specs, &request.params.clone().unwrap_or_default(), &reference)
        .and_then(|given| params::check(&dataset.param_specs, &given))
        .map_err(|errors| faults.extend(errors.into_iter().map(|e| (Slug::InvalidRequest, e))));

    match (template, format, compression, filter, params) {
        (Ok(template), Ok(format), Ok(compression), Ok(filter), Ok(params)) if faults.is_empty() => {
            Ok(ValidRequest { template, format, compression, filter, columns, params })
        }
        _ => {
            let first = faults.first().map_or(Slug::InvalidRequest, |(slug, _)| *slug);
            faults.truncate(MAX_FAULTS);
            let slug = if faults.iter().all(|(slug, _)| *slug == first) { first } else { Slug::InvalidRequest };
            Err(Problem::invalid(slug, faults.into_iter().map(|(_, e)| e).collect()))
        }
    }
}

/// Parses the name of the request's time zone. Returns UTC if the request names none.
///
/// # Errors
/// The fault for an unknown name.
fn time_zone(name: Option<&str>) -> Result<Tz, FieldError> {
    name.map_or(Ok(Tz::UTC), |name| {
        let unknown = |_| FieldError::new("/time_zone", "unknown time zone: use an IANA name such as Europe/Berlin");
        name.parse().map_err(unknown)
    })
}

/// Returns the names of the columns that a request may select, and the word `template` or `dataset`. The word names
/// what defines these columns, and is used in the text of a fault. `template` is the name of the chosen template, or
/// None if the request's template is invalid.
fn selectable_columns<'a>(info: &'a DatasetInfo, template: Option<&str>) -> (Vec<&'a str>, &'static str) {
    let template = info.templates.iter().find(|known| template == Some(known.name.as_str()));
    match template.and_then(|template| template.columns.as_ref()) {
        Some(columns) => (columns.iter().map(|derived| derived.column.name.as_str()).collect(), "template"),
        None => (info.columns.iter().map(|column| column.name.as_str()).collect(), "dataset"),
    }
}

/// Chooses a template, format or compression. Returns the requested name if the dataset offers this name. If the
/// request names none, returns the default if the dataset offers the default, and otherwise the first offered name.
///
/// # Errors
/// The text of the fault, if the dataset does not offer the requested name or offers no name at all.
fn choose_offered(requested: Option<&str>, default: &str, offered: &[&str]) -> Result<String, String> {
    let chosen = match requested {
        Some(name) => offered.contains(&name).then_some(name),
        None => offered.iter().copied().find(|name| *name == default).or(offered.first().copied()),
    };
    chosen.map(str::to_owned).ok_or_else(|| match requested {
        Some(name) => format!("`{name}` is not offered; this dataset has {}", offered.join(", ")),
        None => "this dataset offers none".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use protocol::catalog::{Column, ColumnType, FormatInfo, TemplateColumn, TemplateInfo};

    use super::*;

    fn flights() -> CatalogDataset {
        let info = DatasetInfo {
            name: "flights".into(),
            title: String::new(),
            description: String::new(),
            columns: vec![Column::new("delay", ColumnType::Int), Column::new("origin", ColumnType::String)],
            params: json!({}),
            templates: vec![TemplateInfo { name: "default".into(), ..TemplateInfo::default() }],
            formats: vec!["csv".into()],
            compressions: vec!["none".into()],
            formats_info: vec![],
            rows_estimate: None,
            credits: 1,
        };
        CatalogDataset {
            info,
            param_specs: vec![],
            retention_seconds: 60,
            access: Default::default(),
            total_rows: None,
        }
    }

    fn now() -> DateTime<Utc> {
        DateTime::parse_from_rfc3339("2026-11-29T23:30:00.123Z").unwrap().to_utc()
    }

    fn faults(body: Value) -> (Slug, Vec<String>) {
        let problem = validate(&serde_json::from_value(body).unwrap(), &flights(), now()).unwrap_err();
        (problem.slug(), problem.errors.into_iter().map(|e| e.pointer).collect())
    }

    #[test]
    fn an_omitted_member_takes_its_default() {
        let short =
            validate(&serde_json::from_value(json!({"dataset": "flights"})).unwrap(), &flights(), now()).unwrap();
        let full = json!({"dataset": "flights", "template": "default", "format": "csv", "compression": "none",
            "filter": {}, "params": {}});
        assert_eq!(short, validate(&serde_json::from_value(full).unwrap(), &flights(), now()).unwrap());
    }

    #[test]
    fn a_template_with_derived_columns_allows_only_those() {
        let mut dataset = flights();
        let derived = |name: &str, reads: &str| TemplateColumn {
            column: Column::new(name, ColumnType::Int),
            reads: vec![reads.into()],
        };
        dataset.info.templates.push(TemplateInfo {
            name: "hours".into(),
            title: String::new(),
            columns: Some(vec![derived("hours", "delay"), derived("origin", "origin")]),
        });
        let request = |template: &str, columns: &[&str]| {
            let body = json!({"dataset": "flights", "template": template, "columns": columns});
            validate(&serde_json::from_value(body).unwrap(), &dataset, now())
        };
        assert_eq!(request("hours", &["origin", "hours"]).unwrap().columns, ["origin", "hours"]);
        assert!(request("default", &["origin", "delay"]).is_ok());
        for (template, columns, known) in [
            ("hours", ["hours", "delay"], "this template has hours, origin"),
            ("default", ["origin", "hours"], "this dataset has delay, origin"),
        ] {
            let problem = request(template, &columns).unwrap_err();
            assert_eq!((problem.slug(), problem.errors[0].pointer.as_str()), (Slug::InvalidRequest, "/columns/1"));
            assert!(problem.errors[0].detail.ends_with(known), "{problem:?}");
        }
    }

    #[test]
    fn a_format_allows_only_its_own_compressions() {
        let mut dataset = flights();
        dataset.info.formats = vec!["csv".into(), "parquet".into()];
        dataset.info.compressions = vec!["none".into(), "gzip".into()];
        let info = |name: &str, compressions: &[&str]| FormatInfo {
            name: name.into(),
            compressions: compressions.iter().map(ToString::to_string).collect(),
            media_type: String::new(),
            extension: name.into(),
        };
        dataset.info.formats_info = vec![info("csv", &["none", "gzip"]), info("parquet", &["none"])];
        let request = |format: &str| json!({"dataset": "flights", "format": format, "compression": "gzip"});
        assert!(validate(&serde_json::from_value(request("csv")).unwrap(), &dataset, now()).is_ok());
        let problem = validate(&serde_json::from_value(request("parquet")).unwrap(), &dataset, now()).unwrap_err();
        assert_eq!((problem.slug(), problem.errors[0].pointer.as_str()), (Slug::InvalidRequest, "/compression"));
    }

    #[test]
    fn moments_relative_to_now_are_resolved_in_the_time_zone_of_the_request() {
        let mut dataset = flights();
        dataset.info.columns.push(Column::new("at", ColumnType::Datetime));
        dataset.param_specs = vec![params::ParamSpec::new("day", params::ParamType::Date)];
        let mut body = json!({"dataset": "flights", "filter": {"at": {"gte": "now/d"}}, "params": {"day": "now"}});
        let valid = |body: &Value| validate(&serde_json::from_value(body.clone()).unwrap(), &dataset, now());
        let utc = valid(&body).unwrap();
        assert_eq!(utc.filter, json!({"at": {"gte": "2026-11-29T00:00:00.000Z"}}));
        assert_eq!(utc.params["day"], "2026-11-29");
        body["time_zone"] = json!("Asia/Tokyo");
        let tokyo = valid(&body).unwrap();
        assert_eq!(tokyo.filter, json!({"at": {"gte": "2026-11-29T15:00:00.000Z"}}));
        assert_eq!(tokyo.params["day"], "2026-11-30");
        for (zone, filter, params, pointers) in [
            ("Tokyo", "now", "now", vec!["/time_zone"]),
            ("", "now", "now", vec!["/time_zone"]),
            ("UTC", "now-", "now/q", vec!["/filter/at/gte", "/params/day"]),
        ] {
            let body = json!({"dataset": "flights", "time_zone": zone, "filter": {"at": {"gte": filter}},
                "params": {"day": params}});
            let problem = valid(&body).unwrap_err();
            let found: Vec<_> = problem.errors.iter().map(|error| error.pointer.as_str()).collect();
            assert_eq!(found, pointers, "{zone}");
        }
    }

    #[test]
    fn one_problem_lists_every_fault_under_a_common_slug() {
        assert_eq!(faults(json!({"dataset": "x", "template": "y"})), (Slug::UnknownTemplate, vec!["/template".into()]));
        assert_eq!(
            faults(json!({"dataset": "x", "filter": {"nope": {"eq": 1}}})),
            (Slug::InvalidFilter, vec!["/filter/nope".into()])
        );
        assert_eq!(
            faults(json!({"dataset": "x", "columns": ["delay", "delay", "z"], "format": "xlsx",
                    "filter": {"delay": {"eq": "a"}}, "params": {"p": 1}})),
            (
                Slug::InvalidRequest,
                ["/format", "/filter/delay/eq", "/columns/1", "/columns/2", "/params/p"].map(String::from).to_vec()
            )
        );
        assert_eq!(faults(json!({"dataset": "x", "columns": []})).1, ["/columns"]);
    }
}
