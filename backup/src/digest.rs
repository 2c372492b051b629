//! Computes the size and the SHA-256 of byte streams, and compares streams and objects with an expected digest.

use std::{io, time::Duration};

use aws_lc_rs::digest::{Context, SHA256, digest};
use bytes::Bytes;
use futures::{Stream, StreamExt, stream::BoxStream};
use platform::store::FileStore;

use crate::{error::BackupError, manifest::Part};

/// A stream of byte chunks, which an I/O error may end early.
pub(crate) type ByteStream = BoxStream<'static, io::Result<Bytes>>;

/// The size and the SHA-256 of a sequence of bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Digest {
    pub(crate) size: u64,
    /// SHA-256 in lower-case hex.
    pub(crate) sha256: String,
}

impl From<&Part> for Digest {
    fn from(part: &Part) -> Self {
        Self { size: part.size, sha256: part.sha256.clone() }
    }
}

/// Computes a [`Digest`] incrementally.
pub(crate) struct Hasher {
    context: Context,
    size: u64,
}

impl Default for Hasher {
    fn default() -> Self {
        Self { context: Context::new(&SHA256), size: 0 }
    }
}

impl Hasher {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
        self.size += bytes.len() as u64;
    }

    pub(crate) fn finish(self) -> Digest {
        Digest { size: self.size, sha256: hex::encode(self.context.finish()) }
    }
}

/// Returns the SHA-256 of the bytes in lower-case hex.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(digest(&SHA256, bytes))
}

/// Reads a whole object and compares its bytes with the expected digest.
pub(crate) async fn verify_object(
    store: &FileStore,
    path: &str,
    expected: &Digest,
    stall_timeout: Duration,
) -> Result<(), BackupError> {
    let object = match store.read(path, None).await {
        Ok(object) => object,
        Err(e) if e.is_not_found() => return Err(BackupError::damaged(path, "the object is missing")),
        Err(e) => return Err(e.into()),
    };
    let bytes = object.stream.map(|chunk| chunk.map_err(io::Error::other));
    let mut chunks = verify_stream(bytes, expected.clone(), stall_timeout);
    while let Some(chunk) = chunks.next().await {
        chunk.map_err(|e| BackupError::damaged(path, e))?;
    }
    Ok(())
}

/// Forwards a stream and hashes it. If the digest at the end differs from `expected`, the stream ends with an
/// [`io::ErrorKind::InvalidData`] error.
pub(crate) fn verify_stream(
    bytes: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    expected: Digest,
    stall_timeout: Duration,
) -> ByteStream {
    let bytes = Some(with_stall_timeout(bytes, stall_timeout).boxed());
    let next = move |(bytes, mut hasher, expected): (Option<ByteStream>, Hasher, Digest)| async move {
        let mut bytes = bytes?;
        match bytes.next().await {
            Some(Ok(chunk)) => {
                hasher.update(&chunk);
                Some((Ok(chunk), (Some(bytes), hasher, expected)))
            }
            Some(Err(e)) => Some((Err(e), (None, hasher, expected))),
            None => {
                let found = std::mem::take(&mut hasher).finish();
                let mismatch = (found != expected).then(|| {
                    io::Error::new(
                        io::ErrorKind::InvalidData,
                        format!(
                            "found {} bytes with SHA-256 {}, expected {} with {}",
                            found.size, found.sha256, expected.size, expected.sha256
                        ),
                    )
                });
                mismatch.map(|e| (Err(e), (None, hasher, expected)))
            }
        }
    };
    futures::stream::unfold((bytes, Hasher::default(), expected), next).boxed()
}

/// Forwards a stream. If the next chunk takes longer than the timeout, the stream ends with an error.
pub(crate) fn with_stall_timeout(
    bytes: impl Stream<Item = io::Result<Bytes>> + Send,
    stall_timeout: Duration,
) -> impl Stream<Item = io::Result<Bytes>> + Send {
    futures::stream::unfold(Some(Box::pin(bytes)), move |bytes| async move {
        let mut bytes = bytes?;
        match tokio::time::timeout(stall_timeout, bytes.next()).await {
            Ok(chunk) => chunk.map(|chunk| (chunk, Some(bytes))),
            Err(_) => Some((Err(stall_error(stall_timeout)), None)),
        }
    })
}

/// Returns the error of a stream that produced no byte within the stall timeout.
pub(crate) fn stall_error(stall_timeout: Duration) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("stalled: no byte for {stall_timeout:?}"))
}
