//! Tests that sources of all kinds return the same rows for random filters.

use std::{fmt::Write as _, path::Path, sync::Arc};

use futures::TryStreamExt;
use platform::secret::Secret;
use polars::prelude::{
    Column as PolarsColumn, DataType, IpcStreamWriter, IpcWriter, ParquetWriter, SerWriter, TimeUnit,
};
use protocol::{
    catalog::{Column, ColumnType},
    filter,
};
use sea_orm::{
    ConnectionTrait, DatabaseConnection,
    sea_query::{Alias, Expr, ExprTrait, Query as Sql},
};
use serde_json::json;

use super::{written_values_tests::filters_compare_what_is_written, *};

const ROWS: usize = 200;
/// The number of random filters in a quick test.
const FEW_FILTERS: usize = 15;
/// The number of random filters in a slow test.
const MANY_FILTERS: usize = 250;

/// A pseudorandom generator with a fixed seed (xorshift64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides as u64) as usize
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.roll(from.len())].clone()
    }
}

const TEXTS: [&str; 14] = [
    "a",
    "A",
    "ab",
    "a%b",
    "a_b",
    "é",
    "日本",
    "😀",
    "x'y",
    "\\",
    "[x]*?",
    "zz top",
    "'; DROP TABLE t; --",
    "$1 :p ? \u{202e}",
];
const DECIMALS: [&str; 7] = ["0.00", "1.10", "-1.10", "99999999.99", "-0.01", "1.11", "1000.00"];
const FLOATS: [f64; 7] = [0.0, -1.5, 1.5, 1e300, -1e-300, f64::NAN, 7.25];
const INTS: [i64; 7] = [0, -1, 1, 7, i32::MAX as i64, i64::MIN, i64::MAX];
/// Test dates near to 1970-01-01 and far from it, in days since 1970-01-01.
const DAYS: [i32; 6] = [0, -1, 11_000, 11_001, -200_000, 200_000];
/// Test timestamps, in microseconds since 1970-01-01T00:00:00Z.
const MOMENTS: [i64; 6] =
    [0, -1, 979_397_760_000_000, 979_397_760_500_000, -9_000_000_000_000_000, 9_000_000_000_000_000];

/// Test times of day, in nanoseconds since midnight. All are whole microseconds, because PostgreSQL has no finer times.
const TIMES: [i64; 5] = [0, 1_000, 43_200_000_000_000, 43_200_500_000_000, 86_399_999_999_000];
/// Test floats of 32 bits. In sources without 32-bit floats, the values are the 64-bit floats with the same shortest
/// texts.
const REALS: [f32; 8] = [0.0, -1.5, 0.1, 0.3, 16_777_216.0, 1e-45, 3.4e38, f32::NAN];
const BYTES: [&[u8]; 5] = [b"", b"\x00\xff", b"a", b"\\x61", b"\xfe"];
const LARGE: [u64; 5] = [0, 7, u64::MAX, u64::MAX - 1, 9_007_199_254_740_993];

#[derive(Clone)]
struct Sample {
    i: Option<i64>,
    f: Option<f64>,
    d: Option<&'static str>,
    s: Option<&'static str>,
    b: Option<bool>,
    day: Option<i32>,
    at: Option<i64>,
    local: Option<i64>,
    t: Option<i64>,
    r: Option<f32>,
    x: Option<&'static [u8]>,
    u: Option<u64>,
}

fn samples(nan: bool) -> Vec<Sample> {
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    let some = |dice: &mut Dice| dice.roll(6) > 0;
    (0..ROWS)
        .map(|_| Sample {
            i: some(&mut dice).then(|| dice.pick(&INTS)),
            f: some(&mut dice).then(|| dice.pick(&FLOATS)).filter(|f| nan || !f.is_nan()),
            d: some(&mut dice).then(|| dice.pick(&DECIMALS)),
            s: some(&mut dice).then(|| dice.pick(&TEXTS)),
            b: some(&mut dice).then(|| dice.roll(2) == 0),
            day: some(&mut dice).then(|| dice.pick(&DAYS)),
            at: some(&mut dice).then(|| dice.pick(&MOMENTS)),
            local: some(&mut dice).then(|| dice.pick(&MOMENTS)),
            t: some(&mut dice).then(|| dice.pick(&TIMES)),
            r: some(&mut dice).then(|| dice.pick(&REALS)).filter(|r| nan || !r.is_nan()),
            x: some(&mut dice).then(|| dice.pick(&BYTES)),
            u: some(&mut dice).then(|| dice.pick(&LARGE)),
        })
        .collect()
}

