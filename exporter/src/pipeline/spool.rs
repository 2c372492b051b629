//! The spool stage, for files that state the completion time before or within their rows. The time is known only after
//! the last row, so the stage writes all rows to a temporary file and then reads the rows back.

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

use super::stage::Rows;
use crate::{
    dataset::DatasetError,
    error::JobError,
    format::{FormatError, FormatLimits},
    layout::{COMPLETED_AT, REQUESTED_AT, Timestamps},
};

/// Spools all rows, and returns them together with the completion time. With `Timestamps::Columns`, adds the request
/// time and the completion time to each row.
pub(super) async fn spooled(
    mut frames: Rows,
    location: Timestamps,
    requested_at: Timestamp,
    limits: &FormatLimits,
    clock: &SharedClock,
) -> Result<(Rows, Timestamp), JobError> {
    let mut spool = Spool::new(limits)?;
    while let Some(frame) = frames.try_next().await? {
        spool = spawn_blocking(move || spool.append(frame)).await??;
    }
    let completed_at = Timestamp::from(clock.now()).max(requested_at);
    let (sender, mut receiver) = mpsc::channel(1);
    let reading = spawn_blocking(move || -> Result<(), DatasetError> {
        let mut reader = spool.reader().map_err(DatasetError::Io)?;
        while let Some(mut frame) = read_frame(&mut reader)? {
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

/// Returns a column that has the same timestamp in each row.
fn constant(name: &str, at: Timestamp, rows: usize) -> PolarsResult<Column> {
    let millis = at.as_datetime().timestamp_millis();
    let dtype = DataType::Datetime(TimeUnit::Milliseconds, None);
    Int64Chunked::full(name.into(), millis, rows).into_series().into_column().cast(&dtype)
}

/// An unnamed temporary file of frames in the Arrow IPC format. An 8-byte little-endian length precedes each frame.
struct Spool {
    file: BufWriter<File>,
    size: u64,
    max_size: u64,
}

impl Spool {
    fn new(limits: &FormatLimits) -> Result<Self, FormatError> {
        let file = tempfile::tempfile_in(&limits.spool_dir)?;
        Ok(Self { file: BufWriter::new(file), size: 0, max_size: limits.max_spool_size_per_export })
    }

    fn append(mut self, mut frame: DataFrame) -> Result<Self, FormatError> {
        let mut bytes = Vec::new();
        IpcStreamWriter::new(&mut bytes).with_compression(Some(IpcCompression::LZ4)).finish(&mut frame)?;
        let length = bytes.len() as u64;
        self.size += length;
        if self.size > self.max_size {
            return Err(FormatError::TooLarge {
                subject: "the table below the timestamps",
                limit: format!("{} bytes in a temporary file", self.max_size),
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

/// Reads the next frame of a spool; None at the end of the file.
fn read_frame(reader: &mut BufReader<File>) -> Result<Option<DataFrame>, DatasetError> {
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
