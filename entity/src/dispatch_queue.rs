//! The dispatch order: the order in which the dispatcher passes waiting exports to the exporters of a pool. Each pool
//! has two queues, the lanes `interactive` and `bulk`, and each lane has its own order.
//!
//! Tenants take turns, and the users of a tenant take turns. The exports of one user keep the order of their requests.
//! The tenant or user with fewer exports in flight comes first. With equal numbers, the one whose last dispatch is
//! older comes first. The exports of a paused tenant or user have no place in the order. One SQL statement computes the
//! order, so every replica sees the same order.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use protocol::{
    export::Status,
    id::{ExportId, Owner},
};
use sea_orm::{
    ActiveValue::Set, FromQueryResult, QueryOrder, QuerySelect, Statement, entity::prelude::*, sea_query::OnConflict,
};

use crate::{StoreError, export, pause};

/// A row of `dispatch_turn`: the time of the last dispatch for a user in one lane of a pool.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "dispatch_turn")]
pub struct Model {
    /// The pool of the dispatched export.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub pool: String,
    /// The lane of the dispatched export.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub lane: String,
    /// The tenant of the user.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub tenant: String,
    /// The user who owns the dispatched export.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub user_id: String,
    /// The time of the last dispatch, in microseconds since the Unix epoch.
    pub served_at: i64,
}

/// The relations of this table, which sea-orm requires. The type is empty, because the dispatch order joins by key in
/// its own SQL.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// The SQL query that ranks the waiting exports. `user_rank` and `tenant_rank` continue the count of the exports in
/// flight. For example, if a user has two exports in flight, the user's first waiting export has `user_rank` 3.
const DISPATCH_ORDER: &str = "
WITH in_flight AS (
    SELECT pool, lane, tenant, user_id, COUNT(*) AS n FROM export
    WHERE status IN ('dispatched', 'running') GROUP BY pool, lane, tenant, user_id),
tenant_in_flight AS (
    SELECT pool, lane, tenant, CAST(SUM(n) AS BIGINT) AS n FROM in_flight GROUP BY pool, lane, tenant),
tenant_turn AS (
    SELECT pool, lane, tenant, MAX(served_at) AS served_at FROM dispatch_turn GROUP BY pool, lane, tenant),
by_user AS (
    SELECT e.id, e.pool, e.lane, e.tenant, e.user_id,
        ROW_NUMBER() OVER (PARTITION BY e.pool, e.lane, e.tenant, e.user_id ORDER BY e.id)
            + COALESCE(f.n, 0) AS user_rank
    FROM export e
    LEFT JOIN in_flight f ON f.pool = e.pool AND f.lane = e.lane AND f.tenant = e.tenant AND f.user_id = e.user_id
    WHERE e.status = 'queued' AND e.cancel_requested_at IS NULL AND NOT EXISTS (
        SELECT 1 FROM pause p WHERE p.tenant = e.tenant AND p.user_id IN ('', e.user_id))),
by_tenant AS (
    SELECT b.id, b.pool, b.lane, b.tenant, b.user_id, b.user_rank,
        ROW_NUMBER() OVER (
            PARTITION BY b.pool, b.lane, b.tenant ORDER BY b.user_rank, COALESCE(t.served_at, 0), b.id)
            + COALESCE(f.n, 0) AS tenant_rank
    FROM by_user b
    LEFT JOIN tenant_in_flight f ON f.pool = b.pool AND f.lane = b.lane AND f.tenant = b.tenant
    LEFT JOIN dispatch_turn t ON t.pool = b.pool AND t.lane = b.lane AND t.tenant = b.tenant AND t.user_id = b.user_id)
SELECT b.id, b.pool, b.lane, b.tenant, b.user_id, b.user_rank, b.tenant_rank,
    ROW_NUMBER() OVER (PARTITION BY b.pool, b.lane ORDER BY b.tenant_rank, COALESCE(t.served_at, 0), b.id) AS lane_rank
FROM by_tenant b
LEFT JOIN tenant_turn t ON t.pool = b.pool AND t.lane = b.lane AND t.tenant = b.tenant
ORDER BY lane_rank, b.id
LIMIT ";

/// A waiting export and its ranks in the dispatch order.
#[derive(Clone, Debug, PartialEq, Eq, FromQueryResult)]
pub struct WaitingExport {
    /// The id of the export.
    pub id: Uuid,
    /// The pool of the export.
    pub pool: String,
    /// The lane of the export.
    pub lane: String,
    /// The tenant of the owner.
    pub tenant: String,
    /// The user who owns the export.
    pub user_id: String,
    /// The rank among the waiting exports of the user, plus the number of the user's exports in flight.
    pub user_rank: i64,
    /// The rank among the waiting exports of the tenant, plus the number of the tenant's exports in flight.
    pub tenant_rank: i64,
    /// The rank among all waiting exports of the pool and lane, starting at 1.
    pub lane_rank: i64,
}

