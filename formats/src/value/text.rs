//! Appends single values as text to a buffer, without an allocation for each value.

use polars::prelude::TimeUnit;

use super::infinity;

const NANOS_PER_SECOND: i64 = 1_000_000_000;
const SECONDS_PER_DAY: i64 = 86_400;
const DIGITS: &[u8; 200] = b"00010203040506070809101112131415161718192021222324252627282930313233343536373839404142434445464748495051525354555657585960616263646566676869707172737475767778798081828384858687888990919293949596979899";

/// Appends a whole number in decimal digits.
#[inline]
pub fn int(out: &mut Vec<u8>, value: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends the shortest decimal text that parses to the same float. Floats that are not finite are `NaN`, `INF` and
/// `-INF`, as in XML Schema.
#[inline]
pub fn float(out: &mut Vec<u8>, value: impl Float) {
    match value.special() {
        Some(text) => out.extend_from_slice(text),
        None => out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes()),
    }
}

/// The float types `f32` and `f64`. They share a method that returns the text of a value that is not finite.
pub trait Float: zmij::Float {
    /// Returns `NaN`, `INF` or `-INF`; None for a finite value.
    fn special(self) -> Option<&'static [u8]>;
}

macro_rules! float {
    ($kind:ty) => {
        impl Float for $kind {
            #[inline]
            fn special(self) -> Option<&'static [u8]> {
                if self.is_finite() {
                    None
                } else if self.is_nan() {
                    Some(b"NaN")
                } else if self > 0.0 {
                    Some(b"INF")
                } else {
                    Some(b"-INF")
                }
            }
        }
    };
}
float!(f32);
float!(f64);

/// Appends the decimal `unscaled` / 10^`scale`, with exactly `scale` digits after the point.
#[inline]
pub fn decimal(out: &mut Vec<u8>, unscaled: i128, scale: usize) {
    // fast path for amounts of money, which have two digits after the point and fit into 64 bits
    if let (2, Ok(narrow)) = (scale, i64::try_from(unscaled)) {
        if narrow < 0 {
            out.push(b'-');
        }
        let positive = narrow.unsigned_abs();
        int(out, positive / 100);
        out.push(b'.');
        return two_digits(out, (positive % 100) as i64);
    }
    wide_decimal(out, unscaled, scale);
}

/// Appends a decimal of any size and scale. [`decimal`] calls this function for decimals that its faster code does not
/// support.
fn wide_decimal(out: &mut Vec<u8>, unscaled: i128, scale: usize) {
    if scale == 0 {
        return int(out, unscaled);
    }
    if unscaled < 0 {
        out.push(b'-');
    }
    let mut buffer = itoa::Buffer::new();
    let positive = unscaled.unsigned_abs();
    let digits = match u64::try_from(positive) {
        Ok(narrow) => buffer.format(narrow),
        Err(_) => buffer.format(positive),
    }
    .as_bytes();
    match digits.len().checked_sub(scale) {
        Some(whole) if whole > 0 => {
            out.extend_from_slice(&digits[..whole]);
            out.push(b'.');
            out.extend_from_slice(&digits[whole..]);
        }
        _ => {
            out.extend_from_slice(b"0.");
            out.resize(out.len() + scale - digits.len(), b'0');
            out.extend_from_slice(digits);
        }
    }
}

/// Appends `true` or `false`.
#[inline]
pub fn boolean(out: &mut Vec<u8>, value: bool) {
    out.extend_from_slice(if value { b"true" } else { b"false" });
}

/// Appends a date such as `2001-01-13`, given in days since 1970-01-01 of the proleptic Gregorian calendar.
#[inline]
pub fn date(out: &mut Vec<u8>, days: i64) {
    if let Some(word) = infinity::date(days) {
        return out.extend_from_slice(word);
    }
    let (date, month, day) = civil(days);
    year(out, date);
    out.push(b'-');
    two_digits(out, month);
    out.push(b'-');
    two_digits(out, day);
}

