//! Compares the file store and the table of segments with what completed exports need, both ways, after one sweep.

use std::{collections::BTreeSet, fs, path::Path};

use chrono::TimeDelta;
use entity::{export, segment};
use platform::store::FileStore;
use protocol::{delivery, export::Status, id::ExportId};
use sea_orm::{ActiveModelTrait, ActiveValue::Set, DatabaseConnection, EntityTrait, IntoActiveModel, TransactionTrait};
use testkit::fault::Launch;

use crate::{site::Site, world::World};

/// The longest list of paths in one violation.
const MAX_SHOWN: usize = 20;
/// How much older the sweep sees the exports: longer than each of its grace periods.
const AGED_BY: TimeDelta = TimeDelta::hours(3);

pub(crate) async fn run(world: &World, site: &Site, db: &DatabaseConnection) {
    let compared = async {
        age(db).await.map_err(|e| e.to_string())?;
        sweep(world).await?;
        compare(world, site, db).await
    };
    if let Err(e) = compared.await {
        site.journal.violated("the store is exact", None, e);
    }
}

/// Makes every export older, as if hours had passed: the sweep spares what has just ended.
async fn age(db: &DatabaseConnection) -> Result<(), sea_orm::DbErr> {
    let tx = db.begin().await?;
    for row in export::Entity::find().all(&tx).await? {
        let aged = row.updated_at - AGED_BY;
        let mut row = row.into_active_model();
        row.updated_at = Set(aged);
        row.update(&tx).await?;
    }
    tx.commit().await
}

async fn sweep(world: &World) -> Result<(), String> {
    let launch = Launch::sluice(["schedule", "run", "sweep", "--wait", "--timeout", "50s"]);
    let mut run = launch.envs(world.operator.iter().cloned()).run().await;
    let status = run.ended().await;
    if status.success() { Ok(()) } else { Err(format!("the sweep failed: {}{}", run.stdout(), run.stderr())) }
}

async fn compare(world: &World, site: &Site, db: &DatabaseConnection) -> Result<(), String> {
    let rows = export::Entity::find().all(db).await.map_err(|e| e.to_string())?;
    let segments = segment::Entity::find().all(db).await.map_err(|e| e.to_string())?;
    // an export that is stuck is reported as stuck, and may have any objects
    let is_unfinished = |row: &&export::Model| row.status.parse().is_ok_and(|status: Status| status.is_unfinished());
    let unfinished: Vec<_> = rows.iter().filter(is_unfinished).map(|row| row.id.to_string()).collect();
    let is_of_ended = |path: &String| !unfinished.iter().any(|id| path.contains(id));
    let files: BTreeSet<_> =
        rows.iter().filter(|row| row.status == Status::Completed.as_str()).map(|row| (row.id, row.attempt)).collect();
    let attempts = files.iter().map(|(id, attempt)| (ExportId(*id), attempt.unsigned_abs()));
    let mut needed: BTreeSet<String> = attempts
        .flat_map(|(id, attempt)| [delivery::manifest_path(id, attempt), delivery::metadata_path(id, attempt)])
        .collect();
    let mut unused_rows = BTreeSet::new();
    for row in &segments {
        let (id, attempt, index) = (ExportId(row.export_id), row.attempt.unsigned_abs(), row.index.unsigned_abs());
        let path = delivery::segment_path(id, attempt, index);
        if files.contains(&(row.export_id, row.attempt)) {
            needed.insert(path);
        } else {
            unused_rows.insert(path);
        }
    }
    let stored = match &world.store_folder {
        Some(folder) => files_below(folder),
        None => {
            let store = FileStore::open(&world.store).map_err(|e| e.to_string())?;
            store.list("exports").await.map_err(|e| e.to_string())?.into_iter().collect()
        }
    };
    for (what, paths) in [
        (
            "objects that no export needs",
            stored.difference(&needed).filter(|path| is_of_ended(path)).cloned().collect::<Vec<_>>(),
        ),
        ("objects that are missing", needed.difference(&stored).cloned().collect()),
        ("rows of segments that no export needs", unused_rows.into_iter().filter(is_of_ended).collect()),
    ] {
        if !paths.is_empty() {
            let shown = paths[..paths.len().min(MAX_SHOWN)].join(", ");
            site.journal.violated("the store is exact", None, format!("{} {what}: {shown}", paths.len()));
        }
    }
    Ok(())
}

/// The paths of all files of exports below the folder of a file store, relative to it: also of partial files, which a store
/// does not list.
fn files_below(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![folder.join("exports")];
    while let Some(current) = folders.pop() {
        for entry in fs::read_dir(current).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(relative) = path.strip_prefix(folder) {
                found.insert(relative.display().to_string());
            }
        }
    }
    found
}
