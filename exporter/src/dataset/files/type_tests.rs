//! Tests values whose types match no column type of the catalog. They become text or decimals, from every file format
//! and in every export format.

use std::{
    io::{Cursor, Read},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt;
use platform::clock::SystemClock;
use polars::prelude::{
    CategoricalPhysical, Categories, Column as PolarsColumn, DataFrame, DataType, FrozenCategories, IntoColumn,
    IntoSeries, IpcStreamWriter, IpcWriter, ListChunked, NamedFrom, ParquetReader, ParquetWriter, SerReader, SerWriter,
    Series, StructChunked, TimeUnit,
};
use polars_arrow::{
    array::{Int32Array, UnionArray},
    datatypes::{ArrowDataType, ArrowSchema, Field as ArrowField, UnionMode, UnionType},
    io::ipc::write::{StreamWriter, WriteOptions},
    record_batch::RecordBatchT,
};
use protocol::{
    catalog::{Column, ColumnType},
    delivery::Segment,
    filter::{self, Filter},
};
use serde_json::{Map, Value, json};

use super::{tests::opened, *};
use crate::{
    ExporterConfig,
    dataset::{Dataset, DatasetError, Query},
    error::JobError,
    format::{Compression, Csv, CsvZip, Format, Ndjson, Parquet, Tsv, Xlsx, XlsxZip},
    layout::{Layout, LayoutColumn, Timestamps},
    pipeline::{Pipeline, PipelineLimits},
    progress::Meter,
    segment::SegmentSink,
};

/// Returns a data frame with a column of each type. In the second row, most columns have NULL.
fn frame() -> DataFrame {
    let categories = Categories::new("c".into(), "types".into(), CategoricalPhysical::U32);
    let known = FrozenCategories::new(["low", "high"]).unwrap();
    let text = |name: &str| Series::new(name.into(), [Some("high"), None, Some("low")]);
    let lists: ListChunked =
        [Some(Series::new("".into(), ["a\"b"])), None, Some(Series::new("".into(), [Some("c"), None]))]
            .into_iter()
            .collect();
    let width = DataType::Array(Box::new(DataType::Int64), 2);
    let arrays: ListChunked =
        [Some(Series::new("".into(), [1_i64, 2])), None, Some(Series::new("".into(), [3_i64, 4]))]
            .into_iter()
            .collect();
    let members = [Series::new("k".into(), ["x", "y", "z"]), Series::new("v".into(), [Some(1_i64), None, Some(3)])];
    let records = StructChunked::from_series("record".into(), 3, members.iter()).unwrap();
    let numbers = |name: &str| Series::new(name.into(), [Some(90_000_000_i64), None, Some(1_500)]);
    let columns = vec![
        Series::new("id".into(), [1_i64, 2, 3]).into_column(),
        text("category").cast(&DataType::from_categories(categories)).unwrap().into_column(),
        text("level").cast(&DataType::from_frozen_categories(known)).unwrap().into_column(),
        Series::new("bytes".into(), [Some(&b"\x00\xff"[..]), None, Some(b"")]).into_column(),
        lists.with_name("list".into()).into_series().into_column(),
        arrays.with_name("array".into()).into_series().cast(&width).unwrap().into_column(),
        records.into_series().into_column(),
        numbers("took").cast(&DataType::Duration(TimeUnit::Milliseconds)).unwrap().into_column(),
        PolarsColumn::full_null("nothing".into(), 3, &DataType::Null),
        Series::new("large".into(), [Some(u64::MAX), None, Some(7)]).into_column(),
        numbers("at").cast(&DataType::Time).unwrap().into_column(),
    ];
    DataFrame::new_infer_height(columns).unwrap()
}

const COLUMNS: [&str; 11] =
    ["id", "category", "level", "bytes", "list", "array", "record", "took", "nothing", "large", "at"];

/// The rows of [`frame`] as lines of a CSV file.
const ROWS: [&str; 3] = [
    r#"1,high,high,\x00ff,"[""a\""b""]","[1,2]","{""k"":""x"",""v"":1}",P1DT1H,,18446744073709551615,00:00:00.090"#,
    r#"2,,,,,,"{""k"":""y"",""v"":null}",,,,"#,
    r#"3,low,low,\x,"[""c"",null]","[3,4]","{""k"":""z"",""v"":3}",PT1.5S,,7,00:00:00.000001500"#,
];

/// Writes [`frame`] into a Parquet file, an Arrow file and an Arrow stream, and opens them as datasets.
async fn sources(dir: &Path) -> Vec<Files> {
    let mut parquet = Vec::new();
    ParquetWriter::new(&mut parquet).finish(&mut frame()).unwrap();
    let mut arrow = Vec::new();
    IpcWriter::new(&mut arrow).finish(&mut frame()).unwrap();
    let mut stream = Vec::new();
    IpcStreamWriter::new(&mut stream).finish(&mut frame()).unwrap();
    let mut files = Vec::new();
    for (name, bytes) in [("a.parquet", parquet), ("a.arrow", arrow), ("a.arrows", stream)] {
        std::fs::write(dir.join(name), bytes).unwrap();
        files.push(open(dir, name, &[]).await.unwrap());
    }
    files
}

async fn open(dir: &Path, name: &str, declared: &[Column]) -> Result<Files, DatasetError> {
    opened(name, Location::Local(dir.join(name)), FileKind::from_name(name).unwrap(), declared).await
}

fn asked(files: &Files, filter: &Value) -> Query {
    let filter = filter::parse(filter, &files.info().columns).unwrap();
    let columns = files.info().columns.iter().map(|column| column.name.clone()).collect();
    Query { columns, filter, params: Map::new(), limit: None }
}

#[derive(Default)]
struct Stored(Mutex<Vec<u8>>);

#[async_trait]
impl SegmentSink for Stored {
    async fn store(&self, _: &Segment, chunks: Vec<Bytes>) -> Result<(), JobError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(chunks.concat());
        Ok(())
    }
}

