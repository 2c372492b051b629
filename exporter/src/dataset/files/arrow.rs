//! Reads Arrow IPC data in the file format (also called Feather) and in the stream format. The reader decodes one
//! record batch at a time, and only its selected columns.

use std::{
    fs::File,
    io::{BufReader, ErrorKind, Read, Seek},
    sync::Arc,
};

use polars::prelude::{DataFrame, PolarsError, polars_err};
use polars_arrow::{
    datatypes::ArrowSchema,
    io::ipc::IpcSchema,
    io::ipc::read::{FileReader, StreamReader, StreamState, read_file_metadata, read_stream_metadata},
    record_batch::RecordBatch,
};

use super::{
    super::DatasetError,
    batches::{BATCH_BYTES, Batches},
    decimal_bytes, nesting, readable,
    reader::FrameHandler,
    type_mapping::{self, FRAME_TEXT, TextBudget, TypeMapping},
};

/// The first bytes of a file in the Arrow IPC file format. Data in the stream format begin with other bytes.
const MAGIC: &[u8] = b"ARROW1";
/// The first bytes of a file in Feather version 1. This format is not Arrow IPC, and is not supported.
const FEATHER_1: &[u8] = b"FEA1";
/// The error for a file that ends too early, or whose lengths contradict each other.
const DAMAGED: DatasetError = DatasetError::Garbled("the file is cut off or damaged");
/// The maximum number of rows in a frame. The reader splits larger record batches.
const FRAME_ROWS: usize = 1 << 16;
/// The approximate maximum size of a frame, in bytes. The reader splits larger record batches.
const FRAME_BYTES: usize = 32 << 20;

type Input = BufReader<File>;

/// Returns a reader that is positioned at the beginning of a file, and the format of the file: true for the file format
/// of Arrow IPC, false for the stream format.
///
/// # Errors
/// When the file can't be read, is Feather version 1, or has a schema that [`nesting`] refuses. Such a schema is
/// damaged, is nested too deeply, has an unsupported type, or has two columns with the same name.
fn input(mut file: File) -> Result<(Input, bool), DatasetError> {
    file.rewind()?;
    let mut begin = Vec::new();
    file.by_ref().take(MAGIC.len() as u64).read_to_end(&mut begin)?;
    file.rewind()?;
    if begin.starts_with(FEATHER_1) {
        return Err(DatasetError::Lacking(
            "the file is Feather version 1, which is not supported: write it as Feather version 2 (an Arrow IPC file)",
        ));
    }
    let is_file = begin == MAGIC;
    if is_file {
        nesting::check_file(&file)?;
    } else {
        nesting::check_stream(&file)?;
    }
    Ok((BufReader::with_capacity(1 << 20, file), is_file))
}

/// Returns `schema` with the storage type in place of each extension type, and with bytes in place of 256-bit decimals.
/// `schema` is the result of reading `stored`, the schema in the file, with polars.
///
/// # Errors
/// When two columns have the same name, because polars keeps only one of them in `schema`.
fn readable_schema(schema: &ArrowSchema, stored: &IpcSchema) -> Result<ArrowSchema, DatasetError> {
    if schema.len() < stored.fields.len() {
        return Err(polars_err!(Duplicate: "two columns have one name").into());
    }
    let fields = schema.iter_values().map(type_mapping::without_extension);
    Ok(fields.map(|field| decimal_bytes::with_decimal_bytes(&field, stored.is_little_endian)).collect())
}

/// Returns the columns of an Arrow IPC file or stream, with the types to which the reader maps them.
pub(super) fn schema(file: File) -> Result<TypeMapping, DatasetError> {
    mapped(file).map_err(damage)
}

fn mapped(file: File) -> Result<TypeMapping, DatasetError> {
    let (mut input, is_file) = input(file)?;
    let schema = type_mapping::catch_damage(|| {
        Ok(if is_file {
            let metadata = read_file_metadata(&mut input)?;
            readable_schema(&metadata.schema, &metadata.ipc_schema)?
        } else {
            let metadata = read_stream_metadata(&mut input)?;
            readable_schema(&metadata.schema, &metadata.ipc_schema)?
        })
    })?;
    let mut mapping = TypeMapping::of(&schema);
    for field in schema.iter_values().filter(|field| readable::has_convertible_dictionary(&field.dtype)) {
        mapping.refuse(&field.name, "Dictionary of times, seconds, 64-bit dates or 256-bit decimals");
    }
    Ok(mapping)
}

/// Reads the selected columns of a file, and passes them to `handle` frame by frame. Stops and returns false when
/// `handle` returns false.
pub(super) fn read(file: File, selected: &[String], handle: FrameHandler<'_>) -> Result<bool, DatasetError> {
    frames(file, selected, handle).map_err(damage)
}

