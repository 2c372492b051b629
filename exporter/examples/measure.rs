//! Exports a Parquet file to nowhere and says how long that took and how much memory it needed.
//!
//! `cargo run --example measure -- FILE [COLUMN …]`

#![expect(clippy::print_stdout, reason = "a tool for people")]

use std::{path::PathBuf, sync::Arc, time::Instant};

use async_trait::async_trait;
use bytes::Bytes;
use exporter::{
    ExporterConfig,
    dataset::{Dataset, ParquetFile, Query},
    error::JobError,
    format::{Csv, Format, Head},
    pipeline::Pipeline,
    progress::Meter,
    segment::{Limits, Outlet},
    template::{Plain, Template},
};
use platform::clock::{Clock, SystemClock};
use protocol::{delivery::Segment, filter::Filter};

struct Nowhere(Instant);

#[async_trait]
impl Outlet for Nowhere {
    async fn keep(&self, segment: &Segment, _: Vec<Bytes>) -> Result<(), JobError> {
        if segment.index == 0 {
            println!("first segment: {} bytes after {:?}", segment.size, self.0.elapsed());
        }
        Ok(())
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let path = PathBuf::from(args.next().ok_or_else(|| anyhow::anyhow!("which file?"))?);
    let columns: Vec<String> = args.collect();
    let config = ExporterConfig::default();
    let begun = Instant::now();

    let dataset = ParquetFile::open(&path, "file", "", "")?;
    let layout = Plain.layout(&dataset, &columns)?;
    let columns = layout.columns.iter().map(|column| column.source.name.clone()).collect();
    let query = Query { columns, filter: Filter::And(vec![]), params: serde_json::Map::new(), limit: None };
    let clock = SystemClock;
    let pipeline = Pipeline {
        frames: dataset.open(&query).await?,
        encoder: Arc::from(Csv.encoder(&layout)?),
        head: Head { requested_at: clock.now().into() },
        meter: Arc::new(Meter::start()),
        limits: Limits::from(&config),
        encoders: std::thread::available_parallelism()?.get(),
        outlet: &Nowhere(begun),
        clock: &clock,
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
