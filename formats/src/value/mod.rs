//! Converts values to text, and represents values that polars does not support, for sources and formats.

pub mod decimal_key;
pub mod float32;
pub mod infinity;
pub mod json;
pub mod text;
