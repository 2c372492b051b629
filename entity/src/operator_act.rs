//! The `operator_act` table: what operators did, newest last. Rows are only added.

use chrono::{DateTime, Utc};
use protocol::{id::ExportId, ops};
use sea_orm::{ActiveValue, QueryOrder, QuerySelect, entity::prelude::*};

use crate::StoreError;

/// A row of `operator_act`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "operator_act")]
pub struct Model {
    /// The number of the act.
    #[sea_orm(primary_key)]
    pub seq: i64,
    /// The time of the act.
    pub at: DateTime<Utc>,
    /// The name of the operator who acted.
    #[sea_orm(column_type = "Text")]
    pub operator: String,
    /// The action: `pause`, `resume`, `cancel`, `requeue`, `drain` or `undrain`.
    #[sea_orm(column_type = "Text")]
    pub action: String,
    /// The tenant that the act is about.
    #[sea_orm(column_type = "Text", nullable)]
    pub tenant: Option<String>,
    /// The user that the act is about.
    #[sea_orm(column_type = "Text", nullable)]
    pub user_id: Option<String>,
    /// The export that the act is about.
    pub export_id: Option<Uuid>,
    /// The exporter that the act is about.
    #[sea_orm(column_type = "Text", nullable)]
    pub exporter: Option<String>,
    /// The reason that the operator gave.
    #[sea_orm(column_type = "Text", nullable)]
    pub reason: Option<String>,
}

/// sea-orm requires this type. It is empty, because no query joins through sea-orm.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl From<Model> for ops::OperatorAct {
    fn from(row: Model) -> Self {
        Self {
            at: row.at.into(),
            operator: row.operator,
            action: row.action,
            tenant: row.tenant,
            user: row.user_id,
            export_id: row.export_id.map(ExportId),
            exporter: row.exporter,
            reason: row.reason,
        }
    }
}

/// Adds an act.
///
/// # Errors
/// When the database fails.
pub async fn record(db: &impl ConnectionTrait, act: ops::OperatorAct) -> Result<(), StoreError> {
    let row = ActiveModel {
        seq: ActiveValue::NotSet,
        at: ActiveValue::Set(act.at.into()),
        operator: ActiveValue::Set(act.operator),
        action: ActiveValue::Set(act.action),
        tenant: ActiveValue::Set(act.tenant),
        user_id: ActiveValue::Set(act.user),
        export_id: ActiveValue::Set(act.export_id.map(|id| id.0)),
        exporter: ActiveValue::Set(act.exporter),
        reason: ActiveValue::Set(act.reason),
    };
    Entity::insert(row).exec_without_returning(db).await?;
    Ok(())
}

/// The newest acts, newest first, at most `limit`.
///
/// # Errors
/// When the database fails.
pub async fn newest(db: &impl ConnectionTrait, limit: u64) -> Result<Vec<Model>, StoreError> {
    Ok(Entity::find().order_by_desc(Column::Seq).limit(limit).all(db).await?)
}

/// The oldest acts about one export, oldest first, at most `limit`.
///
/// # Errors
/// When the database fails.
pub async fn of_export(db: &impl ConnectionTrait, id: ExportId, limit: u64) -> Result<Vec<Model>, StoreError> {
    Ok(Entity::find().filter(Column::ExportId.eq(id.0)).order_by_asc(Column::Seq).limit(limit).all(db).await?)
}
