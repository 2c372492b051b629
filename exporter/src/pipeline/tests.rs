//! The file does not depend on how the rows came, nor on how many threads there were; limits are said by name.

use std::{
    io::Read,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream};
use platform::clock::SystemClock;
use polars::prelude::*;
use protocol::{
    catalog::{Column as CatalogColumn, ColumnType},
    delivery::Segment,
};

use super::{Budget, Made, Pipeline};
use crate::{
    ExporterConfig,
    error::{JobError, Verdict},
    format::{
        Bounds, Compression, Csv, CsvZip, Format, FormatError, Layout, LayoutColumn, Parquet, Timestamps, Xlsx, XlsxZip,
    },
    progress::Meter,
    segment::{Limits, Outlet},
    template::{Declared, Template, tests::Orders},
};

/// Keeps the bytes, each segment apart.
#[derive(Default)]
struct Kept(Mutex<Vec<(Segment, Vec<u8>)>>);

#[async_trait]
impl Outlet for Kept {
    async fn keep(&self, segment: &Segment, chunks: Vec<Bytes>) -> Result<(), JobError> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push((segment.clone(), chunks.concat()));
        Ok(())
    }
}

fn rows() -> DataFrame {
    let n: Vec<i64> = (0..40_000).collect();
    let text: Vec<String> = n.iter().map(|n| format!("row {n}, \"{}\"\n", n % 7)).collect();
    df!("n" => n, "text" => text).unwrap()
}

fn layout(timestamps: Timestamps) -> Layout {
    let columns = [("n", ColumnType::Int), ("text", ColumnType::String)];
    let columns = columns.map(|(name, kind)| LayoutColumn::plain(CatalogColumn::new(name, kind))).to_vec();
    Layout { timestamps, ..Layout::plain(columns) }
}

fn budget(encoders: usize) -> Budget {
    let long = Duration::from_secs(3_600);
    let segments = Limits { bytes: 300_000, age: long, first_bytes: 1_000, first_age: long };
    Budget { encoders, segments, ..Budget::from(&ExporterConfig::default()) }
}

struct Run {
    made: Made,
    segments: Vec<(Segment, Vec<u8>)>,
}

impl Run {
    fn bytes(&self) -> Vec<u8> {
        self.segments.iter().flat_map(|(_, bytes)| bytes.clone()).collect()
    }
}

async fn run(
    frames: Vec<DataFrame>,
    layout: Layout,
    compression: Compression,
    budget: Budget,
) -> Result<Run, JobError> {
    let kept = Kept::default();
    let pipeline = Pipeline {
        frames: stream::iter(frames.into_iter().map(Ok)).boxed(),
        encoding: Csv.encoding(&layout, &budget.bounds)?,
        layout: Arc::new(layout),
        compression,
        requested_at: serde_json::from_value(serde_json::json!("2026-11-22T15:26:01.123Z"))?,
        meter: Arc::new(Meter::start()),
        budget,
        outlet: &kept,
        clock: Arc::new(SystemClock),
    };
    let made = pipeline.run().await?;
    Ok(Run { made, segments: kept.0.into_inner().unwrap_or_else(PoisonError::into_inner) })
}

/// The rows cut at places that a seed decides.
fn cut(frame: &DataFrame, mut seed: u64) -> Vec<DataFrame> {
    let (mut at, mut parts) = (0, Vec::new());
    while at < frame.height() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let rows = 1 + (seed >> 33) as usize % 9_000;
        parts.push(frame.slice(at as i64, rows));
        at += rows;
    }
    parts
}

