//! The JWKS endpoint of an identity provider. Tests can change its keys.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use axum::{Json, Router, extract::State, http::StatusCode, response::IntoResponse, routing::get};
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle};

use super::Issuer;

#[derive(Default)]
struct Shared {
    /// The published document; with None the endpoint answers 503.
    document: Mutex<Option<Value>>,
    requests: AtomicU64,
}

/// A JWKS endpoint on loopback. Dropping the value ends the server.
pub struct JwksServer {
    url: String,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl JwksServer {
    /// Starts an endpoint that publishes the keys of these issuers.
    ///
    /// # Panics
    /// When loopback has no free port.
    pub async fn start<'a>(issuers: impl IntoIterator<Item = &'a Issuer>) -> Self {
        let shared = Arc::new(Shared::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has free ports");
        let address = listener.local_addr().expect("a bound listener has an address");
        let router = Router::new().route("/jwks.json", get(document)).with_state(Arc::clone(&shared));
        let task = tokio::spawn(async move {
            if let Err(e) = axum::serve(listener, router).await {
                tracing::error!(error = %e, "the JWKS server of a test failed");
            }
        });
        let server = Self { url: format!("http://{address}/jwks.json"), shared, task };
        server.publish(issuers);
        server
    }

    /// The URL of the JWKS document.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Publishes the keys of these issuers in place of the earlier keys, as in a key rotation.
    pub fn publish<'a>(&self, issuers: impl IntoIterator<Item = &'a Issuer>) {
        *self.shared.document.lock().unwrap_or_else(PoisonError::into_inner) = Some(Issuer::jwks(issuers));
    }

    /// Answers 503 until the next [`JwksServer::publish`].
    pub fn fail_requests(&self) {
        *self.shared.document.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The number of requests for the document so far.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::SeqCst)
    }
}

impl Drop for JwksServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn document(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    shared.requests.fetch_add(1, Ordering::SeqCst);
    match shared.document.lock().unwrap_or_else(PoisonError::into_inner).clone() {
        Some(document) => Json(document).into_response(),
        None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}
