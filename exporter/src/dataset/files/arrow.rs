//! Reads Arrow IPC data in the file format (also called Feather) and in the stream format. The reader decodes one
//! record batch at a time, and only its selected columns.

use std::{
    fs::File,
    io::{BufReader, ErrorKind, Read, Seek},
    sync::Arc,
};

use polars::prelude::{ArrowField, DataFrame, PolarsError, polars_err};
use polars_arrow::{
    datatypes::ArrowSchema,
    io::ipc::IpcSchema,
    io::ipc::read::{FileReader, StreamReader, StreamState, read_file_metadata, read_stream_metadata},
    record_batch::RecordBatch,
};

use super::{
    super::DatasetError,
    batches::{BATCH_BYTES, Batches},
    decimal_bytes, ipc_layout, nesting, readable,
    reader::FrameHandler,
    type_mapping::{self, FRAME_TEXT, TextBudget, TypeMapping},
    unsupported,
};

/// The first bytes of a file in the Arrow IPC file format. Data in the stream format begin with other bytes.
const MAGIC: &[u8] = b"ARROW1";
/// The first bytes of a file in Feather version 1. This format is not Arrow IPC, and is not supported.
const FEATHER_1: &[u8] = b"FEA1";
/// The error for a file that ends too early, or whose lengths contradict each other.
const DAMAGED: DatasetError = DatasetError::Garbled("the file is cut off or damaged");
/// The error for a batch that has other columns than the schema of its file.
const OTHER_COLUMNS: DatasetError = DatasetError::Garbled("a batch of rows has other columns than the file");
/// The maximum number of rows in a data frame. The reader splits larger record batches.
const FRAME_ROWS: usize = 1 << 16;
/// The approximate maximum size of a data frame, in bytes. The reader splits larger record batches.
const FRAME_BYTES: usize = 32 << 20;

type Input = BufReader<File>;

/// Opens a file and positions the reader at its beginning. Also returns the format of the file: true for the file
/// format of Arrow IPC, false for the stream format.
///
/// # Errors
///
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

/// Corrects the schema of a file. `schema` is the schema as polars reads it, and `stored` is the schema in the file.
/// Returns `schema` with two changes: each extension type becomes its storage type, and 256-bit decimals become bytes.
///
/// # Errors
///
/// When two columns have the same name, because polars keeps only one of them in `schema`. Also when the values of a
/// dictionary contain lists of the fixed length 0. polars can't read such lists, and it reads the dictionaries of all
/// columns.
fn types(schema: &ArrowSchema, stored: &IpcSchema) -> Result<ArrowSchema, DatasetError> {
    if schema.len() < stored.fields.len() {
        return Err(polars_err!(Duplicate: "two columns have one name").into());
    }
    let fields = schema.iter_values().map(type_mapping::without_extension);
    let types: ArrowSchema =
        fields.map(|field| decimal_bytes::with_decimal_bytes(&field, stored.is_little_endian)).collect();
    let unreadable = |field: &&ArrowField| unsupported::has_zero_length_in_dictionary(&field.dtype);
    if let Some(field) = types.iter_values().find(unreadable) {
        return Err(DatasetError::Undeclared(format!(
            "column `{}` is of the unsupported type {}: write it as another type, such as text",
            field.name,
            unsupported::name(&field.dtype)
        )));
    }
    Ok(types)
}

/// Returns the mapping from the columns of a file to the types of the dataset. `types` is the result of [`types`].
fn mapping(types: &ArrowSchema) -> TypeMapping {
    let mut mapping = TypeMapping::of(types);
    for field in types.iter_values().filter(|field| unsupported::has_zero_length(&field.dtype)) {
        mapping.refuse(&field.name, &unsupported::name(&field.dtype));
    }
    mapping
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
            types(&metadata.schema, &metadata.ipc_schema)?
        } else {
            let metadata = read_stream_metadata(&mut input)?;
            types(&metadata.schema, &metadata.ipc_schema)?
        })
    })?;
    Ok(mapping(&schema))
}

