//! Tests Parquet files whose columns have annotations that polars misreads or does not support. In the CSV output of a
//! single column, NULL is `""`, because CSV readers skip empty lines.

use std::path::Path;

use futures::TryStreamExt;
use polars::prelude::{
    ArrowDataType, ArrowField, ArrowTimeUnit, DataFrame, IntoSeries, ListChunked, NamedFrom, Series,
};
use polars_arrow::datatypes::ArrowSchema;
use polars_parquet::write::schema_to_metadata_key;
use polars_parquet_format::{
    BsonType, ConvertedType, FileMetaData, KeyValue, LogicalType, MicroSeconds, MilliSeconds, NanoSeconds,
    SchemaElement, StringType, TimeType, TimeUnit, TimestampType,
};
use protocol::filter;
use serde_json::{Map, json};

use super::{super::type_tests::exported, footer_tests::write, tests::opened};
use crate::{
    dataset::{Dataset, Query},
    error::JobError,
    format::Csv,
};

/// Exports a Parquet file as CSV, and returns the CSV text.
async fn csv(path: &Path) -> Result<String, String> {
    let files = opened(path).await.map_err(|e| e.user_message())?;
    match exported(&files, &json!({}), &Csv).await {
        Ok(bytes) => Ok(String::from_utf8(bytes).unwrap()),
        Err(JobError::Dataset(error)) => Err(error.user_message()),
        Err(other) => panic!("{other}"),
    }
}

/// The annotations of a leaf column in a Parquet footer.
#[derive(Clone)]
struct Annotation(Option<ConvertedType>, Option<LogicalType>);

impl Annotation {
    fn set(self, leaf: &mut SchemaElement) {
        (leaf.converted_type, leaf.logical_type) = (self.0, self.1);
    }
}

fn time(unit: TimeUnit) -> Annotation {
    Annotation(None, Some(LogicalType::TIME(TimeType { is_adjusted_to_u_t_c: false, unit })))
}

fn timestamp(unit: TimeUnit) -> Annotation {
    Annotation(None, Some(LogicalType::TIMESTAMP(TimestampType { is_adjusted_to_u_t_c: false, unit })))
}

const MILLIS: TimeUnit = TimeUnit::MILLIS(MilliSeconds {});
const MICROS: TimeUnit = TimeUnit::MICROS(MicroSeconds {});
const NANOS: TimeUnit = TimeUnit::NANOS(NanoSeconds {});

/// Stores an Arrow schema with a single column in the Parquet footer. Stores no schema if `stored` is None.
fn store(footer: &mut FileMetaData, stored: Option<&ArrowDataType>) {
    footer.key_value_metadata = stored.map(|dtype| {
        let schema: ArrowSchema = [ArrowField::new("t".into(), dtype.clone(), true)].into_iter().collect();
        let pair = schema_to_metadata_key(&schema);
        vec![KeyValue { key: pair.key, value: pair.value }]
    });
}

#[tokio::test]
async fn times_of_day_are_in_the_unit_of_the_parquet_file_and_end_at_24_00() {
    use ArrowTimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    let in_millis = [
        None,
        Some(ArrowDataType::Time32(Second)),
        Some(ArrowDataType::Time32(Millisecond)),
        Some(ArrowDataType::Time64(Microsecond)),
        Some(ArrowDataType::Time64(Nanosecond)),
    ];
    for stored in &in_millis {
        for annotation in [Annotation(Some(ConvertedType::TIME_MILLIS), None), time(MILLIS)] {
            let write = |last: i32| {
                let values = Series::new("t".into(), [Some(0), Some(3_600_001), None, Some(last)]);
                write(&path, vec![values], |footer| {
                    annotation.clone().set(&mut footer.schema[1]);
                    store(footer, stored.as_ref());
                });
            };
            write(86_400_000);
            assert_eq!(csv(&path).await.unwrap(), "t\n00:00:00\n01:00:00.001\n\"\"\n24:00:00\n", "{stored:?}");
            write(86_400_001);
            let error = csv(&path).await.unwrap_err();
            assert!(
                error.starts_with("a.parquet: column `t`: a time of day is before 00:00 or after 24:00"),
                "{error}"
            );
        }
    }
    for (annotation, factor) in
        [(Annotation(Some(ConvertedType::TIME_MICROS), None), 1), (time(MICROS), 1), (time(NANOS), 1_000)]
    {
        for stored in [None, Some(ArrowDataType::Time64(Microsecond)), Some(ArrowDataType::Time64(Nanosecond))] {
            let write = |last: i64| {
                let values = Series::new("t".into(), [Some(factor), None, Some(last)]);
                write(&path, vec![values], |footer| {
                    annotation.clone().set(&mut footer.schema[1]);
                    store(footer, stored.as_ref());
                });
            };
            write(86_400_000_000 * factor);
            assert_eq!(csv(&path).await.unwrap(), "t\n00:00:00.000001\n\"\"\n24:00:00\n", "{stored:?}");
            write(-1);
            let error = csv(&path).await.unwrap_err();
            assert!(
                error.starts_with("a.parquet: column `t`: a time of day is before 00:00 or after 24:00"),
                "{error}"
            );
        }
    }
}

