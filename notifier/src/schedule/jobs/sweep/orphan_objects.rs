//! Deletes orphans: objects in the file store that no export needs.
//!
//! Each run scans a limited number of objects, because a scan of a large store takes long. The run saves the path of
//! its last scanned object for the next run. If the database has no row of an export, the sweep deletes the objects of
//! the export only after a grace period. The row may be missing because an operator restored an old backup, and the
//! operator may then restore a newer backup that contains the row.
//!
//! In a folder store, an interrupted write leaves a partial object. The sweep deletes partial objects by the same
//! rules. It also deletes every partial object of a completed export. A normal listing skips partial objects, so each
//! run lists all of them separately; there are few.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use entity::maintenance::{self, RetainedFiles};
use platform::store::ObjectInfo;
use protocol::{delivery, id::ExportId};
use tracing::info;
use uuid::Uuid;

use super::{ScanCursor, Sweep};
use crate::{
    error::NotifierError,
    schedule::{
        job::Run,
        steps::{self, StepCount, time_before},
    },
};

/// The folder of the files of all exports in the file store.
const FOLDER: &str = "exports";
/// The character that marks the path of a partial object. The path of a complete object never contains this character.
const PARTIAL_MARK: char = '#';
/// Largest number of objects that the sweep checks with one database query and deletes with one call of the file store.
const CHUNK: usize = 500;

/// Scans the next objects of the file store, deletes the orphans among them, and counts the deleted objects.
///
/// # Errors
/// When the store or the database fails, another notifier holds the lease, or shutdown has begun.
pub(super) async fn delete(sweep: &Sweep, run: &Run<'_>) -> Result<StepCount, NotifierError> {
    let (store, limit) = (&sweep.deps.store, sweep.config.tuning.sweep_max_objects);
    let cursor: ScanCursor = run.load_state().await?;
    let objects = store.list_after(FOLDER, cursor.objects.as_deref(), limit).await?;
    let limited = objects.len() >= limit;
    let last_scanned = objects.last().filter(|_| limited).map(|object| object.path.clone());
    let now = sweep.deps.clock.now();
    let grace_ended = time_before(now, sweep.config.orphan_object_grace.get());
    let settled_before = time_before(now, sweep.config.tuning.settled_after.get());
    let partials = store.list_partials(FOLDER).await?;
    let mut count = StepCount::default();
    for chunk in objects.chunks(CHUNK).chain(partials.chunks(CHUNK)) {
        run.check_stop()?;
        let ids: BTreeSet<Uuid> = chunk.iter().filter_map(|object| export_id_of(&object.path)).collect();
        let ids: Vec<_> = ids.into_iter().collect();
        let retained = maintenance::retained_files(&sweep.deps.db, &ids, settled_before).await?;
        let orphans: Vec<_> = chunk.iter().filter(|object| is_orphan(object, &retained, grace_ended)).collect();
        for object in &orphans {
            info!(object.path = %object.path, object.modified = %object.modified, "deleting an orphaned object");
        }
        let (partial, whole): (Vec<_>, Vec<_>) =
            orphans.into_iter().map(|object| object.path.clone()).partition(|path| path.contains(PARTIAL_MARK));
        count.done += store.delete(whole).await? as u64;
        count.done += store.delete_partials(partial).await? as u64;
    }
    steps::record("orphaned objects", count.done);
    run.save_state(&ScanCursor { objects: last_scanned }).await?;
    Ok(count)
}

/// Parses the export id in the path of an object. Returns `None` for an object that Sluice did not write; the sweep
/// keeps such objects.
fn export_id_of(path: &str) -> Option<Uuid> {
    path.strip_prefix(FOLDER)?.strip_prefix('/')?.split('/').next()?.parse().ok()
}

fn is_orphan(object: &ObjectInfo, retained: &HashMap<Uuid, RetainedFiles>, grace_ended: DateTime<Utc>) -> bool {
    let Some(id) = export_id_of(&object.path) else { return false };
    match retained.get(&id) {
        None => object.modified <= grace_ended,
        Some(RetainedFiles::Everything) => false,
        Some(RetainedFiles::Since(first)) => attempt_of(&object.path).is_some_and(|attempt| attempt < *first),
        // the file is complete, so no write is in progress
        Some(RetainedFiles::Attempt(_)) if object.path.contains(PARTIAL_MARK) => true,
        Some(RetainedFiles::Attempt(attempt)) => {
            !object.path.starts_with(&format!("{}/", delivery::attempt_prefix(ExportId(id), *attempt)))
        }
        Some(RetainedFiles::Nothing) => true,
    }
}

/// Parses the number of the attempt in the path of an object. Returns `None` if the path names no attempt.
fn attempt_of(path: &str) -> Option<u32> {
    path.strip_prefix(FOLDER)?.split('/').nth(2)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_object_that_no_export_needs_is_an_orphan() {
        let [unknown, running, recent, completed, ended] = [(); 5].map(|()| Uuid::now_v7());
        let retained = HashMap::from([
            (running, RetainedFiles::Since(2)),
            (recent, RetainedFiles::Everything),
            (completed, RetainedFiles::Attempt(1)),
            (ended, RetainedFiles::Nothing),
        ]);
        let (old, young) = (DateTime::UNIX_EPOCH, DateTime::<Utc>::MAX_UTC);
        for (path, modified, expected) in [
            (format!("exports/{unknown}/1/000000.segment"), old, true),
            (format!("exports/{unknown}/1/000000.segment"), young, false),
            (format!("exports/{unknown}/1/000000.segment#1"), old, true),
            (format!("exports/{unknown}/1/000000.segment#1"), young, false),
            (format!("exports/{running}/1/000000.segment"), old, true),
            (format!("exports/{running}/1/000000.segment#1"), young, true),
            (format!("exports/{running}/2/000000.segment"), old, false),
            (format!("exports/{running}/2/000000.segment#1"), old, false),
            (format!("exports/{running}/10/000000.segment"), old, false),
            (format!("exports/{recent}/1/000000.segment"), old, false),
            (format!("exports/{completed}/1/000001.segment#1"), young, true),
            (format!("exports/{completed}/1/manifest.json"), old, false),
            (format!("exports/{completed}/10/manifest.json"), young, true),
            (format!("exports/{completed}/2/manifest.json"), young, true),
            (format!("exports/{ended}/1/manifest.json"), young, true),
            ("exports/.ready".to_owned(), old, false),
            (format!("backups/{ended}/1"), old, false),
        ] {
            let object = ObjectInfo { path, modified, size: 5 };
            assert_eq!(is_orphan(&object, &retained, old), expected, "{}", object.path);
        }
    }
}
