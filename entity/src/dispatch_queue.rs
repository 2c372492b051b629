//! Whose turn it is: the order in which waiting exports are handed to the exporters of a pool and lane.
//!
//! Tenants are taken in turn, within a tenant its people are, and each person's exports go in their order. Whoever has
//! less in flight goes first; among equals it is the one who was served longer ago. The order is one statement over the
//! tables, so that every replica that asks sees the same.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use protocol::{
    export::Status,
    id::{ExportId, Owner},
};
use sea_orm::{
    ActiveValue::Set, FromQueryResult, QueryOrder, QuerySelect, Statement, entity::prelude::*, sea_query::OnConflict,
};

use crate::{StoreError, export};

/// A row of the `dispatch_turn` table: when a person was last served.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "dispatch_turn")]
pub struct Model {
    /// The exporters.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub pool: String,
    /// Their lane.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub lane: String,
    /// Who.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub tenant: String,
    /// Who.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub user_id: String,
    /// Microseconds since 1970.
    pub served_at: i64,
}

/// No relations: joined by key.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// `user_rank` and `tenant_rank` count what is in flight too: the number that an export would have if all before it in its
/// person's, or tenant's, row were in flight.
const ORDER: &str = "
WITH flight AS (
    SELECT pool, lane, tenant, user_id, COUNT(*) AS n FROM export
    WHERE status IN ('dispatched', 'running') GROUP BY pool, lane, tenant, user_id),
tenant_flight AS (
    SELECT pool, lane, tenant, CAST(SUM(n) AS BIGINT) AS n FROM flight GROUP BY pool, lane, tenant),
tenant_turn AS (
    SELECT pool, lane, tenant, MAX(served_at) AS served_at FROM dispatch_turn GROUP BY pool, lane, tenant),
by_user AS (
    SELECT e.id, e.pool, e.lane, e.tenant, e.user_id,
        ROW_NUMBER() OVER (PARTITION BY e.pool, e.lane, e.tenant, e.user_id ORDER BY e.id)
            + COALESCE(f.n, 0) AS user_rank
    FROM export e
    LEFT JOIN flight f ON f.pool = e.pool AND f.lane = e.lane AND f.tenant = e.tenant AND f.user_id = e.user_id
    WHERE e.status = 'queued' AND e.cancel_requested_at IS NULL),
by_tenant AS (
    SELECT b.id, b.pool, b.lane, b.tenant, b.user_id, b.user_rank,
        ROW_NUMBER() OVER (
            PARTITION BY b.pool, b.lane, b.tenant ORDER BY b.user_rank, COALESCE(t.served_at, 0), b.id)
            + COALESCE(f.n, 0) AS tenant_rank
    FROM by_user b
    LEFT JOIN tenant_flight f ON f.pool = b.pool AND f.lane = b.lane AND f.tenant = b.tenant
    LEFT JOIN dispatch_turn t ON t.pool = b.pool AND t.lane = b.lane AND t.tenant = b.tenant AND t.user_id = b.user_id)
SELECT b.id, b.pool, b.lane, b.tenant, b.user_id, b.user_rank, b.tenant_rank,
    ROW_NUMBER() OVER (PARTITION BY b.pool, b.lane ORDER BY b.tenant_rank, COALESCE(t.served_at, 0), b.id) AS lane_rank
FROM by_tenant b
LEFT JOIN tenant_turn t ON t.pool = b.pool AND t.lane = b.lane AND t.tenant = b.tenant
ORDER BY lane_rank, b.id
LIMIT ";

/// A waiting export and its lane_rank in the order.
#[derive(Clone, Debug, PartialEq, Eq, FromQueryResult)]
pub struct WaitingExport {
    /// Which.
    pub id: Uuid,
    /// Its exporters.
    pub pool: String,
    /// Their lane.
    pub lane: String,
    /// Whose.
    pub tenant: String,
    /// Whose.
    pub user_id: String,
    /// Its number among what its owner has in flight and waiting; from 1.
    pub user_rank: i64,
    /// The same for the tenant.
    pub tenant_rank: i64,
    /// Its lane_rank among all that wait for the same pool and lane; from 1.
    pub lane_rank: i64,
}

