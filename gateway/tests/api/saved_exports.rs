//! Saved exports: who sees, changes and runs them, versions, and faults of requests.

use entity::saved_export;
use protocol::{
    client::{ClientMessage, Deliver, SavedRun},
    export::{Export, ExportPage, Status},
    problem::Slug,
    saved_export::{SavedExport, SavedExportId, SavedExportPage, SavedExportRunPage, Visibility},
    server::ServerMessage,
};
use reqwest::{Method, StatusCode};
use sea_orm::EntityTrait;
use serde_json::{Value, json};
use testkit::{
    client::{Client, Credential},
    rest::{Answer, Rest},
};

use super::support::Gateway;

const PATH: &str = "/v1/saved-exports";

fn late() -> Value {
    json!({"name": "late departures", "request": {"dataset": "flights", "filter": {"delay": {"gte": 30}}}})
}

async fn create(rest: &Rest, body: &Value) -> SavedExport {
    let answer = rest.post(PATH, body).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
    let saved: SavedExport = answer.json();
    assert_eq!(answer.header("location"), Some(saved.links.this.as_str()));
    saved
}

async fn list(rest: &Rest) -> Vec<SavedExport> {
    rest.get(PATH).await.json::<SavedExportPage>().items
}

/// Sends a merge patch, with the header `If-Match` if it is not empty.
async fn patch(rest: &Rest, saved: &SavedExport, if_match: &str, body: &Value) -> Answer {
    let request = rest.request(Method::PATCH, &saved.links.this).json(body);
    let request = if if_match.is_empty() { request } else { request.header("if-match", if_match) };
    rest.send(request).await
}

async fn run(rest: &Rest, saved: &SavedExport) -> Answer {
    rest.send(rest.request(Method::POST, &saved.links.runs)).await
}

async fn runs(rest: &Rest, saved: &SavedExport) -> Vec<(Export, bool)> {
    let answer = rest.get(&saved.links.runs).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let page: SavedExportRunPage = answer.json();
    page.items.into_iter().map(|run| (run.export, run.scheduled_for.is_some())).collect()
}

fn pointers(answer: &Answer) -> Vec<String> {
    answer.problem().errors.into_iter().map(|fault| fault.pointer).collect()
}

#[tokio::test]
async fn a_saved_export_is_read_changed_run_and_deleted() {
    let gateway = Gateway::start().await;
    let rest = gateway.rest(&gateway.token("alice", "acme"));
    let saved = create(&rest, &late()).await;
    assert_eq!((saved.version, saved.visibility, saved.owner.as_str()), (1, Visibility::Private, "alice"));
    assert_eq!((saved.name.as_str(), saved.last_run.clone()), ("late departures", None));

    let read = rest.get(&saved.links.this).await;
    assert_eq!(read.json::<SavedExport>(), saved);
    let tag = read.header("etag").expect("a tag").to_owned();
    let again = rest.send(rest.request(Method::GET, &saved.links.this).header("if-none-match", &tag)).await;
    assert_eq!(again.status, StatusCode::NOT_MODIFIED);

    let first: Export = run(&rest, &saved).await.json();
    assert_eq!(first.filter, json!({"delay": {"gte": 30}}));
    // the run changes the tag, and not the version
    let read = rest.send(rest.request(Method::GET, &saved.links.this).header("if-none-match", &tag)).await;
    let last = read.json::<SavedExport>().last_run.expect("a run");
    assert_eq!((last.export_id, last.status, last.scheduled_for), (first.id, Status::Queued, None));
    // a second click joins the unfinished export, and is no second run
    assert_eq!(run(&rest, &saved).await.json::<Export>().id, first.id);

    let change =
        json!({"name": "short ones", "request": {"filter": {"delay": {"gte": null, "lt": 5}}, "format": "ndjson"}});
    let answer = patch(&rest, &saved, &tag, &change).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let changed: SavedExport = answer.json();
    assert_eq!((changed.version, changed.name.as_str()), (2, "short ones"));
    assert_eq!(changed.request.filter, Some(json!({"delay": {"lt": 5}})));
    assert_eq!((changed.request.format.as_deref(), changed.created_at), (Some("ndjson"), saved.created_at));
    let second: Export = run(&rest, &changed).await.json();
    assert_eq!((second.format.as_str(), second.filter.clone()), ("ndjson", json!({"delay": {"lt": 5}})));
    assert_eq!(runs(&rest, &saved).await, [(second, false), (first.clone(), false)]);
    let page: SavedExportRunPage = rest.get(&format!("{}?limit=1", saved.links.runs)).await.json();
    let next = format!("{}?limit=1&cursor={}", saved.links.runs, page.next_cursor.expect("a second page"));
    assert_eq!(rest.get(&next).await.json::<SavedExportRunPage>().items[0].export.id, first.id);

    let delete = |tag: &str| rest.request(Method::DELETE, &saved.links.this).header("if-match", tag);
    assert_eq!(rest.send(delete("\"1\"")).await.status, StatusCode::PRECONDITION_FAILED);
    assert_eq!(rest.send(delete("\"2\"")).await.status, StatusCode::NO_CONTENT);
    for answer in [rest.get(&saved.links.this).await, run(&rest, &saved).await, rest.get(&saved.links.runs).await] {
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
    }
    assert_eq!(list(&rest).await, []);
    // the exports stay
    assert_eq!(rest.get("/v1/exports").await.json::<ExportPage>().items.len(), 2);
}

