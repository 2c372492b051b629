//! Two tenants in one database and one folder: whatever one of them asks for, no row of the other comes.

use std::path::Path;

use e2e::{Fleet, Plan, csv};
use polars::prelude::{Column, DataFrame, ParquetWriter};
use protocol::{
    catalog::DatasetInfo,
    estimate::Estimate,
    export::{Export, ExportRequest, Status},
};
use reqwest::StatusCode;
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};
use testkit::{eventually, rest::Rest};

/// Rows of acme in each dataset; globex has as many.
const ROWS: u64 = 40;

/// A join on PostgreSQL of two tables that are both shared by tenants, once by names that don't tell it; a table of it, and
/// a Parquet file. Two orders of acme are of customers of globex: a join alone would show these.
const CATALOG: &str = r#"
[source.shop]
kind = "postgres"
url = { env = "SLUICE_DATABASE__URL" }

[[dataset]]
name = "sales"
from = "shop"
query = """
SELECT o.id, o.tenant_id, o.note, c.tenant AS customer_tenant, c.name AS customer, o.price
FROM shop_orders o JOIN shop_customers c ON c.id = o.customer_id WHERE o.note <> :without"""
tenant_column = ["tenant_id", "customer_tenant"]
row_policy = { and = [{ tenant_id = { eq = { claim = "tenant" } } }, { customer_tenant = { eq = { claim = "tenant" } } }] }
[[dataset.param]]
name = "without"
type = "string"
default = ""

[[dataset]]
name = "orders_table"
from = "shop"
table = "shop_orders"
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
name = "whose"
value = "if(tenant_id = 'globex', 'GLOBEX', upper(tenant_id))"
[[template.column]]
source = "id"
"#;

/// Of every dataset and for each of these: no text of globex, and no more rows than acme has.
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
        json!({"note": {"contains": "'; DROP TABLE shop_orders; --"}}),
        json!({"or": [{"tenant_id": {"eq": "globex"}}, {"id": {"gte": 0}}]}),
        json!({"or": [{"not": {"id": {"lt": 0}}}, {"note": {"like": "%"}}]}),
        json!({"not": {"tenant_id": {"eq": "acme"}}}),
        json!({"not": {"and": [{"tenant_id": {"eq": "acme"}}, {"id": {"gte": 0}}]}}),
        json!({"not": {"not": {"or": [{"tenant_id": {"eq": "globex"}}]}}}),
        json!({"and": [{"tenant_id": {"eq": "globex"}}, {"tenant_id": {"eq": "globex"}}]}),
    ]
}

fn parquet(path: &Path) {
    let both = |of: fn(u64, &str) -> String| -> Vec<String> {
        (0..2 * ROWS).map(|n| of(n, if n % 2 == 0 { "acme" } else { "globex" })).collect()
    };
    let mut frame = DataFrame::new_infer_height(vec![
        Column::new("id".into(), (0..2 * ROWS as i64).collect::<Vec<_>>()),
        Column::new("tenant_id".into(), both(|_, tenant| tenant.to_owned())),
        Column::new("note".into(), both(|n, tenant| format!("secret of {tenant} {n}"))),
    ])
    .expect("columns of one height");
    let file = std::fs::File::create(path).expect("a new folder is writable");
    ParquetWriter::new(file).finish(&mut frame).expect("a frame can be written");
}

async fn shop(fleet: &Fleet) {
    for statement in [
        "CREATE TABLE shop_customers (id bigint, tenant text, name text)".to_owned(),
        "CREATE TABLE shop_orders (id bigint, tenant_id text, customer_id bigint, note text, price numeric)".to_owned(),
        format!(
            "INSERT INTO shop_customers SELECT n, t, 'customer of ' || t FROM generate_series(0, {}) n, \
             LATERAL (SELECT CASE n % 2 WHEN 0 THEN 'acme' ELSE 'globex' END AS t) w",
            2 * ROWS - 1
        ),
        format!(
            "INSERT INTO shop_orders SELECT n, t, n, 'secret of ' || t || ' ' || n, n FROM generate_series(0, {}) n, \
             LATERAL (SELECT CASE n % 2 WHEN 0 THEN 'acme' ELSE 'globex' END AS t) w",
            2 * ROWS - 1
        ),
        // whose customers are somebody else's
        "UPDATE shop_orders SET customer_id = id + 1 WHERE id IN (0, 2)".to_owned(),
        "ANALYZE shop_orders; ANALYZE shop_customers".to_owned(),
    ] {
        fleet.database.db.execute_unprepared(&statement).await.unwrap_or_else(|e| panic!("{statement}: {e}"));
    }
}

struct Shop {
    fleet: Fleet,
    _dir: tempfile::TempDir,
}

impl Shop {
    async fn open() -> Self {
        let dir = tempfile::tempdir().expect("the folder for temporary files is writable");
        parquet(&dir.path().join("shared.parquet"));
        let file = dir.path().join("catalog.toml");
        std::fs::write(&file, CATALOG).expect("a new folder is writable");
        let settings = vec![
            ("SLUICE_EXPORTER__CATALOG", file.display().to_string()),
            ("SLUICE_EXPORTER__CATALOG_POLL_MS", "50".to_owned()),
            ("SLUICE_EXPORTER__CATALOG_MS", "200".to_owned()),
        ];
        let datasets = Some(dir.path().to_owned());
        let fleet = Fleet::start(Plan { settings, datasets, postgres: true, ..Plan::default() }).await;
        shop(&fleet).await;
        let shop = Self { fleet, _dir: dir };
        let rest = shop.rest("acme", "alice");
        for name in ["sales", "orders_table", "orders_file"] {
            eventually(name, async || {
                rest.get(&format!("/v1/datasets/{name}")).await.status.is_success().then_some(())
            })
            .await;
        }
        shop
    }

