//! Two tenants in one database and one folder: no request of one tenant returns rows of the other.

use std::path::Path;

use e2e::{CatalogFile, Fleet, Plan, catalog_file::await_datasets, csv};
use polars::prelude::{Column, DataFrame, ParquetWriter};
use protocol::{
    catalog::DatasetInfo,
    estimate::Estimate,
    export::{Export, ExportRequest, Status},
};
use reqwest::StatusCode;
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};
use testkit::rest::Rest;

/// The rows of acme in each dataset. Globex has the same number.
const ROWS: u64 = 40;

/// Three datasets with rows of both tenants: a join of two tables with differently named tenant columns, a table, and a Parquet
/// file. Two orders of acme have customers of globex, which a join without row policy would show.
const CATALOG: &str = r#"
[source.postgres]
kind = "postgres"
url = { env = "SLUICE_DATABASE__URL" }

[[dataset]]
name = "sales"
from = "postgres"
query = """
SELECT o.id, o.tenant_id, o.note, c.tenant AS customer_tenant, c.name AS customer, o.price
FROM orders o JOIN customers c ON c.id = o.customer_id WHERE o.note <> :without"""
tenant_column = ["tenant_id", "customer_tenant"]
row_policy = { and = [{ tenant_id = { eq = { claim = "tenant" } } }, { customer_tenant = { eq = { claim = "tenant" } } }] }
[[dataset.param]]
name = "without"
type = "string"
default = ""

[[dataset]]
name = "orders_table"
from = "postgres"
table = "orders"
row_policy = { tenant_id = { eq = { claim = "tenant" } } }

[[dataset]]
name = "orders_file"
files = "shared.parquet"
row_policy = { tenant_id = { eq = { claim = "tenant" } } }

[[template]]
name = "calculated"
[[template.column]]
name = "all"
value = "concat(id, ' ', tenant_id, ' ', note)"
[[template.column]]
name = "tenant_label"
value = "if(tenant_id = 'globex', 'GLOBEX', upper(tenant_id))"
[[template.column]]
source = "id"
"#;

/// Filters that must select no row of globex from any dataset.
fn filters() -> Vec<Value> {
    vec![
        json!({}),
        json!({"tenant_id": {"eq": "globex"}}),
        json!({"tenant_id": {"ne": "acme"}}),
        json!({"tenant_id": {"in": ["globex", "acme", "' OR '1'='1"]}}),
        json!({"tenant_id": {"like": "%"}}),
        json!({"tenant_id": {"contains": "b"}}),
        json!({"tenant_id": {"between": ["a", "z"]}}),
        json!({"tenant_id": {"is_null": false}}),
        json!({"note": {"like": "%globex%"}}),
        json!({"note": {"contains": "secret of globex"}}),
        json!({"note": {"contains": "'; DROP TABLE orders; --"}}),
        json!({"or": [{"tenant_id": {"eq": "globex"}}, {"id": {"gte": 0}}]}),
        json!({"or": [{"not": {"id": {"lt": 0}}}, {"note": {"like": "%"}}]}),
        json!({"not": {"tenant_id": {"eq": "acme"}}}),
        json!({"not": {"and": [{"tenant_id": {"eq": "acme"}}, {"id": {"gte": 0}}]}}),
        json!({"not": {"not": {"or": [{"tenant_id": {"eq": "globex"}}]}}}),
        json!({"and": [{"tenant_id": {"eq": "globex"}}, {"tenant_id": {"eq": "globex"}}]}),
    ]
}

fn write_parquet(path: &Path) {
    let values = |value: fn(u64, &str) -> String| -> Vec<String> {
        (0..2 * ROWS).map(|n| value(n, if n % 2 == 0 { "acme" } else { "globex" })).collect()
    };
    let mut frame = DataFrame::new_infer_height(vec![
        Column::new("id".into(), (0..2 * ROWS as i64).collect::<Vec<_>>()),
        Column::new("tenant_id".into(), values(|_, tenant| tenant.to_owned())),
        Column::new("note".into(), values(|n, tenant| format!("secret of {tenant} {n}"))),
    ])
    .expect("columns of one height");
    let file = std::fs::File::create(path).expect("a new folder is writable");
    ParquetWriter::new(file).finish(&mut frame).expect("a frame can be written");
}

