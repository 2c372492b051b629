//! The layout of a file: its columns, their order and styles, and the location of the timestamps.
//!
//! Templates make a [`Layout`]; formats write it.

mod column_style;
mod file_name;
mod pattern;
mod projection;
mod style;

use protocol::catalog::Column;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::{
    column_style::ColumnStyle,
    file_name::{FileName, FileNameError},
    pattern::{Pattern, PatternError},
    projection::Projection,
    style::{LineEnd, Profile, Quoting, Style},
};
pub(crate) use self::{pattern::utc_offset, projection::SortKey};

/// Where a file states when its export was requested and completed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Timestamps {
    /// Around the table: comment lines of CSV and TSV, a separate sheet of a workbook. Other formats state them in the
    /// metadata document only.
    #[default]
    Envelope,
    /// In two key-value rows above the header. The exporter spools all rows first, so the size is bounded.
    Rows,
    /// In two additional columns with the same values in each row. The exporter spools all rows first, so the size is
    /// bounded.
    Columns,
    /// In the metadata document only.
    Sidecar,
}

impl Timestamps {
    /// Whether the completion time precedes the first row, so that the exporter must read all rows before it writes.
    #[must_use]
    pub const fn need_all_rows_first(self) -> bool {
        matches!(self, Self::Rows | Self::Columns)
    }
}

/// The key of the time at which the gateway accepted the export.
pub const REQUESTED_AT: &str = "export_requested_at";
/// The key of the time at which the exporter wrote the last row.
pub const COMPLETED_AT: &str = "export_completed_at";
/// The key of the number of rows.
pub const ROWS: &str = "export_rows";

/// The template of a file and its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateVersion {
    /// The template's name in requests.
    pub name: String,
    /// The version that the template's author gave, or a digest of the template's content.
    pub version: String,
}

/// The columns of a file and how a format writes them.
#[derive(Clone, Debug, PartialEq)]
pub struct Layout {
    /// The columns in the file's order.
    pub columns: Vec<LayoutColumn>,
    /// The location of the timestamps.
    pub timestamps: Timestamps,
    /// How text formats write values, lines and fields.
    pub style: Style,
    /// The projection of the dataset's rows to the columns of the file.
    pub projection: Projection,
    /// The template that made this layout.
    pub template: TemplateVersion,
    /// The name under which a client saves the file.
    pub file_name: FileName,
}

impl Layout {
    /// Lays out these columns unchanged in the `machine` profile, as the template `default` does.
    #[must_use]
    pub fn plain(columns: Vec<LayoutColumn>) -> Self {
        let inputs = columns.iter().map(|column| column.source.name.clone()).collect();
        Self {
            columns,
            timestamps: Timestamps::Envelope,
            style: Style::machine(),
            projection: Projection::identity(inputs),
            template: TemplateVersion { name: "default".into(), version: "1".into() },
            file_name: FileName::default(),
        }
    }

    /// The columns to read from the dataset, in the order in which the pipeline expects them.
    #[must_use]
    pub fn inputs(&self) -> &[String] {
        self.projection.inputs()
    }
}

/// One column of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct LayoutColumn {
    /// The column of the dataset, or a column that the template calculates.
    pub source: Column,
    /// The column's name in the file.
    pub title: String,
    /// How text formats and workbooks write the column's values.
    pub style: ColumnStyle,
}

impl LayoutColumn {
    /// The column under its own name, with unchanged values.
    #[must_use]
    pub fn plain(source: Column) -> Self {
        Self { title: source.name.clone(), source, style: ColumnStyle::default() }
    }
}
