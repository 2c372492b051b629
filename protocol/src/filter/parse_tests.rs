//! Tests which filters and row policies are accepted, and which are refused.

use chrono::NaiveDate;
use serde_json::{Value, json};

use super::*;
use crate::filter::{LikePart, bind_claims, like_parts};

fn columns() -> Vec<Column> {
    [
        ("delay", ColumnType::Int),
        ("origin", ColumnType::String),
        ("date", ColumnType::Datetime),
        ("day", ColumnType::Date),
        ("price", ColumnType::Decimal),
        ("late", ColumnType::Bool),
    ]
    .map(|(name, kind)| Column::new(name, kind))
    .to_vec()
}

fn error_pointers(filter: Value) -> Vec<String> {
    parse(&filter, &columns()).unwrap_err().into_iter().map(|e| e.pointer).collect()
}

#[test]
fn all_members_must_be_true_and_filters_may_nest() {
    let filter =
        json!({"delay": {"gte": 30, "lt": 60}, "or": [{"origin": {"in": ["SEA"]}}, {"not": {"late": {"eq": true}}}]});
    let Filter::And(parts) = parse(&filter, &columns()).unwrap() else { panic!("not an and") };
    assert_eq!(parts.len(), 2);
    assert_eq!(parse(&json!({}), &columns()), Ok(Filter::And(vec![])));
}

#[test]
fn values_take_the_type_of_their_column() {
    let one = |f| parse(&f, &columns()).unwrap();
    assert_eq!(
        one(json!({"price": {"eq": "1.10"}})),
        Filter::Compare("price".into(), Compare::Eq, Literal::Decimal("1.10".into()))
    );
    let long = format!("-{}.{}", "7".repeat(500), "3".repeat(500));
    assert_eq!(
        one(json!({"price": {"eq": long}})),
        Filter::Compare("price".into(), Compare::Eq, Literal::Decimal(long.clone()))
    );
    assert_eq!(error_pointers(json!({"price": {"eq": format!("{long}3")}})), ["/filter/price/eq"]);
    let noon = NaiveDate::from_ymd_opt(2001, 1, 2).unwrap().and_hms_opt(12, 0, 0).unwrap().and_utc();
    for text in ["2001-01-02T12:00:00", "2001-01-02T13:00:00+01:00"] {
        assert_eq!(
            one(json!({"date": {"lt": text}})),
            Filter::Compare("date".into(), Compare::Lt, Literal::Datetime(noon))
        );
    }
}

#[test]
fn a_year_that_no_filter_can_hold_is_refused_with_the_range() {
    // the last date of PostgreSQL
    for (column, text) in [("day", "5874897-12-31"), ("date", "+294276-12-31T23:59:59Z"), ("date", "-300000-01-01")] {
        let errors = parse(&json!({column: {"lt": text}}), &columns()).unwrap_err();
        assert!(errors[0].detail.contains("of a year from -262143 to 262142"), "{errors:?}");
    }
    for (column, text) in [("day", "+262142-12-31"), ("day", "-262143-01-01"), ("date", "+262142-12-31T23:59:59")] {
        parse(&json!({column: {"lt": text}}), &columns()).unwrap();
    }
    let errors = parse(&json!({"day": {"lt": "2001-13-01"}}), &columns()).unwrap_err();
    assert!(errors[0].detail.contains("2026-11-22"), "{errors:?}");
}

#[test]
fn a_column_without_a_time_zone_takes_times_without_an_offset() {
    let local = [Column::new("at", ColumnType::Datetime).typed(ColumnType::Datetime, true)];
    let noon = NaiveDate::from_ymd_opt(2001, 1, 2).unwrap().and_hms_opt(12, 0, 0).unwrap().and_utc();
    for text in ["2001-01-02T12:00:00", "2001-01-02T12:00:00.000", "2001-01-02T12:00:00Z", "2001-01-02T12:00:00+00:00"]
    {
        assert_eq!(
            parse(&json!({"at": {"gte": text}}), &local),
            Ok(Filter::Compare("at".into(), Compare::Gte, Literal::Datetime(noon))),
            "{text}"
        );
    }
    for text in ["2001-01-02T13:00:00+01:00", "2001-01-02T12:00:00-00:30", "noon"] {
        let errors = parse(&json!({"at": {"between": ["2001-01-01", text]}}), &local).unwrap_err();
        assert_eq!(errors[0].pointer, "/filter/at/between/1");
        assert!(errors[0].detail.contains("no time zone"), "{}", errors[0].detail);
    }
}