impl WaitingExport {
    /// Which.
    #[must_use]
    pub fn export_id(&self) -> ExportId {
        ExportId(self.id)
    }

    /// Whose.
    #[must_use]
    pub fn owner(&self) -> Owner {
        Owner::new(self.tenant.clone(), self.user_id.clone())
    }
}

/// The first `limit` waiting exports by their places. Those that are to be canceled are left out.
async fn order(db: &impl ConnectionTrait, limit: u64) -> Result<Vec<WaitingExport>, StoreError> {
    let statement = Statement::from_string(db.get_database_backend(), format!("{ORDER}{limit}"));
    Ok(WaitingExport::find_by_statement(statement).all(db).await?)
}

#[derive(Debug, FromQueryResult)]
struct Running {
    pool: String,
    lane: String,
    exports: i64,
}

async fn running(db: &impl ConnectionTrait) -> Result<Vec<Running>, StoreError> {
    use export::Column;
    let counted = export::Entity::find()
        .select_only()
        .columns([Column::Pool, Column::Lane])
        .column_as(Column::Id.count(), "exports")
        .filter(Column::Status.eq(Status::Running.as_str()))
        .group_by(Column::Pool)
        .group_by(Column::Lane);
    Ok(counted.into_model::<Running>().all(db).await?)
}

/// Those handed to the exporters and not begun yet, in that order.
async fn dispatched(db: &impl ConnectionTrait, limit: u64) -> Result<Vec<export::Model>, StoreError> {
    use export::Column;
    let waiting = export::Entity::find()
        .filter(Column::Status.eq(Status::Dispatched.as_str()))
        .order_by_asc(Column::DispatchedAt)
        .order_by_asc(Column::Id);
    Ok(waiting.limit(limit).all(db).await?)
}

/// Somebody was served. It belongs into one transaction with [`crate::transition::dispatched`].
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

/// Forgets who was served last before this time: as good as never served. How many.
///
/// # Errors
/// When the database fails.
pub async fn delete_before(db: &impl ConnectionTrait, before: DateTime<Utc>) -> Result<u64, StoreError> {
    let old = Entity::delete_many().filter(Column::ServedAt.lt(before.timestamp_micros()));
    Ok(old.exec(db).await?.rows_affected)
}

/// Completed exports by which the time of a run is judged.
const JUDGED_BY: u64 = 20;

/// What waits, and for how long: a picture of one moment.
#[derive(Clone, Debug, Default)]
pub struct QueueSnapshot {
    /// The first of those that wait, by their places.
    pub waiting: Vec<WaitingExport>,
    ahead: HashMap<Uuid, u64>,
    lanes: Lanes,
}

/// By pool and lane.
type Lanes = HashMap<(String, String), LaneView>;

/// One lane of a pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaneView {
    /// Waiting for their turn.
    pub waiting: u64,
    /// Handed to the exporters and not begun.
    pub dispatched: u64,
    /// Running.
    pub running: u64,
    /// How long a run takes, milliseconds: the mean of the last ones; none when none was completed.
    pub mean_run_ms: Option<u64>,
}

/// What is ahead of a waiting export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueuePosition {
    /// How many are to be begun before it.
    pub position: u64,
    /// How long until it has ended, milliseconds, where that can be judged.
    pub eta_ms: Option<u64>,
}

