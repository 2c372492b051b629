//! The resources of one pipeline.

use crate::{
    format::{CompressionLevels, FormatLimits},
    segment::SegmentLimits,
};

/// The resources that the pipeline of one file may use.
#[derive(Clone, Debug)]
pub struct PipelineLimits {
    /// The size and age at which segments are closed.
    pub segments: SegmentLimits,
    /// The number of frames that are encoded at once.
    pub encoder_threads: usize,
    /// The maximum memory of the rows that a template sorts, in bytes.
    pub sort_memory: u64,
    /// The levels of gzip and zstd.
    pub compression: CompressionLevels,
    /// The temporary files, sheets and parts of a format.
    pub format: FormatLimits,
}
