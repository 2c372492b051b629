//! The credit audit: compares the accounts with the ledger, and corrects them.

use protocol::id::Owner;
use sea_orm::{DbBackend, FromQueryResult, Statement, TransactionTrait, entity::prelude::*};

use super::with_new_version;
use crate::{StoreError, account};

/// The SQL query that compares each account with the sums of its ledger entries, and the open holds with the prices of
/// unfinished exports. A hold is open until its capture or release.
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
owner AS (
    SELECT tenant, user_id FROM credit_account UNION SELECT tenant, user_id FROM total)
SELECT p.tenant, p.user_id,
    COALESCE(a.balance, 0) AS balance, COALESCE(a.held, 0) AS held,
    COALESCE(t.balance, 0) AS ledger_balance, COALESCE(o.held, 0) AS ledger_held,
    COALESCE(x.held, 0) AS unfinished_price
FROM owner p
LEFT JOIN credit_account a ON a.tenant = p.tenant AND a.user_id = p.user_id
LEFT JOIN total t ON t.tenant = p.tenant AND t.user_id = p.user_id
LEFT JOIN open_hold o ON o.tenant = p.tenant AND o.user_id = p.user_id
LEFT JOIN unfinished x ON x.tenant = p.tenant AND x.user_id = p.user_id
WHERE COALESCE(a.balance, 0) <> COALESCE(t.balance, 0)
    OR COALESCE(a.held, 0) <> COALESCE(o.held, 0)
    OR COALESCE(o.held, 0) <> COALESCE(x.held, 0)
ORDER BY p.tenant, p.user_id";

/// An account whose numbers differ from its ledger entries.
#[derive(Clone, Debug, PartialEq, Eq, FromQueryResult)]
pub struct AccountDifference {
    /// The tenant of the owner.
    pub tenant: String,
    /// The user who owns the account.
    pub user_id: String,
    /// The balance in the account.
    pub balance: i64,
    /// The held credits in the account.
    pub held: i64,
    /// The sum of the amounts in the ledger.
    pub ledger_balance: i64,
    /// The sum of the open holds in the ledger.
    pub ledger_held: i64,
    /// The sum of the prices of unfinished exports.
    pub unfinished_price: i64,
}

impl AccountDifference {
    /// Returns the owner of the account: its tenant and user.
    #[must_use]
    pub fn owner(&self) -> Owner {
        Owner::new(self.tenant.clone(), self.user_id.clone())
    }
}

/// Returns the accounts that differ from the ledger. One statement compares all accounts, so the result is consistent.
///
/// # Errors
/// When the database fails.
pub async fn audit(db: &impl ConnectionTrait) -> Result<Vec<AccountDifference>, StoreError> {
    let compare = Statement::from_string(db.get_database_backend(), COMPARE);
    Ok(AccountDifference::find_by_statement(compare).all(db).await?)
}

/// Sets the balance and the held credits of each differing account to the sums of the ledger, and returns the
/// differences. Changes no ledger entry, so a difference between the open holds and the prices of unfinished exports
/// remains.
///
/// # Errors
/// When the database fails, or a sum of the ledger is negative.
pub async fn rebuild(db: &DatabaseConnection) -> Result<Vec<AccountDifference>, StoreError> {
    let tx = db.begin().await?;
    // no account may change between the comparison and the correction: SQLite locks with the first write, PostgreSQL
    // needs a table lock
    match tx.get_database_backend() {
        DbBackend::Postgres => {
            tx.execute_unprepared("LOCK TABLE credit_account IN SHARE ROW EXCLUSIVE MODE").await?;
        }
        _ => {
            tx.execute_unprepared("UPDATE credit_account SET version = version WHERE 1 = 0").await?;
        }
    }
    let differences = audit(&tx).await?;
    for difference in &differences {
        let update = account::Entity::update_many()
            .col_expr(account::Column::Balance, Expr::value(difference.ledger_balance))
            .col_expr(account::Column::Held, Expr::value(difference.ledger_held))
            .filter(account::Column::Tenant.eq(&difference.tenant))
            .filter(account::Column::UserId.eq(&difference.user_id));
        with_new_version(update).exec(&tx).await?;
    }
    tx.commit().await?;
    Ok(differences)
}
