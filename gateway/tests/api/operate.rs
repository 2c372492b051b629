//! Operators: who may act as one, and what every other caller gets. A task of the test answers as a notifier does.

use futures::StreamExt;
use protocol::{
    envelope::Envelope,
    id::ExportId,
    ops::{ExportsReply, Overview, OverviewReply, PauseReply, PauseRequest, QueueGroup, QueueTotals, StoryReply},
    problem::{Problem, Slug},
    server::ServerMessage,
    subject,
};
use reqwest::{Method, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};
use testkit::client::{Client, Credential};

use super::support::Gateway;

const GROUP: &str = "sluice-operators";
/// A number that only operators may see.
const RUNNING: u64 = 424_242;

async fn start() -> Gateway {
    Gateway::start_with(|config| config.identity.operator_group = GROUP.into()).await
}

/// Answers every request on a subject with the result of `reply`.
async fn answer<T>(gateway: &Gateway, subject: &str, reply: impl Fn(&[u8]) -> T + Send + 'static)
where
    T: Serialize + Send + 'static,
{
    let client = gateway.bus.client().clone();
    let mut requests = client.subscribe(subject.to_owned()).await.expect("subscribed");
    client.flush().await.expect("the server knows the subscription");
    tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            let envelope = Envelope::new("x", "", reply(&request.payload));
            let payload = serde_json::to_vec(&envelope).expect("JSON");
            client.publish(request.reply.expect("a request"), payload.into()).await.expect("published");
        }
    });
}

fn overview(running: u64) -> OverviewReply {
    let at = "2026-11-22T15:26:01.123Z".parse().expect("a time");
    let group = QueueGroup {
        pool: "default".into(),
        lane: "bulk".into(),
        tenant: "globex".into(),
        user: "carol".into(),
        waiting: 1,
        dispatched: 0,
        running,
        oldest: at,
        paused: false,
    };
    let overview = Overview {
        at,
        totals: QueueTotals { waiting: 1, paused: 0, dispatched: 0, running },
        queue: vec![group],
        queue_omitted: 0,
        failed: 0,
        failures: vec![],
        dead_letters: 0,
        exporters: vec![],
        schedule: vec![],
        pauses: vec![],
        acts: vec![],
    };
    OverviewReply::Overview { overview: Box::new(overview) }
}

fn group_token(gateway: &Gateway, groups: &Value) -> String {
    gateway.local.token("olga", "acme").claim("groups", groups.clone()).sign()
}