fn columns() -> Vec<Column> {
    [
        ("id", ColumnType::Int),
        ("i", ColumnType::Int),
        ("f", ColumnType::Float),
        ("d", ColumnType::Decimal),
        ("s", ColumnType::String),
        ("b", ColumnType::Bool),
        ("day", ColumnType::Date),
        ("at", ColumnType::Datetime),
        ("local", ColumnType::Datetime),
        ("t", ColumnType::Time),
        ("r", ColumnType::Float),
        ("x", ColumnType::String),
        ("u", ColumnType::Decimal),
    ]
    .map(|(name, kind)| Column::new(name, kind).typed(kind, name == "local"))
    .to_vec()
}

fn date(days: i32) -> chrono::NaiveDate {
    chrono::NaiveDate::default() + chrono::TimeDelta::days(days.into())
}

fn moment(micros: i64) -> chrono::DateTime<chrono::Utc> {
    chrono::DateTime::from_timestamp_micros(micros).unwrap()
}

/// Returns the text of a timestamp without a time zone. `micros` is in microseconds since 1970-01-01T00:00:00.
fn local(micros: i64) -> String {
    moment(micros).naive_utc().format("%Y-%m-%dT%H:%M:%S%.f").to_string()
}

fn time(nanos: i64) -> chrono::NaiveTime {
    let (seconds, rest) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
    chrono::NaiveTime::from_num_seconds_from_midnight_opt(seconds as u32, rest as u32).unwrap()
}

/// Returns the 64-bit float whose shortest text equals the shortest text of the 32-bit float `real`.
fn shortest(real: f32) -> f64 {
    real.to_string().parse().unwrap()
}

/// Returns bytes as the text that exports write for them.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold("\\x".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

fn operand(column: &Column, dice: &mut Dice) -> Value {
    match column.name.as_str() {
        "local" if dice.roll(8) > 0 => return json!(local(dice.pick(&MOMENTS))),
        "r" => match dice.pick(&REALS) {
            real if real.is_nan() => return json!("NaN"),
            real => return json!(shortest(real)),
        },
        "x" => return json!(hex(dice.pick(&BYTES))),
        "u" if dice.roll(4) > 0 => return json!(dice.pick(&LARGE).to_string()),
        _ => {}
    }
    match column.kind {
        ColumnType::String => json!(dice.pick(&TEXTS)),
        ColumnType::Int => json!(dice.pick(&INTS)),
        ColumnType::Float => match dice.pick(&FLOATS) {
            f if f.is_nan() => json!("NaN"),
            f if f.is_infinite() => json!(if f > 0.0 { "INF" } else { "-INF" }),
            f => json!(f),
        },
        ColumnType::Decimal => json!(dice.pick(&[
            "1.10",
            "1.1",
            "1.105",
            "0",
            "-0.005",
            "99999999.99",
            "1",
            "NaN",
            "Infinity",
            "-Infinity"
        ])),
        ColumnType::Bool => json!(dice.roll(2) == 0),
        ColumnType::Date | ColumnType::Datetime if dice.roll(8) == 0 => json!(dice.pick(&["infinity", "-infinity"])),
        ColumnType::Date => json!(date(dice.pick(&DAYS)).to_string()),
        ColumnType::Datetime => json!(moment(dice.pick(&MOMENTS)).to_rfc3339()),
        ColumnType::Time if dice.roll(8) == 0 => json!("24:00:00"),
        ColumnType::Time => json!(time(dice.pick(&TIMES)).to_string()),
    }
}

