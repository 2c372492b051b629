//! Maps the column types of Parquet and Arrow IPC files to types that filters and all export formats support.
//!
//! Integer types whose values may need more than 64 signed bits become decimals. Some other types become text:
//! categories by their names, bytes as `\x` and hexadecimal digits, durations in ISO 8601, lists and records as JSON. A
//! column of a type without a mapping is unsupported, but the other columns of its file can be read.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use polars::prelude::{
    AnyValue, ArrowDataType, ArrowField, Column, DataType, Schema, SchemaRef, Series, StringChunkedBuilder, UnknownKind,
};
use polars_arrow::{
    array::Array,
    datatypes::{ArrowSchema, UnionType},
};

use super::{
    super::{DatasetError, TextMeaning},
    column_types::column_type,
    dictionaries, readable, text, unsupported,
};
use crate::quiet::{self, catch_panic};

/// The maximum total size, in bytes, of the texts into which the values of all columns of one data frame are converted.
/// Without this limit, dictionary-encoded values could need far more memory in a frame than space in their file.
pub(super) const FRAME_TEXT: usize = 64 << 20;
/// The maximum size of the text of one value, in bytes. If the texts of a single row exceed [`FRAME_TEXT`], the row
/// gets a separate frame, and only this limit applies to it.
const VALUE_TEXT: usize = 256 << 20;
/// The error text for a data frame whose texts exceed its [`TextBudget`].
const EXCEEDS_BUDGET: &str = "a few rows of it are too much text at once";

/// The number of bytes that the texts of all columns of one data frame may still take.
#[derive(Debug)]
pub(super) struct TextBudget {
    left: AtomicUsize,
    rows: usize,
}

impl TextBudget {
    /// Creates a budget of `bytes` bytes for a data frame of `rows` rows. A frame of one row may exceed the budget;
    /// each of its texts may have up to [`VALUE_TEXT`] bytes.
    pub(super) const fn new(bytes: usize, rows: usize) -> Self {
        Self { left: AtomicUsize::new(bytes), rows }
    }

    fn take(&self, bytes: usize) -> Result<(), &'static str> {
        if self.rows > 1 {
            let left = self.left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(bytes));
            left.map(drop).map_err(|_| EXCEEDS_BUDGET)
        } else if bytes > VALUE_TEXT {
            Err("a value of it is more than 256 MiB of text: write the column without such values")
        } else {
            Ok(())
        }
    }
}

/// Whether the error means that the texts of a data frame exceed the frame's [`TextBudget`]. The caller may then read
/// the same rows in smaller frames.
pub(super) fn exceeds_budget(error: &DatasetError) -> bool {
    matches!(error, DatasetError::Value { detail, .. } if *detail == EXCEEDS_BUDGET)
}

/// The columns of a file, with the types to which this module converts them.
#[derive(Clone, Debug, Default)]
pub(super) struct TypeMapping {
    /// All columns with their mapped types. An unsupported column has the type `Unknown`.
    pub(super) schema: SchemaRef,
    /// The unsupported columns: the name of the type in the file, by the name of the column.
    pub(super) unsupported: BTreeMap<String, String>,
    /// The names of the columns that have the type null in the file. All values of such a column are NULL.
    pub(super) nulls: BTreeSet<String>,
    /// The text form to which the values of a column are converted, by the name of the column. The map has only columns
    /// whose values are converted to text.
    pub(super) text_forms: BTreeMap<String, TextForm>,
}

/// The text form to which the values of a column are converted, such as JSON for lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TextForm {
    /// Bytes, as the text `\x` and hexadecimal digits.
    Bytes,
    /// UUIDs, as text in lower case with hyphens.
    Uuid,
    /// Durations, as text in the format of ISO 8601.
    Duration,
    /// Lists, maps and records, as JSON text.
    Json,
}

impl TextForm {
    /// Returns the meaning of texts in this form, for comparisons with claims.
    pub(super) const fn meaning(self) -> TextMeaning {
        match self {
            Self::Uuid => TextMeaning::Uuid,
            Self::Bytes | Self::Duration | Self::Json => TextMeaning::Notation,
        }
    }

