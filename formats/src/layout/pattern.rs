//! Parses and applies patterns of dates and times, such as `dd.MM.yyyy HH:mm`. The notation is that of CSV on the Web,
//! a subset of Unicode's date format patterns (UTS 35).

use std::fmt;

use chrono::{DateTime, Offset, TimeZone};
use chrono_tz::Tz;

use crate::value::text;

/// The maximum length of a pattern, in bytes.
const MAX_LENGTH: usize = 64;
const SECONDS_PER_DAY: i64 = 86_400;

/// A pattern for dates, timestamps or times of day, and the time zone in which timestamps are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    parts: Vec<Part>,
    time_zone: Option<Tz>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// `yyyy`: the year, with four digits.
    Year,
    /// `MM` or `M`: the month, with this minimum number of digits.
    Month(u8),
    /// `dd` or `d`: the day, with this minimum number of digits.
    Day(u8),
    /// `HH`: the hour, from 00 to 23.
    Hour,
    /// `mm`: the minute, with two digits.
    Minute,
    /// `ss`: the second, with two digits.
    Second,
    /// `S` to `SSSSSSSSS`: the fraction of a second, with this number of digits.
    Fraction(u8),
    /// The shortest exact fraction of a second, which is either nothing, or `.` and 3, 6 or 9 digits. Only built-in
    /// patterns have this part.
    ShortestFraction,
    /// `XXX`: the offset from UTC, as `Z` or `+01:00`.
    Offset,
    /// A character that is written unchanged.
    Literal(char),
}

/// Why a pattern is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// The pattern is empty or exceeds the maximum length.
    #[error("a pattern has 1 to {MAX_LENGTH} bytes")]
    Length,
    /// The pattern contains letters that stand for no part of a date or time.
    #[error(
        "unknown part `{0}`: a pattern has yyyy, MM or M, dd or d, HH, mm, ss, S to SSSSSSSSS, XXX, T and punctuation"
    )]
    Unknown(String),
    /// Quoted text in the pattern has no closing quote.
    #[error("a quote is not closed")]
    Quote,
}

