//! Timestamps of 96 bits (INT96), which Spark, Hive and Impala wrote. Each has the nanoseconds of the day and the Julian
//! day.

use std::{fs::File, path::Path, sync::Arc};

use polars::prelude::{ArrowDataType, ArrowField, ArrowTimeUnit};
use polars_arrow::{array::FixedSizeBinaryArray, datatypes::ArrowSchema, record_batch::RecordBatchT};
use polars_parquet::write::{
    CompressionOptions, Encoding, FileWriter, SchemaDescriptor, StatisticsOptions, Version, WriteOptions,
    row_group_iter, schema_to_metadata_key, to_parquet_schema,
};
use serde_json::json;

use super::{super::type_tests::exported, tests::opened};
use crate::{dataset::Dataset, error::JobError, format::Csv};

/// The Julian day of 1970-01-01.
const EPOCH: u32 = 2_440_588;

/// Writes a file with a column of moments. `stored` is the Arrow type that the footer states; None states no type.
fn write(path: &Path, moments: &[(u64, u32)], stored: Option<ArrowDataType>) {
    let bytes: Vec<u8> =
        moments.iter().flat_map(|(nanos, day)| [&nanos.to_le_bytes()[..], &day.to_le_bytes()].concat()).collect();
    let values = FixedSizeBinaryArray::new(ArrowDataType::FixedSizeBinary(12), bytes.into(), None).boxed();
    let field = |dtype| -> ArrowSchema { [ArrowField::new("at".into(), dtype, false)].into_iter().collect() };
    let arrow = field(ArrowDataType::FixedSizeBinary(12));
    let options = WriteOptions {
        statistics: StatisticsOptions::empty(),
        version: Version::V1,
        compression: CompressionOptions::Uncompressed,
        data_page_size: None,
    };
    let kinds = to_parquet_schema(&arrow).unwrap().fields().to_vec();
    let batch = RecordBatchT::new(moments.len(), Arc::new(arrow.clone()), vec![values]);
    let group = row_group_iter(batch, vec![vec![Encoding::Plain]].into(), kinds, options);
    let descriptor = SchemaDescriptor::try_from_message("message m { required int96 at; }").unwrap();
    let mut writer = FileWriter::new_with_parquet_schema(File::create(path).unwrap(), arrow, descriptor, options);
    writer.write(moments.len() as u64, group).unwrap();
    writer.end(Some(stored.map(|dtype| schema_to_metadata_key(&field(dtype))).into_iter().collect())).unwrap();
}

#[tokio::test]
async fn moments_of_96_bits_are_exact_and_have_the_zone_of_the_arrow_schema() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    let zoned = ArrowDataType::Timestamp(ArrowTimeUnit::Nanosecond, Some("UTC".into()));
    for (stored, end) in [(None, ""), (Some(zoned), "Z")] {
        write(&path, &[(1, EPOCH), (86_399_999_999_999, EPOCH - 1)], stored);
        let files = opened(&path).await.unwrap();
        assert_eq!(files.info().columns[0].local, end.is_empty());
        let csv = String::from_utf8(exported(&files, &json!({}), &Csv).await.unwrap()).unwrap();
        let rows = ["1970-01-01T00:00:00.000000001", "1969-12-31T23:59:59.999999999"].map(|row| format!("{row}{end}"));
        assert_eq!(csv.lines().skip(1).collect::<Vec<_>>(), rows);
    }
    write(&path, &[(0, EPOCH + 200_000)], None);
    let Err(JobError::Dataset(error)) = exported(&opened(&path).await.unwrap(), &json!({}), &Csv).await else {
        panic!("a moment after 2262")
    };
    assert!(error.user_message().contains("column `at`: a moment of 96 bits lies before 1677-09-22"), "{error}");
}
