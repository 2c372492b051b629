//! Reads nested Parquet columns, that is, lists and records. This module counts the rows that begin in a page, and
//! joins separately decoded leaf columns.

use std::{slice, sync::Arc};

use polars::prelude::{ArrowDataType, ArrowField, DataType, PolarsError, UnknownKind};
use polars_arrow::{
    array::{Array, FixedSizeListArray, ListArray, MapArray, StructArray},
    datatypes::ArrowSchema,
    offset::Offset,
};
use polars_parquet::{
    parquet::{
        encoding::hybrid_rle::{HybridRleChunk, HybridRleDecoder},
        metadata::SchemaDescriptor,
        page::split_buffer,
        read::levels::get_bit_width,
        schema::Repetition,
    },
    read::BasicDecompressor,
};

use super::{
    super::{super::DatasetError, type_mapping::TypeMapping},
    pages::BROKEN,
};

/// The error for a nested column whose leaf columns can't be joined, because their lists or records do not match.
const UNEQUAL: DatasetError = DatasetError::Garbled("the parts of a list or record do not fit each other");

/// Returns the number of rows that begin in the first page of `pages`, and whether this page begins with the remaining
/// values of a row that began in an earlier page.
pub(super) fn rows(mut pages: BasicDecompressor) -> Result<(usize, bool), DatasetError> {
    let page = pages.next().ok_or(BROKEN)?.map_err(PolarsError::from)?;
    let page = page.decompress(&mut pages).map_err(PolarsError::from)?;
    let split = split_buffer(&page).map_err(PolarsError::from)?;
    let levels = HybridRleDecoder::new(split.rep, get_bit_width(page.descriptor.max_rep_level), page.num_values());
    let (mut begun, mut first, mut unpacked) = (0, None, Vec::new());
    for chunk in levels.into_chunk_iter() {
        match chunk.map_err(PolarsError::from)? {
            HybridRleChunk::Rle(_, 0) => {}
            HybridRleChunk::Rle(level, count) => {
                first.get_or_insert(level);
                begun += if level == 0 { count } else { 0 };
            }
            HybridRleChunk::Bitpacked(packed) => {
                unpacked.clear();
                packed.collect_into(&mut unpacked);
                begun += unpacked.iter().filter(|level| **level == 0).count();
                first = first.or_else(|| unpacked.first().copied());
            }
        }
    }
    Ok((begun, first.is_some_and(|level| level > 0)))
}

/// Changes whether the lists in `fields` and their items may be NULL, so that polars expects the definition and
/// repetition levels that the file has. If polars would still expect other levels for a column, marks the column as
/// unsupported in `mapping`, because polars would assign its values to the wrong rows.
pub(super) fn fit(fields: ArrowSchema, mapping: &mut TypeMapping, file: &SchemaDescriptor) -> ArrowSchema {
    let fit = |field: ArrowField| {
        let leaves = file.columns().iter().filter(|leaf| leaf.path_in_schema.first() == Some(&field.name));
        let written: Vec<_> =
            leaves.map(|leaf| (leaf.descriptor.max_def_level, leaf.descriptor.max_rep_level)).collect();
        if !field.dtype.is_nested() && written.iter().all(|(_, repeated)| *repeated == 0) {
            return field;
        }
        let info = file.fields().iter().map(|kind| kind.get_field_info()).find(|info| info.name == field.name);
        let repeated = info.is_some_and(|info| info.repetition == Repetition::Repeated);
        // a repeated field outside of a list has no NULLs; the items of lists by old writers may be NULL
        let fitting = [field.clone(), with_items(&field, !repeated && field.is_nullable, !repeated)];
        if let Some(fitting) = fitting.into_iter().find(|field| levels(field) == written) {
            return fitting;
        }
        Arc::make_mut(&mut mapping.schema).insert(field.name.clone(), DataType::Unknown(UnknownKind::Any));
        mapping.unsupported.insert(field.name.to_string(), "list that is not written as one".to_owned());
        field
    };
    fields.into_iter_values().map(fit).collect()
}

/// Returns a list field with changed nullability. The list may be NULL if `list` is true, and its items may be NULL if
/// `items` is true.
fn with_items(field: &ArrowField, list: bool, items: bool) -> ArrowField {
    let inner = |inner: &ArrowField| Box::new(ArrowField { is_nullable: items, ..inner.clone() });
    let dtype = match &field.dtype {
        ArrowDataType::List(item) => ArrowDataType::List(inner(item)),
        ArrowDataType::LargeList(item) => ArrowDataType::LargeList(inner(item)),
        other => other.clone(),
    };
    ArrowField { dtype, is_nullable: list, ..field.clone() }
}

/// Returns the fields that a nested type contains; empty for any other type.
fn within(dtype: &ArrowDataType) -> &[ArrowField] {
    match dtype {
        ArrowDataType::Struct(fields) => fields,
        ArrowDataType::List(item)
        | ArrowDataType::LargeList(item)
        | ArrowDataType::FixedSizeList(item, _)
        | ArrowDataType::Map(item, _) => slice::from_ref(&**item),
        _ => &[],
    }
}

