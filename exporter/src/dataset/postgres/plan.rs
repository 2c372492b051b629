//! Reads the server's plan of a statement. The plan states the expected number of rows, and shows whether the statement
//! can be split into ranges of a key.
//!
//! A split statement runs once for each range, and all runs must have the same rows. This module therefore refuses to
//! split a plan whose rows can differ between runs, such as a plan with a volatile function. The module checks the plan
//! and not the text of the statement, because the text does not show the bodies of views and functions, while the plan
//! shows every evaluated expression.

mod nodes;
mod time_texts;

use std::collections::BTreeSet;

use sea_orm::{
    sea_query::{PostgresQueryBuilder, QueryBuilder},
    sqlx::{AssertSqlSafe, Executor, PgConnection, Row, SqlSafeStr},
};
use serde_json::Value;

use self::{
    nodes::{DISTINCT_ON, LIMIT, leading, refused},
    time_texts::{late_time_text, time_text},
};
use super::{
    super::DatasetError,
    server::{PostgresServer, failed},
};

/// The keys of a JSON plan whose values are names, not expressions. The search for functions and time keywords skips
/// these keys.
const NAMES: [&str; 17] = [
    "Node Type",
    "Parent Relationship",
    "Strategy",
    "Partial Mode",
    "Join Type",
    "Scan Direction",
    "Index Name",
    "Relation Name",
    "Schema",
    "Alias",
    "Function Name",
    "CTE Name",
    "Tuplestore Name",
    "Subplan Name",
    "Command",
    "Operation",
    "Sort Method",
];
/// SQL keywords for the current time.
const TIME_KEYWORDS: [&str; 5] = ["CURRENT_DATE", "CURRENT_TIME", "CURRENT_TIMESTAMP", "LOCALTIME", "LOCALTIMESTAMP"];
/// A regular expression for the names of those `STABLE` functions of PostgreSQL whose results may differ between two
/// connections that share a snapshot.
const SESSION_FUNCTIONS: &str = "^(now|statement_timestamp|transaction_timestamp|inet_client_.*|pg_backend_pid|pg_stat_get_.*|\
                            pg_my_temp_schema|pg_current_xact_id.*|txid_current|txid_current_if_assigned)$";
/// A regular expression for words that, in the body of a user-defined function, may make its results differ between two
/// connections that share a snapshot. The plan does not show the body of a function.
const SUSPECT_WORDS: &str = "\\m(now|current_date|current_time|current_timestamp|localtime|localtimestamp|clock_timestamp|\
                       statement_timestamp|transaction_timestamp|timeofday|random|gen_random_uuid|limit|pg_backend_pid)\\M";

/// A plan from `EXPLAIN (VERBOSE, FORMAT JSON)`. The second field is true if the plan is generic, that is, made without
/// the values of parameters.
#[derive(Clone, Debug, Default)]
pub(super) struct Plan(Value, bool);

impl Plan {
    /// Parses the output of `EXPLAIN`. Returns an empty plan if the text is not a plan.
    pub(super) fn parse(json: &str) -> Self {
        let mut all: Value = serde_json::from_str(json).unwrap_or_default();
        Self(all.get_mut(0).and_then(|first| first.get_mut("Plan")).map(Value::take).unwrap_or_default(), false)
    }

    /// Returns this plan as a generic plan, that is, one that the server made without the values of parameters.
    pub(super) fn generic(self) -> Self {
        Self(self.0, true)
    }

    /// Returns the number of rows that the planner expects, and the total cost in the planner's units. Returns None for
    /// an empty plan.
    pub(super) fn expected(&self) -> Option<(u64, f64)> {
        let number = |name: &str| self.0[name].as_f64();
        number("Plan Rows").zip(number("Total Cost")).map(|(rows, cost)| (rows.max(0.0) as u64, cost))
    }

