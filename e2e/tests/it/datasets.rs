//! Datasets of a catalog file and in Rust: estimates, row policies, reloads of the catalog, and damaged sources.

use std::path::Path;

use e2e::{CatalogFile, Fleet, Plan, csv};
use polars::prelude::{Column, DataFrame, ParquetReader, ParquetWriter, SerReader};
use protocol::{
    catalog::DatasetList,
    credits::CreditsView,
    estimate::Estimate,
    export::{Export, ExportRequest, Status},
    problem::Slug,
};
use reqwest::StatusCode;
use serde_json::{Value, json};
use testkit::{eventually, rest::Rest};

fn request(body: Value) -> ExportRequest {
    serde_json::from_value(body).expect("a request")
}

async fn estimate(rest: &Rest, body: Value) -> Estimate {
    let answer = rest.post("/v1/exports/estimate", &body).await;
    assert_eq!(answer.status, StatusCode::OK, "{body}: {}", answer.text());
    assert!(answer.body.len() < 512 << 10, "{} bytes", answer.body.len());
    answer.json()
}

async fn names(rest: &Rest) -> Vec<String> {
    let list: DatasetList = rest.get("/v1/datasets").await.json();
    list.items.into_iter().map(|dataset| dataset.name).collect()
}

async fn await_offered(rest: &Rest, name: &str, offered: bool) {
    let what = format!("{name} is {}offered", if offered { "" } else { "no longer " });
    eventually(&what, async || (names(rest).await.iter().any(|n| n == name) == offered).then_some(())).await;
}

async fn file_of(rest: &Rest, export: &Export) -> Vec<u8> {
    rest.get(&export.links.file).await.body.to_vec()
}

#[tokio::test]
async fn an_estimate_is_close_to_the_export_and_costs_nothing() {
    let mut fleet = Fleet::small().await;
    let rest = fleet.rest();
    let whole = estimate(&rest, json!({"dataset": "flights"})).await;
    assert_eq!((whole.rows, whole.exact, whole.credits), (Some(3_000_000), true, 1));
    assert_eq!((whole.preview.len(), whole.preview[0].contains_key("origin")), (10, true));
    assert!(whole.seconds.is_some_and(|seconds| seconds > 0.0));

    let body = json!({"dataset": "flights", "filter": {"origin": {"eq": "SEA"}}, "columns": ["origin", "delay"]});
    let some = estimate(&rest, body.clone()).await;
    assert!(some.preview.iter().all(|row| row["origin"] == "SEA" && row.len() == 2), "{some:?}");
    let export = rest.create(&request(body)).await;
    let done = rest.ended(export.id).await;
    let file = done.file.expect("a file");
    let close =
        |estimate: Option<u64>, real: u64| estimate.is_some_and(|estimate| estimate > real / 2 && estimate < real * 2);
    assert!(close(some.rows, file.rows) && close(some.bytes, file.size), "{some:?} but {file:?}");
    // A small result is counted exactly.
    let few = estimate(&rest, json!({"dataset": "menus", "filter": {"category": {"eq": "balance"}}})).await;
    assert_eq!((few.rows, few.exact), (Some(1), true));

    for (body, slug, pointer) in [
        (json!({"dataset": "nope"}), Slug::UnknownDataset, "/dataset"),
        (json!({"dataset": "flights", "filter": {"nope": {"eq": 1}}}), Slug::InvalidFilter, "/filter/nope"),
        (json!({"dataset": "flights", "columns": ["x' OR 1=1"]}), Slug::InvalidRequest, "/columns/0"),
        (json!({"dataset": "menu_category_counts"}), Slug::InvalidRequest, "/params/muscles"),
    ] {
        for path in ["/v1/exports", "/v1/exports/estimate"] {
            let problem = rest.post(path, &body).await.problem();
            assert_eq!((problem.slug(), problem.errors[0].pointer.as_str()), (slug, pointer), "{path} {body}");
        }
    }
    let credits: CreditsView = rest.get("/v1/credits").await.json();
    assert_eq!((credits.balance, credits.held), (4, 0), "only the export costs a credit");

    // Without an exporter, the gateway refuses an estimate at once.
    fleet.exporters.clear();
    let answer = rest.post("/v1/exports/estimate", &json!({"dataset": "flights"})).await;
    assert_eq!(answer.problem().slug(), Slug::Unavailable);
}

