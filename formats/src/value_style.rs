//! Combines the style of a column and the style of its file into one [`ValueStyle`], with which text formats write the
//! values of the column.

use protocol::catalog::{Column, ColumnType};

use crate::layout::{ColumnStyle, Pattern, Profile, Style};

/// The style in which a text format writes the values of a column.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ValueStyle {
    /// Values have the standard text that [`crate::value::text`] writes.
    Plain,
    /// Text that a spreadsheet must neither evaluate nor change.
    Text {
        /// Whether an apostrophe precedes text that a spreadsheet would evaluate as a formula.
        guard: bool,
        /// Whether digits are marked as text, so that a spreadsheet keeps long numbers and leading zeros.
        digits: bool,
    },
    Number(NumberStyle),
    /// A date, a timestamp or a time of day in this pattern.
    Time(Pattern),
    /// The words for true and for false.
    Words(String, String),
}

/// The style in which a text format writes numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NumberStyle {
    /// The number of digits after the decimal mark; None keeps the digits of the value.
    pub(crate) decimals: Option<u8>,
    /// The character between groups of three digits; None writes the digits without groups.
    pub(crate) grouping: Option<char>,
    pub(crate) decimal_mark: u8,
    /// Whether the format writes a number as text if the number has more digits than a spreadsheet keeps.
    pub(crate) digits_as_text: bool,
}

impl ValueStyle {
    /// Combines the style of one column with the style of the file. The file's time zone has no effect on local times,
    /// that is, timestamps without a time zone.
    pub(crate) fn of(source: &Column, column: &ColumnStyle, style: &Style) -> Self {
        let kind = source.kind;
        match kind {
            ColumnType::String if style.formula_guard || style.digits_as_text => {
                Self::Text { guard: style.formula_guard, digits: style.digits_as_text }
            }
            ColumnType::String => Self::Plain,
            ColumnType::Int | ColumnType::Float | ColumnType::Decimal => {
                let number = NumberStyle {
                    decimals: column.decimals,
                    grouping: column.grouping,
                    decimal_mark: style.decimal_mark,
                    digits_as_text: style.digits_as_text && kind != ColumnType::Float,
                };
                let plain = NumberStyle { decimals: None, grouping: None, decimal_mark: b'.', digits_as_text: false };
                if number == plain { Self::Plain } else { Self::Number(number) }
            }
            ColumnType::Bool => {
                column.words.as_ref().map_or(Self::Plain, |(yes, no)| Self::Words(yes.clone(), no.clone()))
            }
            ColumnType::Date | ColumnType::Time => column.pattern.clone().map_or(Self::Plain, Self::Time),
            ColumnType::Datetime => match (&column.pattern, style.profile, style.time_zone.filter(|_| !source.local)) {
                (Some(pattern), _, zone) => Self::Time(pattern.clone().in_time_zone(zone)),
                (None, Profile::Spreadsheet, zone) => Self::Time(Pattern::spreadsheet().in_time_zone(zone)),
                (None, Profile::Machine, Some(zone)) => Self::Time(Pattern::iso().in_time_zone(Some(zone))),
                (None, Profile::Machine, None) => Self::Plain,
            },
        }
    }
}
