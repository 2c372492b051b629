//! Which failures of a database are worth another try.

use sea_orm::{DbErr, RuntimeErr, sqlx};

/// SQLSTATE classes that say nothing about the statement: connection, rollback by the database, resources, an
/// operator's doing, and the system below.
const SQLSTATES: [&str; 5] = ["08", "40", "53", "57", "58"];
/// A lock that was not to be had on PostgreSQL.
const LOCK_NOT_AVAILABLE: &str = "55P03";
/// SQLite's primary codes for the same: busy, locked, out of memory, I/O, disk full, can't open, and a schema that
/// changed under the statement.
const SQLITE: [u32; 7] = [5, 6, 7, 10, 13, 14, 17];

/// Whether the same statement may work a little later. One that the database understood and refused won't.
pub(in crate::dataset) fn is_transient(error: &DbErr) -> bool {
    match error {
        DbErr::Conn(_) | DbErr::ConnectionAcquire(_) => true,
        DbErr::Exec(RuntimeErr::SqlxError(e)) | DbErr::Query(RuntimeErr::SqlxError(e)) => may_pass(e),
        _ => false,
    }
}

fn may_pass(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(e) => e.code().is_some_and(|code| of_the_moment(&code)),
        // the connection or the pool
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        _ => false,
    }
}

/// A SQLSTATE has five characters, a code of SQLite fewer.
fn of_the_moment(code: &str) -> bool {
    if code.len() == 5 {
        return code == LOCK_NOT_AVAILABLE || SQLSTATES.iter().any(|class| code.starts_with(class));
    }
    // the low byte is the primary code
    code.parse::<u32>().is_ok_and(|code| SQLITE.contains(&(code & 0xff)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_statement_is_not_to_blame_for_may_pass() {
        for (code, passes) in [
            ("57P01", true),
            ("40001", true),
            ("55P03", true),
            ("42601", false),
            ("5", true),
            ("517", true),
            ("1", false),
        ] {
            assert_eq!(of_the_moment(code), passes, "{code}");
        }
        assert!(may_pass(&sqlx::Error::PoolTimedOut) && !may_pass(&sqlx::Error::RowNotFound));
    }
}
