//! Checks whether a dataset of the catalog file fits its source. In this module, `spec` is the `[[dataset]]` table of
//! the dataset, and `at` is the byte position of this table in the file.

use protocol::catalog::{Column, ColumnType};

use super::{fault::Refusal, spec::DatasetSpec};
use crate::dataset::{DatasetError, Snapshot, TENANT_COLUMNS, sql};

/// Checks that the declared columns include the tenant column of the source (`tenant` or `tenant_id`), if the source
/// has one. A row policy can test only declared columns, so without this column users could export the rows of other
/// tenants. `found` are the names of the source's columns. Skips the check if the catalog file sets `tenant_column`, or
/// declares no columns.
///
/// # Errors
/// [`Refusal::Fault`] names the missing tenant column.
pub(super) fn check_tenant_columns<'a>(
    at: usize,
    spec: &DatasetSpec,
    found: impl Iterator<Item = &'a str>,
) -> Result<(), Refusal> {
    if spec.tenant_column.is_some() || spec.columns.is_empty() {
        return Ok(());
    }
    let is_left_out = |name: &&str| spec.columns.iter().all(|column| column.get_ref().name != **name);
    match found.filter(|name| TENANT_COLUMNS.contains(name)).find(is_left_out) {
        None => Ok(()),
        Some(tenant) => Err(Refusal::Fault(
            at,
            format!(
                "its source has the tenant column `{tenant}`: name it in a [[dataset.column]] and test it in `row_policy`; \
                 to hide it from every user, give it a `scope` instead of leaving it out"
            ),
        )),
    }
}

/// Checks the columns of a SQLite query. `found` has the names of the query's columns, in order. SQLite appends a
/// suffix such as `:1` to a name that occurs again. If the dataset reads a table, `found` is empty, and there is
/// nothing to check.
///
/// # Errors
/// [`Refusal::Fault`] if two columns have the same name, because only the first of them could be read. Also if the
/// catalog file declares no columns, because SQLite does not know the types of a query's columns. [`Refusal::Differs`]
/// if the query lacks a declared column.
pub(super) fn check_query_columns(at: usize, spec: &DatasetSpec, found: &[String]) -> Result<(), Refusal> {
    for column in found {
        let Some((name, number)) = column.rsplit_once(':') else { continue };
        if number.bytes().all(|byte| byte.is_ascii_digit()) && found.iter().any(|other| other == name) {
            let detail = format!("two columns of its query are called `{name}`: give each a name of its own with AS");
            return Err(Refusal::Fault(at, detail));
        }
    }
    if found.is_empty() {
        return Ok(());
    }
    let names = || found.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if spec.columns.is_empty() {
        let detail = format!(
            "SQLite does not know the types of a query: declare each column with its `type` in a [[dataset.column]]; the query \
             has {}",
            names()
        );
        return Err(Refusal::Fault(at, detail));
    }
    // SQLite compares names of columns without their case
    let is_found = |name: &str| found.iter().any(|other| other.eq_ignore_ascii_case(name));
    if let Some(missing) = spec.columns.iter().find(|declared| !is_found(&declared.get_ref().name)) {
        let name = &missing.get_ref().name;
        let detail = format!(
            "its query has no column `{name}`: correct the name, or name a column of the query with AS; the query has {}",
            names()
        );
        return Err(Refusal::Differs(missing.span().start, detail));
    }
    Ok(())
}

