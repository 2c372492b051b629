//! The types with which polars reads the columns of an Arrow IPC file. They differ from the types of the file where
//! polars refuses a column, or can't skip it. Both types have the same buffers.
//!
//! | type of the file | type that polars reads |
//! |---|---|
//! | texts | bytes, so that [`convert`](super::readable::convert) names the column of a text that is not UTF-8 |
//! | sparse unions | records, because polars can't skip the column of a sparse union |

use polars::prelude::{ArrowDataType, ArrowField};
use polars_arrow::{
    array::{Array, BinaryArray, BinaryViewArray, MutableBinaryViewArray, Utf8Array},
    datatypes::{ArrowSchema, UnionType},
    offset::Offset,
};

/// The reason why a value can't be converted, as a text without the value.
type Cause = &'static str;
const NOT_UTF8: Cause = "a text is not UTF-8: write the texts of the column in UTF-8, or the column as binary";

/// Returns the schema with which polars reads the columns of a file. `schema` has the types of the file, without
/// extension types.
pub(super) fn of(schema: &ArrowSchema) -> ArrowSchema {
    schema.iter_values().map(field).collect()
}

fn field(field: &ArrowField) -> ArrowField {
    ArrowField { dtype: dtype(&field.dtype), ..field.clone() }
}

fn dtype(dtype: &ArrowDataType) -> ArrowDataType {
    use ArrowDataType as Type;
    let boxed = |inner: &ArrowField| Box::new(field(inner));
    match dtype {
        Type::Utf8 => Type::Binary,
        Type::LargeUtf8 => Type::LargeBinary,
        Type::Utf8View => Type::BinaryView,
        Type::List(item) => Type::List(boxed(item)),
        Type::LargeList(item) => Type::LargeList(boxed(item)),
        Type::FixedSizeList(item, width) => Type::FixedSizeList(boxed(item), *width),
        Type::Map(entries, sorted) => Type::Map(boxed(entries), *sorted),
        Type::Struct(members) => Type::Struct(members.iter().map(field).collect()),
        Type::Union(union) => {
            let fields = union.fields.iter().map(field).collect();
            if union.mode.is_sparse() {
                Type::Struct(fields)
            } else {
                Type::Union(Box::new(UnionType { fields, ..union.as_ref().clone() }))
            }
        }
        Type::Dictionary(key, values, ordered) => Type::Dictionary(*key, Box::new(self::dtype(values)), *ordered),
        other => other.clone(),
    }
}

/// Converts an array of bytes to texts, if polars read the bytes in place of texts. Returns any other array unchanged.
///
/// # Errors
///
/// When the bytes are not UTF-8.
pub(super) fn texts(array: &dyn Array) -> Result<Box<dyn Array>, Cause> {
    let any = array.as_any();
    if let Some(bytes) = any.downcast_ref::<BinaryArray<i32>>() {
        return with_offsets(bytes, ArrowDataType::Utf8);
    }
    if let Some(bytes) = any.downcast_ref::<BinaryArray<i64>>() {
        return with_offsets(bytes, ArrowDataType::LargeUtf8);
    }
    let Some(views) = any.downcast_ref::<BinaryViewArray>() else { return Ok(array.to_boxed()) };
    if let Ok(texts) = views.to_utf8view() {
        return Ok(texts.boxed());
    }
    // the bytes below a NULL need not be UTF-8
    let mut texts = MutableBinaryViewArray::<str>::with_capacity(views.len());
    for value in views.iter() {
        texts.push(value.map(std::str::from_utf8).transpose().map_err(|_| NOT_UTF8)?);
    }
    Ok(texts.freeze().boxed())
}

fn with_offsets<O: Offset>(bytes: &BinaryArray<O>, dtype: ArrowDataType) -> Result<Box<dyn Array>, Cause> {
    let (offsets, values) = (bytes.offsets().clone(), bytes.values().clone());
    if let Ok(texts) = Utf8Array::<O>::try_new(dtype, offsets, values, bytes.validity().cloned()) {
        return Ok(texts.boxed());
    }
    // the bytes below a NULL need not be UTF-8
    let texts = bytes.iter().map(|value| value.map(std::str::from_utf8).transpose().map_err(|_| NOT_UTF8));
    let texts = texts.collect::<Result<Vec<_>, _>>()?;
    Ok(Utf8Array::<O>::from(texts).boxed())
}

#[cfg(test)]
mod tests {
    use polars_arrow::{array::Utf8ViewArray, bitmap::Bitmap};

    use super::*;

    #[test]
    fn only_bytes_that_are_values_must_be_utf8() {
        let bytes = BinaryArray::<i32>::from([Some(&b"\xff"[..]), Some("é".as_bytes())]);
        let views = BinaryViewArray::from_slice([Some(&b"\xff"[..]), Some("é".as_bytes())]);
        assert_eq!(texts(&bytes).unwrap_err(), NOT_UTF8);
        assert_eq!(texts(&views).unwrap_err(), NOT_UTF8);
        let hidden = || Some(Bitmap::from([false, true]));
        let found = texts(&*bytes.with_validity(hidden()).boxed()).unwrap();
        let found = found.as_any().downcast_ref::<Utf8Array<i32>>().unwrap();
        assert_eq!(found.iter().collect::<Vec<_>>(), [None, Some("é")]);
        let found = texts(&*views.with_validity(hidden()).boxed()).unwrap();
        let found = found.as_any().downcast_ref::<Utf8ViewArray>().unwrap();
        assert_eq!(found.iter().collect::<Vec<_>>(), [None, Some("é")]);
    }
}
