//! Converts values to text, and represents values that polars lacks, for sources and formats.

pub(crate) mod decimal_key;
pub(crate) mod float32;
pub(crate) mod infinity;
pub(crate) mod json;
pub(crate) mod text;
