//! A request that produces the same file as an unfinished export joins that export.

use chrono::TimeDelta;
use entity::{credit_policy::CreditsConfig, ledger, transition};
use futures::future::join_all;
use platform::clock::Clock;
use protocol::{
    client::{Deliver, ExportCreate},
    export::{Export, ExportRequest},
    id::{ExportId, Owner},
    problem::{Problem, Slug},
};
use reqwest::{Method, StatusCode};
use serde_json::json;
use testkit::{
    client::{Client, Credential},
    db::Postgres,
    rest::Rest,
};

use super::support::Gateway;

fn flights() -> ExportRequest {
    let filter = Some(json!({"delay": {"gte": 30, "lt": 60}, "origin": {"eq": "SEA"}}));
    ExportRequest { dataset: "flights".into(), filter, ..ExportRequest::default() }
}

async fn with_key(rest: &Rest, key: &str, body: &ExportRequest) -> Export {
    let answer = rest.send(rest.request(Method::POST, "/v1/exports").header("Idempotency-Key", key).json(body)).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text());
    answer.json()
}

/// Alice's balance and held credits; also checks that the ledger is consistent.
async fn account(gateway: &Gateway) -> (i64, i64) {
    assert_eq!(ledger::audit(&gateway.database.db).await.unwrap(), []);
    let alice = Owner::new("acme", "alice");
    let found = ledger::read(&gateway.database.db, &alice, &gateway.credit_policy, gateway.clock.now()).await.unwrap();
    (found.balance, found.held)
}

/// Marks an export as canceled and releases its credits, as a notifier does.
async fn cancel(gateway: &Gateway, id: ExportId) {
    let (db, now) = (&gateway.database.db, gateway.clock.now());
    assert!(transition::canceled(db, id, &Problem::new(Slug::Canceled, "canceled by the owner"), now).await.unwrap());
    assert!(ledger::release(db, &Owner::new("acme", "alice"), id, 1, "canceled", now).await.unwrap());
}

#[tokio::test]
async fn an_identical_export_is_joined_over_rest_and_socket_at_no_cost() {
    let gateway = Gateway::start().await;
    let token = gateway.token("alice", "acme");
    let rest = gateway.rest(&token);
    let first = rest.create(&flights()).await;
    // omitted members have their defaults, and the order of members does not matter
    let reordered = ExportRequest {
        template: Some("default".into()),
        format: Some("csv".into()),
        filter: Some(json!({"origin": {"eq": "SEA"}, "delay": {"lt": 60, "gte": 30}})),
        params: Some(serde_json::Map::new()),
        ..flights()
    };
    assert_eq!(rest.create(&reordered).await.id, first.id);
    // another token of the same user
    let later = gateway.local.token("alice", "acme").expires_in(TimeDelta::hours(2)).sign();
    let mut client = Client::connect(&gateway.url, Credential::Bearer(&later)).await.expect("the session starts");
    for deliver in [Deliver::Notify, Deliver::Stream] {
        let create =
            ExportCreate { dataset: "flights".into(), filter: flights().filter, deliver, ..Default::default() };
        assert_eq!(client.create(create).await.id, first.id);
    }
    assert_eq!(account(&gateway).await, (4, 1));
}

#[tokio::test]
async fn a_request_for_another_file_is_not_joined() {
    let gateway = Gateway::start_with(|config| config.max_unfinished_per_user = 20).await;
    let token = gateway.token("alice", "acme");
    let rest = gateway.rest(&token);
    let first = rest.create(&flights()).await;
    let others = [
        ExportRequest { template: Some("short".into()), ..flights() },
        ExportRequest { format: Some("ndjson".into()), ..flights() },
        ExportRequest { filter: Some(json!({"delay": {"gte": 30, "lt": 61}, "origin": {"eq": "SEA"}})), ..flights() },
        ExportRequest { columns: Some(vec!["delay".into()]), ..flights() },
    ];
    let mut ids = vec![first.id];
    for other in &others {
        ids.push(rest.create(other).await.id);
    }
    // row policies use claims
    let token = gateway.local.token("alice", "acme").claim("region", json!("north")).sign();
    assert_eq!(gateway.rest(&token).post("/v1/exports", &flights()).await.problem().slug(), Slug::CreditsExhausted);
    for (sub, tenant) in [("bob", "acme"), ("alice", "globex")] {
        ids.push(gateway.rest(&gateway.token(sub, tenant)).create(&flights()).await.id);
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 7);
    assert_eq!(account(&gateway).await, (0, 5));
}

