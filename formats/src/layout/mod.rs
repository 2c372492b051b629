//! The layout of a file, which decides its columns, their order and styles, and where the file states the times of its
//! export.
//!
//! A template creates a [`Layout`], and a format writes the file in this layout.

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
    projection::{Failure, Projection},
    style::{LineEnd, Profile, Quoting, Style},
};
pub use self::{pattern::utc_offset, projection::SortKey};

/// Where a file states the times at which its export was requested and completed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Timestamps {
    /// Outside the table, either in comment lines of CSV and TSV, or on a separate sheet of a workbook. Other formats
    /// have no such place, so only the metadata document states the times.
    #[default]
    Envelope,
    /// In two rows above the header of a text file, each with a key and a time, or on a separate sheet of a workbook.
    /// The exporter spools all rows first, because the completion time is known only after the last row.
    Rows,
    /// In two additional columns, which have the same two times in each row. The exporter spools all rows first, as for
    /// `Rows`.
    Columns,
    /// In the metadata document, and not in the table of the file.
    Sidecar,
}

impl Timestamps {
    /// Whether the file states the completion time before or within its rows. If true, the exporter must spool all rows
    /// before it writes the file.
    #[must_use]
    pub const fn need_all_rows_first(self) -> bool {
        matches!(self, Self::Rows | Self::Columns)
    }
}

/// The key or column title for the time of the request, at which the gateway accepted the export.
pub const REQUESTED_AT: &str = "export_requested_at";
/// The key or column title for the completion time, at which the exporter finished encoding or spooling the rows.
pub const COMPLETED_AT: &str = "export_completed_at";
/// The key under which a file states its number of data rows.
pub const ROWS: &str = "export_rows";

/// The name and the version of the template that created a layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateVersion {
    /// The name of the template in requests.
    pub name: String,
    /// The version that the template's author has set, or a digest of the template's description.
    pub version: String,
}

/// The columns of a file, their order, and the style in which a format writes the values.
#[derive(Clone, Debug, PartialEq)]
pub struct Layout {
    /// The columns of the file, in their order.
    pub columns: Vec<LayoutColumn>,
    /// The place where the file states the times at which its export was requested and completed.
    pub timestamps: Timestamps,
    /// The options that apply to the whole file, such as the profile, the delimiter and the time zone.
    pub style: Style,
    /// The calculation of the file's columns from the columns of the dataset, and the order of the rows.
    pub projection: Projection,
    /// The template that created this layout.
    pub template: TemplateVersion,
    /// The pattern of the name under which a client saves the file.
    pub file_name: FileName,
}

impl Layout {
    /// Creates the layout of the template `default`. The file has these columns with their values unchanged, in the
    /// `machine` profile.
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

    /// Returns the names of the dataset's columns to read, in the order that the projection expects.
    #[must_use]
    pub fn inputs(&self) -> &[String] {
        self.projection.inputs()
    }

    /// Returns for each column whether its timestamps are local times, that is, without a time zone.
    pub fn local(&self) -> Vec<bool> {
        self.columns.iter().map(|column| column.source.local).collect()
    }
}

/// One column of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct LayoutColumn {
    /// The column of the dataset, or a column that the template calculates.
    pub source: Column,
    /// The column's title in the file.
    pub title: String,
    /// The style in which text formats and workbooks write the column's values.
    pub style: ColumnStyle,
}

impl LayoutColumn {
    /// Creates a column that has the name and the values of `source`.
    #[must_use]
    pub fn plain(source: Column) -> Self {
        Self { title: source.name.clone(), source, style: ColumnStyle::default() }
    }
}