#[tokio::test]
async fn a_caller_without_the_scope_gets_403_and_no_numbers() {
    let gateway = start().await;
    answer(&gateway, subject::OPS_OVERVIEW, |_| overview(RUNNING)).await;
    let id = ExportId::generate();
    let calls = [
        (Method::GET, "/v1/operate/overview".to_owned()),
        (Method::GET, "/v1/operate/exports?text=a".into()),
        (Method::GET, "/v1/operate/exports?status=nonsense".into()),
        (Method::GET, format!("/v1/operate/exports/{id}")),
        (Method::GET, "/v1/operate/exports/nonsense".into()),
        (Method::GET, "/v1/operate/dead-letters".into()),
        (Method::POST, format!("/v1/operate/exports/{id}/cancel")),
        (Method::POST, format!("/v1/operate/exports/{id}/retry")),
        (Method::POST, "/v1/operate/pause".into()),
        (Method::POST, "/v1/operate/resume".into()),
        (Method::POST, "/v1/operate/exporters/a/drain".into()),
        (Method::POST, "/v1/operate/exporters/a/undrain".into()),
    ];
    let tokens = [
        gateway.local.token("alice", "acme").scope("export:* keys:manage").sign(),
        group_token(&gateway, &json!(["sluice", "sluice-operators-not"])),
        group_token(&gateway, &json!({"sluice-operators": true})),
    ];
    for token in &tokens {
        let rest = gateway.rest(token);
        for (method, path) in &calls {
            let body = json!({"tenant": "acme", "reason": "because"});
            let mut request = rest.request(method.clone(), path);
            if *method == Method::POST {
                request = request.json(&body);
            }
            let answer = rest.send(request).await;
            assert_eq!((answer.status, answer.problem().slug()), (StatusCode::FORBIDDEN, Slug::Forbidden), "{path}");
            assert!(!answer.text().contains(&RUNNING.to_string()), "{path}");
        }
        let mut session = Client::connect(&gateway.url, Credential::Bearer(token)).await.expect("a session");
        assert!(matches!(session.ready, ServerMessage::SessionReady { operator: false, .. }), "{:?}", session.ready);
        session.send_text(r#"{"type":"operate.watch","ref":"w"}"#).await;
        assert_eq!(session.expect_error(Some("w")).await.slug(), Slug::Forbidden);
    }
}

#[tokio::test]
async fn without_a_group_in_the_settings_no_group_makes_an_operator() {
    let gateway = Gateway::start().await;
    for groups in [json!([""]), json!(""), json!([GROUP])] {
        let answer = gateway.rest(&group_token(&gateway, &groups)).get("/v1/operate/overview").await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{groups}");
    }
}

#[tokio::test]
async fn the_group_or_the_scope_makes_an_operator_and_the_socket_shows_changes() {
    let gateway = start().await;
    let running = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(RUNNING));
    let counter = running.clone();
    answer(&gateway, subject::OPS_OVERVIEW, move |_| overview(counter.load(std::sync::atomic::Ordering::Relaxed)))
        .await;
    let scoped = gateway.local.token("olga", "acme").scope("sluice:operate").sign();
    for token in [group_token(&gateway, &json!(["x", GROUP])), group_token(&gateway, &json!(GROUP)), scoped] {
        let answer = gateway.rest(&token).get("/v1/operate/overview").await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        assert_eq!(answer.json::<Overview>().totals.running, running.load(std::sync::atomic::Ordering::Relaxed));

        let mut session = Client::connect(&gateway.url, Credential::Bearer(&token)).await.expect("a session");
        assert!(matches!(session.ready, ServerMessage::SessionReady { operator: true, .. }), "{:?}", session.ready);
        session.send_text(r#"{"type":"operate.watch"}"#).await;
        for _ in 0..2 {
            let wanted = running.load(std::sync::atomic::Ordering::Relaxed);
            let state = |message: &ServerMessage| match message {
                ServerMessage::OperateState { overview } => (overview.totals.running == wanted).then_some(()),
                _ => None,
            };
            session.expect_text("operate.state", state).await;
            running.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }

        // A newer token without the right ends the watch.
        let plain = gateway.token("olga", "acme");
        session.send_text(&json!({"type": "session.refresh", "ref": "r", "token": plain}).to_string()).await;
        let refreshed = |m: &ServerMessage| matches!(m, ServerMessage::SessionRefreshed { .. }).then_some(());
        session.expect_text("session.refreshed", refreshed).await;
        session.send_text(r#"{"type":"operate.watch","ref":"again"}"#).await;
        assert_eq!(session.expect_error(Some("again")).await.slug(), Slug::Forbidden);
    }
}

#[tokio::test]
async fn an_act_names_the_operator_and_needs_a_reason() {
    let gateway = start().await;
    answer(&gateway, subject::OPS_PAUSE, |payload| {
        let request: PauseRequest = serde_json::from_slice(payload).expect("a request");
        let pause = protocol::ops::Pause {
            tenant: request.tenant,
            user: request.user,
            reason: request.reason,
            paused_by: request.operator.expect("a name"),
            paused_at: "2026-11-22T15:26:01.123Z".parse().expect("a time"),
        };
        PauseReply::Paused { pause, changed: true }
    })
    .await;
    let refused = || Problem::new(Slug::NotFound, "There is no such export.");
    answer(&gateway, subject::OPS_STORY, move |_| StoryReply::Refused { problem: refused() }).await;
    answer(&gateway, subject::OPS_EXPORTS, |_| ExportsReply::Exports { items: vec![], next_cursor: None }).await;
    let rest = gateway.rest(&group_token(&gateway, &json!([GROUP])));
    let paused =
        rest.post("/v1/operate/pause", &json!({"tenant": "globex", "user": "carol", "reason": " flood "})).await;
    assert_eq!(paused.status, StatusCode::OK, "{}", paused.text());
    let paused: Value = paused.json();
    assert_eq!((&paused["pause"]["paused_by"], &paused["pause"]["reason"]), (&json!("olga (acme)"), &json!("flood")));
    for (body, pointer) in [
        (json!({"tenant": "globex", "reason": " "}), "/reason"),
        (json!({"tenant": "globex", "reason": "x".repeat(501)}), "/reason"),
        (json!({"tenant": "globex", "reason": "why", "until": "tomorrow"}), "/until"),
    ] {
        let answer = rest.post("/v1/operate/pause", &body).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
        assert_eq!(answer.problem().errors[0].pointer, pointer, "{body}");
    }
    let story = rest.get(&format!("/v1/operate/exports/{}", ExportId::generate())).await;
    assert_eq!((story.status, story.problem().slug()), (StatusCode::NOT_FOUND, Slug::NotFound));
    let page: Value = rest.get("/v1/operate/exports?text=flights&status=failed").await.json();
    assert_eq!(page, json!({"items": [], "next_cursor": null}));
    let drain = rest.post("/v1/operate/exporters/nobody/drain", &json!({"reason": "its machine goes"})).await;
    assert_eq!(drain.status, StatusCode::NOT_FOUND, "{}", drain.text());
}
