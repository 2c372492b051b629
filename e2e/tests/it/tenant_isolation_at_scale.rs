//! Hundreds of thousands of rows of two tenants: every page range, key range and row window is read with the row policy of one
//! tenant.

use std::{collections::BTreeSet, fs::File, path::Path};

use e2e::{CatalogFile, Fleet, SourceDatabase};
use polars::prelude::{Column, DataFrame, ParquetWriter};
use protocol::{
    catalog::DatasetInfo,
    estimate::Estimate,
    export::{Export, ExportRequest, Status},
};
use reqwest::StatusCode;
use serde_json::{Value, json};
use testkit::{eventually, rest::Rest};

/// The rows of both tenants in the database: more than two page ranges and key ranges.
const ROWS: u64 = 300_000;
/// The rows of both tenants in the file: more than two row windows.
const FILE_ROWS: u64 = 90_000;
/// The bytes that each range may read before it stalls: less than any range has.
const STALL_AFTER: u64 = 64 * 1024;
/// One in so many rows belongs to the smaller tenant, globex.
const GLOBEX_INTERVAL: u64 = 6;

/// The number of rows of globex among so many rows.
const fn globex_rows(rows: u64) -> u64 {
    rows / GLOBEX_INTERVAL
}

/// The number of rows of acme among so many rows.
const fn acme_rows(rows: u64) -> u64 {
    rows - globex_rows(rows)
}

const CATALOG: &str = r#"
[source.postgres]
kind = "postgres"
url = { env = "SOURCE_DATABASE_URL" }

[[dataset]]
name = "orders"
from = "postgres"
table = "orders"
row_policy = { tenant_id = { eq = { claim = "tenant" } } }

[[dataset]]
name = "sales"
from = "postgres"
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

/// The SQL expression for the tenant of row `n`.
const TENANT: &str = "CASE WHEN n % 6 = 5 THEN 'globex' ELSE 'acme' END";

fn write_parquet(path: &Path) {
    let tenant = |n: u64| if n % GLOBEX_INTERVAL == GLOBEX_INTERVAL - 1 { "globex" } else { "acme" };
    let filler = "x".repeat(800);
    let mut frame = DataFrame::new_infer_height(vec![
        Column::new("id".into(), (0..FILE_ROWS as i64).collect::<Vec<_>>()),
        Column::new("tenant_id".into(), (0..FILE_ROWS).map(tenant).collect::<Vec<_>>()),
        Column::new(
            "note".into(),
            (0..FILE_ROWS).map(|n| format!("secret of {} {n} {filler}", tenant(n))).collect::<Vec<_>>(),
        ),
    ])
    .expect("columns of one height");
    let file = File::create(path).expect("a new folder is writable");
    ParquetWriter::new(file).with_row_group_size(Some(20_000)).finish(&mut frame).expect("a frame can be written");
}

struct Fixture {
    source: SourceDatabase,
    fleet: Fleet,
    _catalog: CatalogFile,
}

impl Fixture {
    async fn start() -> Self {
        let source = SourceDatabase::start().await;
        let last = ROWS - 1;
        source
            .run(&format!(
                "CREATE TABLE customers (id bigint PRIMARY KEY, tenant text, name text); \
                 CREATE TABLE orders (id bigint PRIMARY KEY, tenant_id text, customer_id bigint, note text); \
                 INSERT INTO customers SELECT n, {TENANT}, 'customer of ' || {TENANT} FROM generate_series(0, {last}) n; \
                 INSERT INTO orders SELECT n, {TENANT}, n, 'secret of ' || {TENANT} || ' ' || n || repeat(' x', 60) \
                 FROM generate_series(0, {last}) n; \
                 UPDATE orders SET customer_id = 5 WHERE id IN (0, 150000, 299998); \
                 ANALYZE customers; ANALYZE orders"
            ))
            .await;
        let catalog = CatalogFile::new(CATALOG);
        write_parquet(&catalog.dir.path().join("shared.parquet"));
        let fleet = catalog.start_fleet(Some(&source), &["orders", "sales", "file"], vec![]).await;
        Self { source, fleet, _catalog: catalog }
    }

    fn rest(&self, tenant: &str, sub: &str) -> Rest {
        Rest::new(self.fleet.url(), Some(&self.fleet.token(sub, tenant)))
    }

