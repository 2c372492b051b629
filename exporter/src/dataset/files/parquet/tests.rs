//! Tests that reading in row windows returns every row of a Parquet file, no matter how pages divide the rows.
//! Truncated, overwritten and damaged files are errors.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::FileExt,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures::TryStreamExt;
use polars::prelude::{
    AnyValue, ArrowDataType, ArrowField, Column as PolarsColumn, DataFrame, IntoColumn, IntoSeries, ListChunked,
    NamedFrom, ParquetCompression, ParquetReader, ParquetWriter, SerReader, Series, StatisticsOptions, StructChunked,
};
use polars_arrow::{
    array::{ListArray, PrimitiveArray},
    datatypes::ArrowSchema,
    record_batch::RecordBatchT,
};
use polars_parquet::write::{
    CompressionOptions, Encoding, FileWriter, SchemaDescriptor, Version, WriteOptions, row_group_iter,
    to_parquet_schema,
};
use protocol::filter::{self, Filter};
use serde_json::{Map, json};

use super::{
    super::{FileKind, Files, Location, columns},
    *,
};
use crate::dataset::{Dataset, DatasetInfo, Precision, Query, estimate_rows};

/// Returns a dataset of one Parquet file.
pub(super) async fn opened(path: &Path) -> Result<Files, DatasetError> {
    Files::open(Location::Local(path.to_owned()), FileKind::Parquet, DatasetInfo::new("a", Vec::new())).await
}

fn is_rewritten(error: &DatasetError) -> bool {
    matches!(error, DatasetError::InFile { source, .. } if matches!(**source, DatasetError::Rewritten))
}

/// Returns `count` pseudorandom numbers, the same in each test.
fn numbers(count: usize) -> Vec<u64> {
    let mut seed = 42_u64;
    let next = move |_| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        seed >> 20
    };
    (0..count).map(next).collect()
}

/// Returns a data frame of `rows` rows, whose columns get several encodings and have some NULLs.
fn mixed(rows: usize) -> DataFrame {
    let numbers = numbers(rows);
    let some = |at: usize| !at.is_multiple_of(5);
    let each = || numbers.iter().copied().enumerate();
    let lists: ListChunked = each()
        .map(|(at, n)| some(at).then(|| Series::new("".into(), (0..n % 4).map(|i| n + i).collect::<Vec<_>>())))
        .collect();
    DataFrame::new_infer_height(vec![
        PolarsColumn::new("at".into(), (0..rows as i64).collect::<Vec<_>>()),
        PolarsColumn::new("n".into(), each().map(|(at, n)| some(at).then_some(n as i64)).collect::<Vec<_>>()),
        PolarsColumn::new("x".into(), each().map(|(_, n)| n as f64 / 7.0).collect::<Vec<_>>()),
        PolarsColumn::new(
            "word".into(),
            each().map(|(at, n)| some(at).then(|| format!("w{}", n % 9))).collect::<Vec<_>>(),
        ),
        PolarsColumn::new("text".into(), each().map(|(_, n)| format!("text {n}")).collect::<Vec<_>>()),
        PolarsColumn::new("flag".into(), each().map(|(at, n)| some(at).then_some(n % 2 == 0)).collect::<Vec<_>>()),
        lists.with_name("list".into()).into_series().into_column(),
    ])
    .unwrap()
}

fn write(path: &Path, frame: &DataFrame, group: usize, page: usize, compression: ParquetCompression) {
    ParquetWriter::new(File::create(path).unwrap())
        .with_row_group_size(Some(group))
        .with_data_page_size(Some(page))
        .with_statistics(StatisticsOptions::full())
        .with_compression(compression)
        .finish(&mut frame.clone())
        .unwrap();
}

fn query(columns: &[&str], limit: Option<u64>) -> Query {
    Query {
        columns: columns.iter().map(ToString::to_string).collect(),
        filter: Filter::all(),
        params: Map::new(),
        limit,
    }
}

