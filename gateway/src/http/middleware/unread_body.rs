//! Reads the part of a request body that a handler left unread, such as when the handler refused the request.
//!
//! A server may answer before it has read the whole body. If the server then closes the connection while the client
//! still sends, the operating system resets the connection. Many clients then report a broken connection instead of the
//! answer (RFC 9112, section 9.6).

use std::{
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::Request,
    http::{HeaderValue, header},
    middleware::Next,
    response::Response,
};

use crate::http::extract::MAX_BODY_SIZE;

/// How long the gateway waits for the rest of a request body after the handler has answered.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The body of a request, which the handler and this middleware share.
#[derive(Clone)]
struct SharedBody(Arc<Mutex<Body>>);

impl HttpBody for SharedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner)).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).size_hint()
    }
}

/// Middleware that reads the part of a request body that the handler has not read. If this part is larger than
/// [`MAX_BODY_SIZE`] or does not arrive within [`TIMEOUT`], the middleware adds the header `Connection: close` to the
/// response.
pub(crate) async fn drain(request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let body = SharedBody(Arc::new(Mutex::new(body)));
    let mut response = next.run(Request::from_parts(parts, Body::new(body.clone()))).await;
    if !matches!(tokio::time::timeout(TIMEOUT, is_drained(body)).await, Ok(true)) {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Reads the rest of a request body, and returns true at its end. Returns false if the rest is larger than
/// [`MAX_BODY_SIZE`], or the client has disconnected.
async fn is_drained(mut body: SharedBody) -> bool {
    let mut left = MAX_BODY_SIZE.as_usize();
    while !body.is_end_stream() {
        match poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
            None => return true,
            Some(Err(_)) => return false,
            Some(Ok(frame)) => {
                let Some(rest) = left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) else { return false };
                left = rest;
            }
        }
    }
    true
}
