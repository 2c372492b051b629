//! A template as a team writes it down: the `[[template]]` of a catalog file.

use protocol::catalog::Column;
use serde::{Deserialize, Serialize};

use super::{declared, expr};
use crate::format::{LineEnd, Profile, Quoting, Timestamps};

/// One `[[template]]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TemplateSpec {
    /// The name in requests: letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// For people; the name when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Stands in the metadata of each file; a digest of the template when absent, so that it changes with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The datasets that it is for; when absent, all that have the columns it names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub datasets: Vec<String>,
    /// For whom the files are.
    #[serde(default)]
    pub profile: Profile,
    /// The place of the timestamps; when absent `envelope` for machines and `rows` for spreadsheets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamps: Option<Timestamps>,
    /// An IANA name, such as `Europe/Berlin`: moments are written in its local time. UTC when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// The name of a file without its extension: text with `{dataset}`, `{template}`, `{requested_at}` and
    /// `{requested_at:PATTERN}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_name: Option<String>,
    /// What differs from the profile in CSV and TSV.
    #[serde(default)]
    pub text: TextSpec,
    /// The columns of the file in its order; when absent, all of the dataset.
    #[serde(default, rename = "column", skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<ColumnSpec>,
    /// The order of the rows; that of the dataset when absent. All rows are held in memory for it, within
    /// `exporter.sort_bytes`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sort: Vec<SortSpec>,
}

/// One `[[template.column]]`: `source`, or `name` and `value`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnSpec {
    /// A column of the dataset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The name of a calculated column; of another one, only to sort by it or ask for it under that name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// An expression over the columns of the dataset, such as `round(price * quantity, 2)`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Its name in the file; else the dataset's label, if the profile is `spreadsheet`, or the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Digits after the decimal mark, 0 to 20; rounded half away from zero.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decimals: Option<u8>,
    /// A character between groups of three digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grouping: Option<char>,
    /// Of a date, moment or time of day, such as `dd.MM.yyyy HH:mm`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// For true and false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub words: Option<[String; 2]>,
}

/// The `[template.text]` table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextSpec {
    /// A byte order mark first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bom: Option<bool>,
    /// Between fields of CSV: `,`, `;`, `|` or TAB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<char>,
    /// `.` or `,`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decimal_mark: Option<char>,
    /// Which fields stand in quotes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quoting: Option<Quoting>,
    /// What stands for NULL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub null: Option<String>,
    /// How lines end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line_end: Option<LineEnd>,
    /// Whether long numbers and codes of digits are kept as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digits_as_text: Option<bool>,
    /// Whether text that looks like a formula is made harmless.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub formula_guard: Option<bool>,
}

/// One `[[template.sort]]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SortSpec {
    /// A column of the dataset, or the name of a calculated one.
    pub column: String,
    /// Largest first.
    #[serde(default)]
    pub descending: bool,
}

/// Something wrong in a [`TemplateSpec`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where, as keys and indices from the template on: `column[2].pattern`.
    pub path: String,
    /// What is wrong, and what would be right.
    pub detail: String,
}

impl TemplateSpec {
    /// Checks everything that can be wrong before a row is read, against the columns of one dataset.
    ///
    /// # Errors
    /// All faults.
    pub fn validate(&self, dataset_columns: &[Column]) -> Result<(), Vec<Fault>> {
        declared::resolve(self, dataset_columns, &[]).map(drop)
    }

    /// The columns of a dataset that it names, each once: it is for datasets that have all of them.
    pub(crate) fn named(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for column in &self.columns {
            names.extend(column.source.clone());
            names.extend(column.value.iter().flat_map(|value| expr::named(value)));
        }
        let is_own = |name: &String| {
            self.columns.iter().any(|column| column.name.as_ref() == Some(name) || column.source.as_ref() == Some(name))
        };
        names.extend(self.sort.iter().map(|key| key.column.clone()).filter(|name| !is_own(name)));
        names.sort_unstable();
        names.dedup();
        names
    }
}
