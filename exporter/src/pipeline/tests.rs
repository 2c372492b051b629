//! Tests that a file depends only on its rows, not on the frames or the number of threads, and that every limit is
//! enforced.

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

use super::{Pipeline, PipelineLimits, SealedFile};
use crate::{
    ExporterConfig,
    dataset::{DatasetError, DatasetInfo},
    error::{JobError, Verdict},
    format::{Arrow, Compression, Csv, CsvZip, Format, FormatError, FormatLimits, Parquet, Xlsx, XlsxZip},
    layout::{Layout, LayoutColumn, Timestamps},
    progress::Meter,
    segment::{SegmentLimits, SegmentSink},
    template::{DeclaredTemplate, Template},
};

/// A sink that keeps all segments in memory.
#[derive(Default)]
pub(super) struct MemorySink(Mutex<Vec<(Segment, Vec<u8>)>>);

#[async_trait]
impl SegmentSink for MemorySink {
    async fn store(&self, segment: &Segment, chunks: Vec<Bytes>) -> Result<(), JobError> {
        let mut segments = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        segments.push((segment.clone(), chunks.concat()));
        Ok(())
    }
}

pub(super) fn rows() -> DataFrame {
    let n: Vec<i64> = (0..40_000).collect();
    let text: Vec<String> = n.iter().map(|n| format!("row {n}, \"{}\"\n", n % 7)).collect();
    df!("n" => n, "text" => text).unwrap()
}

pub(super) fn layout(timestamps: Timestamps) -> Layout {
    let columns = [("n", ColumnType::Int), ("text", ColumnType::String)];
    let columns = columns.map(|(name, kind)| LayoutColumn::plain(CatalogColumn::new(name, kind))).to_vec();
    Layout { timestamps, ..Layout::plain(columns) }
}

pub(super) fn limits(encoder_threads: usize) -> PipelineLimits {
    let max_age = Duration::from_secs(3_600);
    let segments = SegmentLimits { size: 300_000, max_age, first_size: 1_000, first_max_age: max_age };
    PipelineLimits { encoder_threads, segments, ..PipelineLimits::from(&ExporterConfig::default()) }
}

pub(super) struct Run {
    file: SealedFile,
    segments: Vec<(Segment, Vec<u8>)>,
}

impl Run {
    pub(super) fn bytes(&self) -> Vec<u8> {
        self.segments.iter().flat_map(|(_, bytes)| bytes.clone()).collect()
    }
}

async fn run(
    frames: Vec<DataFrame>,
    layout: Layout,
    compression: Compression,
    limits: PipelineLimits,
) -> Result<Run, JobError> {
    let sink = MemorySink::default();
    let pipeline = Pipeline {
        frames: stream::iter(frames.into_iter().map(Ok)).boxed(),
        encoding: Csv.encoding(&layout, Compression::None, &limits.format)?,
        layout: Arc::new(layout),
        compression,
        requested_at: serde_json::from_value(serde_json::json!("2026-11-22T15:26:01.123Z"))?,
        meter: Arc::new(Meter::start()),
        limits,
        sink: &sink,
        clock: Arc::new(SystemClock),
    };
    let file = pipeline.run().await?;
    Ok(Run { file, segments: sink.0.into_inner().unwrap_or_else(PoisonError::into_inner) })
}

/// Splits the rows into frames of pseudorandom sizes.
pub(super) fn split(frame: &DataFrame, mut seed: u64) -> Vec<DataFrame> {
    let (mut at, mut parts) = (0, Vec::new());
    while at < frame.height() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let rows = 1 + (seed >> 33) as usize % 9_000;
        parts.push(frame.slice(at as i64, rows));
        at += rows;
    }
    parts
}

fn decompressed(compression: Compression, bytes: &[u8]) -> Vec<u8> {
    match compression {
        Compression::None => bytes.to_vec(),
        Compression::Gzip => {
            // this decoder reads one member
            let mut decoder = flate2::read::GzDecoder::new(bytes);
            let mut out = Vec::new();
            decoder.read_to_end(&mut out).unwrap();
            assert!(decoder.into_inner().is_empty(), "bytes after the member");
            out
        }
        Compression::Zstd => zstd::decode_all(bytes).unwrap(),
    }
}

/// Decompresses one segment without the segments before it.
fn alone(compression: Compression, segment: &Segment, bytes: &[u8]) -> Vec<u8> {
    if compression != Compression::Gzip {
        return decompressed(compression, bytes);
    }
    let deflate = if segment.index == 0 { &bytes[10..] } else { bytes };
    let mut out = Vec::with_capacity(8 << 20);
    flate2::Decompress::new(false).decompress_vec(deflate, &mut out, flate2::FlushDecompress::Sync).unwrap();
    assert!(out.len() < out.capacity(), "the segment is decompressed as a whole");
    out
}

