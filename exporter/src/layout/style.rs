//! How text formats write fields, lines and values: the two profiles, and what a template may change in them.

use chrono_tz::Tz;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The kind of reader that a file is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Programs: every value reads back exactly.
    #[default]
    Machine,
    /// Excel and LibreOffice: they read no text as a formula and drop no digit.
    Spreadsheet,
}

/// Which fields are quoted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Quoting {
    /// Fields that need quotes, and the empty string.
    #[default]
    Minimal,
    /// All fields of text columns.
    Text,
    /// All fields except NULL.
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

/// How text formats write fields, lines and values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Style {
    /// The profile from which the template started.
    pub profile: Profile,
    /// Whether the file begins with a byte order mark, from which Excel detects UTF-8.
    pub bom: bool,
    /// The ASCII byte between fields. None selects the format's own: `,` for CSV, TAB for TSV.
    pub delimiter: Option<u8>,
    /// The decimal mark, `.` or `,`.
    pub decimal_mark: u8,
    /// Which fields are quoted.
    pub quoting: Quoting,
    /// The text for NULL, which is never quoted.
    pub null: String,
    /// The line terminator of the file.
    pub line_end: LineEnd,
    /// Whether numbers of more than 15 digits, and text of such digits, are kept as text: a spreadsheet keeps 15
    /// digits.
    pub digits_as_text: bool,
    /// Whether text that a spreadsheet would read as a formula begins with an apostrophe. Numbers never change.
    pub formula_guard: bool,
    /// The time zone in which timestamps are written; None selects UTC.
    pub time_zone: Option<Tz>,
}

impl Style {
    /// The style of the profile for programs.
    #[must_use]
    pub const fn machine() -> Self {
        Self {
            profile: Profile::Machine,
            bom: false,
            delimiter: None,
            decimal_mark: b'.',
            quoting: Quoting::Minimal,
            null: String::new(),
            line_end: LineEnd::Lf,
            digits_as_text: false,
            formula_guard: false,
            time_zone: None,
        }
    }

    /// The style of the profile for spreadsheets.
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

    /// The unchanged style of a profile.
    #[must_use]
    pub fn of(profile: Profile) -> Self {
        match profile {
            Profile::Machine => Self::machine(),
            Profile::Spreadsheet => Self::spreadsheet(),
        }
    }
}
