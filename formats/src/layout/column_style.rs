//! Defines the style of the values of one column.

use super::Pattern;

/// The style that a template gives to the values of a column. If an option is None, the default of the file's profile
/// applies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ColumnStyle {
    /// The number of digits after the decimal mark, rounded half away from zero; None keeps the digits of the value.
    pub decimals: Option<u8>,
    /// The character between groups of three digits; None writes the digits without groups.
    pub grouping: Option<char>,
    /// The pattern of dates, timestamps and times of day; None selects the default of the profile.
    pub pattern: Option<Pattern>,
    /// The words for true and for false; None writes `true` and `false`, or a boolean cell in a workbook.
    pub words: Option<(String, String)>,
}
