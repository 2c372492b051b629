//! The disk of PostgreSQL, the database of the services, is full for a while. The gateway refuses requests as
//! unavailable, and every accepted export ends with its file without any action of an operator.

use std::sync::Arc;

use e2e::{Fleet, Plan};
use protocol::{
    export::{Export, Status},
    problem::Slug,
};
use reqwest::StatusCode;
use serde_json::json;
use testkit::{db::Postgres, eventually, rest::Rest, small_disk::SmallDisk};

/// The size of the disk: room for an empty cluster, its log files and the tables of the test, in MiB.
const DISK_MIB: u32 = 192;
/// The maximum number of accepted exports until a table needs a new page, for which the full disk has no room.
const MAX_REQUESTS: usize = 2_000;

/// Requests an export as a new user, because each user may have only few unfinished exports, and equal exports of one
/// user would be joined.
async fn request(fleet: &Fleet, number: usize) -> (Rest, Result<Export, Slug>) {
    let rest = Rest::new(fleet.url(), Some(&fleet.token(&format!("user-{number}"), "acme")));
    let answer = rest.post("/v1/exports", &json!({"dataset": "menus"})).await;
    let export = match answer.status {
        StatusCode::ACCEPTED => Ok(answer.json()),
        _ => Err(answer.problem().slug()),
    };
    (rest, export)
}

#[tokio::test]
async fn slow_every_export_ends_after_the_disk_of_postgresql_was_full() {
    let Some(disk) = SmallDisk::mount(DISK_MIB).map(Arc::new) else { return };
    let postgres = Postgres::start_on(&disk).await;
    let fleet = Fleet::start(Plan { postgres: true, postgres_server: Some(postgres.clone()), ..Plan::default() }).await;
    let mut accepted = vec![];
    let before = request(&fleet, 0).await;
    accepted.push((before.0, before.1.expect("the disk has space")));

    let filler = disk.fill();
    let mut number = 1;
    loop {
        // what a checkpoint frees is full again at once
        filler.refill();
        let (rest, answer) = request(&fleet, number).await;
        match answer {
            Ok(export) => accepted.push((rest, export)),
            Err(slug) => {
                assert_eq!(slug, Slug::Unavailable, "{}", fleet.logs());
                break;
            }
        }
        number += 1;
        assert!(number < MAX_REQUESTS, "the database takes {number} exports on a full disk");
    }
    drop(filler);

    let last = eventually("an export is accepted again", async || {
        // PostgreSQL ends when it can't write its log; a service manager starts it again
        if !postgres.is_running() {
            postgres.try_restart().await;
        }
        let (rest, answer) = request(&fleet, number).await;
        Some((rest, answer.ok()?))
    })
    .await;
    accepted.push(last);
    for (rest, export) in accepted {
        let path = format!("/v1/exports/{}", export.id);
        let done = eventually("an accepted export ends", async || {
            let answer = rest.get(&path).await;
            assert_ne!(answer.status, StatusCode::NOT_FOUND, "an accepted export is lost: {}", export.id);
            let export = answer.status.is_success().then(|| answer.json::<Export>())?;
            (!export.status.is_unfinished()).then_some(export)
        })
        .await;
        assert_eq!(done.status, Status::Completed, "{:?}\n{}", done.problem, fleet.logs());
        let file = rest.get(&done.links.file).await;
        assert_eq!(Some(testkit::sha256(&file.body)), done.file.map(|file| file.sha256));
    }
    let rest = Rest::new(fleet.url(), None);
    eventually("the gateway is ready", async || rest.get("/readyz").await.status.is_success().then_some(())).await;
}
