//! Secret settings, which logs and dumps of the settings must not show.

use std::{borrow::Cow, cell::Cell, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize, Serializer};

/// The text that stands for a hidden secret in logs and serialised settings.
const HIDDEN: &str = "********";

thread_local! {
    /// Whether [`with_exposed_secrets`] runs on this thread.
    static EXPOSED: Cell<bool> = const { Cell::new(false) };
}

/// Calls `serialize`. During the call, secrets that this thread serializes are not hidden. Use it only for a trusted
/// reader, such as an encrypted backup of the settings.
pub fn with_exposed_secrets<T>(serialize: impl FnOnce() -> T) -> T {
    struct RestoreOnDrop(bool);
    impl Drop for RestoreOnDrop {
        fn drop(&mut self) {
            EXPOSED.set(self.0);
        }
    }
    let _restore = RestoreOnDrop(EXPOSED.replace(true));
    serialize()
}

/// Whether a serialized text stands for a hidden secret.
#[must_use]
pub fn is_hidden(text: &str) -> bool {
    text == HIDDEN
}

/// A secret setting. `Debug` and `Serialize` hide the text. Only [`Secret::expose`] returns it.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text that must stay hidden.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the secret text. Never write this text to a log.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether the secret is the empty text, which means that the setting is not set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_empty() { "(none)" } else { HIDDEN })
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if EXPOSED.get() {
            return serializer.serialize_str(&self.0);
        }
        serializer.serialize_str(if self.is_empty() { "" } else { HIDDEN })
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "writeOnly": true})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_and_json_hide_a_secret() {
        let secret = Secret::new("hunter2");
        assert!(!format!("{secret:?}").contains("hunter2"));
        assert!(!serde_json::to_string(&secret).unwrap().contains("hunter2"));
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn a_secret_is_serialised_only_within_the_exposing_call() {
        let secret = Secret::new("hunter2");
        assert_eq!(with_exposed_secrets(|| serde_json::to_string(&secret).unwrap()), "\"hunter2\"");
        assert!(is_hidden(&serde_json::from_str::<String>(&serde_json::to_string(&secret).unwrap()).unwrap()));
        assert!(std::panic::catch_unwind(|| with_exposed_secrets(|| panic!("within the call"))).is_err());
        assert!(!serde_json::to_string(&secret).unwrap().contains("hunter2"));
    }
}
