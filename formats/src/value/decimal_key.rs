//! Builds text keys that sort like decimals. Some sources return decimals as text, so that no digit is lost. But the
//! order of such texts differs from the order of their values.

use polars::prelude::{Column, DataType, Expr, Field, IntoColumn, IntoSeries, PolarsResult, StringChunkedBuilder};

/// The number of characters in which a key states the number of digits before the decimal point, with leading zeros.
const LENGTH_DIGITS: usize = 10;
/// The largest number of digits before the decimal point that a key can state. The key of a longer decimal has this
/// number too.
const MAX_LENGTH: u64 = 9_999_999_999;

/// Returns an expression whose values sort like the decimals of a column. If the column is text, its values become sort
/// keys. Any other column stays unchanged, because polars sorts its numbers correctly.
pub fn sortable(column: Expr) -> Expr {
    column.map(keys, |_, field| Ok(Field::new(field.name().clone(), field.dtype().clone())))
}

fn keys(column: Column) -> PolarsResult<Column> {
    if column.dtype() != &DataType::String {
        return Ok(column);
    }
    let texts = column.str()?;
    let mut keys = StringChunkedBuilder::new(column.name().clone(), texts.len());
    for text in texts.iter() {
        keys.append_option(text.map(key));
    }
    Ok(keys.finish().into_series().into_column())
}

/// Converts a decimal to a text key. Compared by their bytes, the keys sort like the decimals in PostgreSQL:
/// `-Infinity`, negative numbers, zero, positive numbers, `Infinity`, `NaN`.
fn key(text: &str) -> String {
    match text {
        "-Infinity" => return "0".into(),
        "Infinity" => return "4".into(),
        "NaN" => return "5".into(),
        _ => {}
    }
    let digits = text.trim_start_matches('-');
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
    // numbers with the same number of digits before the point sort by their digits
    let length = whole.len() as u64;
    if whole.is_empty() && fraction.is_empty() {
        "2".into()
    } else if text.starts_with('-') {
        // -20 comes before -10, so each digit is inverted; -1.5 comes before -1, so the key ends with `~`, which is
        // greater than all digits
        let inverted =
            |part: &str| part.bytes().map(|byte| char::from(b'9' - (byte - b'0').min(9))).collect::<String>();
        let length = MAX_LENGTH - length.min(MAX_LENGTH);
        format!("1{length:0LENGTH_DIGITS$}{}{}~", inverted(whole), inverted(fraction))
    } else {
        format!("3{length:0LENGTH_DIGITS$}{whole}{fraction}")
    }
}

#[cfg(test)]
mod tests {
    use polars::prelude::{IntoLazy, col, df};

    use super::*;

    #[test]
    fn keys_sort_as_numbers() {
        let sorted = [
            "-Infinity",
            "-100000000000000000000000000000000000000000",
            "-100",
            "-99.5",
            "-99.4999",
            "-10",
            "-9",
            "-0.12",
            "-0.1",
            "-0.000000000000000000000001",
            "0",
            "0.000000000000000000000001",
            "0.1",
            "0.12",
            "0.2",
            "9",
            "9.000000000000000000000000000001",
            "10",
            "10.5",
            "99999999999999999999999999999999999999999999",
            "Infinity",
            "NaN",
        ];
        for (at, left) in sorted.iter().enumerate() {
            for (other, right) in sorted.iter().enumerate() {
                assert_eq!(key(left).cmp(&key(right)), at.cmp(&other), "{left} and {right}");
            }
        }
        for (left, right) in [("1.10", "1.1"), ("-0.0", "0"), ("007", "7"), ("-1.50", "-1.5")] {
            assert_eq!(key(left), key(right));
        }
    }

    #[test]
    fn only_texts_become_keys() {
        let frame = df!("text" => [Some("10"), None], "number" => [10_i64, 9]).unwrap();
        let keys = frame.lazy().select([sortable(col("text")), sortable(col("number"))]).collect().unwrap();
        assert_eq!(keys.column("number").unwrap().i64().unwrap().get(1), Some(9));
        assert_eq!(keys.column("text").unwrap().str().unwrap().get(0), Some(key("10").as_str()));
        assert_eq!(keys.column("text").unwrap().null_count(), 1);
    }
}