#[test]
fn windows_give_the_rows_of_the_file_whatever_its_pages() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    let frame = mixed(20_000);
    let columns: Vec<_> = frame.columns().iter().map(|column| column.name().to_string()).collect();
    for compression in [ParquetCompression::Zstd(None), ParquetCompression::Uncompressed, ParquetCompression::Snappy] {
        for (group, page) in [(20_000, 2_000), (7_000, 500), (900, 1 << 20)] {
            write(&path, &frame, group, page, compression);
            let mut expected = ParquetReader::new(File::open(&path).unwrap()).finish().unwrap();
            let list = expected.column("list").unwrap().as_materialized_series().clone();
            expected.replace("list", expected_text(&list)).unwrap();
            let windows = Windows::open(File::open(&path).unwrap()).unwrap();
            for few in [None, Some(3_001), Some(617)] {
                let mut read: Option<DataFrame> = None;
                for window in windows.plan(&columns, few) {
                    for chunk in windows.chunks(window, &columns).unwrap() {
                        let part = windows.read(&chunk, &columns).unwrap();
                        assert!(few.is_none_or(|few| part.height() <= few), "{} rows", part.height());
                        match &mut read {
                            None => read = Some(part),
                            Some(read) => drop(read.vstack_mut_owned(part).unwrap()),
                        }
                    }
                }
                assert!(read.unwrap().equals_missing(&expected), "{compression:?} {group} {page} {few:?}");
            }
        }
    }
}

/// Returns the text to which the type mapping converts each list.
fn expected_text(lists: &Series) -> PolarsColumn {
    let texts = lists.iter().map(|list| match list {
        AnyValue::List(list) => {
            let numbers = list.u64().unwrap().iter().map(|n| n.unwrap().to_string()).collect::<Vec<_>>();
            Some(format!("[{}]", numbers.join(",")))
        }
        _ => None,
    });
    PolarsColumn::new("list".into(), texts.collect::<Vec<_>>())
}

/// Returns a data frame with two columns: `record`, whose values are records, and `many`, whose values are lists of
/// such records. A record has a number, a text and a list. The pages of the leaf columns begin with different rows.
fn records(rows: usize) -> DataFrame {
    let numbers = numbers(rows);
    let texts: Vec<_> = numbers.iter().map(|n| (n % 5 > 0).then(|| format!("{n}").repeat((n % 9) as usize))).collect();
    let lists: ListChunked = numbers
        .iter()
        .map(|n| {
            (n % 7 > 0)
                .then(|| Series::new("".into(), (0..n % 5).map(|i| (i % 3 > 0).then_some(n + i)).collect::<Vec<_>>()))
        })
        .collect();
    let members = [
        Series::new("n".into(), numbers.clone()),
        Series::new("text".into(), texts),
        lists.with_name("list".into()).into_series(),
    ];
    let record = StructChunked::from_series("record".into(), rows, members.iter()).unwrap().into_series();
    let many: ListChunked = numbers
        .iter()
        .enumerate()
        .map(|(at, n)| (n % 6 > 0).then(|| record.slice(at as i64, (n % 4) as usize)))
        .collect();
    let many = many.with_name("many".into()).into_series();
    DataFrame::new_infer_height(vec![record.into_column(), many.into_column()]).unwrap()
}

/// Reads these columns of a file in row windows of at most `few` rows.
fn in_windows(windows: &Windows, columns: &[String], few: usize) -> DataFrame {
    let mut read: Option<DataFrame> = None;
    for window in windows.plan(columns, Some(few)) {
        let take = &mut |chunk: &Window| {
            let part = windows.read(chunk, columns)?;
            match &mut read {
                None => read = Some(part),
                Some(read) => drop(read.vstack_mut_owned(part)?),
            }
            Ok(true)
        };
        assert!(windows.each(window, columns, take).unwrap());
    }
    read.unwrap()
}

#[test]
fn windows_over_lists_and_records_read_only_their_own_pages() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    let (rows, columns) = (12_000, ["record".to_owned(), "many".to_owned()]);
    for compression in [ParquetCompression::Zstd(None), ParquetCompression::Uncompressed] {
        write(&path, &records(rows), rows, 2_000, compression);
        let size = std::fs::metadata(&path).unwrap().len() as usize;
        let windows = || Windows::open(File::open(&path).unwrap()).unwrap();
        // windows of whole row groups are the reference
        let whole = in_windows(&windows(), &columns, rows);
        assert_eq!(whole.height(), rows);
        for few in [5_000, 300] {
            let windows = windows();
            assert!(in_windows(&windows, &columns, few).equals_missing(&whole), "{few}");
            let copied = windows.copied.load(std::sync::atomic::Ordering::Relaxed);
            // a page is copied once to count its rows and once to decode it, and some pages belong to two windows
            assert!(copied <= 3 * size, "{copied} of {size} bytes, {few} rows");
        }
    }
}

