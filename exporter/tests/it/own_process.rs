//! Tests that an export runs in a separate child process after its exporter has died. A shell script takes the place of
//! the child.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use exporter::{ExporterConfig, OwnProcess, config::ExporterTuning};
use protocol::{envelope::OutcomeResult, id::ExportId, problem::Slug, subject};
use serde_json::{Value, json};

use crate::support::{ControlledDataset, Harness, stop};

/// A script for a child that dies: it writes its job to the file `job`, and kills itself when the file `die` appears.
const DYING: &str = r#"read -r job; printf '%s' "$job" > "$1/new"; mv "$1/new" "$1/job"; until rm "$1/die" 2>/dev/null; do sleep 0.02; done; kill -9 $$"#;
/// A script for a child that obeys: it ends when its standard input ends, and writes the file `ended`.
const OBEDIENT: &str = r#"read -r job; : > "$1/job"; cat > /dev/null; : > "$1/ended""#;

/// Returns settings with which the exporter starts a shell script instead of itself.
fn config(harness: &Harness, script: &str, folder: &Path) -> ExporterConfig {
    let config = harness.config();
    let args = ["-c".into(), script.into(), "child".into(), folder.into()];
    let own_process = OwnProcess { program: "/bin/sh".into(), args: args.into(), env: vec![] };
    let tuning = ExporterTuning { own_process: Some(own_process), ..config.tuning };
    ExporterConfig { tuning, ..config }
}

/// Submits an export, and brings it into the state after its exporter has died during the first attempt.
async fn abandoned(harness: &Harness, dataset: &str) -> ExportId {
    let id = harness.submit(dataset, json!({})).await;
    assert_eq!(harness.claim(id, "dead").await, 1);
    harness.replace_exporter(id).await;
    id
}

async fn appeared(file: PathBuf) -> String {
    testkit::eventually("the script writes its file", || std::future::ready(std::fs::read_to_string(&file).ok())).await
}

/// Waits until a script has its job, takes the lease of the export in the name of this child, and lets the script die.
/// Returns the number of the attempt.
async fn die(harness: &Harness, id: ExportId, folder: &Path) -> i32 {
    let job: Value = serde_json::from_str(&appeared(folder.join("job")).await).unwrap();
    std::fs::remove_file(folder.join("job")).unwrap();
    assert!(job["subject"].as_str().unwrap().ends_with(&id.to_string()), "{job}");
    let attempt = harness.claim(id, job["instance"].as_str().unwrap()).await;
    std::fs::write(folder.join("die"), "").unwrap();
    attempt
}

#[tokio::test]
async fn an_export_whose_own_process_dies_twice_fails_and_harms_no_other_export() {
    let harness = Harness::new().await;
    let folder = tempfile::tempdir().unwrap();
    let id = abandoned(&harness, "controlled").await;
    let config = config(&harness, DYING, folder.path());
    let life = harness.exporter(config, Some(ControlledDataset::ticking(20, false))).await;

    // an export beside the dying processes completes in this process
    appeared(folder.path().join("job")).await;
    let other = harness.submit("controlled", json!({})).await;
    let outcome = harness.outcome().await.body;
    assert_eq!(outcome.export_id, other);
    assert!(matches!(outcome.result, OutcomeResult::Completed { attempt: 1, .. }), "{outcome:?}");

    assert_eq!(die(&harness, id, folder.path()).await, 2);
    assert_eq!(die(&harness, id, folder.path()).await, 3);
    let outcome = harness.outcome().await.body;
    let OutcomeResult::Failed { attempt: 4, problem } = outcome.result else { panic!("{outcome:?}") };
    assert_eq!((outcome.export_id, problem.slug()), (id, Slug::ExportFailed));
    assert!(problem.detail.contains("stopped 3 times while it worked on this export"), "{problem}");
    let row = harness.row(id).await;
    assert_eq!((row.abandoned_attempts, row.crashed_attempts), (1, 2));
    assert_eq!(harness.messages_in(subject::STREAM_DEAD).await, 1);
    harness.no_jobs().await;
    stop(life).await;
}

#[tokio::test]
async fn an_export_that_dies_with_its_machine_fails_after_the_maximum_of_attempts() {
    let harness = Harness::new().await;
    let folder = tempfile::tempdir().unwrap();
    let id = abandoned(&harness, "controlled").await;
    for attempt in 2..=5 {
        assert_eq!(harness.claim(id, "dead").await, attempt);
        harness.replace_exporter(id).await;
    }
    let config = config(&harness, DYING, folder.path());
    let life = harness.exporter(config, Some(ControlledDataset::ticking(20, false))).await;
    let outcome = harness.outcome().await.body;
    let OutcomeResult::Failed { attempt: 6, problem } = outcome.result else { panic!("{outcome:?}") };
    assert!(problem.detail.contains("stopped 5 times"), "{problem}");
    assert!(!folder.path().join("job").exists(), "no process was started");
    stop(life).await;
}

#[tokio::test]
async fn a_stopping_exporter_stops_the_process_of_an_export() {
    let harness = Harness::new().await;
    let folder = tempfile::tempdir().unwrap();
    let id = abandoned(&harness, "controlled").await;
    let life = harness.exporter(config(&harness, OBEDIENT, folder.path()), None).await;
    appeared(folder.path().join("job")).await;
    stop(life).await;
    assert!(folder.path().join("ended").exists());
    assert_eq!(harness.row(id).await.crashed_attempts, 0, "a hand-over is no death");
}

#[tokio::test]
async fn an_export_runs_in_its_exporter_where_no_process_can_start() {
    for (program, script) in [("/nowhere/sh", ""), ("/bin/sh", "exit 3")] {
        let harness = Harness::new().await;
        let folder = tempfile::tempdir().unwrap();
        let id = abandoned(&harness, "controlled").await;
        let mut config = config(&harness, script, folder.path());
        let own_process = config.tuning.own_process.as_mut().unwrap();
        own_process.program = program.into();
        let life = harness.exporter(config, Some(ControlledDataset::ticking(20, false))).await;
        let outcome = harness.outcome().await.body;
        assert_eq!(outcome.export_id, id);
        assert!(matches!(outcome.result, OutcomeResult::Completed { attempt: 2, .. }), "{script}: {outcome:?}");
        stop(life).await;
    }
}

#[tokio::test]
async fn a_process_that_is_killed_before_it_takes_the_lease_is_started_again() {
    let harness = Harness::new().await;
    let folder = tempfile::tempdir().unwrap();
    let id = abandoned(&harness, "controlled").await;
    let life = harness.exporter(config(&harness, DYING, folder.path()), None).await;
    appeared(folder.path().join("job")).await;
    std::fs::remove_file(folder.path().join("job")).unwrap();
    std::fs::write(folder.path().join("die"), "").unwrap();
    appeared(folder.path().join("job")).await;
    assert_eq!(harness.row(id).await.crashed_attempts, 0, "the death is no sign of a fault of the export");
    std::fs::write(folder.path().join("die"), "").unwrap();
    tokio::time::timeout(testkit::DEADLINE, stop(life)).await.expect("the exporter stops");
}
