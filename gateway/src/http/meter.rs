//! Times requests, by route and class of status.

use axum::{
    extract::{MatchedPath, Request},
    http::{Method, StatusCode},
    middleware::Next,
    response::Response,
};
use tokio::time::Instant;

/// The outermost layer. A route is the pattern that a path matched: whatever a stranger makes up is one and the same, as
/// are the files of the page.
pub(super) async fn time(request: Request, next: Next) -> Response {
    let began = Instant::now();
    let route = request.extensions().get::<MatchedPath>().map(|matched| matched.as_str().to_owned());
    let method = method(request.method());
    let response = next.run(request).await;
    let route = route.map_or_else(|| "other".to_owned(), |route| format!("{method} {route}"));
    metrics::histogram!("sluice_gateway_http_seconds", "route" => route, "status" => class(response.status()))
        .record(began.elapsed().as_secs_f64());
    response
}

/// Anybody may make up a method.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

const fn class(status: StatusCode) -> &'static str {
    match status.as_u16() {
        ..200 => "1xx",
        200..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        500.. => "5xx",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_few_whatever_is_asked() {
        assert_eq!(method(&Method::from_bytes(b"MADE-UP").unwrap()), "other");
        assert_eq!(
            [101, 206, 304, 404, 503].map(|s| class(StatusCode::from_u16(s).unwrap())),
            ["1xx", "2xx", "3xx", "4xx", "5xx"]
        );
    }
}
