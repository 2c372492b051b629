//! Creates the datasets of a catalog file from their sources.

use std::{sync::Arc, time::Duration};

use protocol::{access::Access, catalog::Column};
use tracing::warn;

use super::{
    checks::{
        check_declared_types, check_declared_zones, check_postgres_keys, check_query_columns, check_rights,
        check_tenant_columns, classify_probe_error, differing_rows,
    },
    fault::Refusal,
    rules,
    source::{LoadContext, OpenSource},
    spec::{DatasetSpec, NO_DATABASE, Rows},
};
use crate::{
    dataset::{
        Dataset, DatasetError, DatasetInfo, FileKind, Files, Key, PostgresRows, PostgresServer, Resolved, SqlRows,
        TextMeaning,
        sql::{
            KnownColumns, Source, SqlDialect, SqliteFile, named_table, query_columns, table_columns, with_zones,
            zoned_columns,
        },
    },
    template,
};

/// The minimum and maximum of a dataset's `retention`, in seconds.
const RETENTION_SECONDS: std::ops::RangeInclusive<u64> = 1..=366 * 24 * 60 * 60;

/// Creates a dataset from `spec`, its `[[dataset]]` table in the catalog file, and from its opened source. The table
/// begins at the byte `at` of the file. `source` is None if the table names no source.
pub(super) async fn make(
    context: &LoadContext,
    at: usize,
    spec: &DatasetSpec,
    source: Option<OpenSource>,
) -> Result<Arc<dyn Dataset>, Refusal> {
    let dialect = match &source {
        Some(OpenSource::Postgres(_) | OpenSource::Unavailable { is_postgres: true, .. }) => Some(SqlDialect::Postgres),
        Some(OpenSource::Sqlite(_) | OpenSource::Unavailable { is_postgres: false, .. }) => Some(SqlDialect::Sqlite),
        _ => None,
    };
    let rows = spec.rows(at, dialect).map_err(|(at, detail)| Refusal::Fault(at, detail))?;
    check_postgres_keys(spec, dialect == Some(SqlDialect::Postgres))?;
    if let Some(OpenSource::Unavailable { reason, .. }) = source {
        return Err(Refusal::Unavailable(reason));
    }
    let made: Arc<dyn Dataset> = match (rows, source) {
        (Rows::Sql(rows), Some(OpenSource::Sqlite(file))) => Arc::new(sqlite(at, spec, rows, file).await?),
        (Rows::Sql(rows), Some(OpenSource::Postgres(server))) => Arc::new(postgres(at, spec, rows, server).await?),
        (Rows::Sql(_), _) => {
            return Err(Refusal::Fault(at, NO_DATABASE.into()));
        }
        (Rows::Files(files, kind), source) => {
            let location = context.location(files, source);
            let location = location.ok_or_else(|| Refusal::Fault(at, "its source has no files".into()))?;
            let declared = DatasetInfo::new(spec.name.get_ref(), spec.columns());
            let files = Files::open(location, kind, declared).await.map_err(|e| classify_probe_error(at, spec, &e))?;
            check_tenant_columns(at, spec, files.column_names())?;
            if matches!(kind, FileKind::Parquet | FileKind::Arrow) {
                check_declared_types(spec, &files.info().columns, true)?;
            }
            let info = info(spec, &files.info().columns)?;
            for note in &files.info().notes {
                warn!(dataset.name = info.name, note, "a dataset differs from its files");
            }
            Arc::new(files.described(info))
        }
    };
    if made.info().columns.is_empty() && spec.columns.is_empty() {
        return Err(Refusal::Differs(at, "its source has no columns".into()));
    }
    rules::check(made.info()).map_err(|detail| {
        let policy = spec.row_policy.as_ref().map(|policy| policy.span().start);
        Refusal::Fault(policy.filter(|_| detail.contains("policy")).unwrap_or(at), detail)
    })?;
    Ok(made)
}