/// Exports the rows that pass a filter in this format, and returns the bytes of the exported file.
pub(super) async fn exported(files: &Files, filter: &Value, format: &dyn Format) -> Result<Vec<u8>, JobError> {
    let stored = Stored::default();
    let columns = files.info().columns.iter().cloned().map(LayoutColumn::plain).collect();
    let layout = Layout::plain(columns);
    let layout = Layout { timestamps: format.info().timestamps(Timestamps::Sidecar), ..layout };
    let limits = PipelineLimits::from(&ExporterConfig::default());
    let pipeline = Pipeline {
        frames: files.open(&asked(files, filter)).await?.frames,
        encoding: format.encoding(&layout, Compression::None, &limits.format)?,
        layout: Arc::new(layout),
        compression: Compression::None,
        requested_at: serde_json::from_value(json!("2026-11-22T15:26:01.123Z"))?,
        meter: Arc::new(Meter::start()),
        limits,
        sink: &stored,
        clock: Arc::new(SystemClock),
    };
    pipeline.run().await?;
    Ok(stored.0.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Returns the joined text of those entries of an archive whose names begin with `below`. `bytes` is the archive.
fn entries(bytes: &[u8], below: &str) -> String {
    let mut archive = ::zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
    let mut content = Vec::new();
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).unwrap();
        if entry.name().unwrap().starts_with(below) {
            entry.read_to_end(&mut content).unwrap();
        }
    }
    String::from_utf8_lossy(&content).into_owned()
}