/// Converts days since 1970-01-01 to a year, a month (1 to 12) and a day (1 to 31).
#[inline]
pub const fn civil(days: i64) -> (i64, i64, i64) {
    // count in eras of 400 years that begin on 1 March, so that a leap day is the last day of its year
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + if month <= 2 { 1 } else { 0 }, month, day)
}

/// Appends a year with at least four digits. A year outside 0 to 9999 has a sign, as in XML Schema and ISO 8601.
#[inline]
pub fn year(out: &mut Vec<u8>, year: i64) {
    if (0..10_000).contains(&year) {
        two_digits(out, year / 100);
        two_digits(out, year % 100);
    } else {
        out.push(if year < 0 { b'-' } else { b'+' });
        let mut buffer = itoa::Buffer::new();
        let digits = buffer.format(year.unsigned_abs()).as_bytes();
        out.resize(out.len() + 4usize.saturating_sub(digits.len()), b'0');
        out.extend_from_slice(digits);
    }
}

/// Appends a time of day such as `15:26:01`, given in nanoseconds since midnight, with a fraction of 0, 3, 6
/// or 9 digits.
#[inline]
pub fn time(out: &mut Vec<u8>, nanos: i64) {
    if let Some(word) = infinity::time(nanos) {
        return out.extend_from_slice(word);
    }
    clock(out, nanos.div_euclid(NANOS_PER_SECOND), nanos.rem_euclid(NANOS_PER_SECOND));
}

/// Appends a timestamp in UTC such as `2001-01-13T14:56:00Z`. `value` counts `unit`s since 1970-01-01.
#[inline]
pub fn datetime(out: &mut Vec<u8>, value: i64, unit: TimeUnit) {
    local_datetime(out, value, unit);
    // `infinity` has no offset
    if out.last().is_some_and(u8::is_ascii_digit) {
        out.push(b'Z');
    }
}

/// Appends a timestamp without a time zone, such as `2001-01-13T14:56:00`. `value` counts `unit`s since 1970-01-01.
#[inline]
pub fn local_datetime(out: &mut Vec<u8>, value: i64, unit: TimeUnit) {
    if let Some(word) = infinity::timestamp(value, unit) {
        return out.extend_from_slice(word);
    }
    let per_second = match unit {
        TimeUnit::Milliseconds => 1_000,
        TimeUnit::Microseconds => 1_000_000,
        TimeUnit::Nanoseconds => NANOS_PER_SECOND,
    };
    let seconds = value.div_euclid(per_second);
    date(out, seconds.div_euclid(SECONDS_PER_DAY));
    out.push(b'T');
    clock(out, seconds.rem_euclid(SECONDS_PER_DAY), value.rem_euclid(per_second) * (NANOS_PER_SECOND / per_second));
}

#[inline]
fn clock(out: &mut Vec<u8>, seconds: i64, nanos: i64) {
    two_digits(out, seconds / 3600);
    out.push(b':');
    two_digits(out, seconds / 60 % 60);
    out.push(b':');
    two_digits(out, seconds % 60);
    shortest_fraction(out, nanos);
}

/// Appends the fraction of a second as `.` and 3, 6 or 9 digits. Appends nothing when the fraction is zero.
#[inline]
pub fn shortest_fraction(out: &mut Vec<u8>, nanos: i64) {
    if nanos == 0 {
        return;
    }
    out.push(b'.');
    fraction(
        out,
        nanos,
        if nanos % 1_000_000 == 0 {
            3
        } else if nanos % 1_000 == 0 {
            6
        } else {
            9
        },
    );
}

/// Appends the first `digits` digits of a fraction of a second, which is given in nanoseconds. `digits` is at most
/// nine. Further digits are truncated.
pub fn fraction(out: &mut Vec<u8>, nanos: i64, digits: usize) {
    let at = out.len();
    out.resize(at + 9, b'0');
    let mut rest = nanos;
    for digit in out[at..].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    out.truncate(at + digits);
}

