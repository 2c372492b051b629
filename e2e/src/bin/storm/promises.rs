//! The checks after the storm.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use entity::{account, entry, export, ledger};
use futures::StreamExt;
use protocol::{
    credits::EntryKind,
    export::{Export, Status},
    id::ExportId,
};
use sea_orm::{ColumnTrait, DatabaseConnection, DbErr, EntityTrait, QueryFilter};
use tokio::time::Instant;

use crate::{
    download,
    journal::{Record, Removal},
    site::{Site, TENANT},
    store_check,
    stream::End,
    world::World,
};

/// The time in which each accepted export must end after the last fault.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(300);
/// The number of exports that are checked at one time.
const CHECKED_AT_ONCE: usize = 8;
/// The credits of a new account, by the default of `credits.initial_balance`.
const INITIAL_BALANCE: i64 = 5;

/// Checks every promise, and records each broken one in the journal.
pub(crate) async fn check(world: &World, site: &Site) {
    let deadline = Instant::now() + SETTLE_TIMEOUT;
    let numbers = 0..site.journal.records().len();
    let ended: Vec<_> = futures::stream::iter(numbers)
        .map(|number| check_export(site, number, deadline))
        .buffer_unordered(CHECKED_AT_ONCE)
        .collect()
        .await;
    let mut exports = HashMap::new();
    for export in ended.into_iter().flatten() {
        *site.journal.counts().outcomes.entry(export.status.to_string()).or_default() += 1;
        exports.insert(export.id, export);
    }
    let db = match platform::db::connect(&world.database).await {
        Ok(db) => db,
        Err(e) => return site.journal.violated("the database works", None, e.to_string()),
    };
    if let Err(e) = check_tables(site, &db, &exports).await {
        site.journal.violated("the database works", None, e.to_string());
    }
    store_check::run(world, site, &db).await;
}

/// Repeats the request of a record, waits for the end of its export, and compares its file. Returns the export at its end.
async fn check_export(site: &Site, number: usize, deadline: Instant) -> Option<Export> {
    let before = site.journal.record(number);
    let broken = |promise, detail: String| site.journal.violated(promise, before.id, detail);
    // the same key again must name the same export, which the journal checks
    let Some(id) = site.create(number, deadline).await.map(|export| export.id) else {
        broken("requests are accepted again", format!("{before:?}"));
        return None;
    };
    let record = site.journal.record(number);
    // a deletion is acknowledged before it happens
    let is_deleted = site.journal.removal_of(id) == Removal::Deleted;
    let is_reached = |status: Status| if is_deleted { status == Status::Expired } else { !status.is_unfinished() };
    let export = match site.reached(&record.person, id, deadline, is_reached).await {
        Ok(export) if export.status.is_unfinished() => {
            let progress = (export.status, export.attempt, &export.progress);
            site.journal.violated("none stuck", Some(id), format!("{progress:?}"));
            return None;
        }
        Ok(export) => export,
        Err(answer) => {
            site.journal.violated("none lost", Some(id), answer);
            return None;
        }
    };
    check_status(site, &record, &export);
    // a file whose removal was asked for may go at any moment
    if export.status == Status::Completed && site.journal.removal_of(id) == Removal::None {
        let end = download::run(site, &record, None, deadline + SETTLE_TIMEOUT).await;
        if end != End::Sealed {
            site.journal.violated("each completed file can be read", Some(id), format!("{end:?}"));
        }
    }
    Some(export)
}

fn check_status(site: &Site, record: &Record, export: &Export) {
    let variant = &site.variants[record.variant];
    let broken = |promise, detail: String| site.journal.violated(promise, Some(export.id), detail);
    match (export.status, site.journal.removal_of(export.id)) {
        (Status::Failed, _) => broken("none failed", format!("{:?}, attempt {}", export.problem, export.attempt)),
        (Status::Canceled | Status::Expired, Removal::None) => {
            broken("none removed unasked", format!("{} {:?}", export.status, export.problem));
        }
        (Status::Completed | Status::Canceled, Removal::Deleted) => {
            broken("deleted files stay deleted", export.status.to_string());
        }
        _ => {}
    }
    if let Some(file) = &export.file
        && !variant.file.may_have(file.size, &file.sha256)
    {
        broken("no wrong byte", format!("the export names {} bytes, {}", file.size, file.sha256));
    }
}