#[test]
fn every_error_has_a_pointer() {
    assert_eq!(error_pointers(json!([])), ["/filter"]);
    assert_eq!(error_pointers(json!({"origin": "SEA"})), ["/filter/origin"]);
    assert_eq!(error_pointers(json!({"nope": {"eq": 1}, "delay": {"eq": "x"}})), ["/filter/delay/eq", "/filter/nope"]);
    assert_eq!(error_pointers(json!({"delay": {"in": [1, "2", 3.5]}})), ["/filter/delay/in/1", "/filter/delay/in/2"]);
    assert_eq!(error_pointers(json!({"delay": {"between": [1]}})), ["/filter/delay/between"]);
    assert_eq!(error_pointers(json!({"delay": {"like": "1%"}})), ["/filter/delay/like"]);
    assert_eq!(error_pointers(json!({"or": []})), ["/filter/or"]);
    assert_eq!(error_pointers(json!({"or": [{"x": {"eq": 1}}]})), ["/filter/or/0/x"]);
    assert_eq!(error_pointers(json!({"delay": {"eq": null}})), ["/filter/delay/eq"]);
    assert_eq!(error_pointers(json!({"late": {"lt": true}})), ["/filter/late/lt"]);
    assert_eq!(error_pointers(json!({"price": {"eq": "1e5 EUR"}})), ["/filter/price/eq"]);
    assert_eq!(error_pointers(json!({"day": {"eq": "2026-02-30"}})), ["/filter/day/eq"]);
    assert_eq!(error_pointers(json!({"origin": {"eq": "a\0"}})), ["/filter/origin/eq"]);
    assert_eq!(error_pointers(json!({"origin": {"like": "\0%"}})), ["/filter/origin/like"]);
}

#[test]
fn numbers_may_be_strings_and_special_values_are_spelled_as_in_files() {
    let columns = [("f", ColumnType::Float), ("d", ColumnType::Decimal), ("t", ColumnType::Time)];
    let mut columns = columns.map(|(name, kind)| Column::new(name, kind)).to_vec();
    columns.extend([Column::new("day", ColumnType::Date), Column::new("at", ColumnType::Datetime)]);
    let literal = |name: &str, value: Value| {
        let parsed = parse(&json!({name: {"eq": value}}), &columns).map_err(|errors| errors[0].detail.clone());
        parsed.map(|filter| match filter {
            Filter::Compare(_, _, literal) => literal,
            other => panic!("{other:?}"),
        })
    };
    for (value, expected) in
        [(json!("INF"), f64::INFINITY), (json!("-INF"), f64::NEG_INFINITY), (json!("0.1"), 0.1), (json!(1e22), 1e22)]
    {
        assert_eq!(literal("f", value), Ok(Literal::Float(expected)));
    }
    assert!(matches!(literal("f", json!("NaN")), Ok(Literal::Float(number)) if number.is_nan()));
    for (value, expected) in [
        (json!("NaN"), "NaN"),
        (json!("INF"), "Infinity"),
        (json!("-Infinity"), "-Infinity"),
        (json!("-1.50e3"), "-1500"),
        (json!(1e22), "10000000000000000000000"),
        (json!(1e-7), "0.0000001"),
    ] {
        assert_eq!(literal("d", value), Ok(Literal::Decimal(expected.into())));
    }
    for name in ["day", "at"] {
        for (text, is_negative) in [("infinity", false), ("-infinity", true)] {
            assert_eq!(literal(name, json!(text)), Ok(Literal::Infinity { is_negative }));
        }
    }
    assert_eq!(literal("t", json!("24:00:00")), Ok(Literal::EndOfDay));
    for (name, value) in [
        ("f", json!("nan")),
        ("f", json!("1e999")),
        ("f", json!("1,5")),
        ("f", json!(true)),
        ("d", json!("infinity")),
        ("d", json!("1e401")),
        ("d", json!("1".repeat(1_002))),
        ("t", json!("24:00:01")),
        ("t", json!("10:00:00.0000000001")),
        ("at", json!("2026-11-22T10:00:00.1234567891Z")),
        ("day", json!("INF")),
    ] {
        assert!(literal(name, value.clone()).unwrap_err().starts_with("expected "), "{name} {value}");
    }
}

#[test]
fn a_deeply_nested_filter_is_refused() {
    let mut deep = json!({"delay": {"eq": 1}});
    for _ in 0..100 {
        deep = json!({"not": deep});
    }
    assert_eq!(error_pointers(deep).len(), 1);
}

#[test]
fn a_huge_filter_is_refused_with_a_short_answer() {
    let many = |part: Value| json!({"or": vec![part; 300_000]});
    assert_eq!(error_pointers(many(json!({"delay": {"eq": 1}}))).len(), 1);
    assert!(error_pointers(many(json!({}))).len() <= MAX_ERRORS);
    assert_eq!(error_pointers(json!({"delay": {"in": vec!["x"; 9_000]}})).len(), MAX_ERRORS);
    assert_eq!(error_pointers(json!({"not": {}})), ["/filter/not"]);
}

