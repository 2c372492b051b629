//! Distinguishes an outage of the database from an error of the statement.

use sea_orm::{DbErr, RuntimeErr, sqlx};

/// SQLSTATE classes of an outage: connection exceptions (08), insufficient resources such as a full disk (53), operator
/// intervention such as a shutdown (57P), and system errors (58). Source: appendix A of the PostgreSQL documentation.
const SQLSTATES: [&str; 4] = ["08", "53", "57P", "58"];
/// The SQLSTATE of a write to a standby, which a client reaches during a failover.
const READ_ONLY: &str = "25006";
/// Primary result codes of SQLite for an outage: busy, locked, read-only, I/O error, disk full and can't open. Source:
/// <https://sqlite.org/rescode.html>.
const SQLITE: [u32; 6] = [5, 6, 8, 10, 13, 14];

/// Whether a statement or a connection failed because the database is unavailable or has no space. The same statement
/// succeeds after such an outage. A refused login or an invalid URL is no outage.
#[must_use]
pub fn is_outage(error: &DbErr) -> bool {
    let error = match error {
        DbErr::ConnectionAcquire(_) => return true,
        DbErr::Conn(RuntimeErr::SqlxError(e))
        | DbErr::Exec(RuntimeErr::SqlxError(e))
        | DbErr::Query(RuntimeErr::SqlxError(e)) => &**e,
        _ => return false,
    };
    match error {
        sqlx::Error::Database(e) => e.code().is_some_and(|code| is_outage_code(&code)),
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        _ => false,
    }
}

/// Whether this error code means an outage. A SQLSTATE of PostgreSQL has five characters, and a code of SQLite has
/// fewer.
fn is_outage_code(code: &str) -> bool {
    if code.len() == 5 {
        return code == READ_ONLY || SQLSTATES.iter().any(|class| code.starts_with(class));
    }
    // the low byte of an extended code is the primary code
    code.parse::<u32>().is_ok_and(|code| SQLITE.contains(&(code & 0xff)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_an_outage_and_a_refused_statement_is_not() {
        // too many connections, disk full, shutdown, connection failure, a standby; SQLite: full, I/O error of the WAL
        for code in ["53300", "53100", "57P01", "08006", "25006", "13", "522", "5", "14"] {
            assert!(is_outage_code(code), "{code}");
        }
        // unique violation, syntax error, canceled statement; SQLite: constraint, generic error
        for code in ["23505", "42601", "57014", "19", "2067", "1", ""] {
            assert!(!is_outage_code(code), "{code}");
        }
    }
}
