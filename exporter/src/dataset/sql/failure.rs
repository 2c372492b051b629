//! Decides whether a retry may succeed after a database error. Also converts the error to texts for users and for logs.

use sea_orm::{DbErr, RuntimeErr, sqlx};

/// SQLSTATE classes of temporary errors: connection exceptions (08), rollbacks (40), insufficient resources (53),
/// operator intervention (57) and system errors (58).
const SQLSTATES: [&str; 5] = ["08", "40", "53", "57", "58"];
/// The SQLSTATE with which PostgreSQL refuses a lock that it can't grant in time.
const LOCK_NOT_AVAILABLE: &str = "55P03";
/// Primary result codes of SQLite for temporary errors: busy, locked, out of memory, I/O, disk full, can't open, and
/// schema changed.
const SQLITE: [u32; 7] = [5, 6, 7, 10, 13, 14, 17];

/// Whether a retry of the same statement may succeed. False if the database refused the statement because of its
/// content.
pub(in crate::dataset) fn is_transient(error: &DbErr) -> bool {
    match error {
        DbErr::Conn(_) | DbErr::ConnectionAcquire(_) => true,
        DbErr::Exec(RuntimeErr::SqlxError(e)) | DbErr::Query(RuntimeErr::SqlxError(e)) => is_temporary(e),
        _ => false,
    }
}

/// Returns the text of an error for the owner of the export. The text states the cause, and what the owner can do. It
/// does not repeat the error text of the database, which may contain values from rows that the owner must not see.
pub(in crate::dataset) fn user_message(error: &DbErr) -> String {
    match error {
        DbErr::Conn(RuntimeErr::SqlxError(e)) if is_locked(e) => with_advice(LOCKED, TRY_LATER),
        DbErr::Conn(_) | DbErr::ConnectionAcquire(_) => with_advice(LOST, TRY_LATER),
        DbErr::Exec(RuntimeErr::SqlxError(e)) | DbErr::Query(RuntimeErr::SqlxError(e)) => match &**e {
            sqlx::Error::Database(e) => {
                let code = e.code().unwrap_or_default();
                with_advice(text_of(&code, e.message()), advice_for(&code, e.message()))
            }
            e if is_temporary(e) => with_advice(LOST, TRY_LATER),
            _ => with_advice(OTHER, ASK),
        },
        _ => with_advice(OTHER, ASK),
    }
}

fn with_advice(cause: &str, advice: &str) -> String {
    format!("{cause}: {advice}")
}

/// Returns the text of an error for logs and dead letters. The text contains the error code of the database, if there
/// is one, and no value of a row. The error text of the database is included only if [`is_safe_to_log`] allows it for
/// the error code; otherwise a fixed text for the error code replaces it.
pub(in crate::dataset) fn log_message(error: &DbErr) -> String {
    match error {
        DbErr::Exec(RuntimeErr::SqlxError(e)) | DbErr::Query(RuntimeErr::SqlxError(e)) => driver_message(e),
        DbErr::Conn(RuntimeErr::SqlxError(e)) => driver_message(e),
        DbErr::Conn(RuntimeErr::Internal(_)) | DbErr::ConnectionAcquire(_) => LOST.to_owned(),
        _ => "it gave a value that is not of its column's type, or NULL where a value was expected".to_owned(),
    }
}

