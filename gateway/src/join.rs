//! Which requests would make the same file: the key under which an identical running export is found.

use aws_lc_rs::digest;
use protocol::{export::ExportRequest, problem::Slug};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::{
    auth::Caller,
    error::{Outcome, Refusal},
    validate::Checked,
};

/// Claims that differ from token to token of one person and say nothing about what they may see.
const OF_THE_TOKEN: [&str; 12] =
    ["exp", "iat", "nbf", "jti", "auth_time", "nonce", "at_hash", "c_hash", "s_hash", "sid", "acr", "amr"];

/// The same for two requests of a person that would make the same file: what was asked for with defaults filled in, and
/// all claims that a row policy may look at.
///
/// # Errors
/// Never: what was parsed can be written.
pub(crate) fn key(request: &ExportRequest, checked: &Checked, caller: &Caller) -> Outcome<String> {
    let of_person = caller.claims.iter().filter(|(name, _)| !OF_THE_TOKEN.contains(&name.as_str()));
    let claims: Map<String, Value> = of_person.map(|(name, value)| (name.clone(), value.clone())).collect();
    hash(&json!({
        "dataset": request.dataset,
        "template": checked.template,
        "format": checked.format,
        "compression": checked.compression,
        "filter": checked.filter,
        "columns": checked.columns,
        "params": checked.params,
        "claims": claims,
    }))
}

/// SHA-256 of the canonical text: the same members with the same values give the same, as objects are sorted by keys.
///
/// # Errors
/// When the value can't be written as JSON.
pub(crate) fn hash(value: &impl Serialize) -> Outcome<String> {
    let canonical = serde_json::to_value(value).map(|value| value.to_string());
    let canonical = canonical.map_err(|e| Refusal::new(Slug::Internal, e.to_string()))?;
    Ok(hex::encode(digest::digest(&digest::SHA256, canonical.as_bytes())))
}

#[cfg(test)]
mod tests {
    use protocol::id::Owner;

    use super::*;

    fn caller(claims: Value) -> Caller {
        let Value::Object(claims) = claims else { panic!("{claims}") };
        let expires_at = "2026-11-22T15:26:01Z".parse().unwrap();
        Caller { owner: Owner::new("acme", "alice"), scopes: vec![], claims, expires_at }
    }

    #[test]
    fn a_new_token_joins_and_another_right_does_not() {
        let request = ExportRequest { dataset: "menus".into(), ..ExportRequest::default() };
        let checked = Checked::default();
        let key = |claims| key(&request, &checked, &caller(claims)).unwrap();
        let first = key(json!({"sub": "alice", "exp": 1, "jti": "a", "region": "north"}));
        assert_eq!(first, key(json!({"sub": "alice", "exp": 2, "jti": "b", "region": "north"})));
        assert_ne!(first, key(json!({"sub": "alice", "exp": 1, "jti": "a", "region": "south"})));
    }
}
