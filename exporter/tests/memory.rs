//! No source is ever whole in memory: three times the rows are exported in the memory that a third of them takes.
//!
//! Each test makes its data piece by piece, and is a process of its own, whose peak is measured. Parquet files are measured
//! on larger data, through a whole fleet, as are the formats that are not text.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "what was measured is told, and what can't be made fails"
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
        Dataset, FileKind, Files, Place, PostgresRows, PostgresServer, PostgresSettings, Query, Spool, Table,
        sql::{Raw, Source},
    },
    error::JobError,
    format::{Compression, Csv, Format},
    pipeline::{Budget, Pipeline},
    progress::Meter,
    segment::Outlet,
    template::{Plain, Template},
};
use platform::{
    clock::{Clock, SystemClock},
    config::DatabaseConfig,
    secret::Secret,
};
use polars_arrow::{
    array::{Array, Int64Array, Utf8Array},
    datatypes::{ArrowDataType, ArrowSchema, Field},
    io::ipc::write::{Compression as Packing, FileWriter, StreamWriter, WriteOptions},
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

/// Rows of the smaller source, …
const ROWS: u64 = 150_000;
/// … and bytes of the text of each: enough to fill whatever is read ahead.
const WIDTH: usize = 1_024;
/// Rows of one batch.
const BATCH: u64 = 4_096;
const MIB: u64 = 1 << 20;

/// The text of a row.
fn text(row: u64) -> String {
    format!("{row:016x}").repeat(WIDTH / 16)
}

/// Segments that nobody keeps.
struct Nowhere;

#[async_trait]
impl Outlet for Nowhere {
    async fn keep(&self, _: &Segment, _: Vec<Bytes>) -> Result<(), JobError> {
        Ok(())
    }
}

/// Exports all of a dataset as an exporter would, and gives its rows and the bytes of its file.
async fn export(dataset: &dyn Dataset) -> (u64, u64) {
    let mut layout = Plain.layout(dataset, &[]).unwrap();
    layout.timestamps = Csv.timestamps(layout.timestamps);
    let columns = layout.inputs().to_vec();
    let query = Query { columns, filter: Filter::all(), params: serde_json::Map::new(), limit: None };
    let budget = Budget::from(&ExporterConfig::default());
    let pipeline = Pipeline {
        frames: dataset.begin(&query).await.unwrap().frames,
        encoding: Csv.encoding(&layout, &budget.bounds).unwrap(),
        layout: Arc::new(layout),
        compression: Compression::None,
        requested_at: SystemClock.now().into(),
        meter: Arc::new(Meter::start()),
        budget,
        outlet: &Nowhere,
        clock: Arc::new(SystemClock),
    };
    let seal = pipeline.run().await.unwrap().seal;
    (seal.rows, seal.size)
}

/// Exports a source of so many rows, and one of three times as many.
async fn flat(what: &str, mut source: impl AsyncFnMut(u64) -> Arc<dyn Dataset>) {
    let mut peaks = Vec::new();
    for rows in [ROWS, 3 * ROWS] {
        let dataset = source(rows).await;
        let (exported, bytes) = export(dataset.as_ref()).await;
        assert_eq!(exported, rows, "{what}");
        assert!(bytes > rows * WIDTH as u64, "{what}: {bytes} bytes");
        // the highest so far, which a smaller one after it would not show
        peaks.push(fault::memory(std::process::id()).peak);
        println!("{what}: {rows} rows, {} MiB, peak {} MiB", bytes / MIB, peaks[peaks.len() - 1] / MIB);
    }
    // allocators breathe; a quarter of what is more is the line
    let more = 2 * ROWS * WIDTH as u64;
    assert!(peaks[1] < peaks[0] + more / 4, "{what}: from {} to {} MiB", peaks[0] / MIB, peaks[1] / MIB);
}

fn shared(dataset: impl Dataset + 'static) -> Arc<dyn Dataset> {
    Arc::new(dataset)
}

fn columns() -> Vec<Column> {
    vec![Column::new("id", ColumnType::Int), Column::new("text", ColumnType::String)]
}

/// Fills a table of this name, and gives a server to read it from.
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
async fn heavy_tables_of_postgres_are_exported_in_memory_that_does_not_grow_with_them() {
    // the server lives as long as this
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    flat("table of PostgreSQL", async |rows| {
        let name = format!("wide{rows}");
        let server = filled(&database, &name, rows).await;
        shared(PostgresRows::new(server, Source::table(&name), "wide", columns(), vec![], None))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heavy_queries_of_postgres_are_exported_in_memory_that_does_not_grow_with_them() {
    // the server lives as long as this
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    flat("query of PostgreSQL", async |rows| {
        let name = format!("wide{rows}");
        let server = filled(&database, &name, rows).await;
        let raw = Raw::parse(&format!("SELECT id, text FROM {name} WHERE id > 0"), &[]).unwrap();
        shared(PostgresRows::new(server, Source::Query(Arc::new(raw)), "wide", columns(), vec![], None))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heavy_files_of_sqlite_are_exported_in_memory_that_does_not_grow_with_them() {
    let dir = tempfile::tempdir().unwrap();
    flat("SQLite", async |rows| {
        let path = dir.path().join(format!("{rows}.db"));
        let db = sea_orm::Database::connect(format!("sqlite://{}?mode=rwc", path.display())).await.unwrap();
        // as many pairs of digits as the text has numbers, each of which becomes the number
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
        shared(Table::of(db, Source::table("wide"), "wide", columns(), vec![], Some("id".into())))
    })
    .await;
}

/// A dataset of one file that `write` fills.
async fn file(dir: &Path, name: &str, write: impl FnOnce(BufWriter<File>)) -> Arc<dyn Dataset> {
    let path = dir.join(name);
    write(BufWriter::new(File::create(&path).unwrap()));
    of_place(Place::Local(path), name).await
}

async fn of_place(place: Place, name: &str) -> Arc<dyn Dataset> {
    shared(Files::open("wide", place, FileKind::of(name).unwrap(), &columns()).await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn heavy_files_of_csv_are_exported_in_memory_that_does_not_grow_with_them() {
    let dir = tempfile::tempdir().unwrap();
    flat("CSV", async |rows| {
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
async fn heavy_files_of_ndjson_are_exported_in_memory_that_does_not_grow_with_them() {
    let dir = tempfile::tempdir().unwrap();
    flat("NDJSON", async |rows| {
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

/// All rows, some at a time.
fn batches(rows: u64) -> impl Iterator<Item = RecordBatchT<Box<dyn Array>>> {
    (0..rows).step_by(BATCH as usize).map(move |from| {
        let rows = from..(from + BATCH).min(rows);
        let texts = Utf8Array::<i64>::from_iter_values(rows.clone().map(text)).boxed();
        let length = (rows.end - rows.start) as usize;
        let ids = Int64Array::from_vec(rows.map(|row| row as i64).collect()).boxed();
        RecordBatchT::new(length, schema(), vec![ids, texts])
    })
}

fn write_stream(out: BufWriter<File>, rows: u64, compression: Option<Packing>) {
    let mut writer = StreamWriter::new(out, WriteOptions { compression });
    writer.start(&schema(), None).unwrap();
    batches(rows).for_each(|batch| writer.write(&batch, None).unwrap());
    writer.finish().unwrap();
    writer.into_inner().flush().unwrap();
}

/// Streams, and files with their own end, packed or not.
async fn arrow(name: &str, compression: Option<Packing>) {
    let dir = tempfile::tempdir().unwrap();
    flat(&format!("{name} {compression:?}"), async |rows| {
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
async fn heavy_streams_of_arrow_are_exported_in_memory_that_does_not_grow_with_them() {
    arrow("arrows", None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heavy_streams_of_arrow_with_zstd_are_exported_in_memory_that_does_not_grow_with_them() {
    arrow("arrows", Some(Packing::ZSTD(Default::default()))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heavy_files_of_arrow_are_exported_in_memory_that_does_not_grow_with_them() {
    arrow("arrow", None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heavy_files_of_arrow_with_lz4_are_exported_in_memory_that_does_not_grow_with_them() {
    arrow("arrow", Some(Packing::LZ4)).await;
}

/// An endpoint that answers with a file as often as it is asked, and reads it anew each time.
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
async fn heavy_answers_of_an_endpoint_are_exported_in_memory_that_does_not_grow_with_them() {
    let dir = tempfile::tempdir().unwrap();
    flat("HTTP", async |rows| {
        let path = dir.path().join(format!("{rows}.arrows"));
        write_stream(BufWriter::new(File::create(&path).unwrap()), rows, None);
        let place = Place::Http {
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            url: endpoint(path).await.parse().unwrap(),
            bearer: Secret::default(),
            spool: Spool { dir: dir.path().to_owned(), bytes: 1 << 30, timeout: Duration::from_secs(60) },
        };
        of_place(place, "rows.arrows").await
    })
    .await;
}
