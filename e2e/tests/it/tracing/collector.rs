//! A trace collector: accepts OTLP over HTTP and records every span.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use axum::{Router, body::Bytes, extract::State, http::StatusCode, routing::post};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value},
};
use prost::Message;
use tokio::{net::TcpListener, task::JoinHandle};

/// A span that a process sent to the collector.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    /// The service name of the process that sent the span.
    pub(crate) service: String,
    /// The name of the operation.
    pub(crate) name: String,
    /// The trace id as hex digits.
    pub(crate) trace: String,
    /// The span id as hex digits.
    pub(crate) id: String,
    /// The span id of the parent as hex digits; empty for a root span.
    pub(crate) parent: String,
    /// The kind as OTLP numbers it: 1 internal, 2 server, 3 client, 4 producer, 5 consumer.
    pub(crate) kind: i32,
    /// The attributes, with their values as text.
    pub(crate) attributes: HashMap<String, String>,
    /// Start and end in nanoseconds since the Unix epoch.
    pub(crate) time: (u64, u64),
    /// The trace ids of the span's links.
    pub(crate) links: Vec<String>,
}

/// A running collector. Dropping the value stops it.
pub(crate) struct Collector {
    spans: Arc<Mutex<Vec<Span>>>,
    url: String,
    serving: JoinHandle<()>,
}

impl Collector {
    pub(crate) async fn start() -> Self {
        let spans = Arc::<Mutex<Vec<Span>>>::default();
        let router = Router::new().route("/v1/traces", post(record)).with_state(Arc::clone(&spans));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.expect("the collector serves") });
        Self { spans, url, serving }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// A copy of all spans that the collector has received.
    pub(crate) fn spans(&self) -> Vec<Span> {
        self.spans.lock().expect("no thread panicked").clone()
    }

    /// The spans of one trace.
    pub(crate) fn trace(&self, id: &str) -> Vec<Span> {
        self.spans().into_iter().filter(|span| span.trace == id).collect()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn record(State(spans): State<Arc<Mutex<Vec<Span>>>>, body: Bytes) -> StatusCode {
    let Ok(request) = ExportTraceServiceRequest::decode(body) else { return StatusCode::BAD_REQUEST };
    let mut recorded = spans.lock().expect("no thread panicked");
    for resource_spans in request.resource_spans {
        let resource = texts(resource_spans.resource.map(|resource| resource.attributes).unwrap_or_default());
        let service = resource.get("service.name").cloned().unwrap_or_default();
        let spans = resource_spans.scope_spans.into_iter().flat_map(|scope| scope.spans);
        recorded.extend(spans.map(|span| Span {
            service: service.clone(),
            name: span.name,
            trace: hex(&span.trace_id),
            id: hex(&span.span_id),
            parent: hex(&span.parent_span_id),
            kind: span.kind,
            attributes: texts(span.attributes),
            time: (span.start_time_unix_nano, span.end_time_unix_nano),
            links: span.links.iter().map(|link| hex(&link.trace_id)).collect(),
        }));
    }
    StatusCode::OK
}

fn texts(attributes: Vec<KeyValue>) -> HashMap<String, String> {
    let text = |value: Option<Value>| match value {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(value)) => value.to_string(),
        other => format!("{other:?}"),
    };
    attributes.into_iter().map(|pair| (pair.key, text(pair.value.and_then(|any| any.value)))).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
