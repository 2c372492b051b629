//! The work of an operator on a running installation: finding and retrying a failed export, and pausing a tenant.

use std::time::Duration;

use e2e::{Fleet, Plan};
use protocol::{
    export::{ExportRequest, Status, WaitingFor},
    id::ExportId,
    operate::{ExportSummaryPage, PauseResult, RetryResult},
    ops::{ExportStory, HistoryKind, Overview},
    problem::{Problem, Slug},
    server::ServerMessage,
    subject,
};
use reqwest::StatusCode;
use sea_orm::{ActiveValue, ColumnTrait, EntityTrait, QueryFilter};
use serde_json::json;
use testkit::{
    client::{Client, Credential},
    eventually,
    rest::Rest,
};

/// The longest time from a pause until no new run starts.
const PAUSE_TAKES_EFFECT: Duration = Duration::from_secs(2);

fn flights(origin: &str) -> ExportRequest {
    ExportRequest {
        dataset: "flights".into(),
        filter: Some(json!({"origin": {"eq": origin}})),
        ..ExportRequest::default()
    }
}

async fn start() -> (Fleet, Rest, String) {
    let settings = vec![("SLUICE_CREDITS__INITIAL_BALANCE", "100".to_owned())];
    let fleet = Fleet::start(Plan { nats_users: true, settings, ..Plan::default() }).await;
    let token = fleet.issuer.token("olga", "operators").scope("sluice:operate").sign();
    let operator = Rest::new(fleet.url(), Some(&token));
    (fleet, operator, token)
}

/// Leaves an export as an exporter and a notifier leave one that failed for good.
async fn set_failed(fleet: &Fleet, id: ExportId) {
    let row = entity::export::ActiveModel {
        status: ActiveValue::Set("failed".into()),
        problem: ActiveValue::Set(Some(json!(Problem::new(Slug::ExportFailed, "table missing")))),
        ..Default::default()
    };
    let update = entity::export::Entity::update_many().set(row).filter(entity::export::Column::Id.eq(id.0));
    assert_eq!(update.exec(&fleet.database.db).await.expect("updated").rows_affected, 1);
    let bus = platform::bus::Bus::join(&fleet.nats.config_of("exporter"), "exporter", &[]).await.expect("a user");
    let letter = json!({"v": 1, "id": "x", "traceparent": "", "export_id": id, "attempt": 1, "reason": "dataset",
        "detail": "table missing"});
    bus.publish_durable(subject::dead_letter("dataset", id), "x", &letter).await.expect("stored");
}

#[tokio::test]
async fn slow_an_operator_finds_a_failed_export_reads_its_story_and_retries_it() {
    let (fleet, operator, _) = start().await;
    let rest = fleet.rest();
    let export = rest.create(&flights("SEA")).await;
    assert_eq!(rest.ended(export.id).await.status, Status::Completed, "{}", fleet.logs());
    set_failed(&fleet, export.id).await;
    assert_eq!(rest.get("/v1/operate/overview").await.status, StatusCode::FORBIDDEN);

    let found = operator.get("/v1/operate/exports?text=LIGH&status=failed").await;
    let page: ExportSummaryPage = found.json();
    assert_eq!(page.items.iter().map(|item| item.id).collect::<Vec<_>>(), [export.id]);
    let path = format!("/v1/operate/exports/{}", export.id);
    let answer = operator.get(&path).await;
    assert!(!answer.text().contains("SEA") && !answer.text().contains("origin"), "no filter: {}", answer.text());
    let story: ExportStory = answer.json();
    assert_eq!(story.problem.map(|problem| problem.detail), Some("table missing".into()));
    assert_eq!(story.dead_letters[0].detail, "table missing");
    let kinds: Vec<_> = story.events.iter().map(|event| event.kind).collect();
    for kind in [HistoryKind::Queued, HistoryKind::AttemptStarted, HistoryKind::Completed, HistoryKind::Failed] {
        assert!(kinds.contains(&kind), "{kinds:?}");
    }
    assert!(story.attempts[0].segments >= 1 && story.summary.trace_id.is_some(), "{story:?}", story = story.attempts);

    let retry = operator.post(&format!("{path}/retry"), &json!({"reason": "the table is back"})).await;
    let retried: RetryResult = retry.json();
    assert_eq!(retried.failed_export_id, Some(export.id));
    assert_eq!(rest.ended(retried.export.id).await.status, Status::Completed);
    let story: ExportStory = operator.get(&path).await.json();
    assert_eq!(story.retried_as, Some(retried.export.id));
    assert_eq!(story.acts[0].operator, "olga (operators)");
    assert_eq!(story.acts[0].reason.as_deref(), Some("the table is back"));
    assert_eq!(fleet.nats.violations(), [""; 0]);
}

#[tokio::test]
async fn slow_a_paused_tenant_starts_no_run_and_loses_nothing() {
    let (fleet, operator, token) = start().await;
    let rest = fleet.rest();
    let mut session = Client::connect(fleet.url(), Credential::Bearer(&token)).await.expect("a session");
    session.send_text(r#"{"type":"operate.watch"}"#).await;

    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(rest.create(&flights("SEA")).await.id);
        ids.push(rest.create(&flights("JFK")).await.id);
    }
    let paused = operator.post("/v1/operate/pause", &json!({"tenant": "acme", "reason": "floods"})).await;
    assert!(paused.json::<PauseResult>().changed);
    let started_until_now = async || {
        let rows = entity::export::Entity::find().all(&fleet.database.db).await.expect("rows");
        let mut started: Vec<_> = rows.iter().filter(|row| row.started_at.is_some()).map(|row| row.id).collect();
        started.sort();
        started
    };
    // the bound of the promise, and not a wait for an event
    tokio::time::sleep(PAUSE_TAKES_EFFECT).await;
    let started = started_until_now().await;
    let later = rest.create(&flights("LAX")).await;
    ids.push(later.id);
    tokio::time::sleep(PAUSE_TAKES_EFFECT).await;
    assert_eq!(started_until_now().await, started, "no run starts while the tenant is paused");
    let export = rest.export(later.id).await;
    assert_eq!((export.status, export.progress.waiting_for), (Status::Queued, Some(WaitingFor::Operator)));
    assert_eq!(export.progress.queue_position, None);
    let is_shown = |message: &ServerMessage| match message {
        ServerMessage::OperateState { overview } => {
            let shown = overview.pauses.iter().any(|pause| pause.tenant == "acme" && pause.reason == "floods");
            (shown && overview.totals.paused >= 1).then_some(())
        }
        _ => None,
    };
    session.expect_text("the pause", is_shown).await;

    let resumed = operator.post("/v1/operate/resume", &json!({"tenant": "acme", "reason": "done"})).await;
    assert_eq!(resumed.status, StatusCode::OK, "{}", resumed.text());
    ids.sort();
    ids.dedup();
    for id in ids {
        assert_eq!(rest.ended(id).await.status, Status::Completed, "{}", fleet.logs());
    }
    eventually("no export is unfinished", async || {
        let overview: Overview = operator.get("/v1/operate/overview").await.json();
        (overview.queue.is_empty() && overview.pauses.is_empty()).then_some(())
    })
    .await;
    assert_eq!(fleet.nats.violations(), [""; 0]);
}
