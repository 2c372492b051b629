//! Plans a dataset without the values of its parameters, to find out whether ranges of a key may read it.

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

/// The version of the first server that plans a statement without the values of its parameters.
const GENERIC_PLAN_SINCE: u32 = 160_000;

impl PostgresRows {
    /// Finds a reason why reading by ranges of a key could return other rows than one statement; None if there is no
    /// reason. Each export repeats this check with the values of its parameters, and reads by one statement if it finds
    /// a reason.
    ///
    /// # Errors
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

    /// Returns the generic plan of a statement with the placeholders `$1`, `$2` and so on; None if the server can't
    /// infer the types of the parameters, which also fails the transaction.
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

    /// Returns the generic plan of a statement from a server before PostgreSQL 16, which plans only prepared statements
    /// without the values of parameters. The statement has a random name, so that it clashes with no other statement on
    /// the server connection of a pooler, and is deallocated before the transaction ends.
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
        // a failed statement fails its transaction, in which nothing could be deallocated
        let deallocate = format!("ROLLBACK TO SAVEPOINT prepared; DEALLOCATE {name}");
        self.server.within(conn.execute(AssertSqlSafe(deallocate).into_sql_str())).await?;
        planned
    }
}
