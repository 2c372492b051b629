//! One value into one cell.

use chrono_tz::Tz;
use rust_xlsxwriter::{Format, Worksheet, XlsxError};

use crate::format::{
    LayoutColumn, Style,
    number::SPREADSHEET_DIGITS,
    pattern,
    physical::{Cell, Cells},
};
use protocol::catalog::ColumnType;

/// Days from 1899-12-30, from which workbooks count, to 1970-01-01.
const EPOCH: i64 = 25_569;
/// 1 March 1900, before which workbooks count a day that there was not.
const FIRST_DAY: i64 = 61;
/// 31 December 9999.
const LAST_DAY: i64 = 2_958_465;
const SECONDS_PER_DAY: i64 = 86_400;
/// What a cell takes on disk beside its text, about.
const CELL_BYTES: u64 = 32;

/// How the cells of a column look.
pub(super) struct Column {
    kind: ColumnType,
    format: Format,
    words: Option<(String, String)>,
    zone: Option<Tz>,
}

impl Column {
    pub(super) fn new(column: &LayoutColumn, style: &Style) -> Self {
        let look = &column.look;
        let kind = column.source.kind;
        let code = match kind {
            ColumnType::Int | ColumnType::Float | ColumnType::Decimal => {
                let whole = if look.grouping.is_some() { "#,##0" } else { "0" };
                match look.decimals {
                    Some(0) => Some(whole.to_owned()),
                    Some(digits) => Some(format!("{whole}.{}", "0".repeat(usize::from(digits)))),
                    None => look.grouping.is_some().then(|| "#,##0.##########".to_owned()),
                }
            }
            ColumnType::Date => {
                Some(look.pattern.as_ref().map_or("yyyy-mm-dd".into(), pattern::Pattern::number_format))
            }
            ColumnType::Time => Some(look.pattern.as_ref().map_or("hh:mm:ss".into(), pattern::Pattern::number_format)),
            ColumnType::Datetime => {
                Some(look.pattern.as_ref().map_or("yyyy-mm-dd hh:mm:ss".into(), pattern::Pattern::number_format))
            }
            ColumnType::String | ColumnType::Bool => None,
        };
        let format = code.map_or_else(Format::new, |code| Format::new().set_num_format(code));
        Self { kind, format, words: look.words.clone(), zone: style.time_zone }
    }

    /// How wide it is shown, in characters.
    pub(super) const fn width(&self) -> f64 {
        match self.kind {
            ColumnType::Datetime => 20.0,
            ColumnType::String => 24.0,
            _ => 13.0,
        }
    }

    /// Writes the value of a row, and says about how many bytes that takes on disk.
    pub(super) fn write(
        &self,
        sheet: &mut Worksheet,
        at: (u32, u16),
        cells: &Cells<'_>,
        row: usize,
        scratch: &mut Vec<u8>,
    ) -> Result<u64, XlsxError> {
        scratch.clear();
        let text = match cells.write(row, scratch) {
            Cell::Null => return Ok(0),
            // exact numbers that are wider than polars has them come as text
            Cell::Text(text) if self.kind == ColumnType::Decimal && short(text).is_some() => text.into(),
            Cell::Text(text) => {
                sheet.write_string(at.0, at.1, text)?;
                return Ok(CELL_BYTES + text.len() as u64);
            }
            Cell::Plain(_) => String::from_utf8_lossy(scratch),
        };
        let number = match self.kind {
            ColumnType::Bool => {
                match &self.words {
                    Some((yes, no)) => sheet.write_string(at.0, at.1, if text == "true" { yes } else { no })?,
                    None => sheet.write_boolean(at.0, at.1, text == "true")?,
                };
                return Ok(CELL_BYTES);
            }
            ColumnType::Float => cells.float(row),
            ColumnType::Int | ColumnType::Decimal => short(&text),
            ColumnType::Date | ColumnType::Datetime | ColumnType::Time => self.serial(cells.moment(row)),
            ColumnType::String => None,
        };
        match number {
            Some(number) => sheet.write_number_with_format(at.0, at.1, number, &self.format)?,
            None => sheet.write_string(at.0, at.1, text)?,
        };
        Ok(CELL_BYTES)
    }

    /// The days that a workbook counts, where it has the day.
    fn serial(&self, moment: Option<(i64, i64)>) -> Option<f64> {
        let (seconds, nanos) = moment?;
        if self.kind == ColumnType::Time {
            return Some((seconds as f64 + millis(nanos)) / SECONDS_PER_DAY as f64);
        }
        let offset = match (self.kind, self.zone) {
            (ColumnType::Datetime, Some(zone)) => pattern::offset_of(zone, seconds),
            _ => 0,
        };
        let local = seconds + offset;
        let day = local.div_euclid(SECONDS_PER_DAY) + EPOCH;
        let of_day = local.rem_euclid(SECONDS_PER_DAY) as f64 + millis(nanos);
        (FIRST_DAY..=LAST_DAY).contains(&day).then(|| day as f64 + of_day / SECONDS_PER_DAY as f64)
    }
}

/// A part of a second, to the millisecond.
fn millis(nanos: i64) -> f64 {
    (nanos / 1_000_000) as f64 / 1_000.0
}

/// A number that a workbook keeps exactly.
fn short(text: &str) -> Option<f64> {
    let digits = || text.bytes().filter(u8::is_ascii_digit);
    let significant = digits().skip_while(|digit| *digit == b'0').count();
    // what has no digit at all is a word, such as NaN
    if digits().next().is_none() || significant > SPREADSHEET_DIGITS { None } else { text.parse().ok() }
}