impl WaitingExport {
    /// Returns the id of the export as an [`ExportId`].
    #[must_use]
    pub fn export_id(&self) -> ExportId {
        ExportId(self.id)
    }

    /// Returns the owner of the export: its tenant and user.
    #[must_use]
    pub fn owner(&self) -> Owner {
        Owner::new(self.tenant.clone(), self.user_id.clone())
    }
}

/// The first `limit` waiting exports in the dispatch order, without exports whose cancellation was requested and
/// without exports of paused owners ([`crate::pause`]).
async fn waiting_exports(db: &impl ConnectionTrait, limit: u64) -> Result<Vec<WaitingExport>, StoreError> {
    let statement = Statement::from_string(db.get_database_backend(), format!("{DISPATCH_ORDER}{limit}"));
    Ok(WaitingExport::find_by_statement(statement).all(db).await?)
}

#[derive(Debug, FromQueryResult)]
struct RunningCount {
    pool: String,
    lane: String,
    exports: i64,
}

async fn running_counts(db: &impl ConnectionTrait) -> Result<Vec<RunningCount>, StoreError> {
    use export::Column;
    let counted = export::Entity::find()
        .select_only()
        .columns([Column::Pool, Column::Lane])
        .column_as(Column::Id.count(), "exports")
        .filter(Column::Status.eq(Status::Running.as_str()))
        .group_by(Column::Pool)
        .group_by(Column::Lane);
    Ok(counted.into_model::<RunningCount>().all(db).await?)
}

/// Reads the first `limit` dispatched exports that no exporter has started, in the order of their dispatch.
async fn dispatched_exports(db: &impl ConnectionTrait, limit: u64) -> Result<Vec<export::Model>, StoreError> {
    use export::Column;
    let waiting = export::Entity::find()
        .filter(Column::Status.eq(Status::Dispatched.as_str()))
        .order_by_asc(Column::DispatchedAt)
        .order_by_asc(Column::Id);
    Ok(waiting.limit(limit).all(db).await?)
}

/// Records a dispatch for the owner. Call it in one transaction with [`crate::transition::dispatched`].
///
/// # Errors
/// When the database fails.
pub async fn record_dispatch(
    db: &impl ConnectionTrait,
    pool: &str,
    lane: &str,
    owner: &Owner,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let row = ActiveModel {
        pool: Set(pool.to_owned()),
        lane: Set(lane.to_owned()),
        tenant: Set(owner.tenant.clone()),
        user_id: Set(owner.user.clone()),
        served_at: Set(now.timestamp_micros()),
    };
    let key = OnConflict::columns([Column::Pool, Column::Lane, Column::Tenant, Column::UserId])
        .update_column(Column::ServedAt)
        .to_owned();
    Entity::insert(row).on_conflict(key).exec_without_returning(db).await?;
    Ok(())
}

/// Deletes the rows whose last dispatch was before the time `before`, and returns their number. A user without a row
/// counts as never dispatched.
///
/// # Errors
/// When the database fails.
pub async fn delete_before(db: &impl ConnectionTrait, before: DateTime<Utc>) -> Result<u64, StoreError> {
    let old = Entity::delete_many().filter(Column::ServedAt.lt(before.timestamp_micros()));
    Ok(old.exec(db).await?.rows_affected)
}

/// The number of newest completed exports over which the mean run time of a lane is calculated.
const RECENT_RUNS: u64 = 20;

/// The waiting exports and the load of each lane at one time.
#[derive(Clone, Debug, Default)]
pub struct QueueSnapshot {
    /// The first waiting exports, in the dispatch order.
    pub waiting: Vec<WaitingExport>,
    /// The number of exports that start earlier, by the id of each waiting or dispatched export.
    ahead: HashMap<Uuid, u64>,
    lanes: Lanes,
    /// The waiting exports whose owners are paused, with their owners; at most as many as the limit of the snapshot.
    pub paused: HashMap<ExportId, Owner>,
}

/// The load of each lane, by pool name and lane name.
type Lanes = HashMap<(String, String), LaneLoad>;

/// The numbers of exports in one lane of a pool, and their mean run time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaneLoad {
    /// The number of waiting exports.
    pub waiting: u64,
    /// The number of dispatched exports that no exporter has started.
    pub dispatched: u64,
    /// The number of running exports.
    pub running: u64,
    /// The mean run time of recently completed exports, in milliseconds; None when no export has completed.
    pub mean_run_ms: Option<u64>,
}

/// The queue position of a waiting export, and its estimated time to completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueuePosition {
    /// The number of exports that start before this one.
    pub position: u64,
    /// The estimated time until the export completes, in milliseconds. None if no export of the lane has completed yet,
    /// or no exporter of the pool runs.
    pub eta_ms: Option<u64>,
}

