//! Datasets of files in Parquet, CSV, TSV, NDJSON and Arrow IPC. The files are on a local disk, in S3 or at an HTTP
//! endpoint. A dataset consists of one file, or of all local files or S3 objects that match a pattern.
//!
//! Files are read one after the other, in the order of their names. A remote file is first copied to an unnamed
//! temporary file of bounded size. The operating system deletes the copy when the reader closes it.

mod arrow;
#[cfg(test)]
mod arrow_form_tests;
mod batches;
mod column_types;
mod columns;
mod csv;
mod dataset;
mod decimal_bytes;
#[cfg(test)]
mod decimal_tests;
mod dictionaries;
#[cfg(test)]
mod dictionary_tests;
#[cfg(test)]
mod differing_tests;
mod file_version;
mod first_file;
mod guess;
mod int96;
mod ipc_layout;
mod kind;
mod location;
mod ndjson;
mod nesting;
#[cfg(test)]
mod nesting_tests;
#[cfg(test)]
mod odd_name_tests;
mod offered;
mod parquet;
mod parse;
mod partitions;
#[cfg(test)]
mod policy_tests;
mod predicate;
mod readable;
#[cfg(test)]
mod readable_tests;
mod reader;
mod row_filter;
mod scan;
#[cfg(test)]
mod tests;
mod text;
mod text_file;
#[cfg(test)]
mod text_layout_tests;
#[cfg(test)]
mod text_tests;
mod type_mapping;
#[cfg(test)]
mod type_tests;
mod unsupported;
#[cfg(test)]
mod unsupported_tests;
mod widen;
#[cfg(test)]
mod zone_tests;

pub use self::{
    dataset::Files,
    kind::{Comments, CsvDialect, FileKind},
    location::{Location, SourceDigest, Spool},
};
pub(super) use self::{predicate::like, row_filter::RowFilter};
