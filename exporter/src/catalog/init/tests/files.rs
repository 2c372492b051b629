//! Tests `catalog init` with folders, patterns, buckets and single files.

use polars::prelude::{Column as PolarsColumn, DataFrame, ParquetWriter};
use protocol::catalog::ColumnType;
use serde_json::json;

use super::*;
use crate::catalog::tests::rows;

fn parquet(path: &Path, columns: Vec<PolarsColumn>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut frame = DataFrame::new_infer_height(columns).unwrap();
    ParquetWriter::new(fs::File::create(path).unwrap()).finish(&mut frame).unwrap();
}

fn reason(written: &Written, what: &str) -> String {
    let found = written.report.not_offered.iter().find(|part| part.what == what);
    found.unwrap_or_else(|| panic!("no {what} in {:?}", written.report.not_offered)).reason.clone()
}

#[tokio::test]
async fn a_folder_becomes_one_dataset_for_each_set_of_files() {
    let fixture = Fixture::new();
    fixture.write("lake/orders-2024.csv", "id,tenant_id,email\n1,42,a@example.com\n2,7,b@example.com\n");
    fixture.write("lake/orders-2025.csv", "tenant_id,id,email\n42,3,c@example.com\n");
    fixture.write("lake/prices_1.csv", "id,price\n1,1.10\n");
    fixture.write("lake/prices_2.csv", "id,amount\n1,2\n");
    fixture.write("lake/german.csv", "id;name;price\n1;Käse;1,50\n2;Brot;2,50\n");
    fixture.write("lake/log.ndjson", "{\"at\":\"2026-11-22T10:00:00\",\"n\":1}\n{\"n\":2,\"extra\":true}\n");
    fixture.write("lake/broken.csv", "a,b\n1,\"x\n");
    fixture.write("lake/empty.csv", "");
    fixture.write("lake/notes.txt", "x");
    fixture.write("lake/old.csv.gz", "x");
    fixture.write("lake/_SUCCESS", "");
    let number = |name: &str, values: [i64; 2]| PolarsColumn::new(name.into(), values);
    for (at, path) in ["year=2024/month=1/a.parquet", "year=2024/month=2/b.parquet", "year=2025/month=1/c.parquet"]
        .into_iter()
        .enumerate()
    {
        let values = [at as i64, at as i64 + 1];
        parquet(&fixture.path(&format!("lake/sales/{path}")), vec![number("id", values), number("amount", values)]);
    }
    parquet(&fixture.path("lake/people.parquet"), vec![PolarsColumn::new("name".into(), ["Ada", "Bo"])]);

    let source = fixture.path("lake");
    let (written, loaded) = fixture.init(source.to_str().unwrap(), &InitOptions::default()).await;
    let text = &written.text;
    assert_eq!(names(&loaded), ["german", "log", "orders", "people", "prices_1", "prices_2", "sales"], "{text}");

    // files whose names differ in numbers are one dataset only if their columns agree
    let orders = part(text, "orders");
    assert!(orders.contains(&format!("files = \"{}/orders-[0-9]*.csv\"", source.display())), "{orders}");
    let why = comments(text, "orders");
    assert!(why.contains("Guess: 2 files whose names differ in numbers only and whose columns agree"), "{why}");
    assert!(orders.contains("{ name = \"id\", type = \"int\", label = \"ID\" },"), "{orders}");
    let claims = json!({"tenant": "42"});
    let mut ids = rows(Arc::clone(dataset(&loaded, "orders")), claims, json!({})).await.unwrap();
    ids.sort();
    assert_eq!(ids, [["1", "42", "***"], ["3", "42", "***"]]);
    let prices = part(text, "prices_1");
    let why = comments(text, "prices_1");
    assert!(why.contains("the columns of `prices_2.csv` differ from those of `prices_1.csv`"), "{why}");
    assert!(prices.contains(&format!("files = \"{}/prices_1.csv\"", source.display())), "{prices}");

    let german = part(text, "german");
    assert!(german.contains("delimiter = \";\""), "{german}");
    assert!(comments(text, "german").contains("Guess: its fields are separated by ';'"), "{german}");
    let columns: Vec<_> = dataset(&loaded, "german").info().columns.iter().map(|column| column.kind).collect();
    assert_eq!(columns, [ColumnType::Int, ColumnType::String, ColumnType::String]);
    let log = dataset(&loaded, "log").info();
    assert!(log.column("at").unwrap().local && log.column("extra").is_some());

    let sales = part(text, "sales");
    assert!(sales.contains("/lake/sales/year=*/month=*/*.parquet\""), "{sales}");
    let why = comments(text, "sales");
    assert!(why.contains("Guess: 3 files of partition folders are one dataset"), "{why}");
    assert!(why.contains("`month`, `year`"), "the note about columns that only folders have: {why}");
    assert_eq!(rows(Arc::clone(dataset(&loaded, "sales")), json!({}), json!({})).await.unwrap().len(), 6);

    // nothing is dropped in silence
    assert!(reason(&written, "file `broken.csv`").contains("quote"));
    assert!(reason(&written, "file `empty.csv`").contains("empty"));
    assert!(reason(&written, "file `notes.txt`").contains("`.txt`"));
    assert!(reason(&written, "file `old.csv.gz`").contains("decompress"));
    assert!(reason(&written, "1 entries of the folder").contains("begin with"));
    assert_eq!(text.matches("# Not offered: ").count(), 5, "{text}");
    assert!(!text.contains("[source"), "local files need no source: {text}");
}

#[tokio::test]
async fn a_pattern_or_a_single_file_is_a_source() {
    let fixture = Fixture::new();
    fixture.write("a[1]/x.csv", "id\n1\n");
    fixture.write("a[1]/y.csv", "id\n1\n");
    fixture.write("a[1]/z.tsv", "id\tname\n1\tA\n");
    let folder = fixture.path("a[1]");
    let options = InitOptions::default();
    let init = async |source: &str, options: &InitOptions| {
        let (_, loaded) = fixture.init(folder.join(source).to_str().unwrap(), options).await;
        names(&loaded).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(init("*.csv", &options).await, ["x", "y"]);
    assert_eq!(init("z.tsv", &options).await, ["z"]);
    let some = InitOptions { tables: vec!["y".into(), "*.tsv".into()], ..InitOptions::default() };
    assert_eq!(init("", &some).await, ["y", "z"]);
    let none = fixture.refused(folder.join("*.parquet").to_str().unwrap(), &options).await;
    assert!(matches!(none, InitError::Nothing(_)), "{none}");
}

#[tokio::test]
async fn a_file_behind_http_is_a_source() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let read = socket.read(&mut request).await.unwrap();
                assert!(request[..read].starts_with(b"GET /data/people.csv "), "the file is asked for");
                let answer =
                    b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\nconnection: close\r\n\r\nid,name\n1,Ada\n2,Bob\n";
                socket.write_all(answer).await.unwrap();
            });
        }
    });
    let fixture = Fixture::new();
    let (written, loaded) = fixture.init(&format!("http://{address}/data/people.csv"), &InitOptions::default()).await;
    assert_eq!(names(&loaded), ["people"]);
    assert!(written.text.contains(&format!("base = \"http://{address}/data/\"")), "{}", written.text);
    let people = part(&written.text, "people");
    assert!(people.contains("files = \"people.csv\"\n") && people.contains("from = \"127_0_0_1\"\n"), "{people}");
}