impl QueueSnapshot {
    /// Looks at the first `limit` of those that wait.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn read(db: &impl ConnectionTrait, limit: u64) -> Result<Self, StoreError> {
        let mut lanes = Lanes::new();
        let mut handed_over = HashMap::new();
        for row in dispatched(db, limit).await? {
            let lane = lanes.entry((row.pool, row.lane)).or_default();
            handed_over.insert(row.id, lane.dispatched);
            lane.dispatched += 1;
        }
        for counted in running(db).await? {
            lanes.entry((counted.pool, counted.lane)).or_default().running = counted.exports.unsigned_abs();
        }
        let waiting = order(db, limit).await?;
        for row in &waiting {
            lanes.entry((row.pool.clone(), row.lane.clone())).or_default();
        }
        for ((pool, name), lane) in &mut lanes {
            lane.mean_run_ms = mean_run_ms(db, pool, name).await?;
        }
        let lanes = lanes.iter().map(|((pool, name), view)| (pool.as_str(), name.as_str(), *view));
        let mut snapshot = Self::new(waiting, lanes);
        snapshot.ahead.extend(handed_over);
        Ok(snapshot)
    }

    /// The picture of these that wait, by their places, beside what else is in each pool and lane.
    #[must_use]
    pub fn new<'a>(waiting: Vec<WaitingExport>, lanes: impl Iterator<Item = (&'a str, &'a str, LaneView)>) -> Self {
        let mut lanes: Lanes = lanes.map(|(pool, lane, view)| ((pool.to_owned(), lane.to_owned()), view)).collect();
        let mut ahead = HashMap::with_capacity(waiting.len());
        for row in &waiting {
            let lane = lanes.entry((row.pool.clone(), row.lane.clone())).or_default();
            ahead.insert(row.id, lane.dispatched + row.lane_rank.unsigned_abs().saturating_sub(1));
            lane.waiting += 1;
        }
        Self { waiting, ahead, lanes }
    }

    /// One lane.
    #[must_use]
    pub fn lane(&self, pool: &str, lane: &str) -> LaneView {
        self.lanes.get(&(pool.to_owned(), lane.to_owned())).copied().unwrap_or_default()
    }

    /// Every lane in which something waits or runs.
    pub fn lanes(&self) -> impl Iterator<Item = (&str, &str, LaneView)> {
        self.lanes.iter().map(|((pool, lane), view)| (pool.as_str(), lane.as_str(), *view))
    }

    /// The outlook of a waiting export where `slots` of its lane run at once. One that came after this picture, or
    /// waits too far behind for it, stands behind all that are in it.
    #[must_use]
    pub fn position_of(&self, id: ExportId, pool: &str, lane: &str, slots: u64) -> QueuePosition {
        let view = self.lane(pool, lane);
        let position = self.ahead.get(&id.0).copied().unwrap_or(view.dispatched + view.waiting);
        let eta_ms = view.mean_run_ms.filter(|_| slots > 0).map(|mean| {
            // those that run are half done, and the slots are filled again and again
            let busy = if view.running >= slots { mean / 2 } else { 0 };
            (position / slots).saturating_add(1).saturating_mul(mean).saturating_add(busy)
        });
        QueuePosition { position, eta_ms }
    }
}

/// How long a run of this pool and lane takes, milliseconds: the mean of the last that were completed.
async fn mean_run_ms(db: &impl ConnectionTrait, pool: &str, lane: &str) -> Result<Option<u64>, StoreError> {
    use export::Column;
    let done = export::Entity::find()
        .select_only()
        .columns([Column::StartedAt, Column::CompletedAt])
        .filter(Column::Status.eq(Status::Completed.as_str()))
        .filter(Column::Pool.eq(pool))
        .filter(Column::Lane.eq(lane))
        .order_by_desc(Column::Id)
        .limit(JUDGED_BY)
        .into_tuple::<(Option<DateTime<Utc>>, Option<DateTime<Utc>>)>()
        .all(db)
        .await?;
    let times: Vec<u64> = done
        .into_iter()
        .filter_map(|(started, completed)| u64::try_from((completed? - started?).num_milliseconds()).ok())
        .collect();
    Ok(times.iter().sum::<u64>().checked_div(times.len() as u64))
}
