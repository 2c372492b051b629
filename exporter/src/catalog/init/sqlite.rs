//! Finds the tables and views of a SQLite file, and drafts a dataset for each.

use std::sync::Arc;

use protocol::catalog::{Column, ColumnType};

use super::{
    InitError, InitOptions,
    draft::{Draft, DraftColumn, DraftRows, Found, NotOffered},
    names::humanized,
    sample::{SampleError, sample},
};
use crate::dataset::{
    DatasetError, DatasetInfo, SqlRows,
    sql::{Source, SqliteFile, SqliteTable, named_table, sqlite_tables, table_columns},
};

/// Returns the drafts of datasets for the tables and views that the options select.
///
/// # Errors
/// When the file can't be read.
pub(super) async fn find(file: &Arc<SqliteFile>, options: &InitOptions) -> Result<Found, InitError> {
    let db = file.connection().await.map_err(InitError::Dataset)?;
    let mut found = Found::default();
    for table in sqlite_tables(&db).await.map_err(InitError::Dataset)? {
        if !options.selects(&[&table.name]) {
            continue;
        }
        match draft(file, &table).await {
            Ok(draft) => found.drafts.push(draft),
            Err(e) => found.not_offered.push(NotOffered::new(subject(&table), e.user_message())),
        }
    }
    Ok(found)
}

fn subject(table: &SqliteTable) -> String {
    format!("{} `{}`", if table.is_view { "view" } else { "table" }, table.name)
}

async fn draft(file: &Arc<SqliteFile>, table: &SqliteTable) -> Result<Draft, DatasetError> {
    let db = file.connection().await?;
    let source = named_table(&db, Source::table(&table.name)).await?;
    let mut columns = table_columns(&db, &source).await?;
    let mut draft = Draft {
        names: vec![table.name.clone()],
        subject: subject(table),
        title: humanized(&table.name),
        description: None,
        rows: DraftRows::Table(table.name.clone()),
        remarks: Vec::new(),
        columns: columns.iter().map(DraftColumn::of).collect(),
        split_by: None,
    };
    // each failed sample turns one more column into text
    loop {
        let rows = SqlRows::new(Arc::clone(file), source.clone(), DatasetInfo::new("sample", columns.clone()));
        match sample(&rows).await {
            Ok(values) => draft.guess(&values),
            Err(SampleError::Slow) => draft.guess_by_names(),
            Err(SampleError::Failed(DatasetError::Stored { column, .. })) if as_text(&mut columns, &column) => {
                declare_as_text(&mut draft, &column);
                continue;
            }
            Err(SampleError::Failed(e)) => return Err(e),
        }
        return Ok(draft);
    }
}

fn declare_as_text(draft: &mut Draft, name: &str) {
    if let Some(column) = draft.columns.iter_mut().find(|column| column.name == name) {
        column.kind = ColumnType::String;
        column.declares_type = true;
        column.remark = Some(
            "A sampled row has a value that the declared type can't hold: as text, every value is exported.".into(),
        );
    }
}

/// Changes the type of the column `name` to text. Returns false if the type is text already.
fn as_text(columns: &mut [Column], name: &str) -> bool {
    match columns.iter_mut().find(|column| column.name == name && column.kind != ColumnType::String) {
        Some(column) => {
            *column = column.clone().typed(ColumnType::String, false);
            true
        }
        None => false,
    }
}