    /// Creates an export. Returns it with its file and the `COPY` statements that read its rows. With `range`, a part of the
    /// statement of a range, the ranges stall until two of them run.
    async fn export(&self, rest: &Rest, body: &Value, range: Option<&str>) -> (Export, String, BTreeSet<String>) {
        let mut statements = BTreeSet::new();
        // A connection of an earlier export may still show its last statement.
        let before = self.source.copies().await;
        let request: ExportRequest = serde_json::from_value(body.clone()).expect("a request");
        let exporting = async {
            if range.is_some() {
                self.source.proxy.stall_after(STALL_AFTER);
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
            () = self.source.record_copies(&mut statements) => unreachable!("the loop has no end"),
        };
        assert_eq!(done.status, Status::Completed, "{body}: {:?}", done.problem);
        statements.retain(|copy| !before.contains(copy));
        let file = rest.get(&done.links.file).await.text();
        (done, file, statements)
    }
}

async fn estimate(rest: &Rest, body: &Value) -> Estimate {
    let answer = rest.post("/v1/exports/estimate", body).await;
    assert_eq!(answer.status, StatusCode::OK, "{body}: {}", answer.text());
    answer.json()
}

/// Asserts that a file has this number of rows and no text of the other tenant.
fn assert_isolated(done: &Export, file: &str, other: &str, rows: u64, what: &Value) {
    let first = file.lines().find(|line| line.contains(other));
    assert_eq!(first, None, "{what}");
    let info = done.file.as_ref().expect("a completed export has a file");
    assert_eq!(info.rows, rows, "{what}");
    assert!(done.progress.rows_total.is_none_or(|total| total <= rows.max(1)), "{what}: {:?}", done.progress);
}

#[tokio::test]
async fn slow_every_range_and_window_reads_only_rows_of_one_tenant() {
    let fixture = Fixture::start().await;
    let joined = acme_rows(ROWS) - 3;
    // No tenant sees the three orders of acme with a customer of globex in the join.
    for (dataset, acme, globex, range) in [
        ("orders", acme_rows(ROWS), globex_rows(ROWS), Some("ctid")),
        ("sales", joined, globex_rows(ROWS), Some("\"source\".\"id\"")),
        ("file", acme_rows(FILE_ROWS), globex_rows(FILE_ROWS), None),
    ] {
        for (tenant, other, rows) in [("acme", "globex", acme), ("globex", "acme", globex)] {
            let rest = fixture.rest(tenant, dataset);
            let body = json!({"dataset": dataset});
            let range = range.filter(|_| tenant == "acme");
            let (done, file, copies) = fixture.export(&rest, &body, range).await;
            assert_isolated(&done, &file, other, rows, &body);
            for copy in &copies {
                let policies = copy.matches(&format!("'{tenant}'")).count();
                assert!(policies > usize::from(dataset == "sales") && !copy.contains(other), "{copy}");
            }
        }

        let rest = fixture.rest("acme", &format!("{dataset} again"));
        let filters = [
            (json!({"tenant_id": {"eq": "globex"}}), 0),
            (json!({"not": {"tenant_id": {"eq": "acme"}}}), 0),
            (json!({"or": [{"tenant_id": {"eq": "globex"}}, {"id": {"lt": 60}}]}), 50 - u64::from(dataset == "sales")),
        ];
        for (filter, rows) in filters {
            let body = json!({"dataset": dataset, "filter": filter, "columns": ["tenant_id", "note"]});
            let (done, file, _) = fixture.export(&rest, &body, None).await;
            assert_isolated(&done, &file, "globex", rows, &body);
        }
    }
}

#[tokio::test]
async fn slow_no_estimate_preview_or_count_reveals_rows_of_another_tenant() {
    let fixture = Fixture::start().await;
    let rest = fixture.rest("acme", "alice");
    let no_filter = json!({});
    for (dataset, rows) in [("orders", acme_rows(ROWS)), ("sales", acme_rows(ROWS) - 3), ("file", acme_rows(FILE_ROWS))]
    {
        let join = u64::from(dataset == "sales");
        for (filter, most) in [
            (no_filter.clone(), rows),
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
            // An estimate may be inexact, but only about rows of acme.
            let limit = if most == 0 { 0 } else { rows + rows / 4 };
            let fits = |estimate: u64| if shown.exact { estimate == most } else { estimate <= limit };
            assert!(shown.rows.is_none_or(fits), "{body}: {shown:?}");
        }
        let info: DatasetInfo = rest.get(&format!("/v1/datasets/{dataset}")).await.json();
        assert_eq!(info.rows_estimate, None, "{dataset}: the total number of rows is confidential");
    }
    // A parameter is data.
    for without in ["x' OR '1'='1", "') OR true --", "' UNION SELECT id, tenant, tenant, name, name FROM customers --"]
    {
        let body = json!({"dataset": "sales", "params": {"without": without}});
        let shown = estimate(&rest, &body).await;
        let preview = serde_json::to_string(&shown.preview).expect("JSON");
        assert!(!preview.contains("globex") && shown.preview.len() == 10, "{body}: {preview}");
        assert!(shown.rows.is_none_or(|rows| !shown.exact || rows == acme_rows(ROWS) - 3), "{body}: {shown:?}");
    }
    // An unknown tenant sees no row.
    let unknown = fixture.rest("acme' OR tenant_id = 'globex", "eve");
    for dataset in ["orders", "sales", "file"] {
        let shown = estimate(&unknown, &json!({"dataset": dataset})).await;
        assert!(shown.preview.is_empty() && shown.rows.is_none_or(|rows| rows == 0 || !shown.exact), "{shown:?}");
    }
}
