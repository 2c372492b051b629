//! Writes texts for the operator about database errors that occur when the catalog is loaded.

use sea_orm::{DbErr, RuntimeErr};

use super::failure::{is_temporary_code, log_message};

/// Returns the text of an error that occurred when the catalog was loaded: the text for logs, and what the operator can
/// do.
pub(crate) fn operator_message(error: &DbErr) -> String {
    let advice = match error {
        DbErr::Exec(RuntimeErr::SqlxError(e))
        | DbErr::Query(RuntimeErr::SqlxError(e))
        | DbErr::Conn(RuntimeErr::SqlxError(e)) => {
            e.as_database_error().map(|e| operator_advice(&e.code().unwrap_or_default(), e.message()))
        }
        _ => None,
    };
    let advice = advice.unwrap_or("check that its database runs, and that the catalog names it correctly");
    format!("database: {}: {advice}", log_message(error))
}

/// Whether SQLite refused a statement because of its text, for example because of an unknown function or a syntax
/// error.
pub(crate) fn is_refused_by_sqlite(error: &DbErr) -> bool {
    let (DbErr::Exec(RuntimeErr::SqlxError(e)) | DbErr::Query(RuntimeErr::SqlxError(e))) = error else { return false };
    e.as_database_error().and_then(|e| e.code()).is_some_and(|code| code == "1")
}

/// Whether PostgreSQL refused a statement because of a missing right, table, schema or database, or because of a fault
/// in the query. Such an error does not end until an operator changes the catalog file or the database.
pub(crate) fn is_refused_by_postgres(error: &DbErr) -> bool {
    let (DbErr::Exec(RuntimeErr::SqlxError(e))
    | DbErr::Query(RuntimeErr::SqlxError(e))
    | DbErr::Conn(RuntimeErr::SqlxError(e))) = error
    else {
        return false;
    };
    let code = e.as_database_error().and_then(|e| e.code()).unwrap_or_default();
    code.len() == 5 && (code.starts_with("42") || code == "3F000" || code == "3D000")
}

/// Returns what the operator can do about an error with this code that occurred when the catalog was loaded. `message`
/// is the error text of the database, which distinguishes several causes with the same code.
fn operator_advice(code: &str, message: &str) -> &'static str {
    match code {
        "0A000" if message.contains("recovery") => {
            "name the primary in the `url` of the source, or make the table a logged one"
        }
        "1" => "correct the `query` in the catalog, or the view that it reads",
        "26" => "correct the `path` of the source",
        "42P01" | "3F000" => {
            "correct the name in the catalog, or create the table; a table whose own name has a dot needs a `query`, such as \
             SELECT * FROM schema.\"a.b\""
        }
        "42501" => "grant the exporter SELECT on it, and USAGE on its schema",
        "3D000" => "correct the name of the database in the `url` of the source",
        "57014" => {
            "a description of the columns may take 10 s: simplify the `query`, or raise the timeout of the database"
        }
        code if is_temporary_code(code) => "it is tried again at a later poll of the catalog",
        code if code.len() == 5 => match code.get(..2).unwrap_or_default() {
            "28" => "correct the login in the `url` of the source",
            "42" | "22" | "0A" | "25" => "correct the `query` in the catalog, or the view that it reads",
            _ => "see the log of the database",
        },
        _ => "see the log of the database",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_at_load_comes_with_advice_for_the_operator() {
        for (code, word) in [
            ("1", "`query`"),
            ("26", "`path`"),
            ("42P01", "has a dot"),
            ("42501", "USAGE"),
            ("28P01", "login"),
            ("42601", "`query`"),
            ("57P03", "tried again"),
            ("57014", "10 s"),
            ("XX000", "log"),
            ("19", "log"),
        ] {
            let advice = operator_advice(code, "");
            assert!(advice.contains(word), "{code}: {advice}");
        }
    }
}
