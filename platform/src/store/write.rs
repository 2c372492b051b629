//! Writes objects, whole or as a stream of any size.

use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt};
use object_store::{ObjectStoreExt, PutPayload, WriteMultipart, path::Path};

use super::{FileStore, FileStoreError};

/// The size of one part of a multipart upload, in bytes. S3 accepts 10,000 parts, so an object has at most 156 GiB.
const PART_BYTES: usize = 16 * 1024 * 1024;
/// The maximum number of concurrent part uploads of one object, besides the part that is being filled.
const PARTS_IN_FLIGHT: usize = 2;

impl FileStore {
    /// Writes a whole object atomically.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn put(&self, path: &str, bytes: impl Into<PutPayload>) -> Result<(), FileStoreError> {
        self.objects.put(&Path::from(path), bytes.into()).await?;
        Ok(())
    }

    /// Writes an object of any size from a stream, atomically. Returns the size in bytes.
    ///
    /// # Errors
    /// When the store or the stream `bytes` fails. The method then aborts the upload, but a failing store may keep
    /// uploaded parts.
    pub async fn write(
        &self,
        path: &str,
        bytes: impl Stream<Item = std::io::Result<Bytes>> + Send,
    ) -> Result<u64, FileStoreError> {
        let mut bytes = std::pin::pin!(bytes);
        let (mut first, mut buffered) = (Vec::new(), 0);
        while buffered < PART_BYTES {
            let Some(chunk) = bytes.try_next().await.map_err(FileStoreError::Source)? else {
                self.objects.put(&Path::from(path), PutPayload::from_iter(first)).await?;
                return Ok(buffered as u64);
            };
            buffered += chunk.len();
            first.push(chunk);
        }
        let upload = self.objects.put_multipart(&Path::from(path)).await?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, PART_BYTES);
        let mut size = 0;
        let mut all = futures::stream::iter(first).map(Ok).chain(bytes);
        loop {
            let chunk = match all.next().await {
                Some(Ok(chunk)) => chunk,
                None => break,
                Some(Err(e)) => {
                    upload.abort().await?;
                    return Err(FileStoreError::Source(e));
                }
            };
            size += chunk.len() as u64;
            if let Err(e) = upload.wait_for_capacity(PARTS_IN_FLIGHT).await {
                upload.abort().await?;
                return Err(e.into());
            }
            upload.put(chunk);
        }
        upload.finish().await?;
        Ok(size)
    }
}
