//! Credits at the door: who may spend how much, and what they are told.

use std::time::Duration;

use chrono::{Days, TimeDelta};
use entity::{account, ledger, terms::CreditsConfig};
use futures::future::join_all;
use platform::clock::Clock;
use protocol::{
    client::{ClientMessage, SessionRefresh},
    export::ExportRequest,
    id::Owner,
    problem::Slug,
    server::ServerMessage,
};
use reqwest::{Method, StatusCode};
use sea_orm::EntityTrait;
use serde_json::{Value, json};
use testkit::{
    client::{Client, Credential},
    db::Postgres,
    rest::{Answer, Rest},
};

use super::support::Gateway;

fn export(dataset: &str, delay: usize) -> ExportRequest {
    let filter = Some(json!({"delay": {"eq": delay}}));
    ExportRequest { dataset: dataset.into(), filter, ..ExportRequest::default() }
}

fn alice() -> Owner {
    Owner::new("acme", "alice")
}

/// How long the last of so many may wait for its turn.
const PATIENCE: Duration = Duration::from_secs(200);

/// 200 at once, each for another file, in turn at each of these doors.
async fn flood(gateway: &Gateway, doors: &[String]) {
    let token = gateway.token("alice", "acme");
    let doors: Vec<Rest> = doors.iter().map(|url| Rest::new(url, Some(&token))).collect();
    let ask = |i: usize| {
        let door = doors[i % doors.len()].clone();
        let request = door.request(Method::POST, "/v1/exports").json(&export("flights", i)).timeout(PATIENCE);
        async move { door.send(request).await }
    };
    let answers = join_all((0..200).map(ask)).await;
    let (taken, refused): (Vec<&Answer>, Vec<&Answer>) =
        answers.iter().partition(|answer| answer.status == StatusCode::ACCEPTED);
    assert_eq!((taken.len(), refused.len()), (5, 195));
    for answer in refused {
        assert_eq!((answer.status.as_u16(), answer.problem().slug()), (429, Slug::CreditsExhausted));
    }
    assert_eq!(ledger::audit(&gateway.database.db).await.unwrap(), []);
    let balance = ledger::read(&gateway.database.db, &alice(), &gateway.terms, gateway.clock.now()).await.unwrap();
    assert_eq!((balance.balance, balance.held), (0, 5));
    let entries = ledger::entries(&gateway.database.db, &alice(), 1000).await.unwrap();
    let mut amounts: Vec<i64> = entries.iter().map(|entry| entry.amount).collect();
    amounts.sort_unstable();
    assert_eq!(amounts, [-1, -1, -1, -1, -1, 5]);
}

#[tokio::test]
async fn five_of_two_hundred_at_once_are_taken_over_two_gateways_on_postgres() {
    let postgres = Postgres::start().await;
    let gateway = Gateway::start_in(postgres.database().await, &CreditsConfig::default(), |_| {}).await;
    let second = gateway.another().await;
    flood(&gateway, &[gateway.url.clone(), second]).await;
}

#[tokio::test]
async fn five_of_two_hundred_at_once_are_taken_on_sqlite() {
    let gateway = Gateway::start().await;
    flood(&gateway, std::slice::from_ref(&gateway.url)).await;
}

/// `r` and `t` of `"credits";r=…;t=…`.
fn rate_limit(answer: &Answer) -> (i64, i64) {
    let header = answer.header("ratelimit").expect("RateLimit");
    let mut parts = header.split(';');
    assert_eq!(parts.next(), Some("\"credits\""), "{header}");
    let mut number = |name: &str| {
        parts.next().and_then(|part| part.strip_prefix(name)).and_then(|n| n.parse().ok()).expect("a number")
    };
    (number("r="), number("t="))
}

