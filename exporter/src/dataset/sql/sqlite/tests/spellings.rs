//! Tests that filters compare the values that files show, for values of every type in every spelling and column.

use super::*;
use crate::dataset::written_values_tests::filters_compare_what_is_written;

const ROWS: usize = 48;

/// The test columns. Each item has the type that the SQLite schema declares, the type in the catalog, and the stored
/// values in SQL, separated by `|`.
const COLUMNS: [(&str, ColumnType, &str); 26] = [
    ("TEXT", ColumnType::String, "'a'|'A'|'a '|''|'é'|'5'|'5.0'|'\\x00'|x'00'|x''|'%_[x]*?'|7"),
    ("TEXT COLLATE NOCASE", ColumnType::String, "'a'|'A'|'b'|'B '|'aB'|'AB'|'ab%'"),
    ("TEXT COLLATE RTRIM", ColumnType::String, "'a'|'a '|'a  '|' a'|'b'"),
    ("", ColumnType::String, "'5'|5|5.0|'5.0'|0.1 + 0.2|'0.3'|x'35'|'\\x35'|1e300|'1e300'|9e999|'INF'|-7|'-7'|'x'"),
    ("INTEGER", ColumnType::String, "5|'5 '|'05x'|1.5|'abc'|x'05'|18446744073709551615|-1"),
    ("REAL", ColumnType::String, "5|0.1|'abc'|1e22|-0.5|'1,5'|x'05'"),
    ("DATETIME", ColumnType::String, "'2023-11-14'|'2023-11-14 00:00:00'|1700000000|1700000000.5|'soon'"),
    ("INTEGER", ColumnType::Int, "0|1|-1|9223372036854775807|-9223372036854775807 - 1|9007199254740993|7"),
    ("BIGINT", ColumnType::Int, "5|'6'|7.0|9007199254740992|-5"),
    ("", ColumnType::Int, "5|'5'|5.0|-5|'-5'|10|'9'|9223372036854775807"),
    ("TEXT", ColumnType::Int, "5|'6'|'-10'|'10'|9"),
    ("REAL", ColumnType::Float, "0|-0.0|0.1|0.1 + 0.2|1e300|-1e-300|'inf'|9e999|'nan'|'-inf'|5"),
    ("", ColumnType::Float, "1|'1'|1.0|'1.50'|1.5|'-Infinity'|'1e3'|1000|9007199254740992|2.5"),
    ("TEXT", ColumnType::Float, "'1.5'|'-2'|'1e3'|'NaN'|0.25"),
    ("DECIMAL(20, 4)", ColumnType::Decimal, "1.1|'1.10'|0.1 + 0.2|12|-0.005|1e20|123456789.12345679|9007199254740993"),
    (
        "",
        ColumnType::Decimal,
        "'1.10'|1.1|'1.1'|'12345678901234567890.123456789'|'-.5'|-0.5|'1e3'|1000|'Infinity'|'NaN'",
    ),
    ("TEXT", ColumnType::Decimal, "'1.10'|'1.1'|'9'|'10'|'-3.000'|'99999999999999999999.01'"),
    ("BOOLEAN", ColumnType::Bool, "1|0|'true'|'FALSE'|'t'|'no'|'On'|1.0"),
    ("", ColumnType::Bool, "1|'1'|0|'f'|0.0|'Y'"),
    (
        "DATE",
        ColumnType::Date,
        "'2023-11-14'|'2023-11-15 00:00:00'|1700006400|'1969-12-31'|-86400|'9999-12-31'|'0000-01-01'|2460263.5",
    ),
    ("TEXT COLLATE NOCASE", ColumnType::Date, "'2023-11-14'|'2023-11-15T00:00Z'|'2023-11-15'|'1900-01-01'"),
    (
        "DATETIME",
        ColumnType::Datetime,
        "'2023-11-14'|'2023-11-14 22:13:20'|1700000000|'2023-11-14T23:13:20+01:00'|1700000000.25|\
         '2023-11-14t22:13:20.250z'|'2023-11-15 08:13:20.25+10:00'|2460263.5|0|-1|'0000-01-01'|'9999-12-31 23:59:59.999999'",
    ),
    (
        "TEXT",
        ColumnType::Datetime,
        "'2023-11-14'|'2023-11-14 00:00'|'2023-11-13T12:00:00-12:00'|'2023-11-14T14:00+14'|'2023-11-14 00:00:00.000001'",
    ),
    (
        "",
        ColumnType::Datetime,
        "'2023-11-14 22:13:20 UTC'|1700000000|1700000000.5|'2023-11-14 22:13:20.500000'|2460263.25",
    ),
    ("TIME", ColumnType::Time, "'15:26'|'15:26:00'|'15:26:00.000001'|'00:00'|'23:59:59.999999'"),
    ("TEXT", ColumnType::Time, "'15:26'|'15:26:00.0'|'09:00:00'|'00:00'"),
];

#[tokio::test]
async fn sqlite_filters_compare_what_is_written() {
    filters_of_all_spellings(4, false).await;
}

#[tokio::test]
async fn slow_sqlite_filters_compare_all_that_is_written() {
    filters_of_all_spellings(usize::MAX, true).await;
}

/// Checks filters on columns that store values in all spellings. The filters name `most` values of each column. If
/// `with_indexes` is true, checks filters on 4 values again, with an index on each column.
async fn filters_of_all_spellings(most: usize, with_indexes: bool) {
    let declared: Vec<_> = COLUMNS.iter().enumerate().map(|(at, (declared, ..))| format!("c{at} {declared}")).collect();
    let table = format!("CREATE TABLE t (id INTEGER PRIMARY KEY, {})", declared.join(", "));
    let mut statements = vec![table];
    let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
    for id in 0..ROWS {
        let cells = COLUMNS.iter().map(|(.., values)| {
            let values: Vec<_> = values.split('|').collect();
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            // each value comes at least once, and then in a random mixture with NULL
            let pick = if id < values.len() { id } else { (seed % (values.len() as u64 + 1)) as usize };
            values.get(pick).copied().unwrap_or("NULL")
        });
        statements.push(format!("INSERT INTO t VALUES ({id}, {})", cells.collect::<Vec<_>>().join(", ")));
    }
    let statements: Vec<_> = statements.iter().map(String::as_str).collect();
    let fixture = Fixture::new(&statements).await;
    let names: Vec<_> = (0..COLUMNS.len()).map(|at| format!("c{at}")).collect();
    let kinds = names.iter().zip(&COLUMNS).map(|(name, (_, kind, _))| (name.as_str(), *kind));
    let columns: Vec<_> = std::iter::once(("id", ColumnType::Int)).chain(kinds).collect();
    let t = fixture.table(&columns).ordered_by(vec![OrderBy::ascending("id")]);
    let selective = filters_compare_what_is_written("sqlite", &t, most).await;
    assert!(selective > 250, "only {selective} filters return some of the rows");
    if !with_indexes {
        return;
    }
    // indexes change the plan of a statement, and never its rows
    for at in 0..COLUMNS.len() {
        fixture.db.execute_unprepared(&format!("CREATE INDEX i{at} ON t (c{at})")).await.unwrap();
    }
    let selective = filters_compare_what_is_written("sqlite with indexes", &t, 4).await;
    assert!(selective > 250, "only {selective} filters return some of the rows");
}
