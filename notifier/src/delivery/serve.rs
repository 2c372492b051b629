//! The internal HTTP port: segments by their grants, health, and metrics.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use platform::lifecycle::Lifecycle;
use protocol::problem::{Problem, Slug};
use tokio::net::TcpListener;
use tracing::{error, warn};

use super::{
    body,
    listener::Guarded,
    mint::Minter,
    range::{self, Wanted},
    token::Claims,
};
use crate::{app::Deps, config::NotifierConfig};

/// How long the store may take to open an object.
const OPEN: Duration = Duration::from_secs(15);

#[derive(Clone)]
struct Port {
    deps: Deps,
    minter: Arc<Minter>,
}

/// Serves until the soft stop; answers that have begun are finished.
pub(crate) fn spawn(config: &NotifierConfig, deps: Deps, minter: Arc<Minter>, listener: TcpListener, life: &Lifecycle) {
    let mut router = Router::new()
        .route("/v1/segments/{token}", get(segment))
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(readyz));
    if deps.metrics.is_some() {
        router = router.route("/metrics", get(render));
    }
    let router = router.with_state(Port { deps, minter });
    let listener = Guarded::new(listener, config.serve_connections, Duration::from_secs(config.serve_idle_s));
    let serving = axum::serve(listener, router).with_graceful_shutdown(life.soft().clone().cancelled_owned());
    life.spawn_critical("delivery/serve", serving.into_future());
}

async fn segment(
    State(port): State<Port>,
    Path(token): Path<String>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let claims = port.minter.honour(&token).map_err(|e| refuse(Slug::Forbidden, e.to_string()))?;
    let tag = HeaderValue::try_from(format!("\"{}\"", claims.sha256))
        .map_err(|_| refuse(Slug::Internal, "The grant names no digest."))?;
    let mut response = match wanted(&claims, &method, &headers, &tag) {
        Wanted::Unsatisfiable => {
            let mut response = StatusCode::RANGE_NOT_SATISFIABLE.into_response();
            insert(&mut response, header::CONTENT_RANGE, format!("bytes */{}", claims.size))?;
            response
        }
        Wanted::Whole => open(&port, &claims, 0..claims.size).await?,
        Wanted::Part(part) => {
            let described = format!("bytes {}-{}/{}", part.start, part.end - 1, claims.size);
            let mut response = open(&port, &claims, part).await?;
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            insert(&mut response, header::CONTENT_RANGE, described)?;
            response
        }
    };
    let headers = response.headers_mut();
    headers.insert(header::ETAG, tag);
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// `Range` counts for GET alone, and under `If-Range` only while the entity is the same.
fn wanted(claims: &Claims, method: &Method, headers: &HeaderMap, tag: &HeaderValue) -> Wanted {
    if method != Method::GET || headers.get(header::IF_RANGE).is_some_and(|wanted| wanted != tag) {
        return Wanted::Whole;
    }
    range::parse(headers.get(header::RANGE).and_then(|value| value.to_str().ok()), claims.size)
}

/// The bytes from the store. axum leaves the body of a HEAD request out.
async fn open(port: &Port, claims: &Claims, range: std::ops::Range<u64>) -> Result<Response, Refusal> {
    let path = claims.path.as_str();
    let length = range.end - range.start;
    let reading = match tokio::time::timeout(OPEN, port.deps.store.read(path, Some(range))).await {
        Ok(Ok(reading)) => reading,
        Ok(Err(e)) if e.is_not_found() => return Err(refuse(Slug::NotFound, "The segment is gone.")),
        Ok(Err(e)) => {
            warn!(object.path = path, error = %e, "a segment can't be opened");
            return Err(refuse(Slug::Unavailable, "The file store can't be read just now."));
        }
        Err(_) => {
            warn!(object.path = path, "a segment could not be opened in time");
            return Err(refuse(Slug::Unavailable, "The file store did not answer in time."));
        }
    };
    if reading.size != claims.size {
        error!(
            object.path = path,
            object.size = reading.size,
            segment.size = claims.size,
            "a segment has another size than recorded"
        );
        return Err(refuse(Slug::Internal, "The segment is not what was recorded."));
    }
    metrics::counter!("sluice_notifier_segment_bytes_total").increment(length);
    let mut response = Response::new(body::of(reading, path.to_owned()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    Ok(response)
}

fn insert(response: &mut Response, name: header::HeaderName, value: String) -> Result<(), Refusal> {
    let value = HeaderValue::try_from(value).map_err(|_| refuse(Slug::Internal, "A header can't be written."))?;
    response.headers_mut().insert(name, value);
    Ok(())
}

async fn readyz(State(port): State<Port>) -> Response {
    let readiness = port.deps.readiness().await;
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness)).into_response()
}

async fn render(State(port): State<Port>) -> String {
    port.deps.metrics.as_ref().map(|metrics| metrics.render()).unwrap_or_default()
}

/// A problem as an HTTP answer.
#[derive(Debug)]
struct Refusal(Box<Problem>);

fn refuse(slug: Slug, detail: impl Into<String>) -> Refusal {
    Refusal(Box::new(Problem::new(slug, detail)))
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self.0).map(Body::from).unwrap_or_default();
        (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response()
    }
}
