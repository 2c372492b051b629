//! Checks the sizes of the record batches of an Arrow IPC file before polars decodes the batches. polars can decode a
//! batch only as a whole, so a large batch would need too much memory.

use std::{collections::BTreeSet, fs::File, io::ErrorKind, os::unix::fs::FileExt};

use polars_arrow::{
    datatypes::{ArrowDataType, ArrowSchema, Field as ArrowField},
    io::ipc::format::ipc::{
        BufferRef, MessageHeaderRef, MessageRef, MetadataVersion, RecordBatchRef, planus::ReadAsRoot,
    },
};

use super::super::DatasetError;

/// The maximum size in memory of the selected columns of a record batch, in bytes. A larger batch is refused.
pub(super) const BATCH_BYTES: u64 = 256 << 20;
/// The maximum length of the header of an Arrow IPC message, in bytes.
const HEADER_BYTES: usize = 64 << 20;
/// The marker before the length of an Arrow IPC message. Apache Arrow writes the marker since version 0.15.
const CONTINUATION: [u8; 4] = [0xff; 4];

/// The error for bytes that are not a valid Arrow IPC message.
const BROKEN: DatasetError = DatasetError::Garbled("a batch of rows is damaged");
/// The error for a compressed column of the Arrow type Utf8View or BinaryView that has an empty buffer. polars can't
/// read such a buffer, because polars expects the decompressed size at the beginning of each buffer. Writers add an
/// empty buffer if no value of a batch has more than 12 bytes.
const EMPTY_VIEWS: DatasetError = DatasetError::Lacking(
    "views of texts or bytes are compressed, and a batch has no value of more than 12 bytes, which is not supported: write the \
     column as plain strings, or the file without compression",
);

/// The error for a union in a file of a metadata version before 5. In such a file, a union has one more buffer than
/// polars expects, and polars would take that buffer for a buffer of the next column.
const OLD_UNION: DatasetError = DatasetError::Lacking(
    "it has a union, and the file is written with an old version of the format, which is not supported: write the file with \
     Arrow 1.0 or newer, or without the column",
);
/// The key in the custom metadata of a message that version 0.17 of Apache Arrow has compressed. The batch header of
/// such a message states no compression, so polars would take the compressed bytes for values.
const OLD_COMPRESSION: &str = "ARROW:experimental_compression";
/// The error for a message that version 0.17 of Apache Arrow has compressed (see [`OLD_COMPRESSION`]).
const OLD_COMPRESSED: DatasetError = DatasetError::Lacking(
    "the file is compressed in the form of Apache Arrow 0.17, which is not supported: write it again with a newer version of \
     Apache Arrow, or without compression",
);
/// The error for a file in which a later batch replaces a dictionary. polars would read the rows of all batches with the
/// last dictionary.
const REPLACED_DICTIONARY: DatasetError = DatasetError::Lacking(
    "a dictionary of the file is replaced by another one, which the file format of Arrow does not allow: write one \
     dictionary for all rows, or an Arrow stream",
);

/// The maximum number of buffers of one column of the type Utf8View or BinaryView that are checked for [`EMPTY_VIEWS`].
const MAX_VIEW_BUFFERS: usize = 1 << 16;

/// A column of the file, for the checks of record batches.
struct Column {
    name: String,
    dtype: ArrowDataType,
    /// Whether the column is read. Only such columns count toward the size of a record batch.
    wanted: bool,
}

/// Checks the sizes of the record batches of an Arrow IPC file before they are decoded. The header of each batch states
/// the sizes of its columns.
pub(super) struct Batches {
    file: File,
    columns: Vec<Column>,
    max_size: u64,
    header: Vec<u8>,
    /// The ids of the dictionaries that [`Batches::check_at`] has checked so far.
    dictionaries: BTreeSet<i64>,
}

