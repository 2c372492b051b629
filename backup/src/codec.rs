//! Encodes the parts of a backup, and decodes them. Encoding compresses with zstd and, if configured, encrypts with
//! age. Bytes pass through bounded channels, so the memory does not grow with the size of a part. Encoding and decoding
//! both hash the bytes before and after the conversion.

use std::{
    io::{self, Write},
    sync::Arc,
    time::Duration,
};

use age::x25519::{Identity, Recipient};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use platform::store::FileStore;
use tokio::sync::mpsc;

use crate::{
    channel::{CHANNEL_CHUNKS, ChannelReader, ChannelWriter},
    digest::{ByteStream, Digest, stall_error, verify_stream, with_stall_timeout},
    error::BackupError,
};

/// Compresses and encrypts streams of bytes into objects.
#[derive(Clone)]
pub(crate) struct Encoder {
    recipients: Arc<Vec<Recipient>>,
    level: i32,
    stall_timeout: Duration,
}

/// The digests of an object before and after its encoding.
#[derive(Clone, Debug)]
pub(crate) struct Encoded {
    pub(crate) plain: Digest,
    pub(crate) stored: Digest,
}

impl Encoder {
    /// Creates an encoder that encrypts for the public age keys `recipients`. Without recipients, the encoder only
    /// compresses. `level` is the zstd compression level.
    pub(crate) fn new(recipients: Vec<Recipient>, level: i32, stall_timeout: Duration) -> Self {
        Self { recipients: Arc::new(recipients), level, stall_timeout }
    }

    /// Returns the suffix of the names of encoded objects.
    pub(crate) fn suffix(&self) -> &'static str {
        if self.recipients.is_empty() { ".zst" } else { ".zst.age" }
    }

    /// Encodes a stream into an object. After an error, the object does not exist.
    pub(crate) async fn write(
        &self,
        store: &FileStore,
        path: &str,
        plain: impl Stream<Item = io::Result<Bytes>> + Send,
    ) -> Result<Encoded, BackupError> {
        let (plain_in, plain_out) = mpsc::channel(CHANNEL_CHUNKS);
        let (stored_in, stored_out) = mpsc::channel(CHANNEL_CHUNKS);
        let encoder = self.clone();
        let encoding = tokio::task::spawn_blocking(move || encoder.encode(plain_out, stored_in));
        let feeding = async move {
            let mut plain = std::pin::pin!(plain);
            loop {
                // a stalled source must not block the backup forever
                let chunk = match tokio::time::timeout(self.stall_timeout, plain.next()).await {
                    Ok(Some(chunk)) => chunk,
                    Ok(None) => return,
                    Err(_) => Err(stall_error(self.stall_timeout)),
                };
                let failed = chunk.is_err();
                if plain_in.send(chunk).await.is_err() || failed {
                    return;
                }
            }
        };
        let storing = store.write(path, with_stall_timeout(receiver_stream(stored_out), self.stall_timeout));
        let ((), written) = tokio::join!(feeding, storing);
        // if the encoder fails, the store returns the encoder's error, because the encoder sends the error to the store
        let encoded = encoding.await.map_err(|_| BackupError::Panicked("the encoder"))?;
        written?;
        encoded.map_err(BackupError::local(path))
    }

    fn encode(
        &self,
        plain: mpsc::Receiver<io::Result<Bytes>>,
        stored: mpsc::Sender<io::Result<Bytes>>,
    ) -> io::Result<Encoded> {
        let failures = stored.clone();
        let encode = || -> io::Result<Encoded> {
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
            Ok(Encoded { plain: reader.digest(), stored: writer.digest() })
        };
        let encoded = encode();
        if let Err(e) = &encoded {
            // a closed channel means that the store has failed already
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

/// Decrypts and decompresses objects into streams of bytes.
#[derive(Clone)]
pub(crate) struct Decoder {
    identities: Arc<Vec<Identity>>,
    stall_timeout: Duration,
}

impl Decoder {
    /// Creates a decoder that decrypts with the private age keys `identities`. Without identities, the decoder only
    /// decompresses.
    pub(crate) fn new(identities: Vec<Identity>, stall_timeout: Duration) -> Self {
        Self { identities: Arc::new(identities), stall_timeout }
    }

    /// Decodes an object. The stream ends with an error if the digest of the stored bytes is not the expected one.
    pub(crate) async fn read(
        &self,
        store: &FileStore,
        path: &str,
        expected: &Digest,
    ) -> Result<ByteStream, BackupError> {
        let object = store.read(path, None).await?;
        let (stored_in, stored_out) = mpsc::channel::<io::Result<Bytes>>(CHANNEL_CHUNKS);
        let (plain_in, plain_out) = mpsc::channel(CHANNEL_CHUNKS);
        let (stall_timeout, expected) = (self.stall_timeout, expected.clone());
        // the task ends when the decoder drops the receiver
        tokio::spawn(async move {
            let bytes = object.stream.map(|chunk| chunk.map_err(io::Error::other));
            let mut chunks = verify_stream(bytes, expected, stall_timeout);
            while let Some(chunk) = chunks.next().await {
                let failed = chunk.is_err();
                if stored_in.send(chunk).await.is_err() || failed {
                    return;
                }
            }
        });
        let decoder = self.clone();
        tokio::task::spawn_blocking(move || decoder.decode(stored_out, plain_in));
        Ok(with_stall_timeout(receiver_stream(plain_out), self.stall_timeout).boxed())
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
                let decrypted = decryptor.decrypt(identities).map_err(io::Error::other)?;
                io::copy(&mut zstd::Decoder::new(decrypted)?, &mut writer)?;
            }
            // reads the remaining stored bytes, because the digest is checked after the last one
            io::copy(&mut reader, &mut io::sink())?;
            writer.send()
        };
        if let Err(e) = decode() {
            // a closed channel means that the reader has stopped reading
            drop(failures.blocking_send(Err(e)));
        }
    }
}

