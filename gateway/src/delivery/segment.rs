//! Fetches the bytes of one segment (a stored part of a file) from the short-lived URL that the notifier has granted.

use std::{error::Error, time::Duration};

use axum::{
    body::{Body, BodyDataStream},
    http::{Request, StatusCode, header},
};
use bytes::Bytes;
use futures::StreamExt;
use protocol::delivery::Grant;

use super::segment_client::SegmentClient;

/// The reason why the gateway could not fetch the bytes of a segment (a stored part of a file). After each of these
/// failures, the [`Reader`](super::Reader) requests new grants (the short-lived URLs of segments), and continues at the
/// next unread byte.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("the grant's URL is invalid")]
    Url(#[from] axum::http::Error),
    #[error("request failed: {}", cause(.0))]
    Request(#[from] hyper_util::client::legacy::Error),
    #[error("the connection failed: {0}")]
    Read(#[from] axum::Error),
    #[error("the grant's URL answered {0}")]
    Status(StatusCode),
    #[error("no byte arrived before the read timeout")]
    Slow,
    #[error("the segment ended before its last byte")]
    Short,
    #[error("the response has more bytes than the segment")]
    Long,
}

/// Returns the error that made a request fail. The HTTP client's own error says only in which phase the request failed.
fn cause(error: &hyper_util::client::legacy::Error) -> String {
    error.source().map_or_else(|| error.to_string(), ToString::to_string)
}

/// The response to a request for the bytes of one segment (a stored part of a file). The response has the bytes from a
/// start offset to the end of the segment.
pub(super) struct Fetch {
    body: BodyDataStream,
    /// The received bytes that the reader has not taken yet: at most [`CHUNK_BYTES`](super::CHUNK_BYTES).
    buffered: Bytes,
    /// The number of bytes of the response that have not arrived yet.
    not_received: u64,
}

impl Fetch {
    /// Requests the bytes from `offset` to the end of the segment from the URL in `grant`. The offset counts from the
    /// start of the file and must lie in the segment. `timeout` limits the wait for the header of the response.
    pub(super) async fn start(
        http: &SegmentClient,
        grant: &Grant,
        offset: u64,
        timeout: Duration,
    ) -> Result<Self, FetchError> {
        let skip = offset - grant.segment.offset;
        let range = format!("bytes={skip}-{}", grant.segment.size - 1);
        let request = Request::get(&grant.url).header(header::RANGE, range).body(Body::empty())?;
        let response = tokio::time::timeout(timeout, http.send(request)).await.map_err(|_| FetchError::Slow)??;
        let whole = skip == 0 && response.status() == StatusCode::OK;
        if response.status() != StatusCode::PARTIAL_CONTENT && !whole {
            return Err(FetchError::Status(response.status()));
        }
        Ok(Self {
            body: response.into_body().into_data_stream(),
            buffered: Bytes::new(),
            not_received: grant.segment.size - skip,
        })
    }

    /// Returns up to `max` bytes. The result is empty after the last byte of the response. `timeout` limits the wait
    /// for the next chunk from the network.
    pub(super) async fn take(&mut self, max: usize, timeout: Duration) -> Result<Bytes, FetchError> {
        while self.buffered.is_empty() {
            if self.not_received == 0 {
                return Ok(Bytes::new());
            }
            let next = tokio::time::timeout(timeout, self.body.next()).await.map_err(|_| FetchError::Slow)?;
            self.buffered = next.ok_or(FetchError::Short)??;
            self.not_received = self.not_received.checked_sub(self.buffered.len() as u64).ok_or(FetchError::Long)?;
        }
        Ok(self.buffered.split_to(max.min(self.buffered.len())))
    }

    /// Whether the reader has taken all bytes of the response.
    pub(super) fn is_finished(&self) -> bool {
        self.buffered.is_empty() && self.not_received == 0
    }
}
