//! Checks how deeply the columns of a Parquet file are nested. Reads the schema in the footer of the file.
//!
//! The schema is a flat list in depth-first order (`FileMetaData` and `SchemaElement` of the Parquet format). Each
//! group in the list states the number of its children. This module decodes only that list.

use std::{fs::File, os::unix::fs::FileExt};

use polars_parquet_format::thrift::{
    self,
    protocol::{TCompactInputProtocol, TInputProtocol, TType},
};

use super::Deepest;
use crate::dataset::DatasetError;

/// The error for a footer that is not valid Thrift.
const BROKEN: DatasetError = DatasetError::Garbled("the schema of the file is damaged");
/// The last bytes of a Parquet file. The length of the footer precedes them.
const MAGIC: [u8; 4] = *b"PAR1";
/// The number of bytes after a footer: four for the length of the footer, and four for [`MAGIC`].
const TAIL: u64 = 8;

/// The value of `SchemaElement.repetition_type` for a field that may occur any number of times.
const REPEATED: i32 = 2;
/// A group of the schema that is a list or a map. The repeated child of this group stands for the entries, and does not
/// count as a further level of nesting. There is one exception: if the repeated child of a list has several children,
/// each entry counts as a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Collection {
    List,
    Map,
}

impl Collection {
    /// Returns the collection that a value of `SchemaElement.converted_type` states; None if the value states neither a
    /// list nor a map.
    const fn from_converted_type(number: i32) -> Option<Self> {
        match number {
            // 2 is MAP_KEY_VALUE, which old writers use for maps
            1 | 2 => Some(Self::Map),
            3 => Some(Self::List),
            _ => None,
        }
    }

    /// Returns the collection that a member of the union `LogicalType` states; None if the member is neither a list nor
    /// a map. `member` is the Thrift field number of the member.
    const fn from_logical_type(member: Option<i16>) -> Option<Self> {
        match member {
            Some(2) => Some(Self::Map),
            Some(3) => Some(Self::List),
            _ => None,
        }
    }
}

/// Reads the footer of a Parquet file, and checks how deeply the columns are nested. Returns the bytes of a Parquet
/// file with the same footer and without rows: [`MAGIC`], the footer, its length and [`MAGIC`].
///
/// Returns None if the file does not end like a Parquet file. The library that reads the file afterwards reports the
/// damage.
///
/// # Errors
/// When the file can't be read, its schema is damaged, or a column is nested too deeply.
pub(in super::super) fn footer(file: &File) -> Result<Option<Vec<u8>>, DatasetError> {
    let size = file.metadata()?.len();
    let Some(tail_at) = size.checked_sub(TAIL) else { return Ok(None) };
    let mut tail = [0; TAIL as usize];
    file.read_exact_at(&mut tail, tail_at)?;
    let [a, b, c, d, magic @ ..] = tail;
    let length = u64::from(u32::from_le_bytes([a, b, c, d]));
    let Some(begin) = tail_at.checked_sub(length).filter(|_| magic == MAGIC) else { return Ok(None) };
    let mut footer = MAGIC.to_vec();
    let thrift = footer.len()..footer.len() + length as usize;
    footer.resize(thrift.end + TAIL as usize, 0);
    file.read_exact_at(&mut footer[thrift.start..], begin)?;
    check(&footer[thrift])?;
    Ok(Some(footer))
}

/// The decoded fields of a `SchemaElement`. An element is a group, or a field without children.
#[derive(Debug, Default)]
struct Element {
    name: Vec<u8>,
    children: i32,
    is_repeated: bool,
    collection: Option<Collection>,
}

/// A group of the schema whose children are being visited. `children_left` is the number of children that have not been
/// visited yet.
struct Group {
    children_left: i32,
    depth: usize,
    collection: Option<Collection>,
}

