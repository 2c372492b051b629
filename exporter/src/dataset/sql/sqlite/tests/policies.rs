//! Tests that row policies compare bytes, no matter which collation and affinity a column has.

use protocol::filter::Filter;

use super::*;

fn tenant_view(t: &SqlRows, policy: Value, tenant: &str) -> AccessView {
    let info = DatasetInfo { row_policy: Some(policy), ..t.info().clone() };
    let rows: Arc<dyn Dataset> = Arc::new(SqlRows { info, ..t.clone() });
    AccessView::new(rows, json!({"tenant": tenant, "tenants": [tenant]}).as_object().unwrap()).unwrap()
}

#[tokio::test]
async fn a_tenant_never_sees_rows_of_a_tenant_with_a_similar_name() {
    for declared in
        ["TEXT", "TEXT COLLATE NOCASE", "TEXT COLLATE RTRIM", "", "BLOB COLLATE NOCASE", "NUMERIC COLLATE NOCASE"]
    {
        for index in ["", "CREATE INDEX by_tenant ON t (tenant)", "CREATE INDEX by_tenant ON t (tenant COLLATE NOCASE)"]
        {
            let table = format!("CREATE TABLE t (id INTEGER PRIMARY KEY, tenant {declared}, n INTEGER)");
            let fixture = Fixture::new(&[
                &table,
                "INSERT INTO t (tenant, n) VALUES ('acme', 1), ('ACME', 'abc'), ('Acme', 3), ('acme ', 4), \
                 ('acme' || char(0), 5), (x'61636d65', 6), (NULL, 'abc'), ('acme', 8), ('5', 9), ('05', 10), ('5.0', 11), \
                 (x'35', 12), ('é', 13), ('e' || char(769), 14)",
                if index.is_empty() { "SELECT 1" } else { index },
                "ANALYZE",
            ])
            .await;
            let kinds = [("id", ColumnType::Int), ("tenant", ColumnType::String), ("n", ColumnType::Int)];
            let t = fixture.table(&kinds).ordered_by(vec![OrderBy::ascending("id")]);
            for policy in [
                json!({"tenant": {"eq": {"claim": "tenant"}}}),
                json!({"tenant": {"in": {"claim": "tenants"}}}),
                json!({"not": {"tenant": {"ne": {"claim": "tenant"}}}}),
                json!({"tenant": {"gte": {"claim": "tenant"}, "lte": {"claim": "tenant"}}}),
            ] {
                for (tenant, own) in [("acme", &["1", "8"][..]), ("ACME ", &[]), ("é", &["13"]), ("\\x35", &["12"])] {
                    let view = tenant_view(&t, policy.clone(), tenant);
                    let context = format!("{declared}, {index}, {policy}, {tenant}");
                    assert_eq!(values(&view, json!({}), "id").await, own, "{context}");
                    // a value that can't be read in a row of another tenant causes no failure
                    let positive = export(&view, json!({"n": {"gte": 0}}), &["id", "n"]).await;
                    assert_eq!(positive.unwrap().len(), own.len(), "{context}");
                    let query = Query { columns: vec![], filter: Filter::all(), params: Map::new(), limit: None };
                    let estimate = view.count(&query, Precision::Estimate).await.unwrap().unwrap();
                    assert_eq!(estimate.rows, own.len() as u64, "{context}");
                }
                if declared.starts_with("TEXT") {
                    let five = tenant_view(&t, policy.clone(), "5");
                    assert_eq!(values(&five, json!({}), "id").await, ["9"], "{declared}, {index}, {policy}");
                }
            }
        }
    }
}

#[tokio::test]
async fn text_filters_are_case_sensitive_in_every_collation() {
    let fixture = Fixture::new(&[
        "CREATE TABLE t (id INTEGER PRIMARY KEY, s TEXT COLLATE NOCASE, n INTEGER)",
        "INSERT INTO t VALUES (1, 'Ab', 5), (2, 'aB', 50), (3, 'AB ', 500)",
    ])
    .await;
    let kinds = [("id", ColumnType::Int), ("s", ColumnType::String), ("n", ColumnType::String)];
    let t = fixture.table(&kinds).ordered_by(vec![OrderBy::ascending("id")]);
    for (filter, ids) in [
        (json!({"s": {"like": "A%"}}), vec!["1", "3"]),
        (json!({"s": {"like": "_B"}}), vec!["2"]),
        (json!({"s": {"contains": "B"}}), vec!["2", "3"]),
        (json!({"s": {"gt": "B"}}), vec!["2"]),
        (json!({"s": {"between": ["AA", "AZ"]}}), vec!["3"]),
        (json!({"s": {"ne": "ab"}}), vec!["1", "2", "3"]),
        (json!({"s": {"in": ["AB", "ab", "aB"]}}), vec!["2"]),
        (json!({"n": {"like": "5_"}}), vec!["2"]),
        (json!({"n": {"contains": "00"}}), vec!["3"]),
        (json!({"n": {"eq": "05"}}), vec![]),
        (json!({"n": {"lt": "50"}}), vec!["1"]),
    ] {
        assert_eq!(values(&t, filter.clone(), "id").await, ids, "{filter}");
    }
}
