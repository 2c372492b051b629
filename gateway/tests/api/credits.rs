//! Credits: holds, refusals, daily grants and rate-limit headers.

use std::time::Duration;

use chrono::{Days, TimeDelta};
use entity::{account, credit_policy::CreditsConfig, ledger};
use futures::future::join_all;
use platform::{clock::Clock, telemetry::PrometheusHandle};
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

/// The client's timeout while 200 requests compete.
const FLOOD_TIMEOUT: Duration = Duration::from_secs(200);

/// Submits 200 different exports at the same time, distributed over these gateways. The five initial credits pay for
/// five exports.
async fn flood(gateway: &Gateway, urls: &[String]) {
    let token = gateway.token("alice", "acme");
    let clients: Vec<Rest> = urls.iter().map(|url| Rest::new(url, Some(&token))).collect();
    let submit = |i: usize| {
        let client = clients[i % clients.len()].clone();
        let request = client.request(Method::POST, "/v1/exports").json(&export("flights", i)).timeout(FLOOD_TIMEOUT);
        async move { client.send(request).await }
    };
    let answers = join_all((0..200).map(submit)).await;
    let (accepted, refused): (Vec<&Answer>, Vec<&Answer>) =
        answers.iter().partition(|answer| answer.status == StatusCode::ACCEPTED);
    assert_eq!((accepted.len(), refused.len()), (5, 195));
    for answer in refused {
        assert_eq!((answer.status.as_u16(), answer.problem().slug()), (429, Slug::CreditsExhausted));
    }
    assert_eq!(ledger::audit(&gateway.database.db).await.unwrap(), []);
    let balance =
        ledger::read(&gateway.database.db, &alice(), &gateway.credit_policy, gateway.clock.now()).await.unwrap();
    assert_eq!((balance.balance, balance.held), (0, 5));
    let entries = ledger::entries(&gateway.database.db, &alice(), 1000).await.unwrap();
    let mut amounts: Vec<i64> = entries.iter().map(|entry| entry.amount).collect();
    amounts.sort_unstable();
    assert_eq!(amounts, [-1, -1, -1, -1, -1, 5]);
}

#[tokio::test]
async fn slow_two_hundred_concurrent_exports_at_two_gateways_spend_exactly_five_credits_on_postgres() {
    let postgres = Postgres::start().await;
    let gateway = Gateway::start_with_database(postgres.database().await, &CreditsConfig::default(), |_| {}).await;
    let second = gateway.start_another().await;
    flood(&gateway, &[gateway.url.clone(), second]).await;
}

#[tokio::test]
async fn two_hundred_concurrent_exports_spend_exactly_five_credits_on_sqlite() {
    let gateway = Gateway::start().await;
    flood(&gateway, std::slice::from_ref(&gateway.url)).await;
}