/// Returns an error if the schema in a footer has a column that is nested too deeply.
fn check(footer: &[u8]) -> Result<(), DatasetError> {
    let mut deepest = Deepest::default();
    let mut groups: Vec<Group> = Vec::new();
    let mut column = String::new();
    let mut is_root = true;
    let visit = |element: Element| {
        while groups.last().is_some_and(|group| group.children_left <= 0) {
            groups.pop();
        }
        if is_root {
            is_root = false;
            groups.push(Group { children_left: element.children, depth: 0, collection: None });
            return;
        }
        // elements after the end of the root are an error; the library that reads the file afterwards reports it
        let (level, Some(parent)) = (groups.len(), groups.last_mut()) else { return };
        parent.children_left -= 1;
        if level == 1 {
            column = String::from_utf8_lossy(&element.name).into_owned();
        }
        let is_group = element.children > 0;
        let entries_of = parent.collection.filter(|_| element.is_repeated);
        // the repeated child of a list counts as a record if it has several members
        let is_record = entries_of.is_none() || (entries_of == Some(Collection::List) && element.children > 1);
        let of_group = usize::from(is_group && is_record);
        let of_repetition = usize::from(element.is_repeated && entries_of.is_none());
        let depth = parent.depth + of_group + of_repetition;
        deepest.see(&column, depth);
        if is_group {
            let collection = element.collection.filter(|_| !element.is_repeated);
            groups.push(Group { children_left: element.children, depth, collection });
        }
    };
    // the size limit of the decoder must be greater than the length of the footer, because the decoder counts eight
    // bytes for each element of a list, but an element may have only one byte
    let mut input = TCompactInputProtocol::new(footer, footer.len().saturating_mul(16));
    each_element(&mut input, visit).map_err(|_| BROKEN)?;
    deepest.check()
}

/// Decodes the list `FileMetaData.schema` of a footer, and calls `visit` for each element.
fn each_element(input: &mut TCompactInputProtocol<&[u8]>, mut visit: impl FnMut(Element)) -> Result<(), thrift::Error> {
    input.read_struct_begin()?;
    loop {
        let field = input.read_field_begin()?;
        match (field.field_type, field.id) {
            (TType::Stop, _) => return Ok(()),
            (TType::List, Some(2)) => {
                let list = input.read_list_begin()?;
                for _ in 0..list.size {
                    visit(element(input)?);
                }
                return Ok(());
            }
            (kind, _) => input.skip(kind)?,
        }
        input.read_field_end()?;
    }
}

/// Decodes the next `SchemaElement`.
fn element(input: &mut TCompactInputProtocol<&[u8]>) -> Result<Element, thrift::Error> {
    let mut element = Element::default();
    input.read_struct_begin()?;
    loop {
        let field = input.read_field_begin()?;
        match (field.field_type, field.id) {
            (TType::Stop, _) => break,
            (TType::I32, Some(3)) => element.is_repeated = input.read_i32()? == REPEATED,
            (TType::String, Some(4)) => element.name = input.read_bytes()?,
            (TType::I32, Some(5)) => element.children = input.read_i32()?,
            (TType::I32, Some(6)) => {
                element.collection = element.collection.or(Collection::from_converted_type(input.read_i32()?));
            }
            (TType::Struct, Some(10)) => element.collection = logical_collection(input)?.or(element.collection),
            (kind, _) => input.skip(kind)?,
        }
        input.read_field_end()?;
    }
    input.read_struct_end()?;
    Ok(element)
}

/// Decodes the Thrift union `LogicalType`. Returns the list or map that the union states; None if it states neither.
fn logical_collection(input: &mut TCompactInputProtocol<&[u8]>) -> Result<Option<Collection>, thrift::Error> {
    let mut collection = None;
    input.read_struct_begin()?;
    loop {
        let member = input.read_field_begin()?;
        if member.field_type == TType::Stop {
            break;
        }
        collection = collection.or(Collection::from_logical_type(member.id));
        input.skip(member.field_type)?;
        input.read_field_end()?;
    }
    input.read_struct_end()?;
    Ok(collection)
}

#[cfg(test)]
mod tests {
    use polars_parquet_format::{
        ConvertedType, FieldRepetitionType as Repetition, FileMetaData, ListType, LogicalType, MapType, SchemaElement,
        Type, thrift::protocol::TCompactOutputProtocol,
    };

    use super::{super::MAX_DEPTH, *};

    fn group(name: &str, repetition: Repetition, children: i32) -> SchemaElement {
        SchemaElement {
            type_: None,
            type_length: None,
            repetition_type: Some(repetition),
            name: name.to_owned(),
            num_children: Some(children),
            converted_type: None,
            scale: None,
            precision: None,
            field_id: None,
            logical_type: None,
        }
    }

    fn leaf(name: &str, repetition: Repetition) -> SchemaElement {
        SchemaElement { type_: Some(Type::INT32), num_children: None, ..group(name, repetition, 0) }
    }

