//! The compressions of whole files, with their names, levels and suffixes.

use std::{fmt, str::FromStr};

/// The compression of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Compression {
    /// No compression, the default.
    #[default]
    None,
    /// One gzip member, which is a complete gzip stream (RFC 1952).
    Gzip,
    /// A sequence of Zstandard frames (RFC 8878).
    Zstd,
}

/// The compression levels of gzip and zstd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompressionLevels {
    /// The gzip level, from 1 (fast) to 9 (small).
    pub gzip: u32,
    /// The zstd level, from 1 (fast) to 19 (small).
    pub zstd: i32,
}

impl Default for CompressionLevels {
    fn default() -> Self {
        Self { gzip: 6, zstd: 3 }
    }
}

/// The compression library failed.
#[derive(Debug, thiserror::Error)]
#[error("compression failed: {0}")]
pub struct CompressionError(pub(super) String);

impl Compression {
    /// All compressions that requests can name. The default is first.
    pub const ALL: [Self; 3] = [Self::None, Self::Gzip, Self::Zstd];
    /// The compressions of a format that compresses its own content. Only `none` is possible, because compressing such
    /// a file again would save little.
    pub const NONE: [Self; 1] = [Self::None];

    /// Returns the name that requests use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    /// Returns the suffix that follows the format's extension in a file name, such as `.gz`.
    #[must_use]
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => ".gz",
            Self::Zstd => ".zst",
        }
    }

    /// Returns the media type of a compressed file. Returns None without compression, because the media type of the
    /// format then applies.
    #[must_use]
    pub const fn media_type(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Gzip => Some("application/gzip"),
            Self::Zstd => Some("application/zstd"),
        }
    }
}

/// Compresses the bytes as one Zstandard frame. The result depends only on the bytes and the level.
///
/// # Errors
/// When the level is out of range, or not enough memory is available.
pub fn zstd_frame(bytes: &[u8], level: i32) -> Result<Vec<u8>, CompressionError> {
    zstd::bulk::compress(bytes, level).map_err(|e| CompressionError(e.to_string()))
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The error for a request that names an unknown compression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown compression `{0}`")]
pub struct UnknownCompression(pub String);

impl FromStr for Compression {
    type Err = UnknownCompression;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|one| one.as_str() == s).ok_or_else(|| UnknownCompression(s.to_owned()))
    }
}