fn receiver_stream(channel: mpsc::Receiver<io::Result<Bytes>>) -> impl Stream<Item = io::Result<Bytes>> + Send {
    futures::stream::unfold(channel, |mut channel| async { channel.recv().await.map(|chunk| (chunk, channel)) })
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;

    use super::*;
    use crate::digest::{sha256_hex, verify_object};

    const STALL_TIMEOUT: Duration = Duration::from_secs(20);

    fn chunks(bytes: &[u8]) -> impl Stream<Item = io::Result<Bytes>> + Send + use<> {
        let chunks: Vec<_> = bytes.chunks(70_001).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
        futures::stream::iter(chunks)
    }

    /// Returns about 3 MB of bytes that compress badly.
    fn incompressible_bytes() -> Vec<u8> {
        let words = (0..400_000_u64).map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes());
        words.flatten().collect()
    }

    #[tokio::test]
    async fn an_encoded_object_decodes_to_its_input_and_a_changed_byte_fails() {
        let folder = testkit::store::folder();
        let store = folder.store();
        let identity = Identity::generate();
        for recipients in [vec![], vec![identity.to_public()]] {
            let encrypted = !recipients.is_empty();
            let encoder = Encoder::new(recipients, 3, STALL_TIMEOUT);
            for plain in [vec![], b"hello".to_vec(), incompressible_bytes()] {
                let encoded = encoder.write(&store, "x", chunks(&plain)).await.unwrap();
                assert_eq!(encoded.plain, Digest { size: plain.len() as u64, sha256: sha256_hex(&plain) });
                let stored = store.get("x").await.unwrap();
                assert_eq!(encoded.stored, Digest { size: stored.len() as u64, sha256: sha256_hex(&stored) });
                assert_eq!(stored.starts_with(b"age-encryption.org/v1\n"), encrypted);
                verify_object(&store, "x", &encoded.stored, STALL_TIMEOUT).await.unwrap();
                let identities = if encrypted { vec![identity.clone()] } else { vec![] };
                let decoder = Decoder::new(identities, STALL_TIMEOUT);
                let decoded: Vec<Bytes> =
                    decoder.read(&store, "x", &encoded.stored).await.unwrap().try_collect().await.unwrap();
                assert!(decoded.concat() == plain);

                let mut tampered = stored.to_vec();
                *tampered.last_mut().unwrap() ^= 1;
                store.put("x", tampered).await.unwrap();
                let verified = verify_object(&store, "x", &encoded.stored, STALL_TIMEOUT).await;
                assert!(matches!(verified, Err(BackupError::Damaged { .. })));
                let decoded = decoder.read(&store, "x", &encoded.stored).await.unwrap();
                decoded.try_collect::<Vec<_>>().await.unwrap_err();
            }
        }
    }

    #[tokio::test]
    async fn an_identity_that_is_not_a_recipient_decodes_nothing() {
        let folder = testkit::store::folder();
        let store = folder.store();
        let encoder = Encoder::new(vec![Identity::generate().to_public()], 3, STALL_TIMEOUT);
        let encoded = encoder.write(&store, "x", chunks(b"hello")).await.unwrap();
        let other = Decoder::new(vec![Identity::generate()], STALL_TIMEOUT);
        other.read(&store, "x", &encoded.stored).await.unwrap().try_collect::<Vec<_>>().await.unwrap_err();
    }

    #[tokio::test]
    async fn a_failed_or_stalled_source_leaves_no_object() {
        let folder = testkit::store::folder();
        let store = folder.store();
        let failing =
            chunks(&incompressible_bytes()).chain(futures::stream::iter([Err(io::Error::other("source failed"))]));
        let error = Encoder::new(vec![], 3, STALL_TIMEOUT).write(&store, "x", failing).await.unwrap_err();
        assert!(error.to_string().contains("source failed"), "{error}");
        let encoder = Encoder::new(vec![], 3, Duration::from_millis(50));
        let stalling = chunks(b"hello").chain(futures::stream::pending());
        let error = encoder.write(&store, "x", stalling).await.unwrap_err();
        assert!(error.to_string().contains("stalled"), "{error}");
        assert_eq!(store.size("x").await.unwrap(), None);
    }
}
