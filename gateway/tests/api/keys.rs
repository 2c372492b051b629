//! API keys: what they may do, and that a deleted or expired key ends everywhere.

use std::collections::HashSet;

use chrono::TimeDelta;
use entity::{api_key, export};
use platform::{clock::Clock, units::HumanDuration};
use protocol::{
    api_key::{ApiKey, ApiKeyPage, ApiKeyRequest, CreatedApiKey},
    id::{ExportId, Owner},
    problem::Slug,
    server::ServerMessage,
    time::Timestamp,
};
use reqwest::{Method, StatusCode};
use sea_orm::{ConnectionTrait, EntityTrait, TransactionTrait};
use serde_json::{Value, json};
use testkit::{
    client::{Client, Credential},
    rest::Rest,
};

use super::{sse::Stream, support::Gateway};

const MANAGER: &str = "export:* keys:manage pii:read";
/// Longer than every test.
const NEVER: HumanDuration = HumanDuration::from_secs(100_000);

/// The REST client of alice of acme, who may manage keys.
fn manager(gateway: &Gateway) -> Rest {
    gateway.rest(&gateway.local.token("alice", "acme").scope(MANAGER).sign())
}

async fn create_with(rest: &Rest, request: &Value) -> CreatedApiKey {
    let answer = rest.post("/v1/keys", request).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    answer.json()
}

async fn create(rest: &Rest, scopes: &[&str]) -> CreatedApiKey {
    create_with(rest, &json!({"name": "nightly", "scopes": scopes})).await
}

async fn delete(rest: &Rest, key: &ApiKey) -> StatusCode {
    rest.delete(&format!("/v1/keys/{}", key.id)).await.status
}

async fn list(rest: &Rest) -> Vec<ApiKey> {
    let answer = rest.get("/v1/keys").await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    answer.json::<ApiKeyPage>().items
}

/// Requests a ticket with a key.
async fn ticket(rest: &Rest) -> String {
    let answer = rest.send(rest.request(Method::POST, "/v1/tickets")).await;
    answer.json::<Value>()["ticket"].as_str().expect("a ticket").to_owned()
}

async fn connect(url: &str, key: &str) -> Client {
    Client::connect(url, Credential::Bearer(key)).await.unwrap_or_else(|e| panic!("session refused: {e:?}"))
}

