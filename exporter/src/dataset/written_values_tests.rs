//! Tests a property of every source: filters compare the values that exported files show.
//!
//! For each value that an export shows, the tests query the source with filters that name this value. The expected rows
//! are computed twice from the exported values: by polars, and by a comparison of the values' texts. All three results
//! must be equal.

use std::{collections::BTreeMap, sync::Arc};

use futures::TryStreamExt;
use polars::prelude::{AnyValue, DataFrame, TimeUnit};
use protocol::{
    catalog::{Column, ColumnType},
    filter,
};
use serde_json::json;

use super::{files::RowFilter, own_comparison_tests::passes, *};
use crate::value::infinity;

/// Checks that filters compare the values that files show. The filters name up to `most` values of each column of the
/// dataset. The dataset needs a column `id` of unique whole numbers. Returns the number of filters that returned some
/// of the rows, but not all.
pub(super) async fn filters_compare_what_is_written(name: &str, dataset: &dyn Dataset, most: usize) -> usize {
    let columns = dataset.info().columns.clone();
    let all = read(dataset, &json!({})).await;
    let schema = Arc::new(all.schema().as_ref().clone());
    let mut selective = 0;
    for column in columns.iter().filter(|column| column.name != "id") {
        let literals: BTreeMap<String, i64> =
            shown(&all, column).into_iter().map(|(id, literal)| (literal.to_string(), id)).collect();
        assert!(literals.len() > 1, "{name}: column {} shows too few values", column.name);
        // values from all over the order of the texts
        let step = literals.len().div_ceil(most).max(1);
        let literals: Vec<(Value, i64)> =
            literals.iter().step_by(step).map(|(text, id)| (serde_json::from_str(text).unwrap(), *id)).collect();
        let cells = all.column(&column.name).unwrap();
        let written: Vec<(i64, Option<Value>)> = ids(&all)
            .into_iter()
            .enumerate()
            .map(|(row, id)| (id, literal(column.kind, &cells.get(row).unwrap())))
            .collect();
        for (at, (literal, id)) in literals.iter().enumerate() {
            let other = &literals[(at + 1) % literals.len()].0;
            for test in tests(column.kind, literal, other) {
                let filter = json!({&column.name: test});
                let parsed = filter::parse(&filter, &columns).unwrap_or_else(|e| panic!("{name} {filter}: {e:?}"));
                let (test_of_polars, rows) = (RowFilter::new(&parsed, &schema).unwrap().unwrap(), all.clone());
                let passing = tokio::task::spawn_blocking(move || test_of_polars.passing(rows)).await.unwrap().unwrap();
                let found = ids(&read(dataset, &filter).await);
                assert_eq!(found, ids(&passing), "{name}, column {}: {filter}", column.name);
                let expected =
                    written.iter().filter(|(_, value)| passes(column.kind, value.as_ref(), &filter[&column.name]));
                let expected: Vec<_> = expected.map(|(id, _)| *id).collect();
                assert_eq!(found, expected, "{name}, column {}, by the texts: {filter}", column.name);
                assert!(found.contains(id) || test.get("eq").is_none(), "{name}, row {id}: {filter}");
                selective += usize::from(!found.is_empty() && found.len() < all.height());
            }
        }
    }
    selective
}

fn tests(kind: ColumnType, literal: &Value, other: &Value) -> Vec<Value> {
    let mut tests = vec![json!({"eq": literal}), json!({"ne": literal}), json!({"in": [other, literal]})];
    if kind != ColumnType::Bool {
        tests.extend(["lt", "lte", "gt", "gte"].map(|operator| json!({operator: literal})));
        tests.push(json!({"between": [literal, other]}));
    }
    if kind == ColumnType::String {
        let text = literal.as_str().unwrap();
        let escaped: String = text.chars().flat_map(|c| ['\\', c]).collect();
        tests.extend([json!({"contains": text}), json!({"like": escaped}), json!({"like": format!("{escaped}%")})]);
    }
    tests
}