async fn sqlite(at: usize, spec: &DatasetSpec, rows: Source, file: Arc<SqliteFile>) -> Result<SqlRows, Refusal> {
    let failed = |e: DatasetError| classify_probe_error(at, spec, &e);
    let db = file.connection().await.map_err(failed)?;
    let rows = named_table(&db, rows).await.map_err(failed)?;
    let found = table_columns(&db, &rows).await.map_err(failed)?;
    check_tenant_columns(at, spec, found.iter().map(|column| column.name.as_str()))?;
    let is_table = matches!(rows, Source::Table(_));
    check_query_columns(at, spec, &query_columns(&db, &rows).await.map_err(failed)?)?;
    let known = KnownColumns::new(&found, spec.columns.is_empty());
    // SQLite does not report the types of a query's columns, so the catalog file must declare them
    let columns = if all_typed(spec) { spec.columns() } else { merged(spec, found).map_err(failed)? };
    // time zones are detected from values, and a query with parameters has no values before a request
    let columns = if spec.params.is_empty() {
        check_declared_zones(spec, &zoned_columns(&db, &rows, &columns).await.map_err(failed)?)?;
        with_zones(&db, &rows, columns).await.map_err(failed)?
    } else {
        columns
    };
    let made = SqlRows::new(file, rows, info(spec, &columns)?).ordered_by(spec.order());
    Ok(if is_table { made.with_known(known) } else { made })
}

async fn postgres(
    at: usize,
    spec: &DatasetSpec,
    rows: Source,
    server: Arc<PostgresServer>,
) -> Result<PostgresRows, Refusal> {
    let failed = |e: DatasetError| classify_probe_error(at, spec, &e);
    // describe the source even if every type is declared, so that a missing table is found now
    let resolved = PostgresRows::resolve(&server, rows).await.map_err(failed)?;
    let Resolved { source: rows, columns: found, unreadable, text_meanings } = resolved;
    check_tenant_columns(at, spec, found.iter().map(|column| column.name.as_str()))?;
    check_declared_types(spec, &found, false)?;
    // the types of a query's columns may depend on the values of its parameters
    let known = if spec.params.is_empty() {
        Some(KnownColumns::new(&found, spec.columns.is_empty()))
    } else {
        KnownColumns::of_zones(&found)
    };
    let mut info = info(spec, &merged(spec, found).map_err(failed)?)?;
    info.text_meanings = text_meanings;
    let padded =
        info.tenant_columns().into_iter().find(|name| info.text_meanings.get(*name) == Some(&TextMeaning::Padded));
    if let Some(tenant) = padded {
        info.notes.push(format!(
            "the tenant column `{tenant}` is of the type `char(n)`, and a claim equals its values only with the spaces at \
             their end"
        ));
    }
    check_rights(at, spec, &info.columns, &unreadable)?;
    let key = match &spec.split_by {
        None => None,
        Some(name) => {
            let key = Key::find(&server, &rows, name.get_ref()).await.map_err(failed)?;
            Some(key.map_err(|detail| Refusal::Fault(name.span().start, detail))?)
        }
    };
    let mut rows = PostgresRows::new(server, rows, info).ordered_by(spec.order());
    if let Some(known) = known {
        rows = rows.with_known(known);
    }
    let (Some(key), Some(name)) = (key, &spec.split_by) else { return Ok(rows) };
    match rows.split_doubt().await.map_err(failed)? {
        Some(doubt) if doubt.is_written => Err(Refusal::Fault(name.span().start, differing_rows(&doubt.reason))),
        Some(doubt) => {
            // the planner's choice of a plan is no fault of the catalog file, and each export checks its plan again
            let dataset = &rows.info().name;
            warn!(dataset.name = dataset, doubt.reason, "a dataset may not be split by its key; see its plan");
            Ok(rows.split_by(key))
        }
        None => Ok(rows.split_by(key)),
    }
}

/// Builds the [`DatasetInfo`] of a dataset from `spec`, its `[[dataset]]` table in the catalog file. `found` are the
/// columns of the source.
fn info(spec: &DatasetSpec, found: &[Column]) -> Result<DatasetInfo, Refusal> {
    check_keys(spec, found)?;
    let policy = match &spec.row_policy {
        None => None,
        Some(policy) => {
            let json = serde_json::to_value(policy.get_ref());
            Some(json.map_err(|e| Refusal::Fault(policy.span().start, e.to_string()))?)
        }
    };
    let declared = spec.columns();
    let columns = if declared.is_empty() {
        found.to_vec()
    } else {
        let typed = declared.into_iter().filter_map(|column| {
            let known = found.iter().find(|found| found.name == column.name)?;
            Some(column.typed(known.kind, known.local))
        });
        typed.collect()
    };
    let name = spec.name.get_ref();
    let defaults = DatasetInfo::new(name, columns);
    Ok(DatasetInfo {
        title: spec.title.clone().unwrap_or_else(|| name.clone()),
        description: spec.description.clone(),
        version: spec.version.clone().unwrap_or_else(|| template::digest_of(spec)),
        snapshot: spec.snapshot.as_ref().map(|snapshot| *snapshot.get_ref()).unwrap_or_default(),
        params: spec.params(),
        tenant_columns: spec.tenant_column.as_ref().map(|columns| columns.get_ref().names()),
        row_policy: policy,
        access: Access { scopes: spec.scopes.clone(), columns: spec.rules(), policy_claims: None },
        retention: retention(spec)?.unwrap_or(defaults.retention),
        credits: spec.credits.unwrap_or(defaults.credits),
        ..defaults
    })
}

