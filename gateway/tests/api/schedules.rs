//! Schedules of saved exports: what a gateway stores, shows and refuses.

use chrono::{DateTime, TimeDelta, Utc};
use entity::{schedule, user_rights};
use platform::clock::Clock;
use protocol::{
    id::Owner,
    problem::Slug,
    saved_export::{SavedExport, SchedulePreview},
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testkit::rest::Rest;

use super::support::Gateway;

const PATH: &str = "/v1/saved-exports";

fn alice() -> Owner {
    Owner::new("acme", "alice")
}

fn body(schedule: &Value) -> Value {
    json!({"name": "weekly", "request": {"dataset": "flights"}, "schedule": schedule})
}

fn mondays() -> Value {
    json!({"cron": "30 2 * * 1", "zone": "Europe/Berlin"})
}

async fn create(rest: &Rest, schedule: &Value) -> SavedExport {
    let answer = rest.post(PATH, &body(schedule)).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
    answer.json()
}

async fn patch(rest: &Rest, saved: &SavedExport, body: &Value) -> SavedExport {
    let answer = rest.send(rest.request(Method::PATCH, &saved.links.this).json(body)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    answer.json()
}

async fn row(gateway: &Gateway, saved: &SavedExport) -> Option<schedule::Model> {
    schedule::find(&gateway.database.db, saved.id).await.unwrap()
}

#[tokio::test]
async fn a_schedule_is_stored_with_the_rights_of_its_owner_and_its_next_moment() {
    let gateway = Gateway::start().await;
    let token = gateway.local.token("alice", "acme").scope("export:flights").claim("region", "north").sign();
    let rest = gateway.rest(&token);
    let saved = create(&rest, &mondays()).await;
    let shown = saved.schedule.clone().expect("a schedule");
    assert_eq!((shown.cron.as_str(), shown.zone.as_str()), ("30 2 * * 1", "Europe/Berlin"));
    assert_eq!((shown.enabled, shown.only_if_changed, shown.paused_reason), (true, false, None));
    let next: DateTime<Utc> = shown.next_run_at.expect("a moment").into();
    let now = gateway.clock.now();
    assert!(next > now && next <= now + TimeDelta::days(7), "{next}");
    assert_eq!(next.with_timezone(&chrono_tz::Europe::Berlin).format("%u %H:%M").to_string(), "1 02:30");

    let stored = row(&gateway, &saved).await.expect("a row");
    assert_eq!((stored.owner(), &stored.claims["region"]), (alice(), &json!("north")));
    let rights = user_rights::find(&gateway.database.db, &alice()).await.unwrap().expect("rights");
    assert_eq!((&rights.claims["scope"], rights.seen_at), (&json!("export:flights"), gateway.clock.now()));
    assert_eq!(rest.get(&saved.links.this).await.json::<SavedExport>().schedule, saved.schedule);
    let listed: Value = rest.get(PATH).await.json();
    assert_eq!(listed["items"][0]["schedule"], json!(saved.schedule));
}

#[tokio::test]
async fn a_later_token_replaces_the_kept_rights_and_an_older_one_does_not() {
    let gateway = Gateway::start().await;
    let now = gateway.clock.now().timestamp();
    let token =
        |scope: &str, issued_at: i64| gateway.local.token("alice", "acme").scope(scope).claim("iat", issued_at).sign();
    create(&gateway.rest(&token("export:*", now)), &mondays()).await;
    let kept = async || {
        let rights = user_rights::find(&gateway.database.db, &alice()).await.unwrap().expect("rights");
        rights.claims["scope"].as_str().unwrap().to_owned()
    };
    gateway.rest(&token("export:counts", now + 1)).get("/v1/credits").await;
    testkit::eventually("the rights are replaced", async || (kept().await == "export:counts").then_some(())).await;
    gateway.rest(&token("export:*", now)).get("/v1/credits").await;
    // a later write of the same recorder shows that the earlier one is done
    gateway.rest(&token("export:flights", now + 2)).get("/v1/credits").await;
    testkit::eventually("the rights are replaced", async || (kept().await == "export:flights").then_some(())).await;
    // a user without a schedule has no row
    gateway.rest(&gateway.token("bob", "acme")).get("/v1/credits").await;
    assert_eq!(user_rights::find(&gateway.database.db, &Owner::new("acme", "bob")).await.unwrap(), None);
}

#[tokio::test]
async fn each_change_keeps_or_replaces_the_schedule_and_enabling_ends_a_pause() {
    let gateway = Gateway::start().await;
    let rest = gateway.rest(&gateway.token("alice", "acme"));
    let saved = create(&rest, &mondays()).await;
    let stored = row(&gateway, &saved).await.unwrap();
    assert!(schedule::pause(&gateway.database.db, &stored, "rights were lost").await.unwrap());
    let paused = patch(&rest, &saved, &json!({"name": "renamed"})).await.schedule.unwrap();
    assert_eq!((paused.enabled, paused.next_run_at), (false, None));
    assert_eq!(paused.paused_reason.as_deref(), Some("rights were lost"));

    let enabled = patch(&rest, &saved, &json!({"schedule": {"enabled": true}})).await.schedule.unwrap();
    assert_eq!((enabled.enabled, enabled.paused_reason, enabled.cron.as_str()), (true, None, "30 2 * * 1"));
    assert!(enabled.next_run_at.is_some());
    let daily = patch(&rest, &saved, &json!({"schedule": {"cron": "0 6 * * *", "only_if_changed": true}})).await;
    let daily = daily.schedule.unwrap();
    assert_eq!((daily.zone.as_str(), daily.only_if_changed), ("Europe/Berlin", true));
    schedule::record_success(&gateway.database.db, saved.id, Some("digest")).await.unwrap();
    patch(&rest, &saved, &json!({"visibility": "tenant"})).await;
    assert_eq!(row(&gateway, &saved).await.unwrap().last_content_sha256.as_deref(), Some("digest"));
    // another request makes other files
    patch(&rest, &saved, &json!({"request": {"columns": ["delay"]}})).await;
    assert_eq!(row(&gateway, &saved).await.unwrap().last_content_sha256, None);
    let off = patch(&rest, &saved, &json!({"schedule": {"enabled": false}})).await.schedule.unwrap();
    assert_eq!((off.next_run_at, off.paused_reason), (None, None));
    assert_eq!(patch(&rest, &saved, &json!({"schedule": null})).await.schedule, None);
    assert_eq!(row(&gateway, &saved).await, None);

    let again = create(&rest, &mondays()).await;
    assert_eq!(rest.delete(&again.links.this).await.status, StatusCode::NO_CONTENT);
    assert_eq!(row(&gateway, &again).await, None);
}

#[tokio::test]
async fn a_schedule_that_cannot_be_read_is_refused_by_its_member() {
    let gateway = Gateway::start().await;
    let rest = gateway.rest(&gateway.token("alice", "acme"));
    for (schedule, pointer) in [
        (json!({"cron": "0 6 * *", "zone": "UTC"}), "/schedule/cron"),
        (json!({"cron": "0 0 6 * * *", "zone": "UTC"}), "/schedule/cron"),
        (json!({"cron": "0 0 30 2 *", "zone": "UTC"}), "/schedule/cron"),
        (json!({"cron": "0 6 * * *", "zone": "Berlin"}), "/schedule/zone"),
        (json!({"cron": "0 6 * * *"}), "/schedule/zone"),
        (json!({"cron": "0 6 * * *", "zone": "UTC", "seconds": 1}), "/schedule/seconds"),
        (json!({"cron": "0 6 * * *", "zone": "UTC", "next_run_at": "2026-11-22T00:00:00Z"}), "/schedule/next_run_at"),
    ] {
        let problem = rest.post(PATH, &body(&schedule)).await.problem();
        assert_eq!((problem.slug(), problem.errors[0].pointer.as_str()), (Slug::InvalidRequest, pointer), "{schedule}");
    }
    let listed: Value = rest.get(PATH).await.json();
    assert_eq!(listed["items"], json!([]));
}

#[tokio::test]
async fn a_preview_shows_five_moments_and_the_credits_of_a_week() {
    let gateway = Gateway::start().await;
    let rest = gateway.rest(&gateway.token("alice", "acme"));
    let answer = rest.get("/v1/schedules/preview?cron=0%206%20*%20*%201-5&zone=America%2FNew_York").await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let preview: SchedulePreview = answer.json();
    assert_eq!((preview.moments.len(), preview.credits_per_week), (5, 7));
    assert!((preview.runs_per_week - 5.0).abs() < 0.3, "{}", preview.runs_per_week);
    assert!(preview.moments.is_sorted());
    for (query, pointer) in [("cron=x&zone=UTC", "/cron"), ("cron=0%206%20*%20*%20*&zone=x", "/zone"), ("zone=UTC", "")]
    {
        let problem = rest.get(&format!("/v1/schedules/preview?{query}")).await.problem();
        assert_eq!((problem.slug(), problem.errors[0].pointer.as_str()), (Slug::InvalidRequest, pointer), "{query}");
    }
}