    fn rest(&self, tenant: &str, sub: &str) -> Rest {
        Rest::new(self.fleet.url(), Some(&self.fleet.token(sub, tenant)))
    }

    /// The file of an export. Each is asked for by somebody else of the tenant, who has credits of their own.
    async fn export(&self, who: usize, body: &Value) -> (Export, String) {
        let rest = self.rest("acme", &format!("person-{}", who / 4));
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
async fn no_row_of_another_tenant_comes_by_filter_parameter_preview_estimate_template_or_join() {
    let shop = Shop::open().await;
    let rest = shop.rest("acme", "alice");
    let mut exports = 0;
    // in the join, the two orders with customers of globex are nobody's
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
            json!({"dataset": dataset, "template": "calculated", "columns": ["whose"], "filter": filters()[3]}),
        ];
        for body in bodies {
            let (done, file) = shop.export(exports, &body).await;
            exports += 1;
            assert!(!file.to_lowercase().contains("globex"), "{body}: {file}");
            let rows = done.file.expect("a completed export has a file").rows;
            assert!(rows <= most && done.progress.rows_total.is_none_or(|total| total <= most), "{body}: {rows}");
            if body.get("filter").is_none() {
                assert_eq!(rows, most, "{body}: all of their own");
            }
        }
    }
    // a parameter is data, wherever it ends up
    for without in ["x' OR '1'='1", "') OR true --", "secret of acme 4"] {
        let body = json!({"dataset": "sales", "params": {"without": without}});
        let shown = estimate(&rest, &body).await;
        let expected = ROWS - 2 - u64::from(without == "secret of acme 4");
        assert_eq!((shown.rows, shown.exact), (Some(expected), true), "{body}");
        let (_, file) = shop.export(exports, &body).await;
        exports += 1;
        assert!(
            !file.contains("globex") && csv::parse(file.as_bytes()).rows.len() as u64 == expected,
            "{body}: {file}"
        );
    }
    // nobody learns how many rows all have together
    for dataset in ["sales", "orders_table", "orders_file"] {
        let info: DatasetInfo = rest.get(&format!("/v1/datasets/{dataset}")).await.json();
        assert_eq!(info.rows_estimate, None, "{dataset}");
    }
    // nor is a token without the claim taken for one that sees all
    let other = estimate(&shop.rest("globex", "bob"), &json!({"dataset": "orders_table"})).await;
    assert_eq!((other.rows, &other.preview[0]["tenant_id"]), (Some(ROWS), &json!("globex")));
    let nobody = estimate(&shop.rest("' OR '1'='1", "eve"), &json!({"dataset": "sales"})).await;
    assert_eq!((nobody.rows, nobody.preview.len()), (Some(0), 0));
}

#[tokio::test]
async fn a_templates_columns_are_known_at_the_door_and_a_manifest_names_what_made_the_file() {
    let shop = Shop::open().await;
    let rest = shop.rest("acme", "alice");
    let info: Value = rest.get("/v1/datasets/orders_file").await.json();
    let template = info["templates"].as_array().and_then(|all| all.iter().find(|t| t["name"] == "calculated"));
    let columns = template.map(|template| template["columns"].clone()).unwrap_or_default();
    assert_eq!(
        (&columns[0]["name"], &columns[0]["reads"]),
        (&json!("all"), &json!(["id", "tenant_id", "note"])),
        "{info}"
    );
    assert_eq!(columns[2]["type"], "int");
    let body = json!({"dataset": "orders_file", "template": "calculated", "columns": ["whose", "note"]});
    for path in ["/v1/exports", "/v1/exports/estimate"] {
        let problem = rest.post(path, &body).await.problem();
        assert_eq!(problem.errors[0].pointer, "/columns/1", "{problem:?}");
        assert!(problem.errors[0].detail.contains("this template has all, whose, id"), "{problem:?}");
    }
    let (done, _) = shop.export(0, &json!({"dataset": "orders_file", "template": "calculated"})).await;
    let manifest = protocol::delivery::manifest_path(done.id, done.attempt);
    let manifest = shop.fleet.store.store().get(&manifest).await.expect("the manifest is there");
    let manifest: protocol::delivery::Manifest = serde_json::from_slice(&manifest).expect("a manifest");
    let made_by = manifest.made_by.expect("it says what made it");
    assert_eq!((made_by.dataset.as_str(), made_by.template.as_str()), ("orders_file", "calculated"));
    assert_eq!((made_by.dataset_version.len(), made_by.template_version.len()), (12, 12));
    let metadata: Value = shop.rest("acme", "person-0").get(&done.links.metadata).await.json();
    assert_eq!(metadata["urn:sluice:dataset_version"], json!(made_by.dataset_version), "{metadata}");
    assert_eq!(metadata["urn:sluice:template_version"], json!(made_by.template_version));
}
