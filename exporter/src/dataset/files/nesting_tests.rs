//! Tests that columns with the maximum depth of nesting are read from files of every format. Deeper columns are refused
//! with an error that states the maximum.

use std::{fs::File, path::Path, sync::Arc};

use futures::TryStreamExt;
use polars::prelude::{
    Column as PolarsColumn, DataFrame, DataType, IntoSeries, IpcStreamWriter, IpcWriter, ListChunked, NamedFrom,
    ParquetWriter, SerWriter, Series, StructChunked,
};
use polars_arrow::{
    array::{Array, Int64Array, MapArray, StructArray, Utf8Array},
    datatypes::{ArrowDataType, ArrowSchema, Field as ArrowField},
    io::ipc::write::{StreamWriter, WriteOptions},
    record_batch::RecordBatchT,
};
use protocol::filter::{self, Filter};
use serde_json::Map;

use super::{nesting::MAX_DEPTH, tests::opened, *};
use crate::dataset::{Dataset, DatasetError, Query};

/// A list, a list of fixed length or a record around the value of a test column.
#[derive(Clone, Copy, Debug)]
enum Level {
    List,
    Array,
    Record,
}

impl Level {
    fn around(self, inner: Series) -> Series {
        let list = |inner: Series| ListChunked::from_iter([Some(inner)]).into_series();
        match self {
            Self::List => list(inner),
            Self::Array => {
                let dtype = DataType::Array(Box::new(inner.dtype().clone()), 1);
                list(inner).cast(&dtype).unwrap()
            }
            Self::Record => StructChunked::from_series("".into(), 1, [inner].iter()).unwrap().into_series(),
        }
        .with_name("m".into())
    }

    /// Returns the JSON text of a value in this list or record. `inner` is the JSON text of the inner value.
    fn text(self, inner: &str) -> String {
        match self {
            Self::List | Self::Array => format!("[{inner}]"),
            Self::Record => format!("{{\"m\":{inner}}}"),
        }
    }
}

/// Returns a data frame of one row with a plain column, and a column that is nested `depth` levels deep. Also returns
/// the text of the nested value.
fn frame(levels: &[Level], depth: usize) -> (DataFrame, String) {
    let (mut series, mut text) = (Series::new("m".into(), [7_i64]), "7".to_owned());
    for level in levels.iter().cycle().take(depth) {
        series = level.around(series);
        text = level.text(&text);
    }
    let deep = series.with_name("deep".into()).into();
    (DataFrame::new_infer_height(vec![PolarsColumn::new("n".into(), [1_i64]), deep]).unwrap(), text)
}

fn write(dir: &Path, name: &str, frame: &mut DataFrame) {
    let file = File::create(dir.join(name)).unwrap();
    match name {
        "a.parquet" => drop(ParquetWriter::new(file).finish(frame).unwrap()),
        "a.arrow" => IpcWriter::new(file).finish(frame).unwrap(),
        _ => IpcStreamWriter::new(file).finish(frame).unwrap(),
    }
}

async fn open(dir: &Path, name: &str) -> Result<Files, DatasetError> {
    opened("nested", Location::Local(dir.join(name)), FileKind::from_name(name).unwrap(), &[]).await
}

/// Returns the text of the only row of the column `deep`.
async fn value(files: &Files) -> Result<String, DatasetError> {
    let query = Query { columns: vec!["deep".into()], filter: Filter::all(), params: Map::new(), limit: None };
    let frames: Vec<_> = files.open(&query).await?.frames.try_collect().await?;
    Ok(frames[0].column("deep").unwrap().str().unwrap().get(0).unwrap().to_owned())
}

const REFUSAL: &str =
    "column `deep` is nested 33 levels deep, and at most 32 are read: flatten it, or store it as text";

#[tokio::test(flavor = "multi_thread")]
async fn columns_of_32_levels_are_read_and_of_33_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    // a level of arrays between levels of lists, because the debug build of polars needs exponential time for nested
    // arrays
    let kinds: [&[Level]; 3] = [&[Level::List], &[Level::Record], &[Level::List, Level::Record, Level::Array]];
    for levels in kinds {
        for name in ["a.parquet", "a.arrow", "a.arrows"] {
            let (mut deep, text) = frame(levels, MAX_DEPTH);
            write(dir.path(), name, &mut deep);
            let files = open(dir.path(), name).await.unwrap();
            assert_eq!(value(&files).await.unwrap(), text, "{name} {levels:?}");

            // an open dataset is refused too when a deeper file replaces its file
            write(dir.path(), name, &mut frame(levels, MAX_DEPTH + 1).0);
            let replaced = value(&files).await.unwrap_err();
            let refused = open(dir.path(), name).await.unwrap_err();
            for error in [replaced, refused] {
                assert_eq!(error.user_message(), format!("{name}: {REFUSAL}"), "{levels:?}");
                assert!(!error.is_transient(), "a retry reads the same file");
            }
        }
    }
}

