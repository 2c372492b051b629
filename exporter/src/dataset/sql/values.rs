//! Copies the values of PostgreSQL rows into the columns of a data frame.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Timelike, Utc};
use polars::prelude::ChunkedBuilder;
use protocol::decimal;
use sea_orm::{QueryResult, TryGetError, TryGetable};

use super::super::{
    DatasetError,
    frame_builder::{AppendError, ColumnBuilder, FrameBuilder},
};

/// Appends a database row to a data frame. The row must have the columns of the frame, in the same order.
pub(super) fn push(frame: &mut FrameBuilder, row: &QueryResult) -> Result<(), DatasetError> {
    frame.push(|index, values| append(values, row, index))
}

fn append(values: &mut ColumnBuilder, row: &QueryResult, index: usize) -> Result<usize, AppendError> {
    match values {
        ColumnBuilder::Text(values) => {
            let text: Option<String> = get(row, index)?;
            values.append_option(text.as_deref());
            return Ok(text.map_or(0, |text| text.len()));
        }
        ColumnBuilder::Decimal(values) => {
            let text: Option<String> = get(row, index)?;
            if text.as_ref().is_some_and(|text| decimal::parse(text).is_none()) {
                return Err("a value is no decimal number such as -12.50".into());
            }
            values.append_option(text.as_deref());
            return Ok(text.map_or(0, |text| text.len()));
        }
        ColumnBuilder::Int(values) => values.append_option(get(row, index)?),
        ColumnBuilder::Float(values) => values.append_option(get(row, index)?),
        ColumnBuilder::Bool(values) => values.append_option(get(row, index)?),
        ColumnBuilder::Date(values) => values.append_option(get::<NaiveDate>(row, index)?.map(days)),
        ColumnBuilder::Datetime(values) => {
            values.append_option(moment(row, index)?.map(|time| time.timestamp_micros()));
        }
        ColumnBuilder::Time(values) => values.append_option(get::<NaiveTime>(row, index)?.map(nanos)),
    }
    Ok(0)
}

fn get<T: TryGetable>(row: &QueryResult, index: usize) -> Result<Option<T>, DatasetError> {
    match row.try_get_by_index_nullable(index) {
        Ok(value) => Ok(Some(value)),
        Err(TryGetError::Null(_)) => Ok(None),
        Err(TryGetError::DbErr(e)) => Err(e.into()),
    }
}

/// Reads a timestamp from a row. The column may have the type with or without a time zone.
fn moment(row: &QueryResult, index: usize) -> Result<Option<DateTime<Utc>>, DatasetError> {
    let zoned = get::<DateTime<Utc>>(row, index);
    zoned.or_else(|_| Ok(get::<NaiveDateTime>(row, index)?.map(|time| time.and_utc())))
}

fn days(date: NaiveDate) -> i32 {
    date.signed_duration_since(NaiveDate::default()).num_days() as i32
}

fn nanos(time: NaiveTime) -> i64 {
    i64::from(time.num_seconds_from_midnight()) * 1_000_000_000 + i64::from(time.nanosecond() % 1_000_000_000)
}
