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

/// What the owner of an export is told: the database's own words may hold values of other people's rows.
pub(in crate::dataset) fn told(error: &DbErr) -> &'static str {
    match error {
        DbErr::Conn(_) | DbErr::ConnectionAcquire(_) => LOST,
        DbErr::Exec(RuntimeErr::SqlxError(e)) | DbErr::Query(RuntimeErr::SqlxError(e)) => match &**e {
            sqlx::Error::Database(e) => words(&e.code().unwrap_or_default(), e.message()),
            e if may_pass(e) => LOST,
            _ => OTHER,
        },
        _ => OTHER,
    }
}

/// What logs and dead letters hold of it: the code, and words that are never of a row. What a database says of a value that
/// is not of its type repeats the value; what it says of statements, connections and rights names tables and columns alone.
pub(in crate::dataset) fn logged(error: &DbErr) -> String {
    match error {
        DbErr::Exec(RuntimeErr::SqlxError(e)) | DbErr::Query(RuntimeErr::SqlxError(e)) => of_the_driver(e),
        DbErr::Conn(RuntimeErr::SqlxError(e)) => of_the_driver(e),
        DbErr::Conn(RuntimeErr::Internal(_)) | DbErr::ConnectionAcquire(_) => LOST.to_owned(),
        _ => "it gave a value that is not of its column's type, or none where one was expected".to_owned(),
    }
}

fn of_the_driver(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(e) => {
            let code = e.code().unwrap_or_default();
            if speaks_of_no_value(&code) {
                format!("{} ({code})", e.message())
            } else {
                format!("{} ({code})", words(&code, e.message()))
            }
        }
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::ColumnIndexOutOfBounds { .. } => error.to_string(),
        sqlx::Error::ColumnDecode { index, .. } => format!("the value of column {index} is not of its type"),
        sqlx::Error::RowNotFound => "it gave no row".to_owned(),
        _ => "its answer can't be read".to_owned(),
    }
}

/// Whether a database's message under this code is about statements, connections, rights or resources: of PostgreSQL the
/// classes for those, of SQLite what it says of a statement.
fn speaks_of_no_value(code: &str) -> bool {
    const CLASSES: [&str; 8] = ["08", "28", "3D", "3F", "42", "53", "57", "58"];
    match code.len() {
        5 => CLASSES.iter().any(|class| code.starts_with(class)) || code == LOCK_NOT_AVAILABLE,
        _ => code == "1" || code.parse::<u32>().is_ok_and(|code| SQLITE.contains(&(code & 0xff))),
    }
}

/// What is said of a connection that broke, or that can't be made.
const LOST: &str = "the connection to its database was lost, or can't be made";
/// What is said of everything that has no words of its own.
const OTHER: &str = "its data can't be read in the way that was asked for";

/// SQLite has one code for whatever a statement names and is not there, and tells them apart in its message alone.
fn words(code: &str, message: &str) -> &'static str {
    match code {
        "42P01" | "3F000" => "its table is no longer there",
        "42703" => "one of its columns is no longer there",
        "42501" => "the exporter may not read it any more",
        "3D000" => "its database is no longer there",
        "1" if message.starts_with("no such table") => "its table is no longer there",
        "1" if message.starts_with("no such column") => "one of its columns is no longer there",
        "57014" => "its database stopped to read it",
        "42804" | "42846" | "42883" => "one of its columns has changed its type",
        "5" | "6" | LOCK_NOT_AVAILABLE => "its database was busy with something else",
        code if code.len() == 5 => match code.get(..2).unwrap_or_default() {
            "08" | "57" => LOST,
            "22" => "one of its columns holds a value that is not of its type",
            "28" => "its database does not let the exporter in any more",
            "40" => "its database was busy with something else",
            "53" | "58" => "its database has no room or no connections left",
            _ => OTHER,
        },
        _ => OTHER,
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
    fn owners_are_told_what_happened_in_words() {
        for (code, message, word) in [
            ("42P01", "relation \"x\" does not exist", "table"),
            ("1", "no such table: x", "table"),
            ("42703", "", "column"),
            ("42501", "", "may not"),
            ("08006", "", "connection"),
            ("57P01", "", "connection"),
            ("22P02", "invalid input syntax for type bigint: \"secret\"", "type"),
            ("5é03", "", "can't be read"),
            ("", "", "can't be read"),
        ] {
            let told = words(code, message);
            assert!(told.contains(word) && !told.contains("secret"), "{code}: {told}");
        }
    }

    #[test]
    fn a_message_that_may_repeat_a_value_is_not_logged() {
        for (code, fine) in [
            ("42P01", true),
            ("28P01", true),
            ("57P01", true),
            ("1", true),
            ("5", true),
            ("22P02", false),
            ("22003", false),
            ("23505", false),
            ("P0001", false),
            ("XX000", false),
            ("20", false),
            ("", false),
        ] {
            assert_eq!(speaks_of_no_value(code), fine, "{code}");
        }
        let decode = sqlx::Error::ColumnDecode { index: "2".into(), source: "invalid datetime: secret".into() };
        let kept = logged(&DbErr::Query(RuntimeErr::SqlxError(decode.into())));
        assert!(kept.contains("column 2") && !kept.contains("secret"), "{kept}");
        assert!(!logged(&DbErr::Type("secret".into())).contains("secret"));
    }

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
