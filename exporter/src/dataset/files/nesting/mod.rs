//! Bounds the nesting of lists, maps and records in files, before a library reads the schema or the value.
//!
//! The libraries convert and decode nested types by recursion, and a valid file with about a hundred levels exhausts
//! the stack, which ends the process. The checks of this module use no recursion.

mod arrow;
mod json;
mod parquet;

pub(super) use self::{
    arrow::{check_encoded_schema, check_file, check_stream},
    json::check_line,
    parquet::footer,
};
use crate::dataset::DatasetError;

/// The maximum number of lists, maps and records around a value.
pub(super) const MAX_DEPTH: usize = 32;

/// The deepest column of a file so far.
#[derive(Debug, Default)]
struct Deepest {
    column: String,
    depth: usize,
}

impl Deepest {
    /// Records that the column with this name has a value at this depth.
    fn see(&mut self, column: &str, depth: usize) {
        if depth > self.depth {
            *self = Self { column: column.to_owned(), depth };
        }
    }

    /// Returns an error if a column is nested too deeply.
    fn check(self) -> Result<(), DatasetError> {
        let Self { column, depth } = self;
        if depth > MAX_DEPTH { Err(DatasetError::TooDeep { column, depth }) } else { Ok(()) }
    }
}
