//! The `scheduled_job` table: the schedule of each scheduled job, its last run and the result.
//!
//! The due time advances only after a successful run. So a job stays due after a failed run, if its notifier stops
//! during the run, or if no notifier runs.

use chrono::{DateTime, Utc};
use protocol::ops::ScheduledJob;
use sea_orm::{
    ActiveValue::Set,
    Condition, QueryOrder,
    entity::prelude::*,
    sea_query::{ExprTrait, OnConflict},
};

use crate::StoreError;

/// A row of `scheduled_job`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "scheduled_job")]
pub struct Model {
    /// The name of the job.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub name: String,
    /// The schedule as text for operators, such as a cron expression and its time zone, or `every 30 s`.
    #[sea_orm(column_type = "Text")]
    pub schedule: String,
    /// The time at which the next run is due; in the past while a run is due.
    pub due_at: DateTime<Utc>,
    /// The time at which an operator requested a run; None after that run.
    pub requested_at: Option<DateTime<Utc>>,
    /// The start of the last run.
    pub started_at: Option<DateTime<Utc>>,
    /// The end of the last run that ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// The duration of the run that ended last, in milliseconds.
    pub duration_ms: Option<i64>,
    /// The result of the run that ended last: `ok` or `failed`.
    #[sea_orm(column_type = "Text", nullable)]
    pub result: Option<String>,
    /// The summary or the error of the run that ended last, as text for operators.
    #[sea_orm(column_type = "Text", nullable)]
    pub detail: Option<String>,
    /// The number of runs that ended.
    pub runs: i64,
    /// The number of runs that failed.
    pub failures: i64,
    /// The notifier that started the last run.
    #[sea_orm(column_type = "Text", nullable)]
    pub runner: Option<String>,
    /// The state that a run saves for the next run, such as the position in a table.
    #[sea_orm(column_type = "Text", nullable)]
    pub state: Option<String>,
}

/// The relations of this table, which sea-orm requires. The type is empty, because all queries use the name.
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

/// Creates the row of a job, due at `due_at`. If the row exists, only its schedule text is updated.
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

/// Finds the row of a job by name.
///
/// # Errors
/// When the database fails.
pub async fn find(db: &impl ConnectionTrait, name: &str) -> Result<Option<Model>, StoreError> {
    Ok(Entity::find_by_id(name.to_owned()).one(db).await?)
}

/// Lists the rows of all scheduled jobs, ordered by name.
///
/// # Errors
/// When the database fails.
pub async fn all(db: &impl ConnectionTrait) -> Result<Vec<Model>, StoreError> {
    Ok(Entity::find().order_by_asc(Column::Name).all(db).await?)
}

/// Records that an operator requested a run of the job now. Returns false when the job does not exist.
///
/// # Errors
/// When the database fails.
pub async fn request(db: &impl ConnectionTrait, name: &str, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let update = Entity::update_many().col_expr(Column::RequestedAt, Expr::value(now)).filter(Column::Name.eq(name));
    Ok(update.exec(db).await?.rows_affected == 1)
}

/// Sets the due time to `latest` if the stored due time is later, for example because the clock was set back or the
/// schedule was changed.
///
/// # Errors
/// When the database fails.
pub async fn bring_forward(db: &impl ConnectionTrait, name: &str, latest: DateTime<Utc>) -> Result<(), StoreError> {
    let late = Condition::all().add(Column::Name.eq(name)).add(Column::DueAt.gt(latest));
    Entity::update_many().col_expr(Column::DueAt, Expr::value(latest)).filter(late).exec(db).await?;
    Ok(())
}

/// Records the start of a run.
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

/// The end of a run and its result, for [`record_end`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinishedRun {
    /// The summary of a successful run, or the error of a failed run, as text for operators.
    pub result: Result<String, String>,
    /// The end of the run.
    pub ended_at: DateTime<Utc>,
    /// The duration of the run, in milliseconds.
    pub duration_ms: i64,
    /// The time of the next run.
    pub due_at: DateTime<Utc>,
    /// The latest request time of an operator that this run fulfills.
    pub requests_through: DateTime<Utc>,
}

/// Records the end of a run, and clears the requests that the run fulfilled. Call it in one transaction with
/// [`crate::lease::fence`].
///
/// # Errors
/// When the database fails.
pub async fn record_end(db: &impl ConnectionTrait, name: &str, run: &FinishedRun) -> Result<(), StoreError> {
    let (result, detail) = match &run.result {
        Ok(detail) => ("ok", detail),
        Err(detail) => ("failed", detail),
    };
    Entity::update_many()
        .col_expr(Column::EndedAt, Expr::value(run.ended_at))
        .col_expr(Column::DurationMs, Expr::value(run.duration_ms))
        .col_expr(Column::Result, Expr::value(result))
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

/// Saves the state for the next run. Call it in one transaction with [`crate::lease::fence`].
///
/// # Errors
/// When the database fails.
pub async fn save_state(db: &impl ConnectionTrait, name: &str, state: Option<&str>) -> Result<(), StoreError> {
    Entity::update_many().col_expr(Column::State, Expr::value(state)).filter(Column::Name.eq(name)).exec(db).await?;
    Ok(())
}
