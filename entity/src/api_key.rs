//! The `api_key` table: the API keys of each tenant. The row of a key stays after the key is deleted, so that operators
//! can still find the key that requested an export.

use chrono::{DateTime, TimeDelta, Utc};
use protocol::api_key::ApiKeyId;
use sea_orm::{Condition, IntoActiveModel, QueryOrder, QuerySelect, entity::prelude::*};
use serde_json::{Map, Value};

use crate::StoreError;

/// A row of `api_key`. The row contains no secret: `secret_hash` does not reveal the key.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "api_key")]
pub struct Model {
    /// A UUIDv7, so that ids sort by the time of creation.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// The tenant of the user who created the key, and of the key.
    #[sea_orm(column_type = "Text")]
    pub tenant: String,
    /// The name of the key, which its creator chose.
    #[sea_orm(column_type = "Text")]
    pub name: String,
    /// The SHA-256 of the key in lower-case hex. Unique.
    #[sea_orm(column_type = "Text")]
    pub secret_hash: String,
    /// The scopes of the key as a JSON list.
    #[sea_orm(column_type = "JsonBinary")]
    pub scopes: Json,
    /// The claims that the creator had when the key was created. The row policies of datasets may use these claims.
    #[sea_orm(column_type = "JsonBinary")]
    pub claims: Json,
    /// The subject who created the key: a user, or another key as `key:<id>`.
    #[sea_orm(column_type = "Text")]
    pub created_by: String,
    /// The time at which the key was created.
    pub created_at: DateTime<Utc>,
    /// The time at which the key expires; None for a key that works until it is deleted.
    pub expires_at: Option<DateTime<Utc>>,
    /// The time at which the key was last used, exact to about a minute; None before the first use.
    pub last_used_at: Option<DateTime<Utc>>,
    /// The time at which the key was deleted; None for a key that is not deleted.
    pub deleted_at: Option<DateTime<Utc>>,
}

/// The relations of this table, which sea-orm requires. The type is empty, because all queries use the id, the hash or
/// the tenant.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// Returns the id of the key as an [`ApiKeyId`].
    #[must_use]
    pub fn key_id(&self) -> ApiKeyId {
        ApiKeyId(self.id)
    }

    /// Returns the scopes of the key, parsed from the column `scopes`.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when the column is not a JSON list of texts.
    pub fn scope_list(&self) -> Result<Vec<String>, StoreError> {
        serde_json::from_value(self.scopes.clone()).map_err(|e| self.damaged(&format!("scopes: {e}")))
    }

    /// Returns the claims of the key's creator, parsed from the column `claims`.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when the column is not a JSON object.
    pub fn claim_map(&self) -> Result<Map<String, Value>, StoreError> {
        self.claims.as_object().cloned().ok_or_else(|| self.damaged("claims: expected an object"))
    }

    /// The claims with which the key acts: those of the creator, except for the subject and the scopes.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when a column is invalid.
    pub fn acting_claims(&self) -> Result<Map<String, Value>, StoreError> {
        let mut claims = self.claim_map()?;
        claims.insert("sub".into(), self.key_id().subject().into());
        claims.insert("tenant".into(), self.tenant.clone().into());
        claims.insert("scope".into(), self.scope_list()?.join(" ").into());
        Ok(claims)
    }

    fn damaged(&self, detail: &str) -> StoreError {
        StoreError::Damaged { row: format!("api_key {}", self.id), detail: detail.to_owned() }
    }
}

/// The result of [`insert`]. Unless the result is `Inserted`, the caller must roll back the transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Insertion {
    /// The transaction has inserted the new key.
    Inserted,
    /// The tenant already has the maximum number of keys.
    TooMany,
    /// The API key with which a program creates the new key was deleted at the same time.
    CreatorDeleted,
}

/// Inserts the row of a new key. Call this function in a transaction. `max` is the maximum number of keys of the
/// tenant, counted as in [`count_recent`]. On PostgreSQL, concurrent transactions may exceed the maximum, each by one
/// key.
///
/// # Errors
/// When the database fails.
pub async fn insert(
    tx: &impl ConnectionTrait,
    row: Model,
    max: u64,
    counted_since: DateTime<Utc>,
) -> Result<Insertion, StoreError> {
    // the update locks the row of the creating key until the commit, so that a concurrent `delete` of it either
    // prevents this insert or finds the new key
    if let Some(creator) = ApiKeyId::from_subject(&row.created_by) {
        let locked = live().col_expr(Column::LastUsedAt, Expr::value(row.created_at)).filter(Column::Id.eq(creator.0));
        if locked.exec(tx).await?.rows_affected == 0 {
            return Ok(Insertion::CreatorDeleted);
        }
    }
    let tenant = row.tenant.clone();
    Entity::insert(row.into_active_model().reset_all()).exec_without_returning(tx).await?;
    if count_recent(tx, &tenant, counted_since).await? > max {
        return Ok(Insertion::TooMany);
    }
    Ok(Insertion::Inserted)
}

