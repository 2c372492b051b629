//! Hundreds of thousands of rows of two tenants, read in ranges of pages and of a key and in windows of a file: each of
//! these is asked for one tenant's rows alone.

use std::{collections::BTreeSet, fs::File, path::Path};

use e2e::{Catalog, Fleet, Source};
use polars::prelude::{Column, DataFrame, ParquetWriter};
use protocol::{
    catalog::DatasetInfo,
    estimate::Estimate,
    export::{Export, ExportRequest, Status},
};
use reqwest::StatusCode;
use serde_json::{Value, json};
use testkit::{eventually, rest::Rest};

/// Rows of both tenants in the database: more than two ranges of pages, and of the key.
const ROWS: u64 = 300_000;
/// Rows of both tenants in the file: more than two windows.
const FILE_ROWS: u64 = 90_000;
/// Bytes of a range that come before it stands still: less than any has.
const SOME: u64 = 64 * 1024;
/// Every so many rows, one is of the smaller tenant.
const EVERY: u64 = 6;

/// How many of so many rows are of globex.
const fn of_globex(rows: u64) -> u64 {
    rows / EVERY
}

/// How many of them are of acme.
const fn of_acme(rows: u64) -> u64 {
    rows - of_globex(rows)
}

const CATALOG: &str = r#"
[source.shop]
kind = "postgres"
url = { env = "SHOP_URL" }

[[dataset]]
name = "orders"
from = "shop"
table = "orders"
row_policy = { tenant_id = { eq = { claim = "tenant" } } }

[[dataset]]
name = "sales"
from = "shop"
query = """
SELECT o.id, o.tenant_id, c.tenant AS customer_tenant, o.note, c.name AS customer
FROM orders o JOIN customers c ON c.id = o.customer_id WHERE o.note <> :without"""
split_by = "id"
tenant_column = ["tenant_id", "customer_tenant"]
row_policy = { and = [{ tenant_id = { eq = { claim = "tenant" } } }, { customer_tenant = { eq = { claim = "tenant" } } }] }
[[dataset.param]]
name = "without"
type = "string"
default = ""

[[dataset]]
name = "file"
files = "shared.parquet"
row_policy = { tenant_id = { eq = { claim = "tenant" } } }
"#;

/// Whose a row is, in SQL.
const WHOSE: &str = "CASE WHEN n % 6 = 5 THEN 'globex' ELSE 'acme' END";

fn parquet(path: &Path) {
    let whose = |n: u64| if n % EVERY == EVERY - 1 { "globex" } else { "acme" };
    let filler = "x".repeat(800);
    let mut frame = DataFrame::new_infer_height(vec![
        Column::new("id".into(), (0..FILE_ROWS as i64).collect::<Vec<_>>()),
        Column::new("tenant_id".into(), (0..FILE_ROWS).map(whose).collect::<Vec<_>>()),
        Column::new(
            "note".into(),
            (0..FILE_ROWS).map(|n| format!("secret of {} {n} {filler}", whose(n))).collect::<Vec<_>>(),
        ),
    ])
    .expect("columns of one height");
    let file = File::create(path).expect("a new folder is writable");
    ParquetWriter::new(file).with_row_group_size(Some(20_000)).finish(&mut frame).expect("a frame can be written");
}

struct Shop {
    source: Source,
    fleet: Fleet,
    _catalog: Catalog,
}

