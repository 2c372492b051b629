//! Exports a Parquet file, or a table of a PostgreSQL server, as the service would, and prints the time and the peak
//! memory.
//!
//! `cargo run --example measure -- SOURCE [--format csv] [--compression none] [--template default] [--out FILE] [COLUMN …]`
//! `SOURCE` is a file, or `postgres://…` with `--table NAME`. Without `--out` the bytes are discarded.

#![expect(clippy::print_stdout, reason = "a command line tool")]

use std::{
    fs::File,
    io::Write,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use anyhow::{Context, bail};
use async_trait::async_trait;
use bytes::Bytes;
use exporter::{
    ExporterConfig,
    dataset::{
        Dataset, DatasetInfo, FileKind, Files, Location, PostgresRows, PostgresServer, PostgresSettings, Query,
        sql::Source,
    },
    error::JobError,
    format::{Arrow, Compression, Csv, CsvZip, Format, FormatError, Ndjson, Parquet, Tsv, Xlsx, XlsxZip},
    pipeline::{Pipeline, PipelineLimits},
    progress::Meter,
    segment::SegmentSink,
    template::{Enveloped, Spreadsheet, Template},
};
use platform::{
    clock::{Clock, SystemClock},
    secret::Secret,
};
use protocol::{delivery::Segment, filter::Filter};

/// The options of the command line.
struct Options {
    source: String,
    table: Option<String>,
    format: Arc<dyn Format>,
    template: Arc<dyn Template>,
    compression: Compression,
    out: Option<PathBuf>,
    columns: Vec<String>,
}

fn options() -> anyhow::Result<Options> {
    let mut arguments = std::env::args().skip(1);
    let source = arguments.next().context("SOURCE is missing")?;
    let mut options = Options {
        source,
        table: None,
        format: Arc::new(Csv),
        template: Arc::new(Enveloped),
        compression: Compression::None,
        out: None,
        columns: Vec::new(),
    };
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().with_context(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--format" => options.format = format(&value()?)?,
            "--compression" => options.compression = value()?.parse()?,
            "--template" if value()? == "spreadsheet" => options.template = Arc::new(Spreadsheet),
            "--template" => {}
            "--table" => options.table = Some(value()?),
            "--out" => options.out = Some(value()?.into()),
            other if other.starts_with('-') => bail!("unknown option `{other}`"),
            column => options.columns.push(column.to_owned()),
        }
    }
    Ok(options)
}

fn format(name: &str) -> anyhow::Result<Arc<dyn Format>> {
    let formats: [Arc<dyn Format>; 8] = [
        Arc::new(Csv),
        Arc::new(Tsv),
        Arc::new(Ndjson),
        Arc::new(Parquet),
        Arc::new(Arrow),
        Arc::new(Xlsx),
        Arc::new(XlsxZip),
        Arc::new(CsvZip),
    ];
    formats
        .into_iter()
        .find(|format| format.info().name == name)
        .with_context(|| format!("there is no format `{name}`"))
}

async fn dataset(options: &Options) -> anyhow::Result<Box<dyn Dataset>> {
    let Some(table) = &options.table else {
        let file = Location::Local(options.source.clone().into());
        let info = DatasetInfo::new("file", Vec::new());
        return Ok(Box::new(Files::open(file, FileKind::Parquet, info).await?));
    };
    let settings = PostgresSettings::at(Secret::new(options.source.as_str()));
    let server = PostgresServer::new(&settings).map_err(anyhow::Error::msg)?;
    let source = Source::table(table);
    let columns = PostgresRows::describe(&server, &source).await?;
    Ok(Box::new(PostgresRows::new(Arc::new(server), source, DatasetInfo::new(table, columns))))
}

/// Writes segments to a file, or discards them.
struct Sink {
    started: Instant,
    file: Option<Mutex<File>>,
}

#[async_trait]
impl SegmentSink for Sink {
    async fn store(&self, segment: &Segment, chunks: Vec<Bytes>) -> Result<(), JobError> {
        if segment.index == 0 {
            println!("first segment: {} bytes after {:?}", segment.size, self.started.elapsed());
        }
        if let Some(file) = &self.file {
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            for chunk in chunks {
                file.write_all(&chunk).map_err(FormatError::Spool)?;
            }
        }
        Ok(())
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = options()?;
    let limits = PipelineLimits::from(&ExporterConfig::default());
    let started = Instant::now();

    let dataset = dataset(&options).await?;
    let mut layout = options.template.layout(dataset.info(), &options.columns)?;
    layout.timestamps = options.format.info().timestamps(layout.timestamps);
    let query = Query {
        columns: layout.inputs().to_vec(),
        filter: Filter::And(vec![]),
        params: serde_json::Map::new(),
        limit: None,
    };
    let clock = SystemClock;
    let requested_at = clock.now().into();
    let pipeline = Pipeline {
        frames: dataset.open(&query).await?.frames,
        encoding: options.format.encoding(&layout, options.compression, &limits.format)?,
        layout: Arc::new(layout),
        compression: options.format.info().whole_file_compression(options.compression),
        requested_at,
        meter: Arc::new(Meter::start()),
        limits,
        sink: &Sink { started, file: options.out.map(File::create).transpose()?.map(Mutex::new) },
        clock: Arc::new(clock),
    };
    let sealed = pipeline.run().await?;
    println!(
        "{} rows, {} bytes, {} segments in {:?}",
        sealed.seal.rows,
        sealed.seal.size,
        sealed.segments.len(),
        started.elapsed()
    );
    println!("sha256 {}", sealed.seal.sha256);
    let status = std::fs::read_to_string("/proc/self/status")?;
    for line in status.lines().filter(|line| line.starts_with("VmHWM") || line.starts_with("VmRSS")) {
        println!("{line}");
    }
    Ok(())
}
