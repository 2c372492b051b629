//! Tests parameters of queries: their types, and texts that could end their quotes and inject SQL.

use super::*;

/// Returns a dataset of a query whose parameters have these names and types.
async fn asked(server: &Arc<PostgresServer>, text: &str, params: &[(&str, ParamType)]) -> PostgresRows {
    let params: Vec<_> = params.iter().map(|(name, kind)| ParamSpec::new(*name, *kind)).collect();
    let text = QueryText::parse(text, &params).unwrap_or_else(|e| panic!("{text}: {e}"));
    described(server, Source::Query(text.into()), params).await
}

/// Returns the values of the column `id` in the result of the query with these parameter values.
async fn ids(rows: &PostgresRows, params: Value) -> Vec<i64> {
    let query = Query { params: params.as_object().unwrap().clone(), ..query(&["id"], Filter::all()) };
    let read = frames(rows, &query).await;
    read.iter()
        .flat_map(|frame| frame.column("id").unwrap().i64().unwrap().iter().flatten().collect::<Vec<_>>())
        .collect()
}

const NOTES: [&str; 7] = ["it's", "' OR 1=1 --", "$$", "$x$ ' $x$", "*/ ' /*", "a\\", "\\' OR true --"];

async fn notes(database: &TestDatabase) {
    let rows: Vec<_> =
        NOTES.iter().enumerate().map(|(at, note)| format!("({at}, '{}')", note.replace('\'', "''"))).collect();
    run(
        &database.db,
        &format!(
            "CREATE TABLE notes (id bigint, note text); INSERT INTO notes VALUES {}; \
             CREATE TABLE hidden (id bigint, note text); INSERT INTO hidden VALUES (100, 'hidden')",
            rows.join(", ")
        ),
    )
    .await;
}

#[tokio::test]
async fn apostrophes_of_parameters_stay_in_their_literals() {
    // the server stops when this is dropped
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    notes(&database).await;
    let server = server(database.url());
    for text in [
        "SELECT id FROM notes WHERE note = :a",
        "-- it's for :a\nSELECT id FROM notes WHERE note = :a",
        "/* ' /* ' */ ' :a */ SELECT id FROM notes WHERE note = :a -- :a '",
        "SELECT id, $$it's :a$$ AS x, $x$ $$ ' :a $x$ AS y FROM notes WHERE note = :a AND $$'$$ <> ''",
        "SELECT id, E'it\\'s :a' AS x, E'\\\\' AS y FROM notes WHERE note = :a AND E'\\'' <> ''",
        "SELECT id, U&'\\0041 :a' AS x, N'it''s :a' AS y FROM notes WHERE note = :a",
        "SELECT id, id AS \"it's :a\" FROM notes WHERE note = :a AND 'x\\' <> '' AND note LIKE '%' ESCAPE '\\'",
        "SELECT id FROM notes WHERE note IN (:a) AND (ARRAY['x', 'y'])[1:2] <> ARRAY['z']",
        "WITH source AS (SELECT * FROM notes) SELECT id FROM source WHERE note = :a",
    ] {
        let rows = asked(&server, text, &[("a", ParamType::String)]).await;
        for (at, note) in NOTES.iter().enumerate() {
            assert_eq!(ids(&rows, json!({"a": note})).await, [at as i64], "{text}: {note}");
        }
        for other in ["' UNION SELECT id FROM hidden --", "$$ UNION SELECT id FROM hidden --", "x' OR id >= 0 --"] {
            assert_eq!(ids(&rows, json!({"a": other})).await, [0; 0], "{text}: {other}");
        }
    }
}

