//! The built-in templates `default`, `plain` and `spreadsheet`, which fit every dataset.

use std::sync::LazyLock;

use protocol::catalog::Column;

use super::{Template, TemplateDescription, TemplateError};
use crate::{
    dataset::DatasetInfo,
    layout::{Layout, LayoutColumn, Style, TemplateVersion, Timestamps},
};

/// The template `default`. The file has the requested columns, or all columns, with their names as titles. CSV and TSV
/// state the request and completion times in comment lines, and a workbook states them on a separate sheet. For other
/// formats, only the metadata document states these times.
#[derive(Clone, Copy, Debug, Default)]
pub struct Enveloped;

impl Template for Enveloped {
    fn info(&self) -> &TemplateDescription {
        static INFO: LazyLock<TemplateDescription> =
            LazyLock::new(|| description("default", "All columns as they are"));
        &INFO
    }

    fn layout(&self, dataset: &DatasetInfo, requested: &[String]) -> Result<Layout, TemplateError> {
        Ok(Layout::plain(requested_columns(&dataset.columns, requested)?))
    }
}

/// The template `plain`. The file has the same columns as with the template `default`, but only the table, so most CSV
/// loaders read it without options. Titles are quoted, so that no loader mistakes the header for a comment. The
/// metadata document states the request and completion times of the export.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plain;

impl Template for Plain {
    fn info(&self) -> &TemplateDescription {
        static INFO: LazyLock<TemplateDescription> =
            LazyLock::new(|| description("plain", "For programs: the table alone"));
        &INFO
    }

    fn layout(&self, dataset: &DatasetInfo, requested: &[String]) -> Result<Layout, TemplateError> {
        let info = self.info();
        Ok(Layout {
            timestamps: Timestamps::Sidecar,
            style: Style { quoted_titles: true, ..Style::machine() },
            template: TemplateVersion { name: info.name.clone(), version: info.version.clone() },
            ..Layout::plain(requested_columns(&dataset.columns, requested)?)
        })
    }
}

/// The template `spreadsheet`. The file has the requested columns, or all columns. The title of a column is its label,
/// or its name if it has no label. Values have the style of [`Style::spreadsheet`]. The request and completion times
/// are on a separate sheet of a workbook, and in two rows above the header of a CSV or TSV file.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spreadsheet;

impl Template for Spreadsheet {
    fn info(&self) -> &TemplateDescription {
        static INFO: LazyLock<TemplateDescription> =
            LazyLock::new(|| description("spreadsheet", "For Excel, LibreOffice and other spreadsheets"));
        &INFO
    }

    fn layout(&self, dataset: &DatasetInfo, requested: &[String]) -> Result<Layout, TemplateError> {
        let mut columns = requested_columns(&dataset.columns, requested)?;
        for column in &mut columns {
            if let Some(label) = &column.source.label {
                column.title.clone_from(label);
            }
        }
        let info = self.info();
        Ok(Layout {
            timestamps: Timestamps::Rows,
            style: Style::spreadsheet(),
            template: TemplateVersion { name: info.name.clone(), version: info.version.clone() },
            ..Layout::plain(columns)
        })
    }
}

fn description(name: &str, title: &str) -> TemplateDescription {
    TemplateDescription { name: name.into(), title: title.into(), version: "1".into() }
}

/// Returns the requested columns in the order of `requested`. If `requested` is empty, returns all columns of the
/// dataset.
fn requested_columns(columns: &[Column], requested: &[String]) -> Result<Vec<LayoutColumn>, TemplateError> {
    if requested.is_empty() {
        return Ok(columns.iter().cloned().map(LayoutColumn::plain).collect());
    }
    let mut chosen: Vec<LayoutColumn> = Vec::with_capacity(requested.len());
    for name in requested {
        let column = columns.iter().find(|column| column.name == *name);
        let column = column.ok_or_else(|| TemplateError::NoColumn(name.clone()))?;
        if chosen.iter().any(|earlier| earlier.source.name == *name) {
            return Err(TemplateError::Twice(name.clone()));
        }
        chosen.push(LayoutColumn::plain(column.clone()));
    }
    Ok(chosen)
}
