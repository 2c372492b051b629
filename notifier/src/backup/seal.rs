//! Bytes on their way into a backup and out of it: compressed, then encrypted, and hashed on both sides. Both ways work
//! in a stream through a few bounded pieces, so that a dump of any size takes the same memory.

use std::{
    io::{self, Read, Write},
    sync::Arc,
    time::Duration,
};

use age::x25519::{Identity, Recipient};
use aws_lc_rs::digest::{Context, SHA256, digest};
use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt, stream::BoxStream};
use platform::store::FileStore;
use tokio::sync::mpsc;

use super::{error::BackupError, manifest::Part};

/// Pieces between two stages.
const PIECES: usize = 4;
/// Bytes of a piece.
const PIECE_BYTES: usize = 256 * 1024;

/// Bytes, and what they hash to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Digest {
    /// How many.
    pub(super) size: u64,
    /// SHA-256, hex.
    pub(super) sha256: String,
}

/// A stream of bytes.
pub(super) type Pieces = BoxStream<'static, io::Result<Bytes>>;

/// How parts are sealed.
#[derive(Clone)]
pub(super) struct Sealer {
    recipients: Arc<Vec<Recipient>>,
    level: i32,
    stall: Duration,
}

/// An object that was sealed: what went in, and what is stored.
#[derive(Clone, Debug)]
pub(super) struct Sealed {
    pub(super) plain: Digest,
    pub(super) stored: Digest,
}

impl Sealer {
    pub(super) fn new(recipients: Vec<Recipient>, level: i32, stall: Duration) -> Self {
        Self { recipients: Arc::new(recipients), level, stall }
    }

    /// What a sealed object's name ends with.
    pub(super) fn suffix(&self) -> &'static str {
        if self.recipients.is_empty() { ".zst" } else { ".zst.age" }
    }

    /// Seals a stream into an object, which is there whole or not at all.
    pub(super) async fn seal(
        &self,
        store: &FileStore,
        path: &str,
        plain: impl Stream<Item = io::Result<Bytes>> + Send,
    ) -> Result<Sealed, BackupError> {
        let (plain_in, plain_out) = mpsc::channel(PIECES);
        let (stored_in, stored_out) = mpsc::channel(PIECES);
        let sealer = self.clone();
        let encoding = tokio::task::spawn_blocking(move || sealer.encode(plain_out, stored_in));
        let feeding = async move {
            let mut plain = std::pin::pin!(plain);
            loop {
                // a source that stands still must not hold a backup for ever
                let piece = match tokio::time::timeout(self.stall, plain.next()).await {
                    Ok(Some(piece)) => piece,
                    Ok(None) => return,
                    Err(_) => Err(stalled()),
                };
                let failed = piece.is_err();
                if plain_in.send(piece).await.is_err() || failed {
                    return;
                }
            }
        };
        let storing = store.write(path, stalling(received(stored_out), self.stall));
        let ((), written) = tokio::join!(feeding, storing);
        // why the store got an error is better known here
        let encoded = encoding.await.map_err(|_| BackupError::Panicked("sealing"))?;
        written?;
        encoded.map_err(BackupError::local(path))
    }

    fn encode(
        &self,
        plain: mpsc::Receiver<io::Result<Bytes>>,
        stored: mpsc::Sender<io::Result<Bytes>>,
    ) -> io::Result<Sealed> {
        let failures = stored.clone();
        let encode = || -> io::Result<Sealed> {
            let mut reader = ChannelReader::new(plain);
            let mut writer = ChannelWriter::new(stored);
            if self.recipients.is_empty() {
                let mut encoder = self.compress(&mut writer)?;
                io::copy(&mut reader, &mut encoder)?;
                encoder.finish()?;
            } else {
                let recipients = self.recipients.iter().map(|r| r as &dyn age::Recipient);
                let encryptor = age::Encryptor::with_recipients(recipients).map_err(io::Error::other)?;
                let mut encoder = self.compress(encryptor.wrap_output(&mut writer)?)?;
                io::copy(&mut reader, &mut encoder)?;
                encoder.finish()?.finish()?;
            }
            writer.send()?;
            Ok(Sealed { plain: reader.digest(), stored: writer.digest() })
        };
        let encoded = encode();
        if let Err(e) = &encoded {
            // when nobody listens any more, the store has failed itself
            drop(failures.blocking_send(Err(io::Error::new(e.kind(), e.to_string()))));
        }
        encoded
    }

    fn compress<W: Write>(&self, to: W) -> io::Result<zstd::Encoder<'static, W>> {
        let mut encoder = zstd::Encoder::new(to, self.level)?;
        encoder.include_checksum(true)?;
        Ok(encoder)
    }
}

