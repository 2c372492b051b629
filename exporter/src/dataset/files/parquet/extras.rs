//! Removes sorting columns, the positions of Bloom filters, and dictionary page offsets of zero from a Parquet footer.
//! Some writers encode these parts against the specification, and Sluice does not need them.

use std::cell::Cell;

use polars_parquet_format::thrift::{
    self,
    protocol::{TInputProtocol, TType},
};

use super::thrift_fields::{Input, SKIPPED_LEVELS, input, seek, skip, write_field};

/// The number of the field `FileMetaData.row_groups`.
const ROW_GROUPS: i16 = 4;
/// The number of the field `RowGroup.sorting_columns`.
const SORTING_COLUMNS: i16 = 4;
/// The number of the field `ColumnMetaData.dictionary_page_offset`.
const DICTIONARY_PAGE_OFFSET: i16 = 11;
/// The numbers of the fields `ColumnMetaData.bloom_filter_offset` and `bloom_filter_length`.
const BLOOM_FILTER: [i16; 2] = [14, 15];

/// Returns the metadata of a footer without sorting columns, the positions of Bloom filters, and dictionary page
/// offsets of zero. Returns None if the metadata has none of these parts.
pub(super) fn lean(metadata: &[u8]) -> Result<Option<Vec<u8>>, thrift::Error> {
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

/// A struct in the metadata of a footer, by its level of nesting. A struct of one level contains structs of the next
/// level.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    /// The struct `RowGroup`, which contains a list of `ColumnChunk`.
    RowGroup,
    /// The struct `ColumnChunk`, which contains a `ColumnMetaData`.
    Chunk,
    /// The struct `ColumnMetaData`, which is the innermost level.
    Metadata,
}

impl Level {
    /// Returns the number of the field with the structs of the next level; None at the last level.
    const fn inner(self) -> Option<i16> {
        match self {
            Self::RowGroup => Some(1),
            Self::Chunk => Some(3),
            Self::Metadata => None,
        }
    }

    /// Whether [`copy`] omits a field from a struct of this level. `id` is the number of the field, and `value` its
    /// encoded value.
    fn leaves_out(self, id: i16, value: &[u8]) -> bool {
        match self {
            Self::RowGroup => id == SORTING_COLUMNS,
            Self::Chunk => false,
            Self::Metadata => BLOOM_FILTER.contains(&id) || id == DICTIONARY_PAGE_OFFSET && value == [0],
        }
    }
}

/// Copies the next struct of `input` to `out`, including the structs within it. Omits the fields for which
/// [`Level::leaves_out`] is true. `input` reads from `metadata`, and `read` is the number of bytes that it has read.
/// The first item of `levels` is the level of this struct. The other items are the deeper levels, in order.
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
