//! Tests that filters compare the values that files show, for columns whose types are shown as text.

use super::*;
use crate::dataset::{AccessView, SqlRows, written_values_tests::filters_compare_what_is_written};

const ROWS: usize = 40;

/// The test columns. Each item has the type of a column, and the texts of its values.
const COLUMNS: [(&str, &[&str]); 29] = [
    ("text", &["a", "A", "a ", " a", "", "é", "e\u{301}", "5", "05", "5.0", "\\x00", "%_[x]*?", "NULL", "\\N", "a'b"]),
    ("varchar(9)", &["ab", "ab ", "", "AB", "%"]),
    ("char(4)", &["ab", "", "é", "AB", "abcd"]),
    ("bpchar", &["ab ", "ab", "", "b"]),
    ("name", &["Some Name", "", "a\"b", "some name"]),
    ("\"char\"", &["x", "", " ", "X"]),
    ("mood", &["fine", "so so", "it's \"bad\"", " "]),
    ("label", &["of a domain", "", "Of a domain"]),
    (
        "uuid",
        &[
            "0199AAAA-0000-7000-8000-000000000001",
            "00000000-0000-0000-0000-000000000000",
            "{f0000000000000000000000000000000}",
        ],
    ),
    ("json", &["{\"b\": 1.10,  \"a\": [1, null]}", "{\"b\":1.1}", "null", "\"\"", " 1e400 "]),
    ("jsonb", &["{\"b\": 1.10,  \"a\": [1, null]}", "{\"b\":1.1}", "null", "\"\"", "1e400"]),
    ("bytea", &["", "\\x00ff5c22", "abc", "\\x61"]),
    ("inet", &["192.0.2.1", "192.0.2.1/24", "2001:db8::1", "10.0.0.0/8"]),
    ("cidr", &["192.0.2.0/24", "192.0.2.1", "::/0"]),
    ("macaddr", &["08:00:2b:01:02:03", "08-00-2b-01-02-04"]),
    ("bit(3)", &["101", "000", "111"]),
    ("varbit", &["1", "", "0101"]),
    ("interval", &["1 year -2 days 03:04:05.6", "1 day", "24:00:00", "-1 mon"]),
    ("money", &["1234.5", "0", "-0.01"]),
    ("timetz", &["24:00+01", "10:00:00.5-03", "10:00+01"]),
    ("int4range", &["[1,5)", "empty", "(,3]"]),
    ("text[]", &["{a,\"b c\",NULL}", "{}", "{A}"]),
    ("tsvector", &["a fat cat", "", "b:1A"]),
    ("oid", &["0", "4294967295", "7"]),
    ("real", &["0.1", "1e-45", "NaN", "Infinity", "-Infinity", "16777216", "-1.5"]),
    ("numeric", &["1.1", "1.10", "9", "10", "-0.5", "NaN", "Infinity", "12345678901234567890.000000000000000000001"]),
    ("time", &["00:00", "24:00", "15:26:00.000001", "15:26"]),
    ("timestamp", &["2001-01-13 14:56", "2001-01-13 14:56:00.5", "infinity", "-infinity", "1999-12-31"]),
    ("date", &["2001-01-13", "infinity", "-infinity", "1999-12-31"]),
];

#[tokio::test]
async fn slow_filters_on_texts_of_postgres_compare_what_is_written() {
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    let columns: Vec<_> = COLUMNS.iter().enumerate().map(|(at, (kind, _))| format!("c{at} {kind}")).collect();
    let mut script = format!(
        "CREATE TYPE mood AS ENUM ('fine', 'so so', 'it''s \"bad\"', ' '); CREATE DOMAIN label AS text; \
         CREATE TABLE t (id bigint PRIMARY KEY, {})",
        columns.join(", ")
    );
    let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
    for id in 0..ROWS {
        let cells = COLUMNS.iter().map(|(kind, values)| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            // each value comes at least once, and then in a random mixture with NULL
            let pick = if id < values.len() { id } else { (seed % (values.len() as u64 + 1)) as usize };
            values.get(pick).map_or("NULL".to_owned(), |text| format!("'{}'::{kind}", text.replace('\'', "''")))
        });
        script += &format!("; INSERT INTO t VALUES ({id}, {})", cells.collect::<Vec<_>>().join(", "));
    }
    run(&database.db, &script).await;
    let t = described(&server(database.url()), Source::table("public.t"), Vec::new()).await;
    assert_eq!(t.info().columns.len(), COLUMNS.len() + 1);
    let selective = filters_compare_what_is_written("postgres", &t, usize::MAX).await;
    assert!(selective > 500, "only {selective} filters return some of the rows");
}

#[tokio::test]
async fn filters_and_row_policies_of_a_dataset_in_rust_find_the_real_that_is_written() {
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    let reals =
        ["0.1", "-0.1", "0.3", "1e-45", "3.4028235e38", "16777216", "0", "-1.5", "NaN", "Infinity", "-Infinity"];
    let values: Vec<_> = reals.iter().enumerate().map(|(id, text)| format!("({id}, '{text}'::real)")).collect();
    run(&database.db, "CREATE TABLE reals (id bigint, r real)").await;
    run(&database.db, &format!("INSERT INTO reals VALUES {}, (99, NULL)", values.join(", "))).await;
    let columns = vec![Column::new("id", ColumnType::Int), Column::new("r", ColumnType::Float)];
    let info = DatasetInfo::new("reals", columns);
    let rows = SqlRows::new(database.db.clone(), Source::table("reals"), info.clone());
    let rows = rows.ordered_by(vec![OrderBy::ascending("id")]);
    let selective = filters_compare_what_is_written("bound", &rows, usize::MAX).await;
    assert!(selective > 50, "only {selective} filters return some of the rows");

    let read = async |dataset: Arc<dyn Dataset>| -> Vec<(i64, Option<f64>)> {
        let query = query(&["id", "r"], Filter::all());
        let read: Vec<DataFrame> = dataset.open(&query).await.unwrap().frames.try_collect().await.unwrap();
        let cells = read.iter().flat_map(|frame| {
            let (ids, reals) = (frame.column("id").unwrap().i64().unwrap(), frame.column("r").unwrap().f64().unwrap());
            ids.iter().flatten().zip(reals.iter()).collect::<Vec<_>>()
        });
        cells.collect()
    };
    let written = read(Arc::new(rows.clone())).await;
    let finite: Vec<_> = written.into_iter().filter(|(_, real)| real.is_some_and(f64::is_finite)).collect();
    assert_eq!(finite.len(), reals.len() - 3);
    for policy in [json!({"r": {"eq": {"claim": "r"}}}), json!({"r": {"in": {"claim": "several"}}})] {
        let info = DatasetInfo { row_policy: Some(policy.clone()), ..info.clone() };
        let rows = SqlRows::new(database.db.clone(), Source::table("reals"), info);
        for (id, real) in &finite {
            let claims = json!({"r": real, "several": [real, 7]});
            let view = AccessView::new(Arc::new(rows.clone()), claims.as_object().unwrap()).unwrap();
            assert_eq!(read(Arc::new(view)).await, [(*id, *real)], "{policy}: {claims}");
        }
    }
}
