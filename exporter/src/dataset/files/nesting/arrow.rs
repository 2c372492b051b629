//! Checks an Arrow schema before polars reads the schema. The columns must not be nested too deeply, must have
//! different names, and must have types that polars supports. The checks read the schema in its FlatBuffers encoding.

use std::{collections::BTreeSet, fs::File, io::ErrorKind, os::unix::fs::FileExt};

use base64::{Engine, prelude::BASE64_STANDARD};
use polars_arrow::io::ipc::format::ipc::{
    FieldRef, FooterRef, MessageHeaderRef, MessageRef, SchemaRef, TypeRef,
    planus::{self, ReadAsRoot},
};

use super::Deepest;
use crate::dataset::DatasetError;

/// The error for a schema that is not a valid flatbuffer.
const BROKEN: DatasetError = DatasetError::Garbled("the schema of the file is damaged");
/// The last bytes of an Arrow IPC file. The length of the footer precedes them.
const MAGIC: [u8; 6] = *b"ARROW1";
/// The number of bytes after a footer: four for the length of the footer, and six for [`MAGIC`].
const TAIL: u64 = 10;
/// The marker before the length of an Arrow IPC message. Apache Arrow writes the marker since version 0.15.
const CONTINUATION: [u8; 4] = [0xff; 4];
/// The maximum number of fields of a schema. The limit is necessary because several tables of a flatbuffer may refer to
/// the same table, so that a few bytes can describe any number of fields.
const MAX_FIELDS: usize = 1 << 20;

/// Checks the schema of an Arrow IPC file. Accepts a file that does not end like an Arrow IPC file, because the library
/// that reads the file afterwards reports the damage.
///
/// # Errors
/// When the file can't be read, its schema is damaged, a column is nested too deeply or has a type that is not
/// supported, or two columns have the same name.
pub(in super::super) fn check_file(file: &File) -> Result<(), DatasetError> {
    let Some(tail_at) = file.metadata()?.len().checked_sub(TAIL) else { return Ok(()) };
    let mut tail = [0; TAIL as usize];
    file.read_exact_at(&mut tail, tail_at)?;
    let [a, b, c, d, magic @ ..] = tail;
    let length = u64::from(u32::from_le_bytes([a, b, c, d]));
    let Some(begin) = tail_at.checked_sub(length).filter(|_| magic == MAGIC) else { return Ok(()) };
    let mut footer = vec![0; length as usize];
    file.read_exact_at(&mut footer, begin)?;
    let footer = FooterRef::read_as_root(&footer).map_err(|_| BROKEN)?;
    footer.schema().map_err(|_| BROKEN)?.map_or(Ok(()), |schema| check(schema).and_then(|()| check_columns(schema)))
}

/// Checks the schema of an Arrow IPC stream, which is the first message of the stream. Accepts a stream without a first
/// message, because the library that reads the stream afterwards reports the damage.
///
/// # Errors
/// The same errors as [`check_file`] returns.
pub(in super::super) fn check_stream(file: &File) -> Result<(), DatasetError> {
    let size = file.metadata()?.len();
    let mut length = [0; 4];
    let mut at = 0;
    loop {
        match file.read_exact_at(&mut length, at) {
            // the library that reads the stream afterwards reports that the stream has no schema
            Err(e) if e.kind() == ErrorKind::UnexpectedEof => return Ok(()),
            read => read?,
        }
        at += 4;
        if length != CONTINUATION || at > 4 {
            break;
        }
    }
    let length = u64::from(u32::from_le_bytes(length));
    if length > size - at {
        return Err(BROKEN);
    }
    let mut message = vec![0; length as usize];
    file.read_exact_at(&mut message, at)?;
    schema(&message)?.map_or(Ok(()), |schema| check(schema).and_then(|()| check_columns(schema)))
}

