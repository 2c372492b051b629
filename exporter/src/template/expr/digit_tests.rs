//! Tests that calculations keep all digits of numbers, or fail.

use polars::prelude::*;
use protocol::catalog::{Column as CatalogColumn, ColumnType};

use super::{cause, compile};

/// 2^53 + 1, the smallest whole number that a 64-bit float can't represent.
const BEYOND: i64 = 9_007_199_254_740_993;

/// Calculates an expression for two rows with numbers of different types. Returns the results, or the reason why the
/// calculation failed.
fn mixed(text: &str) -> Result<[String; 2], String> {
    let decimal = |name: &str, values: [Option<i128>; 2], precision, scale| {
        let values = Int128Chunked::from_iter_options(name.into(), values.into_iter());
        values.into_decimal(precision, scale).unwrap().into_series().into_column()
    };
    let frame = DataFrame::new_infer_height(vec![
        Column::new("small".into(), [Some(7_i64), None]),
        Column::new("big".into(), [BEYOND, i64::MIN]),
        Column::new("x".into(), [None, Some(0.5)]),
        // as ClickHouse's UInt64
        decimal("unsigned", [Some(i128::from(u64::MAX)), None], 20, 0),
        decimal("price", [Some(1_999), Some(-5)], 15, 2),
        decimal("fine", [Some(1), Some(10_i128.pow(30))], 38, 30),
        decimal("long", [Some(12_345_678_901_234_567_890), None], 38, 2),
    ])
    .unwrap();
    let kind = |column: &Column| match column.dtype() {
        DataType::Int64 => ColumnType::Int,
        DataType::Float64 => ColumnType::Float,
        _ => ColumnType::Decimal,
    };
    let columns: Vec<_> =
        frame.columns().iter().map(|column| CatalogColumn::new(column.name().as_str(), kind(column))).collect();
    let computed = compile(text, &columns).unwrap_or_else(|e| panic!("{text}: {e}"));
    // `height` keeps the number of rows of an expression without columns
    let out = frame.lazy().select([computed.expr.alias("out"), col("price").alias("height")]).collect();
    let out = out.map_err(|e| cause(&e))?.column("out").unwrap().clone();
    let declared = kind(&out);
    assert!(
        matches!(out.dtype(), DataType::Boolean | DataType::String) || declared == computed.kind,
        "{text}: {out:?}"
    );
    Ok([0, 1].map(|row| out.get(row).unwrap().to_string().trim_matches('"').to_owned()))
}

#[test]
fn numbers_of_different_types_keep_their_digits() {
    for (text, expected) in [
        ("coalesce(x, small)", ["7.0", "0.5"]),
        ("coalesce(unsigned, price)", ["18446744073709551615.00", "-0.05"]),
        ("coalesce(null, small, price, 0)", ["7.00", "-0.05"]),
        ("if(small = 7, unsigned, price)", ["18446744073709551615.00", "-0.05"]),
        ("if(small = 7, 1, fine)", ["1.000000000000000000000000000000", "1.000000000000000000000000000000"]),
        // only the chosen value must be a float
        ("if(small = 7, 1, x)", ["1.0", "0.5"]),
        ("if(is_null(x), 1e0, if(true, x, big))", ["1.0", "0.5"]),
        ("coalesce(1e0, big)", ["1.0", "1.0"]),
        ("big = 9007199254740992e0", ["false", "false"]),
        ("big > 9007199254740992e0", ["true", "false"]),
        ("unsigned > big", ["true", "null"]),
        ("unsigned = 18446744073709551615e0", ["false", "null"]),
        ("fine < big", ["true", "false"]),
        ("long > 1e0", ["true", "null"]),
        ("price = 19.99e0", ["true", "false"]),
        ("price <> x", ["null", "true"]),
        ("0.5 = x", ["null", "true"]),
        ("1 < 1.5e0", ["true", "true"]),
        ("unsigned + price", ["18446744073709551634.99", "null"]),
        ("price - unsigned", ["-18446744073709551595.01", "null"]),
        ("unsigned + 1", ["18446744073709551616", "null"]),
        ("big / 1.0", ["9007199254740993.0000000000", "-9223372036854775808.0000000000"]),
        ("small / 2", ["3.5", "null"]),
        ("small / (small - 7)", ["null", "null"]),
        ("price / (price - 19.99)", ["null", "0.0024950100"]),
        ("x / (x - 0.5)", ["null", "null"]),
        ("1.5 * 2e0", ["3.0", "3.0"]),
        ("price * 2e0", ["39.98", "-0.1"]),
        ("abs(0 - small)", ["7", "null"]),
    ] {
        assert_eq!(mixed(text), Ok(expected.map(str::to_owned)), "{text}");
    }
}

#[test]
fn a_number_that_no_float_has_is_refused() {
    for (text, cause) in [
        ("coalesce(x, big)", "a whole number or decimal meets a float"),
        ("if(small = 7, big, x)", "a whole number or decimal meets a float"),
        ("big + 1e0", "a whole number or decimal meets a float"),
        ("big * x", "a whole number or decimal meets a float"),
        ("long / 2e0", "a whole number or decimal meets a float"),
        ("coalesce(x, unsigned)", "a whole number or decimal meets a float"),
        ("big / 1", "`n / 1.0`"),
        ("1 / big", "`n / 1.0`"),
        ("abs(big)", "beyond whole numbers of 64 bits"),
        ("-big", "beyond whole numbers of 64 bits"),
        ("long * long", "decimals of 38 digits"),
        ("unsigned + fine", "round one of them"),
        ("long * 80000000000.0 + long * 80000000000.0", "decimals of 38 digits"),
        ("coalesce(unsigned, fine)", "round one of them"),
    ] {
        let refused = mixed(text).expect_err(text);
        assert!(refused.contains(cause) && !refused.contains("9007199254740993"), "{text}: {refused}");
    }
}

#[test]
fn nested_divisions_are_calculated_once_each() {
    assert_eq!(mixed(&format!("{}2{}", "1.0/(".repeat(31), ")".repeat(31))).unwrap().len(), 2);
}

#[test]
fn decimals_that_are_text_keep_their_digits_or_are_refused() {
    let columns = [CatalogColumn::new("price", ColumnType::Decimal)];
    let calculated = |expression: &str, price: &str| -> Result<String, String> {
        let computed = compile(expression, &columns).unwrap_or_else(|e| panic!("{expression}: {e}"));
        let frame = DataFrame::new_infer_height(vec![Column::new("price".into(), [price])]).unwrap();
        let out = frame.lazy().select([computed.expr.alias("out")]).collect().map_err(|e| cause(&e))?;
        Ok(out.column("out").unwrap().get(0).unwrap().to_string())
    };
    let fine = "0.01499999999996";
    for (expression, price, expected) in [
        ("coalesce(price, 0)", "19.990000000000", "19.9900000000"),
        ("round(price, 2)", fine, "0.01"),
        ("round(price, 10) + 1", fine, "1.0150000000"),
        ("price * 1", fine, "0.0150000000"),
        ("concat(price, ' €')", fine, "\"0.01499999999996 €\""),
        ("concat(price)", "19.99", "\"19.99\""),
        ("price = 19.99e0", "19.99", "true"),
    ] {
        assert_eq!(calculated(expression, price).as_deref(), Ok(expected), "{expression}");
    }
    for expression in ["price", "coalesce(price, 0)", "price + 1", "-price", "price > 0", "if(price > 0, 1, 2)"] {
        let refused = calculated(expression, fine).expect_err(expression);
        assert!(refused.contains("`round(column, 10)`") && !refused.contains("4999"), "{expression}: {refused}");
    }
}
