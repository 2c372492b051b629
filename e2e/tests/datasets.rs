//! Datasets of one's own: in a file, in Rust, before anybody exports them, and when their source breaks.

use std::path::Path;

use e2e::{Fleet, Plan, csv};
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
use tempfile::TempDir;
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

async fn offers(rest: &Rest, name: &str, there: bool) {
    let what = format!("{name} is {}there", if there { "" } else { "no longer " });
    eventually(&what, async || (names(rest).await.iter().any(|n| n == name) == there).then_some(())).await;
}

async fn file_of(rest: &Rest, export: &Export) -> Vec<u8> {
    rest.get(&export.links.file).await.body.to_vec()
}

#[tokio::test]
async fn an_estimate_says_what_the_export_then_is_and_costs_nothing() {
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
    let close = |guess: Option<u64>, real: u64| guess.is_some_and(|guess| guess > real / 2 && guess < real * 2);
    assert!(close(some.rows, file.rows) && close(some.bytes, file.size), "{some:?} but {file:?}");
    // few rows are counted, not guessed
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
    assert_eq!((credits.balance, credits.held), (4, 0), "only the export was paid for");

    // without an exporter there is no answer, and that is said at once
    fleet.exporters.clear();
    let answer = rest.post("/v1/exports/estimate", &json!({"dataset": "flights"})).await;
    assert_eq!(answer.problem().slug(), Slug::Unavailable);
}

#[tokio::test]
async fn a_gateway_that_comes_before_any_exporter_says_so_and_learns_of_the_first() {
    let mut fleet = Fleet::start(Plan { gateways: 0, exporters: 0, ..Plan::default() }).await;
    fleet.add_gateway();
    let url = fleet.urls[0].clone();
    fleet.gateways[0].ready(&format!("{url}/healthz")).await;
    let rest = fleet.rest();
    // the proxy is told to send nobody yet, and by which of its parts
    let ready = rest.get("/readyz").await;
    let body: Value = ready.json();
    assert_eq!((ready.status.as_u16(), &body["ready"]), (503, &json!(false)), "{body}");
    assert!(body.to_string().contains("no exporter has advertised anything"), "{body}");
    assert_eq!(names(&rest).await, [""; 0]);
    for path in ["/v1/exports", "/v1/exports/estimate"] {
        let answer = rest.post(path, &json!({"dataset": "flights"})).await;
        assert_eq!(answer.problem().slug(), Slug::Unavailable, "{path}: nobody knows whether there is such a dataset");
    }
    let credits: CreditsView = rest.get("/v1/credits").await.json();
    assert_eq!((credits.balance, credits.held), (5, 0));

    fleet.add_exporter();
    fleet.gateways[0].ready(&format!("{url}/readyz")).await;
    offers(&rest, "flights", true).await;
    let export = rest.create(&request(json!({"dataset": "flights", "filter": {"origin": {"eq": "SEA"}}}))).await;
    assert_eq!(rest.ended(export.id).await.status, Status::Completed, "{}", fleet.logs());
}

#[tokio::test]
async fn a_dataset_in_rust_comes_and_goes_with_its_exporter() {
    let fleet = Fleet::small().await;
    let rest = fleet.rest();
    assert!(!names(&rest).await.contains(&"calendar".to_owned()));
    let mut exporter = fleet.launch_beside("calendar", &[("SLUICE_EXPORTER__CATALOG_MS", "200")]);
    offers(&rest, "calendar", true).await;
    let body =
        json!({"dataset": "calendar", "params": {"year": 2024, "years": 2}, "filter": {"working": {"eq": false}}});
    let guess = estimate(&rest, body.clone()).await;
    assert_eq!((guess.rows, guess.exact, &guess.preview[0]["day"]), (Some(208), true, &json!("2024-01-06")));
    let done = rest.ended(rest.create(&request(body)).await.id).await;
    assert_eq!(done.status, Status::Completed, "{:?} {}", done.problem, exporter.stderr());
    let file = file_of(&rest, &done).await;
    let rows = csv::parse(&file).rows;
    assert_eq!((rows.len(), rows[0]), (208, "2024-01-06,Sat,1,false"));
    let wrong = rest.post("/v1/exports", &json!({"dataset": "calendar", "params": {"year": "2024; --"}})).await;
    assert_eq!(wrong.problem().slug(), Slug::InvalidRequest);

    exporter.terminate();
    assert!(exporter.ended().await.success(), "{}", exporter.stderr());
    offers(&rest, "calendar", false).await;
    assert!(names(&rest).await.contains(&"flights".to_owned()), "the others stay");
}

