//! Converts timestamps to microseconds, the unit of timestamps in expressions.

use polars::prelude::{Column, DataType, Expr, Field, IntoColumn, PolarsResult, TimeUnit, polars_bail};

/// The error text for a timestamp that is not a whole number of microseconds.
pub(super) const TOO_FINE: &str =
    "a timestamp has nanoseconds, which expressions can't keep: use the column itself as a `source`";

const MICROSECONDS: DataType = DataType::Datetime(TimeUnit::Microseconds, None);

/// Returns an expression that converts a timestamp column to microseconds. The calculation fails for a value with a
/// fraction of a microsecond.
pub(super) fn microseconds(column: Expr) -> Expr {
    column.map(read, |_, field| Ok(Field::new(field.name().clone(), MICROSECONDS)))
}

fn read(column: Column) -> PolarsResult<Column> {
    let series = column.as_materialized_series();
    let converted = series.strict_cast(&MICROSECONDS)?;
    let is_exact = match series.dtype() {
        DataType::Datetime(TimeUnit::Nanoseconds, _) => {
            let nanoseconds = series.to_physical_repr();
            nanoseconds.i64()?.iter().flatten().all(|value| value % 1_000 == 0)
        }
        _ => true,
    };
    if !is_exact {
        polars_bail!(InvalidOperation: "{}", TOO_FINE);
    }
    Ok(converted.into_column())
}

#[cfg(test)]
mod tests {
    use polars::prelude::{DataFrame, IntoLazy, PolarsResult, col};

    use super::*;

    #[test]
    fn whole_microseconds_are_converted_and_others_are_refused() {
        let converted = |number: i64, unit: TimeUnit| -> PolarsResult<Column> {
            let column = Column::new("t".into(), [Some(number), None]).cast(&DataType::Datetime(unit, None))?;
            let frame = DataFrame::new_infer_height(vec![column])?.lazy().select([microseconds(col("t"))]).collect()?;
            frame.column("t")?.cast(&DataType::Int64)
        };
        for (number, unit, expected) in [
            (-3_000, TimeUnit::Nanoseconds, -3),
            (1_500_000_000_123_456_000, TimeUnit::Nanoseconds, 1_500_000_000_123_456),
            (-1, TimeUnit::Microseconds, -1),
            (7, TimeUnit::Milliseconds, 7_000),
        ] {
            let column = converted(number, unit).unwrap();
            assert_eq!(column.i64().unwrap().iter().collect::<Vec<_>>(), [Some(expected), None], "{number}");
        }
        for number in [1, -1, 1_500_000_000_123_456_789] {
            let error = converted(number, TimeUnit::Nanoseconds).unwrap_err().to_string();
            assert!(error.contains(TOO_FINE), "{error}");
        }
    }
}
