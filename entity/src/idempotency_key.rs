//! The `idempotency_key` table: which export an idempotency key of a person stands for. Several keys may stand for one, as
//! an identical running export is joined.

use chrono::{DateTime, Utc};
use protocol::id::{ExportId, Owner};
use sea_orm::{ActiveValue::Set, entity::prelude::*};

use crate::StoreError;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "idempotency_key")]
pub struct Model {
    /// Whose it is.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub tenant: String,
    /// Whose it is.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub user_id: String,
    /// The key.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub key: String,
    /// SHA-256 of the canonical request, to compare under the same key.
    #[sea_orm(column_type = "Text")]
    pub request_hash: String,
    /// What it stands for.
    pub export_id: Uuid,
    /// When it came first.
    pub created_at: DateTime<Utc>,
}

/// No relations: found by key.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// What this key of this person stands for, if it came before.
///
/// # Errors
/// When the database fails.
pub async fn find(db: &impl ConnectionTrait, owner: &Owner, key: &str) -> Result<Option<Model>, StoreError> {
    Ok(Entity::find_by_id((owner.tenant.clone(), owner.user.clone(), key.to_owned())).one(db).await?)
}

/// Notes a key. It belongs into the transaction that makes the export or joins it.
///
/// # Errors
/// When the database fails, or the key came before.
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
