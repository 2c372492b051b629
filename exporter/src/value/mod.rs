//! Converts values to text, and represents values that polars lacks. Sources and formats share this module.

pub(crate) mod decimal_key;
pub(crate) mod float32;
pub(crate) mod infinity;
pub(crate) mod json;
pub(crate) mod text;