/// Checks that no value of the source changes when it is converted to the declared type of its column. `found` are the
/// columns of the source, with their types in the source.
///
/// `is_file` is true for Parquet and Arrow IPC files, and false for PostgreSQL. In files, the declared type must equal
/// the type in the file. In PostgreSQL, any column may be declared as text, and a column of whole
/// numbers as decimals. In both, `local` is refused for timestamps with a time zone, because the export would drop the
/// time zone, and for columns without timestamps.
///
/// # Errors
/// [`Refusal::Differs`] names the first column for which this does not hold.
pub(super) fn check_declared_types(spec: &DatasetSpec, found: &[Column], is_file: bool) -> Result<(), Refusal> {
    for declared in &spec.columns {
        let (at, declared) = (declared.span().start, declared.get_ref());
        let Some(source) = found.iter().find(|column| column.name == declared.name) else { continue };
        let kind = declared.kind.unwrap_or(source.kind);
        let is_exact = kind == ColumnType::String || (source.kind, kind) == (ColumnType::Int, ColumnType::Decimal);
        if kind != source.kind && (is_file || !is_exact) {
            let advice =
                if is_file { "leave out `type`" } else { "leave out `type`, or convert the column in a `query`" };
            let detail = format!(
                "column `{}` is of the type `{}` in its source, and values may change in the declared type `{}`: {advice}",
                declared.name,
                name_of(source.kind),
                name_of(kind),
            );
            return Err(Refusal::Differs(at, detail));
        }
        if declared.local && kind != ColumnType::Datetime {
            let detail = format!(
                "`local = true` is for columns of the type `datetime`, and column `{}` is of the type `{}`: leave out `local`",
                declared.name,
                name_of(kind),
            );
            return Err(Refusal::Differs(at, detail));
        }
        if declared.local && !source.local {
            let advice =
                if is_file { "" } else { ", or convert the column in a `query`, such as `at AT TIME ZONE 'UTC'`" };
            return Err(Refusal::Differs(at, zone_declared_away(&declared.name) + advice));
        }
    }
    Ok(())
}

/// Returns a refusal if a column is declared with `local = true`, but has moments with a time zone. `zoned` are the
/// names of the columns of a SQLite source that have such a moment.
pub(super) fn check_declared_zones(spec: &DatasetSpec, zoned: &[String]) -> Result<(), Refusal> {
    let is_zoned = |name: &String| zoned.contains(name);
    match spec.columns.iter().find(|column| column.get_ref().local && is_zoned(&column.get_ref().name)) {
        None => Ok(()),
        Some(column) => Err(Refusal::Differs(column.span().start, zone_declared_away(&column.get_ref().name))),
    }
}

/// Returns the beginning of the fault text for a column with `local = true` whose moments have a time zone in the
/// source.
fn zone_declared_away(column: &str) -> String {
    format!(
        "`local = true` declares that the moments of column `{column}` have no time zone, but in the source they have one: \
         leave out `local`"
    )
}

/// Returns the name of a column type, as catalog files spell it.
pub(super) const fn name_of(kind: ColumnType) -> &'static str {
    match kind {
        ColumnType::String => "string",
        ColumnType::Int => "int",
        ColumnType::Float => "float",
        ColumnType::Decimal => "decimal",
        ColumnType::Bool => "bool",
        ColumnType::Date => "date",
        ColumnType::Datetime => "datetime",
        ColumnType::Time => "time",
    }
}

/// Checks that the exporter has the right to read each column of the dataset in the source. Without this right, every
/// export of the column would fail. `offered` are the columns of the dataset. `unreadable` are the names of the columns
/// that the exporter has no right to read.
///
/// # Errors
/// [`Refusal::Differs`] names the first column without this right.
pub(super) fn check_rights(
    at: usize,
    spec: &DatasetSpec,
    offered: &[Column],
    unreadable: &[String],
) -> Result<(), Refusal> {
    let Some(column) = offered.iter().find(|column| unreadable.contains(&column.name)) else { return Ok(()) };
    let declared = spec.columns.iter().find(|declared| declared.get_ref().name == column.name);
    let detail = format!(
        "the exporter has no right to read column `{}` of its source: grant SELECT on the column, or declare only the \
         others in [[dataset.column]]",
        column.name
    );
    Err(Refusal::Differs(declared.map_or(at, |declared| declared.span().start), detail))
}

