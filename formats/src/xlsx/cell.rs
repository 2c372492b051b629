//! Writes the cells of a workbook.

use std::borrow::Cow;

use chrono_tz::Tz;
use protocol::catalog::ColumnType;
use rust_xlsxwriter::{Format, Worksheet, XlsxError};

use crate::{
    layout::{LayoutColumn, Pattern, Style, utc_offset},
    number::SPREADSHEET_DIGITS,
    physical::{Cell, Cells},
};

/// The serial number of 1970-01-01. A workbook stores a date as the number of days since 1899-12-30.
const EPOCH: i64 = 25_569;
/// The serial number of 1900-03-01, the first supported date. Earlier serial numbers are ambiguous, because Excel
/// counts the day 1900-02-29, which did not exist.
const FIRST_DAY: i64 = 61;
/// The serial number of 9999-12-31, the last date of a workbook.
const LAST_DAY: i64 = 2_958_465;
const SECONDS_PER_DAY: i64 = 86_400;
const NANOS_PER_MILLI: i64 = 1_000_000;
/// The estimated size on disk of a cell without its text, in bytes.
const CELL_BYTES: u64 = 32;

/// The value of one column in one row: its text and, if a number cell can hold it exactly, its number.
struct Value<'a> {
    /// The standard text of the value.
    text: Cow<'a, str>,
    /// The number with which a workbook represents the value exactly. None if there is no such number.
    number: Option<f64>,
}

/// Writes a cell without a value at the beginning of a row. The cell has the format of text, because the workbook
/// library omits a cell that has neither a value nor a format. Returns the estimated size of the cell on disk, in
/// bytes.
pub(super) fn write_empty(sheet: &mut Worksheet, row: u32) -> Result<u64, XlsxError> {
    sheet.write_blank(row, 0, &Format::new().set_num_format("@"))?;
    Ok(CELL_BYTES)
}

/// Writes a text into the cell at the row and column `at`. Returns the estimated size of the cell on disk, in bytes. The
/// size is 0 for an empty text, for which the workbook library writes no cell.
fn write_text(sheet: &mut Worksheet, at: (u32, u16), text: &str) -> Result<u64, XlsxError> {
    if text.is_empty() {
        return Ok(0);
    }
    sheet.write_string(at.0, at.1, text)?;
    Ok(CELL_BYTES + text.len() as u64)
}

/// The form in which a workbook writes the values of one column: the type, the cell format, the words for true and
/// false, and the time zone of timestamps.
pub(super) struct Column {
    kind: ColumnType,
    format: Format,
    words: Option<(String, String)>,
    time_zone: Option<Tz>,
}

impl Column {
    pub(super) fn new(column: &LayoutColumn, style: &Style) -> Self {
        let column_style = &column.style;
        let kind = column.source.kind;
        let code = match kind {
            ColumnType::Int | ColumnType::Float | ColumnType::Decimal => {
                let whole = if column_style.grouping.is_some() { "#,##0" } else { "0" };
                match column_style.decimals {
                    Some(0) => Some(whole.to_owned()),
                    Some(digits) => Some(format!("{whole}.{}", "0".repeat(usize::from(digits)))),
                    None => column_style.grouping.is_some().then(|| "#,##0.##########".to_owned()),
                }
            }
            ColumnType::Date => Some(column_style.pattern.as_ref().map_or("yyyy-mm-dd".into(), Pattern::number_format)),
            ColumnType::Time => Some(column_style.pattern.as_ref().map_or("hh:mm:ss".into(), Pattern::number_format)),
            ColumnType::Datetime => {
                Some(column_style.pattern.as_ref().map_or("yyyy-mm-dd hh:mm:ss".into(), Pattern::number_format))
            }
            ColumnType::String | ColumnType::Bool => None,
        };
        let format = code.map_or_else(Format::new, |code| Format::new().set_num_format(code));
        Self {
            kind,
            format,
            words: column_style.words.clone(),
            time_zone: style.time_zone.filter(|_| !column.source.local),
        }
    }

    /// Returns the width of the column on screen, in characters.
    pub(super) const fn width(&self) -> f64 {
        match self.kind {
            ColumnType::Datetime => 20.0,
            ColumnType::String => 24.0,
            _ => 13.0,
        }
    }

    /// Whether the value in `row` forces all cells of the column to be text. True if the column has numbers, dates or
    /// times, and a number cell can't hold this value exactly.
    pub(super) fn needs_text(&self, cells: &Cells<'_>, row: usize, scratch: &mut Vec<u8>) -> bool {
        !matches!(self.kind, ColumnType::String | ColumnType::Bool)
            && self.value(cells, row, scratch).is_some_and(|value| value.number.is_none())
    }

