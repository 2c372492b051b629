//! The template that every dataset has.

use super::{FileName, Shape, Template, TemplateError, chosen};
use crate::{
    dataset::Dataset,
    format::{Layout, MadeBy, Style, Timestamps},
};

/// All columns, or those asked for, under their own names, with the timestamps in comment lines.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plain;

impl Template for Plain {
    fn name(&self) -> &str {
        "default"
    }

    fn title(&self) -> &str {
        "All columns as they are"
    }

    fn layout(&self, dataset: &dyn Dataset, wanted: &[String]) -> Result<Layout, TemplateError> {
        Ok(Layout::plain(chosen(dataset, wanted)?))
    }
}

/// The same for people with a spreadsheet: labels, local forms, the timestamps in two rows at the top.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spreadsheet;

impl Template for Spreadsheet {
    fn name(&self) -> &str {
        "spreadsheet"
    }

    fn title(&self) -> &str {
        "For Excel, LibreOffice and other spreadsheets"
    }

    fn layout(&self, dataset: &dyn Dataset, wanted: &[String]) -> Result<Layout, TemplateError> {
        let mut columns = chosen(dataset, wanted)?;
        for column in &mut columns {
            if let Some(label) = &column.source.label {
                column.title.clone_from(label);
            }
        }
        let inputs = columns.iter().map(|column| column.source.name.clone()).collect();
        Ok(Layout {
            columns,
            timestamps: Timestamps::Rows,
            style: Style::spreadsheet(),
            shape: Shape::untouched(inputs),
            made_by: MadeBy { template: self.name().into(), version: self.version().into() },
            file_name: FileName::default(),
        })
    }
}