#[tokio::test]
async fn an_old_version_changes_nothing_and_an_empty_change_keeps_the_version() {
    let gateway = Gateway::start().await;
    let rest = gateway.rest(&gateway.token("alice", "acme"));
    let saved = create(&rest, &late()).await;
    for (tag, body, status, version) in [
        ("\"1\"", json!({}), StatusCode::OK, 1),
        ("\"2\"", json!({"name": "b"}), StatusCode::PRECONDITION_FAILED, 1),
        ("\"1\"", json!({"name": "b"}), StatusCode::OK, 2),
        ("\"1\"", json!({"name": "c"}), StatusCode::PRECONDITION_FAILED, 2),
        ("nonsense", json!({"name": "c"}), StatusCode::PRECONDITION_FAILED, 2),
        ("*", json!({"name": "d"}), StatusCode::OK, 3),
        ("", json!({"name": "e"}), StatusCode::OK, 4),
        // the tag of a compressed answer
        ("W/\"4.abc\"", json!({"visibility": "tenant"}), StatusCode::OK, 5),
    ] {
        let answer = patch(&rest, &saved, tag, &body).await;
        assert_eq!(answer.status, status, "{tag} {body} {}", answer.text());
        assert_eq!(rest.get(&saved.links.this).await.json::<SavedExport>().version, version, "{tag} {body}");
    }
    let refused = patch(&rest, &saved, "\"1\"", &json!({"name": "c"})).await;
    assert!(refused.problem().detail.contains("version 5"), "{}", refused.text());
}

