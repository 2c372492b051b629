//! A collector of traces: takes OTLP over HTTP and remembers every span.

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

/// A span as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// The process that sent it.
    pub(crate) service: String,
    /// Its name.
    pub(crate) name: String,
    /// Hex.
    pub(crate) trace: String,
    /// Hex.
    pub(crate) id: String,
    /// Hex; empty for a root.
    pub(crate) parent: String,
    /// As the protocol counts: 1 internal, 2 server, 3 client, 4 producer, 5 consumer.
    pub(crate) kind: i32,
    /// As text.
    pub(crate) attributes: HashMap<String, String>,
    /// Nanoseconds of the epoch.
    pub(crate) time: (u64, u64),
    /// The traces that it points to.
    pub(crate) links: Vec<String>,
}

/// Takes spans until it is dropped.
pub(crate) struct Collector {
    seen: Arc<Mutex<Vec<Seen>>>,
    url: String,
    serving: JoinHandle<()>,
}

impl Collector {
    pub(crate) async fn start() -> Self {
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let router = Router::new().route("/v1/traces", post(take)).with_state(Arc::clone(&seen));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        Self { seen, url, serving }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Everything that came so far.
    pub(crate) fn spans(&self) -> Vec<Seen> {
        self.seen.lock().expect("nobody panicked").clone()
    }

    /// One trace.
    pub(crate) fn trace(&self, id: &str) -> Vec<Seen> {
        self.spans().into_iter().filter(|span| span.trace == id).collect()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn take(State(seen): State<Arc<Mutex<Vec<Seen>>>>, body: Bytes) -> StatusCode {
    let Ok(request) = ExportTraceServiceRequest::decode(body) else { return StatusCode::BAD_REQUEST };
    let mut seen = seen.lock().expect("nobody panicked");
    for of_process in request.resource_spans {
        let resource = texts(of_process.resource.map(|resource| resource.attributes).unwrap_or_default());
        let service = resource.get("service.name").cloned().unwrap_or_default();
        let spans = of_process.scope_spans.into_iter().flat_map(|scope| scope.spans);
        seen.extend(spans.map(|span| Seen {
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
        Some(Value::BoolValue(yes)) => yes.to_string(),
        other => format!("{other:?}"),
    };
    attributes.into_iter().map(|pair| (pair.key, text(pair.value.and_then(|any| any.value)))).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