/// The columns of a file that the reader decodes.
struct Selection<'a> {
    names: &'a [String],
    /// The indexes of the columns in the schema of the file, in ascending order.
    indexes: Vec<usize>,
    /// All columns of the file, with the types that the reader produces. The function [`types()`] computes them.
    types: ArrowSchema,
}

impl<'a> Selection<'a> {
    /// Returns the selection of the columns that `names` lists. `types` has all columns of the file, with the types
    /// that the reader produces.
    ///
    /// # Errors
    /// When the file lacks a column of `names`, or the column has an unsupported type.
    fn new(names: &'a [String], types: ArrowSchema) -> Result<Self, DatasetError> {
        let mapping = mapping(&types);
        for name in names {
            if let Some(dtype) = mapping.unsupported.get(name) {
                return Err(DatasetError::Unsupported { column: name.clone(), dtype: dtype.clone() });
            }
        }
        Ok(Self { names, indexes: indexes(&types, names)?, types })
    }
}

/// Reads the selected columns of a file, and passes the rows to `handle` as data frames. Stops and returns false when
/// `handle` returns false.
pub(super) fn read(file: File, selected: &[String], handle: FrameHandler<'_>) -> Result<bool, DatasetError> {
    frames(file, selected, handle).map_err(damage)
}

fn frames(file: File, selected: &[String], handle: FrameHandler<'_>) -> Result<bool, DatasetError> {
    let same = file.try_clone()?;
    let (mut input, is_file) = input(file)?;
    if is_file {
        let mut metadata = type_mapping::catch_damage(|| Ok(read_file_metadata(&mut input)?))?;
        let selection = Selection::new(selected, types(&metadata.schema, &metadata.ipc_schema)?)?;
        metadata.schema = Arc::new(ipc_layout::of(&selection.types));
        let mut batches = Batches::new(same, &selection.types, &selection.indexes, BATCH_BYTES);
        for block in metadata.dictionaries.iter().flatten().chain(&metadata.blocks) {
            batches.check_at(u64::try_from(block.offset).unwrap_or(u64::MAX))?;
        }
        let mut reader = FileReader::new(input, metadata, Some(selection.indexes.clone()), None);
        while let Some(batch) = type_mapping::catch_damage(|| Ok(reader.next().transpose()?))? {
            if !split(batch, &selection, handle)? {
                return Ok(false);
            }
        }
        return Ok(true);
    }
    let mut metadata = type_mapping::catch_damage(|| Ok(read_stream_metadata(&mut input)?))?;
    let selection = Selection::new(selected, types(&metadata.schema, &metadata.ipc_schema)?)?;
    metadata.schema = ipc_layout::of(&selection.types);
    let mut batches = Batches::new(same, &selection.types, &selection.indexes, BATCH_BYTES);
    let mut at = input.stream_position()?;
    let mut reader = StreamReader::new(input, metadata, Some(selection.indexes.clone()));
    loop {
        at = batches.check_next(at)?;
        match type_mapping::catch_damage(|| Ok(reader.next().transpose()?))? {
            None => return Ok(true),
            Some(StreamState::Some(batch)) => {
                if !split(batch, &selection, handle)? {
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

/// Passes the rows of a record batch to `handle` as one data frame, or as several if the batch is large. Stops and
/// returns false when `handle` returns false.
fn split(batch: RecordBatch, selection: &Selection<'_>, handle: FrameHandler<'_>) -> Result<bool, DatasetError> {
    let rows = batch.len();
    let (read, arrays) = batch.into_schema_and_arrays();
    let fields = read.iter_names().map(|name| selection.types.get(name).ok_or(OTHER_COLUMNS));
    let fields = fields.collect::<Result<Vec<_>, _>>()?;
    // convert before the split, because each slice of a list would convert all values of the whole list
    let arrays = fields.iter().zip(read.iter_values()).zip(arrays);
    let arrays = arrays.map(|((field, read), array)| readable::convert(field, &read.dtype, array));
    let arrays = type_mapping::catch_damage(|| arrays.collect::<Result<Vec<_>, _>>())?;
    let schema: ArrowSchema = fields.into_iter().map(readable::field).collect();
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
        if !handle(frame.select(selection.names.iter().map(String::as_str))?)? {
            return Ok(false);
        }
    }
    Ok(true)
}
