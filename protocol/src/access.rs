//! The access rules of a dataset: the scopes that the whole dataset requires, and the columns that require an
//! additional scope. Sluice hides or masks such a column if the caller lacks the scope of the column.
//!
//! The gateway applies these rules to the catalog and to requests ([`crate::visibility`]). The exporter applies the
//! rules to the data.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// How a column appears to a caller who lacks the scope of the column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ColumnMask {
    /// The caller does not see that the column exists.
    Hidden,
    /// Every value is NULL.
    Null,
    /// The text `***` replaces each value that is not NULL. Only text columns may have this mask.
    Redacted,
    /// `*` replaces all characters except the last four. In a text of eight or fewer characters, `*` replaces all of
    /// them. Only text columns may have this mask.
    LastFour,
}

/// A column that requires a scope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnRule {
    /// The name of the column.
    pub column: String,
    /// A caller with this scope sees the unmasked values.
    pub scope: String,
    /// The mask of the column for a caller without the scope.
    pub mask: ColumnMask,
}

/// The access rules of a dataset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// Scopes that a caller needs in addition to `export:<dataset>`; all of them are required.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// The column rules, at most one for each column.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<ColumnRule>,
    /// The claims that the row policy compares with columns, by name. None when they are unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_claims: Option<Vec<String>>,
}

impl Access {
    /// Whether a caller with these scopes may export the dataset.
    #[must_use]
    pub fn admits(&self, scopes: &[String]) -> bool {
        self.scopes.iter().all(|needed| scopes.contains(needed))
    }

    /// The mask of a column for a caller with these scopes; None when the caller sees the unmasked values.
    #[must_use]
    pub fn mask_for(&self, column: &str, scopes: &[String]) -> Option<ColumnMask> {
        let rule = self.columns.iter().find(|rule| rule.column == column)?;
        (!scopes.contains(&rule.scope)).then_some(rule.mask)
    }
}

/// Claims that describe a token or a sign-in, and not the user or the user's rights (RFC 7519; OpenID Connect Core 1.0,
/// section 2). Two tokens of one user with the same rights may differ in these claims.
///
/// The gateway ignores these claims when it looks for an identical unfinished export, and no row policy may use them.
pub const TOKEN_CLAIMS: [&str; 10] =
    ["exp", "iat", "nbf", "jti", "auth_time", "nonce", "at_hash", "c_hash", "s_hash", "sid"];

/// Whether these scopes permit exports of a dataset: they contain `export:*` or `export:<dataset>`.
#[must_use]
pub fn may_export(scopes: &[String], dataset: &str) -> bool {
    scopes.iter().any(|scope| scope.strip_prefix("export:").is_some_and(|name| name == "*" || name == dataset))
}

/// The scopes that both lists permit, where `export:*` includes every `export:<dataset>`.
#[must_use]
pub fn common_scopes(one: &[String], other: &[String]) -> Vec<String> {
    let is_permitted = |scopes: &[String], scope: &String| {
        scopes.contains(scope) || scope.strip_prefix("export:").is_some_and(|name| may_export(scopes, name))
    };
    let in_other = one.iter().filter(|scope| is_permitted(other, scope));
    let in_one = other.iter().filter(|scope| !one.contains(scope) && is_permitted(one, scope));
    in_other.chain(in_one).cloned().collect()
}

/// Limits claims to the rights of earlier ones. The claim `scope` of the result has the scopes that both permit. The
/// claims with the names `compared` must be equal, because they decide which rows a caller sees; None compares every
/// claim that a row policy may use.
///
/// # Errors
/// The name of a claim that differs.
pub fn limit_rights(
    claims: &Map<String, Value>,
    limit: &Map<String, Value>,
    compared: Option<&[String]>,
) -> Result<Map<String, Value>, String> {
    let is_compared = |name: &str| match compared {
        Some(names) => names.iter().any(|compared| compared == name),
        None => name != "scope" && !TOKEN_CLAIMS.contains(&name),
    };
    let mut names = claims.keys().chain(limit.keys());
    if let Some(name) = names.find(|name| is_compared(name) && claims.get(*name) != limit.get(*name)) {
        return Err(name.clone());
    }
    let mut limited = claims.clone();
    limited.insert("scope".into(), common_scopes(&scopes_of(claims), &scopes_of(limit)).join(" ").into());
    Ok(limited)
}

/// The scopes of a token: the words of the claim `scope`, separated by spaces (RFC 8693, section 4.2).
#[must_use]
pub fn scopes_of(claims: &Map<String, Value>) -> Vec<String> {
    let scope = claims.get("scope").and_then(Value::as_str).unwrap_or_default();
    scope.split_ascii_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn common_scopes_never_exceed_either_list() {
        let list = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        for (one, other, common) in [
            ("export:* hr", "export:* hr", "export:* hr"),
            ("export:* hr", "export:a pii", "export:a"),
            ("export:a export:b", "export:* hr", "export:a export:b"),
            ("export:a", "export:b", ""),
            ("export:a hr", "hr export:a", "export:a hr"),
            ("", "export:*", ""),
        ] {
            assert_eq!(common_scopes(&list(one), &list(other)), list(common), "{one} | {other}");
        }
    }

    #[test]
    fn rights_are_limited_by_scopes_and_by_the_claims_of_row_policies() {
        let object = |value: Value| value.as_object().cloned().unwrap();
        let saved = object(json!({"sub": "a", "scope": "export:* hr", "region": "north", "name": "A", "exp": 1}));
        let now =
            object(json!({"sub": "a", "scope": "export:flights hr pii", "region": "north", "name": "A B", "exp": 2}));
        let region = ["region".to_owned()];
        let limited = limit_rights(&now, &saved, Some(&region)).unwrap();
        let expected = json!({"sub": "a", "scope": "export:flights hr", "region": "north", "name": "A B", "exp": 2});
        assert_eq!(Value::Object(limited), expected);
        assert_eq!(limit_rights(&now, &saved, None), Err("name".into()));
        let moved = object(json!({"sub": "a", "scope": "export:*", "region": "south"}));
        assert_eq!(limit_rights(&moved, &saved, Some(&region)), Err("region".into()));
        let lost = object(json!({"sub": "a", "scope": "export:*"}));
        assert_eq!(limit_rights(&lost, &saved, Some(&region)), Err("region".into()));
        assert!(limit_rights(&lost, &saved, Some(&[])).is_ok());
    }

    #[test]
    fn the_claim_scope_is_split_at_spaces_and_compared_by_whole_words() {
        let access = Access { scopes: vec!["hr".into()], ..Access::default() };
        let scopes = |text: &str| scopes_of(json!({"scope": text}).as_object().unwrap());
        assert!(access.admits(&scopes("x hr")) && !access.admits(&scopes("hrx")) && !access.admits(&[]));
        assert_eq!(scopes_of(&Map::new()), Vec::<String>::new());
    }
}