/// Checks the keys `split_by`, `order` and `snapshot`. `is_postgres` is true if the source is PostgreSQL.
///
/// # Errors
/// [`Refusal::Fault`] if `split_by` and `order` are both set, or if `split_by` or `snapshot = "none"` is set for a
/// source other than PostgreSQL.
pub(super) fn check_postgres_keys(spec: &DatasetSpec, is_postgres: bool) -> Result<(), Refusal> {
    if let (Some(key), Some(_)) = (&spec.split_by, &spec.order) {
        let detail = "`split_by` gives rows range by range, and `order` in one order: leave one of them out";
        return Err(Refusal::Fault(key.span().start, detail.into()));
    }
    if is_postgres {
        return Ok(());
    }
    if let Some(key) = &spec.split_by {
        let detail = "`split_by` is for tables and queries of a PostgreSQL source";
        return Err(Refusal::Fault(key.span().start, detail.into()));
    }
    match &spec.snapshot {
        Some(snapshot) if *snapshot.get_ref() == Snapshot::None => {
            let detail = "`snapshot = \"none\"` is for tables and queries of a PostgreSQL source: other sources are read by one statement";
            Err(Refusal::Fault(snapshot.span().start, detail.into()))
        }
        _ => Ok(()),
    }
}

/// Returns the fault text for a dataset that has the key `split_by`, but whose rows can't be split into ranges.
/// `reason` names the SQL keyword, function or feature of the query that is the cause. A query with it may return
/// different rows at each read, so the ranges could overlap or leave rows out.
pub(super) fn differing_rows(reason: &str) -> String {
    format!(
        "`split_by` reads it once for each range of the key, and `{reason}` gives other rows each time: leave out one of \
         them, or make the time a parameter"
    )
}

/// Converts an error from reading the schema of a source to a [`Refusal`]. The result is [`Refusal::Differs`] if a
/// table or column is missing, PostgreSQL refuses to read it, a column has an unsupported type, or the declaration is
/// incomplete. After any other error, the result is [`Refusal::Unavailable`].
pub(super) fn classify_probe_error(at: usize, spec: &DatasetSpec, error: &DatasetError) -> Refusal {
    let error = if let DatasetError::Shared(error) = error { error } else { error };
    let (source, cause) = match error {
        DatasetError::InFile { file, source } => (format!("the file `{file}`"), &**source),
        _ => ("its source".to_owned(), error),
    };
    let position = |name: &str| {
        let named = spec.columns.iter().find(|column| column.get_ref().name == name);
        named.map_or(at, |column| column.span().start)
    };
    match cause {
        DatasetError::NoColumn(column) | DatasetError::MissingColumn(column) => {
            let detail = format!("{source} has no column `{column}`: correct the name, or leave the column out");
            Refusal::Differs(position(column), detail)
        }
        DatasetError::Unsupported { column, dtype } => {
            let detail = format!(
                "column `{column}` of {source} is of the unsupported type {dtype}: leave the column out, or write it as \
                 another type"
            );
            Refusal::Differs(position(column), detail)
        }
        DatasetError::NoTable(table) => {
            Refusal::Differs(at, format!("{source} has no table `{table}`: correct the name in `table`"))
        }
        DatasetError::Undeclared(detail) => Refusal::Differs(at, format!("{source}: {detail}")),
        // a SQLite file that is available refuses the query for good
        DatasetError::Db(e) if sql::is_refused_by_sqlite(e) && spec.query.is_some() => {
            let at = spec.query.as_ref().map_or(at, |query| query.span().start);
            Refusal::Differs(at, cause.operator_message())
        }
        DatasetError::Db(e) if sql::is_refused_by_postgres(e) => {
            let at = spec.query.as_ref().map_or(at, |query| query.span().start);
            Refusal::Differs(at, cause.operator_message())
        }
        _ => Refusal::Unavailable(error.operator_message()),
    }
}
