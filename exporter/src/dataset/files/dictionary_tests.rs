//! Tests columns with dictionaries of values that polars misreads or does not support. Each value is exported as in a
//! column without a dictionary.

use std::fs::File;

use polars::prelude::{ArrowDataType, ArrowField, ArrowTimeUnit, pf16};
use polars_arrow::{
    array::{Array, DictionaryArray, FixedSizeBinaryArray, ListArray, PrimitiveArray, StructArray, Utf8Array},
    datatypes::{ArrowSchema, ExtensionType, IntegerType},
    record_batch::RecordBatchT,
    types::{NativeType, i256},
};
use polars_parquet::write::{
    CompressionOptions, Encoding, FileWriter, StatisticsOptions, Version, WriteOptions, row_group_iter,
    schema_to_metadata_key, to_parquet_schema,
};
use serde_json::json;

use super::{
    readable_tests::{column, write, written},
    tests::opened,
    type_tests::exported,
    *,
};
use crate::{
    dataset::Dataset,
    error::JobError,
    format::{Csv, Ndjson},
};

const UUIDS: [&str; 2] = ["01020304-0506-0708-090a-0b0c0d0e0f10", "00000000-0000-0000-0000-000000000000"];

fn uuid_values() -> Box<dyn Array> {
    let bytes: Vec<u8> = (1..=16).chain([0; 16]).collect();
    FixedSizeBinaryArray::new(ArrowDataType::FixedSizeBinary(16), bytes.into(), None).boxed()
}

fn uuids_of(storage: ArrowDataType) -> ArrowDataType {
    ArrowDataType::Extension(Box::new(ExtensionType { name: "arrow.uuid".into(), inner: storage, metadata: None }))
}

fn dictionary_type(values: &ArrowDataType) -> ArrowDataType {
    ArrowDataType::Dictionary(IntegerType::Int8, Box::new(values.clone()), false)
}

/// Returns a dictionary array of four rows: the second value, the first, NULL, and the second again.
fn rows_of(dtype: ArrowDataType, values: Box<dyn Array>) -> Box<dyn Array> {
    let keys = PrimitiveArray::<i8>::from([Some(1), Some(0), None, Some(1)]);
    DictionaryArray::try_new(dtype, keys, values).unwrap().boxed()
}

fn dictionary(name: &str, values: Box<dyn Array>) -> (ArrowField, Box<dyn Array>) {
    let dtype = dictionary_type(values.dtype());
    (ArrowField::new(name.into(), dtype.clone(), true), rows_of(dtype, values))
}

fn numbers<T: NativeType>(name: &str, dtype: ArrowDataType, values: [T; 2]) -> (ArrowField, Box<dyn Array>) {
    dictionary(name, column("values", dtype, &values).1)
}

/// Returns a column with a dictionary of two decimals of 256 bits, `values`.
fn wide_decimals(name: &str, dtype: ArrowDataType, values: [i256; 2]) -> (ArrowField, Box<dyn Array>) {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.0.to_le_bytes()).collect();
    let values = FixedSizeBinaryArray::new(ArrowDataType::FixedSizeBinary(32), bytes.into(), None).boxed();
    let (field, array) = dictionary(name, values);
    (ArrowField { dtype: dictionary_type(&dtype), ..field }, array)
}

fn uuids() -> (ArrowField, Box<dyn Array>) {
    let dtype = uuids_of(dictionary_type(&ArrowDataType::FixedSizeBinary(16)));
    (ArrowField::new("id".into(), dtype.clone(), true), rows_of(dtype, uuid_values()))
}

