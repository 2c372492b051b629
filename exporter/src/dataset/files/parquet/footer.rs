//! Removes column annotations that polars does not know from a Parquet footer, before polars reads the footer.
//!
//! An annotation says what the bytes of a column mean: `SchemaElement.logicalType`, or `converted_type` in older files.
//! Readers must ignore an unknown annotation and read the column by its physical type (LogicalTypes.md of the Parquet
//! format), but polars refuses the whole file.
//!
//! This module also annotates enumerations and JSON as strings, because polars would read them as bytes.

use std::{cell::Cell, fs::File, io::Read, os::unix::fs::FileExt, rc::Rc};

use polars_parquet_format::{
    FileMetaData, SchemaElement,
    thrift::{
        self,
        protocol::{TCompactInputProtocol, TInputProtocol, TType},
    },
};

use super::super::nesting;

/// The length of the magic number at the beginning of a Parquet file, in bytes.
const MAGIC: usize = 4;
/// The number of bytes after a footer: four for the length of the footer, and four for the magic number.
const TAIL: usize = 8;

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
/// The numbers of the fields that polars knows in the union `LogicalType`.
const KNOWN_LOGICAL_TYPES: [i16; 14] = [1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 15];
/// The value UTF8 of `converted_type`, encoded in the Thrift compact protocol.
const UTF8: [u8; 1] = [0];
/// The value STRING of `logicalType`, encoded in the Thrift compact protocol: a union whose first field is an empty
/// struct.
const STRING: [u8; 3] = [0x1c, 0, 0];

/// The number of the field `FileMetaData.schema`.
const SCHEMA: i16 = 2;
/// The number of the field `FileMetaData.row_groups`.
const ROW_GROUPS: i16 = 4;
/// The number of the field `FileMetaData.encryption_algorithm`.
const ENCRYPTION_ALGORITHM: i16 = 8;
/// The number of the field `RowGroup.sorting_columns`.
const SORTING_COLUMNS: i16 = 4;
/// The number of the field `ColumnMetaData.dictionary_page_offset`.
const DICTIONARY_PAGE_OFFSET: i16 = 11;
/// The numbers of the fields `ColumnMetaData.bloom_filter_offset` and `bloom_filter_length`.
const BLOOM_FILTER: [i16; 2] = [14, 15];
/// The magic number at the end of a file with an encrypted footer.
const ENCRYPTED: [u8; 4] = *b"PARE";

/// The maximum depth of nested structs and lists at which [`skip`] accepts bytes that are not UTF-8. Footers are less
/// deep.
const SKIPPED_LEVELS: u8 = 16;

type Input<'a> = TCompactInputProtocol<Counted<'a>>;

/// A reader that counts the bytes that have been read from it.
struct Counted<'a> {
    left: &'a [u8],
    read: Rc<Cell<usize>>,
}

impl Read for Counted<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let count = self.left.read(out)?;
        self.read.set(self.read.get() + count);
        Ok(count)
    }
}

/// An encoded field of a `SchemaElement`.
struct Field<'a> {
    id: i16,
    /// The type of the field in the Thrift compact protocol: the lower four bits of the field header.
    kind: u8,
    value: &'a [u8],
    meaning: Meaning,
}

/// The decoded value of a field of a `SchemaElement`. Only fields that decide which annotations change are decoded.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Meaning {
    /// The value of `type` or `converted_type`, which are enumerations.
    Number(i32),
    /// The number of the field that the union `logicalType` has; None for an empty union.
    Member(Option<i16>),
    /// The value of any other field, which is not decoded.
    Other,
}

/// Returns a footer without the annotations that polars does not know, and with enumerations and JSON annotated as
/// strings. `footer` has the form of a file without rows: the magic number, the footer, its length and the magic number
/// again. If a footer can't be decoded, returns it unchanged, so that polars reports the damage.
pub(super) fn with_known_types(footer: Vec<u8>) -> Vec<u8> {
    let end = footer.len().saturating_sub(TAIL);
    let Some(metadata) = footer.get(MAGIC..end) else { return footer };
    match rewritten(metadata) {
        Ok(Some(metadata)) => {
            let Ok(length) = u32::try_from(metadata.len()) else { return footer };
            let magic = &footer[..MAGIC];
            [magic, &metadata, &length.to_le_bytes(), magic].concat()
        }
        Ok(None) | Err(_) => footer,
    }
}

