//! Adapters between async channels of byte chunks and the blocking readers and writers of zstd (compression) and age
//! (encryption). Both adapters hash the bytes.

use std::io::{self, Read, Write};

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;

use crate::digest::{Digest, Hasher};

/// The maximum number of chunks that wait in a channel.
pub(crate) const CHANNEL_CHUNKS: usize = 4;
/// Size of the chunks that [`ChannelWriter`] sends, in bytes.
const CHUNK_BYTES: usize = 256 * 1024;

/// A blocking reader of the chunks in an async channel.
pub(crate) struct ChannelReader {
    channel: mpsc::Receiver<io::Result<Bytes>>,
    chunk: Bytes,
    hasher: Hasher,
}

impl ChannelReader {
    pub(crate) fn new(channel: mpsc::Receiver<io::Result<Bytes>>) -> Self {
        Self { channel, chunk: Bytes::new(), hasher: Hasher::default() }
    }

    /// Returns the digest of all received bytes.
    pub(crate) fn digest(self) -> Digest {
        self.hasher.finish()
    }
}

impl Read for ChannelReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() {
            let Some(chunk) = self.channel.blocking_recv() else { return Ok(0) };
            self.chunk = chunk?;
            self.hasher.update(&self.chunk);
        }
        let count = self.chunk.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.chunk.split_to(count));
        Ok(count)
    }
}

/// A blocking writer that sends chunks into an async channel.
pub(crate) struct ChannelWriter {
    channel: mpsc::Sender<io::Result<Bytes>>,
    chunk: BytesMut,
    hasher: Hasher,
}

impl ChannelWriter {
    pub(crate) fn new(channel: mpsc::Sender<io::Result<Bytes>>) -> Self {
        Self { channel, chunk: BytesMut::new(), hasher: Hasher::default() }
    }

    /// Sends the buffered bytes as one chunk.
    pub(crate) fn send(&mut self) -> io::Result<()> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        self.hasher.update(&self.chunk);
        let sent = self.channel.blocking_send(Ok(self.chunk.split().freeze()));
        sent.map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the receiver of the bytes is closed"))
    }

    /// Returns the digest of all sent bytes.
    pub(crate) fn digest(self) -> Digest {
        self.hasher.finish()
    }
}

impl Write for ChannelWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.chunk.extend_from_slice(bytes);
        if self.chunk.len() >= CHUNK_BYTES {
            self.send()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
