//! Tests that the memory of an export does not grow with its source: three times the rows need no more memory.
//!
//! Each test runs in a separate process, whose peak memory is measured, and generates its data in small parts. The
//! end-to-end tests measure Parquet files, and the formats that are not text, on larger data.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test prints its measurements, and fails if it can't be set up"
)]

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use exporter::{
    ExporterConfig,
    dataset::{
        Dataset, DatasetInfo, FileKind, Files, Location, PostgresRows, PostgresServer, PostgresSettings, Query, Spool,
        SqlRows,
        sql::{OrderBy, QueryText, Source},
    },
    error::JobError,
    format::{Compression, Csv, Format},
    pipeline::{Pipeline, PipelineLimits},
    progress::Meter,
    segment::SegmentSink,
    template::{Enveloped, Template},
};
use platform::{
    clock::{Clock, SystemClock},
    config::DatabaseConfig,
    secret::Secret,
};
use polars_arrow::{
    array::{Array, Int64Array, Utf8Array},
    datatypes::{ArrowDataType, ArrowSchema, Field},
    io::ipc::write::{Compression as IpcCompression, FileWriter, StreamWriter, WriteOptions},
    record_batch::RecordBatchT,
};
use protocol::{
    catalog::{Column, ColumnType},
    delivery::Segment,
    filter::Filter,
};
use sea_orm::ConnectionTrait;
use testkit::{
    db::{Postgres, TestDatabase},
    fault,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// The number of rows in the smaller source.
const ROWS: u64 = 150_000;
/// The size of the text in each row, in bytes. The size is large, so that the rows fill every buffer.
const WIDTH: usize = 1_024;
/// The number of rows in an Arrow batch.
const BATCH: u64 = 4_096;
const MIB: u64 = 1 << 20;

/// The text of a row.
fn text(row: u64) -> String {
    format!("{row:016x}").repeat(WIDTH / 16)
}

/// A segment sink that discards every segment.
struct Discard;

#[async_trait]
impl SegmentSink for Discard {
    async fn store(&self, _: &Segment, _: Vec<Bytes>) -> Result<(), JobError> {
        Ok(())
    }
}

/// Exports a whole dataset as an exporter does. Returns the number of rows and the size of the file.
async fn export(dataset: &dyn Dataset) -> (u64, u64) {
    let mut layout = Enveloped.layout(dataset.info(), &[]).unwrap();
    layout.timestamps = Csv.info().timestamps(layout.timestamps);
    let columns = layout.inputs().to_vec();
    let query = Query { columns, filter: Filter::all(), params: serde_json::Map::new(), limit: None };
    let limits = PipelineLimits::from(&ExporterConfig::default());
    let pipeline = Pipeline {
        frames: dataset.open(&query).await.unwrap().frames,
        encoding: Csv.encoding(&layout, Compression::None, &limits.format).unwrap(),
        layout: Arc::new(layout),
        compression: Compression::None,
        requested_at: SystemClock.now().into(),
        meter: Arc::new(Meter::start()),
        limits,
        sink: &Discard,
        clock: Arc::new(SystemClock),
    };
    let seal = pipeline.run().await.unwrap().seal;
    (seal.rows, seal.size)
}

/// Exports a source with [`ROWS`] rows, and one with three times as many rows. Checks that the second export needs no
/// more memory. `source` creates a source with a number of rows.
async fn assert_flat(source_name: &str, mut source: impl AsyncFnMut(u64) -> Arc<dyn Dataset>) {
    let mut peaks = Vec::new();
    for rows in [ROWS, 3 * ROWS] {
        let dataset = source(rows).await;
        let (exported, bytes) = export(dataset.as_ref()).await;
        assert_eq!(exported, rows, "{source_name}");
        assert!(bytes > rows * WIDTH as u64, "{source_name}: {bytes} bytes");
        // the peak of the process so far, so that the larger source comes last
        peaks.push(fault::memory(std::process::id()).peak);
        println!("{source_name}: {rows} rows, {} MiB, peak {} MiB", bytes / MIB, peaks[peaks.len() - 1] / MIB);
    }
    // a quarter of the additional data allows for the allocator
    let more = 2 * ROWS * WIDTH as u64;
    assert!(peaks[1] < peaks[0] + more / 4, "{source_name}: from {} to {} MiB", peaks[0] / MIB, peaks[1] / MIB);
}

fn shared(dataset: impl Dataset + 'static) -> Arc<dyn Dataset> {
    Arc::new(dataset)
}

fn info() -> DatasetInfo {
    DatasetInfo::new("wide", vec![Column::new("id", ColumnType::Int), Column::new("text", ColumnType::String)])
}

/// Creates a table of this name with `rows` rows. Returns the server of the table.
async fn filled(database: &TestDatabase, name: &str, rows: u64) -> Arc<PostgresServer> {
    let fill = format!(
        "CREATE UNLOGGED TABLE {name} AS SELECT n AS id, repeat(lpad(to_hex(n), 16, '0'), {}) AS text \
         FROM generate_series(1::bigint, {rows}) AS n; ANALYZE {name}",
        WIDTH / 16
    );
    database.db.execute_unprepared(&fill).await.unwrap();
    Arc::new(PostgresServer::new(&PostgresSettings::at(Secret::new(database.url()))).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn heavy_tables_of_postgres_are_exported_in_constant_memory() {
    // the server stops when this is dropped
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    assert_flat("table of PostgreSQL", async |rows| {
        let name = format!("wide{rows}");
        let server = filled(&database, &name, rows).await;
        shared(PostgresRows::new(server, Source::table(&name), info()))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heavy_queries_of_postgres_are_exported_in_constant_memory() {
    // the server stops when this is dropped
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    assert_flat("query of PostgreSQL", async |rows| {
        let name = format!("wide{rows}");
        let server = filled(&database, &name, rows).await;
        let text = QueryText::parse(&format!("SELECT id, text FROM {name} WHERE id > 0"), &[]).unwrap();
        shared(PostgresRows::new(server, Source::Query(Arc::new(text)), info()))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heavy_files_of_sqlite_are_exported_in_constant_memory() {
    let dir = tempfile::tempdir().unwrap();
    assert_flat("SQLite", async |rows| {
        let path = dir.path().join(format!("{rows}.db"));
        let db = sea_orm::Database::connect(format!("sqlite://{}?mode=rwc", path.display())).await.unwrap();
        // each `00` of the blob becomes one copy of the number
        let fill = format!(
            "CREATE TABLE wide (id INTEGER PRIMARY KEY, text TEXT NOT NULL); \
             WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows}) \
             INSERT INTO wide SELECT i, replace(hex(zeroblob({})), '00', printf('%016x', i)) FROM n",
            WIDTH / 16
        );
        db.execute_unprepared(&fill).await.unwrap();
        db.close().await.unwrap();
        let config = DatabaseConfig { url: platform::db::sqlite_read_only(&path), ..DatabaseConfig::default() };
        let db = platform::db::connect(&config).await.unwrap();
        shared(SqlRows::new(db, Source::table("wide"), info()).ordered_by(vec![OrderBy::ascending("id")]))
    })
    .await;
}

/// Returns a dataset of one file. `write` writes the content of the file.
async fn file(dir: &Path, name: &str, write: impl FnOnce(BufWriter<File>)) -> Arc<dyn Dataset> {
    let path = dir.join(name);
    write(BufWriter::new(File::create(&path).unwrap()));
    at_location(Location::Local(path), name).await
}

async fn at_location(location: Location, name: &str) -> Arc<dyn Dataset> {
    shared(Files::open(location, FileKind::from_name(name).unwrap(), info()).await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn heavy_files_of_csv_are_exported_in_constant_memory() {
    let dir = tempfile::tempdir().unwrap();
    assert_flat("CSV", async |rows| {
        file(dir.path(), &format!("{rows}.csv"), |mut out| {
            writeln!(out, "id,text").unwrap();
            (0..rows).for_each(|row| writeln!(out, "{row},{}", text(row)).unwrap());
            out.flush().unwrap();
        })
        .await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heavy_files_of_ndjson_are_exported_in_constant_memory() {
    let dir = tempfile::tempdir().unwrap();
    assert_flat("NDJSON", async |rows| {
        file(dir.path(), &format!("{rows}.ndjson"), |mut out| {
            (0..rows).for_each(|row| writeln!(out, "{{\"id\":{row},\"text\":\"{}\"}}", text(row)).unwrap());
            out.flush().unwrap();
        })
        .await
    })
    .await;
}

fn schema() -> Arc<ArrowSchema> {
    let fields = [("id", ArrowDataType::Int64), ("text", ArrowDataType::LargeUtf8)];
    Arc::new(fields.into_iter().map(|(name, dtype)| Field::new(name.into(), dtype, false)).collect())
}

/// Returns `rows` rows as Arrow batches.
fn batches(rows: u64) -> impl Iterator<Item = RecordBatchT<Box<dyn Array>>> {
    (0..rows).step_by(BATCH as usize).map(move |from| {
        let rows = from..(from + BATCH).min(rows);
        let texts = Utf8Array::<i64>::from_iter_values(rows.clone().map(text)).boxed();
        let length = (rows.end - rows.start) as usize;
        let ids = Int64Array::from_vec(rows.map(|row| row as i64).collect()).boxed();
        RecordBatchT::new(length, schema(), vec![ids, texts])
    })
}

fn write_stream(out: BufWriter<File>, rows: u64, compression: Option<IpcCompression>) {
    let mut writer = StreamWriter::new(out, WriteOptions { compression });
    writer.start(&schema(), None).unwrap();
    batches(rows).for_each(|batch| writer.write(&batch, None).unwrap());
    writer.finish().unwrap();
    writer.into_inner().flush().unwrap();
}

/// Tests the memory for an Arrow file or stream with this compression. `name` is the extension of the file.
async fn arrow(name: &str, compression: Option<IpcCompression>) {
    let dir = tempfile::tempdir().unwrap();
    assert_flat(&format!("{name} {compression:?}"), async |rows| {
        file(dir.path(), &format!("{rows}.{name}"), |out| {
            if name == "arrows" {
                return write_stream(out, rows, compression);
            }
            let mut writer = FileWriter::try_new(out, schema(), None, WriteOptions { compression }).unwrap();
            batches(rows).for_each(|batch| writer.write(&batch, None).unwrap());
            writer.finish().unwrap();
            writer.into_inner().flush().unwrap();
        })
        .await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heavy_streams_of_arrow_are_exported_in_constant_memory() {
    arrow("arrows", None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heavy_streams_of_arrow_with_zstd_are_exported_in_constant_memory() {
    arrow("arrows", Some(IpcCompression::ZSTD(Default::default()))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heavy_files_of_arrow_are_exported_in_constant_memory() {
    arrow("arrow", None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heavy_files_of_arrow_with_lz4_are_exported_in_constant_memory() {
    arrow("arrow", Some(IpcCompression::LZ4)).await;
}

/// Starts an HTTP endpoint that answers each request with the content of a file. Returns its URL.
async fn endpoint(path: PathBuf) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut head = vec![0; 4096];
            assert!(socket.read(&mut head).await.unwrap() > 0);
            let mut file = tokio::fs::File::open(&path).await.unwrap();
            let length = file.metadata().await.unwrap().len();
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
            socket.write_all(answer.as_bytes()).await.unwrap();
            assert_eq!(tokio::io::copy(&mut file, &mut socket).await.unwrap(), length);
        }
    });
    format!("http://{address}/rows.arrows")
}

#[tokio::test(flavor = "multi_thread")]
async fn heavy_answers_of_an_endpoint_are_exported_in_constant_memory() {
    let dir = tempfile::tempdir().unwrap();
    assert_flat("HTTP", async |rows| {
        let path = dir.path().join(format!("{rows}.arrows"));
        write_stream(BufWriter::new(File::create(&path).unwrap()), rows, None);
        let location = Location::Http {
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            url: endpoint(path).await.parse().unwrap(),
            bearer: Secret::default(),
            spool: Spool { dir: dir.path().to_owned(), max_size: 1 << 30, timeout: Duration::from_secs(60) },
        };
        at_location(location, "rows.arrows").await
    })
    .await;
}
