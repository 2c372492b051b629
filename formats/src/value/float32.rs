//! Compares and writes 32-bit floats by their shortest decimal text.
//!
//! The 32-bit float 0.1 is 0.100000001490116…, but every file shows `0.1`. So a filter compares the shortest decimal
//! text that parses to the same float. All sources use this module, because databases and libraries print the last
//! digit of a 32-bit float differently.

use polars::prelude::{
    Column, DataType, Expr, Field, Float32Chunked, Float64Chunked, IntoColumn, IntoSeries, NewChunkedArray,
    PolarsResult,
};

/// Converts a 32-bit float to the double with the same shortest decimal text, so that 0.1 stays 0.1.
pub fn shortest(real: f32) -> f64 {
    zmij::Buffer::new().format(real).parse().unwrap_or_else(|_| f64::from(real))
}

/// Converts a column of 32-bit floats to doubles with the same shortest decimal texts.
///
/// # Errors
/// When the values of the column are not 32-bit floats.
pub fn widened(column: &Column) -> PolarsResult<Column> {
    let doubles = column.f32()?.iter().map(|real| real.map(shortest));
    Ok(Float64Chunked::from_iter_options(column.name().clone(), doubles).into_series().into_column())
}

/// Converts a column of doubles to 32-bit floats. Returns None if the shortest decimal text of a value would change.
///
/// # Errors
/// When the values of the column are not doubles.
pub fn narrowed(column: &Column) -> PolarsResult<Option<Column>> {
    let doubles = column.f64()?;
    let fits = |double: f64| double.is_nan() || shortest(double as f32) == double;
    if !doubles.iter().flatten().all(fits) {
        return Ok(None);
    }
    let floats = doubles.iter().map(|double| double.map(|double| double as f32));
    Ok(Some(Float32Chunked::from_iter_options(column.name().clone(), floats).into_series().into_column()))
}

/// Converts an expression of 32-bit or 64-bit floats to doubles.
pub fn doubles(column: Expr) -> Expr {
    let read = |column: Column| match column.dtype() {
        DataType::Float32 => widened(&column),
        _ => column.strict_cast(&DataType::Float64),
    };
    column.map(read, |_, field| Ok(Field::new(field.name().clone(), DataType::Float64)))
}

/// The position of a filter's number among the 32-bit floats. The number equals one of the floats, or lies between two
/// of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NearestFloat {
    /// The greatest 32-bit float whose shortest decimal text is at most the filter's number.
    pub floor: f32,
    /// Whether the shortest decimal text of `floor` equals the filter's number. Also true if both are NaN.
    pub exact: bool,
}

impl NearestFloat {
    /// Finds the position of a filter's number, which may be NaN or infinite.
    pub fn of(number: f64) -> Self {
        // the cast gives the nearest float, which may lie above the number
        let mut floor = number as f32;
        while shortest(floor) > number {
            floor = floor.next_down();
        }
        while floor < f32::MAX && shortest(floor.next_up()) <= number {
            floor = floor.next_up();
        }
        Self { floor, exact: shortest(floor) == number || number.is_nan() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_float_equals_the_number_of_its_shortest_text() {
        for (real, double) in [(0.1_f32, 0.1), (1.5, 1.5), (f32::MAX, 3.402_823_5e38), (-1.0e-45, -1.0e-45)] {
            assert_eq!(shortest(real), double);
        }
        assert!(shortest(f32::NAN).is_nan() && shortest(f32::NEG_INFINITY) == f64::NEG_INFINITY);
        assert!(shortest(-0.0).is_sign_negative());
    }

    #[test]
    fn narrowing_keeps_the_text_of_every_value_or_is_refused() {
        let floats = Column::new("x".into(), [Some(0.1_f32), None, Some(f32::INFINITY), Some(f32::NAN)]);
        let wide = widened(&floats).unwrap();
        assert_eq!(wide.f64().unwrap().iter().take(3).collect::<Vec<_>>(), [Some(0.1), None, Some(f64::INFINITY)]);
        assert!(narrowed(&wide).unwrap().unwrap().equals_missing(&floats));
        for lost in [0.123_456_789_012, 1e300, 33_554_449.0] {
            assert_eq!(narrowed(&Column::new("x".into(), [0.1, lost])).unwrap(), None, "{lost}");
        }
    }

    #[test]
    fn a_number_lies_between_its_floor_and_the_next_float() {
        let mut seed = 99_u64;
        let mut any = move || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 32) as u32
        };
        let floats = (0..20_000).map(|_| f32::from_bits(any())).filter(|real| real.is_finite());
        let edges = [0.0, -0.0, f32::MAX, f32::MIN, f32::MIN_POSITIVE, 1e-45, -1e-45, 33_554_448.0, 9.765_625e-4];
        for real in floats.chain(edges) {
            let number = shortest(real);
            for number in [number, number.next_down(), number.next_up(), f64::from(real)] {
                let NearestFloat { floor, exact } = NearestFloat::of(number);
                assert!(shortest(floor) <= number && exact == (shortest(floor) == number), "{number}: {floor}");
                assert!(floor == f32::MAX || shortest(floor.next_up()) > number, "{number}: {floor}");
            }
            assert_eq!(NearestFloat::of(number), NearestFloat { floor: real, exact: true }, "{real}");
        }
        for infinite in [f32::INFINITY, f32::NEG_INFINITY] {
            let expected = NearestFloat { floor: infinite, exact: true };
            assert_eq!(NearestFloat::of(f64::from(infinite)), expected);
        }
        let NearestFloat { floor, exact } = NearestFloat::of(f64::NAN);
        assert!(floor.is_nan() && exact);
        assert_eq!(NearestFloat::of(1e300), NearestFloat { floor: f32::MAX, exact: false });
        assert_eq!(NearestFloat::of(-1e300), NearestFloat { floor: f32::NEG_INFINITY, exact: false });
    }
}
