//! Tests the exported values of every type in `pg_type`: each value equals the text that `psql` prints, except for the
//! documented differences.

use std::process::Command;

use super::{
    type_values::{Listed, Types},
    *,
};

/// The statement that lists all types that columns may have: the identifier, schema, name, class, delimiter, inner
/// types and labels.
const LIST: &str = "SELECT t.oid, n.nspname, t.typname, \
     CASE WHEN e.oid IS NOT NULL THEN 'a' ELSE t.typtype::text END, t.typdelim, \
     CASE WHEN e.oid IS NOT NULL THEN e.oid::text WHEN t.typtype = 'd' THEN t.typbasetype::text \
       WHEN t.typtype = 'r' THEN (SELECT rngsubtype::text FROM pg_range WHERE rngtypid = t.oid) \
       WHEN t.typtype = 'm' THEN (SELECT rngtypid::text FROM pg_range WHERE rngmultitypid = t.oid) \
       WHEN t.typtype = 'c' THEN (SELECT string_agg(atttypid::text, ',' ORDER BY attnum) FROM pg_attribute \
         WHERE attrelid = t.typrelid AND attnum > 0 AND NOT attisdropped) END, \
     (SELECT string_agg(enumlabel, ',' ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = t.oid) \
     FROM pg_type AS t JOIN pg_namespace AS n ON n.oid = t.typnamespace LEFT JOIN pg_type AS e ON e.typarray = t.oid \
     WHERE t.typtype <> 'p' AND n.nspname IN ('pg_catalog', 'information_schema', 'mine') ORDER BY t.oid";
/// The statements that create types that a new server does not have, such as an enum, composites of other types, and
/// ranges of numbers and texts.
const MINE: &str = "CREATE SCHEMA mine; CREATE TYPE mine.mood AS ENUM ('fine', 'so so', 'it''s \"bad\"', ' '); \
     CREATE TABLE mine.\"odd Name\" (\"A b\" int, mood mine.mood); \
     CREATE TYPE mine.pair AS (a int, b text); CREATE TYPE mine.nested AS (one mine.pair, many mine.pair[], f float4); \
     CREATE TYPE mine.share AS RANGE (subtype = float8); CREATE TYPE mine.span AS RANGE (subtype = text)";
/// Types with a modifier, such as a length. Each item has the type and the texts of its values.
const MODIFIED: [(&str, &[&str]); 12] = [
    ("char(4)", &["ab", "", "é"]),
    ("varchar(9)", &["ab ", ""]),
    ("bit(3)", &["101"]),
    ("varbit(5)", &["1", ""]),
    ("numeric(20, 4)", &["-0.5", "NaN"]),
    ("time(0)", &["23:59:59.9", "12:00:00.4"]),
    ("timestamp(3)", &["2026-03-29 02:30:00.1239"]),
    ("timestamptz(0)", &["2026-03-29 02:30:00.5+02", "infinity"]),
    ("timetz(1)", &["01:02:03.55+01"]),
    ("interval(2)", &["1 day 00:00:00.126"]),
    ("interval day to minute", &["3 04:05:06"]),
    ("char(3)[]", &["{a,\"b c\",NULL}"]),
];
/// The server options under which each value has one text form. A server, database or role may have other options.
const FIXED: &str = "-c TimeZone=UTC -c DateStyle=ISO,YMD -c IntervalStyle=postgres -c bytea_output=hex \
     -c extra_float_digits=1 -c quote_all_identifiers=off -c client_encoding=UTF8";
/// Database settings that change how the server prints values. Exports must not depend on them.
const DEFAULTS: [&str; 4] = [
    "IntervalStyle = sql_standard; DateStyle = 'German'; TimeZone = 'Asia/Kolkata'; quote_all_identifiers = on",
    "IntervalStyle = iso_8601; DateStyle = 'SQL, DMY'; extra_float_digits = -15; bytea_output = 'escape'",
    "IntervalStyle = postgres_verbose; DateStyle = 'Postgres, MDY'; TimeZone = 'America/St_Johns'; xmlbinary = hex",
    "IntervalStyle = postgres; xmloption = document; standard_conforming_strings = off; client_encoding = LATIN1",
];
/// The text that `psql` prints for NULL in these tests.
const NULL: &str = "\u{1}null";
/// The maximum number of columns in one test table. Each column has another type.
const COLUMNS: usize = 90;