#[tokio::test]
async fn each_parameter_has_its_declared_type_or_that_of_its_place() {
    // the server stops when this is dropped
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    run(
        &database.db,
        "CREATE TYPE mood AS ENUM ('fine', 'so so'); CREATE TABLE facts (id bigint, day date, at timestamptz, tag uuid, \
         mood mood, amount numeric, list int[], doc jsonb); \
         INSERT INTO facts SELECT n, '2026-01-01'::date + n, '2026-01-01Z'::timestamptz + n * interval '1 day', \
         ('0199aaaa-0000-7000-8000-00000000000' || n)::uuid, CASE n WHEN 1 THEN 'fine' ELSE 'so so' END::mood, n + 0.5, \
         ARRAY[n, n + 1, n + 2], jsonb_build_object('n', n::text) FROM generate_series(1, 3) AS n",
    )
    .await;
    let server = server(database.url());
    let (day, text, int) = (("since", ParamType::Date), ("s", ParamType::String), ("n", ParamType::Int));
    let (at, list, float) = (("at", ParamType::Datetime), ("l", ParamType::Strings), ("f", ParamType::Float));
    for (condition, param, value, expected) in [
        ("day >= date_trunc('month', :since) + interval '2 days'", day, json!("2026-01-31"), vec![2, 3]),
        ("day = :since + 1", day, json!("2026-01-02"), vec![2]),
        ("at < date_trunc('day', :at) + interval '1 hour'", at, json!("2026-01-03T09:00:00+01:00"), vec![1, 2]),
        ("to_jsonb(:s) = doc -> 'n'", text, json!("2"), vec![2]),
        ("tag = :s", text, json!("0199aaaa-0000-7000-8000-000000000002"), vec![2]),
        ("tag IN (:l)", list, json!(["0199aaaa-0000-7000-8000-000000000003"]), vec![3]),
        ("mood = :s", text, json!("fine"), vec![1]),
        ("doc @> :s", text, json!("{\"n\": \"3\"}"), vec![3]),
        ("id::text IN (:l)", list, json!(["1", "3", "it's"]), vec![1, 3]),
        ("id::text = ANY(ARRAY[:l])", list, json!(["2"]), vec![2]),
        ("id > :n + 1", int, json!(1), vec![3]),
        ("day = date '2026-01-01' + :n", int, json!(2), vec![2]),
        ("list[:n] = 3", int, json!(1), vec![3]),
        ("list[1:2] = ARRAY[1, 2] AND id < :n", int, json!(9_000_000_000_i64), vec![1]),
        ("amount < :f", float, json!(2.0), vec![1]),
        ("round(:f, 1) = amount", float, json!(1.52), vec![1]),
        ("id % 2 = 1 AND :b", ("b", ParamType::Bool), json!(true), vec![1, 3]),
    ] {
        let rows = asked(&server, &format!("SELECT id FROM facts WHERE {condition} ORDER BY id"), &[param]).await;
        assert_eq!(ids(&rows, json!({param.0: value})).await, expected, "{condition}");
        assert!(rows.split_doubt().await.is_ok(), "{condition}");
    }
    let rows = asked(&server, "SELECT id FROM facts WHERE mood::text IN (:l)", &[list]).await;
    let none = Query { params: json!({"l": []}).as_object().unwrap().clone(), ..query(&["id"], Filter::all()) };
    assert!(matches!(rows.open(&none).await, Err(DatasetError::Param(name)) if name == "l"));
    // neither type fits, so the error is about the declared type
    let wrong = QueryText::parse("SELECT :since @> 1 AS id", &[ParamSpec::new("since", ParamType::Date)]).unwrap();
    assert!(PostgresRows::resolve(&server, Source::Query(wrong.into())).await.is_err());
}

/// Pieces of SQL that begin, end or contain quotes, comments and parameters. The tests combine them to the texts of
/// queries.
const PIECES: [&str; 40] = [
    "'", "'", "''", "\"", "`", "[", "]", ":a", ":a", " ", "\n", "-", "--", "/*", "*/", "(", ")", "x", "E", "e", "U&",
    "N", "B", "X", "||", "$$", "$t$", "\\", "1", "id", ":", "::", "?", "1e", "é", "AS", ",", "'\n'", "' '", "||:a||",
];

#[tokio::test]
async fn a_random_query_selects_the_rows_of_a_bound_statement_or_is_refused() {
    // the server stops when this is dropped
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    notes(&database).await;
    let spec = [ParamSpec::new("a", ParamType::String)];
    let mut state: u64 = 11;
    let mut roll = |sides: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % sides
    };
    let (mut accepted, mut read, mut refused) = (0, 0, 0);
    while accepted < 1_500 {
        let soup: String = (0..1 + roll(8)).map(|_| PIECES[roll(PIECES.len())]).collect();
        let separator = [" ", ", ", " || ", ", '", ", $$"][roll(5)];
        let soup = format!("SELECT id, note FROM (SELECT *{separator}{soup} FROM notes) AS x WHERE note = :a");
        let Ok(query) = QueryText::parse(&soup, &spec) else {
            refused += 1;
            continue;
        };
        accepted += 1;
        let value = NOTES[roll(NOTES.len())];
        let rows = async |text: String, values: Vec<sea_orm::Value>| {
            let text = format!("{text}SELECT id FROM \"sluice_query\"");
            let statement = sea_orm::Statement::from_sql_and_values(DbBackend::Postgres, text, values);
            let rows = database.db.query_all_raw(statement).await.ok()?;
            Some(rows.iter().map(|row| row.try_get_by_index::<i64>(0).unwrap()).collect::<Vec<_>>())
        };
        let written = query.literal(json!({"a": value}).as_object().unwrap()).unwrap();
        let literal = rows(written, vec![]).await;
        let bound = rows(query.numbered(), vec![value.into(); query.places()]).await;
        assert_eq!(literal, bound, "{soup}: {value}");
        let expected = NOTES.iter().position(|note| *note == value).unwrap() as i64;
        assert!(literal.as_ref().is_none_or(|ids| *ids == [expected]), "{soup}: {literal:?}");
        read += usize::from(literal.is_some());
    }
    assert!(read > 50 && refused > 500, "{read} were read, {refused} refused");
}