/// How parts are opened.
#[derive(Clone)]
pub(super) struct Opener {
    identities: Arc<Vec<Identity>>,
    stall: Duration,
}

impl Opener {
    pub(super) fn new(identities: Vec<Identity>, stall: Duration) -> Self {
        Self { identities: Arc::new(identities), stall }
    }

    /// What was sealed into an object. It ends in order only if the stored bytes are those that were written.
    pub(super) async fn open(&self, store: &FileStore, path: &str, expected: &Digest) -> Result<Pieces, BackupError> {
        let reading = store.read(path, None).await?;
        let (stored_in, stored_out) = mpsc::channel::<io::Result<Bytes>>(PIECES);
        let (plain_in, plain_out) = mpsc::channel(PIECES);
        let (stall, expected) = (self.stall, expected.clone());
        // it ends when nobody reads any more
        tokio::spawn(async move {
            let mut pieces = checked(reading.stream.map(|piece| piece.map_err(io::Error::other)), expected, stall);
            while let Some(piece) = pieces.next().await {
                let failed = piece.is_err();
                if stored_in.send(piece).await.is_err() || failed {
                    return;
                }
            }
        });
        let opener = self.clone();
        tokio::task::spawn_blocking(move || opener.decode(stored_out, plain_in));
        Ok(stalling(received(plain_out), self.stall).boxed())
    }

    fn decode(&self, stored: mpsc::Receiver<io::Result<Bytes>>, plain: mpsc::Sender<io::Result<Bytes>>) {
        let failures = plain.clone();
        let decode = || -> io::Result<()> {
            let mut reader = ChannelReader::new(stored);
            let mut writer = ChannelWriter::new(plain);
            if self.identities.is_empty() {
                io::copy(&mut zstd::Decoder::new(&mut reader)?, &mut writer)?;
            } else {
                let decryptor = age::Decryptor::new(&mut reader).map_err(io::Error::other)?;
                let identities = self.identities.iter().map(|i| i as &dyn age::Identity);
                let opened = decryptor.decrypt(identities).map_err(io::Error::other)?;
                io::copy(&mut zstd::Decoder::new(opened)?, &mut writer)?;
            }
            // to the last byte, as only then the digest is known
            io::copy(&mut reader, &mut io::sink())?;
            writer.send()
        };
        if let Err(e) = decode() {
            // when nobody listens any more, nobody wants to know
            drop(failures.blocking_send(Err(e)));
        }
    }
}

/// Whether an object is as it was written; reads it whole.
pub(super) async fn check(
    store: &FileStore,
    path: &str,
    expected: &Digest,
    stall: Duration,
) -> Result<(), BackupError> {
    let reading = match store.read(path, None).await {
        Ok(reading) => reading,
        Err(e) if e.is_not_found() => return Err(BackupError::damaged(path, "it is missing")),
        Err(e) => return Err(e.into()),
    };
    let mut pieces = checked(reading.stream.map(|piece| piece.map_err(io::Error::other)), expected.clone(), stall);
    while let Some(piece) = pieces.next().await {
        piece.map_err(|e| BackupError::damaged(path, e))?;
    }
    Ok(())
}

