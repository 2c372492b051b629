//! The response body of a download. A task reads the file as fast as the client accepts the bytes.

use std::io;

use axum::body::{Body, Bytes};
use futures::stream;
use tokio::sync::mpsc;
use tracing::warn;

use crate::{
    auth::KeyWatch,
    delivery::{self, CHUNK_BYTES, DownloadGuard, ReadStatus, Reader},
};

/// The maximum number of chunks that wait until they are written to the client's connection. A chunk has at most
/// [`CHUNK_BYTES`].
const MAX_CHUNKS: usize = 1;

/// A chunk of the file, or the failure that ends the download.
type Chunk = io::Result<Bytes>;

/// Creates a response body with the bytes from the reader's offset up to `end`, and the task that reads these bytes.
/// The caller must spawn the task. If the task cannot read the file, the task resets the connection, so that the client
/// does not take a partial file for a complete one. The same happens when `watch` reports the deletion of the caller's
/// API key. The task holds `guard`, so the download counts against the download limits until the task ends.
pub(super) fn file_body(
    reader: Reader,
    end: u64,
    guard: DownloadGuard,
    watch: KeyWatch,
) -> (Body, impl Future<Output = ()> + Send) {
    let (chunks, queue) = mpsc::channel(MAX_CHUNKS);
    let body = Body::from_stream(stream::unfold(queue, async |mut queue| Some((queue.recv().await?, queue))));
    (body, send(reader, end, chunks, guard, watch))
}

/// Sends chunks to the response body until the offset `end` is reached, a read fails, the API key is deleted, or the
/// client disconnects.
async fn send(mut reader: Reader, end: u64, chunks: mpsc::Sender<Chunk>, _guard: DownloadGuard, watch: KeyWatch) {
    tokio::select! {
        () = chunks.closed() => {}
        // an error means that the client has disconnected
        _ = send_all(&mut reader, end, &chunks) => {}
        () = watch.revoked() => {
            let reason = "the API key was deleted or has expired";
            warn!(%reason, "download aborted");
            drop(reader);
            // an error means that the client has disconnected
            let _ = chunks.send(Err(io::Error::other(reason))).await;
        }
    }
}

async fn send_all(
    reader: &mut Reader,
    end: u64,
    chunks: &mpsc::Sender<Chunk>,
) -> Result<(), mpsc::error::SendError<()>> {
    while reader.offset() < end {
        delivery::wait_for_room(chunks, reader).await?;
        let chunk = next_chunk(reader, end).await.map_err(|reason| {
            warn!(%reason, "download aborted");
            io::Error::other(reason)
        });
        let is_failure = chunk.is_err();
        chunks.send(chunk).await.map_err(|_| mpsc::error::SendError(()))?;
        if is_failure {
            return Ok(());
        }
    }
    Ok(())
}

/// Reads the next chunk of the file, which ends at the offset `end` at the latest. The reader's offset must be below
/// `end`.
///
/// # Errors
/// The text of the failure that ends the download.
async fn next_chunk(reader: &mut Reader, end: u64) -> Result<Bytes, String> {
    loop {
        match reader.ready().await {
            ReadStatus::Ready => {}
            ReadStatus::Sealed(_) => return Err("the file is shorter than its recorded size".into()),
            ReadStatus::Ended(problem) => return Err(problem.detail),
        }
        let left = end.saturating_sub(reader.offset());
        let max = usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK_BYTES);
        let bytes = reader.read(max).await.map_err(|problem| problem.detail)?;
        if !bytes.is_empty() {
            metrics::counter!("sluice_gateway_file_bytes_total", "over" => "http").increment(bytes.len() as u64);
            return Ok(bytes);
        }
    }
}
