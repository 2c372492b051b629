//! The shape of a file, as its template made it.

use protocol::catalog::Column;
use serde::{Deserialize, Serialize};

use super::{look::ColumnLook, style::Style};
use crate::template::{FileName, Shape};

/// Where the two timestamps of an export stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Timestamps {
    /// Around the table: in comment lines of CSV and TSV, on a sheet of its own in a workbook. Formats that have no
    /// such place keep them in the metadata.
    #[default]
    Envelope,
    /// In two key-value rows above the header. The whole table is made first, so that its size is bounded.
    Rows,
    /// In two more columns, the same values in each row. The whole table is made first, so that its size is bounded.
    Columns,
    /// Only in the metadata document.
    Sidecar,
}

impl Timestamps {
    /// Whether the time of completion stands before the first row, so that all rows have to be read before.
    #[must_use]
    pub const fn need_all_rows_first(self) -> bool {
        matches!(self, Self::Rows | Self::Columns)
    }
}

/// The key of the time at which an export was asked for.
pub const REQUESTED_AT: &str = "export_requested_at";
/// The key of the time at which its last row was made.
pub const COMPLETED_AT: &str = "export_completed_at";
/// The key of the number of rows.
pub const ROWS: &str = "export_rows";

/// Which template made a file, and in which version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MadeBy {
    /// The template's name.
    pub template: String,
    /// The version that its author gave it, or a digest of its content.
    pub version: String,
}

/// The shape of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Layout {
    /// The columns in the file's order.
    pub columns: Vec<LayoutColumn>,
    /// The place of the timestamps.
    pub timestamps: Timestamps,
    /// How text formats write values, lines and fields.
    pub style: Style,
    /// What rows of the dataset become before they are written.
    pub shape: Shape,
    /// What made it.
    pub made_by: MadeBy,
    /// The name to save it under.
    pub file_name: FileName,
}

impl Layout {
    /// Columns as they are, for machines.
    #[must_use]
    pub fn plain(columns: Vec<LayoutColumn>) -> Self {
        let inputs = columns.iter().map(|column| column.source.name.clone()).collect();
        Self {
            columns,
            timestamps: Timestamps::Envelope,
            style: Style::machine(),
            shape: Shape::untouched(inputs),
            made_by: MadeBy { template: "default".into(), version: "1".into() },
            file_name: FileName::default(),
        }
    }

    /// The columns to read from the dataset, in the order in which the rows come to the pipeline.
    #[must_use]
    pub fn inputs(&self) -> &[String] {
        self.shape.inputs()
    }
}

/// One column of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct LayoutColumn {
    /// What is in it: the dataset's column, or one of the template's making.
    pub source: Column,
    /// Its name in the file.
    pub title: String,
    /// How its values are written, where the format is text or a workbook.
    pub look: ColumnLook,
}

impl LayoutColumn {
    /// The column under its own name, with its values as they are.
    #[must_use]
    pub fn plain(source: Column) -> Self {
        Self { title: source.name.clone(), source, look: ColumnLook::default() }
    }
}
