//! The exports in flight, whose leases a notifier watches, and the end of a lease that its exporter no longer renews.
//!
//! A lease has no expiry time. The watching notifier reads [`InFlight::renewals`] again and again. When the number stays
//! the same for the duration of the lease, by the monotonic clock of the notifier, the exporter has died or lost the
//! database, and the notifier ends the lease. So no lease depends on a wall clock.

use std::time::Duration;

use chrono::{DateTime, Utc};
use protocol::{export::Status, id::ExportId};
use sea_orm::{QueryOrder, QuerySelect, entity::prelude::*, sea_query::ExprTrait};

use crate::{
    StoreError,
    export::{Column, Entity, Model, find},
    transition::{applied, update_of, without_lease},
};

/// A dispatched or running export, as the watch of the leases sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InFlight {
    /// The id of the export.
    pub id: Uuid,
    /// Changes with each change of the lease.
    pub renewals: i64,
    /// The duration of the lease that an exporter holds; None while the export waits for an exporter.
    pub lease: Option<Duration>,
}

/// Lists the dispatched and running exports whose cancellation was not requested, at most `limit` of them, oldest first.
///
/// # Errors
/// When the database fails.
pub async fn list(db: &impl ConnectionTrait, limit: u64) -> Result<Vec<InFlight>, StoreError> {
    let rows: Vec<(Uuid, i64, Option<i64>, Option<String>)> = Entity::find()
        .select_only()
        .columns([Column::Id, Column::Renewals, Column::LeaseMs, Column::Worker])
        .filter(Column::Status.is_in([Status::Dispatched.as_str(), Status::Running.as_str()]))
        .filter(Column::CancelRequestedAt.is_null())
        .order_by_asc(Column::Id)
        .limit(limit)
        .into_tuple()
        .all(db)
        .await?;
    let in_flight = |(id, renewals, lease_ms, worker): (Uuid, i64, Option<i64>, Option<String>)| {
        let lease = worker.map(|_| Duration::from_millis(lease_ms.unwrap_or_default().unsigned_abs()));
        InFlight { id, renewals, lease }
    };
    Ok(rows.into_iter().map(in_flight).collect())
}

/// Ends the lease of an export in flight that did not change since it had this number of `renewals`, and counts a new
/// job. `failures` and `abandoned_attempts` count the attempt if an exporter held the lease. Returns the changed row,
/// whose job the caller must publish; None if the export changed.
///
/// # Errors
/// When the database fails.
pub async fn end_lease(
    db: &impl ConnectionTrait,
    id: ExportId,
    renewals: i64,
    now: DateTime<Utc>,
) -> Result<Option<Model>, StoreError> {
    // an attempt that released its lease has no `worker`
    let abandoned = || Expr::case(Column::Worker.is_not_null(), 1).finally(0);
    let update = without_lease(update_of(id, now))
        .filter(Column::Status.is_in([Status::Dispatched.as_str(), Status::Running.as_str()]))
        .filter(Column::Renewals.eq(renewals))
        .filter(Column::CancelRequestedAt.is_null())
        .col_expr(Column::Failures, Expr::col(Column::Failures).add(abandoned()))
        .col_expr(Column::AbandonedAttempts, Expr::col(Column::AbandonedAttempts).add(abandoned()))
        .col_expr(Column::JobNumber, Expr::col(Column::JobNumber).add(1));
    if applied(db, update).await? { find(db, id).await } else { Ok(None) }
}
