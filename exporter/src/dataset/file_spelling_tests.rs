//! Tests that filters on files compare the values that exports show, for every type of columnar files and for every
//! spelling of text files.

use std::{fmt::Write as _, fs::File, path::Path};

use polars::prelude::{
    CategoricalPhysical, Categories, Column as PolarsColumn, DataType, IntoColumn, IntoSeries, IpcStreamWriter,
    IpcWriter, ListChunked, NamedFrom, ParquetWriter, SerWriter, Series, StructChunked, TimeUnit, TimeZone,
};
use protocol::catalog::{Column, ColumnType};
use serde_json::json;

use super::{written_values_tests::filters_compare_what_is_written, *};

const ROWS: usize = 48;
/// The number of values of each column that the filters of a slow test name. The filters of a quick test name one
/// value.
const MANY: usize = 16;

/// Returns the index of a value for each row; None for NULL. The first `count` rows have each value once. The other
/// rows have pseudorandom values and NULLs, which depend on `seed`.
fn picks(count: usize, seed: u64) -> Vec<Option<usize>> {
    let mut seed = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let pick = |row: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        let random = (seed % (count as u64 + 1)) as usize;
        Some(if row < count { row } else { random }).filter(|pick| *pick < count)
    };
    (0..ROWS).map(pick).collect()
}

/// Returns a column with these values and NULLs in a pseudorandom mixture.
fn mixed<T: Clone>(name: &str, values: &[T]) -> PolarsColumn
where
    Series: NamedFrom<Vec<Option<T>>, [Option<T>]>,
{
    let seed = name.bytes().fold(7, |seed, byte| seed * 31 + u64::from(byte));
    let values: Vec<_> =
        picks(values.len(), seed).into_iter().map(|pick| pick.map(|pick| values[pick].clone())).collect();
    Series::new(name.into(), values).into_column()
}

fn cast(column: PolarsColumn, dtype: &DataType) -> PolarsColumn {
    column.strict_cast(dtype).unwrap()
}

/// Returns a data frame with a column of every type that the files have, apart from types that only some formats have.
fn frame() -> DataFrame {
    let micros = [0, -1, 979_397_760_500_000, 979_397_760_500_001, -9_000_000_000_000_000, 9_000_000_000_000_000_i64];
    let numbers = [0, 1, -1, 7, i64::from(i32::MAX), i64::MIN, i64::MAX];
    let categories =
        DataType::from_categories(Categories::new("c".into(), "spelling".into(), CategoricalPhysical::U32));
    let texts =
        ["a", "A", "a ", " a", "", "é", "e\u{301}", "5", "05", "5.0", "\\x00", "%_[x]*?", "x\u{0}y", "NaN", "null"];
    let bytes: [&[u8]; 6] = [b"", b"\x00", b"\x00\xff", b"a", b"\\x61", b"\xff\xfe\xfd"];
    let lists: ListChunked = picks(4, 5)
        .into_iter()
        .map(|pick| {
            pick.map(|pick| Series::new("".into(), (0..pick as i64).map(|n| (n != 1).then_some(n)).collect::<Vec<_>>()))
        })
        .collect();
    let members =
        [mixed("a", &["x\"y", "z"]), mixed("b", &[1_i64, 2])].map(|part| part.as_materialized_series().clone());
    let record = StructChunked::from_series("record".into(), ROWS, members.iter()).unwrap();
    let decimals = ["0", "1.1", "1.10", "-1.1", "9", "10", "0.0000000001", "-9999999999.9999999999"];
    let columns = vec![
        PolarsColumn::new("id".into(), (0..ROWS as i64).collect::<Vec<_>>()),
        cast(mixed("t", &[0, 1, 1_000, 1_500_000, 43_200_000_000_000, 86_399_999_999_999_i64]), &DataType::Time),
        cast(mixed("local", &micros), &DataType::Datetime(TimeUnit::Microseconds, None)),
        cast(mixed("zoned", &micros), &DataType::Datetime(TimeUnit::Microseconds, Some(TimeZone::UTC))),
        cast(
            mixed("ns", &[0, 1, -1, 1_000_000_001, 979_397_760_500_000_001, i64::MAX, -9_000_000_000_000_000_007]),
            &DataType::Datetime(TimeUnit::Nanoseconds, None),
        ),
        cast(
            mixed("ms", &[0, 1, -1, 979_397_760_500, 253_402_300_799_999, -62_135_596_800_000_i64]),
            &DataType::Datetime(TimeUnit::Milliseconds, Some(TimeZone::UTC)),
        ),
        mixed(
            "real",
            &[0.0, -0.0, 0.1, 0.3, 16_777_216.0, 1e-45, f32::MAX, f32::NAN, f32::INFINITY, f32::NEG_INFINITY],
        ),
        mixed("double", &[0.0, 0.1, 0.1 + 0.2, 1e300, -1e-300, f64::NAN, f64::INFINITY, 9_007_199_254_740_992.0]),
        cast(mixed("small", &[0, 1, -128, 127, 5_i64]), &DataType::Int8),
        cast(mixed("short", &[0, 1, 65_535, 5_i64]), &DataType::UInt16),
        cast(mixed("word", &[0, 1, i64::from(u32::MAX), 5]), &DataType::UInt32),
        mixed("large", &[0, 7, u64::MAX, u64::MAX - 1, 9_007_199_254_740_993]),
        mixed("number", &numbers),
        cast(mixed("decimal", &decimals), &DataType::Decimal(38, 10)),
        cast(mixed("day", &[0, -1, 11_000, -700_000, 2_932_896]), &DataType::Date),
        mixed("flag", &[true, false]),
        mixed("text", &texts),
        cast(mixed("category", &["b", "a", "B", ""]), &categories),
        mixed("bytes", &bytes),
        lists.with_name("list".into()).into_series().into_column(),
        record.into_series().into_column(),
        cast(mixed("took", &[0, 1, -1_500, 90_061_000_i64]), &DataType::Duration(TimeUnit::Milliseconds)),
    ];
    DataFrame::new_infer_height(columns).unwrap()
}

