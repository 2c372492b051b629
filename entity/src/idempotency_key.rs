//! The `idempotency_key` table: the export that each idempotency key of an owner created or joined. Several keys may
//! refer to one export, because a request can join an unfinished export.

use chrono::{DateTime, Utc};
use protocol::id::{ExportId, Owner};
use sea_orm::{ActiveValue::Set, entity::prelude::*};

use crate::StoreError;

/// A row of `idempotency_key`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "idempotency_key")]
pub struct Model {
    /// The tenant of the owner.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub tenant: String,
    /// The user who sent the key.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub user_id: String,
    /// The value of the header `Idempotency-Key`.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub key: String,
    /// The SHA-256 of the canonical request. A later request with the same key and another hash is a conflict.
    #[sea_orm(column_type = "Text")]
    pub request_hash: String,
    /// The export of the first request with this key.
    pub export_id: Uuid,
    /// The time of the first request with this key.
    pub created_at: DateTime<Utc>,
}

/// The relations of this table, which sea-orm requires. The type is empty, because all queries use the key.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Finds the row of a key, if an earlier request of this owner used the key.
///
/// # Errors
/// When the database fails.
pub async fn find(db: &impl ConnectionTrait, owner: &Owner, key: &str) -> Result<Option<Model>, StoreError> {
    Ok(Entity::find_by_id((owner.tenant.clone(), owner.user.clone(), key.to_owned())).one(db).await?)
}

/// Records an idempotency key. Call this function in the transaction that creates an export or joins an existing one.
///
/// # Errors
/// When the database fails, or the owner used the key before.
pub async fn insert(
    db: &impl ConnectionTrait,
    owner: &Owner,
    key: &str,
    request_hash: &str,
    id: ExportId,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let row = ActiveModel {
        tenant: Set(owner.tenant.clone()),
        user_id: Set(owner.user.clone()),
        key: Set(key.to_owned()),
        request_hash: Set(request_hash.to_owned()),
        export_id: Set(id.0),
        created_at: Set(now),
    };
    Entity::insert(row).exec_without_returning(db).await?;
    Ok(())
}