#[tokio::test]
async fn columns_of_all_types_are_exported_in_all_formats() {
    let dir = tempfile::tempdir().unwrap();
    for files in sources(dir.path()).await {
        let name = files.info().name.clone();
        assert_eq!(
            files.info().columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>(),
            COLUMNS,
            "{name}"
        );
        let kinds: Vec<_> =
            files.info().columns.iter().map(|column| column.kind).filter(|kind| *kind != ColumnType::String).collect();
        assert_eq!(kinds, [ColumnType::Int, ColumnType::Decimal, ColumnType::Time], "{name}");

        let csv = String::from_utf8(exported(&files, &json!({}), &Csv).await.unwrap()).unwrap();
        let lines: Vec<_> = csv.lines().collect();
        assert_eq!(lines, [&[COLUMNS.join(",").as_str()], &ROWS[..]].concat(), "{name}");

        let ndjson = String::from_utf8(exported(&files, &json!({}), &Ndjson).await.unwrap()).unwrap();
        let first: Value = serde_json::from_str(ndjson.lines().next().unwrap()).unwrap();
        let expected = json!({
            "id": 1, "category": "high", "level": "high", "bytes": "\\x00ff", "list": "[\"a\\\"b\"]", "array": "[1,2]",
            "record": "{\"k\":\"x\",\"v\":1}", "took": "P1DT1H", "nothing": null, "large": "18446744073709551615",
            "at": "00:00:00.090",
        });
        assert_eq!(first, expected, "{name}");

        let parquet = exported(&files, &json!({}), &Parquet).await.unwrap();
        let read = ParquetReader::new(Cursor::new(parquet)).finish().unwrap();
        assert_eq!((read.height(), read.column("nothing").unwrap().null_count()), (3, 3));
        assert_eq!(read.column("list").unwrap().str().unwrap().get(0), Some(r#"["a\"b"]"#), "{name}");
        assert_eq!(read.column("large").unwrap().dtype(), &DataType::Decimal(20, 0));

        let xlsx = exported(&files, &json!({}), &Xlsx).await.unwrap();
        let sheet = entries(&xlsx, "xl/worksheets/sheet1");
        for text in ["18446744073709551615", "P1DT1H", "\\x00ff", "[1,2]", "PT1.5S"] {
            assert!(sheet.contains(text), "{name}: {text} is not in {sheet}");
        }
    }
}

#[tokio::test]
async fn filters_test_the_mapped_text_of_a_column() {
    let dir = tempfile::tempdir().unwrap();
    for files in sources(dir.path()).await {
        for (filter, expected) in [
            (json!({"category": {"eq": "low"}}), vec![3]),
            (json!({"level": {"in": ["high", "none"]}}), vec![1]),
            (json!({"level": {"like": "%i%"}}), vec![1]),
            (json!({"bytes": {"eq": "\\x00ff"}}), vec![1]),
            (json!({"list": {"contains": "\"c\""}}), vec![3]),
            (json!({"record": {"like": "{\"k\":\"_\",\"v\":null}"}}), vec![2]),
            (json!({"took": {"ne": "PT1.5S"}}), vec![1]),
            (json!({"array": {"is_null": true}}), vec![2]),
            (json!({"nothing": {"is_null": true}}), vec![1, 2, 3]),
            (json!({"nothing": {"eq": "x"}}), vec![]),
            (json!({"large": {"gt": 7}}), vec![1]),
            (json!({"at": {"lt": "00:00:00.01"}}), vec![3]),
        ] {
            let query = Query { columns: vec!["id".into()], ..asked(&files, &filter) };
            let frames: Vec<_> = files.open(&query).await.unwrap().frames.try_collect().await.unwrap();
            let ids: Vec<i64> = frames
                .iter()
                .flat_map(|f| f.columns()[0].i64().unwrap().iter().flatten().collect::<Vec<_>>())
                .collect();
            assert_eq!(ids, expected, "{} {filter}", files.info().name);
        }
        for wrong in [json!({"list": {"eq": ["c"]}}), json!({"took": {"gt": 5}}), json!({"bytes": {"eq": 1}})] {
            assert!(filter::parse(&wrong, &files.info().columns).is_err(), "{wrong}");
        }
    }
}

#[tokio::test]
async fn an_empty_result_is_a_complete_file_in_each_format() {
    let dir = tempfile::tempdir().unwrap();
    let none = json!({"id": {"gt": 3}});
    for files in sources(dir.path()).await {
        let header = COLUMNS.join(",");
        let text =
            async |format: &dyn Format| String::from_utf8(exported(&files, &none, format).await.unwrap()).unwrap();
        assert_eq!(text(&Csv).await.trim_end(), header);
        assert_eq!(text(&Tsv).await.trim_end(), COLUMNS.join("\t"));
        assert_eq!(text(&Ndjson).await, "");
        let parquet = exported(&files, &none, &Parquet).await.unwrap();
        let read = ParquetReader::new(Cursor::new(parquet)).finish().unwrap();
        assert_eq!(read.shape(), (0, COLUMNS.len()));
        assert!(read.get_column_names().iter().eq(COLUMNS.iter()));
        let sheet = entries(&exported(&files, &none, &Xlsx).await.unwrap(), "xl/worksheets/sheet1");
        assert_eq!(sheet.matches("<row ").count(), 1, "{sheet}");
        assert_eq!(entries(&exported(&files, &none, &CsvZip).await.unwrap(), "part-").trim_end(), header);
        assert!(entries(&exported(&files, &none, &XlsxZip).await.unwrap(), "part-0001.xlsx").len() > 1_000);
    }
}

#[tokio::test]
async fn an_unsupported_column_does_not_affect_other_columns() {
    let dir = tempfile::tempdir().unwrap();
    let fields = vec![ArrowField::new("a".into(), ArrowDataType::Int32, true)];
    let union = ArrowDataType::Union(Box::new(UnionType { fields, ids: None, mode: UnionMode::Dense }));
    let some = Int32Array::from_slice([1, 2]);
    let arrays = [
        UnionArray::new(union.clone(), vec![0_i8, 0].into(), vec![some.clone().boxed()], Some(vec![0, 1].into()))
            .boxed(),
        some.boxed(),
    ];
    let schema: ArrowSchema = [("u", union), ("n", ArrowDataType::Int32)]
        .into_iter()
        .map(|(name, dtype)| ArrowField::new(name.into(), dtype, true))
        .collect();
    let schema = Arc::new(schema);
    let mut writer = StreamWriter::new(
        std::fs::File::create(dir.path().join("u.arrows")).unwrap(),
        WriteOptions { compression: None },
    );
    writer.start(&schema, None).unwrap();
    writer.write(&RecordBatchT::new(2, Arc::clone(&schema), arrays.to_vec()), None).unwrap();
    writer.finish().unwrap();

    let files = open(dir.path(), "u.arrows", &[]).await.unwrap();
    assert_eq!(files.info().columns, [Column::new("n", ColumnType::Int)]);
    assert_eq!(files.column_names().collect::<Vec<_>>(), ["u", "n"], "the check of tenant columns sees all columns");
    let csv = exported(&files, &json!({}), &Csv).await.unwrap();
    assert_eq!(String::from_utf8(csv).unwrap(), "n\n1\n2\n");
    let declared = [Column::new("u", ColumnType::String)];
    let refused = open(dir.path(), "u.arrows", &declared).await.unwrap_err();
    let message = refused.user_message();
    let words = "u.arrows: column `u` is of the unsupported type Union: write it as another type, such as text";
    assert_eq!(message, words);
    let left_out = open(dir.path(), "u.arrows", &[Column::new("n", ColumnType::Int)]).await.unwrap();
    assert_eq!(left_out.info().columns.len(), 1);
}

#[tokio::test]
async fn values_of_rows_that_do_not_pass_cause_no_error_and_are_never_shown() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, n: Series| {
        let tenant = Series::new("tenant".into(), ["acme", "other"]);
        let mut frame = DataFrame::new_infer_height(vec![tenant.into(), n.into()]).unwrap();
        ParquetWriter::new(std::fs::File::create(dir.path().join(name)).unwrap()).finish(&mut frame).unwrap();
    };
    write("a.parquet", Series::new("n".into(), [1_i32, 2]));
    let location = Location::Local(dir.path().join("*.parquet"));
    let files = opened("n", location, FileKind::Parquet, &[]).await.unwrap();
    // a file that is written after the dataset was opened needs a wider type
    write("b.parquet", Series::new("n".into(), [3, 7_777_777_777_i64]));
    let query = |filter: Filter| Query { columns: vec!["n".into()], filter, params: Map::new(), limit: None };
    let own = filter::parse(&json!({"tenant": {"eq": "acme"}}), &files.info().columns).unwrap();
    let frames: Vec<_> = files.open(&query(own)).await.unwrap().frames.try_collect().await.unwrap();
    let numbers: Vec<_> =
        frames.iter().flat_map(|f| f.columns()[0].i32().unwrap().iter().flatten().collect::<Vec<_>>()).collect();
    assert_eq!(numbers, [1, 3]);
    let read: Result<Vec<_>, _> = files.open(&query(Filter::all())).await.unwrap().frames.try_collect().await;
    let error = read.unwrap_err();
    let text = format!("{error} {error:?} {}", error.user_message());
    assert!(text.contains("b.parquet") && text.contains("`n`") && !text.contains("7777777777"), "{text}");
}
