//! Tests remote files, files that differ from the declared columns, and damaged files.

use std::{io::Cursor, path::Path, sync::Arc, time::Duration};

use futures::TryStreamExt;
use object_store::{ObjectStoreExt, aws::AmazonS3Builder};
use platform::secret::Secret;
use polars::prelude::{
    Column as PolarsColumn, DataFrame, DataType, IpcStreamWriter, ParquetWriter, SerWriter, TimeUnit,
};
use protocol::{
    catalog::{Column, ColumnType},
    filter::{self, Filter},
};
use serde_json::{Map, json};
use testkit::s3::S3Server;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;
use crate::{
    dataset::{Dataset, DatasetError, DatasetInfo, Query},
    value::float32,
};

/// Opens a dataset of files with these declared columns.
pub(super) async fn opened(
    name: &str,
    location: Location,
    kind: FileKind,
    declared: &[Column],
) -> Result<Files, DatasetError> {
    Files::open(location, kind, DatasetInfo::new(name, declared.to_vec())).await
}

fn frame(from: i64) -> DataFrame {
    DataFrame::new_infer_height(vec![
        PolarsColumn::new("n".into(), (from..from + 10).collect::<Vec<_>>()),
        PolarsColumn::new("s".into(), (from..from + 10).map(|n| format!("row {n}")).collect::<Vec<_>>()),
    ])
    .unwrap()
}

fn parquet_bytes(mut frame: DataFrame) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    ParquetWriter::new(&mut bytes).finish(&mut frame).unwrap();
    bytes.into_inner()
}

fn stream_bytes(mut frame: DataFrame) -> Vec<u8> {
    let mut bytes = Vec::new();
    IpcStreamWriter::new(&mut bytes).finish(&mut frame).unwrap();
    bytes
}

fn all() -> Query {
    Query { columns: vec!["n".into()], filter: Filter::all(), params: Map::new(), limit: None }
}

async fn numbers(files: &Files, query: &Query) -> Result<Vec<i64>, DatasetError> {
    let frames: Vec<_> = files.open(query).await?.frames.try_collect().await?;
    Ok(frames.iter().flat_map(|f| f.column("n").unwrap().i64().unwrap().iter().flatten().collect::<Vec<_>>()).collect())
}

fn spool(dir: &Path, max_size: u64) -> Spool {
    Spool { dir: dir.to_owned(), max_size, timeout: Duration::from_secs(10) }
}

#[tokio::test]
async fn objects_of_a_bucket_are_read_in_the_order_of_their_names_without_leftovers() {
    let dir = tempfile::tempdir().unwrap();
    let bucket = S3Server::start().await.bucket().await;
    let store = bucket.store("");
    for (key, from) in
        [("sales/b.parquet", 10), ("sales/a.parquet", 0), ("sales/deep/c.parquet", 90), ("other.parquet", 90)]
    {
        store.put(key, parquet_bytes(frame(from))).await.unwrap();
    }
    let config = bucket.config("");
    let name = config.url.trim_start_matches("s3://").trim_end_matches('/').to_owned();
    let builder = AmazonS3Builder::new()
        .with_bucket_name(name)
        .with_region(&config.s3_region)
        .with_endpoint(&config.s3_endpoint)
        .with_allow_http(true)
        .with_access_key_id(&config.s3_access_key_id)
        .with_secret_access_key(config.s3_secret_access_key.expose());
    let objects: Arc<dyn object_store::ObjectStore> = Arc::new(builder.build().unwrap());
    let location = |bytes| Location::Objects {
        store: Arc::clone(&objects),
        source: SourceDigest::of([Some(config.url.as_str())]),
        pattern: "sales/*.parquet".into(),
        spool: spool(dir.path(), bytes),
    };
    let files = opened("sales", location(1 << 20), FileKind::Parquet, &[]).await.unwrap();
    assert_eq!(numbers(&files, &all()).await.unwrap(), (0..20).collect::<Vec<_>>());
    let some =
        Query { filter: filter::parse(&json!({"s": {"eq": "row 15"}}), &files.info().columns).unwrap(), ..all() };
    assert_eq!(numbers(&files, &some).await.unwrap(), [15]);
    assert_eq!(numbers(&files, &Query { limit: Some(12), ..all() }).await.unwrap().len(), 12);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "copies are unlinked");
    // a `%` in a key is not an escape
    store.put("sales/100%.parquet", parquet_bytes(frame(50))).await.unwrap();
    let percent = Query { filter: filter::parse(&json!({"n": {"gte": 50}}), &files.info().columns).unwrap(), ..all() };
    assert_eq!(numbers(&files, &percent).await.unwrap(), (50..60).collect::<Vec<_>>());
    let key = store_key(&*objects, "100").await;
    assert!(key.contains('%'), "{key}");
    let Location::Objects { store: objects, source, spool, .. } = location(1 << 20) else { unreachable!() };
    let alone = Location::Objects { store: Arc::clone(&objects), source, pattern: key, spool };
    let alone = opened("percent", alone, FileKind::Parquet, &[]).await.unwrap();
    assert_eq!(numbers(&alone, &all()).await.unwrap().len(), 10);
    objects.delete(&object_store::path::Path::parse(store_key(&*objects, "100").await).unwrap()).await.unwrap();
    let small = opened("sales", location(100), FileKind::Parquet, &[]).await.unwrap_err();
    assert!(small.to_string().contains("100 bytes") && !small.is_transient(), "{small}");
    store.delete_where("sales", |_| true).await.unwrap();
    assert!(
        matches!(numbers(&files, &all()).await, Err(DatasetError::NoFile(_))),
        "missing files are not an empty dataset"
    );
    assert!(matches!(opened("s", location(1 << 20), FileKind::Parquet, &[]).await, Err(DatasetError::NoFile(_))));
}

