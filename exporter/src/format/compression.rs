//! Compressed files: whole gzip members or zstd frames, one after the other, so that parts of a file still concatenate.

use std::{fmt, str::FromStr};

/// How a file is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

/// What the levels of compression are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Levels {
    /// 1 (fast) to 12 (small).
    pub gzip: i32,
    /// 1 (fast) to 19 (small).
    pub zstd: i32,
}

impl Default for Levels {
    fn default() -> Self {
        Self { gzip: 6, zstd: 3 }
    }
}

/// Bytes can't be compressed.
#[derive(Debug, thiserror::Error)]
#[error("compression failed: {0}")]
pub struct CompressionError(String);

impl Compression {
    /// All of them, the default one first.
    pub const ALL: [Self; 3] = [Self::None, Self::Gzip, Self::Zstd];
    /// For formats that are compressed already.
    pub const NONE: [Self; 1] = [Self::None];

    /// The name in requests.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    /// What follows the format's extension in a file's name.
    #[must_use]
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => ".gz",
            Self::Zstd => ".zst",
        }
    }

    /// The media type of a compressed file; None: that of the format.
    #[must_use]
    pub const fn media_type(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Gzip => Some("application/gzip"),
            Self::Zstd => Some("application/zstd"),
        }
    }

    /// A whole member or frame of these bytes, always the same for the same bytes.
    ///
    /// # Errors
    /// When the library fails, which it does for want of memory only.
    pub fn pack(self, bytes: &[u8], levels: Levels) -> Result<Vec<u8>, CompressionError> {
        match self {
            Self::None => Ok(bytes.to_vec()),
            Self::Gzip => gzip(bytes, levels.gzip),
            Self::Zstd => zstd::bulk::compress(bytes, levels.zstd).map_err(|e| CompressionError(e.to_string())),
        }
    }
}

fn gzip(bytes: &[u8], level: i32) -> Result<Vec<u8>, CompressionError> {
    let failed = |what: String| CompressionError(what);
    let level = libdeflater::CompressionLvl::new(level).map_err(|e| failed(format!("{e:?}")))?;
    let mut compressor = libdeflater::Compressor::new(level);
    let mut out = vec![0; compressor.gzip_compress_bound(bytes.len())];
    let size = compressor.gzip_compress(bytes, &mut out).map_err(|e| failed(e.to_string()))?;
    out.truncate(size);
    Ok(out)
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that names no compression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown compression `{0}`")]
pub struct UnknownCompression(pub String);

impl FromStr for Compression {
    type Err = UnknownCompression;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|one| one.as_str() == s).ok_or_else(|| UnknownCompression(s.to_owned()))
    }
}