#[tokio::test]
async fn the_bytes_do_not_depend_on_the_frames_or_the_threads() {
    let frame = rows();
    let plain = run(vec![frame.clone()], layout(Timestamps::Sidecar), Compression::None, limits(1)).await.unwrap();
    let expected = plain.bytes();
    assert_eq!(plain.file.seal.rows, 40_000);
    for compression in Compression::ALL {
        let mut compressed: Option<Vec<u8>> = None;
        for (threads, seed) in [(1, 1), (2, 2), (3, 3), (8, 4), (2, 5)] {
            let parts = split(&frame, seed);
            let run = run(parts, layout(Timestamps::Sidecar), compression, limits(threads)).await.unwrap();
            let bytes = run.bytes();
            assert_eq!(run.file.seal.size, bytes.len() as u64);
            assert_eq!(run.segments.iter().map(|(segment, _)| segment.rows).sum::<u64>(), 40_000);
            let first = compressed.get_or_insert_with(|| bytes.clone());
            assert!(*first == bytes, "{compression} with {threads} threads");
            let separate: Vec<u8> = run.segments.iter().flat_map(|(s, bytes)| alone(compression, s, bytes)).collect();
            assert!(separate == expected && decompressed(compression, &bytes) == expected);
        }
        assert!(compression == Compression::None || compressed.unwrap().len() < expected.len() / 3);
    }
}

#[tokio::test]
async fn spooled_rows_follow_or_contain_both_timestamps() {
    let frame = rows().head(Some(3_000));
    let whole = run(split(&frame, 3), layout(Timestamps::Rows), Compression::None, limits(2)).await.unwrap();
    let text = String::from_utf8(whole.bytes()).unwrap();
    let completed_at = whole.file.completed_at;
    let begin = format!("export_requested_at,2026-11-22T15:26:01.123Z\nexport_completed_at,{completed_at}\nn,text\n0,");
    assert!(text.starts_with(&begin), "{}", &text[..200]);
    assert_eq!(whole.file.seal.rows, 3_000);

    let mut wide = layout(Timestamps::Columns);
    for name in ["export_requested_at", "export_completed_at"] {
        wide.columns.push(LayoutColumn::plain(CatalogColumn::new(name, ColumnType::Datetime)));
    }
    let whole = run(split(&frame, 3), wide, Compression::None, limits(2)).await.unwrap();
    let text = String::from_utf8(whole.bytes()).unwrap();
    let end = format!("\",2026-11-22T15:26:01.123Z,{}\n", whole.file.completed_at);
    assert_eq!(text.matches(&end).count(), 3_000);
}

fn is_too_large(result: Result<Run, JobError>) -> bool {
    let error = result.err().expect("a limit");
    assert!(matches!(error.verdict(), Verdict::Fail(problem) if problem.slug() == protocol::problem::Slug::TooLarge));
    matches!(error, JobError::Format(FormatError::TooLarge { .. }))
}

#[tokio::test]
async fn a_file_beyond_a_limit_fails_as_too_large() {
    let small = FormatLimits { max_spool_size_per_export: 10_000, ..FormatLimits::default() };
    let second_pass = PipelineLimits { format: small, ..limits(2) };
    assert!(is_too_large(run(split(&rows(), 1), layout(Timestamps::Rows), Compression::None, second_pass).await));

    let spec =
        toml::from_str("name = \"sorted\"\ntimestamps = \"sidecar\"\nsort = [{ column = \"n\", descending = true }]")
            .unwrap();
    let columns = [("n", ColumnType::Int), ("text", ColumnType::String)];
    let columns = columns.map(|(name, kind)| CatalogColumn::new(name, kind)).to_vec();
    let dataset = DatasetInfo::new("rows", columns);
    let sorted = DeclaredTemplate::new(spec).layout(&dataset, &[]).unwrap();
    let whole = run(split(&rows(), 1), sorted.clone(), Compression::None, limits(2)).await.unwrap();
    assert!(String::from_utf8(whole.bytes()).unwrap().starts_with("n,text\n39999,"));
    let little = PipelineLimits { max_sort_size_per_export: 100_000, ..limits(2) };
    assert!(is_too_large(run(split(&rows(), 1), sorted.clone(), Compression::None, little).await));
    // sorting needs more memory than the rows alone
    let just = PipelineLimits { max_sort_size_per_export: rows().estimated_size() as u64 + 1, ..limits(2) };
    assert!(is_too_large(run(vec![rows()], sorted, Compression::None, just).await));
}