#[tokio::test]
async fn a_gateway_that_starts_before_any_exporter_is_unready_until_the_first_one_advertises() {
    let mut fleet = Fleet::start(Plan { gateways: 0, exporters: 0, ..Plan::default() }).await;
    fleet.add_gateway();
    let url = fleet.urls[0].clone();
    fleet.gateways[0].ready(&format!("{url}/healthz")).await;
    let rest = fleet.rest();
    // The readiness check names the missing exporter.
    testkit::eventually("the gateway names the missing exporter", async || {
        let ready = rest.get("/readyz").await;
        let body: Value = ready.json();
        assert_eq!((ready.status.as_u16(), &body["ready"]), (503, &json!(false)), "{body}");
        body.to_string().contains("no exporter has advertised a dataset yet").then_some(())
    })
    .await;
    assert_eq!(names(&rest).await, [""; 0]);
    for path in ["/v1/exports", "/v1/exports/estimate"] {
        let answer = rest.post(path, &json!({"dataset": "flights"})).await;
        assert_eq!(answer.problem().slug(), Slug::Unavailable, "{path}: the gateway does not know the dataset yet");
    }
    let credits: CreditsView = rest.get("/v1/credits").await.json();
    assert_eq!((credits.balance, credits.held), (5, 0));

    fleet.add_exporter();
    fleet.gateways[0].ready(&format!("{url}/readyz")).await;
    await_offered(&rest, "flights", true).await;
    let export = rest.create(&request(json!({"dataset": "flights", "filter": {"origin": {"eq": "SEA"}}}))).await;
    assert_eq!(rest.ended(export.id).await.status, Status::Completed, "{}", fleet.logs());
}

#[tokio::test]
async fn a_dataset_in_rust_is_offered_while_its_exporter_runs() {
    let fleet = Fleet::small().await;
    let rest = fleet.rest();
    assert!(!names(&rest).await.contains(&"calendar".to_owned()));
    let mut exporter = fleet.launch_program("calendar", &[("SLUICE_EXPORTER__ADVERTISE_INTERVAL", "200ms")]);
    await_offered(&rest, "calendar", true).await;
    let body = json!({"dataset": "calendar", "params": {"year": 2024}, "filter": {"working": {"eq": false}}});
    let shown = estimate(&rest, body.clone()).await;
    assert_eq!((shown.rows, shown.exact, &shown.preview[0]["day"]), (Some(104), true, &json!("2024-01-06")));
    let done = rest.ended(rest.create(&request(body)).await.id).await;
    assert_eq!(done.status, Status::Completed, "{:?} {}", done.problem, exporter.stderr());
    let file = file_of(&rest, &done).await;
    let rows = csv::parse(&file).rows;
    assert_eq!((rows.len(), rows[0]), (104, "2024-01-06,false"));
    let wrong = rest.post("/v1/exports", &json!({"dataset": "calendar", "params": {"year": "2024; --"}})).await;
    assert_eq!(wrong.problem().slug(), Slug::InvalidRequest);

    exporter.terminate();
    assert!(exporter.ended().await.success(), "{}", exporter.stderr());
    await_offered(&rest, "calendar", false).await;
    assert!(names(&rest).await.contains(&"flights".to_owned()), "the datasets of the other exporter stay offered");
}

/// Writes a Parquet file with orders of two tenants.
fn write_orders(path: &Path) {
    let tenants: Vec<_> = (0..100).map(|n| if n % 3 == 0 { "globex" } else { "acme" }).collect();
    let columns = vec![
        Column::new("id".into(), (0..100_i64).collect::<Vec<_>>()),
        Column::new("tenant".into(), tenants),
        Column::new("note".into(), (0..100).map(|n| format!("note {n}")).collect::<Vec<_>>()),
    ];
    let mut frame = DataFrame::new_infer_height(columns).expect("columns of one height");
    let file = std::fs::File::create(path).expect("a new folder is writable");
    ParquetWriter::new(file).finish(&mut frame).expect("a frame can be written");
}

const CATALOG: &str = r#"
[[dataset]]
name = "orders_of"
files = "mine.parquet"
row_policy = { tenant = { eq = { claim = "tenant" } } }
[[dataset.column]]
name = "id"
[[dataset.column]]
name = "tenant"
[[dataset.column]]
name = "note"
scope = "notes:read"
mask = "redacted"

[[template]]
name = "labels"
datasets = ["orders_of"]
[[template.column]]
source = "id"
label = "Number"
"#;

struct Fixture {
    fleet: Fleet,
    catalog: CatalogFile,
}

impl Fixture {
    async fn start(catalog: &str) -> Self {
        let catalog = CatalogFile::new(catalog);
        write_orders(&catalog.dir.path().join("mine.parquet"));
        let plan = catalog.plan(vec![("SLUICE_EXPORTER__MAX_ATTEMPTS", "2".to_owned())]);
        Self { fleet: Fleet::start(plan).await, catalog }
    }

    fn rest(&self, tenant: &str) -> Rest {
        Rest::new(self.fleet.url(), Some(&self.fleet.token("alice", tenant)))
    }
}

