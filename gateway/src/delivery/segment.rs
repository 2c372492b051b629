//! One segment being fetched by its grant.

use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream::BoxStream};
use protocol::delivery::Grant;
use reqwest::{StatusCode, header};

/// Why a segment stopped coming. Each is cured by a fresh grant and a request for the rest.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("fetch: {0}")]
    Http(reqwest::Error),
    #[error("the grant was answered with {0}")]
    Status(StatusCode),
    #[error("no byte came in time")]
    Slow,
    #[error("the segment ended before its last byte")]
    Short,
    #[error("more bytes came than the segment has")]
    Long,
}

/// Bytes of one segment from some byte on.
pub(super) struct Fetch {
    body: BoxStream<'static, Result<Bytes, reqwest::Error>>,
    /// Came from the network and not yet taken: at most one chunk.
    held: Bytes,
    /// Still to come after `held`.
    left: u64,
}

impl From<reqwest::Error> for FetchError {
    /// A grant's URL opens the bytes to whoever reads it, so it stays out of messages.
    fn from(e: reqwest::Error) -> Self {
        Self::Http(e.without_url())
    }
}

impl Fetch {
    /// Begins to fetch the segment from the file's byte `offset` on.
    pub(super) async fn begin(
        http: &reqwest::Client,
        grant: &Grant,
        offset: u64,
        timeout: Duration,
    ) -> Result<Self, FetchError> {
        let skip = offset - grant.segment.offset;
        let range = format!("bytes={skip}-{}", grant.segment.size - 1);
        let request = http.get(&grant.url).header(header::RANGE, range).send();
        let response = tokio::time::timeout(timeout, request).await.map_err(|_| FetchError::Slow)??;
        let whole = skip == 0 && response.status() == StatusCode::OK;
        if response.status() != StatusCode::PARTIAL_CONTENT && !whole {
            return Err(FetchError::Status(response.status()));
        }
        Ok(Self { body: response.bytes_stream().boxed(), held: Bytes::new(), left: grant.segment.size - skip })
    }

    /// Up to `max` further bytes; empty at the segment's end.
    pub(super) async fn take(&mut self, max: usize, timeout: Duration) -> Result<Bytes, FetchError> {
        while self.held.is_empty() {
            if self.left == 0 {
                return Ok(Bytes::new());
            }
            let next = tokio::time::timeout(timeout, self.body.next()).await.map_err(|_| FetchError::Slow)?;
            self.held = next.ok_or(FetchError::Short)??;
            self.left = self.left.checked_sub(self.held.len() as u64).ok_or(FetchError::Long)?;
        }
        Ok(self.held.split_to(max.min(self.held.len())))
    }

    /// Whether every byte was taken.
    pub(super) fn is_over(&self) -> bool {
        self.held.is_empty() && self.left == 0
    }
}