fn random_filter(dice: &mut Dice, depth: usize) -> Value {
    if depth > 0 && dice.roll(3) == 0 {
        let parts: Vec<_> = (0..1 + dice.roll(3)).map(|_| random_filter(dice, depth - 1)).collect();
        return match dice.roll(3) {
            0 => json!({"and": parts}),
            1 => json!({"or": parts}),
            _ => json!({"not": parts[0]}),
        };
    }
    let column = dice.pick(&columns());
    let operand = |dice: &mut Dice| operand(&column, dice);
    let test = match dice.roll(9) {
        0 => json!({"in": [operand(dice), operand(dice), operand(dice)]}),
        1 if column.kind != ColumnType::Bool => json!({"between": [operand(dice), operand(dice)]}),
        2 => json!({"is_null": dice.roll(2) == 0}),
        3 | 4 if column.kind == ColumnType::String => {
            let pattern = dice
                .pick(&["\\\\x%", "%ff", "%a%", "_", "a\\%%", "%'%", "%\\\\%", "é", "%", "[x]%", "%💡%", "a_b", "日%"]);
            json!({dice.pick(&["like", "contains"]): pattern})
        }
        5 => json!({"eq": operand(dice)}),
        6 => json!({"ne": operand(dice)}),
        _ if column.kind == ColumnType::Bool => json!({"eq": operand(dice)}),
        _ => json!({dice.pick(&["lt", "lte", "gt", "gte"]): operand(dice)}),
    };
    json!({column.name: test})
}

async fn ids(dataset: &dyn Dataset, filter: &Value) -> Vec<i64> {
    let query = Query {
        columns: vec!["id".into()],
        filter: filter::parse(filter, &dataset.info().columns).unwrap_or_else(|e| panic!("{filter}: {e:?}")),
        params: Map::new(),
        limit: None,
    };
    let frames: Vec<DataFrame> =
        dataset.open(&query).await.unwrap().frames.try_collect().await.unwrap_or_else(|e| panic!("{filter}: {e}"));
    let ids = frames.iter().flat_map(|frame| frame.column("id").unwrap().i64().unwrap().iter().flatten());
    let mut ids: Vec<_> = ids.collect();
    ids.sort_unstable();
    ids
}

fn frame(rows: &[Sample]) -> DataFrame {
    let column = |name: &str, values: Vec<Option<i64>>, dtype| {
        PolarsColumn::new(name.into(), values).strict_cast(&dtype).unwrap()
    };
    let all = |of: fn(&Sample) -> Option<i64>| rows.iter().map(of).collect::<Vec<_>>();
    DataFrame::new_infer_height(vec![
        PolarsColumn::new("id".into(), (0..rows.len() as i64).collect::<Vec<_>>()),
        PolarsColumn::new("i".into(), all(|r| r.i)),
        PolarsColumn::new("f".into(), rows.iter().map(|r| r.f).collect::<Vec<_>>()),
        PolarsColumn::new("d".into(), rows.iter().map(|r| r.d).collect::<Vec<_>>())
            .strict_cast(&DataType::Decimal(10, 2))
            .unwrap(),
        PolarsColumn::new("s".into(), rows.iter().map(|r| r.s).collect::<Vec<_>>()),
        PolarsColumn::new("b".into(), rows.iter().map(|r| r.b).collect::<Vec<_>>()),
        column("day", all(|r| r.day.map(i64::from)), DataType::Date),
        column("at", all(|r| r.at), DataType::Datetime(TimeUnit::Microseconds, None)),
        column("local", all(|r| r.local), DataType::Datetime(TimeUnit::Microseconds, None)),
        column("t", all(|r| r.t), DataType::Time),
        PolarsColumn::new("r".into(), rows.iter().map(|r| r.r).collect::<Vec<_>>()),
        PolarsColumn::new("x".into(), rows.iter().map(|r| r.x).collect::<Vec<_>>()),
        PolarsColumn::new("u".into(), rows.iter().map(|r| r.u).collect::<Vec<_>>()),
    ])
    .unwrap()
}

