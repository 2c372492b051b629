//! Limits how deeply lists, maps and records in files are nested. The checks run before a library reads the schema or
//! the values.
//!
//! The libraries that read files convert and decode nested types recursively. A valid file with about a hundred levels
//! exhausts the stack, which ends the process. The checks of this module use no recursion.

mod arrow;
mod json;
mod parquet;

pub(super) use self::{
    arrow::{check_encoded_schema, check_file, check_stream},
    json::check_line,
    parquet::footer,
};
use crate::dataset::DatasetError;

/// The maximum depth of a value: the number of lists, maps and records that contain the value.
pub(super) const MAX_DEPTH: usize = 32;

/// The most deeply nested column found so far, and its depth.
#[derive(Debug, Default)]
struct Deepest {
    column: String,
    depth: usize,
}

impl Deepest {
    /// Replaces the recorded column by `column` if `depth` is greater than the recorded depth.
    fn see(&mut self, column: &str, depth: usize) {
        if depth > self.depth {
            *self = Self { column: column.to_owned(), depth };
        }
    }

    /// Returns an error if the depth of the recorded column exceeds [`MAX_DEPTH`].
    fn check(self) -> Result<(), DatasetError> {
        let Self { column, depth } = self;
        if depth > MAX_DEPTH { Err(DatasetError::TooDeep { column, depth }) } else { Ok(()) }
    }
}
