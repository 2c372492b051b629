//! A second pass, for files in which the time of completion stands before the first row: the rows wait in a temporary
//! file until the last one is there.

use std::{
    fs::File,
    io::{BufReader, BufWriter, Cursor, ErrorKind, Read, Seek, Write},
};

use futures::{StreamExt, TryStreamExt};
use platform::clock::SharedClock;
use polars::prelude::{
    ChunkFull, Column, DataFrame, DataType, Int64Chunked, IntoColumn, IntoSeries, IpcCompression, IpcStreamReader,
    IpcStreamWriter, PolarsResult, SerReader, SerWriter, TimeUnit,
};
use protocol::time::Timestamp;
use tokio::{sync::mpsc, task::spawn_blocking};

use super::Rows;
use crate::{
    dataset::DatasetError,
    error::JobError,
    format::{Bounds, COMPLETED_AT, FormatError, REQUESTED_AT, Timestamps},
};

/// Reads all rows, and gives them back with the time at which the last one came.
pub(super) async fn all(
    mut frames: Rows,
    place: Timestamps,
    requested_at: Timestamp,
    bounds: &Bounds,
    clock: &SharedClock,
) -> Result<(Rows, Timestamp), JobError> {
    let mut spool = Spool::new(bounds)?;
    while let Some(frame) = frames.try_next().await? {
        spool = spawn_blocking(move || spool.put(frame)).await??;
    }
    let completed_at = Timestamp::from(clock.now()).max(requested_at);
    let (sender, mut receiver) = mpsc::channel(1);
    let task = spawn_blocking(move || -> Result<(), DatasetError> {
        let mut reader = spool.reader().map_err(DatasetError::Io)?;
        while let Some(mut frame) = next(&mut reader)? {
            if place == Timestamps::Columns {
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
        match task.await {
            Ok(Ok(())) => None,
            Ok(Err(e)) => Some(Err(JobError::from(e))),
            Err(e) => Some(Err(JobError::from(e))),
        }
    };
    let end = futures::stream::once(end).filter_map(std::future::ready);
    let rows = futures::stream::poll_fn(move |cx| receiver.poll_recv(cx));
    Ok((rows.chain(end).boxed(), completed_at))
}

/// A moment in each row.
fn constant(name: &str, at: Timestamp, rows: usize) -> PolarsResult<Column> {
    let millis = at.as_datetime().timestamp_millis();
    let dtype = DataType::Datetime(TimeUnit::Milliseconds, None);
    Int64Chunked::full(name.into(), millis, rows).into_series().into_column().cast(&dtype)
}

/// Frames in a file without a name, each behind its length.
struct Spool {
    file: BufWriter<File>,
    size: u64,
    most: u64,
}

impl Spool {
    fn new(bounds: &Bounds) -> Result<Self, FormatError> {
        let file = tempfile::tempfile_in(&bounds.spool_dir)?;
        Ok(Self { file: BufWriter::new(file), size: 0, most: bounds.spool_bytes })
    }

    fn put(mut self, mut frame: DataFrame) -> Result<Self, FormatError> {
        let mut bytes = Vec::new();
        IpcStreamWriter::new(&mut bytes).with_compression(Some(IpcCompression::LZ4)).finish(&mut frame)?;
        let length = bytes.len() as u64;
        self.size += length;
        if self.size > self.most {
            return Err(FormatError::TooLarge {
                what: "what stands below the timestamps",
                limit: format!("{} bytes in a temporary file", self.most),
                advice: "use a filter, or a template with its timestamps in the envelope or the sidecar",
            });
        }
        self.file.write_all(&length.to_le_bytes())?;
        self.file.write_all(&bytes)?;
        Ok(self)
    }

    fn reader(mut self) -> std::io::Result<BufReader<File>> {
        self.file.flush()?;
        let mut file = self.file.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        file.rewind()?;
        Ok(BufReader::new(file))
    }
}

/// The next frame; None at the end.
fn next(reader: &mut BufReader<File>) -> Result<Option<DataFrame>, DatasetError> {
    let mut length = [0; 8];
    match reader.read_exact(&mut length) {
        Ok(()) => {}
        Err(e) if e.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        Err(e) => return Err(e.into()),
    }
    let mut bytes = vec![0; usize::try_from(u64::from_le_bytes(length)).unwrap_or(usize::MAX)];
    reader.read_exact(&mut bytes)?;
    Ok(Some(IpcStreamReader::new(Cursor::new(bytes)).finish()?))
}
