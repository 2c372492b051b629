//! Reads the version of a nats-server and compares it with the oldest supported one.

use std::fmt;

/// The oldest supported release: the first one that supports a TTL for each message.
pub(super) const OLDEST: Version = Version(2, 11, 0);

/// A release of nats-server: major, minor and patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(u32, u32, u32);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

impl Version {
    /// Parses a version such as `nats-server: v2.15.1`. Ignores a suffix after a dash.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let numbers = text.trim().rsplit('v').next()?.split('-').next()?;
        let mut numbers = numbers.split('.').map(|number| number.trim().parse().ok());
        Some(Self(numbers.next()??, numbers.next()??, numbers.next().flatten().unwrap_or(0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_parsed_and_compared() {
        assert_eq!(Version::parse("nats-server: v2.15.1\n"), Some(Version(2, 15, 1)));
        assert_eq!(Version::parse("nats-server: v2.12.0-RC.3"), Some(Version(2, 12, 0)));
        assert_eq!(Version::parse("nonsense"), None);
        assert!(Version::parse("nats-server: v2.9.25").unwrap() < OLDEST);
        assert!(Version::parse("nats-server: v2.11.0").unwrap() >= OLDEST);
    }
}
