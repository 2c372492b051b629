//! Tests Arrow files with times and dates that polars misreads. Each value is exported exactly or refused.

use std::{fs::File, path::Path, sync::Arc};

use polars::prelude::{
    ArrowDataType, ArrowField, ArrowTimeUnit, Column as PolarsColumn, DataFrame, DataType, IpcWriter, ParquetWriter,
    SerWriter,
};
use polars_arrow::{
    array::{Array, ListArray, PrimitiveArray},
    datatypes::ArrowSchema,
    io::ipc::write::{FileWriter, StreamWriter, WriteOptions},
    record_batch::RecordBatchT,
    types::NativeType,
};
use protocol::catalog::ColumnType;
use serde_json::json;

use super::{tests::opened, type_tests::exported, *};
use crate::{
    dataset::Dataset,
    error::JobError,
    format::{Csv, Ndjson},
};

pub(super) fn column<T: NativeType>(name: &str, dtype: ArrowDataType, values: &[T]) -> (ArrowField, Box<dyn Array>) {
    let array = PrimitiveArray::new(dtype.clone(), values.to_vec().into(), None).boxed();
    (ArrowField::new(name.into(), dtype, true), array)
}

/// Writes columns to an Arrow file or an Arrow stream; the extension of `name` decides which. The schema has the types
/// of the fields. An array may have another type with the same buffers, because polars can't write arrays of all types.
pub(super) fn write(dir: &Path, name: &str, columns: Vec<(ArrowField, Box<dyn Array>)>) {
    let rows = columns[0].1.len();
    let (fields, arrays): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
    let in_batch =
        fields.iter().zip(&arrays).map(|(field, array)| ArrowField { dtype: array.dtype().clone(), ..field.clone() });
    let batch = RecordBatchT::new(rows, Arc::new(in_batch.collect()), arrays);
    let schema: Arc<ArrowSchema> = Arc::new(fields.into_iter().collect());
    let (file, options) = (File::create(dir.join(name)).unwrap(), WriteOptions { compression: None });
    if name.ends_with(".arrows") {
        let mut writer = StreamWriter::new(file, options);
        writer.start(&schema, None).unwrap();
        writer.write(&batch, None).unwrap();
        writer.finish().unwrap();
    } else {
        let mut writer = FileWriter::try_new(file, schema, None, options).unwrap();
        writer.write(&batch, None).unwrap();
        writer.finish().unwrap();
    }
}

/// Writes columns as [`write`] does, and opens the file as a dataset.
pub(super) async fn written(dir: &Path, name: &str, columns: Vec<(ArrowField, Box<dyn Array>)>) -> Files {
    write(dir, name, columns);
    let kind = FileKind::from_name(name).unwrap();
    opened("far", Location::Local(dir.join(name)), kind, &[]).await.unwrap()
}

fn columns() -> Vec<(ArrowField, Box<dyn Array>)> {
    use ArrowTimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    vec![
        column("s", ArrowDataType::Time32(Second), &[0, 86_400]),
        column("ms", ArrowDataType::Time32(Millisecond), &[86_400_000, 1]),
        column("us", ArrowDataType::Time64(Microsecond), &[1_i64, 86_400_000_000]),
        column("ns", ArrowDataType::Time64(Nanosecond), &[86_399_999_999_999_i64, 86_400_000_000_000]),
        column("at", ArrowDataType::Timestamp(Second, None), &[-62_135_596_800_i64, 253_402_300_799]),
        column("n", ArrowDataType::Timestamp(Nanosecond, None), &[1_i64, 1_000_000_001]),
        column("d", ArrowDataType::Date64, &[0_i64, -86_400_000]),
        column("took", ArrowDataType::Duration(Second), &[1_i64, 90_061]),
    ]
}

