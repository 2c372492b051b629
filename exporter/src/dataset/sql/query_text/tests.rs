//! Tests which texts are valid queries, where their parameters are, and how the values of parameters are written.

mod sqlite;

use protocol::params::ParamType;
use serde_json::json;

use super::*;

/// Returns declarations of those of the parameters `a` (a text), `b` (a list), `n` (a whole number) and `since` (a
/// date) that occur in the text.
fn declared(text: &str) -> Vec<ParamSpec> {
    let all = [
        ("a", ParamType::String),
        ("b", ParamType::Strings),
        ("n", ParamType::Int),
        ("since", ParamType::Date),
        ("ab", ParamType::String),
    ];
    let named = all.into_iter().filter(|(name, _)| text.contains(&format!(":{name}")));
    named.map(|(name, kind)| ParamSpec::new(name, kind)).collect()
}

fn parse(dialect: SqlDialect, text: &str, params: &[&str]) -> Result<QueryText, QueryTextError> {
    let declared = declared(text).into_iter().filter(|spec| params.contains(&spec.name.as_str())).collect::<Vec<_>>();
    QueryText::parse_for(dialect, text, &declared)
}

/// Returns the text of the query in `WITH name AS (…)`.
fn inner(text: &str) -> &str {
    text.strip_prefix("WITH \"sluice_query\" AS (").and_then(|text| text.strip_suffix("\n) ")).unwrap()
}

fn fault(refused: Result<QueryText, QueryTextError>) -> Option<QueryFault> {
    match refused {
        Err(QueryTextError::At { fault, .. }) => Some(fault),
        _ => None,
    }
}

#[test]
fn only_names_outside_of_quotes_and_comments_are_parameters() {
    let params = [ParamSpec::new("a", ParamType::String), ParamSpec::new("b", ParamType::Strings)];
    let text = "SELECT ':a', \":b\", x::text /* :c */ -- :d\n FROM t WHERE x = :a AND y IN (:b);";
    let query = QueryText::parse(text, &params).unwrap();
    let given = json!({"a": "it's \\ :b; DROP", "b": ["1", "2"]});
    let literal = query.literal(given.as_object().unwrap()).unwrap();
    let expected = "SELECT ':a', \":b\", x::text /* :c */ -- :d\n FROM t WHERE x =  CAST(E'it\\'s \\\\ :b; DROP' AS text) \
                    AND y IN ( CAST('1' AS text),  CAST('2' AS text))";
    assert_eq!(inner(&literal), expected);
    assert!(query.literal(&Map::new()).is_err());
}

#[test]
fn a_text_that_is_not_one_select_is_refused() {
    for (text, fault) in [
        ("DELETE FROM t WHERE a = :a", QueryFault::NoSelect.at((1, 1))),
        ("SELECT :a; DROP TABLE t", QueryFault::NoSelect.at((1, 12))),
        ("\n -- SELECT\n  DROP TABLE t /* :a */", QueryFault::NoSelect.at((3, 3))),
        ("SELECT :ab", QueryFault::Undeclared("ab".into()).at((1, 8))),
        ("SELECT 1,\n  (2, :a", QueryFault::Unbalanced('(').at((2, 3))),
        ("SELECT :a) FROM (SELECT 1", QueryFault::Unbalanced(')').at((1, 10))),
        ("SELECT (:a]", QueryFault::Unbalanced(']').at((1, 11))),
        ("SELECT \"a\"", QueryTextError::Unused("a".into())),
        ("", QueryFault::NoSelect.at((1, 1))),
    ] {
        let one = [ParamSpec::new("a", ParamType::Int)];
        assert_eq!(QueryText::parse(text, &one), Err(fault), "{text}");
    }
    for text in ["SELECT ':a", "SELECT :a /* ", "SELECT \":a", "SELECT $$ :a", "SELECT $x$ :a $y$", "SELECT E':a\\'"] {
        let refused = fault(parse(SqlDialect::Postgres, text, &["a"]));
        assert!(matches!(refused, Some(QueryFault::Unreadable(_))), "{text}: {refused:?}");
    }
    let shown = parse(SqlDialect::Postgres, "SELECT\n  1 FROM t WHERE x = :a", &[]).unwrap_err().to_string();
    assert!(shown.starts_with("line 2, column 22 of the query: the query names `:a`, which is no"), "{shown}");
}