/// Runs `code` in a thread with a large stack, because the libraries that write files are recursive.
fn with_large_stack<T: Send>(code: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(1 << 30).spawn_scoped(scope, code);
        thread.unwrap().join().unwrap()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_100_levels_are_refused_at_the_load_and_by_an_export() {
    let dir = tempfile::tempdir().unwrap();
    let kinds: [&[Level]; 3] = [&[Level::List], &[Level::Record], &[Level::List, Level::Record]];
    for levels in kinds {
        for name in ["a.parquet", "a.arrow", "a.arrows"] {
            write(dir.path(), name, &mut frame(levels, 1).0);
            let files = open(dir.path(), name).await.unwrap();
            with_large_stack(|| write(dir.path(), name, &mut frame(levels, 100).0));
            let replaced = value(&files).await.unwrap_err();
            let refused = open(dir.path(), name).await.unwrap_err();
            for error in [replaced, refused] {
                let message = error.user_message();
                assert!(message.starts_with(&format!("{name}: column `deep` is nested ")), "{levels:?}: {message}");
                assert!(message.ends_with("at most 32 are read: flatten it, or store it as text"), "{message}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_of_32_levels_select_rows_and_deeper_ones_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "a.parquet", &mut frame(&[], 0).0);
    let files = open(dir.path(), "a.parquet").await.unwrap();
    let wrapped = |levels: usize, name: &str| {
        (0..levels).fold(serde_json::json!({"n": {"eq": 1}}), |inner, _| match name {
            "not" => serde_json::json!({"not": inner}),
            list => serde_json::json!({list: [inner, {"n": {"eq": 1}}]}),
        })
    };
    for name in ["not", "and", "or"] {
        let filter = filter::parse(&wrapped(MAX_DEPTH, name), &files.info().columns).unwrap();
        let query = Query { columns: vec!["n".into()], filter, params: Map::new(), limit: None };
        let frames: Vec<_> = files.open(&query).await.unwrap().frames.try_collect().await.unwrap();
        assert_eq!(frames.iter().map(DataFrame::height).sum::<usize>(), 1, "{name}");
        let errors = filter::parse(&wrapped(MAX_DEPTH + 1, name), &files.info().columns).unwrap_err();
        // both members of the deepest list are too deep
        let expected = if name == "not" { 1 } else { 2 };
        let details: Vec<_> = errors.iter().map(|error| error.detail.as_str()).collect();
        assert_eq!(details, vec!["a filter may nest at most 32 levels"; expected], "{name}");
    }
}

/// Returns the Arrow type of a number in `depth` nested maps.
fn maps(depth: usize) -> ArrowDataType {
    (0..depth).fold(ArrowDataType::Int64, |inner, _| {
        let members = vec![
            ArrowField::new("key".into(), ArrowDataType::LargeUtf8, false),
            ArrowField::new("value".into(), inner, true),
        ];
        ArrowDataType::Map(Box::new(ArrowField::new("entries".into(), ArrowDataType::Struct(members), false)), false)
    })
}

/// Returns an array of one row: a number in `depth` nested maps, each with the key `k`.
fn map_values(depth: usize) -> Box<dyn Array> {
    (1..=depth).fold(Int64Array::from_slice([7]).boxed(), |inner, depth| {
        let dtype = maps(depth);
        let ArrowDataType::Map(entries, _) = &dtype else { unreachable!("a map") };
        let keys = Utf8Array::<i64>::from_slice(["k"]).boxed();
        let entries = StructArray::new(entries.dtype.clone(), 1, vec![keys, inner], None).boxed();
        MapArray::new(dtype, vec![0, 1].try_into().unwrap(), entries, None).boxed()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn maps_count_one_level_although_they_have_entries() {
    let dir = tempfile::tempdir().unwrap();
    let write = |depth: usize| {
        let field = ArrowField::new("deep".into(), maps(depth), true);
        let schema: Arc<ArrowSchema> = Arc::new([field].into_iter().collect());
        let file = File::create(dir.path().join("a.arrows")).unwrap();
        let mut writer = StreamWriter::new(file, WriteOptions { compression: None });
        writer.start(&schema, None).unwrap();
        writer.write(&RecordBatchT::new(1, schema, vec![map_values(depth)]), None).unwrap();
        writer.finish().unwrap();
    };
    write(MAX_DEPTH);
    let text = value(&open(dir.path(), "a.arrows").await.unwrap()).await.unwrap();
    let opening = "[{\"key\":\"k\",\"value\":".repeat(MAX_DEPTH);
    assert_eq!(text, format!("{opening}7{}", "}]".repeat(MAX_DEPTH)));
    write(MAX_DEPTH + 1);
    let error = open(dir.path(), "a.arrows").await.unwrap_err();
    assert_eq!(error.user_message(), format!("a.arrows: {REFUSAL}"));
}

#[tokio::test]
async fn members_of_32_levels_are_read_from_ndjson_and_of_33_are_refused_with_their_line() {
    let dir = tempfile::tempdir().unwrap();
    let line =
        |depth: usize| format!("{{\"n\":1,\"deep\":{}7{}}}\n", "[{\"m\":".repeat(depth / 2), "}]".repeat(depth / 2));
    let write = |text: String| std::fs::write(dir.path().join("a.ndjson"), text).unwrap();
    write(line(MAX_DEPTH));
    let files = open(dir.path(), "a.ndjson").await.unwrap();
    assert_eq!(value(&files).await.unwrap().matches('[').count(), MAX_DEPTH / 2);
    let deeper = line(MAX_DEPTH).replace('7', "[7]");
    write(format!("{}\n{deeper}", line(MAX_DEPTH)));
    for error in [open(dir.path(), "a.ndjson").await.unwrap_err(), value(&files).await.unwrap_err()] {
        assert_eq!(error.user_message(), format!("a.ndjson: line 3: {REFUSAL}"));
    }
}
