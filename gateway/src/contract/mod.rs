//! The API descriptions: OpenAPI for REST, made from the endpoints' own declarations, and AsyncAPI for sessions, made
//! from the message types of `protocol`.
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
