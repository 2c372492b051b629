//! Tests that the values of claims get the type of the column with which a row policy compares them.

use serde_json::json;

use super::*;

const UUID: &str = "0199aaaa-0000-7000-8000-00000000000a";

fn bound(kind: ColumnType, policy: Value, claim: Value) -> Result<Value, Unbound> {
    let columns = [Column::new("t", kind), Column::new("id", ColumnType::String)];
    let claims = json!({ "tenant": claim });
    bind_claims(&policy, claims.as_object().unwrap(), &columns, &|name| name == "id")
}

/// Returns the value with which a policy compares a column of this type by `eq`. Returns None if the claim is refused.
fn compared(kind: ColumnType, claim: Value) -> Option<Value> {
    let bound = bound(kind, json!({"t": {"eq": {"claim": "tenant"}}}), claim).ok()?;
    Some(bound["t"]["eq"].clone())
}

#[test]
fn a_text_of_digits_is_a_whole_number_in_its_only_spelling() {
    for (text, number) in [("42", 42), ("0", 0), ("-7", -7), ("9223372036854775807", i64::MAX)] {
        assert_eq!(compared(ColumnType::Int, json!(text)), Some(json!(number)));
        assert_eq!(compared(ColumnType::Int, json!(number)), Some(json!(number)));
    }
    for other in ["042", "+42", "-0", " 42", "42 ", "42.0", "4e1", "", "acme", "9223372036854775808", "٤٢"] {
        assert_eq!(compared(ColumnType::Int, json!(other)), None, "{other}");
    }
    for other in [json!(42.5), json!(true), json!(null), json!(["42"]), json!({"id": "42"})] {
        assert_eq!(compared(ColumnType::Int, other.clone()), None, "{other}");
    }
}

#[test]
fn equal_decimals_and_floats_have_one_accepted_text() {
    for kind in [ColumnType::Decimal, ColumnType::Float] {
        for text in ["42", "0", "-7", "12.5", "0.25"] {
            assert_eq!(compared(kind, json!(text)), Some(json!(text)), "{kind:?}");
        }
        for other in ["042", "42.0", "42.", "4.2e1", "-0", ".5", "+1", "acme"] {
            assert_eq!(compared(kind, json!(other)), None, "{kind:?} {other}");
        }
        // a limit is no identity: each of its spellings means the same rows
        let limit = json!({"t": {"lte": {"claim": "tenant"}}});
        assert_eq!(bound(kind, limit, json!("12.50")), Ok(json!({"t": {"lte": "12.50"}})));
    }
}

#[test]
fn a_whole_number_is_compared_with_texts_by_its_digits() {
    assert_eq!(compared(ColumnType::String, json!(42)), Some(json!("42")));
    assert_eq!(compared(ColumnType::String, json!(u64::MAX)), Some(json!("18446744073709551615")));
    assert_eq!(compared(ColumnType::String, json!("042")), Some(json!("042")));
    for other in [json!(42.5), json!(42.0), json!(true), json!(null), json!(["acme"])] {
        assert_eq!(compared(ColumnType::String, other.clone()), None, "{other}");
    }
}

#[test]
fn a_uuid_is_compared_in_lower_case_where_the_column_has_uuids() {
    let policy = |column: &str| json!({column: {"eq": {"claim": "tenant"}}});
    let upper = json!(UUID.to_ascii_uppercase());
    let of = |column: &str, claim: &Value| bound(ColumnType::String, policy(column), claim.clone()).unwrap();
    assert_eq!(of("id", &upper), json!({"id": {"eq": UUID}}));
    assert_eq!(of("t", &upper), json!({"t": {"eq": upper}}));
    assert_eq!(of("id", &json!("ACME")), json!({"id": {"eq": "ACME"}}));
}

#[test]
fn claims_are_bound_in_every_part_of_a_policy() {
    let policy = json!({
        "or": [{"t": {"eq": {"claim": "tenant"}}}, {"not": {"t": {"in": [7, {"claim": "tenant"}]}}}],
        "t": {"between": [{"claim": "tenant"}, 100]},
        "id": {"is_null": false},
    });
    let expected = json!({
        "or": [{"t": {"eq": 42}}, {"not": {"t": {"in": [7, 42]}}}],
        "t": {"between": [42, 100]},
        "id": {"is_null": false},
    });
    assert_eq!(bound(ColumnType::Int, policy, json!("42")), Ok(expected));
    let list = json!({"t": {"in": {"claim": "tenant"}}});
    assert_eq!(bound(ColumnType::Int, list.clone(), json!(["1", 2])), Ok(json!({"t": {"in": [1, 2]}})));
    assert!(bound(ColumnType::Int, list, json!(["1", "x"])).is_err());
}

#[test]
fn a_claim_that_is_missing_or_does_not_fit_is_named_without_its_value() {
    let policy = json!({"not": {"t": {"eq": {"claim": "org"}}}});
    assert_eq!(bound(ColumnType::Int, policy, json!("42")), Err(Unbound::Missing("org".into())));
    let policy = json!({"not": {"t": {"in": [1, {"claim": "tenant"}]}}});
    let Err(Unbound::Unfit(error)) = bound(ColumnType::Int, policy, json!("secret-tenant")) else {
        panic!("a text is no number")
    };
    assert_eq!(error.pointer, "/filter/not/t/in/1");
    assert!(error.detail.contains("claim `tenant`") && error.detail.contains("column `t`"), "{}", error.detail);
    assert!(!error.detail.contains("secret"), "{}", error.detail);
}

#[test]
fn the_claims_of_a_policy_are_named_once_wherever_they_stand() {
    let policy = json!({"or": [{"t": {"eq": {"claim": "org"}}}, {"not": {"t": {"in": [1, {"claim": "b"}]}}}],
        "u": {"in": {"claim": "org"}}});
    assert_eq!(policy_claims(&policy), ["b", "org"]);
    assert_eq!(policy_claims(&json!({"t": {"eq": "claim"}})), [""; 0]);
}
