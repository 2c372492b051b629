//! The spool stage. It is used for files that state the completion time before or within their rows. The completion
//! time is known only after the last row, so the stage writes all rows to a temporary file, and then reads the rows
//! back.

use futures::{StreamExt, TryStreamExt};
use platform::clock::SharedClock;
use polars::prelude::{ChunkFull, Column, DataType, Int64Chunked, IntoColumn, IntoSeries, PolarsResult, TimeUnit};
use protocol::time::Timestamp;
use tokio::{sync::mpsc, task::spawn_blocking};

use super::stage::Rows;
use crate::{
    error::JobError,
    format::{FormatError, FormatLimits},
    frame_spool::FrameSpool,
    layout::{COMPLETED_AT, REQUESTED_AT, Timestamps},
};

/// Writes all rows to a temporary file. Returns a stream that reads the rows from the file, and the completion time. If
/// `location` is [`Timestamps::Columns`], adds the request and completion times as columns to each row.
pub(super) async fn spooled(
    mut frames: Rows,
    location: Timestamps,
    requested_at: Timestamp,
    limits: &FormatLimits,
    clock: &SharedClock,
) -> Result<(Rows, Timestamp), JobError> {
    let (mut spool, max_size) = (FrameSpool::new(limits)?, limits.max_spool_size_per_export);
    while let Some(frame) = frames.try_next().await? {
        spool = spawn_blocking(move || -> Result<FrameSpool, FormatError> {
            if spool.append(&frame)? > max_size {
                return Err(FormatError::TooLarge {
                    subject: "the table below the timestamps",
                    limit: format!("{max_size} bytes in a temporary file"),
                    advice: "use a filter, or a template with its timestamps in the envelope or the sidecar",
                });
            }
            Ok(spool)
        })
        .await??;
    }
    let completed_at = Timestamp::from(clock.now()).max(requested_at);
    let (sender, mut receiver) = mpsc::channel(1);
    let reading = spawn_blocking(move || -> Result<(), FormatError> {
        let mut spooled = spool.into_frames()?;
        while let Some(mut frame) = spooled.next_frame()? {
            if location == Timestamps::Columns {
                for (name, at) in [(REQUESTED_AT, requested_at), (COMPLETED_AT, completed_at)] {
                    frame.with_column(constant(name, at, frame.height())?)?;
                }
            }
            if sender.blocking_send(Ok(frame)).is_err() {
                break;
            }
        }
        Ok(())
    });
    let end = async move {
        match reading.await {
            Ok(Ok(())) => None,
            Ok(Err(e)) => Some(Err(JobError::from(e))),
            Err(e) => Some(Err(JobError::from(e))),
        }
    };
    let end = futures::stream::once(end).filter_map(std::future::ready);
    let rows = futures::stream::poll_fn(move |cx| receiver.poll_recv(cx));
    Ok((rows.chain(end).boxed(), completed_at))
}

/// Returns a column with the same timestamp in each row.
fn constant(name: &str, at: Timestamp, rows: usize) -> PolarsResult<Column> {
    let millis = at.as_datetime().timestamp_millis();
    let dtype = DataType::Datetime(TimeUnit::Milliseconds, None);
    Int64Chunked::full(name.into(), millis, rows).into_series().into_column().cast(&dtype)
}