/// Returns the maximum definition level and the maximum repetition level that polars expects for each leaf column of a
/// field.
fn levels(field: &ArrowField) -> Vec<(i16, i16)> {
    let own = i16::from(field.is_nullable);
    let inner = within(&field.dtype);
    if inner.is_empty() {
        return vec![(own, 0)];
    }
    let list = i16::from(!matches!(field.dtype, ArrowDataType::Struct(_)));
    let inner = inner.iter().flat_map(levels);
    inner.map(|(defined, repeated)| (defined + own + list, repeated + list)).collect()
}

fn leaves(dtype: &ArrowDataType) -> usize {
    match within(dtype) {
        [] => 1,
        inner => inner.iter().map(|field| leaves(&field.dtype)).sum(),
    }
}

/// Returns a nested field with only the leaf column that has the index `leaf`.
pub(super) fn with_one_leaf(field: &ArrowField, mut leaf: usize) -> ArrowField {
    let boxed = |item: &ArrowField, leaf| Box::new(with_one_leaf(item, leaf));
    let dtype = match &field.dtype {
        ArrowDataType::Struct(fields) => {
            let own = fields.iter().find(|field| {
                let count = leaves(&field.dtype);
                let is_here = leaf < count;
                leaf -= if is_here { 0 } else { count };
                is_here
            });
            ArrowDataType::Struct(own.map(|field| with_one_leaf(field, leaf)).into_iter().collect())
        }
        ArrowDataType::List(item) => ArrowDataType::List(boxed(item, leaf)),
        ArrowDataType::LargeList(item) => ArrowDataType::LargeList(boxed(item, leaf)),
        ArrowDataType::FixedSizeList(item, width) => ArrowDataType::FixedSizeList(boxed(item, leaf), *width),
        ArrowDataType::Map(item, sorted) => ArrowDataType::Map(boxed(item, leaf), *sorted),
        other => other.clone(),
    };
    ArrowField { dtype, ..field.clone() }
}

/// Joins the leaf columns of a nested column into one array of the type `dtype`. `parts` has one array for each leaf
/// column, each decoded separately. Each array has the lists and records around its leaf column, but no other leaf
/// column.
pub(super) fn join(dtype: &ArrowDataType, mut parts: Vec<Box<dyn Array>>) -> Result<Box<dyn Array>, DatasetError> {
    Ok(match dtype {
        ArrowDataType::Struct(fields) if !fields.is_empty() => {
            let (length, validity) = parts.first().map(|part| (part.len(), part.validity().cloned())).ok_or(UNEQUAL)?;
            let inner = inner::<StructArray>(&parts, |part| part.values().first().cloned())?;
            let mut inner = inner.into_iter();
            let members = fields.iter().map(|field| {
                let own = inner.by_ref().take(leaves(&field.dtype)).collect();
                join(&field.dtype, own)
            });
            let members = members.collect::<Result<Vec<_>, _>>()?;
            StructArray::try_new(dtype.clone(), length, members, validity)?.boxed()
        }
        ArrowDataType::List(item) => list::<i32>(dtype, item, &parts)?,
        ArrowDataType::LargeList(item) => list::<i64>(dtype, item, &parts)?,
        ArrowDataType::FixedSizeList(item, _) => {
            let (length, validity) = parts.first().map(|part| (part.len(), part.validity().cloned())).ok_or(UNEQUAL)?;
            let values = join(&item.dtype, inner::<FixedSizeListArray>(&parts, |part| Some(part.values().clone()))?)?;
            FixedSizeListArray::try_new(dtype.clone(), length, values, validity)?.boxed()
        }
        ArrowDataType::Map(item, _) => {
            let first = parts.first().and_then(|part| part.as_any().downcast_ref::<MapArray>()).ok_or(UNEQUAL)?;
            let values = join(&item.dtype, inner::<MapArray>(&parts, |part| Some(part.field().clone()))?)?;
            MapArray::try_new(dtype.clone(), first.offsets().clone(), values, first.validity().cloned())?.boxed()
        }
        _ => parts.pop().ok_or(UNEQUAL)?,
    })
}

fn list<O: Offset>(
    dtype: &ArrowDataType,
    item: &ArrowField,
    parts: &[Box<dyn Array>],
) -> Result<Box<dyn Array>, DatasetError> {
    let first = parts.first().and_then(|part| part.as_any().downcast_ref::<ListArray<O>>()).ok_or(UNEQUAL)?;
    let values = join(&item.dtype, inner::<ListArray<O>>(parts, |part| Some(part.values().clone()))?)?;
    Ok(ListArray::try_new(dtype.clone(), first.offsets().clone(), values, first.validity().cloned())?.boxed())
}

/// Returns the child array of each array in `parts`. `of` selects the child.
fn inner<A: Array>(
    parts: &[Box<dyn Array>],
    of: impl Fn(&A) -> Option<Box<dyn Array>>,
) -> Result<Vec<Box<dyn Array>>, DatasetError> {
    let inner = parts.iter().map(|part| part.as_any().downcast_ref().and_then(&of).ok_or(UNEQUAL));
    inner.collect()
}
