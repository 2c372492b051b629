//! Tests round trips: independent readers read the same rows from files of each format and of both profiles.
//!
//! polars writes the rows to a reference Parquet file. `check.py` compares it with the rows that DuckDB, polars for
//! Python, Python's `csv` and `json`, and calamine read. `csvw` validates the metadata documents. The heavy run adds
//! LibreOffice.

#[expect(clippy::unwrap_used, reason = "a test that can't be set up fails")]
mod foreign;
mod rows;

use std::{
    env,
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use exporter::{
    ExporterConfig,
    config::ExporterTuning,
    error::JobError,
    format::{Arrow, Compression, Csv, CsvZip, FinishedFile, Format, FormatError, Ndjson, Parquet, Tsv, Xlsx, XlsxZip},
    layout::{Layout, LayoutColumn, Quoting, Style, TemplateVersion, Timestamps},
    pipeline::{Pipeline, PipelineLimits},
    progress::Meter,
    segment::SegmentSink,
};
use futures::{StreamExt, stream};
use platform::clock::SystemClock;
use polars::prelude::{DataFrame, ParquetWriter};
use protocol::{delivery::Segment, export::FileInfo, id::ExportId};

/// The number of rows of a round trip.
const ROWS: usize = 12_000;
/// The number of rows of each part of an archive; `check.py` uses the same number.
const PART_ROWS: u64 = 5_000;

/// A sink that appends all segments to one file.
struct FileSink(Mutex<File>);

#[async_trait]
impl SegmentSink for FileSink {
    async fn store(&self, _: &Segment, chunks: Vec<Bytes>) -> Result<(), JobError> {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for chunk in chunks {
            file.write_all(&chunk).map_err(FormatError::Spool)?;
        }
        Ok(())
    }
}

/// Writes the frame to a file, and its metadata document beside it.
async fn write(
    folder: &Path,
    name: &str,
    format: &dyn Format,
    layout: &Layout,
    compression: Compression,
    frame: &DataFrame,
) -> anyhow::Result<()> {
    let layout = Layout { timestamps: format.info().timestamps(layout.timestamps), ..layout.clone() };
    let path = folder.join(name);
    let sink = FileSink(Mutex::new(File::create(&path)?));
    let tuning = ExporterTuning { archive_part_rows: PART_ROWS, ..ExporterTuning::default() };
    let limits = PipelineLimits::from(&ExporterConfig { tuning, ..ExporterConfig::default() });
    let requested_at = serde_json::from_value(serde_json::json!("2026-11-22T15:26:01.123Z"))?;
    let parts: Vec<_> = (0..frame.height()).step_by(9_973).map(|at| Ok(frame.slice(at as i64, 9_973))).collect();
    let pipeline = Pipeline {
        frames: stream::iter(parts).boxed(),
        encoding: format.encoding(&layout, compression, &limits.format)?,
        layout: Arc::new(layout.clone()),
        compression: format.info().whole_file_compression(compression),
        requested_at,
        meter: Arc::new(Meter::start()),
        limits,
        sink: &sink,
        clock: Arc::new(SystemClock),
    };
    let sealed = pipeline.run().await?;
    assert_eq!(sealed.seal.rows, frame.height() as u64);
    let finished = FinishedFile {
        id: ExportId::generate(),
        dataset: "rows".into(),
        dataset_version: "1".into(),
        notes: Vec::new(),
        file: FileInfo {
            name: name.into(),
            size: sealed.seal.size,
            rows: sealed.seal.rows,
            sha256: sealed.seal.sha256,
            media_type: format.info().media_type.into(),
        },
        compression: format.info().whole_file_compression(compression),
        requested_at,
        snapshot_at: Some(requested_at),
        completed_at: sealed.completed_at,
    };
    let document = serde_json::to_vec_pretty(&format.metadata(&layout, &finished))?;
    fs::write(folder.join(format!("{name}-metadata.json")), document)?;
    Ok(())
}

fn layout(style: Style, timestamps: Timestamps) -> Layout {
    let columns = rows::columns().into_iter().map(LayoutColumn::plain).collect();
    let template = TemplateVersion { name: "round-trip".into(), version: "1".into() };
    Layout { style, timestamps, template, ..Layout::plain(columns) }
}

/// Writes the reference Parquet file without the exporter.
fn reference(folder: &Path, frame: &mut DataFrame) -> anyhow::Result<()> {
    ParquetWriter::new(File::create(folder.join("reference.parquet"))?).finish(frame)?;
    Ok(())
}

/// Runs checks of `check.py` in the Python environment that `cargo xtask test` prepares.
fn python(folder: &Path, checks: &[&str]) {
    let python = env::var_os("SLUICE_PYTHON").expect(
        "SLUICE_PYTHON names a Python with the packages of xtask/python/readers.txt; `cargo xtask test` makes one",
    );
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/formats/check.py");
    let output = Command::new(python).arg(script).arg(folder).args(checks).output().expect("Python starts");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{printed}");
    // each check prints its name at the end, so that a skipped check fails the test
    for name in checks {
        assert!(printed.contains(&format!("ok {name}\n")), "{name} did not run: {printed}");
    }
}

fn semicolons() -> Style {
    Style {
        delimiter: Some(b';'),
        decimal_mark: b',',
        time_zone: Some(chrono_tz::Europe::Berlin),
        ..Style::spreadsheet()
    }
}

#[tokio::test]
async fn every_format_reads_back_equal() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut frame = rows::frame(ROWS)?;
    reference(folder.path(), &mut frame)?;
    let machine = layout(Style::machine(), Timestamps::Envelope);
    let none = Compression::None;
    write(folder.path(), "machine.csv", &Csv, &machine, none, &frame).await?;
    write(folder.path(), "machine.tsv", &Tsv, &machine, none, &frame).await?;
    write(folder.path(), "machine.csv.gz", &Csv, &machine, Compression::Gzip, &frame).await?;
    write(folder.path(), "machine.ndjson", &Ndjson, &machine, none, &frame).await?;
    write(folder.path(), "machine.ndjson.zst", &Ndjson, &machine, Compression::Zstd, &frame).await?;
    write(folder.path(), "machine.parquet", &Parquet, &machine, none, &frame).await?;
    write(folder.path(), "machine.arrows", &Arrow, &machine, none, &frame).await?;
    write(folder.path(), "machine-zstd.arrows", &Arrow, &machine, Compression::Zstd, &frame).await?;
    let spreadsheet = layout(semicolons(), Timestamps::Rows);
    write(folder.path(), "spreadsheet.csv", &Csv, &spreadsheet, none, &frame).await?;
    write(folder.path(), "spreadsheet.tsv", &Tsv, &layout(Style::spreadsheet(), Timestamps::Envelope), none, &frame)
        .await?;
    let parts = layout(semicolons(), Timestamps::Envelope);
    write(folder.path(), "spreadsheet.csv.zip", &CsvZip, &parts, none, &frame).await?;
    write(folder.path(), "spreadsheet.xlsx.zip", &XlsxZip, &parts, none, &frame).await?;
    write(folder.path(), "spreadsheet.xlsx", &Xlsx, &parts, none, &frame).await?;
    let text = [
        "csv",
        "tsv",
        "gzip",
        "ndjson",
        "zstd",
        "parquet",
        "arrow",
        "arrow-zstd",
        "spreadsheet-csv",
        "spreadsheet-tsv",
        "csv-zip",
    ];
    python(folder.path(), &[&text[..], &["xlsx", "xlsx-zip"]].concat());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn cells_of_a_workbook_are_numbers_if_it_has_a_number_for_each_value() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut frame = rows::workbook_frame(2_000)?;
    reference(folder.path(), &mut frame)?;
    let parts = layout(semicolons(), Timestamps::Envelope);
    write(folder.path(), "spreadsheet.xlsx", &Xlsx, &parts, Compression::None, &frame).await?;
    python(folder.path(), &["xlsx"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_documents_are_valid_csv_on_the_web() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut frame = rows::csvw_frame(2_000)?;
    reference(folder.path(), &mut frame)?;
    let machine = layout(Style::machine(), Timestamps::Envelope);
    write(folder.path(), "machine.csv", &Csv, &machine, Compression::None, &frame).await?;
    write(folder.path(), "machine.tsv", &Tsv, &machine, Compression::None, &frame).await?;
    write(
        folder.path(),
        "styled.csv",
        &Csv,
        &rows::styled(layout(semicolons(), Timestamps::Rows)),
        Compression::None,
        &frame,
    )
    .await?;
    python(folder.path(), &["csvw"]);
    Ok(())
}

#[tokio::test]
async fn heavy_libreoffice_reads_the_documented_values() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut frame = rows::frame(ROWS)?;
    reference(folder.path(), &mut frame)?;
    let none = Compression::None;
    write(folder.path(), "spreadsheet.csv", &Csv, &layout(semicolons(), Timestamps::Rows), none, &frame).await?;
    let english = Style { time_zone: semicolons().time_zone, ..Style::spreadsheet() };
    write(folder.path(), "english.csv", &Csv, &layout(english, Timestamps::Rows), none, &frame).await?;
    let quoted = Style { quoting: Quoting::Text, digits_as_text: false, ..semicolons() };
    write(folder.path(), "quoted.csv", &Csv, &layout(quoted, Timestamps::Rows), none, &frame).await?;
    write(folder.path(), "spreadsheet.xlsx", &Xlsx, &layout(semicolons(), Timestamps::Envelope), none, &frame).await?;
    let checks = ["libreoffice-csv", "libreoffice-csv-in-english", "libreoffice-quoted-csv", "libreoffice-xlsx"];
    python(folder.path(), &checks);
    Ok(())
}