#[tokio::test]
async fn times_of_day_in_lists_end_at_24_00() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    let item = Series::new("".into(), [Some(1), None, Some(86_400_000)]);
    let list = ListChunked::from_iter([Some(item)]).into_series().with_name("t".into());
    let item = ArrowField::new("item".into(), ArrowDataType::Time32(ArrowTimeUnit::Second), true);
    for stored in [None, Some(ArrowDataType::LargeList(Box::new(item)))] {
        write(&path, vec![list.clone()], |footer| {
            time(MILLIS).set(footer.schema.last_mut().unwrap());
            store(footer, stored.as_ref());
        });
        let expected = "t\n\"[\"\"00:00:00.001\"\",null,\"\"24:00:00\"\"]\"\n";
        assert_eq!(csv(&path).await.unwrap(), expected, "{stored:?}");
    }
}

#[tokio::test]
async fn timestamps_are_in_the_unit_of_the_parquet_file() {
    use ArrowTimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    for (annotation, value, text) in [
        (timestamp(NANOS), 1_000_000_001_i64, "1970-01-01T00:00:01.000000001"),
        (timestamp(MICROS), 253_402_300_799_999_999, "9999-12-31T23:59:59.999999"),
        (timestamp(MILLIS), 253_402_300_799_999, "9999-12-31T23:59:59.999"),
        (Annotation(Some(ConvertedType::TIMESTAMP_MICROS), None), 1_000_001, "1970-01-01T00:00:01.000001"),
        (Annotation(Some(ConvertedType::TIMESTAMP_MILLIS), None), 253_402_300_799_999, "9999-12-31T23:59:59.999"),
    ] {
        for stored in [None, Some(Second), Some(Millisecond), Some(Microsecond), Some(Nanosecond)] {
            let stored = stored.map(|unit| ArrowDataType::Timestamp(unit, None));
            write(&path, vec![Series::new("t".into(), [Some(value), None])], |footer| {
                annotation.clone().set(&mut footer.schema[1]);
                store(footer, stored.as_ref());
            });
            // a converted type alone means UTC, but an Arrow schema without a time zone means local times
            let zone = if annotation.0.is_some() && stored.is_none() { "Z" } else { "" };
            assert_eq!(csv(&path).await.unwrap(), format!("t\n{text}{zone}\n\"\"\n"), "{stored:?}");
        }
    }
}

