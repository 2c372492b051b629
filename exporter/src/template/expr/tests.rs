//! Tests that expressions give the same values as SQL, and that an invalid expression gives an error with its position.

use polars::prelude::*;
use protocol::catalog::{Column as CatalogColumn, ColumnType};

use super::compile;

fn columns() -> Vec<CatalogColumn> {
    [
        ("n", ColumnType::Int),
        ("x", ColumnType::Float),
        ("price", ColumnType::Decimal),
        ("name", ColumnType::String),
        ("day", ColumnType::Date),
        ("at", ColumnType::Datetime),
        ("Any \"Column\"", ColumnType::Bool),
    ]
    .map(|(name, kind)| CatalogColumn::new(name, kind))
    .to_vec()
}

fn frame() -> DataFrame {
    let day = Column::new("day".into(), [Some(11_335_i32), None]).cast(&DataType::Date).unwrap();
    let at = Column::new("at".into(), [Some(979_397_765_000_i64), None])
        .cast(&DataType::Datetime(TimeUnit::Milliseconds, None))
        .unwrap();
    let price = Column::new("price".into(), [Some("19.99"), None]).cast(&DataType::Decimal(15, 2)).unwrap();
    DataFrame::new_infer_height(vec![
        Column::new("n".into(), [Some(7_i32), None]),
        Column::new("x".into(), [Some(0.5_f32), None]),
        price,
        Column::new("name".into(), [Some(" Ünal "), None]),
        day,
        at,
        Column::new("Any \"Column\"".into(), [Some(true), None]),
    ])
    .unwrap()
}

#[test]
fn moments_with_and_without_a_time_zone_do_not_mix() {
    let local = CatalogColumn::new("local", ColumnType::Datetime).typed(ColumnType::Datetime, true);
    let all = [columns(), vec![local.clone(), CatalogColumn { name: "other".into(), ..local }]].concat();
    for (text, expected) in [
        ("coalesce(local, other)", true),
        ("if(n > 1, null, local)", true),
        ("coalesce(null, at)", false),
        ("local", true),
    ] {
        assert_eq!(compile(text, &all).unwrap().local, expected, "{text}");
    }
    assert_eq!(compile("hour(local)", &all).unwrap().kind, ColumnType::Int);
    for text in ["at = local", "local < at", "coalesce(local, null, at)", "if(n > 1, at, local)"] {
        let error = compile(text, &all).unwrap_err().to_string();
        assert!(error.contains("a time zone"), "{text}: {error}");
    }
}

/// Returns the results of an expression for two rows. In the second row, every column is NULL.
fn calculated(text: &str) -> (String, String) {
    let computed = compile(text, &columns()).unwrap_or_else(|e| panic!("{text}: {e}"));
    let out = frame()
        .lazy()
        .select([computed.expr.alias("out"), col("n")])
        .collect()
        .unwrap_or_else(|e| panic!("{text}: {e}"));
    let out = out.column("out").unwrap().clone();
    let show = |index| match out.get(index).unwrap() {
        AnyValue::String(text) => text.to_owned(),
        AnyValue::StringOwned(text) => text.to_string(),
        other => other.to_string(),
    };
    (show(0), show(1))
}

#[test]
fn expressions_of_the_maximum_depth_and_size_are_calculated() {
    for (text, first) in [
        (vec!["n"; 100].join("+"), "700"),
        (vec!["n > 0"; 50].join(" and "), "true"),
        (format!("{}n{}", "(".repeat(32), ")".repeat(32)), "7"),
        (format!("{}n{}", "abs(".repeat(32), ")".repeat(32)), "7"),
        (format!("{}n > 0", "not ".repeat(32)), "true"),
    ] {
        assert_eq!(calculated(&text), (first.to_owned(), "null".to_owned()), "{text}");
    }
}

#[test]
fn floats_of_32_bits_count_as_their_written_digits() {
    let computed = compile("x * 3", &columns()).unwrap();
    let frame = DataFrame::new_infer_height(vec![Column::new("x".into(), [Some(0.1_f32), None])]).unwrap();
    let out = frame.lazy().select([computed.expr.alias("out")]).collect().unwrap();
    assert_eq!(out.column("out").unwrap().f64().unwrap().iter().collect::<Vec<_>>(), [Some(0.1 * 3.0), None]);
}

