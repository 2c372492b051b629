//! Whether the balances are what the ledger says.

use protocol::id::Owner;
use sea_orm::{DbBackend, FromQueryResult, Statement, TransactionTrait, entity::prelude::*};

use super::with_new_version;
use crate::{StoreError, account};

/// Every account, and everybody who has entries, with what the account says and what the ledger says. A hold is open
/// until it is captured or released.
const COMPARE: &str = "
WITH open_hold AS (
    SELECT h.tenant, h.user_id, CAST(SUM(-h.amount) AS BIGINT) AS held
    FROM credit_entry h
    WHERE h.kind = 'hold' AND NOT EXISTS (
        SELECT 1 FROM credit_entry e
        WHERE e.export_id = h.export_id AND e.hold_attempt = h.hold_attempt AND e.kind IN ('capture', 'release'))
    GROUP BY h.tenant, h.user_id),
total AS (
    SELECT tenant, user_id, CAST(SUM(amount) AS BIGINT) AS balance FROM credit_entry GROUP BY tenant, user_id),
unfinished AS (
    SELECT tenant, user_id, CAST(SUM(credits) AS BIGINT) AS held FROM export
    WHERE status IN ('queued', 'dispatched', 'running') GROUP BY tenant, user_id),
person AS (
    SELECT tenant, user_id FROM credit_account UNION SELECT tenant, user_id FROM total)
SELECT p.tenant, p.user_id,
    COALESCE(a.balance, 0) AS balance, COALESCE(a.held, 0) AS held,
    COALESCE(t.balance, 0) AS ledger_balance, COALESCE(o.held, 0) AS ledger_held, COALESCE(x.held, 0) AS unfinished
FROM person p
LEFT JOIN credit_account a ON a.tenant = p.tenant AND a.user_id = p.user_id
LEFT JOIN total t ON t.tenant = p.tenant AND t.user_id = p.user_id
LEFT JOIN open_hold o ON o.tenant = p.tenant AND o.user_id = p.user_id
LEFT JOIN unfinished x ON x.tenant = p.tenant AND x.user_id = p.user_id
WHERE COALESCE(a.balance, 0) <> COALESCE(t.balance, 0)
    OR COALESCE(a.held, 0) <> COALESCE(o.held, 0)
    OR COALESCE(o.held, 0) <> COALESCE(x.held, 0)
ORDER BY p.tenant, p.user_id";

/// An account that does not add up.
#[derive(Clone, Debug, PartialEq, Eq, FromQueryResult)]
pub struct Finding {
    /// Whose it is.
    pub tenant: String,
    /// Whose it is.
    pub user_id: String,
    /// What the account says.
    pub balance: i64,
    /// What the account says.
    pub held: i64,
    /// The sum of the ledger.
    pub ledger_balance: i64,
    /// The holds that were neither captured nor released.
    pub ledger_held: i64,
    /// What the unfinished exports cost.
    pub unfinished: i64,
}

impl Finding {
    /// Whose it is.
    #[must_use]
    pub fn owner(&self) -> Owner {
        Owner::new(self.tenant.clone(), self.user_id.clone())
    }
}

/// Compares all accounts with the ledger, in one statement and so at one moment: those that differ.
///
/// # Errors
/// When the database fails.
pub async fn audit(db: &impl ConnectionTrait) -> Result<Vec<Finding>, StoreError> {
    let compare = Statement::from_string(db.get_database_backend(), COMPARE);
    Ok(Finding::find_by_statement(compare).all(db).await?)
}

/// Sets the accounts that differ to what the ledger says: which they were.
///
/// # Errors
/// When the database fails, or the ledger itself says less than nothing.
pub async fn rebuild(db: &DatabaseConnection) -> Result<Vec<Finding>, StoreError> {
    let tx = db.begin().await?;
    // no step may come between the comparison and the change, and each changes an account: on SQLite a write locks, on
    // PostgreSQL the table is
    match tx.get_database_backend() {
        DbBackend::Postgres => {
            tx.execute_unprepared("LOCK TABLE credit_account IN SHARE ROW EXCLUSIVE MODE").await?;
        }
        _ => {
            tx.execute_unprepared("UPDATE credit_account SET version = version WHERE 1 = 0").await?;
        }
    }
    let findings = audit(&tx).await?;
    for finding in &findings {
        let update = account::Entity::update_many()
            .col_expr(account::Column::Balance, Expr::value(finding.ledger_balance))
            .col_expr(account::Column::Held, Expr::value(finding.ledger_held))
            .filter(account::Column::Tenant.eq(&finding.tenant))
            .filter(account::Column::UserId.eq(&finding.user_id));
        with_new_version(update).exec(&tx).await?;
    }
    tx.commit().await?;
    Ok(findings)
}
