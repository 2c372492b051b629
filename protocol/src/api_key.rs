//! API keys: long-lived secrets with which programs call the API instead of a person's token.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{id::Owner, time::Timestamp};

/// The beginning of the subject that an API key acts as. The subject is `key:<id>`.
const SUBJECT_PREFIX: &str = "key:";

/// The id of an API key: a UUIDv7, so that ids sort by the time of creation. The id is no secret.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct ApiKeyId(pub Uuid);

impl ApiKeyId {
    /// A new id from the current time and random bits.
    #[must_use]
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }

    /// Returns the subject that the key acts as: `key:<id>`.
    #[must_use]
    pub fn subject(self) -> String {
        format!("{SUBJECT_PREFIX}{self}")
    }

    /// Returns the id of the API key that acts as this subject. Returns None for every other subject.
    #[must_use]
    pub fn from_subject(subject: &str) -> Option<Self> {
        subject.strip_prefix(SUBJECT_PREFIX)?.parse().ok()
    }

    /// The owner of everything that the key creates.
    #[must_use]
    pub fn owner(self, tenant: &str) -> Owner {
        Owner::new(tenant, self.subject())
    }
}

impl fmt::Display for ApiKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

impl fmt::Debug for ApiKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ApiKeyId {
    type Err = uuid::Error;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Uuid::parse_str(s).map(Self)
    }
}

/// The body of `POST /v1/keys`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApiKeyRequest {
    /// A name for people, 1 to 100 characters. Names need not be unique.
    pub name: String,
    /// The scopes of the key, at least one. The caller must have each of them.
    pub scopes: Vec<String>,
    /// The time from which on the key is refused. Absent or null: the key works until it is deleted. A key that creates
    /// another key passes on its own expiry instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// An API key without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ApiKey {
    /// The id of the key. The key acts as the subject `key:<id>`.
    pub id: ApiKeyId,
    /// The name of the key.
    pub name: String,
    /// The scopes of the key.
    pub scopes: Vec<String>,
    /// The time at which the key was created.
    pub created_at: Timestamp,
    /// The subject who created the key: a user, or another key as `key:<id>`.
    pub created_by: String,
    /// The time from which on the key is refused; null for a key that works until it is deleted.
    pub expires_at: Option<Timestamp>,
    /// The time of the last use, exact to about a minute; null for a key that was never used.
    pub last_used_at: Option<Timestamp>,
}

/// The answer of `POST /v1/keys`: the new key with its secret.
// without `Debug`, so that no log line contains the secret
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub struct CreatedApiKey {
    /// The key's name, scopes and times, as lists show them.
    #[serde(flatten)]
    pub info: ApiKey,
    /// The secret, for the header `Authorization: Bearer <key>`. No later answer contains it.
    pub key: String,
}

/// The answer of `GET /v1/keys`: a page of keys, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ApiKeyPage {
    /// The keys of this page, at most `limit`.
    pub items: Vec<ApiKey>,
    /// The `cursor` of the next page; null on the last page.
    pub next_cursor: Option<String>,
}

/// The message on [`crate::subject::KEY_DELETED`]: keys that were deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletedApiKeys {
    /// The ids of the keys.
    pub ids: Vec<ApiKeyId>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_subject_of_a_key_names_a_key() {
        let id = ApiKeyId::generate();
        assert_eq!(ApiKeyId::from_subject(&id.subject()), Some(id));
        for other in ["", "key:", "key:alice", "alice", &id.to_string(), &format!("Key:{id}")] {
            assert_eq!(ApiKeyId::from_subject(other), None, "{other}");
        }
    }
}
