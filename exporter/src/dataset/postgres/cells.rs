//! From binary values to columns.

use std::str;

use polars::prelude::{
    BooleanChunkedBuilder, ChunkedBuilder, Column as PolarsColumn, DataFrame, DataType, Float64Type, Int32Type,
    Int64Type, IntoColumn, IntoSeries, PrimitiveChunkedBuilder, StringChunkedBuilder, TimeUnit,
};
use protocol::catalog::{Column, ColumnType};

use super::{
    super::{DatasetError, reals, sql::Native},
    numeric,
    wire::Fields,
};
use crate::format::endless;

/// Rows in one frame at most, …
const FRAME_ROWS: usize = 8192;
/// … and bytes of text, as one row may have any number of them.
const FRAME_BYTES: usize = 4 << 20;
/// From 1970-01-01 to 2000-01-01, where PostgreSQL begins to count, days.
const EPOCH_DAYS: i32 = 10_957;
/// The same, microseconds.
const EPOCH_MICROS: i64 = EPOCH_DAYS as i64 * 86_400_000_000;

/// 24:00, microseconds.
const END_OF_DAY: i64 = 86_400_000_000;

/// What a column is cast to in the server, so that its values come in a form that is read here.
pub(super) fn cast(kind: ColumnType, native: Option<Native>) -> &'static str {
    match kind {
        ColumnType::Float if native == Some(Native::Real) => "real",
        ColumnType::String => "text",
        ColumnType::Int => "bigint",
        ColumnType::Float => "double precision",
        ColumnType::Decimal => "numeric",
        ColumnType::Bool => "boolean",
        ColumnType::Date => "date",
        ColumnType::Datetime => "timestamptz",
        ColumnType::Time => "time",
    }
}

/// Rows that are not a frame yet, column by column.
pub(super) struct Cells {
    columns: Vec<(Column, Values)>,
    rows: usize,
    bytes: usize,
}

enum Values {
    Text(StringChunkedBuilder),
    /// Exact numbers, as text, and where the next one is written.
    Numeric(StringChunkedBuilder, String),
    Int(PrimitiveChunkedBuilder<Int64Type>),
    Float(PrimitiveChunkedBuilder<Float64Type>),
    Bool(BooleanChunkedBuilder),
    Date(PrimitiveChunkedBuilder<Int32Type>),
    Datetime(PrimitiveChunkedBuilder<Int64Type>),
    Time(PrimitiveChunkedBuilder<Int64Type>),
}

impl Cells {
    pub(super) fn new(columns: &[Column]) -> Self {
        let columns = columns.iter().map(|column| (column.clone(), Values::of(column))).collect();
        Self { columns, rows: 0, bytes: 0 }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Whether they should become a frame now.
    pub(super) const fn is_full(&self) -> bool {
        self.rows >= FRAME_ROWS || self.bytes >= FRAME_BYTES
    }

    /// Appends a row.
    pub(super) fn push(&mut self, fields: &mut Fields<'_>) -> Result<(), DatasetError> {
        for (column, values) in &mut self.columns {
            let field = fields.next();
            self.bytes += field.map_or(0, <[u8]>::len);
            values.push(field).map_err(|detail| DatasetError::Value { column: column.name.clone(), detail })?;
        }
        self.rows += 1;
        Ok(())
    }

    /// The rows so far as a frame; none are left.
    pub(super) fn take(&mut self) -> Result<DataFrame, DatasetError> {
        let rows = std::mem::take(&mut self.rows);
        self.bytes = 0;
        let columns = self.columns.iter_mut().map(|(column, values)| {
            let full = std::mem::replace(values, Values::of(column));
            full.finish()
        });
        Ok(DataFrame::new(rows, columns.collect::<Result<_, _>>()?)?)
    }
}

impl Values {
    fn of(column: &Column) -> Self {
        let name = column.name.as_str().into();
        match column.kind {
            ColumnType::String => Self::Text(StringChunkedBuilder::new(name, FRAME_ROWS)),
            ColumnType::Decimal => Self::Numeric(StringChunkedBuilder::new(name, FRAME_ROWS), String::new()),
            ColumnType::Int => Self::Int(PrimitiveChunkedBuilder::new(name, FRAME_ROWS)),
            ColumnType::Float => Self::Float(PrimitiveChunkedBuilder::new(name, FRAME_ROWS)),
            ColumnType::Bool => Self::Bool(BooleanChunkedBuilder::new(name, FRAME_ROWS)),
            ColumnType::Date => Self::Date(PrimitiveChunkedBuilder::new(name, FRAME_ROWS)),
            ColumnType::Datetime => Self::Datetime(PrimitiveChunkedBuilder::new(name, FRAME_ROWS)),
            ColumnType::Time => Self::Time(PrimitiveChunkedBuilder::new(name, FRAME_ROWS)),
        }
    }

