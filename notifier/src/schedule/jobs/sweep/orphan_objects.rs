//! Objects that nobody names.
//!
//! A look at the whole store may take long, so each run looks at some of it and leaves word of how far it came. What
//! belongs to an export without a row is given time: a database that was just brought back from a backup lacks the newest
//! rows, and an operator may yet find that out.

use std::collections::{BTreeSet, HashMap};

use entity::maintenance::{self, RetainedFiles};
use platform::store::ObjectInfo;
use protocol::{delivery, id::ExportId};
use tracing::info;
use uuid::Uuid;

use super::{Cursor, Sweep};
use crate::{
    error::NotifierError,
    schedule::{ago, each::Tally, job::Run},
};

/// Where the objects of exports are.
const FOLDER: &str = "exports";
/// Exports of one question to the database, and objects of one deletion.
const CHUNK: usize = 500;

/// Deletes those among the next objects of the store: how many.
///
/// # Errors
/// When the store or the database fails, or at the soft stop.
pub(super) async fn delete_orphans(sweep: &Sweep, run: &Run<'_>) -> Result<Tally, NotifierError> {
    let (store, limit) = (&sweep.deps.store, sweep.config.sweep_objects);
    let cursor: Cursor = run.left().await?;
    let objects = store.list_after(FOLDER, cursor.objects.as_deref(), limit).await?;
    let whole = objects.len() >= limit;
    let reached = objects.last().filter(|_| whole).map(|object| object.path.clone());
    let now = sweep.deps.clock.now();
    let (old, settled) = (ago(now, sweep.config.orphan_grace_s), ago(now, sweep.config.stuck_after_s));
    let mut tally = Tally::default();
    for chunk in objects.chunks(CHUNK) {
        run.go_on()?;
        let ids: BTreeSet<Uuid> = chunk.iter().filter_map(|object| export_of(&object.path)).collect();
        let ids: Vec<_> = ids.into_iter().collect();
        let kept = maintenance::retained_files(&sweep.deps.db, &ids, settled).await?;
        let doomed: Vec<_> = chunk.iter().filter(|object| is_orphan(object, &kept, old)).collect();
        for object in &doomed {
            info!(object.path = %object.path, object.modified = %object.modified, "an object that nobody names is deleted");
        }
        tally.done += store.delete(doomed.into_iter().map(|object| object.path.clone())).await? as u64;
    }
    metrics::counter!("sluice_notifier_swept_total", "step" => "orphaned objects").increment(tally.done);
    run.leave(&Cursor { objects: reached }).await?;
    Ok(tally)
}

/// The export to which an object belongs. What has another name is none of ours, and stays.
fn export_of(path: &str) -> Option<Uuid> {
    path.strip_prefix(FOLDER)?.strip_prefix('/')?.split('/').next()?.parse().ok()
}

fn is_orphan(object: &ObjectInfo, kept: &HashMap<Uuid, RetainedFiles>, old: chrono::DateTime<chrono::Utc>) -> bool {
    let Some(id) = export_of(&object.path) else { return false };
    match kept.get(&id) {
        None => object.modified <= old,
        Some(RetainedFiles::Everything) => false,
        Some(RetainedFiles::Attempt(attempt)) => {
            !object.path.starts_with(&format!("{}/", delivery::attempt_prefix(ExportId(id), *attempt)))
        }
        Some(RetainedFiles::Nothing) => true,
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};

    use super::*;

    #[test]
    fn only_what_nobody_names_is_an_orphan() {
        let [none, live, done, over] = [(); 4].map(|()| Uuid::now_v7());
        let kept = HashMap::from([(live, RetainedFiles::Everything), (done, RetainedFiles::Attempt(1)), (over, RetainedFiles::Nothing)]);
        let (old, young) = (DateTime::UNIX_EPOCH, DateTime::<Utc>::MAX_UTC);
        for (path, modified, expected) in [
            (format!("exports/{none}/1/000000.segment"), old, true),
            (format!("exports/{none}/1/000000.segment"), young, false),
            (format!("exports/{live}/1/000000.segment"), old, false),
            (format!("exports/{done}/1/manifest.json"), old, false),
            (format!("exports/{done}/10/manifest.json"), young, true),
            (format!("exports/{done}/2/manifest.json"), young, true),
            (format!("exports/{over}/1/manifest.json"), young, true),
            ("exports/.ready".to_owned(), old, false),
            (format!("backups/{over}/1"), old, false),
        ] {
            let object = ObjectInfo { path, size: 1, modified };
            assert_eq!(is_orphan(&object, &kept, old), expected, "{}", object.path);
        }
    }
}