/// A sink that keeps only the sizes of all chunks.
#[derive(Default)]
struct ChunkSizes(Mutex<Vec<usize>>);

#[async_trait]
impl SegmentSink for ChunkSizes {
    async fn store(&self, _: &Segment, chunks: Vec<Bytes>) -> Result<(), JobError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(chunks.iter().map(Bytes::len));
        Ok(())
    }
}

/// Returns many small rows, followed by some rows with 256 KiB of text each.
fn small_then_large_rows() -> DataFrame {
    let text: Vec<String> =
        (0..30_000).map(|n| if n < 29_800 { format!("{n}") } else { "0123456789abcdef".repeat(1 << 14) }).collect();
    df!("n" => (0..30_000_i64).collect::<Vec<_>>(), "text" => text).unwrap()
}

#[tokio::test]
async fn a_chunk_stays_small_when_large_rows_follow_small_ones() {
    let sink = ChunkSizes::default();
    let (layout, limits) = (layout(Timestamps::Sidecar), limits(2));
    let pipeline = Pipeline {
        frames: stream::iter([Ok(small_then_large_rows())]).boxed(),
        encoding: Csv.encoding(&layout, Compression::None, &limits.format).unwrap(),
        layout: Arc::new(layout),
        compression: Compression::None,
        requested_at: serde_json::from_value(serde_json::json!("2026-11-22T15:26:01.123Z")).unwrap(),
        meter: Arc::new(Meter::start()),
        limits,
        sink: &sink,
        clock: Arc::new(SystemClock),
    };
    let file = pipeline.run().await.unwrap();
    let sizes = sink.0.into_inner().unwrap_or_else(PoisonError::into_inner);
    assert!(file.seal.size > 50 << 20 && file.seal.size == sizes.iter().sum::<usize>() as u64);
    let largest = sizes.iter().max().unwrap();
    assert!(*largest <= (2 << 20) + (64 << 10), "{largest} bytes in a chunk");
}

#[tokio::test]
async fn a_parquet_row_group_stays_small_with_large_values() {
    let mut first: Option<Vec<u8>> = None;
    for seed in [1, 2] {
        let frames = split(&small_then_large_rows(), seed);
        let run = run_format(&Parquet, frames, layout(Timestamps::Sidecar), limits(2)).await.unwrap();
        let bytes = run.bytes();
        let mut reader = ParquetReader::new(std::io::Cursor::new(bytes.clone()));
        let rows: Vec<_> = reader.get_metadata().unwrap().row_groups.iter().map(|group| group.num_rows()).collect();
        // 50 MiB fill two row groups of at most 32 MiB
        assert!(rows.len() == 2 && rows[0] > 29_800 && rows[1] <= 128, "{rows:?}");
        assert!(*first.get_or_insert_with(|| bytes.clone()) == bytes, "{seed}");
        assert!(reader.finish().unwrap().equals(&small_then_large_rows()));
    }
}

#[tokio::test]
async fn a_cell_of_a_workbook_holds_32767_utf16_units() {
    for (text, fits) in [
        ("x".repeat(32_767), true),
        ("x".repeat(32_768), false),
        ("é".repeat(32_767), true),
        // a character outside the basic multilingual plane is two units
        ("😀".repeat(16_383) + "x", true),
        ("😀".repeat(16_384), false),
    ] {
        let frame = df!("n" => [1_i64], "text" => [text.as_str()]).unwrap();
        let run = run_format(&Xlsx, vec![frame], layout(Timestamps::Sidecar), limits(1)).await;
        match run {
            Ok(run) => {
                let sheet = entries(run.bytes()).into_iter().find(|(name, _)| name.ends_with("sheet1.xml")).unwrap();
                assert!(fits && String::from_utf8_lossy(&sheet.1).contains(&text), "{} bytes", text.len());
            }
            Err(e) => assert!(
                !fits && e.to_string().contains("column `text`, row 1 of the workbook"),
                "{} bytes: {e}",
                text.len()
            ),
        }
    }
}

#[tokio::test]
async fn a_table_without_rows_is_a_file_with_a_header() {
    let none = rows().head(Some(0));
    for compression in Compression::ALL {
        let run = run(vec![none.clone()], layout(Timestamps::Sidecar), compression, limits(2)).await.unwrap();
        assert_eq!(decompressed(compression, &run.bytes()), b"n,text\n");
        assert_eq!(run.file.seal.rows, 0);
    }
}