#[tokio::test]
async fn times_and_dates_are_exact() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["a.arrow", "a.arrows"] {
        let files = written(dir.path(), name, columns()).await;
        let csv = String::from_utf8(exported(&files, &json!({}), &Csv).await.unwrap()).unwrap();
        let expected = [
            "s,ms,us,ns,at,n,d,took",
            "00:00:00,24:00:00,00:00:00.000001,23:59:59.999999999,0001-01-01T00:00:00,1970-01-01T00:00:00.000000001,\
             1970-01-01,PT1S",
            "24:00:00,00:00:00.001,24:00:00,24:00:00,9999-12-31T23:59:59,1970-01-01T00:00:01.000000001,1969-12-31,\
             P1DT1H1M1S",
        ];
        assert_eq!(csv.lines().collect::<Vec<_>>(), expected, "{name}");
        let lines = exported(&files, &json!({"d": {"lt": "1970-01-01"}}), &Ndjson).await.unwrap();
        assert!(String::from_utf8(lines).unwrap().starts_with(r#"{"s":"24:00:00","ms":"00:00:00.001""#));
    }
}

#[tokio::test]
async fn values_beyond_the_texts_are_refused_with_their_column() {
    let dir = tempfile::tempdir().unwrap();
    for (wrong, cause) in [
        (column("c", ArrowDataType::Timestamp(ArrowTimeUnit::Second, None), &[1_i64 << 62]), "a number of seconds"),
        (column("c", ArrowDataType::Date64, &[1_i64]), "a date of 64 bits"),
        (column("c", ArrowDataType::Time32(ArrowTimeUnit::Second), &[86_401]), "a time of day"),
        (column("c", ArrowDataType::Time64(ArrowTimeUnit::Microsecond), &[-1_i64]), "a time of day"),
    ] {
        let files = written(dir.path(), "a.arrow", vec![wrong]).await;
        let Err(JobError::Dataset(error)) = exported(&files, &json!({}), &Csv).await else { panic!("{cause}") };
        let message = error.user_message();
        assert!(message.starts_with(&format!("a.arrow: column `c`: {cause}")), "{message}");
    }
}

#[tokio::test]
async fn times_in_lists_are_checked_too() {
    let dir = tempfile::tempdir().unwrap();
    let list = |times: &[i64]| {
        let (item, values) = column("item", ArrowDataType::Time64(ArrowTimeUnit::Nanosecond), times);
        let dtype = ArrowDataType::LargeList(Box::new(item));
        let offsets = vec![0, times.len() as i64].try_into().unwrap();
        let array = ListArray::<i64>::new(dtype.clone(), offsets, values, None).boxed();
        vec![(ArrowField::new("c".into(), dtype, true), array)]
    };
    let files = written(dir.path(), "a.arrow", list(&[1, 86_400_000_000_000])).await;
    let csv = String::from_utf8(exported(&files, &json!({}), &Csv).await.unwrap()).unwrap();
    assert_eq!(csv, "c\n\"[\"\"00:00:00.000000001\"\",\"\"24:00:00\"\"]\"\n");
    let files = written(dir.path(), "a.arrow", list(&[-1])).await;
    let Err(JobError::Dataset(error)) = exported(&files, &json!({}), &Csv).await else { panic!("a time before 0:00") };
    assert!(error.user_message().starts_with("a.arrow: column `c`: a time of day is before"), "{error}");
}

#[tokio::test]
async fn feather_of_version_1_is_called_so() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("old.feather"), b"FEA1 and the rest FEA1").unwrap();
    let location = Location::Local(dir.path().join("old.feather"));
    let error = opened("old", location, FileKind::Arrow, &[]).await.unwrap_err();
    assert!(error.user_message().contains("Feather version 1, which is not supported"), "{error}");
    assert!(!error.is_transient());
}

#[tokio::test]
async fn a_column_without_values_in_one_file_has_the_type_of_the_other_files() {
    for name in ["parquet", "arrow"] {
        for order in [["a", "b", "c"], ["c", "a", "b"], ["b", "c", "a"]] {
            let dir = tempfile::tempdir().unwrap();
            let write = |file: &str, n: PolarsColumn| {
                let x = PolarsColumn::new("x".into(), [1_i64, 2]);
                let mut frame = DataFrame::new_infer_height(vec![n, x]).unwrap();
                let file = File::create(dir.path().join(format!("{file}.{name}"))).unwrap();
                match name {
                    "parquet" => ParquetWriter::new(file).finish(&mut frame).map(drop).unwrap(),
                    _ => IpcWriter::new(file).finish(&mut frame).unwrap(),
                }
            };
            write(order[0], PolarsColumn::full_null("n".into(), 2, &DataType::Null));
            write(order[1], PolarsColumn::new("n".into(), [5_i32, 6]));
            write(order[2], PolarsColumn::new("n".into(), [Some(7_000_000_000_i64), None]));
            let location = Location::Local(dir.path().join(format!("*.{name}")));
            let kind = if name == "parquet" { FileKind::Parquet } else { FileKind::Arrow };
            let files = opened("n", location, kind, &[]).await.unwrap();
            assert_eq!(files.info().columns[0].kind, ColumnType::Int, "{order:?}");
            let csv = String::from_utf8(exported(&files, &json!({"n": {"gt": 5}}), &Csv).await.unwrap()).unwrap();
            let mut rows: Vec<_> = csv.lines().skip(1).collect();
            rows.sort_unstable();
            assert_eq!(rows, ["6,2", "7000000000,1"], "{name} {order:?}");
            let csv = String::from_utf8(exported(&files, &json!({}), &Csv).await.unwrap()).unwrap();
            assert_eq!(csv.lines().filter(|row| row.starts_with(',')).count(), 3, "{csv}");
        }
    }
}
