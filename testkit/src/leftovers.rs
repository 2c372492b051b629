//! Compares the file store with the database, both ways: every recorded segment has its object, and every object and
//! segment row is needed by an export.

use std::collections::{BTreeMap, BTreeSet};

use entity::{export, segment};
use platform::store::FileStore;
use protocol::{delivery, export::Status, id::ExportId};
use sea_orm::{DatabaseConnection, EntityTrait, QueryOrder};

/// Returns one line for each difference between the store and the database. Call this function when no export is
/// running: a running export may have an object without a row for a moment.
///
/// # Panics
/// When the store or the database does not answer.
pub async fn differences(db: &DatabaseConnection, store: &FileStore) -> Vec<String> {
    let exports = export::Entity::find().all(db).await.expect("the database answers");
    let rows = segment::Entity::find()
        .order_by_asc(segment::Column::ExportId)
        .order_by_asc(segment::Column::Attempt)
        .order_by_asc(segment::Column::Index);
    let rows = rows.all(db).await.expect("the database answers");
    let mut found: BTreeSet<_> = store.list("exports").await.expect("the store answers").into_iter().collect();
    found.extend(store.list_partials("").await.expect("the store answers").into_iter().map(|partial| partial.path));
    let mut segments: BTreeMap<_, Vec<segment::Model>> = BTreeMap::new();
    for row in rows {
        segments.entry((row.export_id, row.attempt)).or_default().push(row);
    }

    let mut differences = Vec::new();
    for row in &exports {
        let (id, attempt) = (row.export_id(), row.attempt.unsigned_abs());
        if !row.status().expect("a known status").is_unfinished() && row.status != Status::Completed.as_str() {
            continue;
        }
        let recorded = segments.remove(&(row.id, row.attempt)).unwrap_or_default();
        let mut needed: Vec<_> =
            recorded.iter().map(|segment| delivery::segment_path(id, attempt, segment.index.unsigned_abs())).collect();
        if row.status == Status::Completed.as_str() {
            let size: i64 = recorded.iter().map(|segment| segment.size).sum();
            if row.file_size != Some(size) {
                differences.push(format!("{id}: the file has {:?} bytes, its segments have {size}", row.file_size));
            }
            needed.push(delivery::manifest_path(id, attempt));
            // some formats have no metadata document
            found.remove(&delivery::metadata_path(id, attempt));
        } else {
            // a reader may continue with the next attempt of an unfinished export
            segments.retain(|(export, _), _| *export != row.id);
            found.remove(&delivery::metadata_path(id, attempt));
            found.remove(&delivery::manifest_path(id, attempt));
        }
        let missing = needed.into_iter().filter(|path| !found.remove(path));
        differences.extend(missing.map(|path| format!("{path} is missing in the store")));
    }
    differences.extend(found.into_iter().map(|path| format!("no export needs the object {path}")));
    let unneeded = segments.into_iter().map(|((export, attempt), rows)| {
        format!("no export needs {} segment rows of {} attempt {attempt}", rows.len(), ExportId(export))
    });
    differences.extend(unneeded);
    differences
}