/// Returns the key in the bucket that contains the text `part`.
async fn store_key(objects: &dyn object_store::ObjectStore, part: &str) -> String {
    let keys: Vec<_> = objects.list(None).map_ok(|object| object.location.to_string()).try_collect().await.unwrap();
    keys.into_iter().find(|key| key.contains(part)).unwrap()
}

/// Starts an HTTP endpoint, and returns its URL. The endpoint returns `body` to clients that send the expected token.
async fn endpoint(body: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut head = vec![0; 4096];
            let read = socket.read(&mut head).await.unwrap_or(0);
            let request = String::from_utf8_lossy(&head[..read]).to_lowercase();
            let (status, body) = if request.contains("authorization: bearer t0ken") {
                ("200 OK", body.as_slice())
            } else {
                ("403 Forbidden", &b""[..])
            };
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            // the client may close the connection early
            drop(socket.write_all(&[answer.as_bytes(), body].concat()).await);
        }
    });
    format!("http://{address}/rows?token=hunter2")
}

#[tokio::test]
async fn an_error_of_an_endpoint_does_not_show_its_url() {
    let dir = tempfile::tempdir().unwrap();
    let whole = stream_bytes(frame(0));
    let location = async |body: Vec<u8>, token: &str| Location::Http {
        client: reqwest::Client::builder().no_proxy().build().unwrap(),
        url: endpoint(body).await.parse().unwrap(),
        bearer: Secret::new(token),
        spool: spool(dir.path(), 1 << 20),
    };
    let files = opened("rows", location(whole.clone(), "t0ken").await, FileKind::Arrow, &[]).await.unwrap();
    assert_eq!(numbers(&files, &all()).await.unwrap(), (0..10).collect::<Vec<_>>());
    let parquet = location(parquet_bytes(frame(0)), "t0ken").await;
    let files = opened("rows", parquet, FileKind::Parquet, &[]).await.unwrap();
    assert_eq!(numbers(&files, &all()).await.unwrap().len(), 10);
    let refused = opened("rows", location(whole.clone(), "wrong").await, FileKind::Arrow, &[]).await.unwrap_err();
    let text = format!("{refused} {refused:?}");
    assert!(text.contains("403") && !text.contains("hunter2") && !refused.is_transient(), "{text}");
}