fn unpacked(compression: Compression, bytes: &[u8]) -> Vec<u8> {
    match compression {
        Compression::None => bytes.to_vec(),
        Compression::Gzip => {
            let mut child = std::process::Command::new("gzip")
                .arg("-dc")
                .stdin(std::process::Stdio::piped())
                .stdout(std::process::Stdio::piped())
                .spawn()
                .unwrap();
            let (mut stdin, bytes) = (child.stdin.take().unwrap(), bytes.to_vec());
            let feeding = std::thread::spawn(move || std::io::Write::write_all(&mut stdin, &bytes));
            let mut out = Vec::new();
            child.stdout.take().unwrap().read_to_end(&mut out).unwrap();
            feeding.join().unwrap().unwrap();
            assert!(child.wait().unwrap().success());
            out
        }
        Compression::Zstd => zstd::decode_all(bytes).unwrap(),
    }
}

#[tokio::test]
async fn the_bytes_depend_neither_on_the_frames_nor_on_the_threads() {
    let frame = rows();
    let plain = run(vec![frame.clone()], layout(Timestamps::Sidecar), Compression::None, budget(1)).await.unwrap();
    let expected = plain.bytes();
    assert_eq!(plain.made.seal.rows, 40_000);
    for compression in Compression::ALL {
        let mut packed: Option<Vec<u8>> = None;
        for (encoders, seed) in [(1, 1), (2, 2), (3, 3), (8, 4), (2, 5)] {
            let parts = cut(&frame, seed);
            let run = run(parts, layout(Timestamps::Sidecar), compression, budget(encoders)).await.unwrap();
            let bytes = run.bytes();
            assert_eq!(run.made.seal.size, bytes.len() as u64);
            assert_eq!(run.segments.iter().map(|(segment, _)| segment.rows).sum::<u64>(), 40_000);
            let first = packed.get_or_insert_with(|| bytes.clone());
            assert!(*first == bytes, "{compression} with {encoders} encoders");
            // every segment is whole members or frames by itself, and they still concatenate
            let apart: Vec<u8> = run.segments.iter().flat_map(|(_, bytes)| unpacked(compression, bytes)).collect();
            assert!(apart == expected && unpacked(compression, &bytes) == expected);
        }
        assert!(compression == Compression::None || packed.unwrap().len() < expected.len() / 3);
    }
}

#[tokio::test]
async fn a_second_pass_puts_both_times_before_or_into_the_rows() {
    let frame = rows().head(Some(3_000));
    let whole = run(cut(&frame, 3), layout(Timestamps::Rows), Compression::None, budget(2)).await.unwrap();
    let text = String::from_utf8(whole.bytes()).unwrap();
    let completed_at = whole.made.completed_at;
    let begin = format!("export_requested_at,2026-11-22T15:26:01.123Z\nexport_completed_at,{completed_at}\nn,text\n0,");
    assert!(text.starts_with(&begin), "{}", &text[..200]);
    assert_eq!(whole.made.seal.rows, 3_000);

    let mut wide = layout(Timestamps::Columns);
    for name in ["export_requested_at", "export_completed_at"] {
        wide.columns.push(LayoutColumn::plain(CatalogColumn::new(name, ColumnType::Datetime)));
    }
    let whole = run(cut(&frame, 3), wide, Compression::None, budget(2)).await.unwrap();
    let text = String::from_utf8(whole.bytes()).unwrap();
    let end = format!("\",2026-11-22T15:26:01.123Z,{}\n", whole.made.completed_at);
    assert_eq!(text.matches(&end).count(), 3_000);
}

fn is_too_large(result: Result<Run, JobError>) -> bool {
    let error = result.err().expect("a limit");
    assert!(matches!(error.verdict(), Verdict::Fail(problem) if problem.slug() == protocol::problem::Slug::TooLarge));
    matches!(error, JobError::Format(FormatError::TooLarge { .. }))
}

