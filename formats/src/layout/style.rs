//! Defines the style of text formats. There are two profiles with default options, which a template may change.

use chrono_tz::Tz;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The kind of software that will read a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// For programs. A program can parse every value back exactly.
    #[default]
    Machine,
    /// For Excel and LibreOffice. Values are written so that a spreadsheet does not evaluate text as a formula and
    /// keeps all digits.
    Spreadsheet,
}

/// The rule that decides which fields are quoted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Quoting {
    /// Only fields that need quotes, and the empty string.
    #[default]
    Minimal,
    /// All fields of text columns, except NULL.
    Text,
    /// All fields of all columns, except NULL.
    All,
}

/// The line terminator of text formats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LineEnd {
    /// A line feed, `\n`, the default.
    #[default]
    Lf,
    /// Carriage return and line feed, `\r\n`.
    Crlf,
}

impl LineEnd {
    /// Returns the bytes of the terminator.
    #[must_use]
    pub const fn bytes(self) -> &'static [u8] {
        match self {
            Self::Lf => b"\n",
            Self::Crlf => b"\r\n",
        }
    }
}

/// The options of a whole file, which decide how text formats write fields, lines and values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Style {
    /// The profile whose defaults apply to all options that the template does not set.
    pub profile: Profile,
    /// Whether the file begins with a byte order mark, from which Excel detects UTF-8.
    pub bom: bool,
    /// The ASCII byte between the fields of CSV; None selects `,`. TSV always uses TAB.
    pub delimiter: Option<u8>,
    /// The decimal mark, `.` or `,`.
    pub decimal_mark: u8,
    /// The rule that decides which fields are quoted.
    pub quoting: Quoting,
    /// Whether all titles in the header are quoted. If false, the rule `quoting` decides. No effect if `formula_guard`
    /// is true.
    pub quoted_titles: bool,
    /// The text for NULL, which is never quoted.
    pub null: String,
    /// The line terminator of the file.
    pub line_end: LineEnd,
    /// Whether text formats mark long numbers and digits with leading zeros as text for a spreadsheet. Without the
    /// mark, a spreadsheet rounds numbers of more than 15 digits and drops leading zeros.
    pub digits_as_text: bool,
    /// Whether an apostrophe precedes text that a spreadsheet would evaluate as a formula. Values of number columns,
    /// such as `-5`, get no apostrophe.
    pub formula_guard: bool,
    /// The time zone in which timestamps are written; None selects UTC.
    pub time_zone: Option<Tz>,
}

impl Style {
    /// Returns the default style of the profile `machine`.
    #[must_use]
    pub const fn machine() -> Self {
        Self {
            profile: Profile::Machine,
            bom: false,
            delimiter: None,
            decimal_mark: b'.',
            quoting: Quoting::Minimal,
            quoted_titles: false,
            null: String::new(),
            line_end: LineEnd::Lf,
            digits_as_text: false,
            formula_guard: false,
            time_zone: None,
        }
    }

    /// Returns the default style of the profile `spreadsheet`.
    #[must_use]
    pub fn spreadsheet() -> Self {
        Self {
            profile: Profile::Spreadsheet,
            bom: true,
            line_end: LineEnd::Crlf,
            digits_as_text: true,
            formula_guard: true,
            ..Self::machine()
        }
    }

    /// Returns the default style of a profile.
    #[must_use]
    pub fn of(profile: Profile) -> Self {
        match profile {
            Profile::Machine => Self::machine(),
            Profile::Spreadsheet => Self::spreadsheet(),
        }
    }
}