#[tokio::test]
async fn what_an_export_costs_is_its_datasets_and_each_answer_says_what_is_left() {
    let gateway = Gateway::start().await;
    let rest = gateway.rest(&gateway.token("alice", "acme"));
    let to_midnight = (gateway.terms.next_midnight(gateway.clock.now()) - gateway.clock.now()).num_seconds();

    let account = rest.get("/v1/credits").await;
    assert_eq!(rate_limit(&account), (5, to_midnight.max(1)));
    assert_eq!(account.header("ratelimit-policy"), Some("\"credits\";q=1;w=86400"));

    let dear = rest.post("/v1/exports", &export("dear", 0)).await;
    assert_eq!((dear.status, rate_limit(&dear).0), (StatusCode::ACCEPTED, 2));
    let refused = rest.post("/v1/exports", &export("dear", 1)).await;
    let problem = refused.problem();
    assert_eq!((refused.status.as_u16(), problem.slug()), (429, Slug::CreditsExhausted));
    let detail = problem.detail;
    assert!(detail.contains("costs 3") && detail.contains("you have 2"), "{detail}");
    assert_eq!(rate_limit(&refused), (2, to_midnight.max(1)));
    assert_eq!(refused.header("ratelimit-policy"), Some("\"credits\";q=1;w=86400"));
    assert_eq!(refused.header("retry-after"), Some(to_midnight.max(1).to_string().as_str()));

    for delay in 1..3 {
        assert_eq!(rest.post("/v1/exports", &export("flights", delay)).await.status, StatusCode::ACCEPTED);
    }
    assert_eq!(rest.post("/v1/exports", &export("flights", 3)).await.problem().slug(), Slug::CreditsExhausted);
    let free = rest.post("/v1/exports", &export("gratis", 0)).await;
    assert_eq!((free.status, rate_limit(&free).0), (StatusCode::ACCEPTED, 0));

    let account: Value = rest.get("/v1/credits").await.json();
    assert_eq!((&account["balance"], &account["held"]), (&json!(0), &json!(5)));
    let amounts: Vec<i64> =
        account["entries"].as_array().unwrap().iter().map(|e| e["amount"].as_i64().unwrap()).collect();
    assert_eq!(amounts, [0, -1, -1, -3, 5], "newest first");
    assert_eq!(account["entries"][3]["kind"], "hold");
    assert!(account["entries"][3]["export_id"].is_string() && account["entries"][4]["export_id"].is_null());
    assert_eq!(ledger::audit(&gateway.database.db).await.unwrap(), []);
}

#[tokio::test]
async fn a_night_is_added_when_its_owner_looks_and_can_be_spent_at_once() {
    let gateway = Gateway::start_on(&CreditsConfig { opening: 0, ..CreditsConfig::default() }, |_| {}).await;
    let rest = gateway.rest(&gateway.token("alice", "acme"));
    assert_eq!(rest.post("/v1/exports", &export("flights", 0)).await.status, StatusCode::TOO_MANY_REQUESTS);
    gateway.clock.advance(TimeDelta::days(1));
    // the token of yesterday is over
    let token = gateway.local.token("alice", "acme").lasting(TimeDelta::days(2)).sign();
    let rest = gateway.rest(&token);
    assert_eq!(rest.post("/v1/exports", &export("flights", 0)).await.status, StatusCode::ACCEPTED);
    assert_eq!(ledger::audit(&gateway.database.db).await.unwrap(), []);
}

#[tokio::test]
async fn a_session_that_is_refreshed_counts_as_seen() {
    let gateway = Gateway::start().await;
    let long = gateway.local.token("alice", "acme").lasting(TimeDelta::days(9)).sign();
    let mut client = Client::connect(&gateway.url, Credential::Bearer(&long)).await.expect("let in");
    gateway.clock.advance(TimeDelta::days(3));
    let today = gateway.terms.day(gateway.clock.now());
    let seen_on = async || {
        let key = ("acme".to_owned(), "alice".to_owned());
        account::Entity::find_by_id(key).one(&gateway.database.db).await.unwrap().expect("an account").seen_on
    };
    assert_eq!(seen_on().await, today - Days::new(3));
    client.send(&ClientMessage::SessionRefresh(SessionRefresh { token: long.clone() }), Some("r")).await;
    let refreshed = |m: &ServerMessage| matches!(m, ServerMessage::SessionRefreshed { .. }).then_some(());
    client.expect_text("session.refreshed", refreshed).await;
    assert_eq!(seen_on().await, today);
}