#[tokio::test]
async fn what_is_beyond_a_limit_is_refused_by_name() {
    let small = Bounds { spool_bytes: 10_000, ..Bounds::default() };
    let second_pass = Budget { bounds: small, ..budget(2) };
    assert!(is_too_large(run(cut(&rows(), 1), layout(Timestamps::Rows), Compression::None, second_pass).await));

    let spec =
        toml::from_str("name = \"sorted\"\ntimestamps = \"sidecar\"\nsort = [{ column = \"n\", descending = true }]")
            .unwrap();
    let columns = [("n", ColumnType::Int), ("text", ColumnType::String)];
    let dataset = Orders(columns.map(|(name, kind)| CatalogColumn::new(name, kind)).to_vec());
    let sorted = Declared::new(spec).layout(&dataset, &[]).unwrap();
    let whole = run(cut(&rows(), 1), sorted.clone(), Compression::None, budget(2)).await.unwrap();
    assert!(String::from_utf8(whole.bytes()).unwrap().starts_with("n,text\n39999,"));
    let little = Budget { sort_bytes: 100_000, ..budget(2) };
    assert!(is_too_large(run(cut(&rows(), 1), sorted.clone(), Compression::None, little).await));
    // while rows are sorted they take more than they did before
    let just = Budget { sort_bytes: rows().estimated_size() as u64 + 1, ..budget(2) };
    assert!(is_too_large(run(vec![rows()], sorted, Compression::None, just).await));
}

/// Keeps the sizes of chunks.
#[derive(Default)]
struct Sizes(Mutex<Vec<usize>>);

#[async_trait]
impl Outlet for Sizes {
    async fn keep(&self, _: &Segment, chunks: Vec<Bytes>) -> Result<(), JobError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(chunks.iter().map(Bytes::len));
        Ok(())
    }
}

/// Many small rows, then some with 256 KiB of text each.
fn suddenly_large() -> DataFrame {
    let text: Vec<String> =
        (0..30_000).map(|n| if n < 29_800 { format!("{n}") } else { "0123456789abcdef".repeat(1 << 14) }).collect();
    df!("n" => (0..30_000_i64).collect::<Vec<_>>(), "text" => text).unwrap()
}

#[tokio::test]
async fn huge_cells_after_small_ones_make_no_huge_chunk() {
    let kept = Sizes::default();
    let (layout, budget) = (layout(Timestamps::Sidecar), budget(2));
    let pipeline = Pipeline {
        frames: stream::iter([Ok(suddenly_large())]).boxed(),
        encoding: Csv.encoding(&layout, &budget.bounds).unwrap(),
        layout: Arc::new(layout),
        compression: Compression::None,
        requested_at: serde_json::from_value(serde_json::json!("2026-11-22T15:26:01.123Z")).unwrap(),
        meter: Arc::new(Meter::start()),
        budget,
        outlet: &kept,
        clock: Arc::new(SystemClock),
    };
    let made = pipeline.run().await.unwrap();
    let sizes = kept.0.into_inner().unwrap_or_else(PoisonError::into_inner);
    assert!(made.seal.size > 50 << 20 && made.seal.size == sizes.iter().sum::<usize>() as u64);
    let largest = sizes.iter().max().unwrap();
    assert!(*largest <= (2 << 20) + (64 << 10), "{largest} bytes in a chunk");
}

#[tokio::test]
async fn huge_cells_make_no_huge_group_of_a_parquet_file() {
    let mut first: Option<Vec<u8>> = None;
    for seed in [1, 2] {
        let frames = cut(&suddenly_large(), seed);
        let run = whole(&Parquet, frames, layout(Timestamps::Sidecar), budget(2)).await.unwrap();
        let bytes = run.bytes();
        let mut reader = ParquetReader::new(std::io::Cursor::new(bytes.clone()));
        let rows: Vec<_> = reader.get_metadata().unwrap().row_groups.iter().map(|group| group.num_rows()).collect();
        // 50 MiB are two groups of 32 MiB at most
        assert!(rows.len() == 2 && rows[0] > 29_800 && rows[1] <= 128, "{rows:?}");
        assert!(*first.get_or_insert_with(|| bytes.clone()) == bytes, "{seed}");
        assert!(reader.finish().unwrap().equals(&suddenly_large()));
    }
}

