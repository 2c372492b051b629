//! Numbers of 32 bits as they are written: with the fewest digits that tell them apart.
//!
//! 0.1 among them is 0.100000001490116…, which nobody has put there, and which no file shows. So a filter compares what is
//! shown, and each source does it by the same numbers, as databases and libraries differ in the last digit that they write.

use polars::prelude::{
    Column, DataType, Expr, Field, Float32Chunked, Float64Chunked, IntoColumn, IntoSeries, NewChunkedArray,
    PolarsResult,
};

/// The double that is written with the same digits.
pub(crate) fn shown(real: f32) -> f64 {
    zmij::Buffer::new().format(real).parse().unwrap_or_else(|_| f64::from(real))
}

/// A column of them as doubles.
///
/// # Errors
/// When it is of another type.
pub(crate) fn widened(column: &Column) -> PolarsResult<Column> {
    let doubles = column.f32()?.iter().map(|real| real.map(shown));
    Ok(Float64Chunked::from_iter_options(column.name().clone(), doubles).into_series().into_column())
}

/// A column of doubles as numbers of 32 bits; None when one of them would be written otherwise.
///
/// # Errors
/// When it is of another type.
pub(crate) fn narrowed(column: &Column) -> PolarsResult<Option<Column>> {
    let doubles = column.f64()?;
    let fits = |double: f64| double.is_nan() || shown(double as f32) == double;
    if !doubles.iter().flatten().all(fits) {
        return Ok(None);
    }
    let reals = doubles.iter().map(|double| double.map(|double| double as f32));
    Ok(Some(Float32Chunked::from_iter_options(column.name().clone(), reals).into_series().into_column()))
}

/// Floats of either width as doubles, to be calculated with.
pub(crate) fn doubles(column: Expr) -> Expr {
    let read = |column: Column| match column.dtype() {
        DataType::Float32 => widened(&column),
        _ => column.strict_cast(&DataType::Float64),
    };
    column.map(read, |_, field| Ok(Field::new(field.name().clone(), DataType::Float64)))
}

/// A number among those of 32 bits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Fitted {
    /// The greatest that is shown as the number, or as less.
    pub(super) floor: f32,
    /// Whether it is shown as the number.
    pub(super) exact: bool,
}

impl Fitted {
    pub(super) fn of(number: f64) -> Self {
        // the nearest, or a neighbour of it
        let mut floor = number as f32;
        while shown(floor) > number {
            floor = floor.next_down();
        }
        while floor < f32::MAX && shown(floor.next_up()) <= number {
            floor = floor.next_up();
        }
        Self { floor, exact: shown(floor) == number }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_real_is_the_number_that_it_is_written_as() {
        for (real, double) in [(0.1_f32, 0.1), (1.5, 1.5), (f32::MAX, 3.402_823_5e38), (-1.0e-45, -1.0e-45)] {
            assert_eq!(shown(real), double);
        }
        assert!(shown(f32::NAN).is_nan() && shown(f32::NEG_INFINITY) == f64::NEG_INFINITY);
        assert!(shown(-0.0).is_sign_negative());
    }

    #[test]
    fn a_column_keeps_what_is_written_in_either_width_or_is_not_made() {
        let reals = Column::new("x".into(), [Some(0.1_f32), None, Some(f32::INFINITY), Some(f32::NAN)]);
        let wide = widened(&reals).unwrap();
        assert_eq!(wide.f64().unwrap().iter().take(3).collect::<Vec<_>>(), [Some(0.1), None, Some(f64::INFINITY)]);
        assert!(narrowed(&wide).unwrap().unwrap().equals_missing(&reals));
        for lost in [0.123_456_789_012, 1e300, 33_554_449.0] {
            assert_eq!(narrowed(&Column::new("x".into(), [0.1, lost])).unwrap(), None, "{lost}");
        }
    }

    #[test]
    fn a_number_lies_at_or_above_its_floor_and_below_the_next() {
        let mut seed = 99_u64;
        let mut any = move || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 32) as u32
        };
        let reals = (0..20_000).map(|_| f32::from_bits(any())).filter(|real| real.is_finite());
        let edges = [0.0, -0.0, f32::MAX, f32::MIN, f32::MIN_POSITIVE, 1e-45, -1e-45, 33_554_448.0, 9.765_625e-4];
        for real in reals.chain(edges) {
            let number = shown(real);
            for number in [number, number.next_down(), number.next_up(), f64::from(real)] {
                let Fitted { floor, exact } = Fitted::of(number);
                assert!(shown(floor) <= number && exact == (shown(floor) == number), "{number}: {floor}");
                assert!(floor == f32::MAX || shown(floor.next_up()) > number, "{number}: {floor}");
            }
            assert_eq!(Fitted::of(number), Fitted { floor: real, exact: true }, "{real}");
        }
        assert_eq!(Fitted::of(1e300), Fitted { floor: f32::MAX, exact: false });
        assert_eq!(Fitted::of(-1e300), Fitted { floor: f32::NEG_INFINITY, exact: false });
    }
}
