//! Checks a request against the catalog: every fault is named by its JSON pointer, and nothing is done before all
//! of it is good.

use axum::http::header;
use protocol::{
    catalog::{CatalogDataset, DatasetInfo},
    export::ExportRequest,
    filter,
    json::child,
    params,
    problem::{FieldError, Problem, Slug},
};
use serde_json::{Map, Value, json};

use crate::{
    auth::Caller,
    catalog::{Catalog, Offer},
    error::{Outcome, Refusal},
};

/// The most faults that one answer lists.
const MAX_FAULTS: usize = 20;

/// Finds what a caller asks for, as they may see it, and checks every member of the request against it.
///
/// # Errors
/// When it isn't theirs to export, nobody offers it, or a member is wrong.
pub fn admit(catalog: &Catalog, caller: &Caller, request: &ExportRequest) -> Outcome<(Offer, Checked)> {
    let name = &request.dataset;
    if !caller.may_export(name) {
        let detail = format!("Your token's scope does not allow exports of `{name}`.");
        return Err(Refusal::new(Slug::Forbidden, detail));
    }
    let Some(Offer { dataset, pool }) = catalog.find(name) else {
        if catalog.is_empty() {
            return Err(
                Refusal::new(Slug::Unavailable, "No exporter is running just now.").with_header(header::RETRY_AFTER, 5)
            );
        }
        let fault = FieldError::new("/dataset", format!("no dataset is called `{name}`"));
        return Err(Problem::invalid(Slug::UnknownDataset, vec![fault]).into());
    };
    let wanted = dataset.access.scopes.join("`, `");
    let Some(dataset) = dataset.seen_by(&caller.scopes) else {
        let detail = format!("Exports of `{name}` ask for the scope `{wanted}` besides.");
        return Err(Refusal::new(Slug::Forbidden, detail));
    };
    let checked = check(request, &dataset)?;
    Ok((Offer { dataset, pool }, checked))
}

/// A request whose every member was checked, with defaults filled in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checked {
    /// The template's name.
    pub template: String,
    /// The format's name.
    pub format: String,
    /// The compression's name.
    pub compression: String,
    /// The filter as asked for; `{}` for none.
    pub filter: Value,
    /// The columns as asked for; empty for the template's.
    pub columns: Vec<String>,
    /// The parameters with defaults filled in.
    pub params: Map<String, Value>,
}

/// Checks everything below `dataset`.
///
/// # Errors
/// One problem that lists every fault: `unknown-template` or `invalid-filter` when that is all, else
/// `invalid-request`.
pub fn check(request: &ExportRequest, dataset: &CatalogDataset) -> Result<Checked, Problem> {
    let info = &dataset.info;
    let mut faults: Vec<(Slug, FieldError)> = Vec::new();

    let templates: Vec<&str> = info.templates.iter().map(|t| t.name.as_str()).collect();
    let template = choose(request.template.as_deref(), "default", &templates)
        .map_err(|e| faults.push((Slug::UnknownTemplate, FieldError::new("/template", e))));
    let formats: Vec<&str> = info.formats.iter().map(String::as_str).collect();
    let format = choose(request.format.as_deref(), "csv", &formats)
        .map_err(|e| faults.push((Slug::InvalidRequest, FieldError::new("/format", e))));
    let compressions: Vec<&str> = info.compressions.iter().map(String::as_str).collect();
    let compression = choose(request.compression.as_deref(), "none", &compressions)
        .map_err(|e| faults.push((Slug::InvalidRequest, FieldError::new("/compression", e))));

    if let (Ok(format), Ok(compression)) = (&format, &compression)
        && let Some(info) = info.formats_info.iter().find(|info| info.name == *format)
        && !info.compressions.contains(compression)
    {
        let detail = format!(
            "`{format}` files are not compressed by `{compression}`; they take {}",
            info.compressions.join(", ")
        );
        faults.push((Slug::InvalidRequest, FieldError::new("/compression", detail)));
    }

    let filter = request.filter.clone().unwrap_or_else(|| json!({}));
    if let Err(errors) = filter::parse(&filter, &info.columns) {
        faults.extend(errors.into_iter().map(|e| (Slug::InvalidFilter, e)));
    }
    let columns = request.columns.clone().unwrap_or_default();
    if request.columns.as_ref().is_some_and(Vec::is_empty) {
        faults.push((Slug::InvalidRequest, FieldError::new("/columns", "name at least one column, or leave it out")));
    }
    let (known, whose) = choosable(info, template.as_deref().ok());
    for (i, name) in columns.iter().enumerate() {
        if faults.len() >= MAX_FAULTS {
            break;
        }
        let pointer = child("/columns", &i.to_string());
        if !known.contains(&name.as_str()) {
            let detail = format!("unknown column `{name}`; this {whose} has {}", known.join(", "));
            faults.push((Slug::InvalidRequest, FieldError::new(pointer, detail)));
        } else if columns[..i].contains(name) {
            faults.push((Slug::InvalidRequest, FieldError::new(pointer, format!("`{name}` is named twice"))));
        }
    }
    let params = params::check(&dataset.param_specs, &request.params.clone().unwrap_or_default())
        .map_err(|errors| faults.extend(errors.into_iter().map(|e| (Slug::InvalidRequest, e))));

    match (template, format, compression, params) {
        (Ok(template), Ok(format), Ok(compression), Ok(params)) if faults.is_empty() => {
            Ok(Checked { template, format, compression, filter, columns, params })
        }
        _ => {
            let first = faults.first().map_or(Slug::InvalidRequest, |(slug, _)| *slug);
            faults.truncate(MAX_FAULTS);
            let slug = if faults.iter().all(|(slug, _)| *slug == first) { first } else { Slug::InvalidRequest };
            Err(Problem::invalid(slug, faults.into_iter().map(|(_, e)| e).collect()))
        }
    }
}