    fn of(dtype: &DataType, field: &ArrowField) -> Option<Self> {
        Some(match dtype {
            DataType::Binary | DataType::BinaryOffset if readable::has_uuids(field) => Self::Uuid,
            DataType::Binary | DataType::BinaryOffset => Self::Bytes,
            DataType::Duration(_) => Self::Duration,
            DataType::List(_) | DataType::Array(..) | DataType::Struct(_) => Self::Json,
            _ => return None,
        })
    }
}

impl TypeMapping {
    /// Creates the mapping of the columns of an Arrow schema. The schema must not have extension types (see
    /// [`without_extension`]).
    pub(super) fn of(arrow: &ArrowSchema) -> Self {
        let (mut schema, mut refused) = (Schema::default(), BTreeMap::new());
        let (mut nulls, mut text_forms) = (BTreeSet::new(), BTreeMap::new());
        for field in arrow.iter_values() {
            // polars panics for Arrow types that it does not support
            let readable = readable::field(field);
            let dtype = catch_panic(|_| true, || DataType::from_arrow_field(&readable)).ok();
            if dtype == Some(DataType::Null) {
                nulls.insert(field.name.to_string());
            }
            if let Some(form) = dtype.as_ref().and_then(|dtype| TextForm::of(dtype, field)) {
                text_forms.insert(field.name.to_string(), form);
            }
            let mapped = dtype.as_ref().and_then(mapped);
            if mapped.is_none() {
                refused.insert(field.name.to_string(), unsupported::name(&field.dtype));
            }
            schema.insert(field.name.clone(), mapped.unwrap_or(DataType::Unknown(UnknownKind::Any)));
        }
        Self { schema: Arc::new(schema), unsupported: refused, nulls, text_forms }
    }

    /// Marks a column as unsupported. `type_name` is the name of its type, for error texts.
    pub(super) fn refuse(&mut self, column: &str, type_name: &str) {
        self.unsupported.insert(column.to_owned(), type_name.to_owned());
        Arc::make_mut(&mut self.schema).insert(column.into(), DataType::Unknown(UnknownKind::Any));
    }
}

/// Returns the field with each extension type replaced by its storage type, at any depth. If the extension type is
/// `arrow.uuid`, the field also gets a mark in its metadata, so that its values are read as UUIDs. The storage type may
/// be a dictionary of UUIDs.
pub(super) fn without_extension(field: &ArrowField) -> ArrowField {
    let storage = ArrowField { dtype: storage_type(&field.dtype), ..field.clone() };
    let is_uuid = matches!(&field.dtype, ArrowDataType::Extension(extension) if extension.name == "arrow.uuid");
    let has_size = *dictionaries::values_of(&storage.dtype) == ArrowDataType::FixedSizeBinary(16);
    if is_uuid && has_size { readable::with_uuids(storage) } else { storage }
}

fn storage_type(dtype: &ArrowDataType) -> ArrowDataType {
    let inner = |field: &ArrowField| Box::new(without_extension(field));
    match dtype {
        ArrowDataType::Extension(extension) => storage_type(&extension.inner),
        ArrowDataType::List(field) => ArrowDataType::List(inner(field)),
        ArrowDataType::LargeList(field) => ArrowDataType::LargeList(inner(field)),
        ArrowDataType::FixedSizeList(field, width) => ArrowDataType::FixedSizeList(inner(field), *width),
        ArrowDataType::Map(field, sorted) => ArrowDataType::Map(inner(field), *sorted),
        ArrowDataType::Struct(fields) => ArrowDataType::Struct(fields.iter().map(without_extension).collect()),
        ArrowDataType::Union(union) => {
            let fields = union.fields.iter().map(without_extension).collect();
            ArrowDataType::Union(Box::new(UnionType { fields, ..union.as_ref().clone() }))
        }
        ArrowDataType::Dictionary(key, values, ordered) => {
            ArrowDataType::Dictionary(*key, Box::new(storage_type(values)), *ordered)
        }
        other => other.clone(),
    }
}

