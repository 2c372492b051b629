//! The `user_rights` table: the claims of the last valid token of each user who has a schedule. A scheduled run has the
//! rights of its owner at that time.

use chrono::{DateTime, Utc};
use protocol::id::Owner;
use sea_orm::{ActiveValue::Set, entity::prelude::*, sea_query::OnConflict};
use serde_json::{Map, Value};

use crate::StoreError;

/// A row of `user_rights`.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "user_rights")]
pub struct Model {
    /// The tenant of the user.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub tenant: String,
    /// The user who presented the token.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub user_id: String,
    /// The claims of the token.
    #[sea_orm(column_type = "JsonBinary")]
    pub claims: Json,
    /// The time at which the issuer signed the token, in seconds since 1970. An older token changes nothing.
    pub issued_at: i64,
    /// The time at which a gateway last verified the token.
    pub seen_at: DateTime<Utc>,
}

/// sea-orm requires this type. It is empty, because all queries use the owner.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// A token that a gateway verified.
#[derive(Clone, Debug, PartialEq)]
pub struct VerifiedToken {
    /// The user of the token.
    pub owner: Owner,
    /// The claims of the token.
    pub claims: Map<String, Value>,
    /// The time at which the issuer signed the token, in seconds since 1970.
    pub issued_at: i64,
    /// The time at which the gateway verified the token.
    pub seen_at: DateTime<Utc>,
}

/// The claims of the last valid token of this user, if they are known.
///
/// # Errors
/// When the database fails.
pub async fn find(db: &impl ConnectionTrait, owner: &Owner) -> Result<Option<Model>, StoreError> {
    Ok(Entity::find_by_id((owner.tenant.clone(), owner.user.clone())).one(db).await?)
}

/// Begins to keep the rights of a user. An older token than the known one changes nothing.
///
/// # Errors
/// When the database fails.
pub async fn keep(tx: &impl ConnectionTrait, token: &VerifiedToken) -> Result<(), StoreError> {
    let row = ActiveModel {
        tenant: Set(token.owner.tenant.clone()),
        user_id: Set(token.owner.user.clone()),
        claims: Set(token.claims.clone().into()),
        issued_at: Set(token.issued_at),
        seen_at: Set(token.seen_at),
    };
    let known = OnConflict::columns([Column::Tenant, Column::UserId]).do_nothing().to_owned();
    if Entity::insert(row).on_conflict(known).exec_without_returning(tx).await? == 0 {
        update(tx, token).await?;
    }
    Ok(())
}

/// Replaces the rights of a user, if they are kept and the token is not older than the known one.
///
/// # Errors
/// When the database fails.
pub async fn update(db: &impl ConnectionTrait, token: &VerifiedToken) -> Result<(), StoreError> {
    Entity::update_many()
        .col_expr(Column::Claims, Expr::value(Value::Object(token.claims.clone())))
        .col_expr(Column::IssuedAt, Expr::value(token.issued_at))
        .col_expr(Column::SeenAt, Expr::value(token.seen_at))
        .filter(Column::Tenant.eq(&token.owner.tenant))
        .filter(Column::UserId.eq(&token.owner.user))
        .filter(Column::IssuedAt.lte(token.issued_at))
        .exec(db)
        .await?;
    Ok(())
}