#[tokio::test]
async fn a_cell_of_a_workbook_holds_as_much_as_excel_counts() {
    for (text, fits) in [
        ("x".repeat(32_767), true),
        ("x".repeat(32_768), false),
        ("é".repeat(32_767), true),
        // outside of the first plane of Unicode a character counts for two
        ("😀".repeat(16_383) + "x", true),
        ("😀".repeat(16_384), false),
    ] {
        let frame = df!("n" => [1_i64], "text" => [text.as_str()]).unwrap();
        let run = whole(&Xlsx, vec![frame], layout(Timestamps::Sidecar), budget(1)).await;
        match run {
            Ok(run) => {
                let sheet = entries(run.bytes()).into_iter().find(|(name, _)| name.ends_with("sheet1.xml")).unwrap();
                assert!(fits && String::from_utf8_lossy(&sheet.1).contains(&text), "{} bytes", text.len());
            }
            Err(e) => assert!(!fits && e.to_string().contains("`text`"), "{} bytes: {e}", text.len()),
        }
    }
}

#[tokio::test]
async fn no_rows_are_a_file_with_a_header() {
    let none = rows().head(Some(0));
    for compression in Compression::ALL {
        let run = run(vec![none.clone()], layout(Timestamps::Sidecar), compression, budget(2)).await.unwrap();
        assert_eq!(unpacked(compression, &run.bytes()), b"n,text\n");
        assert_eq!(run.made.seal.rows, 0);
    }
}

/// Runs a format with a state.
async fn whole(format: &dyn Format, frames: Vec<DataFrame>, layout: Layout, budget: Budget) -> Result<Run, JobError> {
    let kept = Kept::default();
    let layout = Layout { timestamps: format.timestamps(layout.timestamps), ..layout };
    let pipeline = Pipeline {
        frames: stream::iter(frames.into_iter().map(Ok)).boxed(),
        encoding: format.encoding(&layout, &budget.bounds)?,
        layout: Arc::new(layout),
        compression: Compression::None,
        requested_at: serde_json::from_value(serde_json::json!("2026-11-22T15:26:01.123Z"))?,
        meter: Arc::new(Meter::start()),
        budget,
        outlet: &kept,
        clock: Arc::new(SystemClock),
    };
    let made = pipeline.run().await?;
    Ok(Run { made, segments: kept.0.into_inner().unwrap_or_else(PoisonError::into_inner) })
}

/// Few rows to a group, a sheet and a part, so that there are several of each.
fn small() -> Budget {
    let bounds = Bounds { group_bytes: 200_000, sheet_rows: 15_000, part_rows: 12_000, ..Bounds::default() };
    Budget { bounds, ..budget(2) }
}

#[tokio::test]
async fn files_with_a_state_depend_only_on_the_rows_too() {
    let frame = rows();
    for format in [&Parquet as &dyn Format, &Xlsx, &XlsxZip, &CsvZip] {
        let mut first: Option<Vec<u8>> = None;
        for seed in [1, 2, 3] {
            let run = whole(format, cut(&frame, seed), layout(Timestamps::Sidecar), small()).await.unwrap();
            assert_eq!(run.made.seal.rows, 40_000);
            assert_eq!(run.segments.iter().map(|(segment, _)| segment.rows).sum::<u64>(), 40_000, "{}", format.name());
            let bytes = run.bytes();
            assert!(*first.get_or_insert_with(|| bytes.clone()) == bytes, "{} {seed}", format.name());
        }
        // nothing at all is still a file
        let run = whole(format, vec![], layout(Timestamps::Envelope), small()).await.unwrap();
        assert!(run.made.seal.size > 100 && run.made.seal.rows == 0);
    }
}

#[tokio::test]
async fn parquet_reads_back_as_the_same_frame_in_several_groups() {
    let frame = rows();
    let run = whole(&Parquet, cut(&frame, 4), layout(Timestamps::Envelope), small()).await.unwrap();
    let mut reader = ParquetReader::new(std::io::Cursor::new(run.bytes()));
    assert!(reader.get_metadata().unwrap().row_groups.len() > 2);
    assert!(reader.finish().unwrap().equals(&frame));
}