/// Compares the tables with what clients were told: one row for each key, one hold and one end in the ledger for each row,
/// and balances that are their sums.
async fn check_tables(site: &Site, db: &DatabaseConnection, exports: &HashMap<ExportId, Export>) -> Result<(), DbErr> {
    let journal = &site.journal;
    let rows = export::Entity::find().filter(export::Column::Tenant.eq(TENANT)).all(db).await?;
    let known: HashSet<_> = journal.records().into_iter().filter_map(|record| record.id).collect();
    let of_persons = || rows.iter().filter(|row| row.user_id.starts_with("person-"));
    for row in of_persons() {
        let id = ExportId(row.id);
        if !known.contains(&id) {
            journal.violated("none twice", Some(id), format!("a row of {} that no key names", row.user_id));
        }
        if let Some(export) = exports.get(&id)
            && export.status.as_str() != row.status
            && journal.removal_of(id) == Removal::None
        {
            journal.violated(
                "none changes after its end",
                Some(id),
                format!("{} became {}", export.status, row.status),
            );
        }
    }
    let entries = entry::Entity::find().filter(entry::Column::Tenant.eq(TENANT)).all(db).await?;
    let mut of_export: HashMap<_, BTreeMap<&str, Vec<i64>>> = HashMap::new();
    for entry in entries.iter().filter(|entry| entry.export_id.is_some()) {
        let kinds = of_export.entry(entry.export_id).or_default();
        kinds.entry(entry.kind.as_str()).or_default().push(entry.amount);
    }
    let kinds = |hold_end: EntryKind, amount| {
        BTreeMap::from([(EntryKind::Hold.as_str(), vec![-1]), (hold_end.as_str(), vec![amount])])
    };
    for row in &rows {
        let expected = match row.status.parse() {
            Ok(Status::Completed | Status::Expired) => kinds(EntryKind::Capture, 0),
            Ok(Status::Failed | Status::Canceled) => kinds(EntryKind::Release, 1),
            _ => BTreeMap::from([(EntryKind::Hold.as_str(), vec![-1])]),
        };
        let found = of_export.remove(&Some(row.id)).unwrap_or_default();
        if found != expected {
            let detail = format!("{}: the entries are {found:?}, expected {expected:?}", row.status);
            journal.violated("the ledger is exact", Some(ExportId(row.id)), detail);
        }
    }
    for account in account::Entity::find().filter(account::Column::Tenant.eq(TENANT)).all(db).await? {
        let of_person = rows.iter().filter(|row| row.user_id == account.user_id);
        let spent = of_person.filter(|row| row.status == "completed" || row.status == "expired").count();
        let expected = (INITIAL_BALANCE - i64::try_from(spent).unwrap_or(i64::MAX), 0);
        // an export that is stuck holds its credit, which is reported as stuck
        let stuck = rows.iter().any(|row| {
            row.user_id == account.user_id && row.status.parse().is_ok_and(|status: Status| status.is_unfinished())
        });
        if !stuck && (account.balance, account.held) != expected {
            let detail =
                format!("{} has {:?}, expected {expected:?}", account.user_id, (account.balance, account.held));
            journal.violated("the ledger is exact", None, detail);
        }
    }
    match ledger::audit(db).await {
        Ok(differences) => {
            for difference in differences {
                journal.violated("the ledger is exact", None, format!("{difference:?}"));
            }
        }
        Err(e) => journal.violated("the ledger is exact", None, e.to_string()),
    }
    Ok(())
}
