//! Parses versions that programs print.

use std::fmt;

/// `major.minor.patch`; missing parts are 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version(pub(crate) u32, pub(crate) u32, pub(crate) u32);

impl Version {
    /// The first version in a text such as `nats-server: v2.15.1` or `v20.19.0`.
    pub(crate) fn find(text: &str) -> Option<Self> {
        text.split(|c: char| c.is_whitespace() || c == ',').find_map(Self::read)
    }

    fn read(word: &str) -> Option<Self> {
        let word = word.strip_prefix('v').unwrap_or(word);
        // `2.11.0-beta.1` and `15.2+deb12` count as their release.
        let release = word.split(['-', '+']).next()?;
        let mut numbers = release.split('.').map(str::parse::<u32>);
        let (major, minor) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
        let patch = numbers.next().map_or(Some(0), Result::ok)?;
        Some(Self(major, minor, patch))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_programs_print() {
        let printed = [
            ("nats-server: v2.15.1", Some(Version(2, 15, 1))),
            ("nats-server: v2.11.0-RC.3", Some(Version(2, 11, 0))),
            ("v20.20.2\n", Some(Version(20, 20, 2))),
            ("initdb (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)", Some(Version(15, 14, 0))),
            ("Python 3.11.7", Some(Version(3, 11, 7))),
            ("command not found", None),
            ("version 7", None),
            ("", None),
        ];
        for (text, expected) in printed {
            assert_eq!(Version::find(text), expected, "{text:?}");
        }
    }

    #[test]
    fn versions_are_ordered_by_number() {
        assert!(Version(2, 9, 25) < Version(2, 11, 0));
        assert!(Version(2, 11, 0) <= Version(2, 11, 0));
        assert!(Version(10, 0, 0) > Version(9, 99, 99));
        assert_eq!(Version(2, 11, 0).to_string(), "2.11.0");
    }
}