#[tokio::test]
async fn each_fault_is_named_below_the_member_and_nothing_is_stored() {
    let gateway = Gateway::start().await;
    let rest = gateway.rest(&gateway.token("alice", "acme"));
    let request = || json!({"dataset": "flights"});
    let cases = [
        (json!({"request": request()}), vec!["/name"], Slug::InvalidRequest),
        (json!({"name": " ", "request": request()}), vec!["/name"], Slug::InvalidRequest),
        (json!({"name": "a\u{0}b", "request": request()}), vec!["/name"], Slug::InvalidRequest),
        (json!({"name": "x".repeat(101), "request": request()}), vec!["/name"], Slug::InvalidRequest),
        (json!({"name": "a"}), vec!["/request"], Slug::InvalidRequest),
        (json!({"name": "a", "request": {}}), vec!["/request/dataset"], Slug::InvalidRequest),
        (json!({"name": "a", "request": {"dataset": "nope"}}), vec!["/request/dataset"], Slug::UnknownDataset),
        (
            json!({"name": "a", "request": {"dataset": "flights", "filter": {"delay": {"eq": "x"}}}}),
            vec!["/request/filter/delay/eq"],
            Slug::InvalidFilter,
        ),
        (
            json!({"name": "a", "request": {"dataset": "flights", "columns": ["delay", "nope"], "format": "pdf"}}),
            vec!["/request/format", "/request/columns/1"],
            Slug::InvalidRequest,
        ),
        (
            json!({"name": "a", "request": {"dataset": "flights", "limit": 1}}),
            vec!["/request/limit"],
            Slug::InvalidRequest,
        ),
        (json!({"name": "a", "request": request(), "visibility": "all"}), vec!["/visibility"], Slug::InvalidRequest),
        (json!({"name": "a", "request": request(), "owner": "bob"}), vec!["/owner"], Slug::InvalidRequest),
        (
            json!({"name": "a", "request": request(), "deliver_to": [{"destination": "lake"}], "notify": ["push"]}),
            vec!["/deliver_to/0/destination", "/notify/0"],
            Slug::InvalidRequest,
        ),
        (
            json!({"name": "a", "request": {"dataset": "flights", "filter": {"origin": {"eq": "x".repeat(70_000)}}}}),
            vec!["/request"],
            Slug::InvalidRequest,
        ),
    ];
    for (body, faults, slug) in &cases {
        let answer = rest.post(PATH, body).await;
        assert_eq!(
            (pointers(&answer), answer.problem().slug()),
            (faults.iter().map(ToString::to_string).collect(), *slug)
        );
    }
    assert_eq!(saved_export::Entity::find().all(&gateway.database.db).await.unwrap(), []);

    let saved = create(&rest, &late()).await;
    for (body, fault) in [
        (json!({"name": null}), "/name"),
        (json!({"version": 7}), "/version"),
        (json!({"request": {"columns": ["nope"]}}), "/request/columns/0"),
        (json!({"request": {"filter": {"nope": {"eq": 1}}}}), "/request/filter/nope"),
    ] {
        assert_eq!(pointers(&patch(&rest, &saved, "", &body).await), [fault]);
    }
    assert_eq!(rest.get(&saved.links.this).await.json::<SavedExport>(), saved);
    for query in ["limit=0", "limit=101", "cursor=x", "owner=bob"] {
        assert_eq!(rest.get(&format!("{PATH}?{query}")).await.problem().slug(), Slug::InvalidRequest, "{query}");
        let answer = rest.get(&format!("{}?{query}", saved.links.runs)).await;
        assert_eq!(answer.problem().slug(), Slug::InvalidRequest, "{query}");
    }
    let keyed = rest.request(Method::POST, &saved.links.runs).header("idempotency-key", "a b");
    assert_eq!(pointers(&rest.send(keyed).await), ["/idempotency_key"]);
}

#[tokio::test]
async fn a_shared_one_is_run_by_others_with_their_rights_and_changed_by_its_owner_alone() {
    let gateway = Gateway::start().await;
    let alice = gateway.rest(&gateway.token("alice", "acme"));
    let bob = gateway.rest(&gateway.token("bob", "acme"));
    let stranger = gateway.rest(&gateway.token("alice", "umbrella"));
    let counter = gateway.rest(&gateway.local.token("carl", "acme").scope("export:counts").sign());
    let saved = create(&alice, &late()).await;
    for rest in [&bob, &stranger, &counter] {
        assert_eq!(rest.get(&saved.links.this).await.status, StatusCode::NOT_FOUND);
        assert_eq!(list(rest).await, []);
        assert_eq!(run(rest, &saved).await.status, StatusCode::NOT_FOUND);
        assert_eq!(patch(rest, &saved, "", &json!({"name": "b"})).await.status, StatusCode::NOT_FOUND);
        assert_eq!(rest.delete(&saved.links.this).await.status, StatusCode::NOT_FOUND);
    }

    assert_eq!(patch(&alice, &saved, "", &json!({"visibility": "tenant"})).await.status, StatusCode::OK);
    for rest in [&stranger, &counter] {
        assert_eq!(rest.get(&saved.links.this).await.status, StatusCode::NOT_FOUND);
        assert_eq!(list(rest).await, []);
    }
    let shared = list(&bob).await;
    assert_eq!((shared.len(), shared[0].owner.as_str()), (1, "alice"));
    let export: Export = run(&bob, &saved).await.json();
    assert_eq!(bob.export(export.id).await.id, export.id);
    assert_eq!(alice.get(&export.links.this).await.status, StatusCode::NOT_FOUND);
    // each user sees their own runs
    assert_eq!(runs(&alice, &saved).await, []);
    assert_eq!(runs(&bob, &saved).await.len(), 1);
    assert_eq!(list(&bob).await[0].last_run.as_ref().map(|run| run.export_id), Some(export.id));
    assert_eq!(list(&alice).await[0].last_run, None);
    for answer in [patch(&bob, &saved, "", &json!({"name": "mine"})).await, bob.delete(&saved.links.this).await] {
        assert_eq!((answer.status, answer.problem().slug()), (StatusCode::FORBIDDEN, Slug::Forbidden));
    }
}