/// Checks how deeply the columns of an Arrow schema are nested. `text` is the schema in Base64, which writers store in
/// the footer of a Parquet file under the key `ARROW:schema`. Accepts a text that is not Base64, because polars reads
/// the footer later, and reports that error.
///
/// # Errors
/// When the decoded schema is damaged, or a column is nested too deeply.
pub(in super::super) fn check_encoded_schema(text: &str) -> Result<(), DatasetError> {
    let Ok(bytes) = BASE64_STANDARD.decode(text) else { return Ok(()) };
    let message = match bytes.strip_prefix(&CONTINUATION) {
        // the length of the message follows the marker
        Some(rest) => rest.get(4..).ok_or(BROKEN)?,
        None => &bytes,
    };
    schema(message)?.map_or(Ok(()), check)
}

/// Returns the schema that an Arrow IPC message contains; None for a message of another kind.
fn schema(message: &[u8]) -> Result<Option<SchemaRef<'_>>, DatasetError> {
    let message = MessageRef::read_as_root(message).map_err(|_| BROKEN)?;
    match message.header().map_err(|_| BROKEN)? {
        Some(MessageHeaderRef::Schema(schema)) => Ok(Some(schema)),
        _ => Ok(None),
    }
}

fn check(schema: SchemaRef<'_>) -> Result<(), DatasetError> {
    deepest(schema).map_err(|_| BROKEN)?.ok_or(TOO_MANY)?.check()
}

/// Returns an error if two columns have the same name, or a column has a type that polars does not support. The caller
/// must have checked that the columns are not nested too deeply.
fn check_columns(schema: SchemaRef<'_>) -> Result<(), DatasetError> {
    match refused_column(schema).map_err(|_| BROKEN)? {
        None => Ok(()),
        Some(detail) => Err(DatasetError::Undeclared(detail)),
    }
}

/// Returns the reason why polars can't read one of the columns; None if polars can read all of them.
fn refused_column(schema: SchemaRef<'_>) -> Result<Option<String>, planus::Error> {
    let mut names = BTreeSet::new();
    for column in schema.fields()?.into_iter().flatten() {
        let column = column?;
        let name = column.name()?.unwrap_or_default();
        if !names.insert(name) {
            return Ok(Some(format!("two columns are called `{name}`: write one of them under another name")));
        }
        let mut left = vec![column];
        while let Some(field) = left.pop() {
            if let Some(unknown) = unknown_type(field)? {
                return Ok(Some(format!(
                    "column `{name}` is of the unsupported type {unknown}: write it as another type"
                )));
            }
            for child in field.children()?.into_iter().flatten() {
                left.push(child?);
            }
        }
    }
    Ok(None)
}