async fn create_tables(fleet: &Fleet) {
    for statement in [
        "CREATE TABLE customers (id bigint, tenant text, name text)".to_owned(),
        "CREATE TABLE orders (id bigint, tenant_id text, customer_id bigint, note text, price numeric)".to_owned(),
        format!(
            "INSERT INTO customers SELECT n, t, 'customer of ' || t FROM generate_series(0, {}) n, \
             LATERAL (SELECT CASE n % 2 WHEN 0 THEN 'acme' ELSE 'globex' END AS t) w",
            2 * ROWS - 1
        ),
        format!(
            "INSERT INTO orders SELECT n, t, n, 'secret of ' || t || ' ' || n, n FROM generate_series(0, {}) n, \
             LATERAL (SELECT CASE n % 2 WHEN 0 THEN 'acme' ELSE 'globex' END AS t) w",
            2 * ROWS - 1
        ),
        // Two orders of acme get customers of globex.
        "UPDATE orders SET customer_id = id + 1 WHERE id IN (0, 2)".to_owned(),
        "ANALYZE orders; ANALYZE customers".to_owned(),
    ] {
        fleet.database.db.execute_unprepared(&statement).await.unwrap_or_else(|e| panic!("{statement}: {e}"));
    }
}

struct Fixture {
    fleet: Fleet,
    _catalog: CatalogFile,
}

impl Fixture {
    async fn start() -> Self {
        let catalog = CatalogFile::new(CATALOG);
        write_parquet(&catalog.dir.path().join("shared.parquet"));
        let fleet = Fleet::start(Plan { postgres: true, ..catalog.plan(vec![]) }).await;
        create_tables(&fleet).await;
        let fixture = Self { fleet, _catalog: catalog };
        await_datasets(&fixture.rest("acme", "alice"), &["sales", "orders_table", "orders_file"]).await;
        fixture
    }

    fn rest(&self, tenant: &str, sub: &str) -> Rest {
        Rest::new(self.fleet.url(), Some(&self.fleet.token(sub, tenant)))
    }

    /// Creates an export and returns its file. Every four exports belong to another user of acme, with new credits.
    async fn export(&self, number: usize, body: &Value) -> (Export, String) {
        let rest = self.rest("acme", &format!("user-{}", number / 4));
        let request: ExportRequest = serde_json::from_value(body.clone()).expect("a request");
        let done = rest.ended(rest.create(&request).await.id).await;
        assert_eq!(done.status, Status::Completed, "{body}: {:?}", done.problem);
        let file = rest.get(&done.links.file).await;
        (done, file.text())
    }
}

async fn estimate(rest: &Rest, body: &Value) -> Estimate {
    let answer = rest.post("/v1/exports/estimate", body).await;
    assert_eq!(answer.status, StatusCode::OK, "{body}: {}", answer.text());
    answer.json()
}

