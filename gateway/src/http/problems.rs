//! Writes every error response as a problem document (RFC 9457), and serves a web page that explains each kind of
//! problem.

use std::fmt::Write;

use axum::{
    body::Body,
    extract::{MatchedPath, Path, Request, rejection::PathRejection},
    http::{HeaderValue, Method, header},
    middleware::Next,
    response::{Html, IntoResponse, Response},
};
use platform::telemetry::traces;
use protocol::problem::{Problem, Slug};
use tracing::{Instrument, Span, field::Empty, info, info_span};

use super::{endpoint::Endpoint, extract};
use crate::error::Refusal;

pub(super) fn endpoints() -> [Endpoint; 1] {
    [Endpoint::get("/problems/{slug}", page)]
}

/// Middleware that creates the request's tracing span, and writes the problem into the body of an error response. The
/// middleware finds the problem in the extensions of the response, into which a [`Refusal`] has put it.
pub(crate) async fn finish(mut request: Request, next: Next) -> Response {
    let span = span(&request);
    let trace = match extract::traceparent(request.headers()) {
        Some(caller) => traces::follow(&span, caller),
        None => traces::begin(&span),
    };
    request.extensions_mut().insert(trace);
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut response = next.run(request).instrument(span.clone()).await;

    let status = response.status().as_u16();
    span.record("http.response.status_code", status);
    if response.status().is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
    metrics::counter!("sluice_gateway_responses_total", "status" => status.to_string()).increment(1);
    let Some(problem) = response.extensions_mut().remove::<Problem>() else { return response };
    metrics::counter!("sluice_gateway_problems_total", "slug" => problem.slug().as_str()).increment(1);
    span.record("error.type", problem.slug().as_str());
    info!(
        http.method = %method,
        http.path = %path,
        http.status = status,
        problem = %problem.slug(),
        trace_id = %trace.trace_id_hex(),
        "request refused"
    );
    let problem = problem.with_request(&path, &trace.trace_id_hex());
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    *response.body_mut() = serde_json::to_vec(&problem).map(Body::from).unwrap_or_default();
    response
}

/// Creates the tracing span of a request, by OpenTelemetry's conventions for HTTP servers. Requests of health probes
/// get no span. The span contains the route pattern instead of the path, because a client can invent any path.
fn span(request: &Request) -> Span {
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str).unwrap_or_default();
    if matches!(route, "/healthz" | "/readyz") {
        return Span::none();
    }
    let method = match *request.method() {
        Method::GET | Method::HEAD | Method::POST | Method::PUT | Method::PATCH | Method::DELETE | Method::OPTIONS => {
            request.method().as_str()
        }
        _ => "_OTHER",
    };
    info_span!(
        "http",
        otel.name = format!("{method} {route}").trim_end(),
        otel.kind = "server",
        otel.status_code = Empty,
        trace_id = Empty,
        http.request.method = method,
        http.route = route,
        http.response.status_code = Empty,
        error.type = Empty,
    )
}

/// Serves the web page that explains one type of problem. The `type` of a problem links to this page.
async fn page(slug: Result<Path<String>, PathRejection>) -> Response {
    let Some(slug) = slug.ok().and_then(|Path(slug)| Slug::from_type(&slug)) else {
        return Refusal::new(Slug::NotFound, "There is no such problem type.").into_response();
    };
    let mut others = String::new();
    for other in Slug::ALL {
        // writing to a String never fails
        let _ = write!(others, "<li><a href=\"/problems/{other}\">{}</a></li>", other.title());
    }
    Html(format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{title} · Sluice</title><style>body{{font:17px/1.5 system-ui;max-width:42rem;margin:3rem auto;padding:0 1rem}}\
         code{{background:#8882;padding:.1em .3em;border-radius:4px}}ul{{columns:2;color:#888}}\
         :root{{color-scheme:light dark}}</style><h1>{title}</h1><p><code>{slug}</code> · HTTP {status}</p><p>{text}</p>\
         <h2>All problem types</h2><ul>{others}</ul>",
        title = slug.title(),
        status = slug.status(),
        text = render_code_spans(slug.explanation()),
    ))
    .into_response()
}

/// Escapes a text for HTML and renders text between backticks as `<code>`.
fn render_code_spans(text: &str) -> String {
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let parts = escaped.split('`').enumerate();
    parts.map(|(i, part)| if i % 2 == 1 { format!("<code>{part}</code>") } else { part.to_owned() }).collect()
}
