//! From texts to typed columns.

use std::borrow::Cow;

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Timelike};
use polars::prelude::{Column as PolarsColumn, DataFrame, DataType, IntoColumn, NamedFrom, Series, TimeUnit};
use protocol::catalog::{Column, ColumnType};

use super::super::{DatasetError, decimals};

/// Rows in one frame at most, …
const FRAME_ROWS: usize = 8192;
/// … and bytes of text, as one row may have any number of them.
const FRAME_BYTES: usize = 4 << 20;

/// The dtype of a column of this type. Decimals stay text, which is exact.
pub(super) const fn dtype(kind: ColumnType) -> DataType {
    match kind {
        ColumnType::String | ColumnType::Decimal => DataType::String,
        ColumnType::Int => DataType::Int64,
        ColumnType::Float => DataType::Float64,
        ColumnType::Bool => DataType::Boolean,
        ColumnType::Date => DataType::Date,
        ColumnType::Datetime => DataType::Datetime(TimeUnit::Microseconds, None),
        ColumnType::Time => DataType::Time,
    }
}

/// Rows that are not a frame yet.
pub(super) struct Cells {
    columns: Vec<(Column, Values)>,
    rows: usize,
    bytes: usize,
}

enum Values {
    Text(Vec<Option<String>>),
    Int(Vec<Option<i64>>),
    Float(Vec<Option<f64>>),
    /// Exact numbers, as text.
    Decimal(Vec<Option<String>>),
    Bool(Vec<Option<bool>>),
    Date(Vec<Option<i32>>),
    Datetime(Vec<Option<i64>>),
    Time(Vec<Option<i64>>),
}

impl Cells {
    pub(super) fn new(columns: Vec<Column>) -> Self {
        let columns = columns.into_iter().map(|column| (Values::of(column.kind), column));
        Self { columns: columns.map(|(values, column)| (column, values)).collect(), rows: 0, bytes: 0 }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.rows == 0
    }

    pub(super) const fn is_full(&self) -> bool {
        self.rows >= FRAME_ROWS || self.bytes >= FRAME_BYTES
    }

    /// Appends a row: a text or NULL for each column, by its index.
    pub(super) fn push<'a>(&mut self, field: impl Fn(usize) -> Option<&'a str>) -> Result<(), DatasetError> {
        for (index, (column, values)) in self.columns.iter_mut().enumerate() {
            let text = field(index);
            self.bytes += text.map_or(0, str::len);
            values.push(text).map_err(|detail| DatasetError::Value { column: column.name.clone(), detail })?;
        }
        self.rows += 1;
        Ok(())
    }

    /// The rows so far as a frame; none are left.
    pub(super) fn take(&mut self) -> Result<DataFrame, DatasetError> {
        let rows = std::mem::take(&mut self.rows);
        self.bytes = 0;
        let columns = self
            .columns
            .iter_mut()
            .map(|(column, values)| std::mem::replace(values, Values::of(column.kind)).finish(&column.name));
        Ok(DataFrame::new(rows, columns.collect::<Result<_, _>>()?)?)
    }
}

impl Values {
    const fn of(kind: ColumnType) -> Self {
        match kind {
            ColumnType::String => Self::Text(Vec::new()),
            ColumnType::Int => Self::Int(Vec::new()),
            ColumnType::Float => Self::Float(Vec::new()),
            ColumnType::Decimal => Self::Decimal(Vec::new()),
            ColumnType::Bool => Self::Bool(Vec::new()),
            ColumnType::Date => Self::Date(Vec::new()),
            ColumnType::Datetime => Self::Datetime(Vec::new()),
            ColumnType::Time => Self::Time(Vec::new()),
        }
    }

