//! Sizes in settings, such as `"8 MiB"`.

use std::{fmt, str::FromStr};

use super::{UnitError, impl_unit_type, number_with_unit};

/// The units and their numbers of bytes, from the largest to the smallest.
const UNITS: [(&str, u64); 5] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];
const UNIT_REQUIRED: &str = number_with_unit!("8 MiB");

/// A number of bytes in a setting, such as `"512 B"`, `"64 KiB"`, `"8 MiB"` or `"1 GiB"`.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(u64);

impl ByteSize {
    /// Creates a size of this many bytes.
    #[must_use]
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// Creates a size of this many KiB (1024 bytes).
    #[must_use]
    pub const fn kib(kibibytes: u64) -> Self {
        Self(kibibytes << 10)
    }

    /// Creates a size of this many MiB (1024² bytes).
    #[must_use]
    pub const fn mib(mebibytes: u64) -> Self {
        Self(mebibytes << 20)
    }

    /// Creates a size of this many GiB (1024³ bytes).
    #[must_use]
    pub const fn gib(gibibytes: u64) -> Self {
        Self(gibibytes << 30)
    }

    /// Returns the size in bytes as an integer.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// Returns the size in bytes as a `usize`, or `usize::MAX` if the size exceeds the address space.
    #[must_use]
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl FromStr for ByteSize {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let text = text.trim();
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let unit = unit.trim_start();
        if number.is_empty() || unit.is_empty() {
            return Err(UnitError(UNIT_REQUIRED.into()));
        }
        let known = UNITS.iter().find(|(name, _)| *name == unit);
        let (_, factor) =
            known.ok_or_else(|| UnitError(format!("unknown unit {unit:?}: use B, KiB, MiB, GiB or TiB")))?;
        let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(*factor));
        bytes.map(Self).ok_or_else(|| UnitError(format!("{text} exceeds the largest size, 2^64 - 1 bytes")))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = UNITS.iter().find(|(_, factor)| self.0 > 0 && self.0.is_multiple_of(*factor));
        let (unit, factor) = whole.unwrap_or(&("B", 1));
        f.pad(&format!("{} {unit}", self.0 / factor))
    }
}

impl_unit_type!(
    ByteSize,
    "ByteSize",
    r"^\d+\s*(B|KiB|MiB|GiB|TiB)$",
    ["512 B", "64 KiB", "8 MiB", "1 GiB"],
    UNIT_REQUIRED
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_sizes_convert_both_ways() {
        for (text, bytes) in
            [("0 B", 0), ("512 B", 512), ("64 KiB", 65_536), ("8 MiB", 8 << 20), ("1 GiB", 1 << 30), ("1025 B", 1_025)]
        {
            let size: ByteSize = text.parse().unwrap();
            assert_eq!((size.bytes(), size.to_string().as_str()), (bytes, text));
        }
        assert_eq!(" 8MiB ".parse(), Ok(ByteSize::mib(8)));
        assert_eq!("1024 KiB".parse(), Ok(ByteSize::mib(1)));
    }

    #[test]
    fn texts_that_are_no_size_are_refused() {
        for text in ["", "8", "MiB", "-1 B", "1.5 MiB", "8 MB", "8 mib", "99999999999 TiB"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
    }
}
