//! Answers requests over NATS: bounded, each with a deadline, and every failure is an answer too.

use std::{future::Future, sync::Arc, time::Duration};

use async_nats::service::{Service, endpoint::Endpoint};
use futures::{FutureExt, StreamExt};
use platform::{bus::BusError, lifecycle::Lifecycle, telemetry::traces};
use protocol::{
    id::ExportId,
    problem::{FieldError, Problem, Slug},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_path_to_error::{Path, Segment};
use tokio::sync::Semaphore;
use tracing::{Instrument, Span, error, field::Empty, info_span, warn};

use crate::{GROUP, error::NotifierError};

/// Shorter than a gateway waits, so that it hears of a slow database instead of guessing.
const DEADLINE: Duration = Duration::from_secs(4);

/// Answers one kind of request.
pub(crate) trait Handler: Send + Sync + 'static {
    /// What its spans are called.
    const SPAN: &'static str = "operator.request";

    /// What is asked.
    type Question: DeserializeOwned + Send;
    /// What is answered.
    type Answer: Serialize + Send;

    /// The answer.
    ///
    /// # Errors
    /// When it can't be found out just now.
    fn answer(&self, question: Self::Question) -> impl Future<Output = Result<Self::Answer, NotifierError>> + Send;

    /// The answer when there is none.
    fn refuse(problem: Problem) -> Self::Answer;
}

/// Joins the group of notifiers that answer on `subject`; `nats micro stats` counts what it answers.
///
/// # Errors
/// When the client is closed.
pub(crate) async fn endpoint(service: &Service, name: &str, subject: &'static str) -> Result<Endpoint, NotifierError> {
    let added = service.endpoint_builder().name(name).queue_group(GROUP).add(subject).await;
    added.map_err(|e| BusError::Subscribe { subject: subject.into(), detail: e.to_string() }.into())
}

/// Answers until the soft stop, at most `limit` at once. Further requests wait in the subscription; when that is
/// full too they are dropped, and the gateway asks again.
///
/// # Errors
/// When the requests end, which only a closed client does.
pub(crate) async fn answer<H: Handler>(
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
                    // others of the group get the next ones; those that came already are answered
                    stopping = true;
                    if let Err(e) = endpoint.stop().await {
                        warn!(error = %e, "requests can't be given to others");
                    }
                    continue;
                }
                request = endpoint.next() => request,
            }
        };
        let Some(request) = request else {
            // stopping the service ends the requests as well
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
                        warn!(error = %e, "an answer was lost; the gateway asks again");
                    }
                }
                Err(e) => error!(error = %e, "an answer can't be written"),
            }
            drop(permit);
        });
    }
}

/// The span of an answer, within the trace of whoever asks.
fn span<H: Handler>(payload: &[u8]) -> Span {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Head {
        traceparent: String,
        export_id: Option<ExportId>,
    }
    // what can't be read is answered as such, below
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

async fn reply<H: Handler>(handler: &H, payload: &[u8]) -> H::Answer {
    // people leave it out where there is nothing to say
    let payload = if payload.is_empty() { b"{}" } else { payload };
    let mut json = serde_json::Deserializer::from_slice(payload);
    let question = match serde_path_to_error::deserialize(&mut json) {
        Ok(question) => question,
        Err(e) => {
            warn!(error = %e, "an unreadable request");
            let fault = FieldError::new(pointer(e.path()), e.inner().to_string());
            let unreadable =
                Problem::new(Slug::InvalidRequest, format!("The request can't be read: {}.", fault.detail));
            return H::refuse(Problem { errors: vec![fault], ..unreadable });
        }
    };
    let answered = tokio::time::timeout(DEADLINE, handler.answer(question)).await;
    answered.unwrap_or(Err(NotifierError::Timeout("answering a request"))).unwrap_or_else(|e| {
        Span::current().record("otel.status_code", "ERROR");
        warn!(error = %e, "a request can't be answered just now");
        H::refuse(Problem::new(Slug::Unavailable, "That can't be answered just now."))
    })
}

/// The place as a JSON pointer.
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
