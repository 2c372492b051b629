//! Moments relative to now in a request, such as `now-1d`, are resolved once, when the export is accepted.

use super::support::Gateway;
use chrono::{DateTime, Days, SecondsFormat, TimeDelta, Utc};
use platform::clock::Clock;
use reqwest::StatusCode;
use serde_json::{Value, json};

/// Writes a time as the filter of an export shows it.
fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[tokio::test]
async fn an_export_shows_the_moments_that_now_meant_when_it_was_requested() {
    let gateway = Gateway::start().await;
    let rest = gateway.rest(&gateway.local.token("alice", "acme").expires_in(TimeDelta::days(2)).sign());
    let requested = gateway.clock.now();
    let request = json!({
        "dataset": "visits",
        "filter": {
            "at": {"between": ["now-1d", "now"]},
            "or": [{"day": {"in": ["now", "2026-01-01"]}}, {"not": {"local_at": {"lt": "now/h"}}}],
        },
        "params": {"since": "now-2h"},
    });
    let answer = rest.post("/v1/exports", &request).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text());
    let accepted: Value = answer.json();
    let filter = json!({
        "at": {"between": [instant(requested - TimeDelta::days(1)), instant(requested)]},
        "or": [
            {"day": {"in": [requested.format("%Y-%m-%d").to_string(), "2026-01-01"]}},
            {"not": {"local_at": {"lt": requested.format("%Y-%m-%dT%H:00:00.000").to_string()}}},
        ],
    });
    let params = json!({"since": instant(requested - TimeDelta::hours(2))});
    assert_eq!((&accepted["filter"], &accepted["params"]), (&filter, &params));

    // later answers show the same moments, and a later request gets later ones
    gateway.clock.advance(TimeDelta::days(1));
    let shown: Value = rest.get(accepted["links"]["self"].as_str().unwrap()).await.json();
    assert_eq!((&shown["filter"], &shown["params"]), (&filter, &params));
    let list: Value = rest.get("/v1/exports").await.json();
    assert_eq!((&list["items"][0]["filter"], &list["items"][0]["params"]), (&filter, &params));
    let later: Value = rest.post("/v1/exports", &request).await.json();
    assert_ne!(later["id"], accepted["id"], "another day is another export");
    assert_eq!(later["filter"]["at"]["between"], json!([instant(requested), instant(requested + TimeDelta::days(1))]));
}

#[tokio::test]
async fn the_start_of_a_day_is_that_of_the_time_zone_of_the_request() {
    let gateway = Gateway::start().await;
    let rest = gateway.rest(&gateway.token("alice", "acme"));
    let tokyo = chrono::FixedOffset::east_opt(9 * 3600).unwrap();
    let today = gateway.clock.now().with_timezone(&tokyo).date_naive();
    let request = json!({
        "dataset": "visits",
        "time_zone": "Asia/Tokyo",
        "filter": {"at": {"gte": "now/d"}, "day": {"eq": "now-1d"}},
        "params": {"since": "now-1d/d"},
    });
    let export: Value = rest.post("/v1/exports", &request).await.json();
    let midnight = |day: chrono::NaiveDate| format!("{}T15:00:00.000Z", day - Days::new(1));
    let yesterday = today - Days::new(1);
    assert_eq!(export["filter"], json!({"at": {"gte": midnight(today)}, "day": {"eq": yesterday.to_string()}}));
    assert_eq!(export["params"], json!({"since": midnight(yesterday)}));
}