/// Returns the name of the field's type if polars can't read a schema with this type; None if polars can read it.
fn unknown_type(field: FieldRef<'_>) -> Result<Option<&'static str>, planus::Error> {
    Ok(match field.type_()? {
        Some(TypeRef::RunEndEncoded(_)) => Some("RunEndEncoded"),
        Some(TypeRef::ListView(_)) => Some("ListView"),
        Some(TypeRef::LargeListView(_)) => Some("LargeListView"),
        Some(TypeRef::Decimal(decimal)) if decimal.scale()? < 0 => Some("Decimal with a negative scale"),
        _ => None,
    })
}

/// The error for a schema with more than [`MAX_FIELDS`] fields.
const TOO_MANY: DatasetError = DatasetError::Garbled("the schema of the file has more than a million fields");

/// Returns the most deeply nested column of a schema, and its depth. Counts at most one level more than the maximum
/// depth. Returns None if the schema has more than [`MAX_FIELDS`] fields.
fn deepest(schema: SchemaRef<'_>) -> Result<Option<Deepest>, planus::Error> {
    let (mut deepest, mut seen) = (Deepest::default(), 0);
    for column in schema.fields()?.into_iter().flatten() {
        let column = column?;
        let name = column.name()?.unwrap_or_default();
        let mut left: Vec<(FieldRef<'_>, usize)> = vec![(column, 0)];
        while let Some((field, around)) = left.pop() {
            seen += 1;
            if seen > MAX_FIELDS {
                return Ok(None);
            }
            let Some(children) = field.children()?.filter(|children| !children.is_empty()) else { continue };
            let depth = around + 1;
            deepest.see(name, depth);
            if depth > super::MAX_DEPTH {
                // the column is refused already, and deeper levels do not change this
                break;
            }
            let is_map = matches!(field.type_()?, Some(TypeRef::Map(_)));
            for child in children {
                let child = child?;
                if is_map {
                    // Arrow puts the key and the value of a map in a record, which does not count as a level
                    for member in child.children()?.into_iter().flatten() {
                        left.push((member?, depth));
                    }
                } else {
                    left.push((child, depth));
                }
            }
        }
    }
    Ok(Some(deepest))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use polars_arrow::{
        datatypes::{ArrowDataType, ArrowSchema, Field, UnionMode, UnionType},
        io::ipc::write::{StreamWriter, WriteOptions},
    };

    use super::{super::MAX_DEPTH, *};

    /// Returns an Arrow IPC stream with a column of this type and without rows.
    fn stream(dtype: ArrowDataType) -> Vec<u8> {
        let columns = [Field::new("plain".into(), ArrowDataType::Int8, true), Field::new("deep".into(), dtype, true)];
        let schema: ArrowSchema = columns.into_iter().collect();
        let mut bytes = Vec::new();
        let mut writer = StreamWriter::new(&mut bytes, WriteOptions { compression: None });
        writer.start(&schema, None).unwrap();
        writer.finish().unwrap();
        bytes
    }

    fn nested(depth: usize, level: impl Fn(Box<Field>) -> ArrowDataType) -> ArrowDataType {
        (0..depth).fold(ArrowDataType::Int8, |inner, _| level(Box::new(Field::new("m".into(), inner, true))))
    }

    fn check_bytes(bytes: &[u8]) -> Result<(), DatasetError> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        check_stream(&file)
    }

    #[test]
    fn every_nested_type_counts_one_level_in_files_and_in_the_schema_that_parquet_files_store() {
        let union = |field: Box<Field>| {
            ArrowDataType::Union(Box::new(UnionType { fields: vec![*field], ids: None, mode: UnionMode::Sparse }))
        };
        for depth in [MAX_DEPTH, MAX_DEPTH + 1] {
            for dtype in [
                nested(depth, ArrowDataType::List),
                nested(depth, ArrowDataType::LargeList),
                nested(depth, |field| ArrowDataType::FixedSizeList(field, 2)),
                nested(depth, |field| ArrowDataType::Struct(vec![*field])),
                nested(depth, union),
            ] {
                let bytes = stream(dtype);
                let length = u32::from_le_bytes(bytes[4..8].try_into().unwrap()) as usize;
                let encoded = BASE64_STANDARD.encode(&bytes[..8 + length]);
                // old writers store the message without the marker and its length
                let bare = BASE64_STANDARD.encode(&bytes[8..8 + length]);
                for checked in [check_bytes(&bytes), check_encoded_schema(&encoded), check_encoded_schema(&bare)] {
                    match checked {
                        Ok(()) => assert_eq!(depth, MAX_DEPTH),
                        Err(DatasetError::TooDeep { column, depth: 33 }) => {
                            assert_eq!((column.as_str(), depth), ("deep", MAX_DEPTH + 1));
                        }
                        other => panic!("{other:?}"),
                    }
                }
            }
        }
    }

    #[test]
    fn a_damaged_schema_is_refused_or_left_to_the_library() {
        let whole = stream(nested(3, ArrowDataType::List));
        for length in 0..whole.len() {
            assert!(matches!(check_bytes(&whole[..length]), Ok(()) | Err(DatasetError::Garbled(_))), "{length}");
        }
        assert!(check_encoded_schema("not base64!").is_ok());
        assert!(check_encoded_schema("/////w==").is_err(), "a marker without a message");
    }
}
