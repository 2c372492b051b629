//! The bytes of a segment on their way out: flat memory, and never a clean end before the end.

use std::{io, time::Duration};

use axum::body::Body;
use futures::{StreamExt, TryStreamExt, stream};
use platform::store::Reading;
use tracing::warn;

/// How long the store may take over one piece.
const PIECE: Duration = Duration::from_secs(30);

/// A body that reads as fast as its reader does. Any failure resets the connection, as a body that ends with an
/// error does, so that a cut segment never looks whole.
pub(super) fn of(reading: Reading, path: String) -> Body {
    let left = reading.range.end - reading.range.start;
    let pieces = stream::try_unfold((reading.stream, left), |(mut pieces, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let piece = tokio::time::timeout(PIECE, pieces.next()).await;
        let piece = piece.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "the store took too long"))?;
        let piece = piece.transpose().map_err(io::Error::other)?.unwrap_or_default();
        // also a file that was cut under our hands, which reads as empty pieces without end
        let count = piece.len() as u64;
        if count == 0 || count > left {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the object has another size than it said"));
        }
        Ok(Some((piece, (pieces, left - count))))
    });
    Body::from_stream(pieces.inspect_err(move |e| {
        metrics::counter!("sluice_notifier_segments_cut_total").increment(1);
        warn!(object.path = path, error = %e, "a segment was cut off; its reader asks again");
    }))
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use bytes::Bytes;

    use super::*;

    fn reading(pieces: &'static [&'static str], size: u64) -> Reading {
        let stream = stream::iter(pieces.iter().map(|piece| Ok(Bytes::from_static(piece.as_bytes())))).boxed();
        Reading { size, range: 0..size, stream }
    }

    #[tokio::test]
    async fn a_body_ends_cleanly_only_when_it_is_whole() {
        let whole = to_bytes(of(reading(&["ab", "c"], 3), "x".into()), 99).await.unwrap();
        assert_eq!(whole, "abc");
        for (pieces, size) in [(&["ab"][..], 3), (&["ab", "", "c"], 3), (&["abcd"], 3)] {
            assert!(to_bytes(of(reading(pieces, size), "x".into()), 99).await.is_err());
        }
    }
}
