//! Exports a Parquet file, or a table of a PostgreSQL server, as a service would, and says how long that took and how much
//! memory it needed.
//!
//! `cargo run --example measure -- SOURCE [--format csv] [--compression none] [--template default] [--out FILE] [COLUMN …]`
//! `SOURCE` is a file, or `postgres://…` with `--table NAME`. Without `--out` the bytes go nowhere.

#![expect(clippy::print_stdout, reason = "a tool for people")]

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
    dataset::{Dataset, ParquetFile, PostgresRows, PostgresServer, PostgresSettings, Query, sql::Source},
    error::JobError,
    format::{Compression, Csv, CsvZip, Format, FormatError, Ndjson, Parquet, Tsv, Xlsx, XlsxZip},
    pipeline::{Budget, Pipeline},
    progress::Meter,
    segment::Outlet,
    template::{Plain, Spreadsheet, Template},
};
use platform::{
    clock::{Clock, SystemClock},
    secret::Secret,
};
use protocol::{delivery::Segment, filter::Filter};

/// What to export, and how.
struct Ask {
    source: String,
    table: Option<String>,
    format: Arc<dyn Format>,
    template: Arc<dyn Template>,
    compression: Compression,
    out: Option<PathBuf>,
    columns: Vec<String>,
}

fn ask() -> anyhow::Result<Ask> {
    let mut words = std::env::args().skip(1);
    let source = words.next().context("which file?")?;
    let mut ask = Ask {
        source,
        table: None,
        format: Arc::new(Csv),
        template: Arc::new(Plain),
        compression: Compression::None,
        out: None,
        columns: Vec::new(),
    };
    while let Some(word) = words.next() {
        let mut value = || words.next().with_context(|| format!("{word} needs a value"));
        match word.as_str() {
            "--format" => ask.format = format(&value()?)?,
            "--compression" => ask.compression = value()?.parse()?,
            "--template" if value()? == "spreadsheet" => ask.template = Arc::new(Spreadsheet),
            "--template" => {}
            "--table" => ask.table = Some(value()?),
            "--out" => ask.out = Some(value()?.into()),
            other if other.starts_with('-') => bail!("`{other}` is not understood"),
            column => ask.columns.push(column.to_owned()),
        }
    }
    Ok(ask)
}

fn format(name: &str) -> anyhow::Result<Arc<dyn Format>> {
    let formats: [Arc<dyn Format>; 7] = [
        Arc::new(Csv),
        Arc::new(Tsv),
        Arc::new(Ndjson),
        Arc::new(Parquet),
        Arc::new(Xlsx),
        Arc::new(XlsxZip),
        Arc::new(CsvZip),
    ];
    formats.into_iter().find(|format| format.name() == name).with_context(|| format!("there is no format `{name}`"))
}

async fn dataset(ask: &Ask) -> anyhow::Result<Box<dyn Dataset>> {
    let Some(table) = &ask.table else {
        return Ok(Box::new(ParquetFile::open(ask.source.as_ref(), "file", "", "")?));
    };
    let settings = PostgresSettings::at(Secret::new(ask.source.as_str()));
    let server = PostgresServer::new(&settings).map_err(anyhow::Error::msg)?;
    let source = Source::table(table);
    let columns = PostgresRows::describe(&server, &source).await?;
    Ok(Box::new(PostgresRows::new(Arc::new(server), source, table, columns, Vec::new(), None)))
}

/// Where segments end up.
struct Sink {
    begun: Instant,
    file: Option<Mutex<File>>,
}

#[async_trait]
impl Outlet for Sink {
    async fn keep(&self, segment: &Segment, chunks: Vec<Bytes>) -> Result<(), JobError> {
        if segment.index == 0 {
            println!("first segment: {} bytes after {:?}", segment.size, self.begun.elapsed());
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
    let ask = ask()?;
    let budget = Budget::from(&ExporterConfig::default());
    let begun = Instant::now();

    let dataset = dataset(&ask).await?;
    let mut layout = ask.template.layout(dataset.as_ref(), &ask.columns)?;
    layout.timestamps = ask.format.timestamps(layout.timestamps);
    let query = Query {
        columns: layout.inputs().to_vec(),
        filter: Filter::And(vec![]),
        params: serde_json::Map::new(),
        limit: None,
    };
    let clock = SystemClock;
    let requested_at = clock.now().into();
    let pipeline = Pipeline {
        frames: dataset.open(&query).await?,
        encoding: ask.format.encoding(&layout, &budget.bounds)?,
        layout: Arc::new(layout),
        compression: ask.compression,
        requested_at,
        meter: Arc::new(Meter::start()),
        budget,
        outlet: &Sink { begun, file: ask.out.map(File::create).transpose()?.map(Mutex::new) },
        clock: Arc::new(clock),
    };
    let made = pipeline.run().await?;
    println!(
        "{} rows, {} bytes, {} segments in {:?}",
        made.seal.rows,
        made.seal.size,
        made.segments.len(),
        begun.elapsed()
    );
    println!("sha256 {}", made.seal.sha256);
    let status = std::fs::read_to_string("/proc/self/status")?;
    for line in status.lines().filter(|line| line.starts_with("VmHWM") || line.starts_with("VmRSS")) {
        println!("{line}");
    }
    Ok(())
}
