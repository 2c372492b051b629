//! Generates rows of every type, with the edge cases of each type.

use exporter::layout::{ColumnStyle, Layout, Pattern, Style, Timestamps};
use polars::prelude::*;
use protocol::catalog::{Column as CatalogColumn, ColumnType};

/// Returns the columns of every generated frame.
pub(crate) fn columns() -> Vec<CatalogColumn> {
    [
        ("n", ColumnType::Int),
        ("small", ColumnType::Int),
        ("x", ColumnType::Float),
        ("real", ColumnType::Float),
        ("money", ColumnType::Decimal),
        ("wide", ColumnType::Decimal),
        ("flag", ColumnType::Bool),
        ("day", ColumnType::Date),
        ("at", ColumnType::Datetime),
        ("clock", ColumnType::Time),
        ("text", ColumnType::String),
        ("code", ColumnType::String),
    ]
    .map(|(name, kind)| CatalogColumn::new(name, kind))
    .to_vec()
}

/// A pseudorandom generator with a fixed seed (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// Returns an edge case with probability 0.4, NULL with probability 0.1, and otherwise a generated value.
    fn pick<T: Clone>(&mut self, edge_cases: &[T], make: impl Fn(u64) -> T) -> Option<T> {
        match self.below(10) {
            0 => None,
            1..=4 => Some(edge_cases[self.below(edge_cases.len())].clone()),
            _ => Some(make(self.next())),
        }
    }
}

const PIECES: [&str; 24] = [
    "\"",
    "\"\"",
    ",",
    ";",
    "\t",
    "\n",
    "\r",
    "\r\n",
    "\0",
    "#",
    " ",
    "é",
    "漢字",
    "🦀",
    "\u{202e}עברית",
    "'",
    "a",
    "B",
    "NULL",
    "\\N",
    "\\",
    "<&>",
    "_x0041_",
    "\u{1f}",
];
const CODES: [&str; 16] = [
    "",
    "-1",
    "=1+1",
    "+49 30 123",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "123456789012345678901234567890",
    "000123",
    "0",
    "1e5",
    "TRUE",
    "2001-01-13",
    "NaN",
    "null",
    "-",
];
const DAY: i64 = 86_400_000_000;

fn text(random: &mut Random) -> Option<String> {
    match random.below(8) {
        0 => None,
        1 => Some(String::new()),
        n => Some((0..n).map(|_| PIECES[random.below(PIECES.len())]).collect()),
    }
}

/// Returns rows of every type, with the edge cases of each type.
pub(crate) fn frame(rows: usize) -> PolarsResult<DataFrame> {
    let mut random = Random(42);
    let mut of = |make: &mut dyn FnMut(&mut Random)| (0..rows).for_each(|_| make(&mut random));
    let (mut n, mut small, mut x, mut real) = (vec![], vec![], vec![], vec![]);
    of(&mut |d| n.push(d.pick(&[0, -1, i64::MIN, i64::MAX, 999_999_999_999_999, 1_000_000_000_000_000], |r| r as i64)));
    of(&mut |d| small.push(d.pick(&[0, -1, i16::MIN, i16::MAX], |r| r as i16)));
    let floats = [0.0, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MIN, f64::MAX, 5e-324, 0.1, -1.0, 1e15];
    of(&mut |d| x.push(d.pick(&floats, |r| (r as i64 >> 20) as f64 / 4096.0)));
    let reals = [0.0, f32::NAN, f32::INFINITY, f32::MIN, f32::MAX, 0.1, 1e-45];
    of(&mut |d| real.push(d.pick(&reals, |r| (r as i32) as f32 / 64.0)));
    let (mut money, mut wide) = (vec![], vec![]);
    of(&mut |d| money.push(d.pick(&[0_i128, -1, 5, -199, 9_999_999_999_999], |r| i128::from(r as i32))));
    let largest = 10_i128.pow(38) - 1;
    of(&mut |d| wide.push(d.pick(&[0, 1, -1, largest, -largest], |r| i128::from(r as i64) * 1_000_003)));
    let (mut flag, mut day, mut at, mut clock) = (vec![], vec![], vec![], vec![]);
    of(&mut |d| flag.push(d.pick(&[true, false], |r| r % 2 == 0)));
    // 0001-01-01, before and after 1900 and 1970, 2262-04-12, 9999-12-31
    of(&mut |d| day.push(d.pick(&[-719_162, -25_510, -25_509, -1, 0, 106_752, 2_932_896], |r| (r % 40_000) as i32)));
    let moments =
        [-62_135_596_800_000_000, -DAY, -1_000, 0, 979_397_765_120_000, 9_224_318_016_000_000, 253_402_300_799_999_000];
    of(&mut |d| at.push(d.pick(&moments, |r| (r % 4_000_000_000_000) as i64 * 1_000)));
    of(&mut |d| clock.push(d.pick(&[0, 1_000_000, 86_399_999_000_000], |r| (r % 86_400_000) as i64 * 1_000_000)));
    let (mut texts, mut codes) = (vec![], vec![]);
    of(&mut |d| texts.push(text(d)));
    of(&mut |d| codes.push(d.pick(&CODES.map(str::to_owned), |r| format!("{r}"))));

    let decimal = |name: &str, values: Vec<Option<i128>>, precision, scale| {
        Int128Chunked::from_iter_options(name.into(), values.into_iter())
            .into_decimal(precision, scale)
            .map(IntoSeries::into_series)
            .map(IntoColumn::into_column)
    };
    DataFrame::new_infer_height(vec![
        Column::new("n".into(), n),
        Column::new("small".into(), small),
        Column::new("x".into(), x),
        Column::new("real".into(), real),
        decimal("money", money, 15, 2)?,
        decimal("wide", wide, 38, 10)?,
        Column::new("flag".into(), flag),
        Column::new("day".into(), day).cast(&DataType::Date)?,
        Column::new("at".into(), at).cast(&DataType::Datetime(TimeUnit::Microseconds, None))?,
        Column::new("clock".into(), clock).cast(&DataType::Time)?,
        Column::new("text".into(), texts),
        Column::new("code".into(), codes),
    ])
}