fn driver_message(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(e) => {
            let code = e.code().unwrap_or_default();
            if is_safe_to_log(&code) {
                format!("{} ({code})", e.message())
            } else {
                format!("{} ({code})", text_of(&code, e.message()))
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

/// Whether database messages with this error code contain no values of rows. Messages about statements, connections,
/// permissions and resources only name objects such as tables and columns. On PostgreSQL, the SQLSTATE decides. On
/// SQLite, the messages about errors of statements (code 1) and about temporary errors are safe.
fn is_safe_to_log(code: &str) -> bool {
    const CLASSES: [&str; 10] = ["08", "25", "28", "3D", "3F", "42", "53", "55", "57", "58"];
    match code.len() {
        5 => CLASSES.iter().any(|class| code.starts_with(class)),
        _ => code == "1" || primary_code(code).is_some_and(|code| SQLITE.contains(&code)),
    }
}

/// The text for the owner of the export if the connection to the database broke or was refused.
const LOST: &str = "the connection to its database was lost, or can't be made";
/// The text for the owner of the export if another program holds the lock of a SQLite file.
const LOCKED: &str = "another program writes to its SQLite file, and held the lock for longer than an export waits";
/// The text for the owner of the export if the query of the dataset writes to the database.
const CHANGES: &str = "its query changes the database, and an export only reads";
/// The text for the owner of the export if no more specific text fits the error.
const OTHER: &str = "its data can't be read as requested";

const TRY_LATER: &str = "try again later";
const ASK: &str = "ask the operator, whose log has the cause";

/// Returns what the owner of the export can do about an error with this code. `message` is the error text of the
/// database. Several causes may have the same code, and only `message` distinguishes them.
fn advice_for(code: &str, message: &str) -> &'static str {
    match code {
        "42501" => "ask the operator to grant it SELECT",
        "25006" | "55000" => "ask the operator to change the dataset's query or its source",
        "42P01" | "3F000" | "3D000" | "42703" | "42804" | "42846" | "42883" => "ask the operator to update the catalog",
        "1" if message.starts_with("no such ") => "ask the operator to update the catalog",
        "57014" => "export fewer rows, or ask the operator to raise the timeout of its database",
        code if is_temporary_code(code) => TRY_LATER,
        code if code.len() == 5 => match code.get(..2).unwrap_or_default() {
            "0A" => "ask the operator to change the dataset's query",
            "22" => {
                "leave out the column that is computed from such a value, exclude its rows with a filter, or ask the operator \
                 to correct the dataset's query"
            }
            "28" => "ask the operator to renew the login",
            _ => ASK,
        },
        _ => ASK,
    }
}

/// Returns the cause of a database error with this code, as a text without values of rows. `message` is the error text
/// of the database. Several causes may have the same code, such as missing tables and missing columns in SQLite, and
/// only `message` distinguishes them.
fn text_of(code: &str, message: &str) -> &'static str {
    match code {
        "25006" => read_only(message),
        "55000" if message.contains("has not been populated") => {
            "its materialized view holds no rows yet: it needs a REFRESH MATERIALIZED VIEW"
        }
        "40001" | "57P04" if message.contains("recovery") => {
            "its database is a standby, which canceled the query in favor of a change of the primary"
        }
        "42P01" | "3F000" => "its table is no longer there",
        "42703" => "one of its columns is no longer there",
        "42501" => "the exporter has no right to read it",
        "3D000" => "its database is no longer there",
        "1" if message.starts_with("no such table") => "its table is no longer there",
        "1" if message.starts_with("no such column") => "one of its columns is no longer there",
        "57014" => "its database canceled the query",
        "42804" | "42846" | "42883" => "one of its columns has changed its type",
        "26" => "its file is no SQLite database",
        "11" => "its SQLite file is damaged",
        LOCK_NOT_AVAILABLE => "its database was busy with something else",
        code if is_locked_code(code) => LOCKED,
        code if code.len() == 5 => match code.get(..2).unwrap_or_default() {
            "08" | "57" => LOST,
            "0A" if message.contains("data-modifying") => CHANGES,
            "0A" if message.contains("recovery") => {
                "its database is a standby, which has no rows of temporary and unlogged tables: read them from the primary"
            }
            "0A" => "its query uses a feature that its database does not support",
            "22" => data_exception(code),
            "28" => "its database no longer accepts the exporter's login",
            "40" => "its database was busy with something else",
            "53" | "58" => "its database has no room or no connections left",
            _ => OTHER,
        },
        _ => OTHER,
    }
}

/// Returns the cause of an error with which PostgreSQL refused a statement in a read-only transaction or on a standby.
/// `message` is the error text of PostgreSQL.
fn read_only(message: &str) -> &'static str {
    const LOCKS: [&str; 4] = ["FOR UPDATE", "FOR NO KEY UPDATE", "FOR SHARE", "FOR KEY SHARE"];
    if LOCKS.iter().any(|lock| message.contains(lock)) {
        "its query locks rows (FOR UPDATE), and an export only reads"
    } else if message.contains("nextval") || message.contains("setval") {
        "its query takes a number of a sequence (nextval), and an export only reads"
    } else {
        CHANGES
    }
}

/// Returns the cause of an error whose SQLSTATE is in the class "data exception"
/// (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
fn data_exception(code: &str) -> &'static str {
    match code {
        "22001" => "a text is longer than its type allows",
        "22003" => "a number is outside the range of its type",
        "22002" | "22004" => "NULL stands where its query needs a value",
        "22007" | "22009" => "a text is no date or time",
        "22008" | "22015" => "a date, time or interval is outside the range of its type",
        "22012" => "its query divides by zero",
        "22011" | "22022" | "22023" | "2201B" | "2201E" | "2201F" | "2201G" => {
            "a function of its query got an argument that it does not accept"
        }
        "22013" | "22014" | "22016" => "a window or percentile of its query has an invalid argument",
        "2201W" | "2201X" => "LIMIT or OFFSET of its query is negative",
        "22021" | "22P05" => "a text has a character that the encoding of the database or UTF-8 does not have",
        "2202E" => "an array has the wrong number of subscripts",
        "2200L" | "2200M" | "2200N" | "2200S" | "2200T" => "a text is no valid XML",
        code if code.starts_with("2203") => "a JSON value is not as its query expects",
        "22018" | "22P02" | "22P03" => "one of its columns holds a value that is not of its type",
        _ => "an expression of its query can't be computed for one of its rows",
    }
}

fn is_temporary(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(e) => e.code().is_some_and(|code| is_temporary_code(&code)),
        // errors of the connection or of the pool
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        _ => false,
    }
}