/// The kinds of messages that the checks distinguish.
enum Kind {
    /// A record batch, which has rows of the file.
    Rows,
    /// A whole dictionary with this id. It replaces an earlier dictionary with the same id.
    Dictionary(i64),
    /// Any other message. For example, an addition to a dictionary, which polars refuses.
    Other,
}

impl Batches {
    /// Creates a check for a file with this schema. The check refuses a record batch whose columns at the indexes
    /// `wanted` take more than `max_size` bytes of memory in total.
    pub(super) fn new(file: File, schema: &ArrowSchema, wanted: &[usize], max_size: u64) -> Self {
        let columns = schema.iter_values().enumerate().map(|(at, field)| Column {
            name: field.name.to_string(),
            dtype: field.dtype.clone(),
            wanted: wanted.contains(&at),
        });
        Self { file, columns: columns.collect(), max_size, header: Vec::new(), dictionaries: BTreeSet::new() }
    }

    /// Checks the message at the offset `at` of data in the file format of Arrow IPC. Returns an error if the message is
    /// damaged, exceeds the maximum size that [`Batches::new`] received, has a buffer that polars can't read, or replaces
    /// a dictionary of an earlier call.
    pub(super) fn check_at(&mut self, at: u64) -> Result<(), DatasetError> {
        match self.message(at)? {
            Some((_, Kind::Dictionary(id))) if !self.dictionaries.insert(id) => Err(REPLACED_DICTIONARY),
            _ => Ok(()),
        }
    }

    /// Checks the messages from the offset `at` of the file up to and including the next record batch. Returns the
    /// offset of the first byte after that batch. If no batch follows, returns the offset at which the messages end.
    pub(super) fn check_next(&mut self, mut at: u64) -> Result<u64, DatasetError> {
        while let Some((next, kind)) = self.message(at)? {
            at = next;
            if matches!(kind, Kind::Rows) {
                break;
            }
        }
        Ok(at)
    }

    /// Checks the message at the offset `at` of the file. Returns the offset of the next message, and the kind of the
    /// checked message. Returns None if `at` is the end of the stream.
    fn message(&mut self, at: u64) -> Result<Option<(u64, Kind)>, DatasetError> {
        let (mut at, mut length) = (at, [0; 4]);
        for _ in 0..2 {
            match self.file.read_exact_at(&mut length, at) {
                Ok(()) => at += 4,
                // the reader reports a stream without an end marker
                Err(e) if e.kind() == ErrorKind::UnexpectedEof => return Ok(None),
                Err(e) => return Err(e.into()),
            }
            if length != CONTINUATION {
                break;
            }
        }
        let length = usize::try_from(i32::from_le_bytes(length)).map_err(|_| BROKEN)?;
        if length == 0 {
            return Ok(None);
        }
        if length > HEADER_BYTES {
            return Err(BROKEN);
        }
        self.header.resize(length, 0);
        self.file.read_exact_at(&mut self.header, at)?;
        let body = at + length as u64;
        let message = MessageRef::read_as_root(&self.header).map_err(|_| BROKEN)?;
        if message.version().map_err(|_| BROKEN)? != MetadataVersion::V5
            && let Some(union) = self.columns.iter().find(|column| has_union(&column.dtype))
        {
            return Err(OLD_UNION.in_column(&union.name));
        }
        let size = u64::try_from(message.body_length().map_err(|_| BROKEN)?).map_err(|_| BROKEN)?;
        for pair in message.custom_metadata().map_err(|_| BROKEN)?.into_iter().flatten() {
            if pair.and_then(|pair| pair.key()).map_err(|_| BROKEN)? == Some(OLD_COMPRESSION) {
                return Err(OLD_COMPRESSED);
            }
        }
        let (bytes, kind) = match message.header().map_err(|_| BROKEN)?.ok_or(BROKEN)? {
            MessageHeaderRef::RecordBatch(batch) => (self.bytes(batch, body, Some(&self.columns))?, Kind::Rows),
            MessageHeaderRef::DictionaryBatch(dictionary) => {
                let batch = dictionary.data().map_err(|_| BROKEN)?.ok_or(BROKEN)?;
                let is_whole = !dictionary.is_delta().map_err(|_| BROKEN)?;
                let kind = if is_whole { Kind::Dictionary(dictionary.id().map_err(|_| BROKEN)?) } else { Kind::Other };
                (self.bytes(batch, body, None)?, kind)
            }
            _ => (0, Kind::Other),
        };
        if bytes > self.max_size {
            return Err(DatasetError::Limit("a batch of rows has more than 256 MiB: write smaller batches"));
        }
        Ok(Some((body.checked_add(size).ok_or(BROKEN)?, kind)))
    }

