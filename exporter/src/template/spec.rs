//! The `[[template]]` tables of a catalog file.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::expr;
use crate::layout::{LineEnd, Profile, Quoting, Timestamps};

/// The description of a template: one `[[template]]` of a catalog file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TemplateSpec {
    /// The name that requests use: letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// The title that users see; the name of the template when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The version that the metadata of each file records; when absent, a digest of this description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The datasets that offer the template; when absent, all datasets that have the columns of the template.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub datasets: Vec<String>,
    /// The profile of the files: `machine`, the default, or `spreadsheet`.
    #[serde(default)]
    pub profile: Profile,
    /// Where the file states the request and completion times; when absent, `envelope` in the profile `machine` and
    /// `rows` in `spreadsheet`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamps: Option<Timestamps>,
    /// The IANA time zone, such as `Europe/Berlin`, in which timestamps are written; UTC when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// The name of a file without its extension, with the placeholders `{dataset}`, `{template}`, `{id}`,
    /// `{requested_at}` and `{requested_at:PATTERN}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_name: Option<String>,
    /// The options of CSV and TSV that differ from the profile.
    #[serde(default)]
    pub text: TextSpec,
    /// The columns of the file, in their order; when absent, all columns of the dataset.
    #[serde(default, rename = "column", skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<ColumnSpec>,
    /// The order of the rows; when absent, the order of the dataset. The exporter sorts all rows in memory, within
    /// `exporter.max_sort_size_per_export`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sort: Vec<SortSpec>,
}

/// One `[[template.column]]`: a column of the dataset (`source`) or a calculated column (`name` and `value`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TemplateColumnSpec")]
pub struct ColumnSpec {
    /// The name of the dataset's column. A column has either a `source` or a `value`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The name of the column in requests and sort keys; required for a calculated column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The expression of a calculated column, such as `round(price * quantity, 2)`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The title of the column in the file. By default it is `name`, or the name of the dataset's column if there is no
    /// `name`. In the profile `spreadsheet` it is the label of the dataset's column, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The number of digits after the decimal mark, 0 to 20; values are rounded half away from zero.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decimals: Option<u8>,
    /// The character between groups of three digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grouping: Option<char>,
    /// The pattern of dates, timestamps or times of day, such as `dd.MM.yyyy HH:mm`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// The two words that are written for true and for false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub words: Option<[String; 2]>,
}

/// The table `[template.text]`: options of CSV and TSV that replace those of the profile.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TemplateTextSpec")]
pub struct TextSpec {
    /// Whether the file begins with a byte order mark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bom: Option<bool>,
    /// The delimiter of CSV: `,`, `;`, `|` or TAB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<char>,
    /// The decimal mark, `.` or `,`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decimal_mark: Option<char>,
    /// The rule that decides which fields are quoted: `minimal`, `text` or `all`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quoting: Option<Quoting>,
    /// The text for NULL, never quoted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub null: Option<String>,
    /// The line terminator, `lf` or `crlf`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line_end: Option<LineEnd>,
    /// Whether long numbers and digits with leading zeros are marked as text for a spreadsheet. Without the mark, a
    /// spreadsheet rounds numbers of more than 15 digits and drops leading zeros.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digits_as_text: Option<bool>,
    /// Whether an apostrophe precedes text that a spreadsheet would evaluate as a formula.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub formula_guard: Option<bool>,
}

/// One key of the row order, `[[template.sort]]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TemplateSortSpec")]
pub struct SortSpec {
    /// The name of a column of the dataset or of the template.
    pub column: String,
    /// Whether the largest value comes first.
    #[serde(default)]
    pub descending: bool,
}

/// One fault of a [`TemplateSpec`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The path of the faulty option in the template, such as `column[2].pattern`. Indices count from 0.
    pub path: String,
    /// The text of the fault, with a hint for its correction.
    pub detail: String,
}

impl TemplateSpec {
    /// Returns the names of the columns that a dataset must have for this template, sorted and without duplicates.
    pub(crate) fn dataset_columns(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for column in &self.columns {
            names.extend(column.source.clone());
            names.extend(column.value.iter().flat_map(|value| expr::referenced_columns(value)));
        }
        let is_template_column = |name: &String| {
            self.columns.iter().any(|column| column.name.as_ref() == Some(name) || column.source.as_ref() == Some(name))
        };
        names.extend(self.sort.iter().map(|key| key.column.clone()).filter(|name| !is_template_column(name)));
        names.sort_unstable();
        names.dedup();
        names
    }
}