/// Writes the rows to files of every format, and opens the files as datasets. If the location of a dataset is a
/// pattern, the rows are in two files.
async fn files(dir: &Path, rows: &[Sample]) -> Vec<(&'static str, Arc<dyn Dataset>)> {
    let frame = frame(rows);
    let create = |name: &str| std::fs::File::create(dir.join(name)).unwrap();
    let (first, second) = frame.split_at(77);
    for (name, mut part) in [("p1.parquet", first), ("p2.parquet", second)] {
        ParquetWriter::new(create(name)).with_row_group_size(Some(40)).finish(&mut part).unwrap();
    }
    IpcWriter::new(create("all.arrow")).finish(&mut frame.clone()).unwrap();
    IpcStreamWriter::new(create("all.arrows")).finish(&mut frame.clone()).unwrap();
    let (mut csv, mut ndjson) = ("id,i,f,d,s,b,day,at,local,t,r,x,u\n".to_owned(), String::new());
    for (id, row) in rows.iter().enumerate() {
        let text = |value: Option<String>| value.unwrap_or_default();
        let quoted = row.s.map(|s| format!("\"{}\"", s.replace('"', "\"\"")));
        let (day, at) = (row.day.map(|d| date(d).to_string()), row.at.map(|t| moment(t).to_rfc3339()));
        let numbers = [row.i.map(|n| n.to_string()), row.f.map(|f| format!("{f:?}")), row.d.map(str::to_owned)];
        let [i, f, d] = numbers.map(text);
        let (at_home, t, x) = (row.local.map(local), row.t.map(|t| time(t).to_string()), row.x.map(hex));
        let real = row.r.map(|r| if r.is_nan() { json!("NaN") } else { json!(shortest(r)) });
        writeln!(
            csv,
            "{id},{i},{f},{d},{},{},{},{},{},{},{},{},{}",
            text(quoted),
            text(row.b.map(|b| b.to_string())),
            text(day.clone()),
            text(at.clone()),
            text(at_home.clone()),
            text(t.clone()),
            text(row.r.map(|r| format!("{r:?}"))),
            text(x.clone()),
            text(row.u.map(|u| u.to_string())),
        )
        .unwrap();
        let float = row.f.map(|f| if f.is_nan() { json!("NaN") } else { json!(f) });
        let object = json!({
            "id": id, "i": row.i, "f": float, "d": row.d, "s": row.s, "b": row.b, "day": day, "at": at,
            "local": at_home, "t": t, "r": real, "x": x, "u": row.u,
        });
        writeln!(ndjson, "{object}").unwrap();
    }
    std::fs::write(dir.join("all.csv"), csv).unwrap();
    std::fs::write(dir.join("all.ndjson"), ndjson).unwrap();
    let mut all: Vec<(&'static str, Arc<dyn Dataset>)> = Vec::new();
    for name in ["p*.parquet", "all.arrow", "all.arrows", "all.csv", "all.ndjson"] {
        let kind = FileKind::from_name(name).unwrap();
        let files =
            Files::open(Location::Local(dir.join(name)), kind, DatasetInfo::new(name, columns())).await.unwrap();
        all.push((name, Arc::new(files)));
    }
    all
}

async fn fill(db: &DatabaseConnection, rows: &[Sample]) {
    let types = match db.get_database_backend() {
        sea_orm::DbBackend::Postgres => {
            "i bigint, f double precision, d numeric(10, 2), s text, b boolean, day date, at timestamptz, local timestamp, \
             t time, r double precision, x bytea, u numeric(20)"
        }
        _ => {
            "i integer, f double, d real, s text, b boolean, day date_text, at timestamp_with_timezone_text, \
             local timestamp_text, t time_text, r double, x blob, u text"
        }
    };
    db.execute_unprepared(&format!("CREATE TABLE t (id bigint PRIMARY KEY, {types})")).await.unwrap();
    let is_postgres = db.get_database_backend() == sea_orm::DbBackend::Postgres;
    for (id, row) in rows.iter().enumerate() {
        let insert = Sql::insert()
            .into_table(Alias::new("t"))
            .columns(["id", "i", "f", "d", "s", "b", "day", "at", "local", "t", "r", "x", "u"].map(Alias::new))
            .values_panic([
                Expr::val(id as i64),
                Expr::val(row.i),
                Expr::val(row.f),
                Expr::val(row.d.map(str::to_owned)).cast_as("numeric"),
                Expr::val(row.s.map(str::to_owned)),
                Expr::val(row.b),
                Expr::val(row.day.map(date)),
                Expr::val(row.at.map(moment)),
                Expr::val(row.local.map(|micros| moment(micros).naive_utc())),
                Expr::val(row.t.map(time)),
                Expr::val(row.r.map(shortest)),
                Expr::val(row.x.map(<[u8]>::to_vec)),
                if is_postgres {
                    Expr::val(row.u.map(|u| u.to_string())).cast_as("numeric")
                } else {
                    Expr::val(row.u.map(|u| u.to_string()))
                },
            ])
            .take();
        db.execute(&insert).await.unwrap();
    }
}

/// Runs `filters` random filters on all sources, and checks that all sources return the same rows.
async fn agree(sources: &[(&'static str, Arc<dyn Dataset>)], filters: usize) {
    let mut dice = Dice(0xD1B5_4A32_D192_ED03);
    let mut selective = 0;
    for _ in 0..filters {
        let filter = random_filter(&mut dice, 3);
        let expected = ids(sources[0].1.as_ref(), &filter).await;
        for (name, source) in &sources[1..] {
            assert_eq!(ids(source.as_ref(), &filter).await, expected, "{name}: {filter}");
        }
        selective += usize::from(!expected.is_empty() && expected.len() < ROWS);
    }
    assert!(selective > filters / 2, "only {selective} filters pass some of the rows");
    for (name, source) in sources {
        let values = if filters > FEW_FILTERS { 8 } else { 2 };
        let selective = filters_compare_what_is_written(name, source.as_ref(), values).await;
        assert!(selective > 40, "{name}: only {selective} filters return some of the rows");
    }
}

#[tokio::test]
async fn files_and_sqlite_agree_on_random_filters() {
    files_and_sqlite_agree(FEW_FILTERS).await;
}

#[tokio::test]
async fn slow_files_and_sqlite_agree_on_many_random_filters() {
    files_and_sqlite_agree(MANY_FILTERS).await;
}

async fn files_and_sqlite_agree(filters: usize) {
    let (rows, dir, database) = (samples(false), tempfile::tempdir().unwrap(), testkit::db::sqlite().await);
    fill(&database.db, &rows).await;
    let mut sources = files(dir.path(), &rows).await;
    sources.push((
        "sqlite",
        Arc::new(
            SqlRows::new(database.db.clone(), sql::Source::table("t"), DatasetInfo::new("t", columns()))
                .ordered_by(vec![sql::OrderBy::ascending("id")]),
        ),
    ));
    agree(&sources, filters).await;
}

#[tokio::test]
async fn slow_files_and_postgres_agree_on_random_filters() {
    let (rows, dir) = (samples(true), tempfile::tempdir().unwrap());
    let postgres = testkit::db::Postgres::start().await;
    let database = postgres.database().await;
    fill(&database.db, &rows).await;
    let mut sources = files(dir.path(), &rows).await;
    sources.push((
        "bound",
        Arc::new(
            SqlRows::new(database.db.clone(), sql::Source::table("t"), DatasetInfo::new("t", columns()))
                .ordered_by(vec![sql::OrderBy::ascending("id")]),
        ),
    ));
    let server = PostgresServer::new(&PostgresSettings::at(Secret::new(database.url()))).unwrap();
    let copied = PostgresRows::new(Arc::new(server), sql::Source::table("public.t"), DatasetInfo::new("t", columns()));
    sources.push(("copy", Arc::new(copied)));
    agree(&sources, MANY_FILTERS).await;
}
