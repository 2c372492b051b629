//! The HTTP body of a response with a segment or a range of it. The body holds one chunk in memory. The body ends with
//! an error if the notifier can't send all requested bytes.

use std::{io, time::Duration};

use axum::body::Body;
use futures::{StreamExt, TryStreamExt, stream};
use platform::store::ObjectReader;
use tracing::warn;

/// The timeout of reading one chunk from the file store.
const CHUNK_TIMEOUT: Duration = Duration::from_secs(30);

/// Returns a body that reads from the file store only as fast as the gateway receives. `path` names the object in log
/// lines. On an error, the HTTP server resets the connection, so that the gateway never takes a truncated segment for a
/// complete one.
pub(super) fn body(reading: ObjectReader, path: String) -> Body {
    let left = reading.range.end - reading.range.start;
    let chunks = stream::try_unfold((reading.stream, left), |(mut chunks, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let chunk = tokio::time::timeout(CHUNK_TIMEOUT, chunks.next()).await;
        let chunk = chunk
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "reading a chunk from the file store timed out"))?;
        let chunk = chunk.transpose().map_err(io::Error::other)?.unwrap_or_default();
        // a local file that was truncated during the read yields empty chunks without end
        let count = chunk.len() as u64;
        if count == 0 || count > left {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the object does not have its recorded size"));
        }
        Ok(Some((chunk, (chunks, left - count))))
    });
    Body::from_stream(chunks.inspect_err(move |e| {
        count_failure();
        warn!(object.path = path, error = %e, "truncated a segment; the gateway retries");
    }))
}

/// Counts, in the metrics, a segment that the notifier failed to open or to read to its end.
pub(super) fn count_failure() {
    metrics::counter!("sluice_notifier_segment_read_failures_total").increment(1);
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use bytes::Bytes;

    use super::*;

    fn reading(chunks: &'static [&'static str], size: u64) -> ObjectReader {
        let stream = stream::iter(chunks.iter().map(|chunk| Ok(Bytes::from_static(chunk.as_bytes())))).boxed();
        ObjectReader { size, range: 0..size, stream }
    }

    #[tokio::test]
    async fn a_body_ends_cleanly_only_after_its_last_byte() {
        let complete = to_bytes(body(reading(&["ab", "c"], 3), "x".into()), 99).await.unwrap();
        assert_eq!(complete, "abc");
        for (chunks, size) in [(&["ab"][..], 3), (&["ab", "", "c"], 3), (&["abcd"], 3)] {
            assert!(to_bytes(body(reading(chunks, size), "x".into()), 99).await.is_err());
        }
    }
}
