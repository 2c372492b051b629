//! Arrow IPC, the file format (also called Feather) and the stream format: one record batch after the other, of which
//! only the columns that are wanted are read.

use std::{
    fs::File,
    io::{BufReader, Read, Seek},
    sync::Arc,
};

use polars::prelude::DataFrame;
use polars_arrow::{
    datatypes::ArrowSchema,
    io::ipc::read::{FileReader, StreamReader, StreamState, read_file_metadata, read_stream_metadata},
    record_batch::RecordBatch,
};

use super::{
    super::DatasetError,
    Take, Wanted,
    batches::{BATCH_BYTES, Batches},
    carried::{self, Carried, FRAME_TEXT, Room},
};

/// How the file format begins.
const MAGIC: &[u8] = b"ARROW1";
/// Larger batches are handed on in pieces of so many rows, …
const FRAME_ROWS: usize = 1 << 16;
/// … or of fewer, which have about so many bytes.
const FRAME_BYTES: usize = 32 << 20;

type Input = BufReader<File>;

fn input(mut file: File) -> Result<(Input, bool), DatasetError> {
    file.rewind()?;
    let mut begin = Vec::new();
    file.by_ref().take(MAGIC.len() as u64).read_to_end(&mut begin)?;
    file.rewind()?;
    Ok((BufReader::with_capacity(1 << 20, file), begin == MAGIC))
}

/// A schema without the names that somebody else gave to its types.
fn plain(schema: &ArrowSchema) -> ArrowSchema {
    schema.iter_values().map(carried::plain).collect()
}

/// The columns of a file and their types.
pub(super) fn look(file: File) -> Result<Carried, DatasetError> {
    let (mut input, is_file) = input(file)?;
    let schema = carried::undamaged(|| {
        Ok(if is_file {
            plain(&read_file_metadata(&mut input)?.schema)
        } else {
            plain(&read_stream_metadata(&mut input)?.schema)
        })
    })?;
    Ok(Carried::of(&schema))
}

/// Gives all rows of a file, frame by frame. False: nobody wants more.
pub(super) fn each(file: File, wanted: &Wanted<'_>, take: Take<'_>) -> Result<bool, DatasetError> {
    let same = file.try_clone()?;
    let (mut input, is_file) = input(file)?;
    if is_file {
        let mut metadata = carried::undamaged(|| Ok(read_file_metadata(&mut input)?))?;
        metadata.schema = Arc::new(plain(&metadata.schema));
        let places = places(&metadata.schema, wanted)?;
        let mut batches = Batches::new(same, &metadata.schema, &places, BATCH_BYTES);
        for block in metadata.dictionaries.iter().flatten().chain(&metadata.blocks) {
            batches.check_at(u64::try_from(block.offset).unwrap_or(u64::MAX))?;
        }
        let mut reader = FileReader::new(input, metadata, Some(places), None);
        while let Some(batch) = carried::undamaged(|| Ok(reader.next().transpose()?))? {
            if !give(batch, wanted, take)? {
                return Ok(false);
            }
        }
        return Ok(true);
    }
    let mut metadata = carried::undamaged(|| Ok(read_stream_metadata(&mut input)?))?;
    metadata.schema = plain(&metadata.schema);
    let places = places(&metadata.schema, wanted)?;
    let mut batches = Batches::new(same, &metadata.schema, &places, BATCH_BYTES);
    let mut at = input.stream_position()?;
    let mut reader = StreamReader::new(input, metadata, Some(places));
    loop {
        at = batches.check_next(at)?;
        match carried::undamaged(|| Ok(reader.next().transpose()?))? {
            None => return Ok(true),
            Some(StreamState::Some(batch)) => {
                if !give(batch, wanted, take)? {
                    return Ok(false);
                }
            }
            // a stream that was cut off between two batches has no end
            Some(StreamState::Waiting) => return Err(DatasetError::Garbled("the stream has no end")),
        }
    }
}

/// Which columns of the file are wanted, in its own order.
fn places(schema: &ArrowSchema, wanted: &Wanted<'_>) -> Result<Vec<usize>, DatasetError> {
    let place = |name: &String| schema.index_of(name).ok_or_else(|| DatasetError::NoColumn(name.clone()));
    let mut places = wanted.columns.iter().map(place).collect::<Result<Vec<_>, _>>()?;
    places.sort_unstable();
    places.dedup();
    Ok(places)
}

fn give(batch: RecordBatch, wanted: &Wanted<'_>, take: Take<'_>) -> Result<bool, DatasetError> {
    let rows = batch.len();
    let (schema, arrays) = batch.into_schema_and_arrays();
    let bytes: usize =
        arrays.iter().map(|array| polars_arrow::compute::aggregate::estimated_bytes_size(&**array)).sum();
    let mut step = (rows * FRAME_BYTES / bytes.max(1)).clamp(1, FRAME_ROWS);
    let mut at = 0;
    while at < rows {
        let height = step.min(rows - at);
        let room = Room::new(FRAME_TEXT, height);
        let columns = schema
            .iter_values()
            .zip(&arrays)
            .map(|(field, array)| carried::undamaged(|| carried::column(field, vec![array.sliced(at, height)], &room)));
        let columns = match columns.collect::<Result<_, _>>() {
            Err(e) if height > 1 && carried::is_too_much(&e) => {
                step = height / 2;
                continue;
            }
            columns => columns?,
        };
        at += height;
        let frame = DataFrame::new(height, columns)?;
        if !take(frame.select(wanted.columns.iter().map(String::as_str))?)? {
            return Ok(false);
        }
    }
    Ok(true)
}
