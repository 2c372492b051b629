//! A server for NATS requests. The server limits concurrency, applies a timeout to each request, and replies with a
//! problem (RFC 9457) to each failed request.

use std::{future::Future, sync::Arc, time::Duration};

use async_nats::service::{Service, endpoint::Endpoint};
use futures::{FutureExt, StreamExt};
use platform::{bus::BusError, lifecycle::Lifecycle, telemetry::traces};
use protocol::{
    envelope::{Envelope, TraceContext},
    id::ExportId,
    problem::{FieldError, Problem, Slug},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_path_to_error::{Path, Segment};
use tokio::sync::Semaphore;
use tracing::{Instrument, Span, error, field::Empty, info_span, warn};
use uuid::Uuid;

use crate::{GROUP, error::NotifierError};

/// The timeout of answering one request. It is shorter than the time for which a gateway waits, so that the gateway
/// receives a problem (RFC 9457) instead of no reply.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(4);

/// A handler that answers one kind of request.
pub(crate) trait Handler: Send + Sync + 'static {
    /// The name of the tracing span of each request.
    const SPAN: &'static str = "operator.request";

    /// The type of the JSON payload of a request.
    type Request: DeserializeOwned + Send;
    /// The type of the JSON payload of a reply.
    type Reply: Serialize + Send;

    /// Answers one request.
    ///
    /// # Errors
    /// When a dependency fails. The server then replies with the problem `unavailable`.
    fn handle(&self, request: Self::Request) -> impl Future<Output = Result<Self::Reply, NotifierError>> + Send;

    /// Returns the reply that refuses a request with `problem`.
    fn refuse(problem: Problem) -> Self::Reply;
}

/// Serves requests to a notifier over NATS. [`Self::add`] adds a subject and the handler of its requests. `limit` is
/// the maximum number of requests of each kind that are answered at once.
pub(crate) struct RequestServer<'a> {
    service: &'a Service,
    limit: usize,
    life: &'a Lifecycle,
}

impl<'a> RequestServer<'a> {
    /// Creates a server without handlers. It answers at most `limit` requests of each kind at the same time.
    pub(crate) fn new(service: &'a Service, limit: usize, life: &'a Lifecycle) -> Self {
        Self { service, limit, life }
    }

    /// Subscribes to `subject` in the queue group of all notifiers, so that each request reaches one notifier. A new
    /// task named `task` answers the requests with `handler`. `name` is the name of the endpoint in `nats micro stats`.
    ///
    /// # Errors
    /// When the NATS client is closed.
    pub(crate) async fn add<H: Handler>(
        &self,
        task: &'static str,
        name: &'static str,
        subject: &'static str,
        handler: H,
    ) -> Result<(), NotifierError> {
        let added = self.service.endpoint_builder().name(name).queue_group(GROUP).add(subject).await;
        let endpoint = added.map_err(|e| BusError::Subscribe { subject: subject.into(), detail: e.to_string() })?;
        self.life.spawn_critical(task, serve(endpoint, Arc::new(handler), self.limit, self.life.clone()));
        Ok(())
    }
}

/// Wraps a reply to an operator in an envelope with a new message id and a new trace context.
pub(crate) fn enveloped<T>(body: T) -> Envelope<T> {
    Envelope::new(Uuid::now_v7().to_string(), TraceContext::generate().traceparent(), body)
}

/// Answers at most `limit` requests at the same time until shutdown begins. Further requests wait in the buffer of the
/// subscription. NATS drops requests that exceed the buffer; their senders retry.
///
/// # Errors
/// When the subscription ends, which happens only when the NATS client is closed.
async fn serve<H: Handler>(
    mut endpoint: Endpoint,
    handler: Arc<H>,
    limit: usize,
    life: Lifecycle,
) -> Result<(), NotifierError> {
    let permits = Arc::new(Semaphore::new(limit));
    let mut stopping = false;
    loop {
        // the semaphore is never closed
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return Ok(()) };
        let request = if stopping {
            endpoint.next().now_or_never().flatten()
        } else {
            tokio::select! {
                biased;
                () = life.soft().cancelled() => {
                    // other notifiers receive new requests; this notifier still answers the requests in its buffer
                    stopping = true;
                    if let Err(e) = endpoint.stop().await {
                        warn!(error = %e, "failed to leave the queue group");
                    }
                    continue;
                }
                request = endpoint.next() => request,
            }
        };
        let Some(request) = request else {
            // stopping the service ends the subscription as well
            let ended = stopping || life.soft().is_cancelled();
            return if ended { Ok(()) } else { Err(NotifierError::Unsubscribed("requests")) };
        };
        let handler = Arc::clone(&handler);
        life.spawn(async move {
            let payload = &request.message.payload;
            let reply = reply(handler.as_ref(), payload).instrument(span::<H>(payload)).await;
            match serde_json::to_vec(&reply) {
                Ok(reply) => {
                    if let Err(e) = request.respond(Ok(reply.into())).await {
                        warn!(error = %e, "failed to send a reply; the requester retries");
                    }
                }
                Err(e) => error!(error = %e, "failed to serialize a reply"),
            }
            drop(permit);
        });
    }
}

/// Creates the tracing span of one request. The span belongs to the trace of the requester.
fn span<H: Handler>(payload: &[u8]) -> Span {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Head {
        traceparent: String,
        export_id: Option<ExportId>,
    }
    // `reply` refuses a payload that is not JSON
    let head: Head = serde_json::from_slice(payload).unwrap_or_default();
    let span = info_span!(
        parent: None,
        "request",
        otel.name = H::SPAN,
        otel.kind = "server",
        otel.status_code = Empty,
        trace_id = Empty,
        export.id = head.export_id.map(tracing::field::display),
        messaging.system = "nats",
    );
    traces::follow_text(&span, &head.traceparent);
    span
}

async fn reply<H: Handler>(handler: &H, payload: &[u8]) -> H::Reply {
    // an operator may send an empty payload instead of an empty JSON object
    let payload = if payload.is_empty() { b"{}" } else { payload };
    let mut json = serde_json::Deserializer::from_slice(payload);
    let request = match serde_path_to_error::deserialize(&mut json) {
        Ok(request) => request,
        Err(e) => {
            warn!(error = %e, "refused an unreadable request");
            let fault = FieldError::new(json_pointer(e.path()), e.inner().to_string());
            let unreadable =
                Problem::new(Slug::InvalidRequest, format!("The request can't be read: {}.", fault.detail));
            return H::refuse(Problem { errors: vec![fault], ..unreadable });
        }
    };
    let answered = tokio::time::timeout(REQUEST_TIMEOUT, handler.handle(request)).await;
    answered.unwrap_or(Err(NotifierError::Timeout("answering a request"))).unwrap_or_else(|e| {
        Span::current().record("otel.status_code", "ERROR");
        warn!(error = %e, "failed to answer a request");
        H::refuse(Problem::new(Slug::Unavailable, "The request can't be answered at the moment."))
    })
}

/// Converts the path of an invalid member in a request to a JSON pointer (RFC 6901).
fn json_pointer(path: &Path) -> String {
    let mut pointer = String::new();
    for segment in path.iter() {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } => pointer.push_str(&format!("/{}", key.replace('~', "~0").replace('/', "~1"))),
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    pointer
}