/// Runs the pipeline of the given format without compression.
pub(super) async fn run_format(
    format: &dyn Format,
    frames: Vec<DataFrame>,
    layout: Layout,
    limits: PipelineLimits,
) -> Result<Run, JobError> {
    let sink = MemorySink::default();
    let layout = Layout { timestamps: format.info().timestamps(layout.timestamps), ..layout };
    let pipeline = Pipeline {
        frames: stream::iter(frames.into_iter().map(Ok)).boxed(),
        encoding: format.encoding(&layout, Compression::None, &limits.format)?,
        layout: Arc::new(layout),
        compression: Compression::None,
        requested_at: serde_json::from_value(serde_json::json!("2026-11-22T15:26:01.123Z"))?,
        meter: Arc::new(Meter::start()),
        limits,
        sink: &sink,
        clock: Arc::new(SystemClock),
    };
    let file = pipeline.run().await?;
    Ok(Run { file, segments: sink.0.into_inner().unwrap_or_else(PoisonError::into_inner) })
}

/// Returns limits so small that the test files have several row groups, sheets and archive parts.
fn small_parts() -> PipelineLimits {
    let bounds = FormatLimits {
        row_group_size: 200_000,
        max_sheet_rows: 15_000,
        archive_part_rows: 12_000,
        ..FormatLimits::default()
    };
    PipelineLimits { format: bounds, ..limits(2) }
}

#[tokio::test]
async fn sequential_formats_do_not_depend_on_the_frames() {
    let frame = rows();
    for format in [&Parquet as &dyn Format, &Arrow, &Xlsx, &XlsxZip, &CsvZip] {
        let mut first: Option<Vec<u8>> = None;
        for seed in [1, 2] {
            let run =
                run_format(format, split(&frame, seed), layout(Timestamps::Sidecar), small_parts()).await.unwrap();
            assert_eq!(run.file.seal.rows, 40_000);
            assert_eq!(
                run.segments.iter().map(|(segment, _)| segment.rows).sum::<u64>(),
                40_000,
                "{}",
                format.info().name
            );
            let bytes = run.bytes();
            assert!(*first.get_or_insert_with(|| bytes.clone()) == bytes, "{} {seed}", format.info().name);
        }
        // a table without frames is a file too
        let run = run_format(format, vec![], layout(Timestamps::Envelope), small_parts()).await.unwrap();
        assert!(run.file.seal.size > 100 && run.file.seal.rows == 0);
    }
}

#[tokio::test]
async fn parquet_reads_back_equal_in_several_row_groups() {
    let frame = rows();
    let run = run_format(&Parquet, split(&frame, 4), layout(Timestamps::Envelope), small_parts()).await.unwrap();
    let mut reader = ParquetReader::new(std::io::Cursor::new(run.bytes()));
    assert!(reader.get_metadata().unwrap().row_groups.len() > 2);
    assert!(reader.finish().unwrap().equals(&frame));
}

/// Returns the names and contents of an archive's entries.
pub(super) fn entries(bytes: Vec<u8>) -> Vec<(String, Vec<u8>)> {
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
async fn rows_continue_in_the_next_sheet_and_in_the_next_part() {
    let frame = rows();
    let run = run_format(&Xlsx, split(&frame, 5), layout(Timestamps::Envelope), small_parts()).await.unwrap();
    let sheets = entries(run.bytes());
    let rows_of = |sheets: &[(String, Vec<u8>)]| -> Vec<usize> {
        let sheets = sheets.iter().filter(|(name, _)| name.starts_with("xl/worksheets/sheet"));
        sheets.map(|(_, xml)| String::from_utf8_lossy(xml).matches("<row ").count()).collect()
    };
    // three sheets with a header each, and the sheet of the timestamps
    assert_eq!(rows_of(&sheets), [15_000, 15_000, 10_003, 3]);

    let run = run_format(&XlsxZip, split(&frame, 5), layout(Timestamps::Envelope), small_parts()).await.unwrap();
    let parts = entries(run.bytes());
    let names: Vec<_> = parts.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["part-0001.xlsx", "part-0002.xlsx", "part-0003.xlsx", "part-0004.xlsx", "export.csv"]);
    assert_eq!(rows_of(&entries(parts[3].1.clone())), [4_001]);
    let expected = format!(
        "key,value\nexport_requested_at,2026-11-22T15:26:01.123Z\nexport_completed_at,{}\nexport_rows,40000\n",
        run.file.completed_at
    );
    assert_eq!(String::from_utf8_lossy(&parts[4].1), expected);

    let run = run_format(&CsvZip, split(&frame, 5), layout(Timestamps::Rows), small_parts()).await.unwrap();
    let parts = entries(run.bytes());
    assert_eq!(parts.len(), 4);
    assert!(parts.iter().all(|(_, csv)| csv.starts_with(b"export_requested_at,") && csv.ends_with(b"\n")));
}

