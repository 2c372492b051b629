//! The interface between a dataset of files and the readers of its kinds of files.

use polars::prelude::DataFrame;

use super::super::DatasetError;

/// Handles a frame; returns false when no further frame is needed.
pub(super) type FrameHandler<'a> = &'a mut dyn FnMut(DataFrame) -> Result<bool, DatasetError>;
