//! Removes column annotations that polars does not support from a Parquet footer, before polars reads the footer.
//!
//! An annotation (`SchemaElement.logicalType`, or `converted_type` in older files) defines the meaning of a column's
//! bytes. Readers must ignore an unknown annotation and read the column by its physical type (LogicalTypes.md of the
//! Parquet format), but polars refuses the whole file.
//!
//! This module also annotates enumerations and JSON as strings, because polars would read them as bytes.

use std::{fs::File, os::unix::fs::FileExt};

use polars_parquet_format::{
    FileMetaData, SchemaElement,
    thrift::protocol::{TInputProtocol, TType},
};

use super::{
    super::nesting,
    annotations::rewritten,
    extras::lean,
    thrift_fields::{input, seek},
};

/// The length of the magic number at the beginning of a Parquet file, in bytes.
const MAGIC: usize = 4;
/// The number of bytes after a footer: four for the length of the footer, and four for the magic number.
const TAIL: usize = 8;

/// The number of the field `FileMetaData.encryption_algorithm`.
const ENCRYPTION_ALGORITHM: i16 = 8;
/// The magic number at the end of a file with an encrypted footer.
const ENCRYPTED: [u8; 4] = *b"PARE";

/// Returns a footer without the annotations that polars does not support, and with enumerations and JSON annotated as
/// strings. `footer` has the form of a file without rows: the magic number, the footer, its length and the magic number
/// again. A footer that can't be decoded is returned unchanged, so that polars reports the damage.
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

/// Returns the name of the schema's first group without columns, because polars refuses a schema with such a group.
/// Returns None if there is no such group, or if the footer can't be decoded. `footer` has the same form as in
/// [`with_known_types`].
pub(super) fn empty_group(footer: &[u8]) -> Option<String> {
    let metadata = footer.get(MAGIC..footer.len().checked_sub(TAIL)?)?;
    let (mut input, _) = input(metadata);
    let schema = FileMetaData::read_from_in_protocol(&mut input).ok()?.schema;
    let is_empty = |field: &SchemaElement| field.type_.is_none() && field.num_children.unwrap_or_default() == 0;
    schema.into_iter().skip(1).find(is_empty).map(|group| group.name)
}

/// Whether the footer of a file, or a part of the file, is encrypted. Returns false if the file can't be read or its
/// footer can't be decoded.
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

#[cfg(test)]
mod tests {
    use polars_parquet_format::{
        ConvertedType, EnumType, FieldRepetitionType, JsonType, LogicalType, RowGroup, SortingColumn, StringType, Type,
        UUIDType,
        thrift::protocol::{TCompactInputProtocol, TCompactOutputProtocol},
    };

    use super::{super::annotations::STRING, *};

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

    /// Encodes a Parquet footer that has only these columns.
    fn footer(columns: Vec<SchemaElement>) -> Vec<u8> {
        footer_of(columns, vec![])
    }

    /// Encodes a Parquet footer with these columns and row groups.
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

    /// Decodes a Parquet footer, and returns its columns.
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
}