#[tokio::test]
async fn a_scan_belongs_to_the_token_and_the_bucket_of_its_source() {
    let dir = tempfile::tempdir().unwrap();
    let url: url::Url = endpoint(b"n\n1\n".to_vec()).await.parse().unwrap();
    let location = |token: &str| {
        Arc::new(Location::Http {
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            url: url.clone(),
            bearer: Secret::new(token),
            spool: spool(dir.path(), 1 << 20),
        })
    };
    let csv = FileKind::Csv(CsvDialect::new(b','));
    let (right, wrong) = (location("t0ken"), location("wrong"));
    let pending = scan::find(&right, csv, Duration::ZERO).await.unwrap_err();
    assert!(matches!(pending, DatasetError::Scanning), "{pending}");
    let refused = scan::find(&wrong, csv, scan::MAX_WAIT).await.unwrap_err();
    assert!(refused.to_string().contains("403") && !refused.is_transient(), "{refused}");
    assert_eq!(scan::find(&right, csv, scan::MAX_WAIT).await.unwrap().columns.len(), 1);
    assert!(!right.identity().contains("t0ken") && right.identity() == location("t0ken").identity());

    // equal objects in buckets of the same name at different endpoints
    let memory = object_store::memory::InMemory::new();
    memory.put(&"a.csv".into(), "n\n1\n".into()).await.unwrap();
    let memory: Arc<dyn object_store::ObjectStore> = Arc::new(memory);
    let listed = async |endpoint| {
        let source = SourceDigest::of([Some(endpoint), Some("bucket")]);
        assert!(!format!("{source:?}").contains(|c: char| c.is_ascii_digit()));
        let objects = Location::Objects {
            store: Arc::clone(&memory),
            source,
            pattern: "*.csv".into(),
            spool: spool(dir.path(), 1 << 20),
        };
        (objects.identity(), objects.list().await.unwrap()[0].version.clone().unwrap())
    };
    let (first, second) = (listed("https://a").await, listed("https://b").await);
    assert!(first.0 != second.0 && first.1 != second.1 && first == listed("https://a").await);
}

#[tokio::test]
async fn broken_and_differing_files_are_errors_and_never_look_complete() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(dir.path().join(name), bytes).unwrap();
    let open = async |name: &str, columns: &[Column]| {
        let kind = FileKind::from_name(name).unwrap();
        opened("x", Location::Local(dir.path().join(name)), kind, columns).await
    };
    let n = [Column::new("n", ColumnType::Int)];
    for (name, good, bad) in [
        ("a.arrows", stream_bytes(frame(0)), stream_bytes(frame(0))[..400].to_vec()),
        ("a.parquet", parquet_bytes(frame(0)), parquet_bytes(frame(0))[..100].to_vec()),
        ("a.csv", b"n,s\n1,x\n".to_vec(), b"n,s\n1,x\nnone,y\n".to_vec()),
        ("b.csv", b"n,s\n1,x\n".to_vec(), b"n,s\n1,x\n2,y,z\n".to_vec()),
        ("d.csv", b"s,n\n#1,1\n".to_vec(), b"s,n\n# no comment\n".to_vec()),
        ("c.csv", b"n,s\n1,x\n".to_vec(), b"m,s\n1,x\n".to_vec()),
        ("a.ndjson", b"{\"n\":1}\n".to_vec(), b"{\"n\":1}\n{\"n\":".to_vec()),
        ("b.ndjson", b"{\"n\":1}\n".to_vec(), b"{\"n\":\"x\"}\n".to_vec()),
    ] {
        write(name, &good);
        let declared = if name.ends_with("csv") || name.ends_with("json") { &n[..] } else { &[] };
        let files = open(name, declared).await.unwrap();
        assert!(!numbers(&files, &all()).await.unwrap().is_empty(), "{name}");
        write(name, &bad);
        let error = numbers(&files, &all()).await.unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
    }
    // one of two files has text where the other has numbers
    write("p1.parquet", &parquet_bytes(frame(0)));
    let texts =
        DataFrame::new_infer_height(vec![PolarsColumn::new("n".into(), ["x"]), PolarsColumn::new("s".into(), ["y"])]);
    write("p2.parquet", &parquet_bytes(texts.unwrap()));
    let files = opened("x", Location::Local(dir.path().join("p*.parquet")), FileKind::Parquet, &[]).await.unwrap();
    assert!(files.info().notes[0].contains("p2.parquet") && files.info().notes[0].contains("`n`"));
    assert!(matches!(numbers(&files, &all()).await, Err(DatasetError::Changed(_) | DatasetError::InFile { .. })));
}

