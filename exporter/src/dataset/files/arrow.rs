//! Arrow IPC, the file format (also called Feather) and the stream format: one record batch after the other.

use std::{
    fs::File,
    io::{BufReader, Read, Seek},
    sync::Arc,
};

use polars::prelude::{DataFrame, Schema, SchemaExt, SchemaRef};
use polars_arrow::{
    io::ipc::read::{FileReader, StreamReader, StreamState, read_file_metadata, read_stream_metadata},
    record_batch::RecordBatch,
};

use super::{super::DatasetError, Take, Wanted};

/// How the file format begins.
const MAGIC: &[u8] = b"ARROW1";
/// Larger batches are handed on in pieces.
const FRAME_ROWS: usize = 1 << 16;

type Input = BufReader<File>;

fn input(mut file: File) -> Result<(Input, bool), DatasetError> {
    file.rewind()?;
    let mut begin = Vec::new();
    file.by_ref().take(MAGIC.len() as u64).read_to_end(&mut begin)?;
    file.rewind()?;
    Ok((BufReader::with_capacity(1 << 20, file), begin == MAGIC))
}

/// The columns of a file and their types.
pub(super) fn look(file: File) -> Result<SchemaRef, DatasetError> {
    let (mut input, is_file) = input(file)?;
    let schema = if is_file {
        Schema::from_arrow_schema(&read_file_metadata(&mut input)?.schema)
    } else {
        Schema::from_arrow_schema(&read_stream_metadata(&mut input)?.schema)
    };
    Ok(Arc::new(schema))
}

/// Gives all rows of a file, frame by frame. False: nobody wants more.
pub(super) fn each(file: File, wanted: &Wanted<'_>, take: Take<'_>) -> Result<bool, DatasetError> {
    let (mut input, is_file) = input(file)?;
    if is_file {
        let metadata = read_file_metadata(&mut input)?;
        for batch in FileReader::new(input, metadata, None, None) {
            if !give(batch?, wanted, take)? {
                return Ok(false);
            }
        }
        return Ok(true);
    }
    let metadata = read_stream_metadata(&mut input)?;
    for state in StreamReader::new(input, metadata, None) {
        match state? {
            StreamState::Some(batch) => {
                if !give(batch, wanted, take)? {
                    return Ok(false);
                }
            }
            // a stream that was cut off between two batches has no end
            StreamState::Waiting => return Err(DatasetError::Garbled("the stream has no end")),
        }
    }
    Ok(true)
}

fn give(batch: RecordBatch, wanted: &Wanted<'_>, take: Take<'_>) -> Result<bool, DatasetError> {
    let frame = DataFrame::from(batch);
    if let Some(gone) = wanted.columns.iter().find(|name| frame.column(name).is_err()) {
        return Err(DatasetError::NoColumn(gone.clone()));
    }
    let frame = frame.select(wanted.columns.iter().map(String::as_str))?;
    for at in (0..frame.height()).step_by(FRAME_ROWS) {
        if !take(frame.slice(at as i64, FRAME_ROWS))? {
            return Ok(false);
        }
    }
    Ok(true)
}
