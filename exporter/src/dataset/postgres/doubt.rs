//! Decides whether a dataset can be read by several statements, each of which reads one range of a key column.
//! Together, these statements must return the same rows as a single statement. The check runs when the catalog is
//! loaded. The parameters of a query have no values then, so the check uses a plan that the server makes without them.

use protocol::filter::Filter;
use sea_orm::{
    sea_query::PostgresQueryBuilder,
    sqlx::{AssertSqlSafe, Executor, PgConnection, SqlSafeStr},
};
use serde_json::Map;
use tracing::debug;
use uuid::Uuid;

use super::{
    super::{
        DatasetError, Query,
        sql::{Natives, Source},
    },
    PostgresRows,
    plan::{Doubt, Plan},
};

/// The first server version that can plan a statement without the values of its parameters: PostgreSQL 16.
const GENERIC_PLAN_SINCE: u32 = 160_000;

impl PostgresRows {
    /// Returns a reason why reading by ranges of a key could return other rows than a single statement. Returns None if
    /// the check finds no reason, or if the server can't plan the statement without the values of its parameters. Each
    /// export repeats the check with the values of its parameters.
    ///
    /// # Errors
    ///
    /// When the server can't be reached.
    pub(crate) async fn split_doubt(&self) -> Result<Option<Doubt>, DatasetError> {
        let columns = self.info.columns.iter().map(|column| column.name.clone()).collect();
        let all = Query { columns, filter: Filter::all(), params: Map::new(), limit: None };
        let select = self.select(&all, &Natives::default())?.to_string(PostgresQueryBuilder);
        let mut session = self.server.connect_briefly().await?;
        let doubt = self.doubt_of(&mut session.conn, &all, &select).await;
        session.close(&self.server).await;
        doubt
    }

    async fn doubt_of(
        &self,
        conn: &mut PgConnection,
        all: &Query,
        select: &str,
    ) -> Result<Option<Doubt>, DatasetError> {
        let (statement, plan) = match &self.source {
            Source::Query(text) if !self.info.params.is_empty() => {
                let statement = text.numbered() + select;
                match self.generic(conn, &statement, text.places()).await? {
                    Some(plan) => (statement, plan),
                    None => return Ok(None),
                }
            }
            _ => {
                let statement = self.before(all)? + select;
                let plan = self.plan(conn, &statement).await?;
                (statement, plan)
            }
        };
        plan.split_doubt(&self.server, conn, &statement).await
    }

    /// Returns the generic plan of a statement, which the server makes without values for the placeholders `$1`, `$2`
    /// and so on. Returns None if the server refuses the statement, for example because it can't infer the type of a
    /// parameter. The transaction may then have failed, and accept no further statement.
    async fn generic(
        &self,
        conn: &mut PgConnection,
        statement: &str,
        places: usize,
    ) -> Result<Option<Plan>, DatasetError> {
        let planned = if conn.server_version_num().unwrap_or_default() >= GENERIC_PLAN_SINCE {
            let explain = format!("EXPLAIN (GENERIC_PLAN, VERBOSE, FORMAT JSON) {statement}");
            self.number(conn, explain).await
        } else {
            self.prepared_plan(conn, statement, places).await
        };
        match planned {
            Ok(plan) => Ok(Some(Plan::parse(&plan.unwrap_or_default()).generic())),
            Err(e) if e.is_transient() => Err(e),
            Err(e) => {
                debug!(error = %e, "failed to plan a query without the values of its parameters");
                Ok(None)
            }
        }
    }

    /// Returns the generic plan of a statement as JSON text, from a server before PostgreSQL 16. `places` is the number
    /// of placeholders in the statement. Such a server makes generic plans only for prepared statements. The prepared
    /// statement has a random name, because other clients of a pooler may use the same server connection. This function
    /// deallocates the prepared statement before it returns.
    async fn prepared_plan(
        &self,
        conn: &mut PgConnection,
        statement: &str,
        places: usize,
    ) -> Result<Option<String>, DatasetError> {
        let name = format!("sluice_{}", Uuid::new_v4().simple());
        let prepare = format!(
            "SET LOCAL plan_cache_mode = force_generic_plan; PREPARE {name} AS {statement}; SAVEPOINT prepared"
        );
        self.server.within(conn.execute(AssertSqlSafe(prepare).into_sql_str())).await?;
        let nulls = vec!["NULL"; places].join(", ");
        let planned = self.number(conn, format!("EXPLAIN (VERBOSE, FORMAT JSON) EXECUTE {name} ({nulls})")).await;
        // if the plan failed, the transaction refuses the `DEALLOCATE` until it is rolled back to the savepoint
        let deallocate = format!("ROLLBACK TO SAVEPOINT prepared; DEALLOCATE {name}");
        self.server.within(conn.execute(AssertSqlSafe(deallocate).into_sql_str())).await?;
        planned
    }
}
