//! Exports from request to file: rows, envelope, digests, ranges, credits, cancellation and deletion.

use std::{fs::File, path::Path};

use e2e::{Datasets, Fleet, Plan, csv, flights};
use polars::prelude::*;
use protocol::{
    client::{Deliver, ExportCreate},
    credits::{CreditsView, EntryKind},
    export::{Export, ExportRequest, Status},
    problem::Slug,
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testkit::rest::Rest;

fn request(dataset: &str) -> ExportRequest {
    ExportRequest { dataset: dataset.into(), ..ExportRequest::default() }
}

/// The flights from Seattle as CSV lines, read by polars without Sluice.
fn flights_from_seattle() -> Vec<String> {
    let frame = ParquetReader::new(File::open(flights()).expect("the flights")).finish().expect("a Parquet file");
    let seattle = frame.column("origin").expect("origin").str().expect("text").equal("SEA");
    let frame = frame.filter(&seattle).expect("a mask of its length");
    let text = |name: &str| {
        let column = frame.column(name).expect("a column");
        let column = match column.dtype() {
            DataType::Datetime(_, zone) => {
                let format = if zone.is_some() { "%Y-%m-%dT%H:%M:%SZ" } else { "%Y-%m-%dT%H:%M:%S" };
                column.datetime().expect("times").to_string(format).expect("a format").into_column()
            }
            _ => column.cast(&DataType::String).expect("text"),
        };
        column.str().expect("text").iter().map(|v| v.unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    let columns: Vec<Vec<String>> = frame.get_column_names().iter().map(|name| text(name)).collect();
    (0..frame.height()).map(|row| columns.iter().map(|c| c[row].as_str()).collect::<Vec<_>>().join(",")).collect()
}

#[tokio::test]
async fn flights_from_seattle_are_exactly_those_of_the_source() {
    let fleet = Fleet::small().await;
    let rest = fleet.rest();
    let mut client = fleet.client().await;
    let export = client
        .create(ExportCreate {
            dataset: "flights".into(),
            filter: Some(json!({"origin": {"eq": "SEA"}})),
            deliver: Deliver::Stream,
            window: Some(1 << 20),
            ..ExportCreate::default()
        })
        .await;
    let opened = client.opened(export.id, 1 << 20).await;
    let collected = client.collect(opened, true).await;
    let seal = collected.seal().clone();
    let done = client.ended(export.id).await;

    let file = csv::parse(&collected.bytes);
    let expected = flights_from_seattle();
    assert_eq!((file.rows.len(), file.row_count), (expected.len(), expected.len()));
    assert!(file.rows.iter().zip(&expected).all(|(a, b)| a == b), "rows differ");
    assert_eq!(file.requested_at, done.requested_at);
    assert_eq!(Some(file.completed_at), done.completed_at);
    assert!(file.requested_at <= file.completed_at);

    let info = done.file.clone().expect("a completed export has a file");
    assert_eq!((info.sha256.as_str(), info.size, info.rows), (seal.sha256.as_str(), seal.size, seal.rows));
    assert_eq!(info.rows, expected.len() as u64);
    let answer = rest.get(&done.links.file).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header("etag"), Some(format!("\"{}\"", seal.sha256).as_str()));
    assert!(answer.body == collected.bytes, "REST and WebSocket differ");
    assert_eq!(answer.header("content-type"), Some(info.media_type.as_str()));
    let moment = |name| answer.header(name).map(str::to_owned);
    assert_eq!(moment("sluice-requested-at"), Some(done.requested_at.to_string()));
    assert_eq!(moment("sluice-completed-at"), done.completed_at.map(|at| at.to_string()));
    assert!(answer.header("content-disposition").is_some_and(|d| d.contains(&info.name)));
    assert!(answer.header("repr-digest").is_some_and(|d| d.starts_with("sha-256=:")));

    ranges_are_parts_of_the_same_file(&rest, &done, &collected.bytes).await;
    let metadata = rest.get(&done.links.metadata).await;
    assert_eq!(metadata.header("content-type"), Some("application/csvm+json"));
    assert!(metadata.text().contains(&seal.sha256), "{}", metadata.text());

    let credits: CreditsView = rest.get("/v1/credits").await.json();
    assert_eq!((credits.balance, credits.held), (4, 0));
    let kinds: Vec<_> = credits.entries.iter().map(|e| e.kind).collect();
    assert_eq!(kinds, [EntryKind::Capture, EntryKind::Hold, EntryKind::Grant]);
}

async fn ranges_are_parts_of_the_same_file(rest: &Rest, export: &Export, whole: &[u8]) {
    let get = |method: Method, headers: Vec<(&'static str, String)>| {
        let mut request = rest.request(method, &export.links.file);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        rest.send(request)
    };
    let size = whole.len();
    for (spec, expected) in [
        ("bytes=0-0".to_owned(), 0..1),
        ("bytes=-7".to_owned(), size - 7..size),
        (format!("bytes={}-", size / 2), size / 2..size),
        ("bytes=1000-300000".to_owned(), 1000..300_001),
    ] {
        let part = get(Method::GET, vec![("range", spec.clone())]).await;
        assert_eq!(part.status, StatusCode::PARTIAL_CONTENT, "{spec}");
        assert!(part.body == whole[expected.clone()], "{spec}");
        let range = format!("bytes {}-{}/{size}", expected.start, expected.end - 1);
        assert_eq!(part.header("content-range"), Some(range.as_str()));
    }
    let unsatisfiable = get(Method::GET, vec![("range", format!("bytes={size}-"))]).await;
    assert_eq!(unsatisfiable.status, StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(unsatisfiable.header("content-range"), Some(format!("bytes */{size}").as_str()));
    let stale = get(Method::GET, vec![("range", "bytes=0-9".into()), ("if-range", "\"other\"".into())]).await;
    assert_eq!((stale.status, stale.body.len()), (StatusCode::OK, size));
    let tag = format!("\"{}\"", export.file.as_ref().expect("a file").sha256);
    let fresh = get(Method::GET, vec![("range", "bytes=0-9".into()), ("if-range", tag.clone())]).await;
    assert_eq!((fresh.status, fresh.body.len()), (StatusCode::PARTIAL_CONTENT, 10));
    assert_eq!(get(Method::GET, vec![("if-none-match", tag)]).await.status, StatusCode::NOT_MODIFIED);
    let head = get(Method::HEAD, vec![]).await;
    assert_eq!((head.status, head.header("content-length")), (StatusCode::OK, Some(size.to_string().as_str())));
}

async fn file_text(rest: &Rest, request: &ExportRequest) -> String {
    let export = rest.create(request).await;
    let done = rest.ended(export.id).await;
    assert_eq!(done.status, Status::Completed, "{:?}", done.problem);
    rest.get(&done.links.file).await.text()
}

async fn assert_menu_counts(postgres: bool) {
    let fleet = Fleet::start(Plan { postgres, ..Plan::default() }).await;
    let rest = fleet.rest();
    let params = json!({"muscles": ["muscle1", "muscle2"]}).as_object().cloned();
    let counts = ExportRequest { params: params.clone(), ..request("menu_category_counts") };
    let text = file_text(&rest, &counts).await;
    let file = csv::parse(text.as_bytes());
    assert_eq!(file.header, "category,count");
    assert_eq!(file.rows, ["training,3", "balance,1", "stretch,1"]);

    let filter = Some(json!({"count": {"lt": 3}, "not": {"category": {"like": "str%"}}}));
    let text = file_text(&rest, &ExportRequest { params, filter, ..request("menu_category_counts") }).await;
    assert_eq!(csv::parse(text.as_bytes()).rows, ["balance,1"]);

    let columns = Some(vec!["name".to_owned(), "id".to_owned()]);
    let filter = Some(json!({"or": [{"category": {"eq": "balance"}}, {"id": {"between": [2, 3]}}]}));
    let text = file_text(&rest, &ExportRequest { columns, filter, ..request("menus") }).await;
    let file = csv::parse(text.as_bytes());
    assert_eq!((file.header, file.rows), ("name,id", vec!["menu2,2", "menu3,3", "menu6,6"]));
}

#[tokio::test]
async fn menu_category_counts_are_correct_on_sqlite() {
    assert_menu_counts(false).await;
}

#[tokio::test]
async fn menu_category_counts_are_correct_on_postgres() {
    assert_menu_counts(true).await;
}

#[tokio::test]
async fn a_cancellation_stops_the_export_and_releases_its_credit() {
    // The highest compression level: the export runs far longer than a cancellation takes.
    let settings = vec![("SLUICE_EXPORTER__ZSTD_LEVEL", "19".to_owned())];
    let fleet = Fleet::start(Plan { settings, ..Plan::default() }).await;
    let (rest, mut client) = (fleet.rest(), fleet.client().await);
    let compression = Some("zstd".to_owned());
    let create = ExportCreate { dataset: "flights".into(), compression, ..ExportCreate::default() };
    let export = client.create(create).await;
    let has_progress = |m: &protocol::server::ServerMessage| match m {
        protocol::server::ServerMessage::ExportProgress { progress, .. } => (progress.rows > 0).then_some(()),
        _ => None,
    };
    client.expect_text("progress", has_progress).await;
    client.cancel(export.id).await;
    let ended = client.ended(export.id).await;
    assert_eq!((ended.status, ended.problem.map(|p| p.slug())), (Status::Canceled, Some(Slug::Canceled)));
    assert_eq!(rest.get(&ended.links.file).await.problem().slug(), Slug::Canceled);
    let credits: CreditsView = rest.get("/v1/credits").await.json();
    assert_eq!((credits.balance, credits.held), (5, 0));
    let folder = fleet.store.path().join(format!("exports/{}", export.id));
    testkit::eventually("its objects are deleted", async || objects(&folder).is_empty().then_some(())).await;
    // A deletion does not change the status of a canceled export.
    assert_eq!(rest.delete(&ended.links.this).await.json::<Export>().status, Status::Canceled);
}

#[tokio::test]
async fn a_deleted_file_stays_deleted() {
    let fleet = Fleet::small().await;
    let (rest, mut client) = (fleet.rest(), fleet.client().await);
    let export = client.create(ExportCreate { dataset: "menus".into(), ..ExportCreate::default() }).await;
    let done = client.ended(export.id).await;
    assert_eq!(rest.delete(&done.links.this).await.status, StatusCode::ACCEPTED);
    let expired = |m: &protocol::server::ServerMessage| match m {
        protocol::server::ServerMessage::ExportExpired { export, .. } => Some(export.status),
        _ => None,
    };
    assert_eq!(client.expect_text("export.expired", expired).await, Status::Expired);
    assert_eq!(rest.get(&done.links.file).await.problem().slug(), Slug::Expired);
    assert!(objects(&fleet.store.path().join(format!("exports/{}", export.id))).is_empty());
}

#[tokio::test]
async fn an_export_that_cannot_succeed_fails_with_its_cause_and_costs_nothing() {
    let datasets = tempfile::tempdir().expect("a folder");
    let path = datasets.path().join("flights.parquet");
    std::fs::copy(flights(), &path).expect("a copy");
    testkit::demo::seed(datasets.path()).await;
    let plan = Plan {
        datasets: Datasets::Catalog(datasets.path().to_owned()),
        settings: vec![("SLUICE_EXPORTER__MAX_ATTEMPTS", "2".into())],
        ..Plan::default()
    };
    let fleet = Fleet::start(plan).await;
    std::fs::write(&path, b"no longer Parquet").expect("the folder is writable");
    let rest = fleet.rest();
    let export = rest.create(&request("flights")).await;
    let ended = rest.ended(export.id).await;
    assert_eq!((ended.status, ended.problem.map(|p| p.slug())), (Status::Failed, Some(Slug::ExportFailed)));
    assert_eq!(rest.get(&ended.links.file).await.problem().slug(), Slug::ExportFailed);
    let credits: CreditsView = rest.get("/v1/credits").await.json();
    assert_eq!((credits.balance, credits.held), (5, 0));
}

#[tokio::test]
async fn a_request_with_prefer_wait_returns_the_completed_export() {
    let fleet = Fleet::small().await;
    let rest = fleet.rest();
    let request =
        rest.request(Method::POST, "/v1/exports").header("Prefer", "wait=60").json(&json!({"dataset": "menus"}));
    let answer = rest.send(request).await;
    assert_eq!((answer.status, answer.header("preference-applied")), (StatusCode::OK, Some("wait")));
    let export: Value = answer.json();
    assert_eq!((&export["status"], &export["file"]["rows"]), (&json!("completed"), &json!(6)));
    let shown = rest.get(&format!("/v1/exports/{}", export["id"].as_str().expect("an id"))).await;
    assert!(shown.header("etag").is_some() && shown.header("x-progress").is_none());
    let ndjson = ExportRequest { format: Some("ndjson".into()), ..self::request("muscles") };
    let text = file_text(&rest, &ndjson).await;
    assert_eq!(serde_json::from_str::<Value>(text.lines().next().expect("a line")).expect("JSON")["name"], "muscle1");
}

fn objects(folder: &Path) -> Vec<std::path::PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return vec![] };
    let paths = entries.map(|entry| entry.expect("a readable folder").path());
    paths.flat_map(|path| if path.is_dir() { objects(&path) } else { vec![path] }).collect()
}
