//! Generates the API descriptions: OpenAPI for REST from the declarations of the endpoints, and AsyncAPI for sessions
//! from the message types of the crate `protocol`.
//!
//! `docs/openapi.json` and `docs/asyncapi.json` hold the same documents; `tests/contract.rs` fails when they differ.

mod asyncapi;
mod info;
mod openapi;
mod operation;
mod schemas;

pub use asyncapi::asyncapi;
pub(crate) use openapi::{OperationInfo, openapi};
pub(crate) use operation::Describe;