#[test]
fn values_are_exact_and_null_stays_null() {
    for (text, first, second) in [
        ("n + 1", "8", "null"),
        ("n * n - 40", "9", "null"),
        ("n / 2", "3.5", "null"),
        ("n / 0", "null", "null"),
        ("1 + 2 * 3", "7", "7"),
        ("-n + 1", "-6", "null"),
        ("x * 2", "1.0", "null"),
        ("x / 0", "null", "null"),
        ("round(price * (1 - 0.05), 2)", "18.99", "null"),
        ("price + 0.01", "20.00", "null"),
        ("price + n", "26.99", "null"),
        ("round(price / 0, 2)", "null", "null"),
        ("round(price / 3, 4)", "6.6633", "null"),
        ("round(x, 0)", "1.0", "null"),
        ("upper(trim(name))", "ÜNAL", "null"),
        ("lower(name)", " ünal ", "null"),
        ("length(name)", "6", "null"),
        ("substring(trim(name), 2, 2)", "na", "null"),
        ("concat(trim(name), '-', n, '/', price)", "Ünal-7/19.99", "-/"),
        ("concat('it''s ', \"Any \"\"Column\"\"\")", "it's true", "it's "),
        ("coalesce(n, 0)", "7", "0"),
        ("coalesce(price, 0)", "19.99", "0.00"),
        ("if(n > 5 and not is_null(name), 'many', 'few')", "many", "few"),
        ("if(price >= 20, 1, null)", "null", "null"),
        ("year(day) * 100 + month(day)", "200101", "null"),
        ("weekday(day)", "6", "null"),
        ("hour(at)", "14", "null"),
        ("abs(0 - n)", "7", "null"),
        ("n = 7 or name = 'x'", "true", "null"),
        ("price <> 19.99", "false", "null"),
    ] {
        assert_eq!(calculated(text), (first.to_owned(), second.to_owned()), "{text}");
    }
}

#[test]
fn an_overflow_fails_instead_of_wrapping_around() {
    let computed = compile("n * 9223372036854775807", &columns()).unwrap();
    assert!(frame().lazy().select([computed.expr]).collect().is_err());
}

#[test]
fn a_compiled_expression_lists_its_columns() {
    let computed = compile("if(n > 0, concat(name, n), name)", &columns()).unwrap();
    assert_eq!((computed.columns, computed.kind), (vec!["n".to_owned(), "name".to_owned()], ColumnType::String));
}

#[test]
fn an_invalid_expression_is_refused_with_its_position() {
    for (text, at, part) in [
        ("", 0, "missing at the end"),
        ("n +", 3, "missing at the end"),
        ("n n", 2, "operator is missing"),
        ("(n", 2, "`)` is missing"),
        ("nope", 0, "no column `nope`"),
        ("n + name", 2, "takes numbers, not text"),
        ("upper(n)", 0, "takes text, not a whole number"),
        ("sqrt(n)", 0, "no function `sqrt`"),
        ("round(x, n)", 0, "digits"),
        ("substring(name, 0, 1)", 0, "begin at 1"),
        ("name and true", 5, "true or false, not text"),
        ("day = 'x'", 4, "one type"),
        ("'abc", 0, "not closed"),
        ("n ; 1", 2, "unexpected character `;`"),
        ("99999999999999999999", 0, "64 bits"),
        ("concat(x)", 0, "depend on the source"),
        ("null", 0, "always NULL"),
        ("if(n, 1, 2)", 0, "condition"),
        ("upper(name, name)", 0, "takes one value, not 2"),
        ("1 < 2 < 3", 6, "operator is missing"),
    ] {
        let error = compile(text, &columns()).expect_err(text);
        assert!(error.at == at && error.detail.contains(part), "{text}: {error}");
    }
}

#[test]
fn large_expressions_are_refused() {
    for text in [
        "(".repeat(1_900),
        "-".repeat(1_900),
        "not ".repeat(490),
        "n+".repeat(900),
        "upper(".repeat(300),
        "x".repeat(3_000),
    ] {
        assert!(compile(&text, &columns()).is_err());
    }
}

#[test]
fn any_text_is_an_expression_or_an_error() {
    const PIECES: [&str; 24] = [
        "n", "x", "price", "name", "(", ")", ",", "+", "-", "*", "/", "=", "<", " and ", " or ", "not ", "'a'", "\"",
        "1", "0.5", "if(", "concat(", "é", "round(",
    ];
    let mut state = 7_u64;
    let mut below = |sides: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % sides
    };
    let mut good = 0;
    for _ in 0..20_000 {
        let text: String = (0..1 + below(9)).map(|_| PIECES[below(PIECES.len())]).collect();
        match compile(&text, &columns()) {
            Ok(_) => good += 1,
            Err(e) => assert!(e.at <= text.len() && !e.detail.is_empty()),
        }
    }
    assert!(good > 100, "{good}");
}