/// Appends the last two digits of a non-negative number.
#[inline]
pub fn two_digits(out: &mut Vec<u8>, value: i64) {
    let at = (value as usize % 100) * 2;
    out.extend_from_slice(&DIGITS[at..at + 2]);
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, NaiveDate, SecondsFormat};

    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn decimals_are_exact_at_every_scale() {
        for (unscaled, scale, expected) in [
            (0, 0, "0"),
            (0, 2, "0.00"),
            (5, 2, "0.05"),
            (-5, 2, "-0.05"),
            (123, 2, "1.23"),
            (-123_456, 2, "-1234.56"),
            (i128::from(i64::MAX) * 1000, 3, "9223372036854775807.000"),
            (i128::MIN, 38, "-1.70141183460469231731687303715884105728"),
        ] {
            assert_eq!(text(|out| decimal(out, unscaled, scale)), expected);
        }
    }

    #[test]
    fn dates_agree_with_chrono_over_all_its_years() {
        let epoch = NaiveDate::from_ymd_opt(1970, 1, 1).unwrap();
        for days in (-719_528..2_932_897).step_by(97).chain([-1, 0, 1, 58, 59, 60, 11_016, 11_017, 2_932_896]) {
            let expected = (epoch + chrono::TimeDelta::days(days)).format("%Y-%m-%d").to_string();
            assert_eq!(text(|out| date(out, days)), expected);
        }
        assert_eq!(text(|out| date(out, 2_932_897)), "+10000-01-01");
        assert_eq!(text(|out| date(out, -719_529)), "-0001-12-31");
    }

    #[test]
    fn timestamps_agree_with_chrono_before_and_after_the_epoch() {
        for nanos in [
            0,
            1,
            -1,
            999_999_999,
            -86_400_000_000_000,
            979_397_760_000_000_000,
            979_397_760_123_000_000,
            i64::MIN,
            i64::MAX,
        ] {
            let expected = DateTime::from_timestamp_nanos(nanos).to_rfc3339_opts(SecondsFormat::AutoSi, true);
            assert_eq!(text(|out| datetime(out, nanos, TimeUnit::Nanoseconds)), expected);
        }
        assert_eq!(text(|out| datetime(out, -1, TimeUnit::Milliseconds)), "1969-12-31T23:59:59.999Z");
        assert_eq!(text(|out| datetime(out, 979_397_760_000_000, TimeUnit::Microseconds)), "2001-01-13T14:56:00Z");
        let local = |value| text(|out| local_datetime(out, value, TimeUnit::Microseconds));
        assert_eq!(
            (local(979_397_760_000_000), local(-1)),
            ("2001-01-13T14:56:00".into(), "1969-12-31T23:59:59.999999".into())
        );
        let (zoned, far) = (text(|out| datetime(out, i64::MAX, TimeUnit::Microseconds)), local(i64::MAX));
        assert_eq!((zoned.as_str(), far.as_str()), ("infinity", "infinity"));
        assert_eq!(text(|out| time(out, 86_399_000_001_000)), "23:59:59.000001");
    }

    #[test]
    fn floats_read_back_as_themselves() {
        for value in [0.0, -0.0, 1.0, 0.1, 1e300, 5e-324, f64::MAX, 1.0 / 3.0, -123_456.789] {
            let text = text(|out| float(out, value));
            assert_eq!(text.parse::<f64>().unwrap().to_bits(), value.to_bits(), "{text}");
        }
        assert_eq!(text(|out| float(out, 0.1_f32)), "0.1");
        assert_eq!(text(|out| float(out, f64::NAN)), "NaN");
        assert_eq!(text(|out| float(out, f64::NEG_INFINITY)), "-INF");
        assert_eq!(text(|out| float(out, f32::INFINITY)), "INF");
    }
}