    /// Returns a reason why `statement`, whose plan this is, may return other rows on another connection that shares
    /// the snapshot. Returns None if there is no such reason.
    pub(super) async fn split_doubt(
        &self,
        server: &PostgresServer,
        conn: &mut PgConnection,
        statement: &str,
    ) -> Result<Option<Doubt>, DatasetError> {
        let mut found = Found { is_generic: self.1, ..Found::default() };
        found.node(&self.0);
        let reason = found.reason.take().or_else(|| time_text(statement, &found.text).map(Doubt::written));
        let reason = reason.or_else(|| late_time_text(&found.text).map(Doubt::written));
        if let Some(doubt) = reason {
            return Ok(Some(doubt.in_statement(statement)));
        }
        if !found.leading.is_empty() {
            // a query for a minimum and a query with LIMIT can have the same plan, so the keywords of the statement
            // decide
            let doubt = Doubt { reason: LIMIT.to_owned(), is_written: false }.in_statement(statement);
            if doubt.is_written {
                return Ok(Some(doubt));
            }
        }
        let ask = found.volatility_query();
        let row = server.within(conn.fetch_optional(AssertSqlSafe(ask).into_sql_str())).await?;
        let reason = row.map(|row| row.try_get_unchecked::<String, _>(0)).transpose().map_err(failed)?;
        // an operator or cast is found by its name alone, and the statement may use a harmless one of the same name, so
        // only a function (`name()`) is certain
        Ok(reason.map(|reason| Doubt { is_written: reason.ends_with("()"), reason }.in_statement(statement)))
    }
}

/// The reason why a statement must not be split into ranges: if each range is read separately, the rows may differ from
/// the rows of the whole statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Doubt {
    /// The SQL keyword, function or feature of the statement that may cause the difference.
    pub(crate) reason: String,
    /// Whether the statement itself, or a view or function in it, certainly has this SQL keyword, function or feature.
    /// False if the planner may have added it for the current data; the plan of a later export may then lack it. Also
    /// false for an operator or cast, which may only have the same name as a volatile operator or cast.
    pub(crate) is_written: bool,
}

impl Doubt {
    fn written(reason: String) -> Self {
        Self { reason, is_written: true }
    }

    /// Sets `is_written` if `reason` is a clause that the text `statement` contains. For [`LIMIT`], any of the words
    /// `limit`, `fetch` and `offset` counts; for [`DISTINCT_ON`], the words `distinct on`. Returns the doubt unchanged
    /// for any other reason or text.
    fn in_statement(self, statement: &str) -> Self {
        let bare = without_texts(statement).to_lowercase();
        let words: Vec<_> =
            bare.split(|c: char| c != '_' && !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
        let has = |sought: &[&str]| words.windows(sought.len()).any(|found| found == sought);
        let is_written = self.is_written
            || match self.reason.as_str() {
                LIMIT => ["limit", "fetch", "offset"].iter().any(|word| has(&[word])),
                DISTINCT_ON => has(&["distinct", "on"]),
                _ => false,
            };
        Self { is_written, ..self }
    }
}

/// The expressions and functions that were found in a plan. Also the reason against splitting the statement, if one was
/// found.
#[derive(Default)]
struct Found {
    is_generic: bool,
    reason: Option<Doubt>,
    /// All expressions of the plan, one on each line.
    text: String,
    /// All expressions of the plan without their string literals, one on each line.
    bare: String,
    /// The schemas and names of all called functions. The schema is empty if the expression does not state it.
    functions: BTreeSet<(String, String)>,
    /// The indexes from which the plan takes the first value of a column. Each entry has the schema and the name of the
    /// index, and the column as the plan writes it.
    leading: BTreeSet<(String, String, String)>,
}

impl Found {
    fn node(&mut self, node: &Value) {
        let Value::Object(members) = node else { return };
        if let Some(leading) = leading(node) {
            self.leading.insert(leading);
        } else if let Some(doubt) = refused(node, self.is_generic)
            && self.reason.as_ref().is_none_or(|known| !known.is_written)
        {
            self.reason = Some(doubt);
        }
        for (name, value) in members {
            match value {
                Value::Array(nodes) if name == "Plans" => nodes.iter().for_each(|node| self.node(node)),
                value if !NAMES.contains(&name.as_str()) => self.texts(value),
                _ => {}
            }
        }
    }

    /// Collects the expressions in a member of a plan node: a text, or nested lists of texts such as the keys of a
    /// sort.
    fn texts(&mut self, value: &Value) {
        match value {
            Value::String(text) => self.expression(text),
            Value::Array(values) => values.iter().for_each(|value| self.texts(value)),
            Value::Object(members) => members.values().for_each(|value| self.texts(value)),
            _ => {}
        }
    }

    fn expression(&mut self, text: &str) {
        self.text.push_str(text);
        self.text.push('\n');
        let bare = without_texts(text);
        let mut rest = bare.as_str();
        while let Some(at) = rest.find(|c: char| c == '"' || c == '_' || c.is_alphabetic()) {
            let mut is_word = !rest[at..].starts_with('"');
            let (mut name, length) = part(&rest[at..]);
            let mut schema = String::new();
            rest = &rest[at + length..];
            while let Some((next, length)) = rest.strip_prefix('.').map(part).filter(|(_, length)| *length > 0) {
                schema = std::mem::replace(&mut name, next);
                rest = &rest[1 + length..];
                is_word = false;
            }
            if is_word && TIME_KEYWORDS.contains(&name.as_str()) {
                let known = self.reason.take().filter(|known| known.is_written);
                self.reason = known.or_else(|| Some(Doubt::written(name.to_lowercase())));
            }
            if rest.starts_with('(') {
                self.functions.insert((schema, name));
            }
        }
        self.bare.push_str(&bare);
        self.bare.push('\n');
    }