/// Returns a footer without the parts that some writers encode against the specification, and that Sluice does not
/// need: sorting columns, the positions of Bloom filters, and dictionary page offsets of zero.
///
/// Returns None if the footer has no such part or can't be decoded. `footer` has the same form as in
/// [`with_known_types`].
pub(super) fn without_extras(footer: &[u8]) -> Option<Vec<u8>> {
    let metadata = footer.get(MAGIC..footer.len().checked_sub(TAIL)?)?;
    let metadata = lean(metadata).ok().flatten()?;
    let length = u32::try_from(metadata.len()).ok()?;
    let magic = &footer[..MAGIC];
    Some([magic, &metadata, &length.to_le_bytes(), magic].concat())
}

/// Returns the name of the first group of the schema that has no columns, because polars refuses such a schema. Returns
/// None if there is no such group, or the footer can't be decoded. `footer` has the same form as in
/// [`with_known_types`].
pub(super) fn empty_group(footer: &[u8]) -> Option<String> {
    let metadata = footer.get(MAGIC..footer.len().checked_sub(TAIL)?)?;
    let (mut input, _) = input(metadata);
    let schema = FileMetaData::read_from_in_protocol(&mut input).ok()?.schema;
    let is_empty = |field: &SchemaElement| field.type_.is_none() && field.num_children.unwrap_or_default() == 0;
    schema.into_iter().skip(1).find(is_empty).map(|group| group.name)
}

/// Whether the footer of a file, or a part of the file, is encrypted.
pub(super) fn is_encrypted(file: &File) -> bool {
    let tail_at = file.metadata().ok().and_then(|about| about.len().checked_sub(TAIL as u64));
    let mut tail = [0; TAIL];
    if tail_at.is_none_or(|at| file.read_exact_at(&mut tail, at).is_err()) {
        return false;
    }
    if tail.ends_with(&ENCRYPTED) {
        return true;
    }
    let Ok(Some(footer)) = nesting::footer(file) else { return false };
    let (mut input, _) = input(&footer[MAGIC..footer.len() - TAIL]);
    input.read_struct_begin().is_ok() && seek(&mut input, TType::Struct, ENCRYPTION_ALGORITHM).unwrap_or(false)
}

/// Returns a Thrift reader of `metadata`, and the counter of the bytes that the reader has read.
fn input(metadata: &[u8]) -> (Input<'_>, Rc<Cell<usize>>) {
    let read = Rc::new(Cell::new(0));
    let reader = Counted { left: metadata, read: Rc::clone(&read) };
    // the limit exceeds the length, because the protocol counts more bytes for the items of a list than they take
    (TCompactInputProtocol::new(reader, metadata.len().saturating_mul(16)), read)
}

/// Skips the fields of a struct up to the field with this type and number. The next value of `input` is then the value
/// of that field. Returns false if the struct does not have that field.
fn seek(input: &mut Input<'_>, kind: TType, id: i16) -> Result<bool, thrift::Error> {
    loop {
        let field = input.read_field_begin()?;
        if field.field_type == TType::Stop {
            return Ok(false);
        }
        if field.field_type == kind && field.id == Some(id) {
            return Ok(true);
        }
        skip(input, field.field_type, SKIPPED_LEVELS)?;
        input.read_field_end()?;
    }
}

/// Skips a value. The library's own function expects all bytes to be UTF-8, but the bytes of statistics and of
/// encrypted metadata need not be.
fn skip(input: &mut Input<'_>, kind: TType, levels: u8) -> Result<(), thrift::Error> {
    match kind {
        TType::String => input.read_bytes().map(drop),
        TType::Struct if levels > 0 => {
            input.read_struct_begin()?;
            loop {
                let field = input.read_field_begin()?;
                if field.field_type == TType::Stop {
                    return input.read_struct_end();
                }
                skip(input, field.field_type, levels - 1)?;
                input.read_field_end()?;
            }
        }
        TType::List if levels > 0 => {
            let list = input.read_list_begin()?;
            for _ in 0..list.size {
                skip(input, list.element_type, levels - 1)?;
            }
            input.read_list_end()
        }
        other => input.skip(other),
    }
}

