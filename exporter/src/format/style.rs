//! How text formats write fields, lines and values: the two profiles, and what a template may change of them.

use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

/// For whom a file is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Programs: nothing is changed, and every value reads back exactly.
    #[default]
    Machine,
    /// People who open the file in Excel or LibreOffice: nothing is mistaken for a formula, no digit is lost.
    Spreadsheet,
}

/// Which fields stand in quotes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Quoting {
    /// Those that need it, and the empty string.
    #[default]
    Minimal,
    /// All text.
    Text,
    /// All fields that are not NULL.
    All,
}

/// How lines end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LineEnd {
    /// `\n`.
    #[default]
    Lf,
    /// `\r\n`.
    Crlf,
}

impl LineEnd {
    /// The bytes.
    #[must_use]
    pub const fn bytes(self) -> &'static [u8] {
        match self {
            Self::Lf => b"\n",
            Self::Crlf => b"\r\n",
        }
    }
}

/// How text formats write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Style {
    /// The profile it began as.
    pub profile: Profile,
    /// A byte order mark first, by which Excel knows UTF-8.
    pub bom: bool,
    /// Between fields: an ASCII byte. None: the format's own, `,` for CSV and TAB for TSV.
    pub delimiter: Option<u8>,
    /// `.` or `,`.
    pub decimal_mark: u8,
    /// Which fields stand in quotes.
    pub quoting: Quoting,
    /// What stands for NULL, never in quotes.
    pub null: String,
    /// How lines end.
    pub line_end: LineEnd,
    /// Numbers of more than 15 digits, and text of such digits, are kept as text: a spreadsheet has no more digits.
    pub digits_as_text: bool,
    /// Text that a spreadsheet would take for a formula begins with an apostrophe. Numbers are never touched.
    pub formula_guard: bool,
    /// Moments are written in this zone; None: in UTC.
    pub time_zone: Option<Tz>,
}

impl Style {
    /// The profile for programs.
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

    /// The profile for people with a spreadsheet.
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

    /// A profile as it is.
    #[must_use]
    pub fn of(profile: Profile) -> Self {
        match profile {
            Profile::Machine => Self::machine(),
            Profile::Spreadsheet => Self::spreadsheet(),
        }
    }
}