    /// Returns the size of a batch in memory, in bytes. For a record batch, `columns` are its columns, and the size
    /// includes only the buffers of the columns to read. For a dictionary batch, `columns` is None, and the size
    /// includes all buffers. `body` is the file offset at which the buffers of the batch begin.
    fn bytes(&self, batch: RecordBatchRef<'_>, body: u64, columns: Option<&[Column]>) -> Result<u64, DatasetError> {
        let mut buffers = batch.buffers().map_err(|_| BROKEN)?.ok_or(BROKEN)?.iter();
        let packed = batch.compression().map_err(|_| BROKEN)?.is_some();
        let mut sum = 0_u64;
        let mut count = |buffer: BufferRef<'_>| -> Result<(), DatasetError> {
            sum = sum.checked_add(self.length(buffer, body, packed)?).ok_or(BROKEN)?;
            Ok(())
        };
        let Some(columns) = columns else {
            buffers.try_for_each(count)?;
            return Ok(sum);
        };
        let mut variadic = batch.variadic_buffer_counts().map_err(|_| BROKEN)?.into_iter().flatten();
        for Column { name, dtype, wanted } in columns {
            let mut of_views = Vec::new();
            let own = buffers_of(dtype, &mut variadic, 0, &mut of_views).ok_or(BROKEN)?;
            for (at, buffer) in buffers.by_ref().take(own).enumerate().filter(|_| *wanted) {
                if packed && buffer.length() == 0 && of_views.contains(&at) {
                    return Err(EMPTY_VIEWS.in_column(name));
                }
                count(buffer)?;
            }
        }
        Ok(sum)
    }

    /// Returns the size of a buffer in memory, in bytes. If `packed` is true, the batch is compressed, and the first
    /// eight bytes of the buffer state the size after decompression. `body` is the file offset at which the buffers of
    /// the batch begin.
    fn length(&self, buffer: BufferRef<'_>, body: u64, packed: bool) -> Result<u64, DatasetError> {
        let length = u64::try_from(buffer.length()).map_err(|_| BROKEN)?;
        if !packed || length < 8 {
            return Ok(length);
        }
        let mut unpacked = [0; 8];
        let at = u64::try_from(buffer.offset()).ok().and_then(|offset| body.checked_add(offset)).ok_or(BROKEN)?;
        self.file.read_exact_at(&mut unpacked, at)?;
        match i64::from_le_bytes(unpacked) {
            // -1 marks a buffer that is not compressed
            -1 => Ok(length - 8),
            unpacked => u64::try_from(unpacked).map_err(|_| BROKEN),
        }
    }
}

/// Whether a type contains a union, at any depth.
fn has_union(dtype: &ArrowDataType) -> bool {
    use ArrowDataType as D;
    match dtype {
        D::Union(_) => true,
        D::List(item) | D::LargeList(item) | D::FixedSizeList(item, _) | D::Map(item, _) => has_union(&item.dtype),
        D::Struct(members) => members.iter().any(|member| has_union(&member.dtype)),
        D::Dictionary(_, values, _) => has_union(values),
        _ => false,
    }
}