#[tokio::test]
async fn no_filter_parameter_preview_estimate_template_or_join_returns_rows_of_another_tenant() {
    let fixture = Fixture::start().await;
    let rest = fixture.rest("acme", "alice");
    let mut exports = 0;
    // No tenant sees the two orders with customers of globex in the join.
    for (dataset, most) in [("sales", ROWS - 2), ("orders_table", ROWS), ("orders_file", ROWS)] {
        for filter in filters() {
            let body = json!({"dataset": dataset, "filter": filter});
            let shown = estimate(&rest, &body).await;
            let preview = serde_json::to_string(&shown.preview).expect("JSON");
            assert!(!preview.contains("globex"), "{body}: {preview}");
            assert!(shown.exact && shown.rows.is_some_and(|rows| rows <= most), "{body}: {shown:?}");
        }
        let bodies = [
            json!({"dataset": dataset}),
            json!({"dataset": dataset, "filter": filters()[11]}),
            json!({"dataset": dataset, "filter": filters()[13]}),
            json!({"dataset": dataset, "columns": ["note"], "filter": filters()[8], "format": "ndjson"}),
            json!({"dataset": dataset, "template": "calculated"}),
            json!({"dataset": dataset, "template": "calculated", "columns": ["tenant_label"], "filter": filters()[3]}),
        ];
        for body in bodies {
            let (done, file) = fixture.export(exports, &body).await;
            exports += 1;
            assert!(!file.to_lowercase().contains("globex"), "{body}: {file}");
            let rows = done.file.expect("a completed export has a file").rows;
            assert!(rows <= most && done.progress.rows_total.is_none_or(|total| total <= most), "{body}: {rows}");
            if body.get("filter").is_none() {
                assert_eq!(rows, most, "{body}: all rows of acme");
            }
        }
    }
    // A parameter is data in every statement.
    for without in ["x' OR '1'='1", "') OR true --", "secret of acme 4"] {
        let body = json!({"dataset": "sales", "params": {"without": without}});
        let shown = estimate(&rest, &body).await;
        let expected = ROWS - 2 - u64::from(without == "secret of acme 4");
        assert_eq!((shown.rows, shown.exact), (Some(expected), true), "{body}");
        let (_, file) = fixture.export(exports, &body).await;
        exports += 1;
        assert!(
            !file.contains("globex") && csv::parse(file.as_bytes()).rows.len() as u64 == expected,
            "{body}: {file}"
        );
    }
    // No tenant learns the total number of rows.
    for dataset in ["sales", "orders_table", "orders_file"] {
        let info: DatasetInfo = rest.get(&format!("/v1/datasets/{dataset}")).await.json();
        assert_eq!(info.rows_estimate, None, "{dataset}");
    }
    // The other tenant sees its own rows, and an unknown tenant sees none.
    let other = estimate(&fixture.rest("globex", "bob"), &json!({"dataset": "orders_table"})).await;
    assert_eq!((other.rows, &other.preview[0]["tenant_id"]), (Some(ROWS), &json!("globex")));
    let unknown = estimate(&fixture.rest("' OR '1'='1", "eve"), &json!({"dataset": "sales"})).await;
    assert_eq!((unknown.rows, unknown.preview.len()), (Some(0), 0));
}

#[tokio::test]
async fn the_gateway_checks_template_columns_and_the_manifest_names_dataset_and_template() {
    let fixture = Fixture::start().await;
    let rest = fixture.rest("acme", "alice");
    let info: Value = rest.get("/v1/datasets/orders_file").await.json();
    let template = info["templates"].as_array().and_then(|all| all.iter().find(|t| t["name"] == "calculated"));
    let columns = template.map(|template| template["columns"].clone()).unwrap_or_default();
    assert_eq!(
        (&columns[0]["name"], &columns[0]["reads"]),
        (&json!("all"), &json!(["id", "tenant_id", "note"])),
        "{info}"
    );
    assert_eq!(columns[2]["type"], "int");
    let body = json!({"dataset": "orders_file", "template": "calculated", "columns": ["tenant_label", "note"]});
    for path in ["/v1/exports", "/v1/exports/estimate"] {
        let problem = rest.post(path, &body).await.problem();
        assert_eq!(problem.errors[0].pointer, "/columns/1", "{problem:?}");
        assert!(problem.errors[0].detail.contains("this template has all, tenant_label, id"), "{problem:?}");
    }
    let (done, _) = fixture.export(0, &json!({"dataset": "orders_file", "template": "calculated"})).await;
    let manifest = protocol::delivery::manifest_path(done.id, done.attempt);
    let manifest = fixture.fleet.store.store().get(&manifest).await.expect("the manifest exists");
    let manifest: protocol::delivery::Manifest = serde_json::from_slice(&manifest).expect("a manifest");
    let provenance = manifest.provenance.expect("a manifest has the provenance");
    assert_eq!((provenance.dataset.as_str(), provenance.template.as_str()), ("orders_file", "calculated"));
    assert_eq!((provenance.dataset_version.len(), provenance.template_version.len()), (12, 12));
    let metadata: Value = fixture.rest("acme", "user-0").get(&done.links.metadata).await.json();
    assert_eq!(metadata["urn:sluice:dataset_version"], json!(provenance.dataset_version), "{metadata}");
    assert_eq!(metadata["urn:sluice:template_version"], json!(provenance.template_version));
}