    /// Writes the value in `row` into the cell at the row and column `at`. If `is_text` is true, a number, date or time
    /// is written as text. Returns the estimated size of the cell on disk, in bytes.
    pub(super) fn write(
        &self,
        sheet: &mut Worksheet,
        at: (u32, u16),
        cells: &Cells<'_>,
        row: usize,
        is_text: bool,
        scratch: &mut Vec<u8>,
    ) -> Result<u64, XlsxError> {
        let Some(Value { text, number }) = self.value(cells, row, scratch) else { return Ok(0) };
        match (self.kind, &self.words, number) {
            (ColumnType::Bool, Some((yes, no)), _) => {
                return write_text(sheet, at, if text == "true" { yes } else { no });
            }
            (ColumnType::Bool, None, _) => sheet.write_boolean(at.0, at.1, text == "true")?,
            (_, _, Some(number)) if !is_text => sheet.write_number_with_format(at.0, at.1, number, &self.format)?,
            _ => return write_text(sheet, at, &text),
        };
        Ok(CELL_BYTES)
    }

    /// Returns the value of a row. Returns None for NULL.
    fn value<'a>(&self, cells: &Cells<'a>, row: usize, scratch: &'a mut Vec<u8>) -> Option<Value<'a>> {
        scratch.clear();
        let text = match cells.write(row, scratch) {
            Cell::Null => return None,
            Cell::Text(text) => text.into(),
            Cell::Plain(_) => String::from_utf8_lossy(scratch),
        };
        let number = match self.kind {
            ColumnType::Float => cells.float(row),
            // decimals with more digits than polars supports are text in the frame
            ColumnType::Int | ColumnType::Decimal => exact_number(&text),
            ColumnType::Date | ColumnType::Datetime | ColumnType::Time => self.serial_number(cells.seconds(row)),
            ColumnType::String | ColumnType::Bool => None,
        };
        Some(Value { text, number })
    }

    /// Converts a date, timestamp or time of day to the serial number of a workbook, in days. `seconds` is the result
    /// of [`Cells::seconds`]. Returns None if `seconds` is None, if a workbook does not support the date, or if the
    /// value has a fraction of a millisecond, because spreadsheets keep only whole milliseconds.
    fn serial_number(&self, seconds: Option<(i64, i64)>) -> Option<f64> {
        let (seconds, nanos) = seconds?;
        if nanos % NANOS_PER_MILLI != 0 {
            return None;
        }
        if self.kind == ColumnType::Time {
            return Some((seconds as f64 + millis(nanos)) / SECONDS_PER_DAY as f64);
        }
        let offset = match (self.kind, self.time_zone) {
            (ColumnType::Datetime, Some(zone)) => utc_offset(zone, seconds),
            _ => 0,
        };
        let local = seconds + offset;
        let day = local.div_euclid(SECONDS_PER_DAY) + EPOCH;
        let of_day = local.rem_euclid(SECONDS_PER_DAY) as f64 + millis(nanos);
        (FIRST_DAY..=LAST_DAY).contains(&day).then(|| day as f64 + of_day / SECONDS_PER_DAY as f64)
    }
}

/// Converts a whole number of milliseconds, given in nanoseconds, to seconds.
fn millis(nanos: i64) -> f64 {
    (nanos / NANOS_PER_MILLI) as f64 / 1_000.0
}

/// Parses a number with at most 15 significant digits, because a workbook stores such a number exactly. Returns None
/// for a number with more digits, and for any other text.
fn exact_number(text: &str) -> Option<f64> {
    let digits = || text.bytes().filter(u8::is_ascii_digit);
    let significant = digits().skip_while(|digit| *digit == b'0').count();
    // text without digits is a word such as NaN
    if digits().next().is_none() || significant > SPREADSHEET_DIGITS { None } else { text.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::{ColumnStyle, Profile};

    fn column(kind: ColumnType) -> Column {
        let source = protocol::catalog::Column::new("t", kind);
        let column = LayoutColumn { source, title: "t".to_owned(), style: ColumnStyle::default() };
        Column::new(&column, &Style::of(Profile::Machine))
    }

    #[test]
    fn a_time_with_a_part_of_a_millisecond_has_no_number() {
        let day = EPOCH as f64 + 20_000.0;
        for (nanos, of_day) in [
            (0, Some(0.25)),
            (500_000_000, Some(21_600.5 / 86_400.0)),
            (999_000_000, Some(21_600.999 / 86_400.0)),
            (1_000, None),
            (999_999_999, None),
            (1, None),
        ] {
            assert_eq!(column(ColumnType::Time).serial_number(Some((21_600, nanos))), of_day, "{nanos}");
            let seconds = 20_000 * SECONDS_PER_DAY + 21_600;
            let moment = column(ColumnType::Datetime).serial_number(Some((seconds, nanos)));
            assert_eq!(moment, of_day.map(|of_day| day + of_day), "{nanos}");
        }
    }
}