impl Shop {
    async fn open() -> Self {
        let source = Source::start().await;
        let last = ROWS - 1;
        source
            .run(&format!(
                "CREATE TABLE customers (id bigint PRIMARY KEY, tenant text, name text); \
                 CREATE TABLE orders (id bigint PRIMARY KEY, tenant_id text, customer_id bigint, note text); \
                 INSERT INTO customers SELECT n, {WHOSE}, 'customer of ' || {WHOSE} FROM generate_series(0, {last}) n; \
                 INSERT INTO orders SELECT n, {WHOSE}, n, 'secret of ' || {WHOSE} || ' ' || n || repeat(' x', 60) \
                 FROM generate_series(0, {last}) n; \
                 UPDATE orders SET customer_id = 5 WHERE id IN (0, 150000, 299998); \
                 ANALYZE customers; ANALYZE orders"
            ))
            .await;
        let catalog = Catalog::new(CATALOG);
        parquet(&catalog.dir.path().join("shared.parquet"));
        let fleet = catalog.fleet(Some(&source), &["orders", "sales", "file"], vec![]).await;
        Self { source, fleet, _catalog: catalog }
    }

    fn rest(&self, tenant: &str, sub: &str) -> Rest {
        Rest::new(self.fleet.url(), Some(&self.fleet.token(sub, tenant)))
    }

    /// A file of a tenant, and what the server was asked for it. Where it is to be read in ranges, these stand still until two
    /// of them were seen.
    async fn export(&self, rest: &Rest, body: &Value, range: Option<&str>) -> (Export, String, BTreeSet<String>) {
        let mut seen = BTreeSet::new();
        // a connection of the export before may show what it was asked last
        let before = self.source.copies().await;
        let request: ExportRequest = serde_json::from_value(body.clone()).expect("a request");
        let exporting = async {
            if range.is_some() {
                self.source.proxy.stall_after(SOME);
            }
            let id = rest.create(&request).await.id;
            if let Some(range) = range {
                eventually(&format!("two ranges of {body}"), async || {
                    let copies: BTreeSet<_> = self.source.copies().await.into_iter().collect();
                    (copies.iter().filter(|copy| copy.contains(range)).count() >= 2).then_some(())
                })
                .await;
                self.source.proxy.restore();
            }
            rest.ended(id).await
        };
        let done = tokio::select! {
            done = exporting => done,
            () = self.source.note_copies(&mut seen) => unreachable!("it goes on for ever"),
        };
        assert_eq!(done.status, Status::Completed, "{body}: {:?}", done.problem);
        seen.retain(|copy| !before.contains(copy));
        let file = rest.get(&done.links.file).await.text();
        (done, file, seen)
    }
}

async fn estimate(rest: &Rest, body: &Value) -> Estimate {
    let answer = rest.post("/v1/exports/estimate", body).await;
    assert_eq!(answer.status, StatusCode::OK, "{body}: {}", answer.text());
    answer.json()
}

/// Nothing of the other tenant, and as many rows as there must be.
fn theirs(done: &Export, file: &str, other: &str, rows: u64, what: &Value) {
    let first = file.lines().find(|line| line.contains(other));
    assert_eq!(first, None, "{what}");
    let info = done.file.as_ref().expect("a completed export has a file");
    assert_eq!(info.rows, rows, "{what}");
    assert!(done.progress.rows_total.is_none_or(|total| total <= rows.max(1)), "{what}: {:?}", done.progress);
}

#[tokio::test]
async fn every_range_and_every_window_asks_for_one_tenants_rows_alone() {
    let shop = Shop::open().await;
    let joined = of_acme(ROWS) - 3;
    // three orders of acme are of a customer of globex: in the join they are nobody's
    for (dataset, acme, globex, range) in [
        ("orders", of_acme(ROWS), of_globex(ROWS), Some("ctid")),
        ("sales", joined, of_globex(ROWS), Some("\"source\".\"id\"")),
        ("file", of_acme(FILE_ROWS), of_globex(FILE_ROWS), None),
    ] {
        for (tenant, other, rows) in [("acme", "globex", acme), ("globex", "acme", globex)] {
            let rest = shop.rest(tenant, dataset);
            let body = json!({"dataset": dataset});
            let range = range.filter(|_| tenant == "acme");
            let (done, file, copies) = shop.export(&rest, &body, range).await;
            theirs(&done, &file, other, rows, &body);
            for copy in &copies {
                let policies = copy.matches(&format!("'{tenant}'")).count();
                assert!(policies > usize::from(dataset == "sales") && !copy.contains(other), "{copy}");
            }
        }

        let rest = shop.rest("acme", &format!("{dataset} again"));
        let tricks = [
            (json!({"tenant_id": {"eq": "globex"}}), 0),
            (json!({"not": {"tenant_id": {"eq": "acme"}}}), 0),
            (json!({"or": [{"tenant_id": {"eq": "globex"}}, {"id": {"lt": 60}}]}), 50 - u64::from(dataset == "sales")),
        ];
        for (filter, rows) in tricks {
            let body = json!({"dataset": dataset, "filter": filter, "columns": ["tenant_id", "note"]});
            let (done, file, _) = shop.export(&rest, &body, None).await;
            theirs(&done, &file, "globex", rows, &body);
        }
    }
}

