//! The callback to which the reader of each file format passes the frames of a file.

use polars::prelude::DataFrame;

use super::super::DatasetError;

/// Handles the next frame of a file. Returns true to get the next frame, and false if the query needs no further frame.
pub(super) type FrameHandler<'a> = &'a mut dyn FnMut(DataFrame) -> Result<bool, DatasetError>;
