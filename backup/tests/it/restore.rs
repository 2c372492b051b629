//! Encrypted backups and interrupted restores.

use std::{
    future::{Future, poll_fn},
    path::Path,
    task::Poll,
};

use backup::{BackupConfig, BackupError, KeyFiles, RestorePlan, Target};
use protocol::{export::Status, subject};
use tokio::time::timeout;

use crate::installation::{Installation, destination, plan};

#[tokio::test]
async fn only_the_right_passphrase_decrypts_a_backup() {
    let installation = Installation::new().await;
    let (dir, config) = destination();
    installation.completed().await;
    let keys = tempfile::tempdir().unwrap();
    let secret = |name: &str, text: &str| {
        let path = keys.path().join(name);
        std::fs::write(&path, format!("{text}\n")).unwrap();
        path
    };
    let (right, wrong) = (secret("right", "correct horse battery staple"), secret("wrong", "incorrect horse"));
    let config = BackupConfig { passphrase_file: right.display().to_string(), ..config };
    installation.create(&config).await;
    installation.advance_days(1);
    assert_eq!(installation.create(&config).await.new_objects, 0, "the second has the same key as the first");
    let names = |folder: &Path| std::fs::read_dir(folder).unwrap().count();
    assert_eq!(names(&dir.path().join("keys")), 1);

    let other = Installation::new().await;
    let with = |file: Option<std::path::PathBuf>| RestorePlan {
        key_files: KeyFiles { passphrase: file, ..KeyFiles::default() },
        ..plan(&config, other.now())
    };
    for bad in [None, Some(wrong)] {
        let refused = backup::restore(&with(bad), &other.target()).await;
        assert!(matches!(refused, Err(BackupError::Locked(_))), "{refused:?}");
    }
    assert_eq!(backup::restore(&with(Some(right)), &other.target()).await.unwrap().objects_verified, 3);
}

#[tokio::test]
async fn an_interrupted_restore_restarts_only_on_request_and_on_the_same_target() {
    let installation = Installation::new().await;
    let (_dir, config) = destination();
    for _ in 0..20 {
        installation.completed().await;
    }
    installation.create(&config).await;
    let other = Installation::new().await;
    let target = other.target();
    let first = plan(&config, other.now());
    // drops the restore between the marker and the end: the check runs before each poll, so that it is never too late
    let exports = other.folder.path().join("exports");
    let mut restoring = Box::pin(backup::restore(&first, &target));
    let ended = poll_fn(|cx| {
        let some = std::fs::read_dir(&exports).is_ok_and(|exports| exports.count() > 3);
        if some { Poll::Ready(None) } else { restoring.as_mut().poll(cx).map(Some) }
    });
    let ended = timeout(testkit::DEADLINE, ended).await.expect("some files are restored");
    assert!(ended.is_none(), "it ended before it could be stopped: {ended:?}");
    drop(restoring);
    let refused = backup::restore(&first, &target).await;
    assert!(matches!(refused, Err(BackupError::Interrupted(_))), "{refused:?}");
    let again = RestorePlan { restart: true, ..first.clone() };
    // a marker never clears a database or streams that it does not name
    let used = Installation::new().await;
    let existing = used.completed().await;
    used.bus
        .publish_durable(format!("{}x", subject::DEAD_ALL.trim_end_matches('>')), "dead", &"existing")
        .await
        .unwrap();
    for wrong in [
        Target { database: used.database.config.clone(), ..target.clone() },
        Target { bus: used.bus.clone(), ..target.clone() },
    ] {
        let refused = backup::restore(&again, &wrong).await;
        assert!(matches!(refused, Err(BackupError::OtherTarget { .. })), "{refused:?}");
    }
    assert_eq!(used.row(existing).await.status, Status::Completed.as_str());
    assert_eq!(used.messages(subject::STREAM_DEAD).await, 1);
    assert_eq!(backup::restore(&again, &target).await.unwrap().objects_verified, 60);
    // after a complete restore the installation is in use, also with --force
    for plan in [&first, &again] {
        let refused = backup::restore(plan, &target).await;
        assert!(matches!(refused, Err(BackupError::NotEmpty(_))), "{refused:?}");
    }
}
