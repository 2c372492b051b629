//! Helpers for values, which both sources and formats use. They convert values to text, and represent values that
//! polars does not support.

pub mod decimal_key;
pub mod float32;
pub mod infinity;
pub mod json;
pub mod text;