/// Returns the type to which values of a polars type are converted; None for an unsupported type.
fn mapped(dtype: &DataType) -> Option<DataType> {
    Some(match dtype {
        DataType::UInt64 => DataType::Decimal(20, 0),
        DataType::Int128 => DataType::Decimal(38, 0),
        DataType::Categorical(..) | DataType::Enum(..) | DataType::Null => DataType::String,
        dtype if is_text(dtype) => {
            if !text::is_supported(dtype) {
                return None;
            }
            DataType::String
        }
        dtype => column_type(dtype).map(|_| dtype.clone())?,
    })
}

/// Whether values of this polars type are converted to text.
const fn is_text(dtype: &DataType) -> bool {
    matches!(
        dtype,
        DataType::Binary
            | DataType::BinaryOffset
            | DataType::Duration(_)
            | DataType::List(_)
            | DataType::Array(..)
            | DataType::Struct(_)
    )
}

/// Builds a column of a data frame from Arrow arrays, and converts the values to the mapped type. `arrays` must come
/// from [`readable::convert`], and `field` from [`readable::field`].
///
/// # Errors
///
/// When the arrays can't be decoded, a number has more than 38 digits, or the texts of the values exceed `budget`.
pub(super) fn column(
    field: &ArrowField,
    arrays: Vec<Box<dyn Array>>,
    budget: &TextBudget,
) -> Result<Column, DatasetError> {
    let read = Series::try_from((field, arrays))?;
    let write = if readable::has_uuids(field) { text::uuid } else { text::write };
    Ok(series(read, budget, write)?.into())
}