/// Returns the index of the first buffer after the buffers of a column of type `dtype`. `at` is the index of the
/// column's first buffer.
///
/// A column of the type Utf8View or BinaryView has two buffers, and then any number of buffers for its values.
/// `variadic` has this number for each remaining column of these types in the batch. The function takes the next number
/// from `variadic`, and adds the indexes of the buffers for values to `of_views`. Returns None if `variadic` has no
/// next number, or if the number is negative or too large.
fn buffers_of(
    dtype: &ArrowDataType,
    variadic: &mut impl Iterator<Item = i64>,
    at: usize,
    of_views: &mut Vec<usize>,
) -> Option<usize> {
    use ArrowDataType as D;
    let mut of_all = |fields: &[ArrowField], mut at: usize| {
        for field in fields {
            at = buffers_of(&field.dtype, variadic, at, of_views)?;
        }
        Some(at)
    };
    match dtype {
        D::Null => Some(at),
        D::Utf8 | D::LargeUtf8 | D::Binary | D::LargeBinary => Some(at + 3),
        D::Utf8View | D::BinaryView => {
            let end = (at + 2).checked_add(usize::try_from(variadic.next()?).ok()?)?;
            // a damaged count may be far beyond the buffers of the batch
            of_views.extend((at + 2..end).take(MAX_VIEW_BUFFERS));
            Some(end)
        }
        D::List(field) | D::LargeList(field) | D::Map(field, _) => of_all(std::slice::from_ref(field), at + 2),
        D::FixedSizeList(field, _) => of_all(std::slice::from_ref(field), at + 1),
        D::Struct(fields) => of_all(fields, at + 1),
        D::Union(union) => of_all(&union.fields, if union.mode.is_sparse() { at + 1 } else { at + 2 }),
        D::Extension(extension) => buffers_of(&extension.inner, variadic, at, of_views),
        _ => Some(at + 2),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use polars::prelude::{
        Column, DataFrame, DataType, IntoColumn, IntoSeries, IpcCompression, IpcStreamWriter, IpcWriter, ListChunked,
        NamedFrom, SerWriter, Series,
    };
    use polars_arrow::io::ipc::read::{read_file_metadata, read_stream_metadata};

    use super::*;

    /// Returns a data frame whose columns have different buffer layouts. The last column is large.
    fn frame() -> DataFrame {
        let lists: ListChunked = (0..100)
            .map(|n| (n % 7 > 0).then(|| Series::new("".into(), [Some(format!("list {n} of texts")), None])))
            .collect();
        let large: Vec<_> = (0..100).map(|n| format!("{n:5}").repeat(2_000)).collect();
        let records = polars::prelude::StructChunked::from_series(
            "record".into(),
            100,
            [Series::new("a".into(), [1_i32; 100]), Series::new("b".into(), ["some text of the record"; 100])].iter(),
        );
        let columns = vec![
            Column::full_null("null".into(), 100, &DataType::Null),
            Column::new("flag".into(), [true; 100]),
            lists.with_name("list".into()).into_series().into_column(),
            records.unwrap().into_series().into_column(),
            Column::new("n".into(), (0..100_i64).collect::<Vec<_>>()),
            Column::new("large".into(), large),
        ];
        DataFrame::new_infer_height(columns).unwrap()
    }

    #[test]
    fn the_buffers_of_views_are_found_at_any_depth() {
        let field = |name: &str, dtype| ArrowField::new(name.into(), dtype, true);
        let list = ArrowDataType::List(Box::new(field("item", ArrowDataType::BinaryView)));
        let record = ArrowDataType::Struct(vec![
            field("n", ArrowDataType::Int64),
            field("l", list),
            field("s", ArrowDataType::Utf8View),
        ]);
        let mut of_views = Vec::new();
        // a bitmap; two buffers of numbers; a list with two buffers and views with three; views with four
        let end = buffers_of(&record, &mut [1, 2].into_iter(), 0, &mut of_views);
        assert_eq!((end, of_views), (Some(1 + 2 + 2 + 3 + 4), vec![7, 10, 11]));
        assert_eq!(buffers_of(&ArrowDataType::Utf8View, &mut [-1].into_iter(), 0, &mut vec![]), None);
    }

    #[test]
    fn a_union_of_an_old_version_is_refused_with_its_column() {
        use polars_arrow::{
            datatypes::{UnionMode, UnionType},
            io::ipc::format::ipc::{Message, MessageHeader, RecordBatch, planus::Builder},
        };
        let fields = vec![ArrowField::new("a".into(), ArrowDataType::Int8, true)];
        let union = ArrowDataType::Union(Box::new(UnionType { fields, ids: None, mode: UnionMode::Dense }));
        let list = ArrowDataType::List(Box::new(ArrowField::new("item".into(), union, true)));
        let plain = ArrowField::new("n".into(), ArrowDataType::Int8, true);
        let (alone, both): (ArrowSchema, ArrowSchema) = (
            [plain.clone()].into_iter().collect(),
            [plain, ArrowField::new("u".into(), list, true)].into_iter().collect(),
        );
        for (version, is_old) in [(MetadataVersion::V4, true), (MetadataVersion::V5, false)] {
            let batch = RecordBatch { nodes: Some(vec![]), buffers: Some(vec![]), ..Default::default() };
            let header = Some(MessageHeader::RecordBatch(Box::new(batch)));
            let message = Message { version, header, body_length: 0, custom_metadata: None };
            let mut builder = Builder::new();
            let message = builder.finish(&message, None);
            let mut file = tempfile::tempfile().unwrap();
            let length = i32::try_from(message.len()).unwrap().to_le_bytes();
            file.write_all(&[&CONTINUATION, &length, message].concat()).unwrap();
            let check = |schema: &ArrowSchema| Batches::new(file.try_clone().unwrap(), schema, &[0], 1).check_at(0);
            assert!(check(&alone).is_ok());
            match check(&both) {
                Ok(()) => assert!(!is_old),
                Err(error) => {
                    let text = error.to_string();
                    assert!(is_old && text.starts_with("column `u`: it has a union"), "{text}");
                }
            }
        }
    }

    #[test]
    fn batches_are_measured_by_the_selected_columns_before_they_are_read() {
        for packed in [None, Some(IpcCompression::LZ4), Some(IpcCompression::ZSTD(Default::default()))] {
            for is_file in [false, true] {
                let mut bytes = Vec::new();
                if is_file {
                    IpcWriter::new(&mut bytes).with_compression(packed).finish(&mut frame()).unwrap();
                } else {
                    IpcStreamWriter::new(&mut bytes).with_compression(packed).finish(&mut frame()).unwrap();
                }
                let mut file = tempfile::tempfile().unwrap();
                file.write_all(&bytes).unwrap();
                let mut input = std::io::Cursor::new(&bytes);
                let (schema, at) = if is_file {
                    let metadata = read_file_metadata(&mut input).unwrap();
                    (metadata.schema.as_ref().clone(), metadata.blocks[0].offset as u64)
                } else {
                    (read_stream_metadata(&mut input).unwrap().schema, input.position())
                };
                let check = |wanted: &[usize], max_size: u64| {
                    let file = file.try_clone().unwrap();
                    Batches::new(file, &schema, wanted, max_size).check_next(at)
                };
                // the column of numbers has 800 bytes; the other columns do not count
                assert!(check(&[4], 800).is_ok() && check(&[4], 700).is_err(), "{packed:?} {is_file}");
                assert!(check(&[4, 5], 1_100_000).is_ok(), "{packed:?} {is_file}");
                let error = check(&[4, 5], 900_000).unwrap_err();
                assert!(error.user_message().contains("write smaller batches"), "{error}");
                let next = check(&[0, 1, 2, 3], 100_000).unwrap();
                assert!(next > at && next <= bytes.len() as u64, "{next}");
            }
        }
    }
}