#[test]
fn postgres_queries_keep_their_quotes_and_comments() {
    for (text, params, places) in [
        ("-- made for :a\nSELECT :a", vec!["a"], 1),
        ("/* :a ' /* nested ' */ :a */ SELECT :a -- it's :a", vec!["a"], 1),
        ("(SELECT :a) UNION ALL SELECT 'b'", vec!["a"], 1),
        ("SELECT $$it's :a$$, $x$ $$ :a $y$ $x$ WHERE :a <> ''", vec!["a"], 1),
        ("SELECT E'it\\'s :a', e'\\\\' || :a, U&'\\0041 :a', B'01', X'1f', N':a'", vec!["a"], 1),
        ("SELECT \"it's \"\":a\" FROM t WHERE x = :a;;\n-- end", vec!["a"], 1),
        ("SELECT date'2026-01-01', :a AS a", vec!["a"], 1),
        ("SELECT u&\":a\", x$y FROM t WHERE a = :a", vec!["a"], 1),
        // slices of arrays, and parameters in them
        ("SELECT v[x:y], v[1:2], v[:y], v[1:], v[:], v[(1):y]::int[] FROM t", vec![], 0),
        ("SELECT v[:n], v[1: :n], v[(:n):(:n)], v[x + :n : 2], (ARRAY[:n, 2])[1:m] FROM t", vec!["n"], 6),
        ("SELECT ARRAY[[1, :n], [2, CASE WHEN true THEN :n END]]", vec!["n"], 2),
        ("SELECT JSON_OBJECT('a':b, 'c' : :a)", vec!["a"], 1),
        // operators of PostgreSQL with characters that other databases use for placeholders
        (
            "SELECT doc ? 'x', doc @> :a, doc #>> '{a}', @ -5, doc ?| ARRAY[:b], a<->b, a @>/* :a */ b FROM t",
            vec!["a", "b"],
            2,
        ),
        ("SELECT f(x := :n), f(x => :n), :n::text", vec!["n"], 3),
        ("WITH source AS (SELECT 1) SELECT * FROM source WHERE 1 < :n", vec!["n"], 1),
        ("VALUES (:a)", vec!["a"], 1),
        ("TABLE t", vec![], 0),
    ] {
        let query = parse(SqlDialect::Postgres, text, &params).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(query.places(), places, "{text}");
    }
}

#[test]
fn what_postgres_may_read_in_another_way_is_refused() {
    for (text, word) in [
        // the meaning of the backslash depends on a setting of the server, or the server joins the texts
        ("SELECT N'\\', :a, ''", "another place"),
        ("SELECT E'a'\n '\\', :a, ''", "join two quoted texts"),
        ("SELECT 'a\\'\n'b', :a", "join two quoted texts"),
        ("SELECT 'a' /* x */ $$b$$ , :a", "join two quoted texts"),
        ("SELECT X'1\\'', :a, ''", "another place"),
        // prefixes that different versions read differently
        ("SELECT 1e'\\', :a, ''", "can't be read"),
        ("SELECT 0xE'\\', :a, ''", "prefix"),
        ("SELECT 1$$ :a $$, :a", "prefix"),
        ("SELECT $1$ :a $1$", "another place"),
        ("SELECT $1, :a", "no value"),
        // comments in operators
        ("SELECT 1 |-- :a\n 2, :a", "begins a comment"),
        ("SELECT b ?--:a\n 1, :a", "begins a comment"),
        // colons
        ("SELECT v[1:n], :n", "follows an operand"),
        ("SELECT JSON_OBJECT('a':a), :a", "follows an operand"),
        ("SELECT x :a", "follows an operand"),
        ("SELECT x:::a", "`::`"),
        ("SELECT :e'\\' || :a || ''", "can't be read"),
        ("SELECT :e'x' || :a", "prefix"),
        ("SELECT :aé, :a", "ASCII"),
        ("SELECT :a$x, :a", "ASCII"),
        // characters that no SQL has
        ("SELECT \\:a", "no SQL"),
        ("SELECT {:a}", "no SQL"),
        ("SELECT 'a\0b', :a", "no SQL"),
        ("SELECT b\":a\", :a", "no SQL"),
    ] {
        let refused = parse(SqlDialect::Postgres, text, &["a", "n"]).map(|query| query.described());
        let shown = refused.unwrap_err().to_string();
        assert!(shown.contains(word), "{text}: {shown}");
    }
}

#[test]
fn sqlite_queries_keep_their_quotes_and_comments() {
    let read = |text: &str, params: &[&str]| parse(SqlDialect::Sqlite, text, params);
    for (text, places) in [
        ("-- made for :a\nSELECT :a", 1),
        ("/* :a ' /* not nested */ SELECT :a", 1),
        ("SELECT [it's :a], `:a``:a`, \":a\", ':a'':a', x'1F', 'a\\' FROM t WHERE x = :a", 1),
        ("SELECT 0x1F, 1e5, .5, a$b, j->>'x', :a FROM t WHERE x <> :a", 2),
        ("SELECT * FROM source WHERE x IN (:a)", 1),
    ] {
        let query = read(text, &["a"]).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(query.places(), places, "{text}");
    }
    for (text, word) in [
        ("SELECT [a]] :a], :a", "another place"),
        ("SELECT :a /* to the end", "another place"),
        ("SELECT $$ :a $$, :a", "no value"),
        ("SELECT ?1, :a", "no value"),
        ("SELECT ?, :a", "no value"),
        ("SELECT @x, :a", "no value"),
        ("SELECT #x, :a", "no value"),
        ("SELECT $x, :a", "no value"),
        ("SELECT :a::text", "no SQL"),
        ("SELECT :1, :a", "no `:`"),
        ("SELECT : a, :a", "no `:`"),
        ("SELECT f(x := :a)", "no SQL"),
        ("SELECT :x, :a", "no declared parameter"),
        ("SELECT :a😀, :a", "ASCII"),
        ("SELECT E'\\' || :a || ''", "prefix"),
    ] {
        let shown = read(text, &["a"]).map(|query| query.parts).unwrap_err().to_string();
        assert!(shown.contains(word), "{text}: {shown}");
    }
}

