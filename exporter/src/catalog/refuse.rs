//! What a dataset of a catalog file may not be, as far as its source has to be known for that.

use super::{load::Refusal, spec::DatasetSpec};
use crate::dataset::DatasetError;
use crate::dataset::{Snapshot, TENANT_COLUMNS};

/// Refuses a dataset that leaves out a column which says whose a row is: of a column that nobody sees no rule could tell
/// that it holds other tenants' rows back. One who names the tenant columns has thought of them.
pub(super) fn whose<'a>(at: usize, spec: &DatasetSpec, found: impl Iterator<Item = &'a str>) -> Result<(), Refusal> {
    if spec.tenant_column.is_some() || spec.columns.is_empty() {
        return Ok(());
    }
    let is_left_out = |name: &&str| spec.columns.iter().all(|column| column.get_ref().name != **name);
    match found.filter(|name| TENANT_COLUMNS.contains(name)).find(is_left_out) {
        None => Ok(()),
        Some(tenant) => Err(Refusal::Fault(
            at,
            format!(
                "its source has a column `{tenant}`, which says whose a row is: name it in a [[dataset.column]] and hold \
                 it in `row_policy`; if nobody is to see it, hide it with a `scope` instead of leaving it out"
            ),
        )),
    }
}

/// Refuses keys that mean something on PostgreSQL alone.
pub(super) fn postgres_alone(spec: &DatasetSpec, postgres: bool) -> Result<(), Refusal> {
    if let (Some(key), Some(_)) = (&spec.split_by, &spec.order) {
        let detail = "`split_by` gives rows range by range, and `order` in one order: leave one of them out";
        return Err(Refusal::Fault(key.span().start, detail.into()));
    }
    if postgres {
        return Ok(());
    }
    if let Some(key) = &spec.split_by {
        let detail = "`split_by` is for tables and queries of a PostgreSQL source";
        return Err(Refusal::Fault(key.span().start, detail.into()));
    }
    match &spec.snapshot {
        Some(moment) if *moment.get_ref() == Snapshot::None => {
            let detail =
                "`snapshot = \"none\"` is for tables and queries of a PostgreSQL source: others are read in one go";
            Err(Refusal::Fault(moment.span().start, detail.into()))
        }
        _ => Ok(()),
    }
}

/// What is said of rows that can't be had range by range, where `reason` is what stands in the way.
pub(super) fn other_rows(reason: &str) -> String {
    format!(
        "`split_by` reads it once for each range of the key, and `{reason}` gives other rows each time: leave out one of \
         them, or give a moment as a parameter"
    )
}

/// Who is at fault when a source can't be looked at: the file, where the source is there and does not have what the file
/// says; else the source.
pub(super) fn looked_at_in_vain(at: usize, spec: &DatasetSpec, error: &DatasetError) -> Refusal {
    let (whose, cause) = match error {
        DatasetError::InFile { file, source } => (format!("the file `{file}`"), &**source),
        _ => ("its source".to_owned(), error),
    };
    let place = |name: &str| {
        let named = spec.columns.iter().find(|column| column.get_ref().name == name);
        named.map_or(at, |column| column.span().start)
    };
    match cause {
        DatasetError::NoColumn(column) => {
            let detail = format!("{whose} has no column `{column}`: mend the name, or leave the column out");
            Refusal::Differs(place(column), detail)
        }
        DatasetError::Unsupported { column, dtype } => {
            let detail = format!(
                "column `{column}` of {whose} is of the unsupported type {dtype}: leave the column out, or have it written \
                 as another type"
            );
            Refusal::Differs(place(column), detail)
        }
        _ => Refusal::Away(error.to_string()),
    }
}