/// The same bytes; an error in place of the end when they are others than expected.
pub(super) fn checked(
    pieces: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    expected: Digest,
    stall: Duration,
) -> Pieces {
    let hash = Hash::default();
    let pieces = Some(stalling(pieces, stall).boxed());
    let next = move |(pieces, mut hash, expected): (Option<Pieces>, Hash, Digest)| async move {
        let mut pieces = pieces?;
        match pieces.next().await {
            Some(Ok(piece)) => {
                hash.add(&piece);
                Some((Ok(piece), (Some(pieces), hash, expected)))
            }
            Some(Err(e)) => Some((Err(e), (None, hash, expected))),
            None => {
                let found = std::mem::take(&mut hash).digest();
                let wrong = (found != expected).then(|| {
                    io::Error::new(
                        io::ErrorKind::InvalidData,
                        format!(
                            "{} bytes with SHA-256 {} where {} with {} were written",
                            found.size, found.sha256, expected.size, expected.sha256
                        ),
                    )
                });
                wrong.map(|e| (Err(e), (None, hash, expected)))
            }
        }
    };
    futures::stream::unfold((pieces, hash, expected), next).boxed()
}

/// The lower-case hex SHA-256 of these bytes.
pub(super) fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(digest(&SHA256, bytes))
}

impl From<&Part> for Digest {
    fn from(part: &Part) -> Self {
        Self { size: part.size, sha256: part.sha256.clone() }
    }
}

fn received(channel: mpsc::Receiver<io::Result<Bytes>>) -> impl Stream<Item = io::Result<Bytes>> + Send {
    futures::stream::unfold(channel, |mut channel| async { channel.recv().await.map(|piece| (piece, channel)) })
}

/// An error in place of a piece that does not come in time.
fn stalling(
    pieces: impl Stream<Item = io::Result<Bytes>> + Send,
    stall: Duration,
) -> impl Stream<Item = io::Result<Bytes>> + Send {
    futures::stream::unfold(Some(Box::pin(pieces)), move |pieces| async move {
        let mut pieces = pieces?;
        match tokio::time::timeout(stall, pieces.next()).await {
            Ok(piece) => piece.map(|piece| (piece, Some(pieces))),
            Err(_) => Some((Err(stalled()), None)),
        }
    })
}

fn stalled() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "nothing moved for backup.stall_s")
}

/// What bytes hash to, as they come.
pub(super) struct Hash {
    context: Context,
    size: u64,
}

impl Default for Hash {
    fn default() -> Self {
        Self { context: Context::new(&SHA256), size: 0 }
    }
}

impl Hash {
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
        self.size += bytes.len() as u64;
    }

    pub(super) fn digest(self) -> Digest {
        Digest { size: self.size, sha256: hex::encode(self.context.finish()) }
    }
}

/// The pieces of a channel as a reader for a blocking thread.
struct ChannelReader {
    channel: mpsc::Receiver<io::Result<Bytes>>,
    piece: Bytes,
    hash: Hash,
}

impl ChannelReader {
    fn new(channel: mpsc::Receiver<io::Result<Bytes>>) -> Self {
        Self { channel, piece: Bytes::new(), hash: Hash::default() }
    }

    fn digest(self) -> Digest {
        self.hash.digest()
    }
}

impl Read for ChannelReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            let Some(piece) = self.channel.blocking_recv() else { return Ok(0) };
            self.piece = piece?;
            self.hash.add(&self.piece);
        }
        let count = self.piece.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.piece.split_to(count));
        Ok(count)
    }
}

/// A writer of a blocking thread into a channel.
struct ChannelWriter {
    channel: mpsc::Sender<io::Result<Bytes>>,
    piece: BytesMut,
    hash: Hash,
}

impl ChannelWriter {
    fn new(channel: mpsc::Sender<io::Result<Bytes>>) -> Self {
        Self { channel, piece: BytesMut::new(), hash: Hash::default() }
    }