impl Pattern {
    /// Parses a pattern.
    ///
    /// # Errors
    /// When the pattern has unknown letters, an unclosed quote or an invalid length.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text.is_empty() || text.len() > MAX_LENGTH {
            return Err(PatternError::Length);
        }
        let mut parts = Vec::new();
        let mut chars = text.chars().peekable();
        while let Some(first) = chars.next() {
            if first == '\'' {
                loop {
                    match chars.next() {
                        Some('\'') => break,
                        Some(other) => parts.push(Part::Literal(other)),
                        None => return Err(PatternError::Quote),
                    }
                }
                continue;
            }
            if !first.is_alphabetic() || first == 'T' {
                parts.push(Part::Literal(first));
                continue;
            }
            let mut count = 1_u8;
            while chars.next_if_eq(&first).is_some() {
                count += 1;
            }
            parts.push(match (first, count) {
                ('y', 4) => Part::Year,
                ('M', 1 | 2) => Part::Month(count),
                ('d', 1 | 2) => Part::Day(count),
                ('H', 2) => Part::Hour,
                ('m', 2) => Part::Minute,
                ('s', 2) => Part::Second,
                ('S', 1..=9) => Part::Fraction(count),
                ('X', 3) => Part::Offset,
                _ => return Err(PatternError::Unknown(std::iter::repeat_n(first, usize::from(count)).collect())),
            });
        }
        Ok(Self { text: text.to_owned(), parts, time_zone: None })
    }

    /// Returns the pattern that writes timestamps such as `2026-11-22 16:26:01`, which spreadsheets can parse. The
    /// fraction of a second follows the seconds, unless the fraction is zero.
    pub fn spreadsheet() -> Self {
        use Part::{Day, Hour, Literal, Minute, Month, Second, ShortestFraction, Year};
        let dash = Literal('-');
        let colon = Literal(':');
        let parts = vec![
            Year,
            dash,
            Month(2),
            dash,
            Day(2),
            Literal(' '),
            Hour,
            colon,
            Minute,
            colon,
            Second,
            ShortestFraction,
        ];
        Self { text: "yyyy-MM-dd HH:mm:ss".into(), parts, time_zone: None }
    }

    /// Returns the pattern that writes timestamps such as `2026-11-22T16:26:01+01:00`. The fraction of a second follows
    /// the seconds, unless the fraction is zero.
    pub fn iso() -> Self {
        use Part::{Day, Hour, Literal, Minute, Month, Offset, Second, ShortestFraction, Year};
        let dash = Literal('-');
        let colon = Literal(':');
        let parts = vec![
            Year,
            dash,
            Month(2),
            dash,
            Day(2),
            Literal('T'),
            Hour,
            colon,
            Minute,
            colon,
            Second,
            ShortestFraction,
            Offset,
        ];
        Self { text: "yyyy-MM-ddTHH:mm:ssXXX".into(), parts, time_zone: None }
    }

    /// Sets the time zone in which the pattern writes timestamps; None selects UTC.
    #[must_use]
    pub fn in_time_zone(self, time_zone: Option<Tz>) -> Self {
        Self { time_zone, ..self }
    }

    /// Whether the pattern has a year, month or day.
    #[must_use]
    pub fn has_date(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Year | Part::Month(_) | Part::Day(_)))
    }

    /// Whether the pattern has an hour, minute, second or fraction, or the offset from UTC.
    #[must_use]
    pub fn has_time(&self) -> bool {
        let of_time = |part: &Part| {
            matches!(part, Part::Hour | Part::Minute | Part::Second | Part::Fraction(_) | Part::ShortestFraction)
        };
        self.parts.iter().any(of_time) || self.has_offset()
    }

    /// Whether the pattern has the offset from UTC. Without the offset, the text of a timestamp does not identify one
    /// instant.
    #[must_use]
    pub fn has_offset(&self) -> bool {
        self.parts.contains(&Part::Offset)
    }

    /// Whether text in this pattern can contain one of the `wanted` bytes, such as `:`. `wanted` must not contain
    /// letters, digits or signs.
    pub fn can_write(&self, wanted: &[u8]) -> bool {
        self.parts.iter().any(|part| match part {
            Part::Literal(c) => u8::try_from(*c).is_ok_and(|byte| wanted.contains(&byte)),
            Part::ShortestFraction => wanted.contains(&b'.'),
            Part::Offset => wanted.contains(&b':') || wanted.contains(&b'+'),
            _ => false,
        })
    }

    /// Returns the number format of workbook cells that corresponds to this pattern. The number format has at most
    /// three digits of a fraction, and no offset from UTC.
    pub fn number_format(&self) -> String {
        self.parts
            .iter()
            .map(|part| match part {
                Part::Year => "yyyy".to_owned(),
                Part::Month(n) => "m".repeat(usize::from(*n)),
                Part::Day(n) => "d".repeat(usize::from(*n)),
                Part::Hour => "hh".into(),
                Part::Minute => "mm".into(),
                Part::Second => "ss".into(),
                // a workbook writes at most three digits of a fraction
                Part::Fraction(n) => "0".repeat(usize::from(*n.min(&3))),
                Part::ShortestFraction | Part::Offset => String::new(),
                Part::Literal(c) if "-/: .,".contains(*c) => c.to_string(),
                Part::Literal(c) => format!("\\{c}"),
            })
            .collect()
    }

    /// Appends a timestamp. `seconds` count from 1970-01-01 in UTC, and `nanos` are the nanoseconds within the second.
    pub fn write(&self, out: &mut Vec<u8>, seconds: i64, nanos: i64) {
        let offset = self.time_zone.map_or(0, |zone| utc_offset(zone, seconds));
        let local = seconds.saturating_add(offset);
        let (year, month, day) = text::civil(local.div_euclid(SECONDS_PER_DAY));
        let second = local.rem_euclid(SECONDS_PER_DAY);
        for part in &self.parts {
            match part {
                Part::Year => text::year(out, year),
                Part::Month(2) => text::two_digits(out, month),
                Part::Month(_) => text::int(out, month),
                Part::Day(2) => text::two_digits(out, day),
                Part::Day(_) => text::int(out, day),
                Part::Hour => text::two_digits(out, second / 3600),
                Part::Minute => text::two_digits(out, second / 60 % 60),
                Part::Second => text::two_digits(out, second % 60),
                Part::Fraction(digits) => text::fraction(out, nanos, usize::from(*digits)),
                Part::ShortestFraction => text::shortest_fraction(out, nanos),
                Part::Offset if offset == 0 => out.push(b'Z'),
                Part::Offset => {
                    out.push(if offset < 0 { b'-' } else { b'+' });
                    text::two_digits(out, offset.abs() / 3600);
                    out.push(b':');
                    text::two_digits(out, offset.abs() / 60 % 60);
                }
                Part::Literal(c) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Returns the offset of a time zone from UTC at a given time, in seconds east of UTC. `seconds` is the time in seconds
/// since 1970-01-01 in UTC. Returns 0 for years that chrono does not support.
pub fn utc_offset(zone: Tz, seconds: i64) -> i64 {
    DateTime::from_timestamp(seconds, 0)
        .map_or(0, |at| i64::from(zone.offset_from_utc_datetime(&at.naive_utc()).fix().local_minus_utc()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(pattern: &str, zone: Option<Tz>, seconds: i64, nanos: i64) -> String {
        let mut out = Vec::new();
        Pattern::parse(pattern).unwrap().in_time_zone(zone).write(&mut out, seconds, nanos);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_part_is_written_and_other_characters_are_literal() {
        let at = 979_397_765; // 2001-01-13T14:56:05Z
        for (pattern, expected) in [
            ("yyyy-MM-dd", "2001-01-13"),
            ("d.M.yyyy", "13.1.2001"),
            ("dd/MM/yyyy HH:mm:ss.SSS", "13/01/2001 14:56:05.120"),
            ("HHmm 'Uhr'", "1456 Uhr"),
            ("yyyy-MM-ddTHH:mm:ssXXX", "2001-01-13T14:56:05Z"),
            ("yyyy年M月d日", "2001年1月13日"),
        ] {
            if pattern.contains('年') {
                // literal letters of any alphabet must be quoted
                assert_eq!(Pattern::parse(pattern), Err(PatternError::Unknown("年".into())));
            } else {
                assert_eq!(written(pattern, None, at, 120_000_000), expected);
            }
        }
    }

    #[test]
    fn local_time_follows_daylight_saving_time() {
        let pattern = "yyyy-MM-dd HH:mm:ss XXX";
        let zone = Some(chrono_tz::Europe::Berlin);
        assert_eq!(written(pattern, zone, 979_397_765, 0), "2001-01-13 15:56:05 +01:00");
        assert_eq!(written(pattern, zone, 995_036_165, 0), "2001-07-13 16:56:05 +02:00");
        assert_eq!(written(pattern, Some(chrono_tz::America::New_York), 0, 0), "1969-12-31 19:00:00 -05:00");
        // chrono has no local time in the year 300000
        assert_eq!(written("yyyy", zone, 9_400_000_000_000, 0), "+299844");
    }

    #[test]
    fn invalid_patterns_are_refused() {
        for (text, error) in [
            ("", PatternError::Length),
            ("yy", PatternError::Unknown("yy".into())),
            ("DD.MM.yyyy", PatternError::Unknown("DD".into())),
            ("hh:mm", PatternError::Unknown("hh".into())),
            ("HH 'h", PatternError::Quote),
        ] {
            assert_eq!(Pattern::parse(text), Err(error));
        }
        assert_eq!(Pattern::parse(&"y".repeat(300)), Err(PatternError::Length));
    }
}