    /// Appends a value; the error says what is wrong with it.
    fn push(&mut self, field: Option<&[u8]>) -> Result<(), &'static str> {
        const SHORT: &str = "a value is not of its column's type";
        let Some(bytes) = field else {
            match self {
                Self::Text(values) | Self::Numeric(values, _) => values.append_null(),
                Self::Int(values) | Self::Datetime(values) | Self::Time(values) => values.append_null(),
                Self::Float(values) => values.append_null(),
                Self::Bool(values) => values.append_null(),
                Self::Date(values) => values.append_null(),
            }
            return Ok(());
        };
        let four = || bytes.try_into().map(i32::from_be_bytes).map_err(|_| SHORT);
        let eight = || bytes.try_into().map(i64::from_be_bytes).map_err(|_| SHORT);
        match self {
            Self::Text(values) => values.append_value(str::from_utf8(bytes).map_err(|_| "a text is not UTF-8")?),
            Self::Numeric(values, text) => {
                text.clear();
                numeric::write(text, bytes).ok_or(SHORT)?;
                values.append_value(text);
            }
            Self::Int(values) => values.append_value(eight()?),
            Self::Float(values) => values.append_value(match bytes.len() {
                4 => reals::shown(f32::from_bits(four()?.cast_unsigned())),
                _ => f64::from_bits(eight()?.cast_unsigned()),
            }),
            Self::Bool(values) => values.append_value(bytes.first().ok_or(SHORT)? != &0),
            Self::Date(values) => values.append_value(match four()? {
                i32::MAX => endless::DATE,
                i32::MIN => -endless::DATE,
                days => days.checked_add(EPOCH_DAYS).ok_or(SHORT)?,
            }),
            Self::Datetime(values) => values.append_value(match eight()? {
                i64::MAX => endless::MOMENT,
                i64::MIN => -endless::MOMENT,
                micros => micros.checked_add(EPOCH_MICROS).ok_or("a moment is after the year 294246")?,
            }),
            // microseconds since midnight
            Self::Time(values) => values.append_value(match eight()? {
                END_OF_DAY => endless::MIDNIGHT,
                micros @ 0..END_OF_DAY => micros * 1_000,
                _ => return Err(SHORT),
            }),
        }
        Ok(())
    }

    fn finish(self) -> Result<PolarsColumn, DatasetError> {
        let series = match self {
            Self::Text(values) | Self::Numeric(values, _) => values.finish().into_series(),
            Self::Int(values) => values.finish().into_series(),
            Self::Float(values) => values.finish().into_series(),
            Self::Bool(values) => values.finish().into_series(),
            Self::Date(values) => values.finish().into_series().cast(&DataType::Date)?,
            Self::Datetime(values) => {
                values.finish().into_series().cast(&DataType::Datetime(TimeUnit::Microseconds, None))?
            }
            Self::Time(values) => values.finish().into_series().cast(&DataType::Time)?,
        };
        Ok(series.into_column())
    }
}
