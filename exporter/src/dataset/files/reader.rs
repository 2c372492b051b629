//! The callback that receives the data frames of a file. The reader of each file format calls it.

use polars::prelude::DataFrame;

use super::super::DatasetError;

/// Handles the next data frame of a file. Returns true to get the next frame, and false if the query needs no further
/// frame.
pub(super) type FrameHandler<'a> = &'a mut dyn FnMut(DataFrame) -> Result<bool, DatasetError>;