fn columns() -> Vec<(ArrowField, Box<dyn Array>)> {
    use ArrowTimeUnit::{Nanosecond, Second};
    let wide = |number: i128| i256::from_words(0, number);
    vec![
        uuids(),
        dictionary("text", Utf8Array::<i32>::from_slice(["a", "é"]).boxed()),
        dictionary(
            "bytes",
            FixedSizeBinaryArray::new(ArrowDataType::FixedSizeBinary(1), vec![1, 2].into(), None).boxed(),
        ),
        numbers("half", ArrowDataType::Float16, [1.5, 0.1].map(|x: f32| pf16::from(x))),
        numbers("d32", ArrowDataType::Decimal32(5, 2), [150, -7]),
        numbers("d64", ArrowDataType::Decimal64(12, 1), [150_i64, -7]),
        wide_decimals("d256", ArrowDataType::Decimal256(20, 2), [wide(150), wide(1)]),
        wide_decimals("long", ArrowDataType::Decimal256(76, 40), [i256::from_words(1, 0), wide(1)]),
        numbers("time", ArrowDataType::Time32(Second), [1, 86_400]),
        numbers("nanos", ArrowDataType::Time64(Nanosecond), [1_i64, 86_400_000_000_000]),
        numbers("at", ArrowDataType::Timestamp(Second, None), [0_i64, 253_402_300_799]),
        numbers("day", ArrowDataType::Date64, [0_i64, 86_400_000]),
        numbers("took", ArrowDataType::Duration(Second), [1_i64, 60]),
        numbers("n", ArrowDataType::Int64, [5_i64, 6]),
    ]
}

const ROWS: [&str; 4] = [
    "00000000-0000-0000-0000-000000000000,é,\\x02,0.099975586,-0.07,-0.7,0.01,0.0000000000000000000000000000000000000001,24:00:00,24:00:00,\
     9999-12-31T23:59:59,1970-01-02,PT1M,6",
    "01020304-0506-0708-090a-0b0c0d0e0f10,a,\\x01,1.5,1.50,15.0,1.50,0.0340282366920938463463374607431768211456,00:00:01,\
     00:00:00.000000001,1970-01-01T00:00:00,1970-01-01,PT1S,5",
    ",,,,,,,,,,,,,",
    "00000000-0000-0000-0000-000000000000,é,\\x02,0.099975586,-0.07,-0.7,0.01,0.0000000000000000000000000000000000000001,24:00:00,24:00:00,\
     9999-12-31T23:59:59,1970-01-02,PT1M,6",
];

#[tokio::test]
async fn values_of_dictionaries_are_exported_as_without_a_dictionary() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["a.arrow", "a.arrows"] {
        let files = written(dir.path(), name, columns()).await;
        assert_eq!(files.info().notes, Vec::<String>::new());
        let csv = String::from_utf8(exported(&files, &json!({}), &Csv).await.unwrap()).unwrap();
        assert_eq!(csv.lines().skip(1).collect::<Vec<_>>(), ROWS, "{name}");
        let one = exported(&files, &json!({"id": {"eq": UUIDS[0]}, "time": {"lt": "00:00:02"}}), &Csv).await.unwrap();
        assert_eq!(String::from_utf8(one).unwrap().lines().skip(1).collect::<Vec<_>>(), [ROWS[1]], "{name}");
    }
}

#[tokio::test]
async fn dictionaries_in_lists_and_records_are_converted_too() {
    let dir = tempfile::tempdir().unwrap();
    let (members, arrays): (Vec<_>, Vec<_>) = columns().into_iter().unzip();
    let names: Vec<_> = members.iter().map(|member| member.name.to_string()).collect();
    let list_of = |members: Vec<ArrowField>| {
        let record = ArrowDataType::Struct(members);
        (record.clone(), ArrowDataType::List(Box::new(ArrowField::new("item".into(), record, true))))
    };
    let in_arrays = members.iter().zip(&arrays);
    let in_arrays = in_arrays.map(|(member, array)| ArrowField { dtype: array.dtype().clone(), ..member.clone() });
    let (record, list) = list_of(in_arrays.collect());
    let records = StructArray::new(record, 4, arrays, None).boxed();
    let offsets = vec![0, 1, 2, 3, 4].try_into().unwrap();
    let array = ListArray::<i32>::new(list, offsets, records, None).boxed();
    let dtype = list_of(members).1;
    for name in ["a.arrow", "a.arrows"] {
        let field = ArrowField::new("l".into(), dtype.clone(), true);
        let files = written(dir.path(), name, vec![(field, array.clone())]).await;
        let lines = String::from_utf8(exported(&files, &json!({}), &Ndjson).await.unwrap()).unwrap();
        for (line, row) in lines.lines().zip(ROWS) {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let list: serde_json::Value = serde_json::from_str(line["l"].as_str().unwrap()).unwrap();
            for (name, text) in names.iter().zip(row.split(',')) {
                let found = match &list[0][name] {
                    serde_json::Value::Null => String::new(),
                    serde_json::Value::String(text) => text.clone(),
                    other => other.to_string(),
                };
                assert_eq!(found, text, "{name}");
            }
        }
        assert_eq!(lines.lines().count(), 4);
    }
}

