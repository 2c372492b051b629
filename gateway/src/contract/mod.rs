//! Generates the API descriptions: OpenAPI for REST from the declarations of the endpoints, and AsyncAPI for sessions
//! from the message types of the crate `protocol`.
//!
//! `docs/openapi.json` and `docs/asyncapi.json` are copies of these documents. `tests/api/contract.rs` fails when a copy is
//! out of date.

mod asyncapi;
mod info;
mod openapi;
mod operation;
mod schemas;

pub use asyncapi::asyncapi;
pub(crate) use openapi::{OperationInfo, openapi};
pub(crate) use operation::Describe;