    /// Appends a value; the error says what it should have been.
    fn push(&mut self, text: Option<&str>) -> Result<(), &'static str> {
        fn read<T>(
            text: Option<&str>,
            read: impl Fn(&str) -> Option<T>,
            wanted: &'static str,
        ) -> Result<Option<T>, &'static str> {
            text.map(|text| read(text.trim()).ok_or(wanted)).transpose()
        }
        match self {
            Self::Text(values) => values.push(text.map(str::to_owned)),
            Self::Int(values) => values.push(read(text, |t| t.parse().ok(), "a value is no whole number of 64 bits")?),
            Self::Float(values) => values.push(read(text, float, "a value is no number")?),
            Self::Decimal(values) => {
                let decimal = |text: &str| decimals::read(text).map(Cow::into_owned);
                values.push(read(text, decimal, "a value is no decimal number such as -12.50")?);
            }
            Self::Bool(values) => values.push(read(text, boolean, "a value is neither true nor false")?),
            Self::Date(values) => values.push(read(text, date, "a value is no date such as 2026-11-22")?),
            Self::Datetime(values) => {
                values.push(read(text, datetime, "a value is no time such as 2026-11-22T15:26:01Z")?);
            }
            Self::Time(values) => values.push(read(text, time, "a value is no time of day such as 15:26:01")?),
        }
        Ok(())
    }

    fn finish(self, name: &str) -> Result<PolarsColumn, DatasetError> {
        let name = name.into();
        let series = match self {
            Self::Text(values) | Self::Decimal(values) => Series::new(name, values),
            Self::Int(values) => Series::new(name, values),
            Self::Float(values) => Series::new(name, values),
            Self::Bool(values) => Series::new(name, values),
            Self::Date(values) => Series::new(name, values).cast(&DataType::Date)?,
            Self::Datetime(values) => Series::new(name, values).cast(&dtype(ColumnType::Datetime))?,
            Self::Time(values) => Series::new(name, values).cast(&DataType::Time)?,
        };
        Ok(series.into_column())
    }
}

/// The narrowest type that all of these texts have; text for none.
pub(super) fn infer<'a>(texts: impl Iterator<Item = &'a str>) -> ColumnType {
    type Test = (ColumnType, fn(&str) -> bool);
    let mut tests: Vec<Test> = vec![
        // a number that begins with 0 is rather a code
        (ColumnType::Int, |t| t.parse::<i64>().is_ok() && !is_code(t)),
        (ColumnType::Float, |t| float(t).is_some() && !is_code(t)),
        (ColumnType::Bool, |t| matches!(t, "true" | "false")),
        (ColumnType::Date, |t| date(t).is_some()),
        (ColumnType::Datetime, |t| datetime(t).is_some()),
    ];
    let mut any = false;
    for text in texts {
        any = true;
        tests.retain(|(_, fits)| fits(text));
    }
    tests.first().filter(|_| any).map_or(ColumnType::String, |(kind, _)| *kind)
}

fn is_code(text: &str) -> bool {
    let digits = text.trim_start_matches('-');
    text.starts_with('+') || (digits.len() > 1 && digits.starts_with('0') && !digits.starts_with("0."))
}

fn float(text: &str) -> Option<f64> {
    text.parse().ok()
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" | "t" | "1" => Some(true),
        "false" | "False" | "FALSE" | "f" | "0" => Some(false),
        _ => None,
    }
}

fn date(text: &str) -> Option<i32> {
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    i32::try_from(date.signed_duration_since(NaiveDate::default()).num_days()).ok()
}

/// A time with its offset, or one without, which is taken as UTC.
fn datetime(text: &str) -> Option<i64> {
    if let Ok(zoned) = DateTime::parse_from_rfc3339(text) {
        return Some(zoned.timestamp_micros());
    }
    let naive = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"];
    naive
        .iter()
        .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
        .map(|t| t.and_utc().timestamp_micros())
}

fn time(text: &str) -> Option<i64> {
    let time = NaiveTime::parse_from_str(text, "%H:%M:%S%.f").ok()?;
    Some(i64::from(time.num_seconds_from_midnight()) * 1_000_000_000 + i64::from(time.nanosecond() % 1_000_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_as_their_type_or_not_at_all() {
        assert_eq!(datetime("2001-01-13T15:56:00.5+01:00"), datetime("2001-01-13 14:56:00.5"));
        assert_eq!((date("2026-02-30"), time("24:00:00"), boolean("yes")), (None, None, None));
    }

    #[test]
    fn types_are_inferred_narrowly() {
        for (texts, kind) in [
            (vec!["1", "-2"], ColumnType::Int),
            (vec!["1", "2.5"], ColumnType::Float),
            (vec!["007", "8"], ColumnType::String),
            (vec!["+49"], ColumnType::String),
            (vec!["true", "false"], ColumnType::Bool),
            (vec!["2026-11-22"], ColumnType::Date),
            (vec!["2026-11-22T00:00:00Z"], ColumnType::Datetime),
            (vec!["2026-11-22", "x"], ColumnType::String),
            (vec![], ColumnType::String),
        ] {
            assert_eq!(infer(texts.iter().copied()), kind, "{texts:?}");
        }
    }
}