async fn open(dir: &Path, name: &str, declared: Vec<Column>) -> Files {
    let kind = FileKind::from_name(name).unwrap();
    Files::open(Location::Local(dir.join(name)), kind, DatasetInfo::new(name, declared)).await.unwrap()
}

async fn columnar_files_agree(names: &[&str], most: usize) {
    let dir = tempfile::tempdir().unwrap();
    let create = |name: &str| File::create(dir.path().join(name)).unwrap();
    let frame = frame();
    ParquetWriter::new(create("a.parquet")).with_row_group_size(Some(17)).finish(&mut frame.clone()).unwrap();
    IpcWriter::new(create("a.arrow")).finish(&mut frame.clone()).unwrap();
    IpcStreamWriter::new(create("a.arrows")).finish(&mut frame.clone()).unwrap();
    for name in names {
        let files = open(dir.path(), name, Vec::new()).await;
        assert_eq!(files.info().columns.len(), frame.width(), "{name}: {:?}", files.info().notes);
        let selective = filters_compare_what_is_written(name, &files, most).await;
        assert!(selective > 100, "{name}: only {selective} filters return some of the rows");
    }
}

#[tokio::test]
async fn filters_on_columnar_files_compare_what_is_written() {
    columnar_files_agree(&["a.parquet", "a.arrow"], 1).await;
}

#[tokio::test]
async fn slow_filters_on_columnar_files_compare_all_that_is_written() {
    columnar_files_agree(&["a.parquet", "a.arrow", "a.arrows"], MANY).await;
}