    /// Builds an SQL statement that searches the functions, operators and casts of the plan for one whose result may
    /// differ between two connections that share a snapshot. The statement selects the name of the one that it finds,
    /// or no row if there is none.
    fn volatility_query(&self) -> String {
        let quoted = |text: &str| PostgresQueryBuilder.value_to_string(&text.into());
        let called: Vec<_> =
            self.functions.iter().map(|(schema, name)| format!("({}, {})", quoted(schema), quoted(name))).collect();
        let leading = self.leading.iter();
        let leading: Vec<_> = leading
            .map(|(schema, name, column)| format!("({}, {}, {})", quoted(schema), quoted(name), quoted(column)))
            .collect();
        let leading = if leading.is_empty() { String::new() } else { unproven(&leading.join(", ")) };
        // SQL has no empty lists, and no function has an empty name
        let called = if called.is_empty() { "('', '')".to_owned() } else { called.join(", ") };
        let (bare, session, suspect) = (quoted(&self.bare), quoted(SESSION_FUNCTIONS), quoted(SUSPECT_WORDS));
        format!(
            "SELECT p.proname || '()' FROM pg_catalog.pg_proc AS p \
             JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace \
             JOIN (VALUES {called}) AS called (schema, name) ON called.name = p.proname::text \
             AND (called.schema = n.nspname::text OR called.schema = '' AND pg_catalog.pg_function_is_visible(p.oid)) \
             WHERE p.provolatile = 'v' \
             OR p.provolatile = 's' AND n.nspname = 'pg_catalog' AND p.proname::text ~ {session} \
             OR p.provolatile = 's' AND n.nspname <> 'pg_catalog' \
             AND CASE WHEN p.prokind = 'f' THEN pg_catalog.pg_get_functiondef(p.oid) ELSE p.prosrc END ~* {suspect} \
             UNION ALL SELECT 'the operator ' || o.oprname FROM pg_catalog.pg_operator AS o \
             JOIN pg_catalog.pg_proc AS p ON p.oid = o.oprcode \
             WHERE p.provolatile = 'v' AND strpos({bare}, o.oprname::text) > 0 \
             UNION ALL SELECT 'the cast to ' || pg_catalog.format_type(c.casttarget, NULL) \
             FROM pg_catalog.pg_cast AS c JOIN pg_catalog.pg_proc AS p ON p.oid = c.castfunc \
             WHERE p.provolatile = 'v' AND strpos({bare}, '::' || pg_catalog.format_type(c.casttarget, NULL)) > 0 \
             {leading} LIMIT 1"
        )
    }
}

/// Returns the SQL text of [`Found::volatility_query`] that checks the entries of [`Found::leading`]. This text selects
/// [`LIMIT`] if the index of an entry is not a B-tree, or if the first column of the index is not the column of the
/// entry. `leading` has one SQL tuple for each entry: schema, index name and column.
fn unproven(leading: &str) -> String {
    format!(
        "UNION ALL SELECT '{LIMIT}' FROM (VALUES {leading}) AS used (schema, name, col) WHERE NOT EXISTS \
         (SELECT FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
          JOIN pg_catalog.pg_am AS m ON m.oid = c.relam JOIN pg_catalog.pg_index AS i ON i.indexrelid = c.oid \
          JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0] \
          WHERE n.nspname = used.schema AND c.relname = used.name AND m.amname = 'btree' \
          AND pg_catalog.quote_ident(a.attname) = used.col)"
    )
}

/// Returns an SQL expression without the content of its string literals.
fn without_texts(text: &str) -> String {
    // a doubled quote ends one text and begins the next
    text.split('\'').step_by(2).collect::<Vec<_>>().join("''")
}

