//! The callback to which the reader of each file format passes its frames.

use polars::prelude::DataFrame;

use super::super::DatasetError;

/// Handles a frame; returns false when no further frame is needed.
pub(super) type FrameHandler<'a> = &'a mut dyn FnMut(DataFrame) -> Result<bool, DatasetError>;
