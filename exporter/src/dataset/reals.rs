//! Numbers of 32 bits as they are written: with the fewest digits that tell them apart.
//!
//! 0.1 among them is 0.100000001490116…, which nobody has put there, and which no file shows. So a filter compares what is
//! shown, and each source does it by the same numbers, as databases and libraries differ in the last digit that they write.

/// The double that is written with the same digits.
pub(crate) fn shown(real: f32) -> f64 {
    zmij::Buffer::new().format(real).parse().unwrap_or_else(|_| f64::from(real))
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
