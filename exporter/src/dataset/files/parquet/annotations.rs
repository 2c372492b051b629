//! Rewrites a Parquet footer so that polars accepts the annotations of its columns. An annotation is the field
//! `logicalType` or `converted_type` of a `SchemaElement`, and states the meaning of the column's bytes.

use std::cell::Cell;

use polars_parquet_format::thrift::{
    self,
    protocol::{TInputProtocol, TType},
};

use super::thrift_fields::{Input, SKIPPED_LEVELS, input, seek, skip, write_field};

/// The number of the field `SchemaElement.type`.
const TYPE: i16 = 1;
/// The number of the field `SchemaElement.converted_type`.
const CONVERTED_TYPE: i16 = 6;
/// The number of the field `SchemaElement.logicalType`.
const LOGICAL_TYPE: i16 = 10;
/// The value of `SchemaElement.type` for byte arrays of variable length.
const BYTE_ARRAY: i32 = 6;
/// The largest value of the enumeration `ConvertedType`.
const LAST_CONVERTED_TYPE: i32 = 21;
/// The values ENUM and JSON of the enumeration `ConvertedType`.
const CONVERTED_TEXTS: [i32; 2] = [4, 19];
/// The numbers of the fields ENUM and JSON in the union `LogicalType`.
const LOGICAL_TEXTS: [i16; 2] = [4, 12];
/// The numbers of the fields that polars supports in the union `LogicalType`.
const KNOWN_LOGICAL_TYPES: [i16; 14] = [1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 15];
/// The value UTF8 of `converted_type`, encoded in the Thrift compact protocol.
const UTF8: [u8; 1] = [0];
/// The value STRING of `logicalType`, encoded in the Thrift compact protocol. The value is a union whose first field is
/// an empty struct.
pub(super) const STRING: [u8; 3] = [0x1c, 0, 0];

/// The number of the field `FileMetaData.schema`.
const SCHEMA: i16 = 2;

/// An encoded field of a `SchemaElement`.
struct Field<'a> {
    id: i16,
    /// The type of the field in the Thrift compact protocol, which is in the lower four bits of the field header.
    kind: u8,
    value: &'a [u8],
    meaning: Meaning,
}

/// The decoded value of a field of a `SchemaElement`. This module decodes only the fields that decide which annotations
/// it changes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Meaning {
    /// The value of `type` or `converted_type`, which are enumerations.
    Number(i32),
    /// The number of the field that the union `logicalType` has; None for an empty union.
    Member(Option<i16>),
    /// The value of any other field, which is not decoded.
    Other,
}

/// Rewrites the metadata of a Parquet footer, which is an encoded `FileMetaData`. Removes the column annotations that
/// polars does not support, and annotates enumerations and JSON as strings. Returns None if no annotation changes.
pub(super) fn rewritten(metadata: &[u8]) -> Result<Option<Vec<u8>>, thrift::Error> {
    let (mut input, read) = input(metadata);
    let (mut out, mut copied) = (Vec::new(), 0);
    input.read_struct_begin()?;
    if !seek(&mut input, TType::List, SCHEMA)? {
        return Ok(None);
    }
    let list = input.read_list_begin()?;
    for _ in 0..list.size {
        let begin = read.get();
        let mut fields = element(&mut input, metadata, &read)?;
        if replace(&mut fields) {
            out.extend_from_slice(&metadata[copied..begin]);
            copied = read.get();
            write(&mut out, &fields);
        }
    }
    if copied == 0 {
        return Ok(None);
    }
    out.extend_from_slice(&metadata[copied..]);
    Ok(Some(out))
}

/// Decodes the next `SchemaElement` into its fields. `read` is the number of bytes of `metadata` that `input` has read.
fn element<'a>(input: &mut Input<'a>, metadata: &'a [u8], read: &Cell<usize>) -> Result<Vec<Field<'a>>, thrift::Error> {
    let mut fields = Vec::new();
    input.read_struct_begin()?;
    loop {
        let header = read.get();
        let field = input.read_field_begin()?;
        if field.field_type == TType::Stop {
            break;
        }
        let begin = read.get();
        let id = field.id.unwrap_or_default();
        let meaning = match (field.field_type, id) {
            (TType::I32, TYPE | CONVERTED_TYPE) => Meaning::Number(input.read_i32()?),
            (TType::Struct, LOGICAL_TYPE) => Meaning::Member(member(input)?),
            (kind, _) => {
                skip(input, kind, SKIPPED_LEVELS)?;
                Meaning::Other
            }
        };
        input.read_field_end()?;
        fields.push(Field { id, kind: metadata[header] & 0x0f, value: &metadata[begin..read.get()], meaning });
    }
    input.read_struct_end()?;
    Ok(fields)
}

/// Decodes a Thrift union, and returns the number of the field that the union has; None for an empty union.
fn member(input: &mut Input<'_>) -> Result<Option<i16>, thrift::Error> {
    let mut member = None;
    input.read_struct_begin()?;
    loop {
        let field = input.read_field_begin()?;
        if field.field_type == TType::Stop {
            break;
        }
        member = member.or(field.id);
        skip(input, field.field_type, SKIPPED_LEVELS)?;
        input.read_field_end()?;
    }
    input.read_struct_end()?;
    Ok(member)
}

/// Removes the annotations that polars does not support from the fields of a `SchemaElement`. Annotates enumerations
/// and JSON in byte arrays as strings. Returns true if a field was removed or changed.
fn replace(fields: &mut Vec<Field<'_>>) -> bool {
    let is_bytes = fields.iter().any(|field| field.id == TYPE && field.meaning == Meaning::Number(BYTE_ARRAY));
    let count = fields.len();
    fields.retain(|field| match (field.id, field.meaning) {
        (CONVERTED_TYPE, Meaning::Number(number)) => (0..=LAST_CONVERTED_TYPE).contains(&number),
        (LOGICAL_TYPE, Meaning::Member(member)) => member.is_some_and(|member| KNOWN_LOGICAL_TYPES.contains(&member)),
        _ => true,
    });
    let mut changed = fields.len() < count;
    for field in fields.iter_mut().filter(|_| is_bytes) {
        match (field.id, field.meaning) {
            (CONVERTED_TYPE, Meaning::Number(number)) if CONVERTED_TEXTS.contains(&number) => field.value = &UTF8,
            (LOGICAL_TYPE, Meaning::Member(Some(member))) if LOGICAL_TEXTS.contains(&member) => field.value = &STRING,
            _ => continue,
        }
        changed = true;
    }
    changed
}

/// Appends a `SchemaElement` with these fields to `out`, encoded in the Thrift compact protocol.
fn write(out: &mut Vec<u8>, fields: &[Field<'_>]) {
    let mut last = 0;
    for field in fields {
        write_field(out, &mut last, field.id, field.kind, field.value);
    }
    out.push(0);
}