#[tokio::test]
async fn text_much_larger_than_its_pages_comes_in_frames_of_bounded_size() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    let cells: Vec<Vec<u8>> = (0..16_u8).map(|n| vec![n; 1_500]).collect();
    let values: Vec<&[u8]> = (0..40_000).map(|at| cells[at % 16].as_slice()).collect();
    let frame = DataFrame::new_infer_height(vec![PolarsColumn::new("b".into(), values)]).unwrap();
    // the groups are so small that one window has them all
    write(&path, &frame, 10_000, 1 << 20, ParquetCompression::Uncompressed);
    let size = std::fs::metadata(&path).unwrap().len() as usize;
    let file = opened(&path).await.unwrap();
    let mut frames = file.open(&query(&["b"], None)).await.unwrap().frames;
    let (mut seen, mut sum) = (0, 0);
    while let Some(frame) = frames.try_next().await.unwrap() {
        let texts = frame.column("b").unwrap().str().unwrap();
        let bytes = texts.str_len_bytes_sum();
        assert!(bytes <= 64 << 20, "{bytes} bytes in a frame");
        for text in texts.iter() {
            assert_eq!(text.unwrap().get(..4), Some(format!("\\x{:02x}", seen % 16).as_str()));
            seen += 1;
        }
        sum += bytes;
    }
    assert_eq!(seen, 40_000);
    assert!(sum > 200 * size, "{sum} bytes of text from {size}");
}

#[test]
fn a_row_that_exceeds_the_text_budget_comes_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    // the third row exceeds the budget
    let lists: ListChunked = [3, 5, 2_000, 4, 0, 1]
        .into_iter()
        .map(|items: u64| Some(Series::new("".into(), (0..items).map(|_| 100_u64).collect::<Vec<_>>())))
        .collect();
    let lists = lists.with_name("list".into()).into_series().into_column();
    let texts = expected_text(lists.as_materialized_series());
    write(&path, &DataFrame::new_infer_height(vec![lists]).unwrap(), 4, 1 << 20, ParquetCompression::Uncompressed);
    let mut windows = Windows::open(File::open(&path).unwrap()).unwrap();
    windows.text_budget = 40;
    let columns = ["list".to_owned()];
    let mut heights = Vec::new();
    for window in windows.plan(&columns, None) {
        let take = &mut |part: &Window| {
            heights.push(windows.read(part, &columns)?.height());
            Ok(true)
        };
        assert!(windows.each(window, &columns, take).unwrap());
    }
    assert_eq!(heights, [1, 1, 1, 3]);
    let read = in_windows(&windows, &columns, 6);
    assert!(read.column("list").unwrap().equals_missing(&texts));
}

/// Writes lists of numbers into a Parquet file with the schema `schema`. The definition and repetition levels are the
/// same as for lists without NULLs.
fn write_as(path: &Path, schema: &str, lists: &[Vec<i32>]) {
    let item = ArrowField::new("element".into(), ArrowDataType::Int32, false);
    let dtype = ArrowDataType::LargeList(Box::new(item));
    let ends = lists.iter().scan(0, |at, list| {
        *at += list.len() as i64;
        Some(*at)
    });
    let offsets: Vec<i64> = std::iter::once(0).chain(ends).collect();
    let values = PrimitiveArray::<i32>::from_vec(lists.concat()).boxed();
    let array = ListArray::<i64>::new(dtype.clone(), offsets.try_into().unwrap(), values, None);
    let ids = PrimitiveArray::<i64>::from_vec((0..lists.len() as i64).collect());
    let fields =
        [ArrowField::new("id".into(), ArrowDataType::Int64, false), ArrowField::new("xs".into(), dtype, false)];
    let arrow: ArrowSchema = fields.into_iter().collect();
    let options = WriteOptions {
        statistics: polars_parquet::write::StatisticsOptions::empty(),
        version: Version::V1,
        compression: CompressionOptions::Uncompressed,
        data_page_size: Some(400),
    };
    let kinds = to_parquet_schema(&arrow).unwrap().fields().to_vec();
    let batch = RecordBatchT::new(lists.len(), Arc::new(arrow.clone()), vec![ids.boxed(), array.boxed()]);
    let group = row_group_iter(batch, vec![vec![Encoding::Plain]; 2].into(), kinds, options);
    let descriptor = SchemaDescriptor::try_from_message(schema).unwrap();
    let mut writer = FileWriter::new_with_parquet_schema(File::create(path).unwrap(), arrow, descriptor, options);
    writer.write(lists.len() as u64, group).unwrap();
    writer.end(Some(Vec::new())).unwrap();
}