/// Returns the metadata of a footer without the parts that [`without_extras`] removes; None if there are no such parts.
fn lean(metadata: &[u8]) -> Result<Option<Vec<u8>>, thrift::Error> {
    let (mut input, read) = input(metadata);
    input.read_struct_begin()?;
    if !seek(&mut input, TType::List, ROW_GROUPS)? {
        return Ok(None);
    }
    let list = input.read_list_begin()?;
    let mut out = metadata[..read.get()].to_vec();
    for _ in 0..list.size {
        copy(&mut input, metadata, &read, &mut out, &[Level::RowGroup, Level::Chunk, Level::Metadata])?;
    }
    out.extend_from_slice(&metadata[read.get()..]);
    Ok(Some(out).filter(|out| out.len() < metadata.len()))
}

/// A struct in the metadata of a footer. The structs of each level contain those of the next level.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    /// The struct `RowGroup`, which contains a list of `ColumnChunk`.
    RowGroup,
    /// The struct `ColumnChunk`, which contains a `ColumnMetaData`.
    Chunk,
    /// The struct `ColumnMetaData`, the last level.
    Metadata,
}

impl Level {
    /// Returns the number of the field that contains the structs of the next level; None at the last level.
    const fn inner(self) -> Option<i16> {
        match self {
            Self::RowGroup => Some(1),
            Self::Chunk => Some(3),
            Self::Metadata => None,
        }
    }

    /// Whether the copy of a struct of this level omits the field with this number and encoded value.
    fn leaves_out(self, id: i16, value: &[u8]) -> bool {
        match self {
            Self::RowGroup => id == SORTING_COLUMNS,
            Self::Chunk => false,
            Self::Metadata => BLOOM_FILTER.contains(&id) || id == DICTIONARY_PAGE_OFFSET && value == [0],
        }
    }
}

/// Copies a struct of the first level in `levels` to `out`, and the structs of the further levels within it. Omits the
/// fields that [`Level::leaves_out`] names.
fn copy(
    input: &mut Input<'_>,
    metadata: &[u8],
    read: &Cell<usize>,
    out: &mut Vec<u8>,
    levels: &[Level],
) -> Result<(), thrift::Error> {
    let Some((level, inner)) = levels.split_first() else { return Ok(()) };
    let mut last = 0;
    input.read_struct_begin()?;
    loop {
        let header = read.get();
        let field = input.read_field_begin()?;
        if field.field_type == TType::Stop {
            break;
        }
        let (begin, id) = (read.get(), field.id.unwrap_or_default());
        let mut value = Vec::new();
        if level.inner() == Some(id) {
            let count = if field.field_type == TType::List { input.read_list_begin()?.size } else { 1 };
            value.extend_from_slice(&metadata[begin..read.get()]);
            for _ in 0..count {
                copy(input, metadata, read, &mut value, inner)?;
            }
        } else {
            skip(input, field.field_type, SKIPPED_LEVELS)?;
            value.extend_from_slice(&metadata[begin..read.get()]);
        }
        input.read_field_end()?;
        if !level.leaves_out(id, &value) {
            write_field(out, &mut last, id, metadata[header] & 0x0f, &value);
        }
    }
    input.read_struct_end()?;
    out.push(0);
    Ok(())
}