/// Orders of two tenants.
fn orders(path: &Path) {
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
without = "redacted"

[[template]]
name = "for_people"
datasets = ["orders_of"]
[[template.column]]
source = "id"
label = "Number"
"#;

struct Own {
    fleet: Fleet,
    dir: TempDir,
}

impl Own {
    async fn start(catalog: &str) -> Self {
        let dir = tempfile::tempdir().expect("the folder for temporary files is writable");
        orders(&dir.path().join("mine.parquet"));
        let file = dir.path().join("catalog.toml");
        std::fs::write(&file, catalog).expect("a new folder is writable");
        let settings = vec![
            ("SLUICE_EXPORTER__CATALOG", file.display().to_string()),
            ("SLUICE_EXPORTER__CATALOG_POLL_MS", "50".to_owned()),
            ("SLUICE_EXPORTER__CATALOG_MS", "200".to_owned()),
            ("SLUICE_EXPORTER__MAX_ATTEMPTS", "2".to_owned()),
        ];
        let datasets = Some(dir.path().to_owned());
        Self { fleet: Fleet::start(Plan { settings, datasets, ..Plan::default() }).await, dir }
    }

    fn rest(&self, tenant: &str) -> Rest {
        Rest::new(self.fleet.url(), Some(&self.fleet.token("alice", tenant)))
    }

    /// In one step, as the file is looked at all the time and half of it may be a catalog too.
    fn write(&self, catalog: &str) {
        let (new, file) = (self.dir.path().join("catalog.new"), self.dir.path().join("catalog.toml"));
        std::fs::write(&new, catalog).and_then(|()| std::fs::rename(&new, &file)).expect("the folder is writable");
    }
}

#[tokio::test]
async fn a_tenant_gets_no_row_of_another_by_any_way_of_asking() {
    let own = Own::start(CATALOG).await;
    let rest = own.rest("acme");
    offers(&rest, "orders_of", true).await;
    let filters = [
        json!({}),
        json!({"tenant": {"eq": "globex"}}),
        json!({"tenant": {"ne": "acme"}}),
        json!({"or": [{"tenant": {"eq": "globex"}}, {"id": {"gte": 0}}]}),
        json!({"not": {"and": [{"tenant": {"eq": "acme"}}]}}),
        json!({"tenant": {"in": ["globex", "' OR '1'='1"]}}),
        json!({"tenant": {"like": "%"}}),
    ];
    let mut made = 0;
    for filter in &filters {
        let body = json!({"dataset": "orders_of", "filter": filter});
        let shown = estimate(&rest, body.clone()).await;
        assert!(shown.preview.iter().all(|row| row["tenant"] == "acme" && row["note"] == "***"), "{filter}: {shown:?}");
        assert!(shown.exact && shown.rows <= Some(66), "{filter}: {shown:?}");
        if made < 5 {
            made += 1;
            let done = rest.ended(rest.create(&request(body)).await.id).await;
            let file = String::from_utf8(file_of(&rest, &done).await).expect("UTF-8");
            assert!(!file.contains("globex") && !file.contains("note "), "{filter}: {file}");
            assert_eq!(done.file.map(|file| file.rows), shown.rows, "{filter}");
        }
    }
    let asked =
        rest.post("/v1/exports/estimate", &json!({"dataset": "orders_of", "filter": {"note": {"like": "%1"}}})).await;
    assert_eq!(asked.problem().errors[0].pointer, "/filter/note");
    // the other tenant sees theirs, and nobody else's
    let other = estimate(&own.rest("globex"), json!({"dataset": "orders_of"})).await;
    assert_eq!((other.rows, &other.preview[0]["tenant"]), (Some(34), &json!("globex")));
}

#[tokio::test]
async fn a_catalog_file_is_taken_anew_and_a_wrong_one_changes_nothing() {
    let own = Own::start(CATALOG).await;
    let rest = own.rest("acme");
    offers(&rest, "orders_of", true).await;
    let dataset: Value = rest.get("/v1/datasets/orders_of").await.json();
    assert!(
        dataset["templates"].as_array().is_some_and(|all| all.iter().any(|t| t["name"] == "for_people")),
        "{dataset}"
    );
    assert_eq!(dataset["columns"][2]["masked"], true, "{dataset}");
    let done = rest.create(&request(json!({"dataset": "orders_of", "template": "for_people"}))).await;
    let done = rest.ended(done.id).await;
    assert_eq!(done.status, Status::Completed, "{:?}", done.problem);
    assert_eq!(csv::parse(&file_of(&rest, &done).await).header, "Number");

    std::fs::write(own.dir.path().join("more.csv"), "a,b\n1,x\n2,\n").expect("the folder is writable");
    let more = format!("{CATALOG}\n[[dataset]]\nname = \"more\"\nfiles = \"more.csv\"\n");
    own.write(&more);
    offers(&rest, "more", true).await;
    own.write("[[dataset]]\nname = \"orders_of\"\nfiles = \"mine.parquet\"\n");
    let wrong = || own.fleet.exporters[0].stderr();
    eventually("the log says so", async || wrong().contains("the last good one goes on").then_some(())).await;
    assert!(wrong().contains("row_policy"), "{}", wrong());
    let done = rest.ended(rest.create(&request(json!({"dataset": "more"}))).await.id).await;
    assert_eq!(csv::parse(&file_of(&rest, &done).await).rows, ["1,x", "2,"]);
    own.write(CATALOG);
    offers(&rest, "more", false).await;
}

#[tokio::test]
async fn a_source_that_breaks_fails_the_export_and_gives_the_credit_back() {
    let own = Own::start(CATALOG).await;
    let rest = own.rest("acme");
    offers(&rest, "orders_of", true).await;
    let path = own.dir.path().join("mine.parquet");
    let whole = std::fs::read(&path).expect("it was written");
    let broken = [whole[..whole.len() / 2].to_vec(), whole[..whole.len() - 1].to_vec(), b"PAR1 not at all".to_vec()];
    for bytes in broken {
        std::fs::write(&path, bytes).expect("the folder is writable");
        let done = rest.ended(rest.create(&request(json!({"dataset": "orders_of"}))).await.id).await;
        assert_eq!((done.status, done.file.is_none()), (Status::Failed, true));
        let problem = done.problem.expect("a failed export says why");
        assert!(problem.detail.contains("data could not be read"), "{problem}");
        assert!(!rest.get(&done.links.file).await.status.is_success(), "no file looks whole");
    }
    // one whose column is gone
    let frame = ParquetReader::new(std::io::Cursor::new(whole)).finish().expect("it was whole");
    let mut narrow = frame.select(["id", "tenant"]).expect("columns of it");
    ParquetWriter::new(std::fs::File::create(&path).expect("writable")).finish(&mut narrow).expect("written");
    let done = rest.ended(rest.create(&request(json!({"dataset": "orders_of"}))).await.id).await;
    let problem = done.problem.expect("a failed export says why");
    assert!(problem.detail.contains("`note`"), "{problem}");
    std::fs::remove_file(&path).expect("it is there");
    let done = rest.ended(rest.create(&request(json!({"dataset": "orders_of"}))).await.id).await;
    assert_eq!(done.status, Status::Failed);
    let credits: CreditsView = rest.get("/v1/credits").await.json();
    assert_eq!((credits.balance, credits.held), (5, 0), "every credit is back");
}
