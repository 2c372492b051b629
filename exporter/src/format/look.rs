//! How the values of one column are written: digits, patterns of dates and times, words for true and false.

use protocol::catalog::ColumnType;

use super::{
    pattern::Pattern,
    style::{Profile, Style},
};

/// What a template says about the values of a column; what it leaves open follows from the profile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ColumnLook {
    /// So many digits after the decimal mark, rounded half away from zero.
    pub decimals: Option<u8>,
    /// This character between groups of three digits.
    pub grouping: Option<char>,
    /// Of dates, moments and times of day.
    pub pattern: Option<Pattern>,
    /// For true and false.
    pub words: Option<(String, String)>,
}

/// How a text format writes the values of a column: all that [`ColumnLook`] and [`Style`] say, decided once.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Look {
    /// As they are.
    Plain,
    /// Text in a spreadsheet.
    Text {
        /// An apostrophe before what looks like a formula.
        guard: bool,
        /// Long digit strings stay text.
        digits: bool,
    },
    /// A number.
    Number(NumberLook),
    /// A date, a moment or a time of day.
    Moment(Pattern),
    /// true and false.
    Words(String, String),
}

/// How numbers are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NumberLook {
    pub(crate) decimals: Option<u8>,
    pub(crate) grouping: Option<char>,
    pub(crate) mark: u8,
    /// Numbers with more digits than a spreadsheet has stay text.
    pub(crate) digits: bool,
}

impl Look {
    /// What becomes of a column of this type.
    pub(crate) fn of(kind: ColumnType, look: &ColumnLook, style: &Style) -> Self {
        match kind {
            ColumnType::String if style.formula_guard || style.digits_as_text => {
                Self::Text { guard: style.formula_guard, digits: style.digits_as_text }
            }
            ColumnType::String => Self::Plain,
            ColumnType::Int | ColumnType::Float | ColumnType::Decimal => {
                let number = NumberLook {
                    decimals: look.decimals,
                    grouping: look.grouping,
                    mark: style.decimal_mark,
                    digits: style.digits_as_text && kind != ColumnType::Float,
                };
                let plain = NumberLook { decimals: None, grouping: None, mark: b'.', digits: false };
                if number == plain { Self::Plain } else { Self::Number(number) }
            }
            ColumnType::Bool => {
                look.words.as_ref().map_or(Self::Plain, |(yes, no)| Self::Words(yes.clone(), no.clone()))
            }
            ColumnType::Date => look.pattern.clone().map_or(Self::Plain, Self::Moment),
            ColumnType::Time => look.pattern.clone().map_or(Self::Plain, Self::Moment),
            ColumnType::Datetime => match (&look.pattern, style.profile, style.time_zone) {
                (Some(pattern), _, zone) => Self::Moment(pattern.clone().in_zone(zone)),
                (None, Profile::Spreadsheet, zone) => Self::Moment(Pattern::spreadsheet().in_zone(zone)),
                (None, Profile::Machine, Some(zone)) => Self::Moment(Pattern::iso().in_zone(Some(zone))),
                (None, Profile::Machine, None) => Self::Plain,
            },
        }
    }
}