#[tokio::test]
async fn floats_of_either_width_keep_their_text_across_files() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, x: PolarsColumn| {
        let frame = DataFrame::new_infer_height(vec![x]).unwrap();
        std::fs::write(dir.path().join(name), parquet_bytes(frame)).unwrap();
    };
    let reals = || PolarsColumn::new("x".into(), [Some(0.1_f32), None, Some(f32::INFINITY)]);
    let doubles = || PolarsColumn::new("x".into(), [Some(0.1_f64), Some(0.5), None]);
    for (first, second) in [(reals(), doubles()), (doubles(), reals())] {
        write("a.parquet", first);
        write("b.parquet", second);
        let location = Location::Local(dir.path().join("*.parquet"));
        let files = opened("x", location, FileKind::Parquet, &[]).await.unwrap();
        let filter = filter::parse(&json!({"x": {"eq": 0.1}}), &files.info().columns).unwrap();
        let query = |filter| Query { columns: vec!["x".into()], filter, ..all() };
        for (filter, count) in [(filter, 2), (Filter::all(), 4)] {
            let frames: Vec<DataFrame> = files.open(&query(filter)).await.unwrap().frames.try_collect().await.unwrap();
            let found: Vec<_> = frames.iter().flat_map(floats).collect();
            assert_eq!(found.len(), count);
            assert_eq!(found.iter().filter(|x| **x == 0.1).count(), 2, "{found:?}");
        }
    }
    // the widest type of all files is used, even if only the last file has it
    write("a.parquet", reals());
    for wide in [0.123_456_789_012, 1e300] {
        write("b.parquet", PolarsColumn::new("x".into(), [wide]));
        let location = Location::Local(dir.path().join("*.parquet"));
        let files = opened("x", location, FileKind::Parquet, &[]).await.unwrap();
        let query = Query { columns: vec!["x".into()], ..all() };
        let frames: Vec<DataFrame> = files.open(&query).await.unwrap().frames.try_collect().await.unwrap();
        assert_eq!(frames.iter().flat_map(floats).next_back(), Some(wide));
        // a file that is written after the dataset was opened, and needs a wider type, is refused and not rounded
        write("b.parquet", reals());
        let files = opened("x", Location::Local(dir.path().join("*.parquet")), FileKind::Parquet, &[]).await.unwrap();
        write("b.parquet", PolarsColumn::new("x".into(), [wide]));
        let error = files.open(&query).await.unwrap().frames.try_collect::<Vec<_>>().await.unwrap_err();
        assert!(error.to_string().contains("too many digits for the type"), "{error}");
    }
}

#[tokio::test]
async fn decimals_and_moments_of_different_files_keep_all_their_digits() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, columns: Vec<PolarsColumn>| {
        let frame = DataFrame::new_infer_height(columns).unwrap();
        let bytes = if name.ends_with("parquet") { parquet_bytes(frame) } else { stream_bytes(frame) };
        std::fs::write(dir.path().join(name), bytes).unwrap();
    };
    let decimal =
        |text: &str, scale| PolarsColumn::new("d".into(), [text]).strict_cast(&DataType::Decimal(12, scale)).unwrap();
    let moment =
        |value: i64, unit| PolarsColumn::new("t".into(), [value]).strict_cast(&DataType::Datetime(unit, None)).unwrap();
    for extension in ["parquet", "arrows"] {
        let (a, b) = (format!("a.{extension}"), format!("b.{extension}"));
        let late = PolarsColumn::new("late".into(), ["x"]);
        write(&a, vec![decimal("1.50", 2), moment(5, TimeUnit::Milliseconds)]);
        write(&b, vec![decimal("0.12345", 5), moment(7, TimeUnit::Nanoseconds), late]);
        let location = || Location::Local(dir.path().join(format!("*.{extension}")));
        let kind = FileKind::from_name(&a).unwrap();
        let files = opened("x", location(), kind, &[]).await.unwrap();
        let csv = type_tests::exported(&files, &json!({}), &crate::format::Csv).await.unwrap();
        let csv = String::from_utf8(csv).unwrap();
        assert!(csv.contains("\n1.50000,") && csv.contains("\n0.12345,"), "{csv}");
        assert!(csv.contains(":00.005") && csv.contains(":00.000000007"), "{csv}");
        assert_eq!(files.info().notes, ["its first file lacks `late`, and so they are not offered"]);
        // a file that is written after the dataset was opened, and has more digits, is refused and not rounded
        std::fs::remove_file(dir.path().join(&b)).unwrap();
        for columns in [
            vec![decimal("0.12345", 5), moment(5, TimeUnit::Milliseconds)],
            vec![decimal("1.50", 2), moment(7, TimeUnit::Nanoseconds)],
        ] {
            let files = opened("x", location(), kind, &[]).await.unwrap();
            write(&b, columns);
            let error = type_tests::exported(&files, &json!({}), &crate::format::Csv).await.unwrap_err().to_string();
            assert!(error.contains(&b) && error.contains("too many digits for the type"), "{error}");
            std::fs::remove_file(dir.path().join(&b)).unwrap();
        }
    }
}

