//! Durations in settings, such as `"30s"`.

use std::{fmt, ops::Deref, str::FromStr, time::Duration};

use super::{UnitError, impl_unit_type, number_with_unit};

/// The maximum duration, 100 years. A deadline that is so far in the future overflows neither an `Instant` nor a date.
const MAX_DURATION: HumanDuration = HumanDuration::from_secs(100 * 365 * SECONDS_PER_DAY);
const SECONDS_PER_DAY: u64 = 24 * 60 * 60;
const UNIT_REQUIRED: &str = number_with_unit!("30s");

/// A duration in a setting, such as `"30s"`, `"1m 30s"`, `"24h"` or `"365days"`. A duration is a whole number of
/// milliseconds.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HumanDuration(Duration);

impl HumanDuration {
    /// Creates a duration of this many milliseconds.
    #[must_use]
    pub const fn from_millis(milliseconds: u64) -> Self {
        Self(Duration::from_millis(milliseconds))
    }

    /// Creates a duration of this many seconds.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// Returns the duration as the standard library's type.
    #[must_use]
    pub const fn get(self) -> Duration {
        self.0
    }
}

impl Deref for HumanDuration {
    type Target = Duration;

    fn deref(&self) -> &Duration {
        &self.0
    }
}

impl From<HumanDuration> for Duration {
    fn from(duration: HumanDuration) -> Self {
        duration.0
    }
}

impl From<Duration> for HumanDuration {
    fn from(duration: Duration) -> Self {
        Self(duration)
    }
}

impl FromStr for HumanDuration {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let duration = humantime::parse_duration(text).map_err(|e| match e {
            humantime::DurationError::Empty => UnitError(UNIT_REQUIRED.into()),
            humantime::DurationError::UnknownUnit { unit, .. } if unit.is_empty() => UnitError(UNIT_REQUIRED.into()),
            other => UnitError(format!("{other}; {UNIT_REQUIRED}")),
        })?;
        if duration > MAX_DURATION.0 {
            return Err(UnitError("a duration must not exceed 100 years".into()));
        }
        if duration.subsec_nanos() % 1_000_000 != 0 {
            return Err(UnitError("a duration must be a whole number of milliseconds".into()));
        }
        Ok(Self(duration))
    }
}

impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        // durations up to two days are shown in hours
        let days = if seconds > 2 * SECONDS_PER_DAY { seconds / SECONDS_PER_DAY } else { 0 };
        let rest = seconds - days * SECONDS_PER_DAY;
        let parts = [
            (days, if days == 1 { "day" } else { "days" }),
            (rest / 3600, "h"),
            (rest / 60 % 60, "m"),
            (rest % 60, "s"),
            (u64::from(self.0.subsec_millis()), "ms"),
        ];
        let parts: Vec<_> =
            parts.iter().filter(|(count, _)| *count > 0).map(|(count, unit)| format!("{count}{unit}")).collect();
        f.pad(if parts.is_empty() { "0s".into() } else { parts.join(" ") }.as_str())
    }
}

impl_unit_type!(
    HumanDuration,
    "Duration",
    r"^\d+(\.\d+)?\s*(ms|s|m|h|days?|weeks?)(\s+\d+(\.\d+)?\s*(ms|s|m|h|days?|weeks?))*$",
    ["30s", "1m 30s", "24h"],
    UNIT_REQUIRED
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_durations_convert_both_ways() {
        for (text, milliseconds) in [
            ("0s", 0),
            ("200ms", 200),
            ("1s 500ms", 1_500),
            ("30s", 30_000),
            ("1m 30s", 90_000),
            ("24h", 86_400_000),
            ("36h", 129_600_000),
            ("365days", 31_536_000_000),
            ("3days 2h", 266_400_000),
        ] {
            let duration: HumanDuration = text.parse().unwrap();
            assert_eq!(duration.as_millis(), milliseconds, "{text}");
            assert_eq!(duration.to_string(), text);
        }
        assert_eq!("1.5 s".parse(), Ok(HumanDuration::from_millis(1_500)));
        assert_eq!("1day".parse(), Ok(HumanDuration::from_secs(86_400)));
    }

    #[test]
    fn texts_that_are_no_duration_are_refused() {
        for text in ["", "30", "s", "-1s", "5 parsecs", "1us", "200 years"] {
            assert!(text.parse::<HumanDuration>().is_err(), "{text}");
        }
    }
}