/// Returns the number of a tenant's keys that are not deleted, or were deleted after `since`. Recently deleted keys
/// count too, because each new key opens a new credit account.
///
/// # Errors
/// When the database fails.
pub async fn count_recent(db: &impl ConnectionTrait, tenant: &str, since: DateTime<Utc>) -> Result<u64, StoreError> {
    let counted = Condition::any().add(Column::DeletedAt.is_null()).add(Column::DeletedAt.gt(since));
    Ok(Entity::find().filter(Column::Tenant.eq(tenant)).filter(counted).count(db).await?)
}

/// Finds the key whose secret has this SHA-256. Returns None if no such key exists, or if the key was deleted. The key
/// may have expired.
///
/// # Errors
/// When the database fails.
pub async fn find_by_hash(db: &impl ConnectionTrait, secret_hash: &str) -> Result<Option<Model>, StoreError> {
    let found = Entity::find().filter(Column::SecretHash.eq(secret_hash)).filter(Column::DeletedAt.is_null());
    Ok(found.one(db).await?)
}

/// Finds the key with this id; None when it was deleted or has expired.
///
/// # Errors
/// When the database fails.
pub async fn find_working(
    db: &impl ConnectionTrait,
    id: ApiKeyId,
    now: DateTime<Utc>,
) -> Result<Option<Model>, StoreError> {
    let key = Entity::find_by_id(id.0).filter(Column::DeletedAt.is_null()).one(db).await?;
    Ok(key.filter(|key| key.expires_at.is_none_or(|at| at > now)))
}

/// Finds which of these keys are neither deleted nor expired. Returns the id and the time of the last use of each such
/// key.
///
/// # Errors
/// When the database fails.
pub async fn find_live(
    db: &impl ConnectionTrait,
    ids: &[ApiKeyId],
    now: DateTime<Utc>,
) -> Result<Vec<(ApiKeyId, Option<DateTime<Utc>>)>, StoreError> {
    let unexpired = Condition::any().add(Column::ExpiresAt.is_null()).add(Column::ExpiresAt.gt(now));
    let rows: Vec<(Uuid, Option<DateTime<Utc>>)> = Entity::find()
        .select_only()
        .columns([Column::Id, Column::LastUsedAt])
        .filter(Column::Id.is_in(ids.iter().map(|id| id.0)))
        .filter(Column::DeletedAt.is_null())
        .filter(unexpired)
        .into_tuple()
        .all(db)
        .await?;
    Ok(rows.into_iter().map(|(id, used)| (ApiKeyId(id), used)).collect())
}

/// Lists the keys of a tenant that are not deleted, newest first. Lists at most `limit` keys, and only keys older than
/// the key `before`.
///
/// # Errors
/// When the database fails.
pub async fn list(
    db: &impl ConnectionTrait,
    tenant: &str,
    before: Option<ApiKeyId>,
    limit: u64,
) -> Result<Vec<Model>, StoreError> {
    let mut keys = Entity::find()
        .filter(Column::Tenant.eq(tenant))
        .filter(Column::DeletedAt.is_null())
        .order_by_desc(Column::Id)
        .limit(limit);
    if let Some(before) = before {
        keys = keys.filter(Column::Id.lt(before.0));
    }
    Ok(keys.all(db).await?)
}

/// Deletes a key of this tenant and all keys that were created with it, directly or through further keys. Call this
/// function in a transaction. Returns the ids of all deleted keys. The list is empty if the tenant has no such key.
///
/// # Errors
/// When the database fails.
pub async fn delete(
    tx: &impl ConnectionTrait,
    tenant: &str,
    id: ApiKeyId,
    now: DateTime<Utc>,
) -> Result<Vec<ApiKeyId>, StoreError> {
    let mark = || live().col_expr(Column::DeletedAt, Expr::value(now)).filter(Column::Tenant.eq(tenant));
    if mark().filter(Column::Id.eq(id.0)).exec(tx).await?.rows_affected == 0 {
        return Ok(Vec::new());
    }
    let (mut deleted, mut creators) = (vec![id], vec![id]);
    while !creators.is_empty() {
        let created: Vec<Uuid> = Entity::find()
            .select_only()
            .column(Column::Id)
            .filter(Column::Tenant.eq(tenant))
            .filter(Column::CreatedBy.is_in(creators.iter().map(|id| id.subject())))
            .filter(Column::DeletedAt.is_null())
            .into_tuple()
            .all(tx)
            .await?;
        mark().filter(Column::Id.is_in(created.iter().copied())).exec(tx).await?;
        creators = created.into_iter().map(ApiKeyId).collect();
        deleted.extend(&creators);
    }
    Ok(deleted)
}

/// Records that a key was used at `now`, unless an earlier call recorded a use less than `interval` ago.
///
/// # Errors
/// When the database fails.
pub async fn record_use(
    db: &impl ConnectionTrait,
    id: ApiKeyId,
    now: DateTime<Utc>,
    interval: TimeDelta,
) -> Result<(), StoreError> {
    let is_due = Condition::any().add(Column::LastUsedAt.is_null()).add(Column::LastUsedAt.lte(now - interval));
    let update = live().col_expr(Column::LastUsedAt, Expr::value(now)).filter(Column::Id.eq(id.0)).filter(is_due);
    update.exec(db).await?;
    Ok(())
}

/// Returns an update statement for all keys that are not deleted.
fn live() -> sea_orm::UpdateMany<Entity> {
    Entity::update_many().filter(Column::DeletedAt.is_null())
}