#[tokio::test]
async fn a_shared_one_of_a_dataset_with_scopes_is_hidden_from_users_without_them() {
    let gateway = Gateway::start().await;
    let staff = |sub: &str, scope: &str| gateway.rest(&gateway.local.token(sub, "acme").scope(scope).sign());
    let alice = staff("alice", "export:people staff hr");
    let body = json!({"name": "well paid", "visibility": "tenant",
        "request": {"dataset": "people", "filter": {"salary": {"gte": 100}}}});
    let saved = create(&alice, &body).await;
    assert_eq!(list(&staff("bob", "export:* staff")).await.len(), 1);
    for scope in ["export:*", "export:people", "export:flights staff", "staff"] {
        let rest = staff("carl", scope);
        assert_eq!(rest.get(&saved.links.this).await.status, StatusCode::NOT_FOUND, "{scope}");
        assert_eq!(list(&rest).await, [], "{scope}");
    }
    // bob may not see the column of the filter
    let refused = run(&staff("bob", "export:* staff"), &saved).await;
    assert_eq!(pointers(&refused), ["/request/filter/salary"]);
    // the owner sees their own saved export without the scopes, and can't run it
    let narrowed = staff("alice", "export:flights");
    assert_eq!(list(&narrowed).await.len(), 1);
    assert_eq!(run(&narrowed, &saved).await.problem().slug(), Slug::Forbidden);
}

#[tokio::test]
async fn a_repeated_key_returns_the_same_run_and_the_lists_have_pages() {
    let gateway = Gateway::start().await;
    let rest = gateway.rest(&gateway.token("alice", "acme"));
    let (first, second) = (create(&rest, &late()).await, create(&rest, &late()).await);
    let keyed = async || -> Export {
        let answer = rest.request(Method::POST, &first.links.runs).header("idempotency-key", "monday");
        rest.send(answer).await.json()
    };
    let export = keyed().await;
    assert_eq!(keyed().await.id, export.id);
    assert_eq!(runs(&rest, &first).await.len(), 1);
    // an export that joins the unfinished one is a run of both
    assert_eq!(run(&rest, &second).await.json::<Export>().id, export.id);
    assert_eq!(runs(&rest, &second).await.len(), 1);

    let page: SavedExportPage = rest.get(&format!("{PATH}?limit=1")).await.json();
    assert_eq!(page.items[0].id, second.id);
    let cursor = page.next_cursor.expect("a second page");
    let next: SavedExportPage = rest.get(&format!("{PATH}?limit=1&cursor={cursor}")).await.json();
    assert_eq!((next.items[0].id, next.next_cursor), (first.id, None));
    let answer = rest.get(PATH).await;
    let tag = answer.header("etag").expect("a tag");
    let unchanged = rest.send(rest.request(Method::GET, PATH).header("if-none-match", tag)).await;
    assert_eq!(unchanged.status, StatusCode::NOT_MODIFIED);
}

#[tokio::test]
async fn a_session_runs_a_saved_export() {
    let gateway = Gateway::start().await;
    let token = gateway.token("alice", "acme");
    let rest = gateway.rest(&token);
    let body = json!({"name": "early", "request": {"dataset": "flights", "filter": {"delay": {"lt": 1}}}});
    let saved = create(&rest, &body).await;
    let mut session = Client::connect(&gateway.url, Credential::Bearer(&token)).await.expect("the session starts");
    let message = |id, deliver| {
        ClientMessage::SavedRun(SavedRun { saved_export_id: id, idempotency_key: None, deliver, window: Some(0) })
    };
    session.send(&message(SavedExportId::generate(), Deliver::Notify), Some("unknown")).await;
    assert_eq!(session.expect_error(Some("unknown")).await.slug(), Slug::NotFound);
    session.send(&message(saved.id, Deliver::Stream), Some("run")).await;
    let accepted = |m: &ServerMessage| match m {
        ServerMessage::ExportAccepted { reference, export } if reference.as_deref() == Some("run") => {
            Some((**export).clone())
        }
        _ => None,
    };
    let export = session.expect_text("export.accepted", accepted).await;
    assert_eq!(export.filter, json!({"delay": {"lt": 1}}));
    assert_eq!(runs(&rest, &saved).await.len(), 1);
}
