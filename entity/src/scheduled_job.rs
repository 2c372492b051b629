//! The `scheduled_job` table: what runs by the clock, when it ran and what came of it. Operators read it too.
//!
//! A job's due time moves on only when a run has ended: a run that died is due still, and so is one that nobody was
//! there to begin.

use chrono::{DateTime, Utc};
use protocol::ops::ScheduledJob;
use sea_orm::{
    ActiveValue::Set,
    Condition, QueryOrder,
    entity::prelude::*,
    sea_query::{ExprTrait, OnConflict},
};

use crate::StoreError;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "scheduled_job")]
pub struct Model {
    /// Its name.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub name: String,
    /// When it runs, for people: a cron line and its zone.
    #[sea_orm(column_type = "Text")]
    pub schedule: String,
    /// When it is to run next, or was to run while it has not.
    pub due_at: DateTime<Utc>,
    /// An operator wants it to run now, since this time.
    pub requested_at: Option<DateTime<Utc>>,
    /// When the last run began.
    pub started_at: Option<DateTime<Utc>>,
    /// When the last run that ended did so.
    pub ended_at: Option<DateTime<Utc>>,
    /// How long that one took, milliseconds.
    pub duration_ms: Option<i64>,
    /// `ok` or `failed`, of that one.
    #[sea_orm(column_type = "Text", nullable)]
    pub result: Option<String>,
    /// What it did, or why it failed, for people.
    #[sea_orm(column_type = "Text", nullable)]
    pub detail: Option<String>,
    /// Runs that ended.
    pub runs: i64,
    /// Those that failed.
    pub failures: i64,
    /// Who ran it last.
    #[sea_orm(column_type = "Text", nullable)]
    pub runner: Option<String>,
    /// What one run leaves for the next, such as how far it came.
    #[sea_orm(column_type = "Text", nullable)]
    pub state: Option<String>,
}

/// No relations: found by name.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl From<Model> for ScheduledJob {
    fn from(row: Model) -> Self {
        Self {
            name: row.name,
            schedule: row.schedule,
            due_at: row.due_at.into(),
            requested_at: row.requested_at.map(Into::into),
            started_at: row.started_at.map(Into::into),
            ended_at: row.ended_at.map(Into::into),
            duration_ms: row.duration_ms.map(i64::unsigned_abs),
            result: row.result,
            detail: row.detail,
            runs: row.runs.unsigned_abs(),
            failures: row.failures.unsigned_abs(),
            runner: row.runner,
        }
    }
}

/// Makes the row of a job, due at `due_at`; of one that exists, only the schedule is brought up to date.
///
/// # Errors
/// When the database fails.
pub async fn ensure(
    db: &impl ConnectionTrait,
    name: &str,
    schedule: &str,
    due_at: DateTime<Utc>,
) -> Result<(), StoreError> {
    let fresh = ActiveModel {
        name: Set(name.to_owned()),
        schedule: Set(schedule.to_owned()),
        due_at: Set(due_at),
        runs: Set(0),
        failures: Set(0),
        ..<ActiveModel as Default>::default()
    };
    let exists = OnConflict::column(Column::Name).update_column(Column::Schedule).to_owned();
    Entity::insert(fresh).on_conflict(exists).exec_without_returning(db).await?;
    Ok(())
}

/// A job.
///
/// # Errors
/// When the database fails.
pub async fn find(db: &impl ConnectionTrait, name: &str) -> Result<Option<Model>, StoreError> {
    Ok(Entity::find_by_id(name.to_owned()).one(db).await?)
}

/// All jobs by name.
///
/// # Errors
/// When the database fails.
pub async fn all(db: &impl ConnectionTrait) -> Result<Vec<Model>, StoreError> {
    Ok(Entity::find().order_by_asc(Column::Name).all(db).await?)
}

/// An operator wants it to run now. False: there is no such job.
///
/// # Errors
/// When the database fails.
pub async fn request(db: &impl ConnectionTrait, name: &str, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let update = Entity::update_many().col_expr(Column::RequestedAt, Expr::value(now)).filter(Column::Name.eq(name));
    Ok(update.exec(db).await?.rows_affected == 1)
}

/// Brings a due time forward to `latest`: with a clock that stepped back, or a new schedule, it would come too late.
///
/// # Errors
/// When the database fails.
pub async fn bring_forward(db: &impl ConnectionTrait, name: &str, latest: DateTime<Utc>) -> Result<(), StoreError> {
    let late = Condition::all().add(Column::Name.eq(name)).add(Column::DueAt.gt(latest));
    Entity::update_many().col_expr(Column::DueAt, Expr::value(latest)).filter(late).exec(db).await?;
    Ok(())
}

/// A run begins.
///
/// # Errors
/// When the database fails.
pub async fn record_start(
    db: &impl ConnectionTrait,
    name: &str,
    runner: &str,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    Entity::update_many()
        .col_expr(Column::StartedAt, Expr::value(now))
        .col_expr(Column::Runner, Expr::value(runner))
        .filter(Column::Name.eq(name))
        .exec(db)
        .await?;
    Ok(())
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinishedRun {
    /// What it did, or why it failed.
    pub result: Result<String, String>,
    /// When it ended.
    pub ended_at: DateTime<Utc>,
    /// How long it took, milliseconds.
    pub duration_ms: i64,
    /// When it is to run next.
    pub due_at: DateTime<Utc>,
    /// A request up to this time is answered by this run.
    pub requests_through: DateTime<Utc>,
}

/// Notes the end of a run. It belongs into one transaction with [`crate::lease::fence`].
///
/// # Errors
/// When the database fails.
pub async fn record_end(db: &impl ConnectionTrait, name: &str, run: &FinishedRun) -> Result<(), StoreError> {
    let (word, detail) = match &run.result {
        Ok(detail) => ("ok", detail),
        Err(detail) => ("failed", detail),
    };
    Entity::update_many()
        .col_expr(Column::EndedAt, Expr::value(run.ended_at))
        .col_expr(Column::DurationMs, Expr::value(run.duration_ms))
        .col_expr(Column::Result, Expr::value(word))
        .col_expr(Column::Detail, Expr::value(detail.as_str()))
        .col_expr(Column::Runs, Expr::col(Column::Runs).add(1))
        .col_expr(Column::Failures, Expr::col(Column::Failures).add(i64::from(run.result.is_err())))
        .col_expr(Column::DueAt, Expr::value(run.due_at))
        .filter(Column::Name.eq(name))
        .exec(db)
        .await?;
    Entity::update_many()
        .col_expr(Column::RequestedAt, Expr::value(None::<DateTime<Utc>>))
        .filter(Column::Name.eq(name))
        .filter(Column::RequestedAt.lte(run.requests_through))
        .exec(db)
        .await?;
    Ok(())
}

/// What this run leaves for the next. It belongs into one transaction with [`crate::lease::fence`].
///
/// # Errors
/// When the database fails.
pub async fn save_state(db: &impl ConnectionTrait, name: &str, state: Option<&str>) -> Result<(), StoreError> {
    Entity::update_many().col_expr(Column::State, Expr::value(state)).filter(Column::Name.eq(name)).exec(db).await?;
    Ok(())
}
