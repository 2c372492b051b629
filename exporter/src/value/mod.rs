//! Values as text, and values that polars cannot represent: shared by the sources that read and the formats that write.

pub(crate) mod float32;
pub(crate) mod infinity;
pub(crate) mod json;
pub(crate) mod text;