/// Whether an error with this code is temporary. A code of five characters is a SQLSTATE, and a shorter code is a code
/// of SQLite.
pub(super) fn is_temporary_code(code: &str) -> bool {
    if code.len() == 5 {
        return code == LOCK_NOT_AVAILABLE || SQLSTATES.iter().any(|class| code.starts_with(class));
    }
    primary_code(code).is_some_and(|code| SQLITE.contains(&code))
}

/// Whether the error means that SQLite could not get a lock in time.
fn is_locked(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(e) if e.code().is_some_and(|code| is_locked_code(&code)))
}

fn is_locked_code(code: &str) -> bool {
    code.len() < 5 && matches!(primary_code(code), Some(5 | 6))
}

/// Returns the primary result code of a SQLite result code, which is its lowest byte. Returns None if `code` is not a
/// number.
fn primary_code(code: &str) -> Option<u32> {
    code.parse::<u32>().ok().map(|code| code & 0xff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_messages_name_the_cause_without_values() {
        for (code, message, word) in [
            ("42P01", "relation \"x\" does not exist", "table"),
            ("1", "no such table: x", "table"),
            ("42703", "", "column"),
            ("42501", "permission denied for table x", "no right"),
            ("22012", "division by zero", "divides by zero"),
            ("22003", "bigint out of range", "outside the range"),
            ("22008", "timestamp out of range", "date, time or interval"),
            ("22007", "invalid input syntax for type date: \"secret\"", "no date"),
            ("22P05", "", "encoding"),
            ("22032", "", "JSON"),
            ("2200N", "", "XML"),
            ("2201X", "OFFSET must not be negative", "negative"),
            ("22ABC", "", "can't be computed"),
            ("25006", "cannot execute nextval() in a read-only transaction", "nextval"),
            ("25006", "cannot execute nextval() during recovery", "nextval"),
            ("25006", "cannot execute SELECT FOR UPDATE in a read-only transaction", "FOR UPDATE"),
            ("25006", "cannot execute SELECT FOR KEY SHARE in a read-only transaction", "FOR UPDATE"),
            ("25006", "cannot execute UPDATE in a read-only transaction", "only reads"),
            ("55000", "materialized view \"x\" has not been populated", "REFRESH"),
            ("55000", "something else", "can't be read"),
            ("40001", "canceling statement due to conflict with recovery", "standby"),
            ("40001", "could not serialize access", "busy"),
            ("08006", "", "connection"),
            ("57P01", "", "connection"),
            ("5", "database is locked", "held the lock"),
            ("261", "database is locked", "held the lock"),
            ("22P02", "invalid input syntax for type bigint: \"secret\"", "type"),
            ("0A000", "unsupported XML feature", "does not support"),
            ("0A000", "cannot access temporary or unlogged relations during recovery", "from the primary"),
            ("0A000", "WITH clause containing a data-modifying statement must be at the top level", "only reads"),
            ("5é03", "", "can't be read"),
            ("", "", "can't be read"),
        ] {
            let text = text_of(code, message);
            assert!(text.contains(word) && !text.contains("secret"), "{code}: {text}");
        }
    }

    #[test]
    fn each_error_comes_with_advice() {
        for (code, word) in [
            ("42501", "grant"),
            ("42P01", "catalog"),
            ("1", "operator"),
            ("25006", "query"),
            ("0A000", "query"),
            ("22012", "leave out"),
            ("57014", "fewer rows"),
            ("57P01", "later"),
            ("5", "later"),
            ("28P01", "login"),
            ("XX000", "operator"),
            ("", "operator"),
        ] {
            let advice = advice_for(code, "");
            assert!(advice.contains(word), "{code}: {advice}");
        }
        assert!(advice_for("1", "no such column: x").contains("catalog"));
    }

    #[test]
    fn a_message_that_may_repeat_a_value_is_not_logged() {
        for (code, fine) in [
            ("42P01", true),
            ("28P01", true),
            ("57P01", true),
            ("25006", true),
            ("55000", true),
            ("55P03", true),
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
            assert_eq!(is_safe_to_log(code), fine, "{code}");
        }
        let decode = sqlx::Error::ColumnDecode { index: "2".into(), source: "invalid datetime: secret".into() };
        let kept = log_message(&DbErr::Query(RuntimeErr::SqlxError(decode.into())));
        assert!(kept.contains("column 2") && !kept.contains("secret"), "{kept}");
        assert!(!log_message(&DbErr::Type("secret".into())).contains("secret"));
    }

    #[test]
    fn only_errors_outside_of_the_statement_are_temporary() {
        for (code, passes) in [
            ("57P01", true),
            ("40001", true),
            ("55P03", true),
            ("42601", false),
            ("5", true),
            ("517", true),
            ("1", false),
        ] {
            assert_eq!(is_temporary_code(code), passes, "{code}");
        }
        assert!(is_temporary(&sqlx::Error::PoolTimedOut) && !is_temporary(&sqlx::Error::RowNotFound));
    }
}
