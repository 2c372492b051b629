//! Measures the time from each request to the header of its response, by route and status class (such as `2xx`).

use axum::{
    extract::{MatchedPath, Request},
    http::{Method, StatusCode},
    middleware::Next,
    response::Response,
};
use tokio::time::Instant;

/// Middleware that records the time from each request to the header of its response, without the body. The label
/// `route` contains the method and the matched route pattern. Unknown paths and files of the web page share the value
/// `other`, so that a client cannot create a time series for each path that it invents.
pub(crate) async fn record(request: Request, next: Next) -> Response {
    let start = Instant::now();
    let route = request.extensions().get::<MatchedPath>().map(|matched| matched.as_str().to_owned());
    let method = method(request.method());
    let response = next.run(request).await;
    let route = route.map_or_else(|| "other".to_owned(), |route| format!("{method} {route}"));
    metrics::histogram!("sluice_gateway_http_response_header_seconds", "route" => route, "status" => status_class(response.status()))
        .record(start.elapsed().as_secs_f64());
    response
}

/// Returns the name of an HTTP method for the metric label `route`. Returns `other` for every unknown method, because a
/// client can send any method name.
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

const fn status_class(status: StatusCode) -> &'static str {
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
    fn unknown_methods_share_one_label() {
        assert_eq!(method(&Method::from_bytes(b"UNKNOWN").unwrap()), "other");
        assert_eq!(
            [101, 206, 304, 404, 503].map(|s| status_class(StatusCode::from_u16(s).unwrap())),
            ["1xx", "2xx", "3xx", "4xx", "5xx"]
        );
    }
}