/// Returns the metadata of a footer with changed annotations; None if no annotation needs a change.
fn rewritten(metadata: &[u8]) -> Result<Option<Vec<u8>>, thrift::Error> {
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

/// Removes unknown annotations from the fields of a `SchemaElement`, and annotates enumerations and JSON as strings.
/// Returns whether a field has changed.
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

/// Appends a `SchemaElement` with these fields, encoded in the Thrift compact protocol.
fn write(out: &mut Vec<u8>, fields: &[Field<'_>]) {
    let mut last = 0;
    for field in fields {
        write_field(out, &mut last, field.id, field.kind, field.value);
    }
    out.push(0);
}

/// Appends a field in the Thrift compact protocol, in which a field header states the difference from the number of the
/// previous field. `last` holds that number, and is then set to `id`.
fn write_field(out: &mut Vec<u8>, last: &mut i16, id: i16, kind: u8, value: &[u8]) {
    match u8::try_from(id.wrapping_sub(*last)) {
        Ok(delta @ 1..=14) => out.push(delta << 4 | kind),
        _ => {
            out.push(kind);
            varint(out, u32::from((id << 1 ^ id >> 15) as u16));
        }
    }
    out.extend_from_slice(value);
    *last = id;
}

/// Appends a number as a varint of the Thrift compact protocol.
fn varint(out: &mut Vec<u8>, mut number: u32) {
    while number > 0x7f {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

#[cfg(test)]
mod tests {
    use polars_parquet_format::{
        ConvertedType, EnumType, FieldRepetitionType, JsonType, LogicalType, RowGroup, SortingColumn, StringType, Type,
        UUIDType,
        thrift::protocol::{TCompactOutputProtocol, TOutputProtocol},
    };

    use super::*;

    fn leaf(name: &str, kind: Type, converted: Option<ConvertedType>, logical: Option<LogicalType>) -> SchemaElement {
        SchemaElement {
            type_: Some(kind),
            type_length: None,
            repetition_type: Some(FieldRepetitionType::OPTIONAL),
            name: name.to_owned(),
            num_children: None,
            converted_type: converted,
            scale: None,
            precision: None,
            field_id: Some(7),
            logical_type: logical,
        }
    }

    /// Encodes a footer with these columns.
    fn footer(columns: Vec<SchemaElement>) -> Vec<u8> {
        footer_of(columns, vec![])
    }

    /// Encodes a footer with these columns and row groups.
    fn footer_of(columns: Vec<SchemaElement>, row_groups: Vec<RowGroup>) -> Vec<u8> {
        let mut root = leaf("root", Type::INT32, None, None);
        (root.type_, root.num_children) = (None, Some(columns.len() as i32));
        let schema = std::iter::once(root).chain(columns).collect();
        let metadata = FileMetaData {
            version: 2,
            schema,
            num_rows: 3,
            row_groups,
            key_value_metadata: None,
            created_by: Some("a test".to_owned()),
            column_orders: None,
            encryption_algorithm: None,
            footer_signing_key_metadata: None,
        };
        let mut out = b"PAR1".to_vec();
        metadata.write_to_out_protocol(&mut TCompactOutputProtocol::new(&mut out)).unwrap();
        let length = u32::try_from(out.len() - MAGIC).unwrap();
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(b"PAR1");
        out
    }

    /// Decodes a footer, and returns its columns.
    fn columns(footer: &[u8]) -> Vec<SchemaElement> {
        let metadata = &footer[MAGIC..footer.len() - TAIL];
        let mut input = TCompactInputProtocol::new(metadata, 1 << 20);
        let metadata = FileMetaData::read_from_in_protocol(&mut input).unwrap();
        assert_eq!((metadata.num_rows, metadata.created_by.as_deref()), (3, Some("a test")));
        metadata.schema.into_iter().skip(1).collect()
    }

    #[test]
    fn known_annotations_stay_and_texts_become_strings() {
        let string = Some(LogicalType::STRING(StringType {}));
        let uuid = Some(LogicalType::UUID(UUIDType {}));
        let before = footer(vec![
            leaf("plain", Type::INT64, None, None),
            leaf("uuid", Type::FIXED_LEN_BYTE_ARRAY, None, uuid.clone()),
            leaf("json", Type::BYTE_ARRAY, Some(ConvertedType::JSON), Some(LogicalType::JSON(JsonType {}))),
            leaf("enum", Type::BYTE_ARRAY, None, Some(LogicalType::ENUM(EnumType {}))),
            leaf("old", Type::BYTE_ARRAY, Some(ConvertedType::ENUM), None),
        ]);
        let expected = vec![
            leaf("plain", Type::INT64, None, None),
            leaf("uuid", Type::FIXED_LEN_BYTE_ARRAY, None, uuid),
            leaf("json", Type::BYTE_ARRAY, Some(ConvertedType::UTF8), string.clone()),
            leaf("enum", Type::BYTE_ARRAY, None, string),
            leaf("old", Type::BYTE_ARRAY, Some(ConvertedType::UTF8), None),
        ];
        assert_eq!(columns(&with_known_types(before)), expected);
    }

    #[test]
    fn unknown_annotations_are_removed() {
        // a union with the unknown field 40, which is a struct with one field
        let unknown = [0x0c, 80, 0x15, 2, 0, 0];
        let before = footer(vec![
            leaf("a", Type::INT32, Some(ConvertedType(24)), Some(LogicalType::STRING(StringType {}))),
            leaf("b", Type::BYTE_ARRAY, None, Some(LogicalType::STRING(StringType {}))),
        ]);
        let mut foreign = Vec::new();
        let mut strings = 0;
        for at in 0..before.len() {
            // the annotation of `b` becomes an unknown one
            if before[at..].starts_with(&STRING) && before[at - 1] == 0x1c {
                strings += 1;
                if strings == 2 {
                    foreign = [&before[..at], &unknown, &before[at + STRING.len()..]].concat();
                }
            }
        }
        let length = u32::try_from(foreign.len() - MAGIC - TAIL).unwrap().to_le_bytes();
        let place = foreign.len() - TAIL;
        foreign[place..place + 4].copy_from_slice(&length);
        let expected = vec![
            leaf("a", Type::INT32, None, Some(LogicalType::STRING(StringType {}))),
            leaf("b", Type::BYTE_ARRAY, None, None),
        ];
        assert_eq!(columns(&with_known_types(foreign)), expected);
    }

    #[test]
    fn the_order_of_row_groups_is_removed() {
        let group = |rows, sorting_columns: Option<Vec<SortingColumn>>| RowGroup {
            columns: vec![],
            total_byte_size: 12,
            num_rows: rows,
            sorting_columns,
            file_offset: Some(4),
            total_compressed_size: None,
            ordinal: Some(0),
        };
        let of = |groups: Vec<RowGroup>| footer_of(vec![leaf("a", Type::INT32, None, None)], groups);
        let order = || Some(vec![SortingColumn::new(0, true, false)]);
        let before = of(vec![group(1, None), group(2, order()), group(3, order())]);
        let expected = of(vec![group(1, None), group(2, None), group(3, None)]);
        assert_eq!(without_extras(&before), Some(expected.clone()));
        assert_eq!(without_extras(&expected), None);
        for length in 0..before.len() {
            // a truncated footer must not cause a panic
            without_extras(&before[..length]);
        }
    }

    #[test]
    fn other_footers_stay_as_they_are() {
        let known = footer(vec![leaf("a", Type::INT32, Some(ConvertedType::DATE), None)]);
        assert_eq!(with_known_types(known.clone()), known);
        for length in 0..known.len() {
            let damaged = known[..length].to_vec();
            assert_eq!(with_known_types(damaged.clone()), damaged, "{length}");
        }
    }

    #[test]
    fn long_distances_between_fields_are_written_as_the_library_writes_them() {
        for id in [15, 16, 100, 300] {
            let mut expected = Vec::new();
            let mut output = TCompactOutputProtocol::new(&mut expected);
            output.write_struct_begin(&thrift::protocol::TStructIdentifier::new("s")).unwrap();
            output.write_field_begin(&thrift::protocol::TFieldIdentifier::new("f", TType::I32, id)).unwrap();
            output.write_i32(-1).unwrap();
            output.write_field_end().unwrap();
            output.write_field_stop().unwrap();
            output.write_struct_end().unwrap();
            let mut written = Vec::new();
            write(&mut written, &[Field { id, kind: 5, value: &[1], meaning: Meaning::Other }]);
            assert_eq!(written, expected, "{id}");
        }
    }
}