/// Returns the values of the column `x` as 64-bit floats. A 32-bit float becomes the 64-bit float with the same
/// shortest decimal text.
fn floats(frame: &DataFrame) -> Vec<f64> {
    let x = frame.column("x").unwrap();
    let x = if x.dtype() == &DataType::Float32 { float32::widened(x).unwrap() } else { x.clone() };
    x.f64().unwrap().iter().flatten().collect()
}

#[tokio::test]
async fn text_files_have_types_by_declaration_or_by_all_their_rows() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.csv");
    std::fs::write(&path, "\u{feff}# made: today\nid,code,at,price\n1,#07,2026-11-22T10:00:00+01:00,1.50\n,,,\n")
        .unwrap();
    let files = opened("t", Location::Local(path.clone()), FileKind::Csv(CsvDialect::new(b',')), &[]).await.unwrap();
    let kinds: Vec<_> = files.info().columns.iter().map(|column| column.kind).collect();
    // texts keep the offset of a timestamp, and decimals keep a trailing zero
    assert_eq!(kinds, [ColumnType::Int, ColumnType::String, ColumnType::String, ColumnType::Decimal]);
    let declared = [Column::new("price", ColumnType::Decimal), Column::new("id", ColumnType::String)];
    let files = opened("t", Location::Local(path), FileKind::Csv(CsvDialect::new(b',')), &declared).await.unwrap();
    let query = Query { columns: vec!["id".into(), "price".into()], ..all() };
    let frames: Vec<_> = files.open(&query).await.unwrap().frames.try_collect().await.unwrap();
    let shown: Vec<_> = frames[0].columns().iter().map(|c| c.get(0).unwrap().str_value().into_owned()).collect();
    assert_eq!(shown, ["1", "1.50"]);
    assert_eq!(frames[0].columns()[0].null_count(), 1);
}

#[tokio::test]
async fn decimals_of_text_files_keep_all_their_digits() {
    let dir = tempfile::tempdir().unwrap();
    let long = "12345678901234567890123456789012345678901234567890.12345678901234567890";
    std::fs::write(dir.path().join("t.csv"), format!("n,price\n1,{long}\n2,0.1234567890123\n3,NaN\n4,-7\n5,\n"))
        .unwrap();
    let line = |n: i64, price: &str| format!("{}\n", json!({"n": n, "price": price}));
    let lines = [line(1, long), line(2, "0.1234567890123"), line(3, "NaN"), line(4, "-7"), "{\"n\": 5}\n".to_owned()];
    std::fs::write(dir.path().join("t.ndjson"), lines.concat()).unwrap();
    let declared = [Column::new("n", ColumnType::Int), Column::new("price", ColumnType::Decimal)];
    for name in ["t.csv", "t.ndjson"] {
        let location = Location::Local(dir.path().join(name));
        let files = opened("t", location, FileKind::from_name(name).unwrap(), &declared).await.unwrap();
        assert_eq!(files.info().columns[1].kind, ColumnType::Decimal);
        let query = Query { columns: vec!["price".into()], ..all() };
        let frames: Vec<_> = files.open(&query).await.unwrap().frames.try_collect().await.unwrap();
        let texts: Vec<_> = frames[0].column("price").unwrap().str().unwrap().iter().collect();
        assert_eq!(texts, [Some(long), Some("0.1234567890123"), Some("NaN"), Some("-7"), None], "{name}");
        for (filter, expected) in [
            (json!({"price": {"gt": "0.1234567890123"}}), vec![1, 3]),
            (json!({"price": {"eq": "0.12345678901230"}}), vec![2]),
            (json!({"price": {"lt": "0.1234567890124"}}), vec![2, 4]),
            (json!({"price": {"gte": "0.1234567890123"}}), vec![1, 2, 3]),
            (json!({"price": {"in": ["-7.00", "8"]}}), vec![4]),
            (json!({"not": {"price": {"between": [-7, 1]}}}), vec![1, 3]),
        ] {
            let some = Query { filter: filter::parse(&filter, &files.info().columns).unwrap(), ..all() };
            assert_eq!(numbers(&files, &some).await.unwrap(), expected, "{name} {filter}");
        }
    }
}