#[tokio::test]
async fn a_canceled_or_ended_export_is_not_joined() {
    let gateway = Gateway::start().await;
    let rest = gateway.rest(&gateway.token("alice", "acme"));
    let first = rest.create(&flights()).await;
    // the cancellation is requested, and no notifier has processed it
    assert_eq!(rest.delete(&first.links.this).await.status, StatusCode::ACCEPTED);
    let second = rest.create(&flights()).await;
    assert_ne!(second.id, first.id);
    cancel(&gateway, second.id).await;
    let third = rest.create(&flights()).await;
    assert!(![first.id, second.id].contains(&third.id));
    assert_eq!(account(&gateway).await, (3, 2));
}

#[tokio::test]
async fn each_idempotency_key_keeps_returning_the_joined_export() {
    let gateway = Gateway::start().await;
    let rest = gateway.rest(&gateway.token("alice", "acme"));
    let first = with_key(&rest, "one", &flights()).await;
    assert_eq!(with_key(&rest, "two", &flights()).await.id, first.id);
    cancel(&gateway, first.id).await;
    for key in ["one", "two"] {
        let again = with_key(&rest, key, &flights()).await;
        assert_eq!((again.id, again.status.as_str()), (first.id, "canceled"));
    }
    assert_ne!(with_key(&rest, "three", &flights()).await.id, first.id);
    let other = ExportRequest { dataset: "free".into(), ..ExportRequest::default() };
    let request = rest.request(Method::POST, "/v1/exports").header("Idempotency-Key", "two").json(&other);
    let refused = rest.send(request).await;
    assert_eq!((refused.status.as_u16(), refused.problem().slug()), (422, Slug::IdempotencyConflict));
    assert_eq!(account(&gateway).await, (4, 1));
}

#[tokio::test]
async fn an_export_can_be_joined_at_the_unfinished_limit_and_without_credits() {
    let one = CreditsConfig { initial_balance: 1, ..CreditsConfig::default() };
    let gateway = Gateway::start_with_credits(&one, |config| config.max_unfinished_per_user = 1).await;
    let rest = gateway.rest(&gateway.token("alice", "acme"));
    let first = rest.create(&flights()).await;
    assert_eq!(with_key(&rest, "k", &flights()).await.id, first.id);
    assert_eq!(account(&gateway).await, (0, 1));
}

/// Submits 20 identical exports at the same time at two gateways, each with its own idempotency key.
async fn submit_concurrently(gateway: &Gateway) {
    let token = gateway.token("alice", "acme");
    let clients = [gateway.rest(&token), Rest::new(&gateway.start_another().await, Some(&token))];
    let submit = |i: usize| {
        let client = clients[i % 2].clone();
        async move { with_key(&client, &format!("key-{i}"), &flights()).await.id }
    };
    let ids = join_all((0..20).map(submit)).await;
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(account(gateway).await, (4, 1));
    for (i, id) in ids.iter().enumerate() {
        assert_eq!(with_key(&clients[0], &format!("key-{i}"), &flights()).await.id, *id);
    }
}

#[tokio::test]
async fn identical_concurrent_requests_at_two_gateways_become_one_export_on_postgres() {
    let postgres = Postgres::start().await;
    submit_concurrently(
        &Gateway::start_with_database(postgres.database().await, &CreditsConfig::default(), |_| {}).await,
    )
    .await;
}

#[tokio::test]
async fn identical_concurrent_requests_at_two_gateways_become_one_export_on_sqlite() {
    submit_concurrently(&Gateway::start().await).await;
}
