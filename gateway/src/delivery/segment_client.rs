//! The HTTP client that fetches the bytes of segments (the stored parts of files) from notifiers and the file store.
//!
//! The read buffer of each connection has a small fixed size. If the buffer could grow, each delivery to a slow client
//! would hold up to a megabyte.

use std::{io, time::Duration};

use axum::{
    body::Body,
    http::{Request, Response},
};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, Error, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use rustls::crypto::aws_lc_rs;

use super::CHUNK_BYTES;

/// The timeout for opening a TCP connection to a notifier or the file store.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an idle connection stays open for the next segment.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// The maximum number of idle connections to one server.
const MAX_IDLE_CONNECTIONS: usize = 64;

/// The HTTP/1 client that fetches segments. It follows no redirect and uses no proxy. Clones share the connections.
#[derive(Clone, Debug)]
pub(super) struct SegmentClient(Client<HttpsConnector<HttpConnector>, Body>);

impl SegmentClient {
    /// Creates a client that trusts the certificates of the operating system.
    ///
    /// # Errors
    /// When the certificates cannot be read, or the TLS setup fails.
    pub(super) fn new() -> io::Result<Self> {
        let mut tcp = HttpConnector::new();
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        let https = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(aws_lc_rs::default_provider())?
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(MAX_IDLE_CONNECTIONS)
            .http1_read_buf_exact_size(CHUNK_BYTES)
            .build(https);
        Ok(Self(client))
    }

    /// Sends a request, and returns the response as soon as its header has arrived. The error contains no URL.
    pub(super) async fn send(&self, request: Request<Body>) -> Result<Response<Body>, Error> {
        self.0.request(request).await.map(|response| response.map(Body::new))
    }
}
