//! The style of the values of one column.

use super::Pattern;

/// The style that a template gives to the values of a column. A field that is None keeps the standard text of the
/// profile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ColumnStyle {
    /// The number of digits after the decimal mark; values are rounded half away from zero.
    pub decimals: Option<u8>,
    /// The character between groups of three digits.
    pub grouping: Option<char>,
    /// The pattern of dates, timestamps and times of day.
    pub pattern: Option<Pattern>,
    /// The words that stand for true and for false.
    pub words: Option<(String, String)>,
}
