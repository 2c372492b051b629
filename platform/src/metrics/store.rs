//! Records metrics of file store operations.

use std::{fmt, ops::Range, sync::Arc, time::Instant};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream::BoxStream};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, path::Path,
};

/// Wraps an object store and records the duration of each operation.
#[derive(Debug)]
pub(crate) struct MeteredStore(pub(crate) Arc<dyn ObjectStore>);

impl fmt::Display for MeteredStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn record<T>(operation: &'static str, began: Instant, result: &Result<T>) {
    let result = match result {
        Ok(_) => "ok",
        // a missing object is not a failure of the store
        Err(Error::NotFound { .. }) => "not_found",
        Err(_) => "error",
    };
    metrics::histogram!("sluice_store_response_seconds", "operation" => operation, "result" => result)
        .record(began.elapsed().as_secs_f64());
}

/// Records each item of a stream as one operation. The duration of an operation is the time since the previous item.
fn record_items<T: 'static>(
    operation: &'static str,
    stream: BoxStream<'static, Result<T>>,
) -> BoxStream<'static, Result<T>> {
    let mut began = Instant::now();
    stream
        .inspect(move |item| {
            record(operation, began, item);
            began = Instant::now();
        })
        .boxed()
}

#[async_trait]
impl ObjectStore for MeteredStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let began = Instant::now();
        let result = self.0.put_opts(location, payload, opts).await;
        record("put", began, &result);
        result
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let began = Instant::now();
        let result = self.0.put_multipart_opts(location, opts).await;
        record("put", began, &result);
        result
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let began = Instant::now();
        let result = self.0.get_opts(location, options).await;
        record("get", began, &result);
        result
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let began = Instant::now();
        let result = self.0.get_ranges(location, ranges).await;
        record("get", began, &result);
        result
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        record_items("delete", self.0.delete_stream(locations))
    }

    // a list has thousands of items, so the store records only its failures and the time to its first item
    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        record_list(self.0.list(prefix))
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        record_list(self.0.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let began = Instant::now();
        let result = self.0.list_with_delimiter(prefix).await;
        record("list", began, &result);
        result
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let began = Instant::now();
        let result = self.0.copy_opts(from, to, options).await;
        record("copy", began, &result);
        result
    }
}

fn record_list(stream: BoxStream<'static, Result<ObjectMeta>>) -> BoxStream<'static, Result<ObjectMeta>> {
    let began = Instant::now();
    let mut first = true;
    stream
        .inspect(move |item| {
            if std::mem::take(&mut first) || item.is_err() {
                record("list", began, item);
            }
        })
        .boxed()
}