#[tokio::test]
async fn a_parquet_file_whose_arrow_schema_has_a_dictionary_of_uuids_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let plain = ArrowField::new("id".into(), ArrowDataType::FixedSizeBinary(16), false);
    let schema: ArrowSchema = [plain].into_iter().collect();
    let options = WriteOptions {
        statistics: StatisticsOptions::empty(),
        version: Version::V1,
        compression: CompressionOptions::Uncompressed,
        data_page_size: None,
    };
    let kinds = to_parquet_schema(&schema).unwrap().fields().to_vec();
    let stored = ArrowField { dtype: uuids().0.dtype, ..schema.get("id").unwrap().clone() };
    let stored: ArrowSchema = [stored].into_iter().collect();
    let batch = RecordBatchT::new(2, std::sync::Arc::new(schema.clone()), vec![uuid_values()]);
    let group = row_group_iter(batch, vec![vec![Encoding::Plain]].into(), kinds, options);
    let mut writer = FileWriter::try_new(File::create(dir.path().join("a.parquet")).unwrap(), schema, options).unwrap();
    writer.write(2, group).unwrap();
    writer.end(Some(vec![schema_to_metadata_key(&stored)])).unwrap();
    let files = opened("u", Location::Local(dir.path().join("a.parquet")), FileKind::Parquet, &[]).await.unwrap();
    let csv = String::from_utf8(exported(&files, &json!({}), &Csv).await.unwrap()).unwrap();
    assert_eq!(csv.lines().skip(1).collect::<Vec<_>>(), UUIDS);
}

#[tokio::test]
async fn a_text_that_is_not_utf8_is_refused_with_its_column() {
    let dir = tempfile::tempdir().unwrap();
    let marker = "MARKER";
    let text = |name: &str| {
        let array = Utf8Array::<i32>::from_slice(["a", marker]).boxed();
        (ArrowField::new(name.into(), ArrowDataType::Utf8, true), array)
    };
    let mut views = text("c");
    views.0.dtype = ArrowDataType::Utf8View;
    views.1 = polars_arrow::array::Utf8ViewArray::from_slice_values(["a", marker]).boxed();
    let mut list = text("c");
    let dtype = ArrowDataType::List(Box::new(list.0.clone()));
    list.1 = ListArray::<i32>::new(dtype.clone(), vec![0, 1, 2].try_into().unwrap(), list.1, None).boxed();
    list.0.dtype = dtype;
    let in_dictionary = {
        let values = text("v").1;
        let dtype = dictionary_type(values.dtype());
        let keys = PrimitiveArray::<i8>::from_vec(vec![0, 1]);
        let array = DictionaryArray::try_new(dtype.clone(), keys, values).unwrap().boxed();
        (ArrowField::new("c".into(), dtype, true), array)
    };
    for broken in [text("c"), views, list, in_dictionary] {
        for name in ["a.arrow", "a.arrows"] {
            let other = (text("other").0, Utf8Array::<i32>::from_slice(["x", "y"]).boxed());
            write(dir.path(), name, vec![other, broken.clone()]);
            let path = dir.path().join(name);
            let mut bytes = std::fs::read(&path).unwrap();
            let at = bytes.windows(marker.len()).position(|window| window == marker.as_bytes()).unwrap();
            bytes[at] = 0xff;
            std::fs::write(&path, bytes).unwrap();
            let location = Location::Local(path);
            let files = opened("t", location, FileKind::Arrow, &[]).await.unwrap();
            let Err(JobError::Dataset(error)) = exported(&files, &json!({}), &Csv).await else { panic!("{name}") };
            let message = error.user_message();
            assert_eq!(
                message,
                format!(
                    "{name}: column `c`: a text is not UTF-8: write the texts of the column in UTF-8, or the column as binary"
                ),
                "{:?}",
                broken.0.dtype
            );
            // the other column can be exported
            let declared = [protocol::catalog::Column::new("other", protocol::catalog::ColumnType::String)];
            let location = Location::Local(dir.path().join(name));
            let files = opened("t", location, FileKind::Arrow, &declared).await.unwrap();
            assert_eq!(exported(&files, &json!({}), &Csv).await.unwrap(), b"other\nx\ny\n");
        }
    }
}
