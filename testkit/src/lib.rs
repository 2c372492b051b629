//! Real servers, a scripted client, token builders and faults: what the tests of every other crate stand on.
//!
//! Nothing here ships. A test that can't be set up panics with one clear line; whatever it started ends with it.
//!
//! - [`nats::NatsServer`], [`db::sqlite`], [`db::Postgres`], [`store::folder`], [`s3::S3Server`]: a server, database,
//!   folder or bucket of its own.
//! - [`token::Issuer`], [`token::JwksServer`]: an identity provider, for good tokens and for bad ones.
//! - [`client::Client`] and [`rest::Rest`]: a client that does what the test says, and checks the contract meanwhile.
//! - [`fault`]: the `sluice` binary as a child to be killed, a connection to be cut, memory to be measured.

pub mod client;
pub mod db;
pub mod fault;
pub mod nats;
pub mod rest;
pub mod s3;
pub mod store;
pub mod token;

mod ports;
mod postgres;
mod watched;

use std::{future::Future, time::Duration};

/// How long anything in a test may take before it counts as stuck.
/// Longer than a busy machine needs, as who passes waits no longer for it.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// How often a state that can only be asked for is asked for again.
const POLL: Duration = Duration::from_millis(20);

/// Waits for `what` to come true, asking again and again until [`DEADLINE`].
///
/// # Panics
/// When it does not.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let asking = async {
        let mut ticks = tokio::time::interval(POLL);
        loop {
            ticks.tick().await;
            if let Some(value) = ask().await {
                return value;
            }
        }
    };
    match tokio::time::timeout(DEADLINE, asking).await {
        Ok(value) => value,
        Err(_) => panic!("not within {} s: {what}", DEADLINE.as_secs()),
    }
}

/// The lower-case hex SHA-256 of these bytes.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes))
}