/// The entries of an archive.
fn entries(bytes: Vec<u8>) -> Vec<(String, Vec<u8>)> {
    let mut archive = ::zip::ZipArchive::new(std::io::Cursor::new(bytes)).unwrap();
    (0..archive.len())
        .map(|index| {
            let mut entry = archive.by_index(index).unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            (entry.name().unwrap().into_owned(), content)
        })
        .collect()
}

#[tokio::test]
async fn rows_beyond_a_sheet_go_to_the_next_and_beyond_a_part_too() {
    let frame = rows();
    let run = whole(&Xlsx, cut(&frame, 5), layout(Timestamps::Envelope), small()).await.unwrap();
    let sheets = entries(run.bytes());
    let rows_of = |sheets: &[(String, Vec<u8>)]| -> Vec<usize> {
        let sheets = sheets.iter().filter(|(name, _)| name.starts_with("xl/worksheets/sheet"));
        sheets.map(|(_, xml)| String::from_utf8_lossy(xml).matches("<row ").count()).collect()
    };
    // three sheets with a header each, and the one of the timestamps
    assert_eq!(rows_of(&sheets), [15_000, 15_000, 10_003, 3]);

    let run = whole(&XlsxZip, cut(&frame, 5), layout(Timestamps::Envelope), small()).await.unwrap();
    let parts = entries(run.bytes());
    let names: Vec<_> = parts.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["part-0001.xlsx", "part-0002.xlsx", "part-0003.xlsx", "part-0004.xlsx", "export.csv"]);
    assert_eq!(rows_of(&entries(parts[3].1.clone())), [4_001]);
    let expected = format!(
        "key,value\nexport_requested_at,2026-11-22T15:26:01.123Z\nexport_completed_at,{}\nexport_rows,40000\n",
        run.made.completed_at
    );
    assert_eq!(String::from_utf8_lossy(&parts[4].1), expected);

    let run = whole(&CsvZip, cut(&frame, 5), layout(Timestamps::Rows), small()).await.unwrap();
    let parts = entries(run.bytes());
    assert_eq!(parts.len(), 4);
    assert!(parts.iter().all(|(_, csv)| csv.starts_with(b"export_requested_at,") && csv.ends_with(b"\n")));
}

#[tokio::test]
async fn workbooks_have_their_limits() {
    let bounds = Bounds { workbook_rows: 39_999, ..Bounds::default() };
    let rows_limit = whole(&Xlsx, cut(&rows(), 1), layout(Timestamps::Sidecar), Budget { bounds, ..budget(2) });
    assert!(is_too_large(rows_limit.await));
    let bounds = Bounds { spool_bytes: 100_000, ..Bounds::default() };
    let disk_limit = whole(&Xlsx, cut(&rows(), 1), layout(Timestamps::Sidecar), Budget { bounds, ..budget(2) });
    assert!(is_too_large(disk_limit.await));
}

#[tokio::test]
async fn a_source_that_fails_makes_no_whole_file_of_any_kind() {
    for format in [&Csv as &dyn Format, &Parquet, &Xlsx, &CsvZip] {
        let kept = Kept::default();
        let layout = layout(Timestamps::Sidecar);
        let end = Err(crate::dataset::DatasetError::NoColumn("gone".into()));
        let pipeline = Pipeline {
            frames: stream::iter([Ok(rows()), end]).boxed(),
            encoding: format.encoding(&layout, &Bounds::default()).unwrap(),
            layout: Arc::new(layout),
            compression: Compression::None,
            requested_at: serde_json::from_value(serde_json::json!("2026-11-22T15:26:01.123Z")).unwrap(),
            meter: Arc::new(Meter::start()),
            budget: budget(2),
            outlet: &kept,
            clock: Arc::new(SystemClock),
        };
        assert!(matches!(pipeline.run().await, Err(JobError::Dataset(_))), "{}", format.name());
    }
}
