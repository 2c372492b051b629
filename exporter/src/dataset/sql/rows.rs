//! From database rows to frames.

use chrono::{DateTime, NaiveDate, NaiveTime, Timelike, Utc};
use polars::prelude::{Column as PolarsColumn, DataFrame, DataType, IntoColumn, NamedFrom, Series, TimeUnit};
use protocol::catalog::{Column, ColumnType};
use sea_orm::{DbErr, QueryResult, TryGetError, TryGetable};

use super::super::{DatasetError, decimals};

/// Rows in one frame at most, …
const FRAME_ROWS: usize = 8192;
/// … and bytes of text, as one row may have any number of them.
const FRAME_BYTES: usize = 4 << 20;

/// Rows that are not a frame yet, column by column.
pub(super) struct Rows {
    columns: Vec<(String, Values)>,
    len: usize,
    /// Bytes of text.
    bytes: usize,
}

enum Values {
    Text(Vec<Option<String>>),
    /// Exact numbers, as text.
    Decimal(Vec<Option<String>>),
    Int(Vec<Option<i64>>),
    Float(Vec<Option<f64>>),
    Bool(Vec<Option<bool>>),
    /// Days since 1970-01-01.
    Date(Vec<Option<i32>>),
    /// Microseconds since 1970-01-01T00:00:00Z.
    Datetime(Vec<Option<i64>>),
    /// Nanoseconds since midnight.
    Time(Vec<Option<i64>>),
}

impl Rows {
    pub(super) fn new(columns: &[Column]) -> Self {
        Self { columns: columns.iter().map(|c| (c.name.clone(), Values::new(c.kind))).collect(), len: 0, bytes: 0 }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether they should become a frame now.
    pub(super) const fn is_full(&self) -> bool {
        self.len >= FRAME_ROWS || self.bytes >= FRAME_BYTES
    }

    /// Appends a row that has the same columns in the same order.
    pub(super) fn push(&mut self, row: &QueryResult) -> Result<(), DatasetError> {
        for (index, (name, values)) in self.columns.iter_mut().enumerate() {
            self.bytes += values.push(row, index, name)?;
        }
        self.len += 1;
        Ok(())
    }

    /// The rows so far as a frame; none are left.
    pub(super) fn take(&mut self) -> Result<DataFrame, DatasetError> {
        (self.len, self.bytes) = (0, 0);
        let columns = self.columns.iter_mut().map(|(name, values)| values.take(name)).collect::<Result<_, _>>()?;
        Ok(DataFrame::new_infer_height(columns)?)
    }
}

impl Values {
    fn new(kind: ColumnType) -> Self {
        match kind {
            ColumnType::String => Self::Text(Vec::new()),
            ColumnType::Decimal => Self::Decimal(Vec::new()),
            ColumnType::Int => Self::Int(Vec::new()),
            ColumnType::Float => Self::Float(Vec::new()),
            ColumnType::Bool => Self::Bool(Vec::new()),
            ColumnType::Date => Self::Date(Vec::new()),
            ColumnType::Datetime => Self::Datetime(Vec::new()),
            ColumnType::Time => Self::Time(Vec::new()),
        }
    }

    /// Appends a value, and tells how many bytes of text it has.
    fn push(&mut self, row: &QueryResult, index: usize, name: &str) -> Result<usize, DatasetError> {
        match self {
            Self::Text(values) => {
                let text: Option<String> = get(row, index)?;
                let bytes = text.as_ref().map_or(0, String::len);
                values.push(text);
                return Ok(bytes);
            }
            Self::Decimal(values) => {
                let text: Option<String> = get(row, index)?;
                // SQLite keeps any text in a column of numbers, and what passes for a number is written as it is
                if text.as_ref().is_some_and(|text| decimals::read(text).is_none() && !is_float(text)) {
                    let detail = "a value is no decimal number such as -12.50";
                    return Err(DatasetError::Value { column: name.to_owned(), detail });
                }
                let bytes = text.as_ref().map_or(0, String::len);
                values.push(text);
                return Ok(bytes);
            }
            Self::Int(values) => values.push(get(row, index)?),
            Self::Float(values) => values.push(get(row, index)?),
            Self::Bool(values) => values.push(get(row, index)?),
            Self::Date(values) => values.push(get::<NaiveDate>(row, index)?.map(days)),
            Self::Datetime(values) => values.push(get::<DateTime<Utc>>(row, index)?.map(|at| at.timestamp_micros())),
            Self::Time(values) => values.push(get::<NaiveTime>(row, index)?.map(nanos)),
        }
        Ok(0)
    }

    fn take(&mut self, name: &str) -> Result<PolarsColumn, DatasetError> {
        let name = || name.into();
        let series = match self {
            Self::Text(values) | Self::Decimal(values) => Series::new(name(), std::mem::take(values)),
            Self::Int(values) => Series::new(name(), std::mem::take(values)),
            Self::Float(values) => Series::new(name(), std::mem::take(values)),
            Self::Bool(values) => Series::new(name(), std::mem::take(values)),
            Self::Date(values) => Series::new(name(), std::mem::take(values)).cast(&DataType::Date)?,
            Self::Datetime(values) => {
                Series::new(name(), std::mem::take(values)).cast(&DataType::Datetime(TimeUnit::Microseconds, None))?
            }
            Self::Time(values) => Series::new(name(), std::mem::take(values)).cast(&DataType::Time)?,
        };
        Ok(series.into_column())
    }
}

fn get<T: TryGetable>(row: &QueryResult, index: usize) -> Result<Option<T>, DbErr> {
    match row.try_get_by_index_nullable(index) {
        Ok(value) => Ok(Some(value)),
        Err(TryGetError::Null(_)) => Ok(None),
        Err(TryGetError::DbErr(e)) => Err(e),
    }
}

/// Whether a text is a number as SQLite writes large ones: `1.0e+20`.
fn is_float(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    digits.starts_with(|c: char| c.is_ascii_digit()) && digits.parse::<f64>().is_ok()
}

fn days(date: NaiveDate) -> i32 {
    date.signed_duration_since(NaiveDate::default()).num_days() as i32
}

fn nanos(time: NaiveTime) -> i64 {
    i64::from(time.num_seconds_from_midnight()) * 1_000_000_000 + i64::from(time.nanosecond() % 1_000_000_000)
}