/// The numbers `r` and `t` of the header `RateLimit: "credits";r=…;t=…`.
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
async fn each_response_reports_the_balance_and_the_next_grant() {
    let gateway = Gateway::start().await;
    let rest = gateway.rest(&gateway.token("alice", "acme"));
    let to_midnight = (gateway.credit_policy.next_midnight(gateway.clock.now()) - gateway.clock.now()).num_seconds();

    let account = rest.get("/v1/credits").await;
    assert_eq!(rate_limit(&account), (5, to_midnight.max(1)));
    assert_eq!(account.header("ratelimit-policy"), Some("\"credits\";q=1;w=86400"));

    let expensive = rest.post("/v1/exports", &export("expensive", 0)).await;
    assert_eq!((expensive.status, rate_limit(&expensive).0), (StatusCode::ACCEPTED, 2));
    let refused = rest.post("/v1/exports", &export("expensive", 1)).await;
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
    let free = rest.post("/v1/exports", &export("free", 0)).await;
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
async fn a_daily_grant_that_is_due_can_be_spent_by_the_next_request() {
    let gateway =
        Gateway::start_with_credits(&CreditsConfig { initial_balance: 0, ..CreditsConfig::default() }, |_| {}).await;
    let rest = gateway.rest(&gateway.token("alice", "acme"));
    assert_eq!(rest.post("/v1/exports", &export("flights", 0)).await.status, StatusCode::TOO_MANY_REQUESTS);
    gateway.clock.advance(TimeDelta::days(1));
    // the first token has expired
    let token = gateway.local.token("alice", "acme").expires_in(TimeDelta::days(2)).sign();
    let rest = gateway.rest(&token);
    assert_eq!(rest.post("/v1/exports", &export("flights", 0)).await.status, StatusCode::ACCEPTED);
    assert_eq!(ledger::audit(&gateway.database.db).await.unwrap(), []);
}

/// Whether the metrics count this number of grants, with this sum.
fn counts_grants(metrics: &PrometheusHandle, entries: u64, credits: i64) -> bool {
    let text = metrics.render();
    let events = format!(r#"sluice_credit_events_total{{kind="grant"}} {entries}"#);
    let granted = format!("sluice_credits_granted_total {credits}");
    text.lines().any(|line| line == events) && text.lines().any(|line| line == granted)
}

#[tokio::test]
async fn the_metrics_count_the_grants_of_opened_and_used_accounts() {
    let metrics = platform::telemetry::init_metrics().unwrap();
    let gateway = Gateway::start().await;
    let rest =
        async |user: &str| gateway.rest(&gateway.local.token(user, "acme").expires_in(TimeDelta::days(9)).sign());
    // a read and a submission open an account
    assert_eq!(rest("alice").await.get("/v1/credits").await.status, StatusCode::OK);
    assert!(counts_grants(&metrics, 1, 5), "{}", metrics.render());
    let submit = async |user: &str, delay: usize| rest(user).await.post("/v1/exports", &export("flights", delay)).await;
    assert_eq!(submit("bob", 0).await.status, StatusCode::ACCEPTED);
    assert!(counts_grants(&metrics, 2, 10), "{}", metrics.render());
    // three midnights later each account receives its daily grants at its next use
    gateway.clock.advance(TimeDelta::days(3));
    for _ in 0..2 {
        assert_eq!(rest("alice").await.get("/v1/credits").await.status, StatusCode::OK);
        assert!(counts_grants(&metrics, 5, 13), "{}", metrics.render());
    }
    assert_eq!(submit("bob", 1).await.status, StatusCode::ACCEPTED);
    assert!(counts_grants(&metrics, 8, 16), "{}", metrics.render());
    // the commit of a refusal keeps the grants
    gateway.clock.advance(TimeDelta::days(1));
    let expensive = async |delay: usize| rest("bob").await.post("/v1/exports", &export("expensive", delay)).await;
    for delay in 0..2 {
        assert_eq!(expensive(delay).await.status, StatusCode::ACCEPTED);
    }
    assert_eq!(expensive(2).await.problem().slug(), Slug::CreditsExhausted);
    assert!(counts_grants(&metrics, 9, 17), "{}", metrics.render());
}

#[tokio::test]
async fn a_session_refresh_records_its_owner_as_active() {
    let gateway = Gateway::start().await;
    let long = gateway.local.token("alice", "acme").expires_in(TimeDelta::days(9)).sign();
    let mut client = Client::connect(&gateway.url, Credential::Bearer(&long)).await.expect("the session starts");
    gateway.clock.advance(TimeDelta::days(3));
    let today = gateway.credit_policy.local_date(gateway.clock.now());
    let last_active_on = async || {
        let key = ("acme".to_owned(), "alice".to_owned());
        account::Entity::find_by_id(key).one(&gateway.database.db).await.unwrap().expect("an account").last_active_on
    };
    assert_eq!(last_active_on().await, today - Days::new(3));
    client.send(&ClientMessage::SessionRefresh(SessionRefresh { token: long.clone() }), Some("r")).await;
    let refreshed = |m: &ServerMessage| matches!(m, ServerMessage::SessionRefreshed { .. }).then_some(());
    client.expect_text("session.refreshed", refreshed).await;
    assert_eq!(last_active_on().await, today);
}
