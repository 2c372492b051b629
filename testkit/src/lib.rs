//! Test support for all other crates: real servers, clients, token builders and fault injection.
//!
//! No release contains this crate. A failed setup panics with one clear line. A server ends when the value that started
//! it is dropped.
//!
//! - [`nats::NatsServer`], [`db::sqlite`], [`db::Postgres`], [`store::folder`], [`s3::S3Server`]: a server, database,
//!   folder or bucket for one test.
//! - [`pgbouncer::PgBouncer`]: a connection pooler in front of a PostgreSQL server.
//! - [`token::Issuer`], [`token::JwksServer`]: an identity provider, for valid and invalid tokens.
//! - [`client::Client`] and [`rest::Rest`]: clients that send single requests and check each response against the
//!   protocol.
//! - [`catalog`]: the advertisement of datasets, written and read as exporters and gateways do.
//! - [`rental`]: a PostgreSQL database that was made without any regard to Sluice.
//! - [`leftovers`]: compares the file store with the database.
//! - [`small_disk::SmallDisk`]: a file system that a test fills and frees.
//! - [`fault`]: the `sluice` binary as a child process, a proxy that breaks connections, and memory measurements.

pub mod catalog;
pub mod client;
pub mod db;
pub mod demo;
pub mod fault;
pub mod leftovers;
pub mod nats;
pub mod pgbouncer;
pub mod rental;
pub mod rest;
pub mod s3;
pub mod small_disk;
pub mod store;
pub mod token;

mod ports;
mod postgres;
mod server_process;

use std::{future::Future, net::SocketAddr, time::Duration};

use socket2::SockRef;
use tokio::net::{TcpSocket, TcpStream};

/// The timeout of every wait in a test. It is longer than any step takes on a busy machine, so that only failing tests
/// reach it.
pub const DEADLINE: Duration = Duration::from_secs(300);

/// The interval between two polls of [`eventually`].
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The receive buffer of [`widen_connection`], in bytes.
const WIDE_BUFFER_BYTES: usize = 1 << 20;

/// Calls `poll` until it returns a value. `what` describes the awaited state in the panic.
///
/// # Panics
/// When `poll` returns no value within [`DEADLINE`].
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut poll: impl FnMut() -> F) -> T {
    let polling = async {
        let mut ticks = tokio::time::interval(POLL_INTERVAL);
        loop {
            ticks.tick().await;
            if let Some(value) = poll().await {
                return value;
            }
        }
    };
    match tokio::time::timeout(DEADLINE, polling).await {
        Ok(value) => value,
        Err(_) => panic!("not within {} s: {what}", DEADLINE.as_secs()),
    }
}

/// Opens a TCP connection whose segments and receive buffer are as small as over a slow link. Over the loopback
/// interface the kernel otherwise accepts megabytes for a client that reads nothing.
///
/// # Panics
/// When the address can't be reached.
pub async fn narrow_connection(address: &str) -> TcpStream {
    let address: SocketAddr = address.parse().expect("an address with a port");
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("the kernel accepts any buffer size");
    SockRef::from(&socket).set_tcp_mss(536).expect("every link carries segments of 536 bytes (RFC 9293)");
    socket.connect(address).await.expect("the server listens")
}

/// Gives a [`narrow_connection`] a large receive buffer, as if the link was fast from now on.
///
/// # Panics
/// When the kernel refuses the size.
pub fn widen_connection(stream: &TcpStream) {
    SockRef::from(stream).set_recv_buffer_size(WIDE_BUFFER_BYTES).expect("the kernel accepts any buffer size");
}

/// The SHA-256 of these bytes in lower-case hex.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes))
}