#[tokio::test]
async fn an_unclosed_quote_is_an_error_and_loses_no_rows_silently() {
    let dir = tempfile::tempdir().unwrap();
    let good = "# made today\nn,s\n1,a\n2,\"b \"\"quoted\"\"\nand more\"\n3,\"c\"";
    let open = "# made today\nn,s\n1,a\n2,\"b\n3,c\n4,d\n";
    let path = dir.path().join("a.csv");
    std::fs::write(&path, good).unwrap();
    let files = opened("a", Location::Local(path.clone()), FileKind::Csv(CsvDialect::new(b',')), &[]).await.unwrap();
    assert_eq!(numbers(&files, &all()).await.unwrap(), [1, 2, 3]);
    // both reading the rows and reading the schema find the unclosed quote
    std::fs::write(&path, open).unwrap();
    let error = numbers(&files, &all()).await.unwrap_err();
    assert!(error.to_string().contains("a quote is not closed"), "{error}");
    let error =
        opened("a", Location::Local(path.clone()), FileKind::Csv(CsvDialect::new(b',')), &[]).await.unwrap_err();
    assert!(error.to_string().contains("a quote is not closed"), "{error}");
    // a very long field is refused before it is read completely
    let mut long = b"n,s\n1,\"".to_vec();
    long.resize(70 << 20, b'x');
    std::fs::write(&path, long).unwrap();
    let error = numbers(&files, &all()).await.unwrap_err();
    assert!(error.to_string().contains("64 MiB"), "{error}");
}

#[tokio::test]
async fn large_unsigned_numbers_are_read_from_parquet() {
    let dir = tempfile::tempdir().unwrap();
    let ids = PolarsColumn::new("id".into(), [1_u64, u64::MAX, 9_223_372_036_854_775_808]);
    let n = PolarsColumn::new("n".into(), [1_i64, 2, 3]);
    let path = dir.path().join("a.parquet");
    std::fs::write(&path, parquet_bytes(DataFrame::new_infer_height(vec![n, ids]).unwrap())).unwrap();
    let files = opened("a", Location::Local(path), FileKind::Parquet, &[]).await.unwrap();
    let kinds: Vec<_> = files.info().columns.iter().map(|column| column.kind).collect();
    assert_eq!(kinds, [ColumnType::Int, ColumnType::Decimal]);
    for (filter, found) in [
        (json!({}), vec![1, 2, 3]),
        (json!({"id": {"eq": "18446744073709551615"}}), vec![2]),
        (json!({"id": {"gt": 1}}), vec![2, 3]),
    ] {
        let filter = filter::parse(&filter, &files.info().columns).unwrap();
        assert_eq!(numbers(&files, &Query { filter, ..all() }).await.unwrap(), found);
    }
    let every = Query { columns: vec!["id".into()], ..all() };
    let read: Vec<_> = files.open(&every).await.unwrap().frames.try_collect().await.unwrap();
    let cell = |name: &str| read[0].column(name).unwrap().get(1).unwrap().str_value().into_owned();
    assert_eq!(cell("id"), "18446744073709551615");
}

#[tokio::test]
async fn a_copy_stops_when_its_export_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let whole = stream_bytes(frame(0));
    let (requested, waiting) = tokio::sync::oneshot::channel();
    let server = tokio::spawn(async move {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", whole.len());
        // the whole body for reading the schema
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 4096];
        assert!(socket.read(&mut request).await.unwrap() > 0);
        socket.write_all(&[head.as_bytes(), &whole].concat()).await.unwrap();
        drop(socket);
        // only the beginning of the body for the export
        let (mut socket, _) = listener.accept().await.unwrap();
        assert!(socket.read(&mut request).await.unwrap() > 0);
        socket.write_all(&[head.as_bytes(), &whole[..50]].concat()).await.unwrap();
        requested.send(()).unwrap();
        // wait until the client closes the connection
        socket.read(&mut request).await
    });
    let location = Location::Http {
        client: reqwest::Client::builder().no_proxy().build().unwrap(),
        url: format!("http://{address}/rows.arrows").parse().unwrap(),
        bearer: Secret::default(),
        spool: Spool { dir: dir.path().to_owned(), max_size: 1 << 20, timeout: Duration::from_secs(120) },
    };
    let files = opened("rows", location, FileKind::Arrow, &[]).await.unwrap();
    let frames = files.open(&all()).await.unwrap();
    waiting.await.unwrap();
    drop(frames);
    let hung_up = tokio::time::timeout(Duration::from_secs(20), server).await.expect("the copy stops").unwrap();
    assert!(hung_up.is_err() || hung_up.is_ok_and(|read| read == 0));
}
