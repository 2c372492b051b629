//! The internal HTTP port: serves granted segments to gateways, and health and metrics to operators.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use platform::{
    http::Server,
    lifecycle::Lifecycle,
    range::{self, RequestedRange},
};
use protocol::problem::{Problem, Slug};
use tokio::net::TcpListener;
use tracing::{error, warn};

use super::{minter::Minter, segment_body, token::Claims};
use crate::{config::NotifierConfig, deps::Deps};

/// The timeout of opening an object in the file store.
const OPEN_TIMEOUT: Duration = Duration::from_secs(15);

#[derive(Clone)]
struct PortState {
    deps: Deps,
    minter: Arc<Minter>,
}

/// Spawns the server of the internal HTTP port. When shutdown begins, the server finishes its open responses and ends.
pub(crate) fn spawn(config: &NotifierConfig, deps: Deps, minter: Arc<Minter>, listener: TcpListener, life: &Lifecycle) {
    let mut router = Router::new()
        .route("/v1/segments/{token}", get(serve_segment))
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(readyz));
    if deps.metrics.is_some() {
        router = router.route("/metrics", get(render_metrics));
    }
    let router = router.with_state(PortState { deps, minter });
    let idle_timeout = config.tuning.connection_idle_timeout.get();
    // gateways reuse connections, so the wait for a request header is idle time too
    let server = Server::new("delivery/http", router, listener).max_connections(config.tuning.max_connections);
    server.header_timeout(idle_timeout).idle_timeout(idle_timeout).spawn(life.soft(), life);
}

async fn serve_segment(
    State(port): State<PortState>,
    Path(token): Path<String>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let claims = port.minter.verify(&token).map_err(|e| refuse(Slug::Forbidden, e.to_string()))?;
    let tag = HeaderValue::try_from(format!("\"{}\"", claims.sha256))
        .map_err(|_| refuse(Slug::Internal, "The grant names no digest."))?;
    let mut response = match requested_range(&claims, &method, &headers, &tag) {
        RequestedRange::Unsatisfiable => {
            let mut response = StatusCode::RANGE_NOT_SATISFIABLE.into_response();
            insert_header(&mut response, header::CONTENT_RANGE, format!("bytes */{}", claims.size))?;
            response
        }
        RequestedRange::Whole => open_segment(&port, &claims, 0..claims.size).await?,
        RequestedRange::Part(part) => {
            let described = format!("bytes {}-{}/{}", part.start, part.end - 1, claims.size);
            let mut response = open_segment(&port, &claims, part).await?;
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            insert_header(&mut response, header::CONTENT_RANGE, described)?;
            response
        }
    };
    let headers = response.headers_mut();
    headers.insert(header::ETAG, tag);
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Returns the range of the segment's bytes that the header `Range` requests. `tag` is the entity tag of the segment.
/// Ignores `Range` and returns the whole segment in two cases: the method is not GET, or the header `If-Range` has a
/// value other than `tag` (RFC 9110, sections 14.2 and 13.1.5).
fn requested_range(claims: &Claims, method: &Method, headers: &HeaderMap, tag: &HeaderValue) -> RequestedRange {
    if method != Method::GET || headers.get(header::IF_RANGE).is_some_and(|if_range| if_range != tag) {
        return RequestedRange::Whole;
    }
    range::parse(headers.get(header::RANGE).and_then(|value| value.to_str().ok()), claims.size)
}

/// Returns a response that streams a range of the segment that the claims name. axum omits the body for a HEAD request.
async fn open_segment(port: &PortState, claims: &Claims, range: std::ops::Range<u64>) -> Result<Response, Refusal> {
    let path = claims.path.as_str();
    let length = range.end - range.start;
    let reading = match tokio::time::timeout(OPEN_TIMEOUT, port.deps.store.read(path, Some(range))).await {
        Ok(Ok(reading)) => reading,
        Ok(Err(e)) if e.is_not_found() => return Err(refuse(Slug::NotFound, "The segment was deleted.")),
        Ok(Err(e)) => {
            segment_body::count_failure();
            warn!(object.path = path, error = %e, "failed to open a segment");
            return Err(refuse(Slug::Unavailable, "The file store can't be read at the moment."));
        }
        Err(_) => {
            segment_body::count_failure();
            warn!(object.path = path, "timed out opening a segment");
            return Err(refuse(Slug::Unavailable, "The file store did not answer in time."));
        }
    };
    if reading.size != claims.size {
        segment_body::count_failure();
        error!(
            object.path = path,
            object.size = reading.size,
            segment.size = claims.size,
            "a segment does not have its recorded size"
        );
        return Err(refuse(Slug::Internal, "The segment does not have its recorded size."));
    }
    metrics::counter!("sluice_notifier_gateway_requested_segment_bytes_total").increment(length);
    let mut response = Response::new(segment_body::body(reading, path.to_owned()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    Ok(response)
}

fn insert_header(response: &mut Response, name: header::HeaderName, value: String) -> Result<(), Refusal> {
    let value = HeaderValue::try_from(value).map_err(|_| refuse(Slug::Internal, "A response header is invalid."))?;
    response.headers_mut().insert(name, value);
    Ok(())
}

async fn readyz(State(port): State<PortState>) -> Response {
    let readiness = port.deps.readiness().await;
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness)).into_response()
}

async fn render_metrics(State(port): State<PortState>) -> String {
    port.deps.metrics.as_ref().map(|metrics| metrics.render()).unwrap_or_default()
}

/// An HTTP response with a problem as its body (RFC 9457).
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