impl QueueSnapshot {
    /// Reads the first `limit` waiting exports and the load of all lanes.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn read(db: &impl ConnectionTrait, limit: u64) -> Result<Self, StoreError> {
        let mut lanes = Lanes::new();
        let mut dispatched_ahead = HashMap::new();
        for row in dispatched_exports(db, limit).await? {
            let lane = lanes.entry((row.pool, row.lane)).or_default();
            dispatched_ahead.insert(row.id, lane.dispatched);
            lane.dispatched += 1;
        }
        for counted in running_counts(db).await? {
            lanes.entry((counted.pool, counted.lane)).or_default().running = counted.exports.unsigned_abs();
        }
        let waiting = waiting_exports(db, limit).await?;
        for row in &waiting {
            lanes.entry((row.pool.clone(), row.lane.clone())).or_default();
        }
        for ((pool, name), lane) in &mut lanes {
            lane.mean_run_ms = mean_run_ms(db, pool, name).await?;
        }
        let lanes = lanes.iter().map(|((pool, name), load)| (pool.as_str(), name.as_str(), *load));
        let mut snapshot = Self::new(waiting, lanes);
        snapshot.ahead.extend(dispatched_ahead);
        snapshot.paused = pause::waiting_exports(db, limit).await?.into_iter().collect();
        Ok(snapshot)
    }

    /// Creates a snapshot from waiting exports in dispatch order and from the load of each lane, as
    /// `(pool, lane, load)`.
    #[must_use]
    pub fn new<'a>(waiting: Vec<WaitingExport>, lanes: impl Iterator<Item = (&'a str, &'a str, LaneLoad)>) -> Self {
        let mut lanes: Lanes = lanes.map(|(pool, lane, load)| ((pool.to_owned(), lane.to_owned()), load)).collect();
        let mut ahead = HashMap::with_capacity(waiting.len());
        for row in &waiting {
            let lane = lanes.entry((row.pool.clone(), row.lane.clone())).or_default();
            ahead.insert(row.id, lane.dispatched + row.lane_rank.unsigned_abs().saturating_sub(1));
            lane.waiting += 1;
        }
        Self { waiting, ahead, lanes, paused: HashMap::new() }
    }

    /// Whether the export waits because its owner is paused.
    #[must_use]
    pub fn is_paused(&self, id: ExportId) -> bool {
        self.paused.contains_key(&id)
    }

    /// Returns the load of one lane; zero for an unknown lane.
    #[must_use]
    pub fn lane(&self, pool: &str, lane: &str) -> LaneLoad {
        self.lanes.get(&(pool.to_owned(), lane.to_owned())).copied().unwrap_or_default()
    }

    /// Returns the load of every lane that has an unfinished export, as `(pool, lane, load)`.
    pub fn lanes(&self) -> impl Iterator<Item = (&str, &str, LaneLoad)> {
        self.lanes.iter().map(|((pool, lane), load)| (pool.as_str(), lane.as_str(), *load))
    }

    /// Returns the queue position of the waiting export `id` and its estimated time to completion, for a lane with this
    /// number of `slots`. An export that the snapshot does not contain counts as the last one of its lane.
    #[must_use]
    pub fn position_of(&self, id: ExportId, pool: &str, lane: &str, slots: u64) -> QueuePosition {
        let load = self.lane(pool, lane);
        let position = self.ahead.get(&id.0).copied().unwrap_or(load.dispatched + load.waiting);
        let eta_ms = load.mean_run_ms.filter(|_| slots > 0).map(|mean| {
            // assumes that the running exports are half done, and that waiting exports fill the slots in rounds
            let current_runs = if load.running >= slots { mean / 2 } else { 0 };
            (position / slots).saturating_add(1).saturating_mul(mean).saturating_add(current_runs)
        });
        QueuePosition { position, eta_ms }
    }
}

/// Returns the mean run time of the newest completed exports of a pool and lane, in milliseconds; None if no export has
/// completed.
async fn mean_run_ms(db: &impl ConnectionTrait, pool: &str, lane: &str) -> Result<Option<u64>, StoreError> {
    use export::Column;
    let completed = export::Entity::find()
        .select_only()
        .columns([Column::StartedAt, Column::CompletedAt])
        .filter(Column::Status.eq(Status::Completed.as_str()))
        .filter(Column::Pool.eq(pool))
        .filter(Column::Lane.eq(lane))
        .order_by_desc(Column::Id)
        .limit(RECENT_RUNS)
        .into_tuple::<(Option<DateTime<Utc>>, Option<DateTime<Utc>>)>()
        .all(db)
        .await?;
    let times: Vec<u64> = completed
        .into_iter()
        .filter_map(|(started, completed)| u64::try_from((completed? - started?).num_milliseconds()).ok())
        .collect();
    Ok(times.iter().sum::<u64>().checked_div(times.len() as u64))
}