/// Runs a statement in `psql`, and returns the printed rows. Each row has `columns` fields.
fn psql(url: &str, columns: usize, statement: &str) -> Vec<Vec<Option<String>>> {
    let mut psql = Command::new(Postgres::programs().join("psql"));
    psql.args(["-X", "-q", "-A", "-t", "-z", "-0", "-v", "ON_ERROR_STOP=1", "-P", &format!("null={NULL}"), "-d", url]);
    let output = psql.args(["-c", statement]).env("PGOPTIONS", FIXED).output().unwrap();
    assert!(output.status.success(), "{statement:.300}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let mut cells: Vec<_> = text.split('\0').map(|cell| (cell != NULL).then(|| cell.to_owned())).collect();
    assert_eq!(cells.pop(), Some(Some(String::new())), "every record has an end");
    assert_eq!(cells.len() % columns, 0, "{statement:.300}");
    cells.chunks(columns).map(<[_]>::to_vec).collect()
}

/// Parses CSV text, and returns the fields of each row. NULL is an empty field without quotes.
fn parsed(csv: &str) -> Vec<Vec<Option<String>>> {
    let (mut rows, mut row, mut rest) = (Vec::new(), Vec::new(), csv);
    while !rest.is_empty() {
        let cell = if let Some(quoted) = rest.strip_prefix('"') {
            let mut text = String::new();
            rest = quoted;
            loop {
                let (before, after) = rest.split_once('"').unwrap();
                text += before;
                rest = after;
                match rest.strip_prefix('"') {
                    Some(more) => rest = more,
                    None => break Some(text),
                }
                text.push('"');
            }
        } else {
            let (text, after) = rest.split_at(rest.find([',', '\n']).unwrap());
            rest = after;
            (!text.is_empty()).then(|| text.to_owned())
        };
        row.push(cell);
        if rest.starts_with('\n') {
            rows.push(std::mem::take(&mut row));
        }
        rest = &rest[1..];
    }
    rows
}

/// Converts the text that `psql` prints for a value to the text that a file has for it. Booleans become words, and
/// times get the form of ISO 8601. `is_local` is true for timestamps without a time zone.
fn documented(kind: ColumnType, is_local: bool, printed: &str) -> String {
    match kind {
        ColumnType::Bool => if printed == "t" { "true" } else { "false" }.to_owned(),
        ColumnType::Date | ColumnType::Datetime if !printed.ends_with("infinity") => {
            let (printed, is_bc) = printed.strip_suffix(" BC").map_or((printed, false), |text| (text, true));
            let (year, rest) = printed.split_once('-').unwrap();
            let year: i64 = year.parse().unwrap();
            let year = match if is_bc { 1 - year } else { year } {
                year @ 0..10_000 => format!("{year:04}"),
                year => format!("{year:+05}"),
            };
            let Some((day, clock)) = rest.split_once(' ') else { return format!("{year}-{rest}") };
            let zone = if is_local { "" } else { "Z" };
            format!("{year}-{day}T{}{zone}", fraction(clock.strip_suffix("+00").unwrap_or(clock)))
        }
        ColumnType::Time => fraction(printed),
        _ => printed.to_owned(),
    }
}

/// Returns a time of day with zero, three or six digits after the decimal point of the seconds.
fn fraction(clock: &str) -> String {
    let Some((seconds, digits)) = clock.split_once('.') else { return clock.to_owned() };
    let width = if digits.len() > 3 { 6 } else { 3 };
    format!("{seconds}.{digits:0<width$}")
}

/// Whether both texts parse to the same float, bit by bit.
fn is_same_float(printed: &str, written: &str) -> bool {
    let bits = |text: &str| text.parse::<f64>().map(f64::to_bits).ok();
    bits(printed).is_some() && bits(printed) == bits(&written.replace("INF", "Infinity"))
}

/// Compares every value of a source with the text that `psql` prints for `statement`. Returns the number of compared
/// values.
async fn assert_as_printed(database: &TestDatabase, source: Source, names: &[&str], statement: &str) -> usize {
    let expected = psql(database.url(), names.len(), statement);
    let rows = described(&server(database.url()), source, vec![]).await;
    let read = frames(&rows, &query(names, Filter::all())).await;
    let columns: Vec<_> = names.iter().map(|name| sql::find(&rows.info.columns, name).unwrap()).collect();
    let cells = parsed(&written(&Csv, &columns, &read));
    assert_eq!(cells.len(), expected.len());
    for (cells, expected) in cells.iter().zip(&expected) {
        for ((cell, expected), column) in cells.iter().zip(expected).zip(&columns) {
            let is_same = match (cell, expected) {
                (Some(cell), Some(printed)) if column.kind == ColumnType::Float => is_same_float(printed, cell),
                (Some(cell), Some(printed)) => *cell == documented(column.kind, column.local, printed),
                (cell, printed) => cell == printed,
            };
            assert!(is_same, "{} is {cell:?}, and psql prints {expected:?}", column.name);
        }
    }
    cells.len() * names.len()
}

/// Lists the types of the server at `url`.
fn listed(url: &str) -> Types {
    let words = |cell: &Option<String>| -> Vec<String> {
        cell.iter().flat_map(|text| text.split(',').map(str::to_owned).collect::<Vec<_>>()).collect()
    };
    let rows = psql(url, 7, LIST);
    let of = |row: &Vec<Option<String>>| {
        let text = |at: usize| row[at].clone().unwrap();
        let inner = words(&row[5]).iter().map(|oid| oid.parse().unwrap()).collect();
        let (oid, class) = (text(0).parse().unwrap(), text(3).chars().next().unwrap());
        let listed =
            Listed { oid, schema: text(1), name: text(2), class, inner, delimiter: text(4), labels: words(&row[6]) };
        (oid, listed)
    };
    let xml = psql(url, 1, "SELECT count(*) FROM pg_config WHERE setting LIKE '%--with-libxml%'");
    Types { by_oid: rows.iter().map(of).collect(), has_xml: xml[0][0].as_deref() != Some("0") }
}

/// Creates a table with a column for each type, and fills it with the texts of the types. Each row has one text of each
/// type, or NULL if a type has no further text. Returns the names of the columns.
async fn fill(database: &TestDatabase, table: &str, types: &[(String, String, Vec<String>)]) -> Vec<String> {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let columns: Vec<_> = types.iter().map(|(name, kind, _)| format!("\"{name}\" {kind}")).collect();
    run(&database.db, &format!("CREATE TABLE {table} ({})", columns.join(", "))).await;
    let most = types.iter().map(|(_, _, texts)| texts.len()).max().unwrap();
    for row in 0..=most {
        let values: Vec<_> =
            types.iter().map(|(_, _, texts)| texts.get(row).map_or("NULL".to_owned(), |text| quoted(text))).collect();
        run(&database.db, &format!("INSERT INTO {table} VALUES ({})", values.join(", "))).await;
    }
    types.iter().map(|(name, ..)| name.clone()).collect()
}

#[tokio::test]
async fn every_type_of_the_server_is_written_as_psql_prints_it() {
    // the server stops when this is dropped
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    run(&database.db, MINE).await;
    // a domain over every base type, and over a domain
    let bases = listed(database.url());
    for base in bases.by_oid.values().filter(|listed| listed.class == 'b' && listed.schema == "pg_catalog") {
        let name = &base.name;
        run(&database.db, &format!("CREATE DOMAIN mine.\"of {name}\" AS pg_catalog.\"{name}\"")).await;
    }
    run(&database.db, "CREATE DOMAIN mine.code AS char(4); CREATE DOMAIN mine.deep AS mine.code").await;
    let types = listed(database.url());
    let mut all: Vec<_> = types.by_oid.values().filter(|listed| types.is_storable(listed)).collect();
    all.sort_by_key(|listed| listed.oid);
    for class in "abcdemr".chars() {
        assert!(all.iter().filter(|listed| listed.class == class).count() > 1 || class == 'e', "{class}");
    }
    let mut columns: Vec<_> = MODIFIED
        .iter()
        .map(|(kind, texts)| ((*kind).to_owned(), (*kind).to_owned(), texts.iter().map(ToString::to_string).collect()))
        .collect();
    columns.extend(all.iter().map(|listed| {
        let Listed { schema, name, .. } = listed;
        (format!("{schema}.{name}"), format!("\"{schema}\".\"{name}\""), types.texts(listed))
    }));
    let mut compared = 0;
    for (n, part) in columns.chunks(COLUMNS).enumerate() {
        let table = format!("part_{n}");
        let names = fill(&database, &table, part).await;
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let statement = format!("SELECT * FROM {table}");
        let text = QueryText::parse(&statement, &[]).unwrap();
        for source in [Source::table(&table), Source::Query(text.into())] {
            compared += assert_as_printed(&database, source, &names, &statement).await;
        }
    }
    assert!(columns.len() > 600 && compared > 10_000, "{} types, {compared} cells", columns.len());
    // the form of a value does not depend on the settings of the database
    let name = psql(database.url(), 1, "SELECT current_database()")[0][0].clone().unwrap();
    let first: Vec<_> = columns.iter().take(COLUMNS).map(|(name, ..)| name.as_str()).collect();
    for settings in DEFAULTS {
        for setting in settings.split("; ") {
            run(&database.db, &format!("ALTER DATABASE {name} SET {setting}")).await;
        }
        assert_as_printed(&database, Source::table("part_0"), &first, "SELECT * FROM part_0").await;
    }
}

#[tokio::test]
async fn values_that_only_the_server_makes_are_written_as_psql_prints_them() {
    // the server stops when this is dropped
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    run(
        &database.db,
        "CREATE TABLE pairs AS SELECT n % 7 AS a, n % 7 AS b FROM generate_series(1, 1000) AS n; \
         CREATE STATISTICS of_pairs (ndistinct, dependencies, mcv) ON a, b FROM pairs; ANALYZE pairs; \
         CREATE INDEX ON pairs ((a + b)) WHERE a > 1",
    )
    .await;
    for (names, statement) in [
        (
            vec!["stxdndistinct", "stxddependencies", "stxdmcv"],
            "SELECT stxdndistinct, stxddependencies, stxdmcv FROM pg_statistic_ext_data",
        ),
        (vec!["indexprs", "indpred"], "SELECT indexprs, indpred FROM pg_index WHERE indpred IS NOT NULL"),
        (vec!["c"], "SELECT c FROM pg_class AS c ORDER BY oid"),
        (vec!["p"], "SELECT p FROM pg_proc AS p ORDER BY oid LIMIT 500"),
    ] {
        let text = QueryText::parse(statement, &[]).unwrap();
        assert!(assert_as_printed(&database, Source::Query(text.into()), &names, statement).await > 0);
    }
}

#[tokio::test]
async fn money_and_names_are_written_as_psql_prints_them_in_every_locale() {
    // the server stops when this is dropped
    let postgres = Postgres::start_with_euros().await;
    let database = postgres.database().await;
    run(
        &database.db,
        "CREATE DOMAIN price AS money; CREATE TYPE offer AS (amount money, title text); CREATE TABLE \"odd Name\" (n int); \
         CREATE TABLE prices (id int, m money, d price, list money[], o offer, plain regclass, odd regclass); \
         INSERT INTO prices VALUES (1, 1234567.5::numeric, 0.05::numeric, ARRAY[1.5::numeric::money, NULL], \
                                    ROW (7::money, 'a'), 'prices', '\"odd Name\"'), \
                                   (2, -0.5::numeric, -1234.5::numeric, '{}', ROW (NULL, 'b'), 'prices', 'pg_class'), \
                                   (3, 92233720368547758.07, -92233720368547758.08, NULL, NULL, NULL, NULL)",
    )
    .await;
    let database_name = psql(database.url(), 1, "SELECT current_database()")[0][0].clone().unwrap();
    let names = ["id", "m", "d", "list", "o", "plain", "odd"];
    let statement = "SELECT * FROM prices";
    for (locale, quoting, first) in [
        ("C", "off", "$1,234,567.50"),
        (Postgres::EURO_LOCALE, "off", "1.234.567,50 €"),
        (Postgres::EURO_LOCALE, "on", "1.234.567,50 €"),
    ] {
        for setting in [format!("lc_monetary = '{locale}'"), format!("quote_all_identifiers = {quoting}")] {
            run(&database.db, &format!("ALTER DATABASE {database_name} SET {setting}")).await;
        }
        assert_eq!(psql(database.url(), 1, "SELECT m FROM prices")[0][0].as_deref(), Some(first));
        let text = QueryText::parse(statement, &[]).unwrap();
        for source in [Source::table("prices"), Source::Query(text.into())] {
            assert_eq!(assert_as_printed(&database, source, &names, statement).await, 3 * names.len());
        }
        // a filter finds each text that is written
        let rows = described(&server(database.url()), Source::table("prices"), vec![]).await;
        for name in &names[1..] {
            for row in psql(database.url(), 2, &format!("SELECT id, {name} FROM prices WHERE {name} IS NOT NULL")) {
                let filter = filter::parse(&json!({*name: {"eq": row[1]}}), &rows.info.columns).unwrap();
                let read = frames(&rows, &query(&["id"], filter)).await;
                let ids: Vec<_> =
                    read.iter().flat_map(|frame| frame.column("id").unwrap().i64().unwrap().iter()).collect();
                assert!(ids.contains(&row[0].as_ref().unwrap().parse().ok()), "{locale} {name}: {row:?} {ids:?}");
            }
        }
    }
}