fn retention(spec: &DatasetSpec) -> Result<Option<Duration>, Refusal> {
    let Some(retention) = &spec.retention else { return Ok(None) };
    let duration = retention.get_ref().get();
    if RETENTION_SECONDS.contains(&duration.as_secs()) {
        return Ok(Some(duration));
    }
    Err(Refusal::Fault(retention.span().start, "`retention` is from 1s to 366days".into()))
}

/// Checks the keys `order`, `split_by` and `tenant_column`, whose values are names of columns, and the masks of the
/// declared columns. `found` are the columns of the source.
///
/// # Errors
/// [`Refusal::Fault`] if `order` names an unknown column, `order` or `split_by` names a column with a scope, a column
/// has a mask without a scope, or `tenant_column` is an empty list.
fn check_keys(spec: &DatasetSpec, found: &[Column]) -> Result<(), Refusal> {
    let order = spec.order.as_ref().map(|order| order.span().start);
    let split_by = spec.split_by.as_ref().map(|key| (key.span().start, "split_by", key.get_ref().clone()));
    let order: Vec<_> = spec.order().into_iter().filter_map(|key| Some((order?, "order", key.column))).collect();
    if let Some((at, _, name)) = order.iter().find(|(.., name)| found.iter().all(|column| column.name != *name)) {
        let detail = format!("`order` names `{name}`, which is none of its columns: correct the name");
        return Err(Refusal::Fault(*at, detail));
    }
    let has_scope = |name: &str| spec.columns.iter().any(|c| c.get_ref().name == name && c.get_ref().scope.is_some());
    if let Some((at, key, name)) = order.iter().chain(&split_by).find(|(.., name)| has_scope(name)) {
        let detail = format!(
            "`{key}` names `{name}`, which has a `scope`: the order of the rows would reveal to callers without the scope \
             which value is larger"
        );
        return Err(Refusal::Fault(*at, detail));
    }
    for column in &spec.columns {
        if column.get_ref().mask.is_some() && column.get_ref().scope.is_none() {
            let detail = format!("column `{}` has `mask`, but no `scope`", column.get_ref().name);
            return Err(Refusal::Fault(column.span().start, detail));
        }
    }
    match &spec.tenant_column {
        Some(columns) if columns.get_ref().names().is_empty() => {
            Err(Refusal::Fault(columns.span().start, "`tenant_column` names no column: leave it out".into()))
        }
        _ => Ok(()),
    }
}

fn all_typed(spec: &DatasetSpec) -> bool {
    !spec.columns.is_empty() && spec.columns.iter().all(|column| column.get_ref().kind.is_some())
}

/// Returns the columns of the dataset. These are the columns that the catalog file declares; a column without a
/// declared type gets its type in the source. If the file declares no columns, these are all columns of the source.
/// `found` are the columns of the source.
///
/// # Errors
/// When the source lacks a declared column.
fn merged(spec: &DatasetSpec, found: Vec<Column>) -> Result<Vec<Column>, DatasetError> {
    let declared = spec.columns();
    if declared.is_empty() {
        return Ok(found);
    }
    let typed = declared.into_iter().zip(&spec.columns).map(|(column, spec)| {
        let known = found.iter().find(|found| found.name == column.name);
        let known = known.ok_or_else(|| DatasetError::NoColumn(column.name.clone()))?;
        let local = column.local || known.local;
        Ok(column.typed(spec.get_ref().kind.unwrap_or(known.kind), local))
    });
    typed.collect()
}
