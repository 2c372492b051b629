//! Datasets and columns that require scopes are hidden from callers without them.

use super::support::Gateway;
use protocol::{catalog::DatasetList, problem::Slug};
use reqwest::StatusCode;
use serde_json::{Value, json};
use testkit::{
    client::{Client, Credential},
    rest::Rest,
};

fn columns(dataset: &Value) -> Vec<(String, bool)> {
    let all = dataset["columns"].as_array().expect("columns");
    all.iter().map(|c| (c["name"].as_str().expect("a name").to_owned(), c["masked"] == true)).collect()
}

fn rest(gateway: &Gateway, scope: &str) -> Rest {
    gateway.rest(&gateway.local.token("alice", "acme").scope(scope).sign())
}

#[tokio::test]
async fn a_caller_without_a_scope_can_neither_see_nor_request_its_columns() {
    let gateway = Gateway::start().await;
    let plain = rest(&gateway, "export:* staff");
    let shown: Value = plain.get("/v1/datasets/people").await.json();
    assert_eq!(columns(&shown), [("name".to_owned(), false), ("email".to_owned(), true)]);
    for path in ["/v1/exports", "/v1/exports/estimate"] {
        for (body, slug, pointer) in [
            (json!({"columns": ["salary"]}), Slug::InvalidRequest, "/columns/0"),
            (json!({"filter": {"salary": {"gt": 1}}}), Slug::InvalidFilter, "/filter/salary"),
            (json!({"filter": {"not": {"email": {"contains": "a"}}}}), Slug::InvalidFilter, "/filter/not/email"),
        ] {
            let mut body = body;
            body["dataset"] = "people".into();
            let problem = plain.post(path, &body).await.problem();
            assert_eq!((problem.slug(), problem.errors[0].pointer.as_str()), (slug, pointer), "{path} {body}");
            assert!(!problem.detail.contains("salary; ") && !problem.detail.contains(", salary"), "{problem}");
        }
    }
    let all = rest(&gateway, "export:* staff pii:read hr");
    let shown: Value = all.get("/v1/datasets/people").await.json();
    assert_eq!(columns(&shown).len(), 3);
    let accepted = all.post("/v1/exports", &json!({"dataset": "people", "filter": {"salary": {"gt": 1}}})).await;
    assert_eq!(accepted.status, StatusCode::ACCEPTED, "{}", accepted.text());

    let unscoped = rest(&gateway, "export:*");
    let list: DatasetList = unscoped.get("/v1/datasets").await.json();
    assert!(list.items.iter().all(|dataset| dataset.name != "people"));
    assert_eq!(unscoped.get("/v1/datasets/people").await.problem().slug(), Slug::Forbidden);
    for path in ["/v1/exports", "/v1/exports/estimate"] {
        let problem = unscoped.post(path, &json!({"dataset": "people"})).await.problem();
        assert_eq!(problem.slug(), Slug::Forbidden, "{path}");
    }
}

#[tokio::test]
async fn an_export_can_not_be_read_without_the_scopes_that_it_needs() {
    let gateway = Gateway::start().await;
    let scopes = "export:people staff pii:read hr";
    let all = rest(&gateway, scopes);
    let create = async |columns: &[&str]| {
        let body = json!({"dataset": "people", "columns": columns});
        let export: Value = all.post("/v1/exports", &body).await.json();
        export["links"]["self"].as_str().unwrap_or_else(|| panic!("{export}")).to_owned()
    };
    let (named, paid) = (create(&["name"]).await, create(&["name", "salary"]).await);
    assert_eq!(all.get(&paid).await.status, 200);
    for (scopes, missing, export) in [
        ("staff pii:read hr", "export:people", &named),
        ("export:flights staff pii:read hr", "export:people", &named),
        ("export:* pii:read hr", "staff", &named),
        ("export:* staff pii:read", "hr", &paid),
    ] {
        let narrower = rest(&gateway, scopes);
        for path in [export.clone(), format!("{export}/file"), format!("{export}/metadata")] {
            let problem = narrower.get(&path).await.problem();
            assert_eq!(problem.slug(), Slug::Forbidden, "{scopes} {path}");
            assert!(problem.detail.contains(&format!("`{missing}`")), "{problem}");
        }
        let token = gateway.local.token("alice", "acme").scope(scopes).sign();
        let mut client = Client::connect(&gateway.url, Credential::Bearer(&token)).await.unwrap();
        let id = export.rsplit('/').next().unwrap_or_default();
        let open = json!({"type": "file.open", "ref": "f", "export_id": id, "offset": 0});
        client.send_text(&open.to_string()).await;
        assert_eq!(client.expect_error(Some("f")).await.slug(), Slug::Forbidden, "{scopes}");
    }
    // a column that the export does not have needs no scope, and everybody may cancel their own
    let narrower = rest(&gateway, "export:people staff");
    assert_eq!(narrower.get(&named).await.status, 200);
    assert_eq!(rest(&gateway, "").delete(&paid).await.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_calculated_column_needs_the_scopes_of_the_columns_that_it_reads() {
    let gateway = Gateway::start().await;
    let all = rest(&gateway, "export:people staff pii:read hr");
    let create = async |columns: &[&str]| {
        // the template calculates `email` from the column `salary`
        let body = json!({"dataset": "people", "template": "pay", "columns": columns});
        let export: Value = all.post("/v1/exports", &body).await.json();
        export["links"]["self"].as_str().unwrap_or_else(|| panic!("{export}")).to_owned()
    };
    let (named, calculated) = (create(&["name"]).await, create(&["name", "email"]).await);
    let without_hr = rest(&gateway, "export:people staff pii:read");
    for path in [calculated.clone(), format!("{calculated}/file"), format!("{calculated}/metadata")] {
        let problem = without_hr.get(&path).await.problem();
        assert_eq!(problem.slug(), Slug::Forbidden, "{path}");
        assert!(problem.detail.contains("`hr`"), "{problem}");
    }
    assert_eq!(without_hr.get(&named).await.status, StatusCode::OK);
    // the export does not have the column `email` of the dataset, so it does not need that column's scope
    let without_pii = rest(&gateway, "export:people staff hr");
    assert_eq!(without_pii.get(&calculated).await.status, StatusCode::OK);
    // a caller without the scope can neither see nor request the calculated column
    let shown: Value = without_hr.get("/v1/datasets/people").await.json();
    let pay = shown["templates"].as_array().and_then(|all| all.iter().find(|template| template["name"] == "pay"));
    let names: Vec<_> =
        pay.and_then(|pay| pay["columns"].as_array()).into_iter().flatten().map(|c| &c["name"]).collect();
    assert_eq!(names, ["name"]);
    let request = json!({"dataset": "people", "template": "pay", "columns": ["email"]});
    let problem = without_hr.post("/v1/exports", &request).await.problem();
    assert_eq!((problem.slug(), problem.errors[0].pointer.as_str()), (Slug::InvalidRequest, "/columns/0"));
}

#[tokio::test]
async fn an_estimate_without_an_exporter_is_refused_immediately() {
    let gateway = Gateway::start().await;
    // the gateway's request timeout is longer than the client's, so only an immediate refusal passes
    let answer = rest(&gateway, "export:*").post("/v1/exports/estimate", &json!({"dataset": "flights"})).await;
    assert_eq!((answer.status.as_u16(), answer.problem().slug()), (503, Slug::Unavailable));
    assert!(answer.header("retry-after").is_some());
}