#[test]
fn a_policy_is_checked_without_claims() {
    let check = |policy: Value| check_policy(&policy, &columns());
    let policy = check(json!({"or": [{"delay": {"eq": {"claim": "d"}}}, {"origin": {"in": {"claim": "o"}}}]})).unwrap();
    assert_eq!(policy.columns(), ["delay", "origin"]);
    let pointers = |policy: Value| check(policy).unwrap_err().into_iter().map(|e| e.pointer).collect::<Vec<_>>();
    assert_eq!(pointers(json!({"nope": {"eq": {"claim": "d"}}})), ["/filter/nope"]);
    assert_eq!(pointers(json!({"origin": {"claim": "o"}})), ["/filter/origin/claim"]);
    assert_eq!(pointers(json!({"day": {"between": {"claim": "o"}}})), ["/filter/day/between"]);
    assert_eq!(pointers(json!({"day": {"eq": {"claim": 1}}})), ["/filter/day/eq"]);
    // the search for an identical unfinished export ignores these claims, so two tokens of one user could share an
    // export although a policy on these claims gives them different rows
    for claim in TOKEN_CLAIMS {
        let claim = json!({"claim": claim});
        assert_eq!(pointers(json!({"not": {"origin": {"eq": claim}}})), ["/filter/not/origin/eq"]);
        assert_eq!(pointers(json!({"origin": {"in": claim}})), ["/filter/origin/in"]);
        assert_eq!(pointers(json!({"origin": {"in": ["a", claim]}})), ["/filter/origin/in/1"]);
        assert_eq!(pointers(json!({"delay": {"between": [claim, 1]}})), ["/filter/delay/between/0"]);
    }
    // the gateway refuses tokens in which these claims are no texts
    assert_eq!(pointers(json!({"late": {"eq": {"claim": "tenant"}}})), ["/filter/late/eq"]);
    assert_eq!(pointers(json!({"origin": {"in": {"claim": "sub"}}})), ["/filter/origin/in"]);
    check(json!({"late": {"eq": {"claim": "sees_late"}}})).unwrap();
    check(json!({"origin": {"in": [{"claim": "sub"}]}})).unwrap();
    for claim in ["acr", "amr", "tenant", "scope"] {
        check(json!({"origin": {"eq": {"claim": claim}}})).unwrap();
    }
}

#[test]
fn a_filter_on_a_masked_column_is_refused() {
    let masked = [Column { masked: true, ..Column::new("email", ColumnType::String) }];
    let errors = parse(&json!({"not": {"email": {"like": "a%"}}}), &masked).unwrap_err();
    assert_eq!(errors[0].pointer, "/filter/not/email");
}

#[test]
fn like_patterns_split_with_their_escapes_resolved() {
    assert_eq!(like_parts(r"a\%b%_"), [LikePart::Text("a%b".into()), LikePart::Any, LikePart::One]);
}

#[test]
fn columns_called_not_and_or_are_filtered_by_the_shape_of_their_conditions() {
    let named = ["and", "or", "not", "in"].map(|name| Column::new(name, ColumnType::Int));
    let equals = |name: &str| Filter::Compare(name.into(), Compare::Eq, Literal::Int(1));
    let not = |inner: Filter| Filter::Not(Box::new(inner));
    for (filter, expected) in [
        (json!({"and": {"eq": 1}}), equals("and")),
        (json!({"or": {"eq": 1}}), equals("or")),
        (json!({"not": {"eq": 1}}), equals("not")),
        (json!({"not": {"in": [1]}}), Filter::In("not".into(), vec![Literal::Int(1)])),
        (json!({"not": {"not": {"eq": 1}}}), not(equals("not"))),
        (json!({"not": {"and": {"eq": 1}}}), not(equals("and"))),
        (json!({"not": {"and": [{"in": {"eq": 1}}]}}), not(Filter::And(vec![equals("in")]))),
        (json!({"or": [{"or": {"eq": 1}}, {"and": [{"not": {"eq": 1}}]}]}), {
            Filter::Or(vec![equals("or"), Filter::And(vec![equals("not")])])
        }),
    ] {
        assert_eq!(parse(&filter, &named), Ok(expected), "{filter}");
    }
    // a claim does not change what `not` means, whatever its value is
    let policy = json!({"not": {"in": {"claim": "numbers"}}});
    assert_eq!(check_policy(&policy, &named).unwrap().columns(), ["not"]);
    let claims = json!({"numbers": {"eq": 1}});
    let bound = bind_claims(&policy, claims.as_object().unwrap(), &named, &|_| false).unwrap();
    assert_eq!(parse(&bound, &named).unwrap_err()[0].pointer, "/filter/not/in");
    // the claim of a policy on the column `not` is bound like any other
    let policy = json!({"not": {"eq": {"claim": "number"}}});
    let claims = json!({"number": "1"});
    let bound = bind_claims(&policy, claims.as_object().unwrap(), &named, &|_| false).unwrap();
    assert_eq!(parse(&bound, &named), Ok(equals("not")));
    // without such columns, the names are operators only
    assert_eq!(error_pointers(json!({"and": {"eq": 1}})), ["/filter/and"]);
    assert_eq!(error_pointers(json!({"not": {"eq": 1}})), ["/filter/not/eq"]);
}