    /// Sends what has gathered.
    fn send(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        self.hash.add(&self.piece);
        let sent = self.channel.blocking_send(Ok(self.piece.split().freeze()));
        sent.map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "nobody takes the bytes any more"))
    }

    fn digest(self) -> Digest {
        self.hash.digest()
    }
}

impl Write for ChannelWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE_BYTES {
            self.send()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;

    use super::*;

    const STALL: Duration = Duration::from_secs(20);

    fn pieces(bytes: &[u8]) -> impl Stream<Item = io::Result<Bytes>> + Send + use<> {
        let pieces: Vec<_> = bytes.chunks(70_001).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        futures::stream::iter(pieces)
    }

    /// Megabytes that don't compress to nothing.
    fn noise() -> Vec<u8> {
        let words = (0..400_000_u64).map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes());
        words.flatten().collect()
    }

    #[tokio::test]
    async fn what_is_sealed_opens_again_and_a_changed_byte_does_not() {
        let folder = testkit::store::folder();
        let store = folder.store();
        let identity = Identity::generate();
        for recipients in [vec![], vec![identity.to_public()]] {
            let encrypted = !recipients.is_empty();
            let sealer = Sealer::new(recipients, 3, STALL);
            for plain in [vec![], b"hello".to_vec(), noise()] {
                let sealed = sealer.seal(&store, "x", pieces(&plain)).await.unwrap();
                assert_eq!(sealed.plain, Digest { size: plain.len() as u64, sha256: sha256_hex(&plain) });
                let stored = store.get("x").await.unwrap();
                assert_eq!(sealed.stored, Digest { size: stored.len() as u64, sha256: sha256_hex(&stored) });
                assert_eq!(stored.starts_with(b"age-encryption.org/v1\n"), encrypted);
                check(&store, "x", &sealed.stored, STALL).await.unwrap();
                let identities = if encrypted { vec![identity.clone()] } else { vec![] };
                let opener = Opener::new(identities, STALL);
                let opened: Vec<Bytes> =
                    opener.open(&store, "x", &sealed.stored).await.unwrap().try_collect().await.unwrap();
                assert!(opened.concat() == plain);

                let mut tampered = stored.to_vec();
                *tampered.last_mut().unwrap() ^= 1;
                store.put("x", tampered).await.unwrap();
                assert!(matches!(check(&store, "x", &sealed.stored, STALL).await, Err(BackupError::Damaged { .. })));
                let opened = opener.open(&store, "x", &sealed.stored).await.unwrap();
                opened.try_collect::<Vec<_>>().await.unwrap_err();
            }
        }
    }

    #[tokio::test]
    async fn another_key_opens_nothing() {
        let folder = testkit::store::folder();
        let store = folder.store();
        let sealer = Sealer::new(vec![Identity::generate().to_public()], 3, STALL);
        let sealed = sealer.seal(&store, "x", pieces(b"hello")).await.unwrap();
        let other = Opener::new(vec![Identity::generate()], STALL);
        other.open(&store, "x", &sealed.stored).await.unwrap().try_collect::<Vec<_>>().await.unwrap_err();
    }

    #[tokio::test]
    async fn a_source_that_fails_or_stands_still_leaves_no_object() {
        let folder = testkit::store::folder();
        let store = folder.store();
        let cut = pieces(&noise()).chain(futures::stream::iter([Err(io::Error::other("cut"))]));
        let error = Sealer::new(vec![], 3, STALL).seal(&store, "x", cut).await.unwrap_err();
        assert!(error.to_string().contains("cut"), "{error}");
        let sealer = Sealer::new(vec![], 3, Duration::from_millis(50));
        let standing = pieces(b"hello").chain(futures::stream::pending());
        let error = sealer.seal(&store, "x", standing).await.unwrap_err();
        assert!(error.to_string().contains("stall_s"), "{error}");
        assert_eq!(store.size("x").await.unwrap(), None);
    }
}
