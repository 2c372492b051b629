//! The join key of an export. Two requests of one user with the same join key would produce the same file. So a later
//! request joins the export of the earlier request: the gateway returns that export, and the later request costs no
//! credits. A request joins only an export that is unfinished and whose cancellation nobody has requested.

use aws_lc_rs::digest;
use protocol::{access::TOKEN_CLAIMS, export::ExportRequest, problem::Slug};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::validate::ValidRequest;
use crate::{
    auth::Caller,
    error::{Outcome, Refusal},
};

/// Returns the join key of a request. Two requests of one user with the same key would produce the same file, so the
/// later request gets the unfinished export of the earlier request. The key is a hash of the caller's claims and of the
/// request with its defaults filled in.
///
/// The hash omits [`TOKEN_CLAIMS`], because these claims may differ between two tokens of one user. The hash includes
/// every claim that a row policy (a filter on rows) or a column rule (a limit on who sees a column) may use. So a
/// request never gets an export that was requested with other rights.
///
/// # Errors
/// `internal` when the values cannot be serialised as JSON. This never happens, because the values were parsed from
/// JSON.
pub(super) fn join_key(request: &ExportRequest, valid: &ValidRequest, caller: &Caller) -> Outcome<String> {
    let user_claims = caller.claims.iter().filter(|(name, _)| !TOKEN_CLAIMS.contains(&name.as_str()));
    let claims: Map<String, Value> = user_claims.map(|(name, value)| (name.clone(), value.clone())).collect();
    hash(&json!({
        "dataset": request.dataset,
        "template": valid.template,
        "format": valid.format,
        "compression": valid.compression,
        "filter": valid.filter,
        "columns": valid.columns,
        "params": valid.params,
        "claims": claims,
    }))
}

/// Returns the SHA-256, in hex, of a value's JSON text. The function sorts the members of objects by name, so that
/// their order does not matter.
///
/// # Errors
/// `internal` when the value cannot be serialised as JSON.
pub(super) fn hash(value: &impl Serialize) -> Outcome<String> {
    let canonical = serde_json::to_value(value).map(|value| value.to_string());
    let canonical = canonical.map_err(|e| Refusal::new(Slug::Internal, e.to_string()))?;
    Ok(hex::encode(digest::digest(&digest::SHA256, canonical.as_bytes())))
}

#[cfg(test)]
mod tests {
    use protocol::{
        catalog::{Column, ColumnType},
        filter::check_policy,
        id::Owner,
    };

    use super::*;

    fn caller(claims: Value) -> Caller {
        let Value::Object(claims) = claims else { panic!("{claims}") };
        let expires_at = "2026-11-22T15:26:01Z".parse().ok();
        Caller { owner: Owner::new("acme", "alice"), scopes: vec![], claims, expires_at, key: None }
    }

    #[test]
    fn a_refreshed_token_keeps_the_join_key_and_a_changed_claim_does_not() {
        let request = ExportRequest { dataset: "menus".into(), ..ExportRequest::default() };
        let valid = ValidRequest::default();
        let key = |claims| join_key(&request, &valid, &caller(claims)).unwrap();
        let first = key(json!({"sub": "alice", "exp": 1, "jti": "a", "region": "north"}));
        assert_eq!(first, key(json!({"sub": "alice", "exp": 2, "jti": "b", "region": "north"})));
        assert_ne!(first, key(json!({"sub": "alice", "exp": 1, "jti": "a", "region": "south"})));
    }

    #[test]
    fn the_join_key_contains_every_claim_that_a_row_policy_may_use() {
        let columns = [Column::new("region", ColumnType::String)];
        let request = ExportRequest { dataset: "menus".into(), ..ExportRequest::default() };
        let key = |claims| join_key(&request, &ValidRequest::default(), &caller(claims)).unwrap();
        let first = key(json!({"sub": "alice"}));
        for claim in TOKEN_CLAIMS.into_iter().chain(["acr", "amr", "azp", "roles", "scope", "tenant", "email"]) {
            let is_usable = check_policy(&json!({"region": {"eq": {"claim": claim}}}), &columns).is_ok();
            assert_eq!(first != key(json!({"sub": "alice", (claim): "other"})), is_usable, "{claim}");
        }
    }
}