#[tokio::test]
async fn no_estimate_preview_or_count_tells_of_another_tenants_rows() {
    let shop = Shop::open().await;
    let rest = shop.rest("acme", "alice");
    let every = json!({});
    for (dataset, rows) in [("orders", of_acme(ROWS)), ("sales", of_acme(ROWS) - 3), ("file", of_acme(FILE_ROWS))] {
        let join = u64::from(dataset == "sales");
        for (filter, most) in [
            (every.clone(), rows),
            (json!({"tenant_id": {"eq": "globex"}}), 0),
            (json!({"tenant_id": {"ne": "acme"}}), 0),
            (json!({"tenant_id": {"contains": "lob"}}), 0),
            (json!({"note": {"like": "secret of globex%"}}), 0),
            (json!({"note": {"contains": "globex"}}), 0),
            (json!({"id": {"eq": 5}}), 0),
            (json!({"id": {"in": [5, 11, 12]}}), 1),
            (json!({"or": [{"tenant_id": {"eq": "globex"}}, {"id": {"lt": 60}}]}), 50 - join),
            (json!({"not": {"and": [{"tenant_id": {"eq": "acme"}}, {"id": {"gte": 60}}]}}), 50 - join),
        ] {
            let body = json!({"dataset": dataset, "filter": filter});
            let shown = estimate(&rest, &body).await;
            let preview = serde_json::to_string(&shown.preview).expect("JSON");
            assert!(!preview.contains("globex"), "{body}: {preview}");
            assert_eq!(shown.preview.len() as u64, most.min(10), "{body}");
            // a guess may be wrong, but only about rows that are theirs
            let limit = if most == 0 { 0 } else { rows + rows / 4 };
            let fits = |guess: u64| if shown.exact { guess == most } else { guess <= limit };
            assert!(shown.rows.is_none_or(fits), "{body}: {shown:?}");
        }
        let info: DatasetInfo = rest.get(&format!("/v1/datasets/{dataset}")).await.json();
        assert_eq!(info.rows_estimate, None, "{dataset}: how many all have is nobody's business");
    }
    // whatever the parameter says, it is a text
    for without in ["x' OR '1'='1", "') OR true --", "' UNION SELECT id, tenant, tenant, name, name FROM customers --"]
    {
        let body = json!({"dataset": "sales", "params": {"without": without}});
        let shown = estimate(&rest, &body).await;
        let preview = serde_json::to_string(&shown.preview).expect("JSON");
        assert!(!preview.contains("globex") && shown.preview.len() == 10, "{body}: {preview}");
        assert!(shown.rows.is_none_or(|rows| !shown.exact || rows == of_acme(ROWS) - 3), "{body}: {shown:?}");
    }
    // who has no tenant's name has no rows
    let nobody = shop.rest("acme' OR tenant_id = 'globex", "eve");
    for dataset in ["orders", "sales", "file"] {
        let shown = estimate(&nobody, &json!({"dataset": dataset})).await;
        assert!(shown.preview.is_empty() && shown.rows.is_none_or(|rows| rows == 0 || !shown.exact), "{shown:?}");
    }
}