#[test]
fn a_quoted_text_of_postgres_depends_on_no_setting() {
    let text = "SELECT 'a\\d' ~ '\\d' AND x LIKE :a ESCAPE '\\' AND y = date'\\' AND z = 'it''s'";
    let query = parse(SqlDialect::Postgres, text, &["a"]).unwrap();
    let expected = "SELECT  E'a\\\\d' ~  E'\\\\d' AND x LIKE  CAST(NULL AS text) ESCAPE  E'\\\\' AND y = date E'\\\\' \
                    AND z = 'it''s'";
    assert_eq!(inner(&query.described()), expected);
}

#[test]
fn each_value_has_its_declared_type() {
    let kinds = [
        ("t", ParamType::String, json!("a"), " CAST('a' AS text)", "('a')"),
        ("i", ParamType::Int, json!(-7), " CAST('-7' AS bigint)", " CAST('-7' AS integer)"),
        (
            "l",
            ParamType::Int,
            json!(3_000_000_000_i64),
            " CAST('3000000000' AS bigint)",
            " CAST('3000000000' AS bigint)",
        ),
        ("f", ParamType::Float, json!(1e300), " CAST('1e300' AS double precision)", " CAST('1e300' AS numeric)"),
        ("y", ParamType::Bool, json!(true), " CAST('true' AS boolean)", " CAST('true' AS boolean)"),
        ("d", ParamType::Date, json!("2026-1-2"), " CAST('2026-01-02' AS date)", " CAST('2026-01-02' AS date)"),
        (
            "e",
            ParamType::Date,
            json!("-0043-03-15"),
            " CAST('0044-03-15 BC' AS date)",
            " CAST('0044-03-15 BC' AS date)",
        ),
        (
            "m",
            ParamType::Datetime,
            json!("2026-11-22T16:26:01.25+01:00"),
            " CAST('2026-11-22 15:26:01.250+00' AS timestamp with time zone)",
            " CAST('2026-11-22 15:26:01.250+00' AS timestamp with time zone)",
        ),
        ("s", ParamType::Strings, json!(["a", "b"]), " CAST('a' AS text),  CAST('b' AS text)", "('a'), ('b')"),
    ];
    for (name, kind, value, typed, constant) in kinds {
        let query = QueryText::parse(&format!("SELECT :{name}"), &[ParamSpec::new(name, kind)]).unwrap();
        let given = json!({name: value});
        let written = |query: &QueryText| inner(&query.literal(given.as_object().unwrap()).unwrap()).to_owned();
        assert_eq!(written(&query), format!("SELECT {typed}"));
        match query.with_constants() {
            Some(loose) => {
                assert_eq!(written(&loose), format!("SELECT {constant}"));
                assert_eq!(loose.with_constants(), None);
            }
            None => assert_eq!(typed, constant),
        }
        // a value of another type, or none at all
        for wrong in [json!({}), json!({name: null}), json!({name: []}), json!({name: {"a": 1}}), json!({name: "a\0"})]
        {
            let refused = query.literal(wrong.as_object().unwrap());
            assert!(matches!(refused, Err(DatasetError::Param(of)) if of == name), "{wrong}");
        }
    }
    let all = parse(SqlDialect::Postgres, "SELECT :a WHERE x IN (:b) AND d > :since + :n", &["a", "b", "since", "n"]);
    let all = all.unwrap();
    let described = "SELECT  CAST(NULL AS text) WHERE x IN ( CAST(NULL AS text)) AND d >  CAST(NULL AS date) +  \
                     CAST(NULL AS bigint)";
    assert_eq!(inner(&all.described()), described);
    let loose = all.with_constants().unwrap().numbered();
    assert_eq!(inner(&loose), "SELECT ($1) WHERE x IN (($2)) AND d >  CAST($3 AS date) +  CAST($4 AS integer)");
}

#[test]
fn the_name_of_the_query_is_never_a_name_in_the_query() {
    let query = parse(SqlDialect::Sqlite, "SELECT * FROM SLUICE_query, sluice_query_", &[]).unwrap();
    assert_eq!(query.name(), "sluice_query__");
}