/// Returns rows that CSV on the Web can express: its types have no NUL, no year above 9999 and no double of 38 digits.
pub(crate) fn csvw_frame(rows: usize) -> PolarsResult<DataFrame> {
    frame(rows)?.lazy().filter(col("text").str().contains_literal(lit("\0")).fill_null(lit(false)).not()).collect()
}

/// Returns rows whose numbers, dates and times a workbook can represent as numbers.
pub(crate) fn workbook_frame(rows: usize) -> PolarsResult<DataFrame> {
    let only = |name: &str, is_number: Expr| when(is_number).then(col(name)).otherwise(lit(NULL)).alias(name);
    let between = |name: &str, first: i64, last: i64| {
        let value = col(name).to_physical().cast(DataType::Int64);
        only(name, value.clone().gt_eq(lit(first)).and(value.lt_eq(lit(last))))
    };
    let largest = 999_999_999_999_999_i64;
    frame(rows)?
        .lazy()
        .with_columns([
            (col("n") % lit(largest)).alias("n"),
            only("x", col("x").is_finite()),
            only("real", col("real").is_finite()),
            only("wide", col("wide").cast(DataType::Float64).abs().lt(lit(100_000.0))),
            // 1900-03-01 to 9999-12-31
            between("day", -25_508, 2_932_896),
            between("at", -25_507 * DAY, 2_932_895 * DAY),
        ])
        .collect()
}

/// Styles every type as far as the `csvw` tool supports it. The tool reads `.` between thousands as the decimal mark, and
/// does not support another decimal mark in floats.
pub(crate) fn styled(layout: Layout) -> Layout {
    let pattern = |text: &str| Pattern::parse(text).ok();
    let mut layout = Layout {
        timestamps: Timestamps::Rows,
        style: Style { digits_as_text: false, formula_guard: false, decimal_mark: b'.', ..layout.style },
        ..layout
    };
    for column in &mut layout.columns {
        column.style = match column.source.name.as_str() {
            "money" => ColumnStyle { decimals: Some(2), grouping: Some(','), ..ColumnStyle::default() },
            "flag" => ColumnStyle { words: Some(("ja".into(), "nein".into())), ..ColumnStyle::default() },
            "day" => ColumnStyle { pattern: pattern("dd.MM.yyyy"), ..ColumnStyle::default() },
            "clock" => ColumnStyle { pattern: pattern("HH:mm"), ..ColumnStyle::default() },
            _ => ColumnStyle::default(),
        };
    }
    layout
}
