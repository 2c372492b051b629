//! The HTTP end of an identity provider: its JWKS document, which tests may change or withhold.

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
    /// None: the provider answers 503.
    document: Mutex<Option<Value>>,
    asked: AtomicU64,
}

/// A provider on loopback. It ends with this value.
pub struct JwksServer {
    url: String,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl JwksServer {
    /// Publishes the keys of these issuers.
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
                tracing::error!(error = %e, "the JWKS server of this test ended");
            }
        });
        let server = Self { url: format!("http://{address}/jwks.json"), shared, task };
        server.publish(issuers);
        server
    }

    /// Where the document is.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Publishes the keys of these issuers instead: a rotation.
    pub fn publish<'a>(&self, issuers: impl IntoIterator<Item = &'a Issuer>) {
        *self.shared.document.lock().unwrap_or_else(PoisonError::into_inner) = Some(Issuer::jwks(issuers));
    }

    /// Answers 503 until the next [`JwksServer::publish`].
    pub fn withhold(&self) {
        *self.shared.document.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// How often the document was asked for.
    #[must_use]
    pub fn asked(&self) -> u64 {
        self.shared.asked.load(Ordering::SeqCst)
    }
}

impl Drop for JwksServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn document(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    shared.asked.fetch_add(1, Ordering::SeqCst);
    match shared.document.lock().unwrap_or_else(PoisonError::into_inner).clone() {
        Some(document) => Json(document).into_response(),
        None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}
