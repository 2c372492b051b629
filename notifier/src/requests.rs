//! Answers requests over NATS: with bounded concurrency and a timeout each, and with a problem for every failure.

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

/// The timeout of one request. A gateway waits longer, so that it receives a problem instead of timing out itself.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(4);

/// Answers one kind of request.
pub(crate) trait Handler: Send + Sync + 'static {
    /// The name of its spans.
    const SPAN: &'static str = "operator.request";

    /// The request, as JSON.
    type Request: DeserializeOwned + Send;
    /// The reply, as JSON.
    type Reply: Serialize + Send;

    /// Answers one request.
    ///
    /// # Errors
    /// When a dependency fails: the requester receives the problem `unavailable`.
    fn handle(&self, request: Self::Request) -> impl Future<Output = Result<Self::Reply, NotifierError>> + Send;

    /// The reply that carries a problem.
    fn refuse(problem: Problem) -> Self::Reply;
}

/// Adds request handlers to the NATS service of a notifier.
pub(crate) struct RequestServer<'a> {
    service: &'a Service,
    limit: usize,
    life: &'a Lifecycle,
}

impl<'a> RequestServer<'a> {
    /// At most `limit` requests of each kind are answered at the same time.
    pub(crate) fn new(service: &'a Service, limit: usize, life: &'a Lifecycle) -> Self {
        Self { service, limit, life }
    }

    /// Joins the queue group of notifiers on `subject`, and answers its requests in its own task. `name` is the
    /// endpoint in `nats micro stats`.
    ///
    /// # Errors
    /// When the client is closed.
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

/// A reply to an operator, in an envelope.
pub(crate) fn enveloped<T>(body: T) -> Envelope<T> {
    Envelope::new(Uuid::now_v7().to_string(), TraceContext::generate().traceparent(), body)
}

/// Answers requests until the soft stop, at most `limit` at the same time. Further requests wait in the subscription;
/// NATS drops those that exceed its buffer, and the gateway retries.
///
/// # Errors
/// When the subscription ends, which only a closed client does.
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
                    // the queue group sends further requests to other notifiers; the received ones are answered
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

/// The span of a request, in the trace of the requester.
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
    // an operator may omit an empty request
    let payload = if payload.is_empty() { b"{}" } else { payload };
    let mut json = serde_json::Deserializer::from_slice(payload);
    let request = match serde_path_to_error::deserialize(&mut json) {
        Ok(request) => request,
        Err(e) => {
            warn!(error = %e, "refused an unreadable request");
            let fault = FieldError::new(pointer(e.path()), e.inner().to_string());
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

/// The path as a JSON pointer (RFC 6901).
fn pointer(path: &Path) -> String {
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
