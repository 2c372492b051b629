//! The limits of memory, threads and temporary files of one pipeline.

use crate::{
    format::{CompressionLevels, FormatLimits},
    segment::SegmentLimits,
};

/// The limits of memory, threads and temporary files for the pipeline of one file.
#[derive(Clone, Debug)]
pub struct PipelineLimits {
    /// The size and age at which segments are closed.
    pub segments: SegmentLimits,
    /// The maximum number of data frames of one export that are encoded at once.
    pub encoder_threads: usize,
    /// The maximum memory for sorting the rows of one export, in bytes.
    pub max_sort_size_per_export: u64,
    /// The compression levels of gzip and zstd.
    pub compression: CompressionLevels,
    /// The limits of temporary files, sheets and archive parts.
    pub format: FormatLimits,
}