#[test]
fn a_repeated_field_without_a_list_is_read_row_by_row() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    let lists: Vec<Vec<i32>> = (0..3_000).map(|row| (0..row % 4).map(|item| row * 10 + item).collect()).collect();
    write_as(&path, "message m { required int64 id; repeated int32 xs; }", &lists);
    let windows = Windows::open(File::open(&path).unwrap()).unwrap();
    let columns = ["id".to_owned(), "xs".to_owned()];
    for few in [3_000, 700, 13] {
        let read = in_windows(&windows, &columns, few);
        let texts = read.column("xs").unwrap().str().unwrap();
        for (row, text) in texts.iter().enumerate() {
            let items: Vec<_> = lists[row].iter().map(ToString::to_string).collect();
            assert_eq!(text, Some(format!("[{}]", items.join(",")).as_str()), "row {row} of {few}");
        }
        assert_eq!(read.height(), 3_000);
    }
}

#[test]
fn a_list_with_unexpected_levels_is_unsupported_and_other_columns_work() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    write_as(&path, "message m { required int64 id; required group xs { repeated int32 x; } }", &[vec![1], vec![2, 3]]);
    let windows = Windows::open(File::open(&path).unwrap()).unwrap();
    assert_eq!(windows.mapping().unsupported.keys().collect::<Vec<_>>(), ["xs"]);
    let known = columns::columns("m", windows.mapping(), &[]).unwrap();
    assert_eq!(known.0.iter().map(|column| column.name.as_str()).collect::<Vec<_>>(), ["id"]);
    let window = windows.plan(&["id".to_owned()], None).remove(0);
    assert!(matches!(windows.read(&window, &["xs".to_owned()]), Err(DatasetError::Unsupported { .. })));
    assert_eq!(windows.read(&window, &["id".to_owned()]).unwrap().height(), 2);
}

#[tokio::test]
async fn huge_values_make_no_huge_window() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    let cell = |n: usize, bytes: usize| format!("{n:08}").repeat(bytes / 8);
    // first all rows are large, and then many small rows before the large rows lower the average
    for (small, large) in [(0, 300), (20_000, 300)] {
        let texts: Vec<_> = (0..small).map(|n| cell(n, 16)).chain((0..large).map(|n| cell(n, 512 << 10))).collect();
        let rows = texts.len();
        let frame = DataFrame::new_infer_height(vec![PolarsColumn::new("text".into(), texts)]).unwrap();
        // a page is the smallest unit that is decoded, and the pages of the large rows have some MiB
        write(&path, &frame, rows, 64 << 10, ParquetCompression::Zstd(None));
        drop(frame);
        let file = opened(&path).await.unwrap();
        let mut frames = file.open(&query(&["text"], None)).await.unwrap().frames;
        let (mut seen, mut most) = (0, 0);
        while let Some(frame) = frames.try_next().await.unwrap() {
            let lengths = frame.column("text").unwrap().str().unwrap().str_len_bytes_sum();
            most = most.max(lengths);
            seen += frame.height();
        }
        assert_eq!(seen, rows);
        assert!(most <= 34 << 20, "{most} bytes in a window");
    }
}

/// Sums the lengths of the texts of a column, in bytes.
trait Lengths {
    fn str_len_bytes_sum(&self) -> usize;
}

impl Lengths for polars::prelude::StringChunked {
    fn str_len_bytes_sum(&self) -> usize {
        self.iter().flatten().map(str::len).sum()
    }
}

/// Reads a file to its end, and returns the number of rows. `modify` changes the file after the first rows.
async fn read_while(path: &Path, modify: impl FnOnce(&Path)) -> Result<usize, DatasetError> {
    let file = opened(path).await?;
    // a limit makes windows small
    let mut frames = file.open(&query(&["n"], Some(u64::MAX))).await?.frames;
    let mut rows = frames.try_next().await?.unwrap().height();
    modify(path);
    while let Some(frame) = frames.try_next().await? {
        rows += frame.height();
    }
    Ok(rows)
}