/// Returns the word or quoted name at the beginning of a text, and its length in the text, in bytes. The length is 0 if
/// the text does not begin with a word or name.
fn part(text: &str) -> (String, usize) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(|c: char| c != '_' && c != '$' && !c.is_alphanumeric()).unwrap_or(text.len());
        return (text[..end].to_owned(), end);
    };
    let (mut name, mut chars) = (String::new(), quoted.char_indices().peekable());
    while let Some((at, c)) = chars.next() {
        if c == '"' && chars.next_if(|(_, next)| *next == '"').is_none() {
            return (name, at + 2);
        }
        name.push(c);
    }
    (name, text.len())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn functions_are_found_in_expressions_and_not_in_texts() {
        let mut found = Found::default();
        for text in [
            "(lower(t.name) || 'random() it''s'::text)",
            "pg_catalog.\"Odd \"\"one\"(x.y, \"CURRENT_DATE\")",
            "((t.at)::date <= t.current_date)",
            "count(*) FILTER (WHERE (t.n > nextval('s'::regclass)))",
        ] {
            found.expression(text);
        }
        let functions: Vec<_> = found.functions.iter().map(|(schema, name)| format!("{schema}.{name}")).collect();
        assert_eq!(functions, [".count", ".lower", ".nextval", "pg_catalog.Odd \"one"]);
        assert_eq!(found.reason, None);
        found.expression("(t.day < CURRENT_DATE)");
        assert_eq!(found.reason, Some(Doubt::written("current_date".to_owned())));
    }

    #[test]
    fn nodes_that_depend_on_more_than_rows_are_refused_except_min_and_max() {
        let scan = |condition: &str| json!([{"Node Type": "Index Only Scan", "Index Cond": condition}]);
        let refused = |node: &Value| super::refused(node, false).map(|doubt| doubt.reason);
        let least = json!({"Node Type": "Limit", "Output": ["t.id"], "Plans": scan("(t.id IS NOT NULL)")});
        let other = json!({"Node Type": "Limit", "Output": ["t.name"], "Plans": scan("(t.id IS NOT NULL)")});
        assert_eq!((refused(&least), refused(&other).as_deref()), (None, Some("limit")));
        let scan = |kind: &str, output: Value| json!([{"Node Type": kind, "Schema": "s", "Index Name": "i", "Output": output}]);
        let limit = |plans: Value| json!({"Node Type": "Limit", "Output": ["\"a.b\".\"Id\""], "Plans": plans});
        let known = Some(("s".to_owned(), "i".to_owned(), "\"Id\"".to_owned()));
        assert_eq!(leading(&limit(scan("Index Only Scan", json!(["\"a.b\".\"Id\""])))), known);
        assert_eq!(leading(&limit(scan("Index Only Scan", json!(["\"a.b\".\"Id\"", "a.at"])))), None);
        assert_eq!(leading(&limit(scan("Seq Scan", json!(["\"a.b\".\"Id\""])))), None);
        let sorted = |keys: Value| json!([{"Node Type": "Sort", "Sort Key": keys}]);
        let unique = |keys: Value| json!({"Node Type": "Unique", "Output": ["t.a", "t.b"], "Plans": sorted(keys)});
        assert_eq!(refused(&unique(json!(["t.b", "t.a DESC"]))), None);
        assert_eq!(refused(&unique(json!(["t.a"]))).as_deref(), Some("distinct on"));
        let nested = json!([{"Plan": {"Node Type": "Sort", "Plans": [{"Node Type": "WindowAgg"}]}}]).to_string();
        let mut found = Found::default();
        found.node(&Plan::parse(&nested).0);
        assert_eq!(found.reason, Some(Doubt::written("over".to_owned())));
        assert!(Plan::parse("nothing").expected().is_none());
    }

    #[test]
    fn a_doubt_is_written_only_if_the_statement_has_its_keywords() {
        let doubt =
            |node: Value, statement: &str| refused(&node, false).map(|doubt| doubt.in_statement(statement).is_written);
        let limit = || json!({"Node Type": "Limit", "Plans": [{"Node Type": "Merge Append"}]});
        assert_eq!(doubt(limit(), "SELECT a FROM t LIMIT 3"), Some(true));
        assert_eq!(doubt(limit(), "SELECT a FROM t WHERE b > (SELECT max(b) FROM u WHERE c <> 'limit')"), Some(false));
        let unique = || json!({"Node Type": "Unique", "Output": ["a", "b"], "Plans": [{"Node Type": "Gather Merge"}]});
        assert_eq!(doubt(unique(), "SELECT DISTINCT ON (a) a, b FROM t"), Some(true));
        assert_eq!(doubt(unique(), "SELECT DISTINCT a, b FROM t JOIN u ON t.a = u.a"), Some(false));
        let pruned = json!({"Node Type": "Append", "Subplans Removed": 3});
        assert_eq!((refused(&pruned, true), doubt(pruned, "")), (None, Some(true)));
    }
}
