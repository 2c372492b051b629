//! The outbox of credit notifications. Only changes by a hold, a daily grant or an operator need a notification,
//! because the events of exports report captures and releases.
//!
//! Each such change also increases the version of the account, in the same transaction. A notifier finds the accounts
//! whose version exceeds the notified version, publishes an event, and then records the version. So a crash between
//! commit and publication loses no notification.

use protocol::{credits::EntryKind, id::Owner};
use sea_orm::{QueryOrder, QuerySelect, entity::prelude::*, sea_query::ExprTrait};

use super::kind;
use crate::{StoreError, account, entry};

/// An account whose owner has not been notified of the newest change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingNotification {
    /// The owner of the account.
    pub owner: Owner,
    /// The version of the account. The caller passes it to [`mark_notified`] after the notification.
    pub version: i64,
    /// The kind of the newest entry that needs a notification, such as `grant`.
    pub reason: &'static str,
}

/// Lists pending notifications, ordered by tenant and user. The list begins after the owner `after`.
///
/// # Errors
/// When the database fails.
pub async fn pending_notifications(
    db: &impl ConnectionTrait,
    after: Option<&Owner>,
    limit: u64,
) -> Result<Vec<PendingNotification>, StoreError> {
    let not_notified = ExprTrait::ne(Expr::col(account::Column::Version), Expr::col(account::Column::NotifiedVersion));
    let mut rows = account::Entity::find().filter(not_notified);
    if let Some(after) = after {
        let key = Expr::tuple([Expr::col(account::Column::Tenant), Expr::col(account::Column::UserId)]);
        rows = rows.filter(key.gt(Expr::tuple([Expr::value(&*after.tenant), Expr::value(&*after.user)])));
    }
    let rows =
        rows.order_by_asc(account::Column::Tenant).order_by_asc(account::Column::UserId).limit(limit).all(db).await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        // the events of exports report captures and releases
        let newest = entry::Entity::find()
            .filter(entry::Column::Tenant.eq(&row.tenant))
            .filter(entry::Column::UserId.eq(&row.user_id))
            .filter(entry::Column::Kind.is_not_in([EntryKind::Capture.as_str(), EntryKind::Release.as_str()]))
            .order_by_desc(entry::Column::Id)
            .one(db)
            .await?;
        // an entry of an unknown kind is reported as an adjustment; the balance in the notification is correct
        let reason = newest.and_then(|entry| kind(&entry).ok()).map_or("adjustment", |kind| kind.as_str());
        found.push(PendingNotification { owner: Owner::new(row.tenant, row.user_id), version: row.version, reason });
    }
    Ok(found)
}

/// Records that the owner received a notification of this version of the account. Changes nothing if a later version is
/// already recorded.
///
/// # Errors
/// When the database fails.
pub async fn mark_notified(db: &impl ConnectionTrait, owner: &Owner, version: i64) -> Result<(), StoreError> {
    account::Entity::update_many()
        .col_expr(account::Column::NotifiedVersion, Expr::value(version))
        .filter(account::Column::Tenant.eq(&owner.tenant))
        .filter(account::Column::UserId.eq(&owner.user))
        .filter(account::Column::NotifiedVersion.lt(version))
        .exec(db)
        .await?;
    Ok(())
}