/// Returns the values of a column in an export, each with the `id` of its row. Each value has the form in which a
/// filter names it. Leaves out NULL, and texts with the character U+0000, which a filter can't name.
fn shown(all: &DataFrame, column: &Column) -> Vec<(i64, Value)> {
    let values = all.column(&column.name).unwrap();
    let literals = ids(all).into_iter().enumerate().filter_map(|(row, id)| {
        let literal = literal(column.kind, &values.get(row).unwrap())?;
        filter::parse(&json!({&column.name: {"eq": literal}}), std::slice::from_ref(column)).ok()?;
        Some((id, literal))
    });
    literals.collect()
}

fn literal(kind: ColumnType, value: &AnyValue<'_>) -> Option<Value> {
    Some(match value {
        AnyValue::Null => return None,
        AnyValue::Boolean(is) => json!(is),
        AnyValue::Int64(number) => json!(number),
        AnyValue::Float32(number) if number.is_nan() => json!("NaN"),
        AnyValue::Float32(number) if number.is_infinite() => json!(if *number > 0.0 { "INF" } else { "-INF" }),
        // the shortest text that reads back as this number
        AnyValue::Float32(number) => json!(number.to_string().parse::<f64>().unwrap()),
        AnyValue::Int8(_) | AnyValue::Int16(_) | AnyValue::Int32(_) => json!(value.extract::<i64>().unwrap()),
        AnyValue::UInt8(_) | AnyValue::UInt16(_) | AnyValue::UInt32(_) => json!(value.extract::<i64>().unwrap()),
        AnyValue::Float64(f64::INFINITY) => json!("INF"),
        AnyValue::Float64(f64::NEG_INFINITY) => json!("-INF"),
        AnyValue::Float64(number) if number.is_nan() => json!("NaN"),
        AnyValue::Float64(number) => json!(number),
        AnyValue::Date(infinity::DATE) | AnyValue::Datetime(infinity::TIMESTAMP, TimeUnit::Microseconds, _) => {
            json!("infinity")
        }
        AnyValue::Date(days) if *days == -infinity::DATE => json!("-infinity"),
        AnyValue::Datetime(value, TimeUnit::Microseconds, _) if *value == -infinity::TIMESTAMP => json!("-infinity"),
        AnyValue::Time(infinity::END_OF_DAY) => json!("24:00:00"),
        AnyValue::Date(days) => {
            json!((chrono::NaiveDate::default() + chrono::TimeDelta::days((*days).into())).to_string())
        }
        AnyValue::Datetime(value, unit, _) => {
            let nanos = i128::from(*value)
                * match unit {
                    TimeUnit::Nanoseconds => 1,
                    TimeUnit::Microseconds => 1_000,
                    TimeUnit::Milliseconds => 1_000_000,
                };
            let (seconds, rest) = (nanos.div_euclid(1_000_000_000), nanos.rem_euclid(1_000_000_000));
            json!(DateTime::from_timestamp(seconds as i64, rest as u32)?.to_rfc3339())
        }
        AnyValue::Time(nanos) => {
            let time = chrono::NaiveTime::from_num_seconds_from_midnight_opt(
                (nanos / 1_000_000_000) as u32,
                (nanos % 1_000_000_000) as u32,
            );
            json!(time?.to_string())
        }
        other if kind == ColumnType::Decimal || kind == ColumnType::String => json!(other.str_value()),
        other => panic!("unexpected value {other:?}"),
    })
}

async fn read(dataset: &dyn Dataset, filter: &Value) -> DataFrame {
    let columns = &dataset.info().columns;
    let query = Query {
        columns: columns.iter().map(|column| column.name.clone()).collect(),
        filter: filter::parse(filter, columns).unwrap_or_else(|e| panic!("{filter}: {e:?}")),
        params: Map::new(),
        limit: None,
    };
    let opened = dataset.open(&query).await.unwrap();
    let frames: Vec<DataFrame> = opened.frames.try_collect().await.unwrap_or_else(|e| panic!("{filter}: {e}"));
    let mut frames = frames.into_iter();
    let mut all = frames.next().unwrap_or_default();
    for frame in frames {
        all.vstack_mut(&frame).unwrap();
    }
    all
}

fn ids(frame: &DataFrame) -> Vec<i64> {
    if frame.height() == 0 {
        return Vec::new();
    }
    frame.column("id").unwrap().i64().unwrap().iter().flatten().collect()
}