#[tokio::test]
async fn timestamps_with_a_converted_type_alone_are_in_utc() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    let utc_and_local = [
        Annotation(Some(ConvertedType::TIMESTAMP_MILLIS), None),
        // writers of local times set the old annotation too, and the new one decides
        Annotation(Some(ConvertedType::TIMESTAMP_MILLIS), timestamp(MILLIS).1),
    ];
    for (annotation, local) in utc_and_local.into_iter().zip([false, true]) {
        write(&path, vec![Series::new("t".into(), [1_774_751_400_500_i64])], |footer| {
            annotation.set(&mut footer.schema[1]);
        });
        let files = opened(&path).await.unwrap();
        assert_eq!(files.info().columns[0].local, local);
        let zone = if local { "" } else { "Z" };
        assert_eq!(csv(&path).await.unwrap(), format!("t\n2026-03-29T02:30:00.500{zone}\n"));
        // a filter with another offset finds the moment in UTC, and a local time has no offset
        let filtered = filter::parse(&json!({"t": {"eq": "2026-03-29T04:30:00.500+02:00"}}), &files.info().columns);
        assert_eq!(filtered.is_err(), local);
        if let Ok(filter) = filtered {
            let query = Query { columns: vec!["t".into()], filter, params: Map::new(), limit: None };
            let frames: Vec<_> = files.open(&query).await.unwrap().frames.try_collect().await.unwrap();
            assert_eq!(frames.iter().map(DataFrame::height).sum::<usize>(), 1);
        }
    }
    let item = Series::new("".into(), [Some(1_000_001_i64), None]);
    let list = ListChunked::from_iter([Some(item)]).into_series().with_name("t".into());
    write(&path, vec![list], |footer| {
        Annotation(Some(ConvertedType::TIMESTAMP_MICROS), None).set(footer.schema.last_mut().unwrap());
    });
    assert_eq!(csv(&path).await.unwrap(), "t\n\"[\"\"1970-01-01T00:00:01.000001Z\"\",null]\"\n");
}

/// Replaces the annotation STRING in the footer of a file by `annotation`, other bytes of the Thrift compact protocol.
/// The footer must have exactly one such annotation.
fn with_annotation(path: &Path, annotation: &[u8]) {
    // the field `logicalType` comes after `name`, and its value is a union with the empty struct STRING
    const STRING: [u8; 4] = [0x6c, 0x1c, 0, 0];
    let file = std::fs::read(path).unwrap();
    let end = file.len() - 8;
    let begin = end - u32::from_le_bytes(file[end..end + 4].try_into().unwrap()) as usize;
    let places: Vec<_> = (begin..end).filter(|at| file[*at..].starts_with(&STRING)).collect();
    let [at] = places[..] else { panic!("{places:?}") };
    let footer = [&file[begin..=at], annotation, &file[at + STRING.len()..end]].concat();
    let length = (footer.len() as u32).to_le_bytes();
    std::fs::write(path, [&file[..begin], &footer, &length, b"PAR1"].concat()).unwrap();
}

#[tokio::test]
async fn annotations_of_other_formats_within_bytes_leave_the_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    let bytes = || {
        let bytes = Series::new("t".into(), [Some(&b"\x01\xff{}"[..]), None, Some(b"")]);
        vec![bytes, Series::new("n".into(), [1_i64, 2, 3])]
    };
    let expected = "t,n\n\\x01ff7b7d,1\n,2\n\\x,3\n";
    let bson = Some(LogicalType::BSON(BsonType {}));
    for annotation in [
        Annotation(Some(ConvertedType::BSON), None),
        Annotation(None, bson.clone()),
        Annotation(Some(ConvertedType::BSON), bson),
    ] {
        write(&path, bytes(), |footer| annotation.clone().set(&mut footer.schema[1]));
        assert_eq!(csv(&path).await.unwrap(), expected, "{:?}", annotation.0);
    }
    // GEOMETRY is the field 17 of the union, and GEOGRAPHY the field 18. The members are the coordinate reference system
    // as text, and for GEOGRAPHY the algorithm as number.
    let system = [&[0x18, 9], b"OGC:CRS84".as_slice()].concat();
    let geometry = [0x0c, 34];
    let geography = [0x0c, 36];
    for annotation in [
        [&geometry, [0, 0].as_slice()].concat(),
        [&geometry, system.as_slice(), &[0, 0]].concat(),
        [&geography, [0, 0].as_slice()].concat(),
        [&geography, system.as_slice(), &[0x15, 8, 0, 0]].concat(),
        // only the algorithm
        [&geography, [0x25, 2, 0, 0].as_slice()].concat(),
    ] {
        write(&path, bytes(), |footer| {
            Annotation(None, Some(LogicalType::STRING(StringType {}))).set(&mut footer.schema[1]);
        });
        with_annotation(&path, &annotation);
        assert_eq!(csv(&path).await.unwrap(), expected, "{annotation:?}");
    }
}