fn frames(file: File, selected: &[String], handle: FrameHandler<'_>) -> Result<bool, DatasetError> {
    let same = file.try_clone()?;
    let (mut input, is_file) = input(file)?;
    if is_file {
        let mut metadata = type_mapping::catch_damage(|| Ok(read_file_metadata(&mut input)?))?;
        metadata.schema = Arc::new(readable_schema(&metadata.schema, &metadata.ipc_schema)?);
        let indexes = indexes(&metadata.schema, selected)?;
        let mut batches = Batches::new(same, &metadata.schema, &indexes, BATCH_BYTES);
        for block in metadata.dictionaries.iter().flatten().chain(&metadata.blocks) {
            batches.check_at(u64::try_from(block.offset).unwrap_or(u64::MAX))?;
        }
        let mut reader = FileReader::new(input, metadata, Some(indexes), None);
        while let Some(batch) = type_mapping::catch_damage(|| Ok(reader.next().transpose()?))? {
            if !split(batch, selected, handle)? {
                return Ok(false);
            }
        }
        return Ok(true);
    }
    let mut metadata = type_mapping::catch_damage(|| Ok(read_stream_metadata(&mut input)?))?;
    metadata.schema = readable_schema(&metadata.schema, &metadata.ipc_schema)?;
    let indexes = indexes(&metadata.schema, selected)?;
    let mut batches = Batches::new(same, &metadata.schema, &indexes, BATCH_BYTES);
    let mut at = input.stream_position()?;
    let mut reader = StreamReader::new(input, metadata, Some(indexes));
    loop {
        at = batches.check_next(at)?;
        match type_mapping::catch_damage(|| Ok(reader.next().transpose()?))? {
            None => return Ok(true),
            Some(StreamState::Some(batch)) => {
                if !split(batch, selected, handle)? {
                    return Ok(false);
                }
            }
            // a truncated stream has no end marker
            Some(StreamState::Waiting) => return Err(DatasetError::Garbled("the stream has no end")),
        }
    }
}

/// Returns [`DAMAGED`] in place of an input error that only a truncated or damaged file can cause. Returns any other
/// error unchanged.
fn damage(error: DatasetError) -> DatasetError {
    let kind = match &error {
        DatasetError::Io(error) => error.kind(),
        DatasetError::Polars(PolarsError::IO { error, .. }) => error.kind(),
        _ => return error,
    };
    match kind {
        ErrorKind::UnexpectedEof | ErrorKind::InvalidInput | ErrorKind::InvalidData | ErrorKind::Other => DAMAGED,
        _ => error,
    }
}

/// Returns the indexes of the selected columns in the schema, in ascending order.
fn indexes(schema: &ArrowSchema, selected: &[String]) -> Result<Vec<usize>, DatasetError> {
    let index = |name: &String| schema.index_of(name).ok_or_else(|| DatasetError::MissingColumn(name.clone()));
    let mut indexes = selected.iter().map(index).collect::<Result<Vec<_>, _>>()?;
    indexes.sort_unstable();
    indexes.dedup();
    Ok(indexes)
}

/// Passes a record batch to `handle`, in several frames if the batch is large. Stops and returns false when `handle`
/// returns false.
fn split(batch: RecordBatch, selected: &[String], handle: FrameHandler<'_>) -> Result<bool, DatasetError> {
    let rows = batch.len();
    let (schema, arrays) = batch.into_schema_and_arrays();
    // convert before the split, because each slice of a list would convert all values of the whole list
    let arrays = schema.iter_values().zip(arrays).map(|(field, array)| readable::convert(field, array));
    let arrays = type_mapping::catch_damage(|| arrays.collect::<Result<Vec<_>, _>>())?;
    let schema: ArrowSchema = schema.iter_values().map(readable::field).collect();
    let bytes: usize =
        arrays.iter().map(|array| polars_arrow::compute::aggregate::estimated_bytes_size(&**array)).sum();
    let mut step = (rows * FRAME_BYTES / bytes.max(1)).clamp(1, FRAME_ROWS);
    let mut at = 0;
    while at < rows {
        let height = step.min(rows - at);
        let budget = TextBudget::new(FRAME_TEXT, height);
        let columns = schema.iter_values().zip(&arrays).map(|(field, array)| {
            type_mapping::catch_damage(|| type_mapping::column(field, vec![array.sliced(at, height)], &budget))
        });
        let columns = match columns.collect::<Result<_, _>>() {
            Err(e) if height > 1 && type_mapping::exceeds_budget(&e) => {
                step = height / 2;
                continue;
            }
            columns => columns?,
        };
        at += height;
        let frame = DataFrame::new(height, columns)?;
        if !handle(frame.select(selected.iter().map(String::as_str))?)? {
            return Ok(false);
        }
    }
    Ok(true)
}
