//! Reads the columns of the first file of a dataset, and compares them with the declared columns and the other files.

use std::{fs::File, sync::Arc};

use polars::prelude::{DataType, Schema};
use protocol::catalog::{Column, ColumnType};

use super::{
    super::{DatasetError, DatasetInfo, frame_builder::dtype},
    CsvDialect, FileKind, arrow,
    columns::columns,
    csv,
    location::ListedFile,
    ndjson, parquet,
    type_mapping::TypeMapping,
    widen::Widened,
};

/// Removes from `info` each column that at least one file lacks or has in an incompatible type, and adds a note about
/// it. `is_declared` is true if the catalog file declares the columns.
///
/// # Errors
///
/// When a removed column is declared, or no column remains.
pub(super) fn leave_out_differing(
    info: &mut DatasetInfo,
    widened: &Widened,
    is_declared: bool,
) -> Result<(), DatasetError> {
    let (kept, differing): (Vec<_>, Vec<_>) =
        std::mem::take(&mut info.columns).into_iter().partition(|column| !widened.differing.contains_key(&column.name));
    let mut reasons = differing.iter().filter_map(|column| {
        let reason = widened.differing.get(&column.name)?;
        Some(format!("column `{}`: {reason}", column.name))
    });
    if (is_declared || kept.is_empty())
        && let Some(reason) = reasons.next()
    {
        let detail = "write the column with one type in all files, or declare only the other columns";
        return Err(DatasetError::Undeclared(format!("{reason}: {detail}")));
    }
    info.notes.extend(reasons.map(|reason| format!("{reason}, and so it is not offered")));
    info.columns = kept;
    Ok(())
}

/// The description of the first file of a dataset: its columns, their types and, if the file records it, the number of
/// rows.
pub(super) struct FirstFile {
    pub(super) columns: Vec<Column>,
    pub(super) mapping: TypeMapping,
    /// The number of rows in the first file; None if the file does not record the number.
    pub(super) rows: Option<u64>,
    /// Notes for operators about columns that the dataset does not offer. For NDJSON, notes about declared columns that
    /// no object on the first lines has.
    pub(super) notes: Vec<String>,
}

/// Reads the columns of the first file of a dataset. `declared` must not be empty for a text file, because a text file
/// stores no types. `dataset` is the name of the dataset, for log lines.
pub(super) fn read_schema(
    dataset: &str,
    file: File,
    kind: FileKind,
    declared: &[Column],
) -> Result<FirstFile, DatasetError> {
    let (mapping, rows) = match kind {
        FileKind::Parquet => {
            let file = parquet::Windows::open(file)?;
            (file.mapping().clone(), Some(file.rows()))
        }
        FileKind::Arrow => (arrow::schema(file)?, None),
        FileKind::Csv(dialect) => {
            let same = file.try_clone()?;
            let names = csv::header(file, dialect)?.names;
            if let Some(missing) = declared.iter().find(|column| !names.contains(&column.name)) {
                return Err(DatasetError::MissingColumn(missing.name.clone()));
            }
            let declared = with_zones(declared, |columns| csv::naive(same, dialect, columns))?;
            return Ok(FirstFile::of_text(names, declared, Vec::new()));
        }
        FileKind::Ndjson => {
            let same = file.try_clone()?;
            let names = ndjson::sample(file)?;
            let declared = with_zones(declared, |columns| ndjson::naive(same, columns))?;
            let unseen = declared.iter().filter(|column| !names.contains(&column.name));
            let notes = unseen.map(|column| {
                format!("no object on the first lines has `{}`, which is NULL where it is missing", column.name)
            });
            let notes = notes.collect();
            return Ok(FirstFile::of_text(names, declared, notes));
        }
    };
    let (columns, notes) = columns(dataset, &mapping, declared)?;
    Ok(FirstFile { columns, mapping, rows, notes })
}

/// Checks that the headers of these CSV files have the declared columns. Skips a file that can't be opened or whose
/// header can't be parsed, because an export reports the error.
///
/// # Errors
/// When a file lacks a declared column, or has a header for which `csv::header` returns [`DatasetError::Undeclared`].
pub(super) fn check_headers(
    declared: &[Column],
    files: &[ListedFile],
    dialect: CsvDialect,
) -> Result<(), DatasetError> {
    for ListedFile { name, .. } in files {
        let Ok(file) = File::open(name) else { continue };
        let checked = match csv::header(file, dialect) {
            Ok(header) => declared
                .iter()
                .find(|column| !header.names.contains(&column.name))
                .map_or(Ok(()), |missing| Err(DatasetError::MissingColumn(missing.name.clone()))),
            Err(e @ DatasetError::Undeclared(_)) => Err(e),
            Err(_) => Ok(()),
        };
        checked.map_err(|e| e.in_file(name))?;
    }
    Ok(())
}

/// Returns the declared columns of a text file. Sets [`Column::local`] for each column whose timestamps have no time
/// zone. `naive` receives the names of the timestamp columns that are not declared as local. For each name, `naive`
/// returns whether the first values of the column have no time zone.
fn with_zones(
    declared: &[Column],
    naive: impl FnOnce(&[&str]) -> Result<Vec<bool>, DatasetError>,
) -> Result<Vec<Column>, DatasetError> {
    let mut columns = declared.to_vec();
    let moments = || declared.iter().filter(|column| column.kind == ColumnType::Datetime && !column.local);
    let names: Vec<_> = moments().map(|column| column.name.as_str()).collect();
    let local = naive(&names)?;
    for column in &mut columns {
        if let Some(index) = names.iter().position(|name| *name == column.name) {
            column.local = local[index];
        }
    }
    Ok(columns)
}

impl FirstFile {
    /// Returns the description of a text file. `names` are the names of all columns in the file. The dataset offers the
    /// `declared` columns. The other columns have the type text. `notes` are for operators. The number of rows is
    /// unknown.
    fn of_text(names: Vec<String>, declared: Vec<Column>, notes: Vec<String>) -> Self {
        let mut schema: Schema =
            declared.iter().map(|column| (column.name.as_str().into(), dtype(column.kind))).collect();
        for name in names {
            if !schema.contains(&name) {
                schema.insert(name.into(), DataType::String);
            }
        }
        let mapping = TypeMapping { schema: Arc::new(schema), ..TypeMapping::default() };
        Self { columns: declared, mapping, rows: None, notes }
    }
}
