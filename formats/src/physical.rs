//! Gives encoders access to the single values of a data frame. Each column becomes one Arrow array of its physical
//! type. For example, the physical type of a date is an integer.

use polars::prelude::{
    BooleanType, DataFrame, DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Int128Type,
    PolarsDataType, Series, StaticArray, StringType, TimeUnit, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};

use super::FormatError;
use crate::value::{float32, infinity, text};

type ArrayOf<T> = <T as PolarsDataType>::Array;

/// The columns of a data frame, each with its type and its values as one contiguous array of the physical type.
/// [`Cells`] borrow these arrays.
pub(crate) struct Physical {
    columns: Vec<(DataType, Series)>,
    rows: usize,
}

impl Physical {
    /// Converts each column of a data frame to one array of its physical type. A column is copied only if polars stores
    /// it in several chunks.
    pub(crate) fn of(frame: &DataFrame) -> Self {
        let columns = frame
            .columns()
            .iter()
            .map(|column| {
                let series = column.as_materialized_series();
                (series.dtype().clone(), series.to_physical_repr().rechunk())
            })
            .collect();
        Self { columns, rows: frame.height() }
    }

    pub(crate) const fn rows(&self) -> usize {
        self.rows
    }

    /// Returns the typed cells of each column. For each column, `local` states whether its timestamps are local times,
    /// that is, without a time zone.
    ///
    /// # Errors
    /// When no encoder supports the type of a column. The error names `format`.
    pub(crate) fn cells(&self, format: &'static str, local: &[bool]) -> Result<Vec<Cells<'_>>, FormatError> {
        let local = local.iter().copied().chain(std::iter::repeat(false));
        self.columns.iter().zip(local).map(|((dtype, series), local)| Cells::of(dtype, series, format, local)).collect()
    }
}

/// The typed values of one column.
pub(crate) enum Cells<'a> {
    I8(&'a ArrayOf<Int8Type>),
    I16(&'a ArrayOf<Int16Type>),
    I32(&'a ArrayOf<Int32Type>),
    I64(&'a ArrayOf<Int64Type>),
    U8(&'a ArrayOf<UInt8Type>),
    U16(&'a ArrayOf<UInt16Type>),
    U32(&'a ArrayOf<UInt32Type>),
    U64(&'a ArrayOf<UInt64Type>),
    F32(&'a ArrayOf<Float32Type>),
    F64(&'a ArrayOf<Float64Type>),
    Bool(&'a ArrayOf<BooleanType>),
    Text(&'a ArrayOf<StringType>),
    Date(&'a ArrayOf<Int32Type>),
    /// Timestamps with a time zone.
    Datetime(&'a ArrayOf<Int64Type>, TimeUnit),
    /// Timestamps without a time zone.
    LocalDatetime(&'a ArrayOf<Int64Type>, TimeUnit),
    Time(&'a ArrayOf<Int64Type>),
    Decimal(&'a ArrayOf<Int128Type>, usize),
}

/// The result of [`Cells::write`], which is NULL, a text that the caller must append, or the kind of the appended
/// value.
pub(crate) enum Cell<'a> {
    Null,
    /// A text value, which is not appended yet. The caller must append the text, in quotes if necessary.
    Text(&'a str),
    /// A value of any other type. [`Cells::write`] has appended its standard text.
    Plain(Kind),
}

/// Whether JSON needs quotes around the text of a value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A finite number or a boolean, which needs no quotes in JSON.
    Literal,
    /// A date, a time, an exact decimal or a float that is not finite. In JSON these values are strings.
    Lexical,
}

impl<'a> Cells<'a> {
    fn of(dtype: &DataType, series: &'a Series, format: &'static str, local: bool) -> Result<Self, FormatError> {
        let unsupported =
            || FormatError::Unsupported { column: series.name().to_string(), dtype: format!("{dtype:?}"), format };
        macro_rules! array {
            ($get:ident) => {
                series.$get()?.downcast_iter().next().ok_or_else(unsupported)?
            };
        }
        Ok(match dtype {
            DataType::Int8 => Self::I8(array!(i8)),
            DataType::Int16 => Self::I16(array!(i16)),
            DataType::Int32 => Self::I32(array!(i32)),
            DataType::Int64 => Self::I64(array!(i64)),
            DataType::UInt8 => Self::U8(array!(u8)),
            DataType::UInt16 => Self::U16(array!(u16)),
            DataType::UInt32 => Self::U32(array!(u32)),
            DataType::UInt64 => Self::U64(array!(u64)),
            DataType::Float32 => Self::F32(array!(f32)),
            DataType::Float64 => Self::F64(array!(f64)),
            DataType::Boolean => Self::Bool(array!(bool)),
            DataType::String => Self::Text(array!(str)),
            DataType::Date => Self::Date(array!(i32)),
            DataType::Datetime(unit, _) if local => Self::LocalDatetime(array!(i64), *unit),
            DataType::Datetime(unit, _) => Self::Datetime(array!(i64), *unit),
            DataType::Time => Self::Time(array!(i64)),
            DataType::Decimal(_, scale) => Self::Decimal(array!(i128), *scale),
            _ => return Err(unsupported()),
        })
    }

    /// Returns the float in `row`. A 32-bit float becomes the double with the same shortest decimal text. Returns None
    /// for NULL, NaN and infinities, and if the column has another type.
    pub(crate) fn float(&self, row: usize) -> Option<f64> {
        match self {
            Self::F64(array) => array.get(row),
            Self::F32(array) => array.get(row).map(float32::shortest),
            _ => None,
        }
        .filter(|value| value.is_finite())
    }

    /// Returns the date, timestamp or time of day in `row` as whole seconds and the nanoseconds within the second. The
    /// seconds count from 1970-01-01, or from midnight for a time of day. Returns None for NULL, infinite values and
    /// `24:00:00`.
    pub(crate) fn seconds(&self, row: usize) -> Option<(i64, i64)> {
        const NANOS: i64 = 1_000_000_000;
        let split = |value: i64, per_second: i64| {
            (value.div_euclid(per_second), value.rem_euclid(per_second) * (NANOS / per_second))
        };
        match self {
            Self::Date(array) => {
                let days = array.get(row).map(i64::from).filter(|days| infinity::date(*days).is_none());
                days.map(|days| (days * 86_400, 0))
            }
            Self::Datetime(array, unit) | Self::LocalDatetime(array, unit) => {
                array.get(row).filter(|v| infinity::timestamp(*v, *unit).is_none()).map(|value| {
                    split(
                        value,
                        match unit {
                            TimeUnit::Milliseconds => 1_000,
                            TimeUnit::Microseconds => 1_000_000,
                            TimeUnit::Nanoseconds => NANOS,
                        },
                    )
                })
            }
            Self::Time(array) => {
                array.get(row).filter(|v| infinity::time(*v).is_none()).map(|value| split(value, NANOS))
            }
            _ => None,
        }
    }

    /// Appends the standard text of the value in `row`, and returns the kind of the value. For NULL, appends nothing
    /// and returns [`Cell::Null`]. For a text value, appends nothing and returns [`Cell::Text`], and the caller appends
    /// the text.
    #[inline]
    pub(crate) fn write(&self, row: usize, out: &mut Vec<u8>) -> Cell<'a> {
        macro_rules! plain {
            ($array:expr, $value:ident => $kind:expr, $write:expr) => {
                match $array.get(row) {
                    Some($value) => {
                        $write;
                        Cell::Plain($kind)
                    }
                    None => Cell::Null,
                }
            };
        }
        use Kind::{Lexical, Literal};
        match self {
            Self::Text(array) => array.get(row).map_or(Cell::Null, Cell::Text),
            Self::I64(array) => plain!(array, v => Literal, text::int(out, v)),
            Self::I32(array) => plain!(array, v => Literal, text::int(out, v)),
            Self::F64(array) => plain!(array, v => if v.is_finite() { Literal } else { Lexical }, text::float(out, v)),
            Self::Datetime(array, unit) => plain!(array, v => Lexical, text::datetime(out, v, *unit)),
            Self::LocalDatetime(array, unit) => plain!(array, v => Lexical, text::local_datetime(out, v, *unit)),
            Self::Date(array) => plain!(array, v => Lexical, text::date(out, i64::from(v))),
            Self::Decimal(array, scale) => plain!(array, v => Lexical, text::decimal(out, v, *scale)),
            Self::Bool(array) => plain!(array, v => Literal, text::boolean(out, v)),
            Self::Time(array) => plain!(array, v => Lexical, text::time(out, v)),
            Self::F32(array) => plain!(array, v => if v.is_finite() { Literal } else { Lexical }, text::float(out, v)),
            Self::I8(array) => plain!(array, v => Literal, text::int(out, v)),
            Self::I16(array) => plain!(array, v => Literal, text::int(out, v)),
            Self::U8(array) => plain!(array, v => Literal, text::int(out, v)),
            Self::U16(array) => plain!(array, v => Literal, text::int(out, v)),
            Self::U32(array) => plain!(array, v => Literal, text::int(out, v)),
            Self::U64(array) => plain!(array, v => Literal, text::int(out, v)),
        }
    }
}

#[cfg(test)]
mod tests {
    use polars::prelude::Column;

    use super::*;

    #[test]
    fn a_float_of_32_bits_is_rounded_from_its_written_digits() {
        let column = Column::new("x".into(), [Some(0.1_f32), Some(1.005), None, Some(f32::NAN)]);
        let physical = Physical::of(&DataFrame::new_infer_height(vec![column]).expect("one column"));
        let cells = physical.cells("text", &[]).expect("floats are known");
        let floats: Vec<_> = (0..4).map(|row| cells[0].float(row)).collect();
        assert_eq!(floats, [Some(0.1), Some(1.005), None, None]);
    }
}
