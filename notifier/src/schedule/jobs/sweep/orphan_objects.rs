//! Deletes orphans: objects of the file store that belong to no file of an export.
//!
//! A scan of a large store takes long, so each run scans a limited number of objects and saves its position. Objects of
//! an export without a row have a grace period: a restored database lacks the newest rows, and an operator may still
//! restore a newer backup.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use entity::maintenance::{self, RetainedFiles};
use platform::store::ObjectInfo;
use protocol::{delivery, id::ExportId};
use tracing::info;
use uuid::Uuid;

use super::{Cursor, Sweep};
use crate::{
    error::NotifierError,
    schedule::{
        job::Run,
        steps::{self, StepCount, before},
    },
};

/// The folder of all exports in the file store.
const FOLDER: &str = "exports";
/// Objects in one database query and one deletion.
const CHUNK: usize = 500;

/// Deletes the orphans among the next objects of the store.
///
/// # Errors
/// When the store or the database fails, or after the soft stop.
pub(super) async fn delete(sweep: &Sweep, run: &Run<'_>) -> Result<StepCount, NotifierError> {
    let (store, limit) = (&sweep.deps.store, sweep.config.tuning.sweep_max_objects);
    let cursor: Cursor = run.load_state().await?;
    let objects = store.list_after(FOLDER, cursor.objects.as_deref(), limit).await?;
    let limited = objects.len() >= limit;
    let last_scanned = objects.last().filter(|_| limited).map(|object| object.path.clone());
    let now = sweep.deps.clock.now();
    let grace_ended = before(now, sweep.config.orphan_grace.get());
    let settled_before = before(now, sweep.config.stale_after.get());
    let mut count = StepCount::default();
    for chunk in objects.chunks(CHUNK) {
        run.check_stop()?;
        let ids: BTreeSet<Uuid> = chunk.iter().filter_map(|object| export_of(&object.path)).collect();
        let ids: Vec<_> = ids.into_iter().collect();
        let retained = maintenance::retained_files(&sweep.deps.db, &ids, settled_before).await?;
        let orphans: Vec<_> = chunk.iter().filter(|object| is_orphan(object, &retained, grace_ended)).collect();
        for object in &orphans {
            info!(object.path = %object.path, object.modified = %object.modified, "deleting an orphaned object");
        }
        count.done += store.delete(orphans.into_iter().map(|object| object.path.clone())).await? as u64;
    }
    steps::record("orphaned objects", count.done);
    run.save_state(&Cursor { objects: last_scanned }).await?;
    Ok(count)
}

/// The export to which an object belongs. None: the object does not belong to Sluice, and is kept.
fn export_of(path: &str) -> Option<Uuid> {
    path.strip_prefix(FOLDER)?.strip_prefix('/')?.split('/').next()?.parse().ok()
}

fn is_orphan(object: &ObjectInfo, retained: &HashMap<Uuid, RetainedFiles>, grace_ended: DateTime<Utc>) -> bool {
    let Some(id) = export_of(&object.path) else { return false };
    match retained.get(&id) {
        None => object.modified <= grace_ended,
        Some(RetainedFiles::Everything) => false,
        Some(RetainedFiles::Attempt(attempt)) => {
            !object.path.starts_with(&format!("{}/", delivery::attempt_prefix(ExportId(id), *attempt)))
        }
        Some(RetainedFiles::Nothing) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_object_that_belongs_to_no_file_is_an_orphan() {
        let [unknown, running, completed, ended] = [(); 4].map(|()| Uuid::now_v7());
        let retained = HashMap::from([
            (running, RetainedFiles::Everything),
            (completed, RetainedFiles::Attempt(1)),
            (ended, RetainedFiles::Nothing),
        ]);
        let (old, young) = (DateTime::UNIX_EPOCH, DateTime::<Utc>::MAX_UTC);
        for (path, modified, expected) in [
            (format!("exports/{unknown}/1/000000.segment"), old, true),
            (format!("exports/{unknown}/1/000000.segment"), young, false),
            (format!("exports/{running}/1/000000.segment"), old, false),
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
