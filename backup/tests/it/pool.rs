//! The object pool: shared objects, retention and new versions of a path.

use backup::{BackupConfig, RestorePlan};
use protocol::{delivery, export::Status};

use crate::installation::{FILE, Installation, backup_days, destination, plan, pool_size};

#[tokio::test]
async fn an_object_is_copied_once_and_deleted_with_the_last_backup_that_references_it() {
    let installation = Installation::new().await;
    let (dir, config) = destination();
    let config = BackupConfig { keep_daily: 2, keep_weekly: 0, keep_monthly: 0, ..config };
    let first = installation.completed().await;
    let report = installation.create(&config).await;
    assert_eq!((report.new_objects, report.contents.counts.objects, report.contents.counts.files), (3, 3, 1));

    // objects of other programs, and the parts of interrupted backups
    for name in ["backups/20261116T031501.000Z/database.x", "backups/20261117T031501.000Z/database.x", "files/notes"] {
        config.open_destination().unwrap().put(name, "x").await.unwrap();
    }
    installation.advance_days(1);
    let second = installation.completed().await;
    let report = installation.create(&config).await;
    assert_eq!(
        (report.new_objects, report.contents.counts.objects),
        (3, 6),
        "the pool has the objects of the first file"
    );
    installation.expire(first).await;
    installation.advance_days(1);
    let report = installation.create(&config).await;
    assert_eq!((report.new_objects, report.contents.counts.objects), (0, 3));
    assert_eq!(report.pruned.interrupted, ["20261116T031501.000Z"], "the younger one may still be running");
    assert_eq!(backup_days(&config).await, ["20261117", "20261117", "20261118"]);
    assert_eq!(pool_size(&config).await, 7, "the backup of the 17th references both files");
    installation.advance_days(1);
    let report = installation.create(&config).await;
    assert_eq!((report.pruned.objects, report.pruned.interrupted.len()), (3, 1));
    assert_eq!(
        (backup_days(&config).await, pool_size(&config).await),
        (vec!["20261118".to_owned(), "20261119".to_owned()], 4)
    );

    // a missing pool object is copied again, and the other file still restores
    let objects = config.open_destination().unwrap().list("files").await.unwrap();
    let missing = objects.iter().find(|path| path.ends_with(".zst")).unwrap();
    std::fs::remove_file(dir.path().join(missing)).unwrap();
    installation.advance_days(1);
    assert_eq!(installation.create(&config).await.new_objects, 1);
    let other = Installation::new().await;
    assert_eq!(other.restore(&config).await.objects_verified, 3);
    assert_eq!(other.row(second).await.status, Status::Completed.as_str());
    let whole = [0, 1].map(|index| delivery::segment_path(second, 1, index));
    let bytes = [other.store().get(&whole[0]).await.unwrap(), other.store().get(&whole[1]).await.unwrap()].concat();
    assert_eq!(bytes, FILE);
}

#[tokio::test]
async fn other_bytes_at_the_same_path_after_a_restore_are_a_new_object() {
    let installation = Installation::new().await;
    let (_dir, config) = destination();
    let id = installation.queued().await;
    let early = installation.create(&config).await.manifest.id;
    installation.advance_days(1);
    installation.claim(id).await;
    installation.complete(id, FILE).await;
    assert_eq!(installation.create(&config).await.new_objects, 3);

    let mut other = Installation::new().await;
    other.restore_and_reopen(&RestorePlan { id: early, ..plan(&config, other.now()) }).await;
    other.advance_days(2);
    other.claim(id).await;
    // the same size and the same first segment
    let second_run = b"date,delay\n2026-11-22,7\n";
    other.complete(id, second_run).await;
    assert_eq!(other.row(id).await.attempt, installation.row(id).await.attempt);
    let report = other.create(&config).await;
    assert_eq!((report.new_objects, report.contents.counts.objects), (2, 3), "the second segment, and the manifest");
    let latest = backup::verify(&config.open_destination().unwrap(), &config, "latest", None).await.unwrap();
    assert_eq!(latest.id, report.manifest.id);

    let mut third = Installation::new().await;
    assert_eq!(third.restore_and_reopen(&plan(&config, other.now())).await.objects_verified, 3);
    let [first, second] = [0, 1].map(|index| delivery::segment_path(id, 1, index));
    let bytes = [third.store().get(&first).await.unwrap(), third.store().get(&second).await.unwrap()].concat();
    assert_eq!(bytes, second_run);
    let manifest = delivery::manifest_path(id, 1);
    assert_eq!(third.store().get(&manifest).await.unwrap(), other.store().get(&manifest).await.unwrap());
    // the next backup copies nothing again
    third.advance_days(4);
    assert_eq!(third.create(&config).await.new_objects, 0);
}