/// A function that converts a value to text, and appends the text to a buffer.
type Write = fn(&mut Vec<u8>, &AnyValue<'_>);

fn series(read: Series, budget: &TextBudget, write: Write) -> Result<Series, DatasetError> {
    let dtype = read.dtype().clone();
    Ok(match &dtype {
        DataType::UInt64 | DataType::Int128 => {
            let cast = read.cast(&mapped(&dtype).unwrap_or(DataType::Null))?;
            if cast.null_count() > read.null_count() {
                let detail = "a value has more than 38 digits: write the column as text";
                return Err(DatasetError::Value { column: read.name().to_string(), detail });
            }
            cast
        }
        DataType::Categorical(..) | DataType::Enum(..) => read.cast(&DataType::String)?,
        DataType::Null => Series::full_null(read.name().clone(), read.len(), &DataType::String),
        dtype if is_text(dtype) => texts(&read.rechunk(), budget, write)?,
        _ => read,
    })
}

/// Converts each value of the column `read` to text by the function `write`. NULL stays NULL. The size of each text is
/// subtracted from `budget`.
fn texts(read: &Series, budget: &TextBudget, write: Write) -> Result<Series, DatasetError> {
    let mut builder = StringChunkedBuilder::new(read.name().clone(), read.len());
    let mut text = Vec::new();
    for value in read.iter() {
        if value.is_null() {
            builder.append_null();
            continue;
        }
        text.clear();
        write(&mut text, &value);
        budget.take(text.len()).map_err(|detail| DatasetError::Value { column: read.name().to_string(), detail })?;
        builder.append_value(String::from_utf8_lossy(&text));
    }
    Ok(builder.finish().into())
}

/// Runs the decoder `decode`, and converts a panic of the decoder to an error. Some decoders panic on damaged bytes and
/// on features that they do not support. The function catches only panics of the calling thread, so each decoding
/// thread must call it. The message of a caught panic is not printed to the terminal.
pub(super) fn catch_damage<T>(decode: impl FnOnce() -> Result<T, DatasetError>) -> Result<T, DatasetError> {
    catch_panic(|_| true, decode).unwrap_or_else(|panic| {
        // `todo!` and `unimplemented!` panic with "not yet implemented" and "not implemented"
        let is_lacking = quiet::message(&*panic).starts_with("not ");
        Err(if is_lacking {
            DatasetError::Lacking(
                "the file uses a type or a feature that is not supported: write it with other options",
            )
        } else {
            DatasetError::Garbled(
                "its bytes can't be decoded: the file is damaged, or has a form that is not supported; write it again",
            )
        })
    })
}

#[cfg(test)]
mod tests {
    use polars::prelude::{CategoricalPhysical, Categories, Field, IntoSeries, ListChunked, NamedFrom, TimeUnit, pf16};
    use polars_arrow::array::PrimitiveArray;

    use super::*;

    fn budget() -> TextBudget {
        TextBudget::new(FRAME_TEXT, 100)
    }

    fn shown(read: Series) -> Vec<Option<String>> {
        let mapped = series(read, &budget(), text::write).unwrap();
        mapped.str().unwrap().iter().map(|text| text.map(str::to_owned)).collect()
    }

    #[test]
    fn values_without_a_column_type_become_text() {
        let some = |texts: &[&str]| texts.iter().map(|text| Some((*text).to_owned())).collect::<Vec<_>>();
        let bytes = Series::new("b".into(), [Some(&b"\x00\xffA"[..]), None, Some(b"")]);
        assert_eq!(shown(bytes), [Some("\\x00ff41".to_owned()), None, Some("\\x".to_owned())]);
        let durations = |values: &[i64], unit| Series::new("d".into(), values).cast(&DataType::Duration(unit)).unwrap();
        let micros = [0, 1, -1_500_000, 86_400_000_000, 90_061_000_000, i64::MIN];
        let expected = ["PT0S", "PT0.000001S", "-PT1.5S", "P1D", "P1DT1H1M1S", "-P106751991DT4H54.775808S"];
        assert_eq!(shown(durations(&micros, TimeUnit::Microseconds)), some(&expected));
        assert_eq!(shown(durations(&[60_001, -1], TimeUnit::Milliseconds)), some(&["PT1M0.001S", "-PT0.001S"]));
        assert_eq!(shown(durations(&[1_000_000_007], TimeUnit::Nanoseconds)), some(&["PT1.000000007S"]));
        let categories = Categories::new("c".into(), "test".into(), CategoricalPhysical::U32);
        let names = Series::new("c".into(), ["b", "a", "b"]).cast(&DataType::from_categories(categories)).unwrap();
        assert_eq!(shown(names), some(&["b", "a", "b"]));
        assert_eq!(shown(Series::new_null("n".into(), 2)), [None, None]);
    }

    #[test]
    fn numbers_of_other_widths_become_decimals_and_floats() {
        let large = Series::new("n".into(), [Some(1_i128 << 100), None, Some(-7)]);
        let mapped = series(large, &budget(), text::write).unwrap();
        assert_eq!((mapped.dtype(), mapped.null_count()), (&DataType::Decimal(38, 0), 1));
        assert_eq!(mapped.get(0).unwrap(), AnyValue::Decimal(1 << 100, 38, 0));
        let error = series(Series::new("n".into(), [i128::MAX]), &budget(), text::write).unwrap_err();
        assert_eq!(error.to_string(), "column `n`: a value has more than 38 digits: write the column as text");
        let halves: PrimitiveArray<pf16> = [Some(pf16::from(1.5_f32)), None].into_iter().collect();
        let field = ArrowField::new("h".into(), ArrowDataType::Float16, true);
        let wide = readable::convert(&field, &field.dtype, halves.boxed()).unwrap();
        let read = column(&readable::field(&field), vec![wide], &budget()).unwrap();
        assert_eq!(read.f32().unwrap().iter().collect::<Vec<_>>(), [Some(1.5), None]);
    }

    #[test]
    fn lists_and_records_become_json() {
        let inner = Series::new("".into(), [Some("a\"\n"), None]);
        let empty = Series::new("".into(), Vec::<&str>::new());
        let lists = ListChunked::from_iter([Some(inner), None, Some(empty)]).into_series();
        assert_eq!(shown(lists), [Some("[\"a\\\"\\n\",null]".to_owned()), None, Some("[]".to_owned())]);
        let value = |dtype: &DataType, number: i64| {
            AnyValue::Int64(number).strict_cast(dtype).unwrap_or(AnyValue::Null).into_static()
        };
        let moment = DataType::Datetime(TimeUnit::Milliseconds, None);
        let fields = vec![
            Field::new("n".into(), DataType::Int64),
            Field::new("x".into(), DataType::Float64),
            Field::new("at".into(), moment.clone()),
            Field::new("day".into(), DataType::Date),
            Field::new("l".into(), DataType::List(Box::new(DataType::Int64))),
        ];
        let row = AnyValue::StructOwned(Box::new((
            vec![
                AnyValue::Int64(-7),
                AnyValue::Float64(f64::NAN),
                AnyValue::Datetime(1, TimeUnit::Milliseconds, None),
                AnyValue::Date(1),
                AnyValue::List(Series::new("".into(), [value(&DataType::Int64, 1).extract::<i64>(), None])),
            ],
            fields.clone(),
        )));
        let records =
            Series::from_any_values_and_dtype("r".into(), &[row, AnyValue::Null], &DataType::Struct(fields), true);
        let expected = r#"{"n":-7,"x":"NaN","at":"1970-01-01T00:00:00.001","day":"1970-01-02","l":[1,null]}"#;
        assert_eq!(shown(records.unwrap()), [Some(expected.to_owned()), None]);
    }

    #[test]
    fn the_columns_of_a_frame_share_its_budget_and_a_single_row_may_exceed_it() {
        let bytes = |rows: usize| Series::new("b".into(), vec![&b"four"[..]; rows]);
        // ten bytes each, as text
        let budget = TextBudget::new(35, 2);
        assert_eq!(series(bytes(2), &budget, text::write).unwrap().len(), 2);
        let error = series(bytes(2), &budget, text::write).unwrap_err();
        assert!(exceeds_budget(&error) && error.to_string().starts_with("column `b`"), "{error}");
        assert_eq!(series(bytes(1), &TextBudget::new(1, 1), text::write).unwrap().len(), 1);
        assert!(!exceeds_budget(&DatasetError::Rewritten));
    }

    #[test]
    fn a_panic_of_a_decoder_is_told_apart_from_a_missing_feature() {
        let panic = |decode: &dyn Fn() -> usize| catch_damage(|| Ok(decode())).unwrap_err();
        let empty: Vec<usize> = Vec::new();
        let missing: [&dyn Fn() -> usize; 3] =
            [&|| panic!("not yet implemented"), &|| panic!("not implemented: an encoding"), &|| {
                panic!("not supported")
            }];
        for decode in missing {
            let error = panic(decode);
            assert!(matches!(error, DatasetError::Lacking(_)) && !error.is_transient(), "{error:?}");
            let message = error.user_message();
            assert!(message.contains("not supported") && !message.contains("damaged"), "{message}");
        }
        let broken: [&dyn Fn() -> usize; 4] =
            [&|| empty[7], &|| empty.first().copied().unwrap(), &|| unreachable!(), &|| panic!("nothing is left")];
        for decode in broken {
            let error = panic(decode);
            assert!(matches!(error, DatasetError::Garbled(_)), "{error:?}");
            assert!(
                error.user_message().contains("the file is damaged, or has a form that is not supported"),
                "{error}"
            );
        }
        // errors and results pass unchanged
        assert!(matches!(catch_damage::<()>(|| Err(DatasetError::Rewritten)), Err(DatasetError::Rewritten)));
        assert_eq!(catch_damage(|| Ok(7)).unwrap(), 7);
    }

    #[test]
    fn only_types_without_a_mapping_are_unsupported() {
        let union = polars_arrow::datatypes::UnionType {
            fields: vec![ArrowField::new("a".into(), ArrowDataType::Int32, true)],
            ids: None,
            mode: polars_arrow::datatypes::UnionMode::Dense,
        };
        let extension = polars_arrow::datatypes::ExtensionType {
            name: "arrow.uuid".into(),
            inner: ArrowDataType::FixedSizeBinary(16),
            metadata: None,
        };
        let fields = [
            ("u", ArrowDataType::Union(Box::new(union))),
            ("e", ArrowDataType::Extension(Box::new(extension))),
            ("h", ArrowDataType::Float16),
            ("i", ArrowDataType::UInt64),
        ];
        let schema: ArrowSchema = fields
            .into_iter()
            .map(|(name, dtype)| without_extension(&ArrowField::new(name.into(), dtype, true)))
            .collect();
        let mapping = TypeMapping::of(&schema);
        assert_eq!(mapping.unsupported.keys().collect::<Vec<_>>(), ["u"]);
        let dtypes: Vec<_> = mapping.schema.iter_values().skip(1).cloned().collect();
        assert_eq!(dtypes, [DataType::String, DataType::Float32, DataType::Decimal(20, 0)]);
    }
}
