//! Lists the exports in flight for the notifier that watches their leases, and ends a lease that its exporter no longer
//! renews.
//!
//! The lease of an export has no expiry time. The notifier reads [`InFlight::renewals`] at an interval, and measures
//! time with its monotonic clock. If the number stays the same for the duration of the lease, the exporter has died or
//! lost the database, and the notifier ends the lease. So the lease does not depend on a wall clock.

use std::time::Duration;

use chrono::{DateTime, Utc};
use protocol::{export::Status, id::ExportId};
use sea_orm::{QueryOrder, QuerySelect, entity::prelude::*, sea_query::ExprTrait};

use crate::{
    StoreError,
    export::{Column, Entity, Model, find},
    transition::{applied, update_of, without_lease},
};

/// The state of the lease of a dispatched or running export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InFlight {
    /// The id of the export.
    pub id: Uuid,
    /// A number that increases with each change of the lease.
    pub renewals: i64,
    /// The duration of the lease that an exporter holds; None while the export waits for an exporter.
    pub lease: Option<Duration>,
}

/// Lists the dispatched and running exports whose cancellation was not requested, at most `limit` of them, oldest
/// first.
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

/// Ends the lease of an export in flight and increases its job number, if the export still has this number of
/// `renewals`. If an exporter held the lease, also increases `failures` and `abandoned_attempts`. Returns the changed
/// row, whose job the caller must publish. Returns None and changes nothing if `renewals` has changed, the export has
/// ended, or its cancellation was requested.
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