#[tokio::test]
async fn no_request_returns_rows_of_another_tenant() {
    let fixture = Fixture::start(CATALOG).await;
    let rest = fixture.rest("acme");
    await_offered(&rest, "orders_of", true).await;
    let filters = [
        json!({}),
        json!({"tenant": {"eq": "globex"}}),
        json!({"tenant": {"ne": "acme"}}),
        json!({"or": [{"tenant": {"eq": "globex"}}, {"id": {"gte": 0}}]}),
        json!({"not": {"and": [{"tenant": {"eq": "acme"}}]}}),
        json!({"tenant": {"in": ["globex", "' OR '1'='1"]}}),
        json!({"tenant": {"like": "%"}}),
    ];
    let mut exports = 0;
    for filter in &filters {
        let body = json!({"dataset": "orders_of", "filter": filter});
        let shown = estimate(&rest, body.clone()).await;
        assert!(shown.preview.iter().all(|row| row["tenant"] == "acme" && row["note"] == "***"), "{filter}: {shown:?}");
        assert!(shown.exact && shown.rows <= Some(66), "{filter}: {shown:?}");
        if exports < 5 {
            exports += 1;
            let done = rest.ended(rest.create(&request(body)).await.id).await;
            let file = String::from_utf8(file_of(&rest, &done).await).expect("UTF-8");
            assert!(!file.contains("globex") && !file.contains("note "), "{filter}: {file}");
            assert_eq!(done.file.map(|file| file.rows), shown.rows, "{filter}");
        }
    }
    let masked =
        rest.post("/v1/exports/estimate", &json!({"dataset": "orders_of", "filter": {"note": {"like": "%1"}}})).await;
    assert_eq!(masked.problem().errors[0].pointer, "/filter/note");
    // The other tenant sees only its own rows.
    let other = estimate(&fixture.rest("globex"), json!({"dataset": "orders_of"})).await;
    assert_eq!((other.rows, &other.preview[0]["tenant"]), (Some(34), &json!("globex")));
}

#[tokio::test]
async fn a_changed_catalog_is_reloaded_and_an_invalid_one_changes_nothing() {
    let fixture = Fixture::start(CATALOG).await;
    let rest = fixture.rest("acme");
    await_offered(&rest, "orders_of", true).await;
    let dataset: Value = rest.get("/v1/datasets/orders_of").await.json();
    assert!(dataset["templates"].as_array().is_some_and(|all| all.iter().any(|t| t["name"] == "labels")), "{dataset}");
    assert_eq!(dataset["columns"][2]["masked"], true, "{dataset}");
    let done = rest.create(&request(json!({"dataset": "orders_of", "template": "labels"}))).await;
    let done = rest.ended(done.id).await;
    assert_eq!(done.status, Status::Completed, "{:?}", done.problem);
    assert_eq!(csv::parse(&file_of(&rest, &done).await).header, "Number");

    std::fs::write(fixture.catalog.dir.path().join("more.csv"), "a,b\n1,x\n2,\n").expect("the folder is writable");
    let more = format!("{CATALOG}\n[[dataset]]\nname = \"more\"\nfiles = \"more.csv\"\n");
    fixture.catalog.replace(&more);
    await_offered(&rest, "more", true).await;
    fixture.catalog.replace("[[dataset]]\nname = \"orders_of\"\nfiles = \"mine.parquet\"\n");
    let log = || fixture.fleet.exporters[0].stderr();
    eventually("the log reports the failed reload", async || {
        log().contains("the last valid one stays in force").then_some(())
    })
    .await;
    assert!(log().contains("row_policy"), "{}", log());
    let done = rest.ended(rest.create(&request(json!({"dataset": "more"}))).await.id).await;
    assert_eq!(csv::parse(&file_of(&rest, &done).await).rows, ["1,x", "2,"]);
    fixture.catalog.replace(CATALOG);
    await_offered(&rest, "more", false).await;
}

#[tokio::test]
async fn an_export_from_a_damaged_source_fails_and_its_credit_is_released() {
    let fixture = Fixture::start(CATALOG).await;
    let rest = fixture.rest("acme");
    await_offered(&rest, "orders_of", true).await;
    let path = fixture.catalog.dir.path().join("mine.parquet");
    let whole = std::fs::read(&path).expect("the file was written");
    let broken = [whole[..whole.len() / 2].to_vec(), whole[..whole.len() - 1].to_vec(), b"PAR1 not at all".to_vec()];
    for bytes in broken {
        std::fs::write(&path, bytes).expect("the folder is writable");
        let done = rest.ended(rest.create(&request(json!({"dataset": "orders_of"}))).await.id).await;
        assert_eq!((done.status, done.file.is_none()), (Status::Failed, true));
        let problem = done.problem.expect("a failed export has a problem");
        assert!(problem.detail.contains("data could not be read"), "{problem}");
        assert!(!rest.get(&done.links.file).await.status.is_success(), "there must be no file");
    }
    // A file without one of its columns.
    let frame = ParquetReader::new(std::io::Cursor::new(whole)).finish().expect("a valid file");
    let mut narrow = frame.select(["id", "tenant"]).expect("columns of the frame");
    ParquetWriter::new(std::fs::File::create(&path).expect("writable")).finish(&mut narrow).expect("written");
    let done = rest.ended(rest.create(&request(json!({"dataset": "orders_of"}))).await.id).await;
    let problem = done.problem.expect("a failed export has a problem");
    assert!(problem.detail.contains("`note`"), "{problem}");
    std::fs::remove_file(&path).expect("the file exists");
    let done = rest.ended(rest.create(&request(json!({"dataset": "orders_of"}))).await.id).await;
    assert_eq!(done.status, Status::Failed);
    let credits: CreditsView = rest.get("/v1/credits").await.json();
    assert_eq!((credits.balance, credits.held), (5, 0), "every credit is released");
}