/// Waits for an answer of an open session.
async fn ping(session: &mut Client) {
    session.send_text(r#"{"type":"ping","ref":"open"}"#).await;
    session.expect_text("pong", |m| matches!(m, ServerMessage::Pong { .. }).then_some(())).await;
}

async fn assert_refused(url: &str, key: &str) {
    let rest = Rest::new(url, Some(key));
    for path in ["/v1/credits", "/v1/events", "/v1/keys"] {
        let answer = rest.get(path).await;
        assert_eq!((answer.status, answer.problem().slug()), (StatusCode::UNAUTHORIZED, Slug::Unauthorized), "{path}");
        assert!(answer.header("www-authenticate").is_some_and(|h| h.contains("invalid_token")));
    }
    let refusal = Client::connect(url, Credential::Bearer(key)).await.err().expect("no upgrade");
    assert_eq!(refusal.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_key_acts_as_its_own_subject_wherever_a_token_does() {
    let gateway = Gateway::start().await;
    let alice = manager(&gateway);
    let created = create(&alice, &["export:flights"]).await;
    let (key, id) = (created.key.as_str(), created.info.id);
    assert_eq!((created.info.created_by.as_str(), created.info.last_used_at), ("alice", None));
    let rest = gateway.rest(key);

    let datasets: Value = rest.get("/v1/datasets").await.json();
    assert_eq!(datasets["items"].as_array().map(Vec::len), Some(1), "{datasets}");
    let export = rest.create(&serde_json::from_value(json!({"dataset": "flights"})).unwrap()).await;
    assert_eq!(alice.get(&export.links.this).await.status, StatusCode::NOT_FOUND);
    assert_eq!(rest.post("/v1/exports", &json!({"dataset": "counts"})).await.status, StatusCode::FORBIDDEN);

    let ticket = ticket(&rest).await;
    for credential in [Credential::Bearer(key), Credential::Ticket(&ticket)] {
        let mut client = Client::connect(&gateway.url, credential).await.expect("the session starts");
        let ServerMessage::SessionReady { sub, tenant, token_expires_at, .. } = client.ready.clone() else {
            panic!("{:?}", client.ready)
        };
        assert_eq!((sub, tenant.as_str(), token_expires_at), (id.subject(), "acme", None));
        client.send_text(&json!({"type": "session.refresh", "ref": "r", "token": key}).to_string()).await;
        let refreshed = |m: &ServerMessage| {
            matches!(m, ServerMessage::SessionRefreshed { token_expires_at: None, .. }).then_some(())
        };
        client.expect_text("session.refreshed", refreshed).await;
        let token = gateway.token("alice", "acme");
        client.send_text(&json!({"type": "session.refresh", "ref": "s", "token": token}).to_string()).await;
        assert_eq!(client.expect_error(Some("s")).await.slug(), Slug::Forbidden);
    }
    let mut events = Stream::open(&rest, None).await;
    assert_eq!(events.next().await.unwrap().data["sub"], id.subject());

    let used = testkit::eventually("the use is recorded", async || list(&alice).await[0].last_used_at).await;
    assert_eq!(used, Timestamp::from(gateway.clock.now()));
}

#[tokio::test]
async fn the_secret_appears_once_and_is_stored_as_a_hash() {
    let gateway = Gateway::start().await;
    let alice = manager(&gateway);
    let created = create_with(&alice, &json!({"name": "Bücher 📚", "scopes": ["export:*"], "expires_at": null})).await;
    let answer = alice.get("/v1/keys").await;
    assert!(!answer.text().contains(&created.key) && answer.text().contains("Bücher 📚"), "{}", answer.text());
    let row = api_key::Entity::find_by_id(created.info.id.0).one(&gateway.database.db).await.unwrap().unwrap();
    assert_eq!(row.secret_hash, testkit::sha256(created.key.as_bytes()));
    assert!(!format!("{row:?}").contains(&created.key));

    let tag = answer.header("etag").expect("a tag").to_owned();
    assert!(tag.starts_with("W/"), "{tag}");
    let unchanged = alice.request(Method::GET, "/v1/keys").header("if-none-match", &tag);
    let unchanged = alice.send(unchanged).await;
    assert_eq!((unchanged.status, unchanged.body.len()), (StatusCode::NOT_MODIFIED, 0));
    create(&alice, &["export:*"]).await;
    let changed = alice.request(Method::GET, "/v1/keys").header("if-none-match", &tag);
    assert_eq!(alice.send(changed).await.status, StatusCode::OK);

    let page: ApiKeyPage = alice.get("/v1/keys?limit=1").await.json();
    let next: ApiKeyPage =
        alice.get(&format!("/v1/keys?limit=1&cursor={}", page.next_cursor.expect("a second page"))).await.json();
    assert_eq!((next.items, next.next_cursor), (vec![created.info], None));
    for query in ["limit=0", "limit=201", "cursor=x", "owner=bob"] {
        assert_eq!(alice.get(&format!("/v1/keys?{query}")).await.problem().slug(), Slug::InvalidRequest, "{query}");
    }
}

#[tokio::test]
async fn each_fault_of_a_request_is_named_and_no_scope_is_given_that_the_creator_lacks() {
    let gateway = Gateway::start().await;
    let alice = manager(&gateway);
    let long = "x".repeat(101);
    for (request, pointers) in [
        (json!({"scopes": ["export:*"]}), vec!["/name"]),
        (json!({"name": "", "scopes": []}), vec!["/name", "/scopes"]),
        (json!({"name": "  ", "scopes": ["export:*"]}), vec!["/name"]),
        (json!({"name": long, "scopes": ["export:*"]}), vec!["/name"]),
        (json!({"name": "a\u{0}b", "scopes": ["export:*"]}), vec!["/name"]),
        (json!({"name": "a", "scopes": ["export:flights\u{0}"]}), vec!["/scopes/0"]),
        // a space would smuggle in a second scope
        (
            json!({"name": "a", "scopes": ["export:a admin", "export:\tb", ""]}),
            vec!["/scopes/0", "/scopes/1", "/scopes/2"],
        ),
        (json!({"name": "a", "scopes": ["pii:read", "hr", "pii:read"]}), vec!["/scopes/1", "/scopes/2"]),
        (json!({"name": "a", "scopes": [1]}), vec!["/scopes/0"]),
        (json!({"name": "a", "scopes": vec!["export:*"; 101]}), vec!["/scopes"]),
        (json!({"name": "a", "scopes": ["export:*"], "expires_at": "2020-01-01T00:00:00Z"}), vec!["/expires_at"]),
        (json!({"name": "a", "scopes": ["export:*"], "expires_at": "tomorrow"}), vec!["/expires_at"]),
        (json!({"name": "a", "scopes": ["export:*"], "tenant": "umbrella"}), vec!["/tenant"]),
    ] {
        let answer = alice.post("/v1/keys", &request).await;
        let problem = answer.problem();
        assert_eq!((answer.status, problem.slug()), (StatusCode::UNPROCESSABLE_ENTITY, Slug::InvalidRequest));
        let named: Vec<&str> = problem.errors.iter().map(|e| e.pointer.as_str()).collect();
        assert_eq!(named[..pointers.len()], pointers, "{request}");
    }
    assert_eq!(list(&alice).await, []);

    let unprivileged = gateway.rest(&gateway.token("alice", "acme"));
    let requests = [
        unprivileged.post("/v1/keys", &json!({"name": "a", "scopes": ["export:*"]})).await,
        unprivileged.get("/v1/keys").await,
        unprivileged.delete(&format!("/v1/keys/{}", create(&alice, &["export:*"]).await.info.id)).await,
    ];
    for answer in requests {
        assert_eq!((answer.status, answer.problem().slug()), (StatusCode::FORBIDDEN, Slug::Forbidden));
        assert!(answer.problem().detail.contains("keys:manage"), "{}", answer.text());
    }
}

#[tokio::test]
async fn keys_belong_to_a_tenant_and_carry_the_claims_of_their_creator() {
    let gateway = Gateway::start().await;
    let token = gateway.local.token("alice", "acme").scope(MANAGER).claim("region", "north").claim("jti", "once");
    let alice = gateway.rest(&token.sign());
    let other_tenant = gateway.rest(&gateway.local.token("alice", "umbrella").scope(MANAGER).sign());
    let created = create(&alice, &["export:*"]).await;
    assert_eq!(list(&other_tenant).await, []);
    assert_eq!(delete(&other_tenant, &created.info).await, StatusCode::NOT_FOUND);
    assert_eq!(alice.delete("/v1/keys/nonsense").await.status, StatusCode::NOT_FOUND);

    let export =
        gateway.rest(&created.key).create(&serde_json::from_value(json!({"dataset": "flights"})).unwrap()).await;
    let row = export::find(&gateway.database.db, export.id).await.unwrap().unwrap();
    assert_eq!(row.owner(), Owner::new("acme", created.info.id.subject()));
    let claims = row.claims.as_object().unwrap();
    let expected = json!({
        "iss": "sluice", "aud": "sluice", "tenant": "acme", "region": "north",
        "sub": created.info.id.subject(), "scope": "export:*",
    });
    assert_eq!(json!(claims), expected, "neither `exp` nor `jti` nor the creator's scopes");

    // another manager of the tenant sees and deletes the key
    let bob = gateway.rest(&gateway.local.token("bob", "acme").scope("keys:manage").sign());
    assert_eq!(list(&bob).await.len(), 1);
    assert_eq!(delete(&bob, &created.info).await, StatusCode::NO_CONTENT);
    assert_eq!(delete(&bob, &created.info).await, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_key_creates_keys_within_its_own_rights_and_their_end_comes_with_its_own() {
    let gateway = Gateway::start().await;
    let alice = manager(&gateway);
    let expires_at = Timestamp::from(gateway.clock.now() + TimeDelta::hours(1));
    let parent = json!({"name": "p", "scopes": ["export:flights", "keys:manage"], "expires_at": expires_at});
    let parent = create_with(&alice, &parent).await;
    let rest = gateway.rest(&parent.key);
    let refused = async |request: Value, pointer: &str| {
        let problem = rest.post("/v1/keys", &request).await.problem();
        assert_eq!(problem.errors[0].pointer, pointer, "{problem}");
    };
    refused(json!({"name": "c", "scopes": ["export:counts"]}), "/scopes/0").await;
    refused(json!({"name": "c", "scopes": ["pii:read"]}), "/scopes/0").await;
    let later = Timestamp::from(expires_at.as_datetime() + TimeDelta::milliseconds(1));
    refused(json!({"name": "c", "scopes": ["export:flights"], "expires_at": later}), "/expires_at").await;

    let child = create(&rest, &["export:flights", "keys:manage"]).await;
    assert_eq!((child.info.created_by.as_str(), child.info.expires_at), (&*parent.info.id.subject(), Some(expires_at)));
    let grandchild = create(&gateway.rest(&child.key), &["export:flights"]).await;
    let mut session = connect(&gateway.url, &grandchild.key).await;
    assert_eq!(delete(&alice, &parent.info).await, StatusCode::NO_CONTENT);
    assert_eq!(session.expect_close().await, Some(4401));
    for key in [&parent, &child, &grandchild] {
        assert_refused(&gateway.url, &key.key).await;
    }
    assert_eq!(list(&alice).await, []);
}

#[tokio::test]
async fn an_expired_key_is_refused_and_its_sessions_end() {
    let gateway = Gateway::start().await;
    let expires_at = Timestamp::from(gateway.clock.now() + TimeDelta::minutes(5));
    let request = json!({"name": "short", "scopes": ["export:*"], "expires_at": expires_at});
    let created = create_with(&manager(&gateway), &request).await;
    let rest = gateway.rest(&created.key);
    let (mut session, mut events) = (connect(&gateway.url, &created.key).await, Stream::open(&rest, None).await);
    let ServerMessage::SessionReady { token_expires_at, .. } = session.ready else { panic!("{:?}", session.ready) };
    assert_eq!(token_expires_at, Some(expires_at));
    let unused = ticket(&rest).await;
    gateway.clock.advance(TimeDelta::minutes(5) + TimeDelta::milliseconds(1));
    assert_refused(&gateway.url, &created.key).await;
    assert_eq!(session.expect_close().await, Some(4401));
    while events.next().await.is_some() {}
    assert!(Client::connect(&gateway.url, Credential::Ticket(&unused)).await.is_err());
}

/// Opens a session and an event stream, and runs `end`. Both must then end, and the gateway must refuse the key.
async fn assert_uses_end(url: &str, created: &CreatedApiKey, end: impl AsyncFnOnce()) {
    let rest = Rest::new(url, Some(&created.key));
    let (mut session, mut events) = (connect(url, &created.key).await, Stream::open(&rest, None).await);
    // the cache of the gateway knows the key
    assert_eq!(rest.get("/v1/credits").await.status, StatusCode::OK);
    ping(&mut session).await;
    end().await;
    assert_eq!(session.expect_close().await, Some(4401));
    while events.next().await.is_some() {}
    testkit::eventually("the key is refused", async || {
        (Rest::new(url, Some(&created.key)).get("/v1/credits").await.status == StatusCode::UNAUTHORIZED).then_some(())
    })
    .await;
    assert_refused(url, &created.key).await;
}

#[tokio::test]
async fn a_deletion_ends_every_use_on_each_gateway_by_its_message_alone() {
    // nothing but the message can end the uses: the gateways never check, and remember each answer
    let gateway = Gateway::start_with(|config| {
        config.tuning.key_cache_ttl = NEVER;
        config.tuning.key_check_interval = NEVER;
    })
    .await;
    let other = gateway.start_another().await;
    let alice = manager(&gateway);
    let created = create(&alice, &["export:*"]).await;
    let mut here = connect(&gateway.url, &created.key).await;
    ping(&mut here).await;
    let unused = ticket(&gateway.rest(&created.key)).await;
    assert_uses_end(&other, &created, async || {
        assert_eq!(delete(&alice, &created.info).await, StatusCode::NO_CONTENT);
    })
    .await;
    assert_eq!(here.expect_close().await, Some(4401));
    assert_refused(&gateway.url, &created.key).await;
    for url in [&gateway.url, &other] {
        assert!(Client::connect(url, Credential::Ticket(&unused)).await.is_err());
    }
}

#[tokio::test]
async fn a_deletion_ends_every_use_without_a_message() {
    let gateway = Gateway::start().await;
    let created = create(&manager(&gateway), &["export:*"]).await;
    let rest = gateway.rest(&created.key);
    let export = rest.create(&serde_json::from_value(json!({"dataset": "free"})).unwrap()).await;
    let poll = rest.request(Method::GET, &export.links.this).header("prefer", "wait=60");
    let poll = tokio::spawn(async move { rest.send(poll).await });
    // the row alone changes, as if the message was lost
    assert_uses_end(&gateway.url, &created, async || {
        let tx = gateway.database.db.begin().await.unwrap();
        let deleted = api_key::delete(&tx, "acme", created.info.id, gateway.clock.now()).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(deleted, [created.info.id]);
    })
    .await;
    let answer = poll.await.unwrap();
    assert_eq!((answer.status, answer.problem().slug()), (StatusCode::UNAUTHORIZED, Slug::Unauthorized));
}

#[tokio::test]
async fn a_failing_database_is_no_reason_to_call_a_key_wrong() {
    let gateway = Gateway::start_with(|config| config.tuning.key_cache_ttl = HumanDuration::from_millis(1)).await;
    let created = create(&manager(&gateway), &["export:*"]).await;
    let rest = gateway.rest(&created.key);
    let mut session = connect(&gateway.url, &created.key).await;
    let unused = ticket(&rest).await;
    gateway.database.db.execute_unprepared("ALTER TABLE api_key RENAME TO lost").await.unwrap();
    let answer = testkit::eventually("the cached answer is too old", async || {
        let answer = rest.get("/v1/datasets").await;
        (answer.status != StatusCode::OK).then_some(answer)
    })
    .await;
    assert_eq!((answer.status, answer.problem().slug()), (StatusCode::SERVICE_UNAVAILABLE, Slug::Unavailable));
    assert!(answer.header("retry-after").is_some());
    for credential in [Credential::Bearer(&created.key), Credential::Ticket(&unused)] {
        let refusal = Client::connect(&gateway.url, credential).await.err().expect("no upgrade");
        assert_eq!(refusal.status, StatusCode::SERVICE_UNAVAILABLE);
    }
    // a text that is no key needs no database
    assert_eq!(gateway.rest(&created.key[..75]).get("/v1/datasets").await.status, StatusCode::UNAUTHORIZED);

    gateway.database.db.execute_unprepared("ALTER TABLE lost RENAME TO api_key").await.unwrap();
    testkit::eventually("the key works again", async || {
        (rest.get("/v1/datasets").await.status == StatusCode::OK).then_some(())
    })
    .await;
    ping(&mut session).await;
}

#[tokio::test]
async fn a_tenant_has_a_limited_number_of_keys() {
    let gateway = Gateway::start().await;
    let alice = manager(&gateway);
    let mut ids = HashSet::new();
    for _ in 0..100 {
        ids.insert(create(&alice, &["export:*"]).await.info.id);
    }
    let request = ApiKeyRequest { name: "one more".into(), scopes: vec!["export:*".into()], expires_at: None };
    let answer = alice.post("/v1/keys", &request).await;
    assert_eq!((answer.status, answer.problem().slug()), (StatusCode::TOO_MANY_REQUESTS, Slug::RateLimited));
    let listed: ApiKeyPage = alice.get("/v1/keys?limit=200").await.json();
    assert_eq!(listed.items.iter().map(|key| key.id).collect::<HashSet<_>>(), ids);
    // another tenant has its own limit
    create(&gateway.rest(&gateway.local.token("bob", "umbrella").scope(MANAGER).sign()), &["export:*"]).await;

    assert_eq!(delete(&alice, &listed.items[0]).await, StatusCode::NO_CONTENT);
    assert_eq!(alice.post("/v1/keys", &request).await.status, StatusCode::TOO_MANY_REQUESTS);
    gateway.clock.advance(TimeDelta::days(1));
    // the token of alice has expired meanwhile, so a new one is needed
    let now = gateway.clock.now();
    let token = gateway.local.token("alice", "acme").scope(MANAGER).claim("exp", now.timestamp() + 60).sign();
    assert_eq!(gateway.rest(&token).post("/v1/keys", &request).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn no_token_may_take_the_subject_of_a_key() {
    let gateway = Gateway::start().await;
    let created = create(&manager(&gateway), &["export:*"]).await;
    let answer = gateway.rest(&gateway.token(&created.info.id.subject(), "acme")).get("/v1/exports").await;
    assert_eq!((answer.status, answer.problem().slug()), (StatusCode::UNAUTHORIZED, Slug::Unauthorized));
    assert_eq!(gateway.rest(&gateway.token("key:alice", "acme")).get("/v1/exports").await.status, StatusCode::OK);
    // an unknown export, as for every other caller
    let unknown = format!("/v1/exports/{}", ExportId::generate());
    assert_eq!(gateway.rest(&created.key).get(&unknown).await.status, StatusCode::NOT_FOUND);
}