/// Returns the rows of the sheet `Export`, and checks that the first sheet begins with its titles.
fn timestamps_of(workbook: &[(String, Vec<u8>)]) -> String {
    let text = |wanted: &str| {
        let (_, xml) = workbook.iter().find(|(name, _)| name == wanted).unwrap_or_else(|| panic!("no {wanted}"));
        String::from_utf8_lossy(xml).into_owned()
    };
    assert!(text("xl/workbook.xml").contains("name=\"Export\""));
    let first = text("xl/worksheets/sheet1.xml");
    let head = first.split("</row>").next().unwrap_or_default();
    assert!(head.contains(">n<") && head.contains(">text<"), "{head}");
    assert!(!first.contains("export_requested_at"));
    let sheets = workbook.iter().filter(|(name, _)| name.starts_with("xl/worksheets/sheet")).count();
    text(&format!("xl/worksheets/sheet{sheets}.xml")) + &text("xl/sharedStrings.xml")
}

#[tokio::test]
async fn a_workbook_states_the_timestamps_on_a_sheet_of_their_own() {
    let frame = rows().head(Some(25_000));
    for timestamps in [Timestamps::Envelope, Timestamps::Rows] {
        let run = run_format(&Xlsx, split(&frame, 5), layout(timestamps), limits(2)).await.unwrap();
        let written = timestamps_of(&entries(run.bytes()));
        for part in ["2026-11-22T15:26:01.123Z", &run.file.completed_at.to_string(), "25000"] {
            assert!(written.contains(&format!(">{part}<")), "{timestamps:?}: {part} in {written}");
        }
    }
    // each workbook of an archive has its own sheet
    let run = run_format(&XlsxZip, split(&frame, 5), layout(Timestamps::Rows), small_parts()).await.unwrap();
    let parts = entries(run.bytes());
    assert_eq!(parts.len(), 3);
    for ((_, workbook), rows) in parts.into_iter().zip(["12000", "12000", "1000"]) {
        let written = timestamps_of(&entries(workbook));
        for part in ["2026-11-22T15:26:01.123Z", &run.file.completed_at.to_string(), rows] {
            assert!(written.contains(&format!(">{part}<")), "{part} in {written}");
        }
    }
}

#[tokio::test]
async fn a_workbook_beyond_its_limits_fails_as_too_large() {
    let bounds = FormatLimits { max_workbook_rows: 39_999, ..FormatLimits::default() };
    let rows_limit = run_format(
        &Xlsx,
        split(&rows(), 1),
        layout(Timestamps::Sidecar),
        PipelineLimits { format: bounds, ..limits(2) },
    );
    assert!(is_too_large(rows_limit.await));
    let bounds = FormatLimits { max_spool_size_per_export: 100_000, ..FormatLimits::default() };
    let disk_limit = run_format(
        &Xlsx,
        split(&rows(), 1),
        layout(Timestamps::Sidecar),
        PipelineLimits { format: bounds, ..limits(2) },
    );
    assert!(is_too_large(disk_limit.await));
}

#[tokio::test]
async fn a_failing_source_leaves_no_complete_file_of_any_format() {
    for format in [&Csv as &dyn Format, &Parquet, &Arrow, &Xlsx, &CsvZip] {
        let sink = MemorySink::default();
        let layout = layout(Timestamps::Sidecar);
        let failure = Err(DatasetError::NoColumn("gone".into()));
        let pipeline = Pipeline {
            frames: stream::iter([Ok(rows()), failure]).boxed(),
            encoding: format.encoding(&layout, Compression::None, &FormatLimits::default()).unwrap(),
            layout: Arc::new(layout),
            compression: Compression::None,
            requested_at: serde_json::from_value(serde_json::json!("2026-11-22T15:26:01.123Z")).unwrap(),
            meter: Arc::new(Meter::start()),
            limits: limits(2),
            sink: &sink,
            clock: Arc::new(SystemClock),
        };
        assert!(matches!(pipeline.run().await, Err(JobError::Dataset(_))), "{}", format.info().name);
    }
}
