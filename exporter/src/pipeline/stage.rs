//! The channels between the stages of a pipeline.

use futures::stream::BoxStream;
use polars::prelude::DataFrame;
use tokio::sync::mpsc;

use crate::{error::JobError, segment::Chunk};

/// The capacity of the channel between two stages, in chunks.
pub(super) const CHANNEL_CAPACITY: usize = 4;

/// A stream of data frames between two stages of the pipeline.
pub(super) type Rows = BoxStream<'static, Result<DataFrame, JobError>>;

/// Sends a chunk to the next stage. Returns false if the next stage has ended.
pub(super) async fn send(sender: &mpsc::Sender<Chunk>, chunk: Chunk) -> bool {
    sender.send(chunk).await.is_ok()
}