#[tokio::test]
async fn a_file_that_is_truncated_or_overwritten_during_a_read_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    let values: Vec<_> = numbers(800_000).into_iter().map(|n| n as i64).collect();
    let frame = DataFrame::new_infer_height(vec![PolarsColumn::new("n".into(), values)]).unwrap();
    let fresh = || {
        write(&path, &frame, 100_000, 64 << 10, ParquetCompression::Uncompressed);
        // set an old time, so that a later write changes the modification time
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        File::options().write(true).open(&path).unwrap().set_modified(long_ago).unwrap();
    };
    let writing = |path: &Path| OpenOptions::new().write(true).open(path).unwrap();
    fresh();
    assert_eq!(read_while(&path, |_| {}).await.unwrap(), 800_000);

    fresh();
    let cut = read_while(&path, |path| writing(path).set_len(1_000).unwrap()).await.unwrap_err();
    assert!(is_rewritten(&cut) && cut.is_transient(), "{cut:?}");
    assert!(cut.user_message().contains("renaming"), "{}", cut.user_message());

    fresh();
    let longer = |path: &Path| writing(path).write_all_at(b"more", std::fs::metadata(path).unwrap().len()).unwrap();
    assert!(is_rewritten(&read_while(&path, longer).await.unwrap_err()));

    // same length and same content, but a later modification time
    fresh();
    let other = std::fs::read(&path).unwrap();
    let over = |path: &Path| writing(path).write_all_at(&other, 0).unwrap();
    assert!(is_rewritten(&read_while(&path, over).await.unwrap_err()));

    // a rename does not affect readers
    fresh();
    let renamed = |path: &Path| {
        let beside = path.with_extension("new");
        write(&beside, &frame.head(Some(10)), 10, 1 << 20, ParquetCompression::Uncompressed);
        std::fs::rename(beside, path).unwrap();
    };
    assert_eq!(read_while(&path, renamed).await.unwrap(), 800_000);
    assert_eq!(estimate_rows(&opened(&path).await.unwrap()).await, Some(10));
}

#[tokio::test]
async fn a_damaged_file_is_reported_as_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    for compression in [ParquetCompression::Zstd(None), ParquetCompression::Snappy] {
        write(&path, &mixed(60_000), 10_000, 20_000, compression);
        let good = std::fs::read(&path).unwrap();
        let footer = 60_000;
        let mut reported = 0;
        for at in (good.len() / 3..good.len() - footer).step_by((good.len() - footer) / 12) {
            let mut bad = good.clone();
            // the overwritten range is longer than a page, so that it contains a page header
            bad[at..at + 30_000].fill(0xff);
            std::fs::write(&path, bad).unwrap();
            let file = opened(&path).await.unwrap();
            let columns = ["at", "n", "x", "word", "text", "flag", "list"];
            let read: Result<Vec<_>, _> =
                file.open(&query(&columns, Some(u64::MAX))).await.unwrap().frames.try_collect().await;
            let error = read.expect_err("a damaged file is not whole");
            assert!(error.user_message().contains("damaged"), "{error:?}");
            reported += 1;
        }
        assert!(reported >= 6, "{reported}");
    }
}

#[tokio::test]
async fn filters_work_on_slices_of_row_groups() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    let frame = mixed(20_000);
    write(&path, &frame, 20_000, 700, ParquetCompression::Zstd(None));
    let file = opened(&path).await.unwrap();
    let filter = filter::parse(&json!({"word": {"in": ["w3", "w5"]}}), &file.info().columns).unwrap();
    let asked = Query { filter, ..query(&["text", "at"], Some(u64::MAX)) };
    let frames: Vec<_> = file.open(&asked).await.unwrap().frames.try_collect().await.unwrap();
    let read: Vec<_> = frames
        .iter()
        .flat_map(|f| f.column("at").unwrap().i64().unwrap().iter().flatten().collect::<Vec<_>>())
        .collect();
    let words = frame.column("word").unwrap().str().unwrap();
    let wanted = |word: Option<&str>| matches!(word, Some("w3" | "w5"));
    let expected: Vec<_> =
        (0..).zip(words.iter()).filter(|(_, word)| wanted(*word)).map(|(at, _): (i64, _)| at).collect();
    assert_eq!(read, expected);
    let counted = file.count(&asked, Precision::Exact).await.unwrap();
    assert_eq!(counted, Some(RowCount::exact(expected.len() as u64)));
}