    fn list(converted: bool) -> SchemaElement {
        let mut list = group("list", Repetition::OPTIONAL, 1);
        if converted {
            list.converted_type = Some(ConvertedType::LIST);
        } else {
            list.logical_type = Some(LogicalType::LIST(ListType {}));
        }
        list
    }

    fn map() -> SchemaElement {
        SchemaElement { logical_type: Some(LogicalType::MAP(MapType {})), ..group("map", Repetition::REQUIRED, 1) }
    }

    /// Encodes a footer with two columns: a plain column, and a column whose value is nested in `depth` copies of
    /// `level`.
    fn footer_of(level: &[SchemaElement], depth: usize) -> Vec<u8> {
        let mut schema = vec![group("root", Repetition::REQUIRED, 2), leaf("plain", Repetition::REQUIRED)];
        schema.extend((0..depth).flat_map(|_| level.to_vec()));
        schema.push(leaf("leaf", Repetition::OPTIONAL));
        if let Some(column) = schema.get_mut(2) {
            column.name = "deep".to_owned();
        }
        let metadata = FileMetaData {
            version: 2,
            schema,
            num_rows: 0,
            row_groups: vec![],
            key_value_metadata: None,
            created_by: Some("a test".to_owned()),
            column_orders: None,
            encryption_algorithm: None,
            footer_signing_key_metadata: None,
        };
        let mut bytes = Vec::new();
        metadata.write_to_out_protocol(&mut TCompactOutputProtocol::new(&mut bytes)).unwrap();
        bytes
    }

    #[test]
    fn every_way_of_writing_lists_maps_and_records_counts_one_level() {
        use Repetition as R;
        let levels: [(&str, Vec<SchemaElement>); 8] = [
            ("a record", vec![group("record", R::OPTIONAL, 1)]),
            ("a list by its converted type", vec![list(true), group("list", R::REPEATED, 1)]),
            ("a list by its logical type", vec![list(false), group("list", R::REPEATED, 1)]),
            ("a map", vec![map(), group("key_value", R::REPEATED, 2), leaf("key", R::REQUIRED)]),
            ("a record with a member before", vec![group("r", R::REQUIRED, 2), leaf("a", R::REQUIRED)]),
            (
                "a list of records of old writers",
                vec![list(true), group("array", R::REPEATED, 2), leaf("a", R::REQUIRED)],
            ),
            ("a repeated record without a list", vec![group("r", R::REPEATED, 1)]),
            ("a repeated record in a record", vec![group("r", R::OPTIONAL, 1), group("r", R::REPEATED, 1)]),
        ];
        let per_level = [1, 1, 1, 1, 1, 2, 2, 3];
        for ((what, level), count) in levels.into_iter().zip(per_level) {
            let most = MAX_DEPTH / count;
            assert!(check(&footer_of(&level, most)).is_ok(), "{what}: {most} are read");
            let error = check(&footer_of(&level, most + 1)).unwrap_err();
            let DatasetError::TooDeep { column, depth } = &error else { panic!("{what}: {error:?}") };
            assert_eq!((column.as_str(), *depth), ("deep", (most + 1) * count), "{what}");
        }
    }

    #[test]
    fn damaged_footers_pass_to_the_library_or_are_refused() {
        let whole = footer_of(&[group("record", Repetition::OPTIONAL, 1)], 3);
        for length in 0..whole.len() {
            match check(&whole[..length]) {
                Ok(()) | Err(DatasetError::Garbled(_)) => {}
                other => panic!("{length}: {other:?}"),
            }
        }
        // more children than elements, and more elements than children
        for children in [i32::MAX, -1, 1] {
            let mut schema = vec![group("root", Repetition::REQUIRED, children)];
            schema.extend((0..3).map(|_| leaf("a", Repetition::REQUIRED)));
            let metadata = FileMetaData {
                version: 2,
                schema,
                num_rows: 0,
                row_groups: vec![],
                key_value_metadata: None,
                created_by: None,
                column_orders: None,
                encryption_algorithm: None,
                footer_signing_key_metadata: None,
            };
            let mut bytes = Vec::new();
            metadata.write_to_out_protocol(&mut TCompactOutputProtocol::new(&mut bytes)).unwrap();
            assert!(check(&bytes).is_ok(), "{children}");
        }
    }
}
