//! What happened to an account and no outcome tells of: a hold, a night, an operator. The account counts its news and how
//! many of them its owner was told, in the transaction of the change; so none is lost between a commit and a publish, and
//! a notifier that finds some tells them.

use protocol::{credits::EntryKind, id::Owner};
use sea_orm::{QueryOrder, QuerySelect, entity::prelude::*, sea_query::ExprTrait};

use super::kind;
use crate::{StoreError, account, entry};

/// An account whose owner has not been told everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingNotification {
    /// Whose it is.
    pub owner: Owner,
    /// How many news there are now; to be given to [`told`].
    pub version: i64,
    /// What the newest entry is: `grant` or another kind.
    pub reason: &'static str,
}

/// Accounts with news after this one, in the order of their keys.
///
/// # Errors
/// When the database fails.
pub async fn pending_notifications(
    db: &impl ConnectionTrait,
    after: Option<&Owner>,
    limit: u64,
) -> Result<Vec<PendingNotification>, StoreError> {
    let behind = ExprTrait::ne(Expr::col(account::Column::Version), Expr::col(account::Column::NotifiedVersion));
    let mut rows = account::Entity::find().filter(behind);
    if let Some(after) = after {
        let key = Expr::tuple([Expr::col(account::Column::Tenant), Expr::col(account::Column::UserId)]);
        rows = rows.filter(key.gt(Expr::tuple([Expr::value(&*after.tenant), Expr::value(&*after.user)])));
    }
    let rows =
        rows.order_by_asc(account::Column::Tenant).order_by_asc(account::Column::UserId).limit(limit).all(db).await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        // the other steps of an export are told by whoever settles it
        let newest = entry::Entity::find()
            .filter(entry::Column::Tenant.eq(&row.tenant))
            .filter(entry::Column::UserId.eq(&row.user_id))
            .filter(entry::Column::Kind.is_not_in([EntryKind::Capture.as_str(), EntryKind::Release.as_str()]))
            .order_by_desc(entry::Column::Id)
            .one(db)
            .await?;
        // of a kind that this version does not know, the values are told all the same
        let reason = newest.and_then(|entry| kind(&entry).ok()).map_or("adjustment", |kind| kind.as_str());
        found.push(PendingNotification { owner: Owner::new(row.tenant, row.user_id), version: row.version, reason });
    }
    Ok(found)
}

/// The owner was told of the account as it was with so many news, or later.
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