/// For each column, its declared type, or None to let the exporter guess the type, and the fields of the file.
const FIELDS: [(&str, Option<ColumnType>, &[&str]); 19] = [
    ("padded", None, &[" 5", "5", "05", "5 ", "5.0", "-5"]),
    (
        "declared_text",
        Some(ColumnType::String),
        &[" 5", "5", "05", "5.0", "a", "A", "a ", "é", "e\u{301}", "NULL", "#x"],
    ),
    ("guessed_int", None, &["5", "-7", "10", "9", "9223372036854775807", "0"]),
    ("int", Some(ColumnType::Int), &[" 5", "5", "05", "+7", "-7", "10", "9", "9223372036854775807"]),
    ("guessed_decimal", None, &["1.1", "1.10", "9", "10", "-0.5"]),
    ("decimal", Some(ColumnType::Decimal), &["1.1", "1.10", " 1.100", "9", "10", "-0.50", "12345678901234567890.01"]),
    ("guessed_float", None, &["0.1", "2.5", "-0.5", "1e300"]),
    ("float", Some(ColumnType::Float), &["0.1", "1e3", "1000", "1E+3", " 1000.0", "-0.50", "NaN", "inf", "-inf"]),
    ("guessed_moment", None, &["2001-01-13T14:56:00Z", "2001-01-13T14:56:00.500Z", "1999-12-31T23:59:59Z"]),
    (
        "moment",
        Some(ColumnType::Datetime),
        &["2001-01-13T14:56:00Z", "2001-01-13 14:56:00Z", "2001-01-13T15:56:00+01:00", " 2001-01-13 14:56:00.5Z"],
    ),
    ("guessed_local", None, &["2001-01-13T14:56:00", "2001-01-13T14:56:00.500", "1999-12-31T23:59:59"]),
    (
        "local",
        Some(ColumnType::Datetime),
        &["2001-01-13T14:56:00", "2001-01-13 14:56:00", "2001-01-13 14:56:00.000001"],
    ),
    ("mixed_moment", None, &["2001-01-13T14:56:00", "2001-01-13 14:56:00", "2001-01-13"]),
    ("guessed_day", None, &["2001-01-13", "1999-12-31", "0001-01-01"]),
    ("day", Some(ColumnType::Date), &["2001-01-13", " 2001-01-13", "2001-1-13", "9999-12-31"]),
    ("time", Some(ColumnType::Time), &["15:26:01", " 15:26:01", "15:26:01.000", "15:26:01.000000001", "00:00:00"]),
    ("guessed_flag", None, &["true", "false"]),
    ("flag", Some(ColumnType::Bool), &["true", "True", "t", "1", "FALSE", " f", "0"]),
    ("json", None, &["{\"a\": 1.10}", "{\"a\":1.10}", "[1,  2]", "[]"]),
];

/// Writes the test values to a CSV file and an NDJSON file. In the NDJSON file, each value is a JSON string, except in
/// the column `json`.
fn write_texts(dir: &Path) {
    let columns: Vec<_> =
        FIELDS.iter().enumerate().map(|(at, (.., fields))| picks(fields.len(), at as u64 + 3)).collect();
    let names: Vec<_> = FIELDS.iter().map(|(name, ..)| *name).collect();
    let (mut csv, mut ndjson) = (format!("id,{}\n", names.join(",")), String::new());
    for row in 0..ROWS {
        write!(csv, "{row}").unwrap();
        write!(ndjson, "{{\"id\":{row}").unwrap();
        for ((name, _, fields), picks) in FIELDS.iter().zip(&columns) {
            let field = picks[row].map(|pick| fields[pick]);
            write!(csv, ",{}", field.map_or_else(String::new, |field| format!("\"{}\"", field.replace('"', "\"\""))))
                .unwrap();
            match field {
                Some(json) if *name == "json" => write!(ndjson, ",\"{name}\":{json}").unwrap(),
                field => write!(ndjson, ",\"{name}\":{}", json!(field)).unwrap(),
            }
        }
        csv.push('\n');
        ndjson.push_str("}\n");
    }
    std::fs::write(dir.join("a.csv"), csv).unwrap();
    std::fs::write(dir.join("a.ndjson"), ndjson).unwrap();
}

/// Checks filters on text files. `sources` has the name of each file, and whether the types of its columns are
/// declared. The filters name at most `most` values of each column.
async fn text_files_agree(sources: &[(&str, bool)], most: usize) {
    let dir = tempfile::tempdir().unwrap();
    write_texts(dir.path());
    for (name, is_declared) in sources {
        let mut files = open(dir.path(), name, Vec::new()).await;
        assert_eq!(files.info().columns.len(), FIELDS.len() + 1, "{name}");
        if *is_declared {
            // the types of the table, and the guessed types of the other columns
            let declared = files.info().columns.iter().map(|column| {
                let kind = FIELDS.iter().find(|(name, ..)| *name == column.name).and_then(|(_, kind, _)| *kind);
                kind.map_or(column.clone(), |kind| Column::new(&column.name, kind))
            });
            files = open(dir.path(), name, declared.collect()).await;
        }
        let selective = filters_compare_what_is_written(name, &files, most).await;
        let what = if *is_declared { "declared" } else { "guessed" };
        assert!(selective > 80, "{name}, {what}: only {selective} filters return some of the rows");
    }
}

#[tokio::test]
async fn filters_on_text_files_compare_what_is_written_in_each_spelling() {
    text_files_agree(&[("a.csv", true), ("a.ndjson", false)], 1).await;
}

#[tokio::test]
async fn slow_filters_on_text_files_compare_all_that_is_written() {
    text_files_agree(&[("a.csv", true), ("a.csv", false), ("a.ndjson", true), ("a.ndjson", false)], MANY).await;
}
