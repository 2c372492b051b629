//! The contents of backups: accounts, unfinished work, messages and files.

use backup::{BackupConfig, BackupError};
use entity::{ledger, transition};
use protocol::{
    delivery,
    envelope::{Envelope, Outcome, OutcomeResult},
    export::Status,
    id::ExportId,
    subject,
};
use sea_orm::ConnectionTrait;
use testkit::{db::Postgres, sha256};

use crate::installation::{Installation, destination, file_info, plan};

#[tokio::test]
async fn a_restore_accepts_recorded_ledger_differences_and_refuses_new_ones() {
    let installation = Installation::new().await;
    let (_dir, config) = destination();
    installation.completed().await;
    installation.db().execute_unprepared("UPDATE credit_account SET balance = balance + 7").await.unwrap();
    let report = installation.create(&config).await;
    assert_eq!(report.contents.counts.unbalanced, 1);
    let mut other = Installation::new().await;
    assert_eq!(other.restore_and_reopen(&plan(&config, other.now())).await.unbalanced, 1);
    let found = ledger::audit(other.db()).await.unwrap();
    assert_eq!(found[0].balance, found[0].ledger_balance + 7);

    // the same rows in a backup without the count of differing accounts
    let store = config.open_destination().unwrap();
    let at = |name: &str| format!("backups/{}/{name}", report.manifest.id);
    let sealed = store.get(&at("contents.json.zst")).await.unwrap();
    let mut contents: serde_json::Value = serde_json::from_slice(&zstd::decode_all(&sealed[..]).unwrap()).unwrap();
    contents["counts"].as_object_mut().unwrap().remove("unbalanced").unwrap();
    let sealed = zstd::encode_all(contents.to_string().as_bytes(), 3).unwrap();
    let mut manifest = serde_json::to_value(&report.manifest).unwrap();
    let parts = manifest["parts"].as_array_mut().unwrap();
    let part = parts.iter_mut().find(|part| part["name"] == "contents.json.zst").unwrap();
    part["size"] = sealed.len().into();
    part["sha256"] = sha256(&sealed).into();
    store.put(&at("contents.json.zst"), sealed).await.unwrap();
    store.put(&at("manifest.json"), manifest.to_string()).await.unwrap();
    let third = Installation::new().await;
    let refused = backup::restore(&plan(&config, third.now()), &third.target()).await;
    assert!(
        matches!(&refused, Err(BackupError::Mismatch(detail)) if detail.contains("differ from the ledger")),
        "{refused:?}"
    );
}

#[tokio::test]
async fn unfinished_work_resumes_and_messages_are_restored() {
    for postgres in [false, true] {
        let server = if postgres { Some(Postgres::start().await) } else { None };
        let fresh = async || match &server {
            Some(server) => server.database().await,
            None => testkit::db::sqlite().await,
        };
        let installation = Installation::with_database(fresh().await).await;
        let (_dir, config) = destination();
        let (waiting, running, unsettled, completed) = (
            installation.queued().await,
            installation.running().await,
            installation.running().await,
            installation.completed().await,
        );
        assert!(transition::dispatched(installation.db(), waiting, installation.now()).await.unwrap());
        let publish = async |id: ExportId, result: OutcomeResult| {
            let outcome = Envelope::new(id.to_string(), "", Outcome { export_id: id, result });
            installation.bus.publish_durable(subject::outcome(id), &outcome.id, &outcome).await.unwrap();
        };
        // the file is complete, and its outcome is not settled
        publish(
            unsettled,
            OutcomeResult::Completed {
                attempt: 1,
                file: file_info(),
                completed_at: installation.now().into(),
                content_sha256: None,
            },
        )
        .await;
        publish(running, OutcomeResult::CancelRequested).await;
        let dead = format!("{}x.{running}", subject::DEAD_ALL.trim_end_matches('>'));
        installation.bus.publish_durable(dead.clone(), "dead", &"a message that could not be handled").await.unwrap();
        let report = installation.create(&config).await;
        let counts = &report.contents.counts;
        assert_eq!((counts.exports, counts.unfinished, counts.outcomes, counts.dead_letters), (4, 3, 2, 1));
        assert_eq!(installation.messages(subject::STREAM_OUTCOMES).await, 2, "a backup consumes nothing");

        let other = Installation::with_database(fresh().await).await;
        let restored = other.restore(&config).await;
        assert_eq!((restored.queued, restored.resumed, restored.dropped_outcomes, restored.expired), (1, 2, 1, 0));
        assert_eq!(other.row(waiting).await.status, Status::Queued.as_str());
        let row = other.row(unsettled).await;
        assert_eq!((row.status.as_str(), row.attempt, row.worker), (Status::Running.as_str(), 1, None));
        assert_eq!(other.row(completed).await.status, Status::Completed.as_str());
        let outcomes = other.bus.jetstream().get_stream(subject::STREAM_OUTCOMES).await.unwrap();
        let command = outcomes.get_last_raw_message_by_subject(&subject::outcome(running)).await.unwrap();
        let read: Envelope<Outcome> = platform::bus::open(&command.payload).unwrap();
        assert_eq!(read.body.result, OutcomeResult::CancelRequested);
        assert_eq!(other.messages(subject::STREAM_OUTCOMES).await, 1, "the outcome whose file is missing is dropped");
        let dead_letters = other.bus.jetstream().get_stream(subject::STREAM_DEAD).await.unwrap();
        dead_letters.get_last_raw_message_by_subject(&dead).await.unwrap();
    }
}

#[tokio::test]
async fn exports_of_a_backup_without_files_expire() {
    let installation = Installation::new().await;
    let (_dir, config) = destination();
    let id = installation.completed().await;
    installation.create(&BackupConfig { include_files: false, ..config.clone() }).await;
    let other = Installation::new().await;
    let restored = other.restore(&config).await;
    assert_eq!((restored.expired, restored.objects_verified), (1, 0));
    assert!(other.row(id).await.expires_at.unwrap() <= other.now());
}

#[tokio::test]
async fn lost_objects_are_named_and_their_exports_expire() {
    let installation = Installation::new().await;
    let (_dir, config) = destination();
    let (lost, damaged, fine) =
        (installation.completed().await, installation.completed().await, installation.completed().await);
    installation.store().delete([delivery::segment_path(lost, 1, 1)]).await.unwrap();
    installation.store().put(&delivery::segment_path(damaged, 1, 0), "date,DELAY\n").await.unwrap();
    let report = installation.create(&config).await;
    assert_eq!(
        (report.contents.counts.files, report.contents.lost_objects.len()),
        (1, 2),
        "{:?}",
        report.contents.lost_objects
    );
    assert!(
        report
            .contents
            .lost_objects
            .iter()
            .any(|object| object.contains(&lost.to_string()) && object.contains("missing"))
    );
    assert!(
        report
            .contents
            .lost_objects
            .iter()
            .any(|object| object.contains(&damaged.to_string()) && object.contains("SHA-256"))
    );
    let other = Installation::new().await;
    assert_eq!(other.restore(&config).await.expired, 2);
    assert_eq!(other.row(fine).await.expires_at, installation.row(fine).await.expires_at);
}