/// The columns that may be chosen with a template, and whose they are.
fn choosable<'a>(info: &'a DatasetInfo, template: Option<&str>) -> (Vec<&'a str>, &'static str) {
    let template = info.templates.iter().find(|known| template == Some(known.name.as_str()));
    match template.and_then(|template| template.columns.as_ref()) {
        Some(columns) => (columns.iter().map(|made| made.column.name.as_str()).collect(), "template"),
        None => (info.columns.iter().map(|column| column.name.as_str()).collect(), "dataset"),
    }
}

/// What was asked for if it is on offer; else the default, or the first on offer.
fn choose(asked: Option<&str>, default: &str, on_offer: &[&str]) -> Result<String, String> {
    let chosen = match asked {
        Some(name) => on_offer.contains(&name).then_some(name),
        None => on_offer.iter().copied().find(|name| *name == default).or(on_offer.first().copied()),
    };
    chosen.map(str::to_owned).ok_or_else(|| match asked {
        Some(name) => format!("`{name}` is not on offer; this dataset has {}", on_offer.join(", ")),
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
        CatalogDataset { info, param_specs: vec![], retention_s: 60, access: Default::default(), rows_in_all: None }
    }

    fn refused(body: Value) -> (Slug, Vec<String>) {
        let problem = check(&serde_json::from_value(body).unwrap(), &flights()).unwrap_err();
        (problem.slug(), problem.errors.into_iter().map(|e| e.pointer).collect())
    }

    #[test]
    fn what_is_left_out_takes_its_default() {
        let terse = check(&serde_json::from_value(json!({"dataset": "flights"})).unwrap(), &flights()).unwrap();
        let full = json!({"dataset": "flights", "template": "default", "format": "csv", "compression": "none", "filter": {}, "params": {}});
        assert_eq!(terse, check(&serde_json::from_value(full).unwrap(), &flights()).unwrap());
    }

    #[test]
    fn a_template_with_columns_of_its_own_takes_those_and_no_others() {
        let mut dataset = flights();
        let made = |name: &str, reads: &str| TemplateColumn {
            column: Column::new(name, ColumnType::Int),
            reads: vec![reads.into()],
        };
        dataset.info.templates.push(TemplateInfo {
            name: "hours".into(),
            title: String::new(),
            columns: Some(vec![made("hours", "delay"), made("origin", "origin")]),
        });
        let ask = |template: &str, columns: &[&str]| {
            let body = json!({"dataset": "flights", "template": template, "columns": columns});
            check(&serde_json::from_value(body).unwrap(), &dataset)
        };
        assert_eq!(ask("hours", &["origin", "hours"]).unwrap().columns, ["origin", "hours"]);
        assert!(ask("default", &["origin", "delay"]).is_ok());
        for (template, columns, known) in [
            ("hours", ["hours", "delay"], "this template has hours, origin"),
            ("default", ["origin", "hours"], "this dataset has delay, origin"),
        ] {
            let problem = ask(template, &columns).unwrap_err();
            assert_eq!((problem.slug(), problem.errors[0].pointer.as_str()), (Slug::InvalidRequest, "/columns/1"));
            assert!(problem.errors[0].detail.ends_with(known), "{problem:?}");
        }
    }

    #[test]
    fn a_format_takes_only_its_own_compressions() {
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
        let ask = |format: &str| json!({"dataset": "flights", "format": format, "compression": "gzip"});
        assert!(check(&serde_json::from_value(ask("csv")).unwrap(), &dataset).is_ok());
        let problem = check(&serde_json::from_value(ask("parquet")).unwrap(), &dataset).unwrap_err();
        assert_eq!((problem.slug(), problem.errors[0].pointer.as_str()), (Slug::InvalidRequest, "/compression"));
    }

    #[test]
    fn every_fault_is_listed_under_the_slug_that_fits_them_all() {
        assert_eq!(
            refused(json!({"dataset": "x", "template": "y"})),
            (Slug::UnknownTemplate, vec!["/template".into()])
        );
        assert_eq!(
            refused(json!({"dataset": "x", "filter": {"nope": {"eq": 1}}})),
            (Slug::InvalidFilter, vec!["/filter/nope".into()])
        );
        assert_eq!(
            refused(
                json!({"dataset": "x", "columns": ["delay", "delay", "z"], "format": "xlsx", "filter": {"delay": {"eq": "a"}}, "params": {"p": 1}})
            ),
            (
                Slug::InvalidRequest,
                ["/format", "/filter/delay/eq", "/columns/1", "/columns/2", "/params/p"].map(String::from).to_vec()
            )
        );
        assert_eq!(refused(json!({"dataset": "x", "columns": []})).1, ["/columns"]);
    }
}
