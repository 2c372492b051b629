//! Text that must not reach a log.

use std::{cell::Cell, fmt};

use serde::{Deserialize, Serialize, Serializer};

/// What a hidden secret looks like.
const HIDDEN: &str = "********";

thread_local! {
    /// Whether [`exposed`] is at work on this thread.
    static EXPOSED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `serialize`, within which secrets are serialised as they are: for what goes to somebody who may have them, such
/// as an encrypted backup of the settings.
pub fn exposed<T>(serialize: impl FnOnce() -> T) -> T {
    struct Hide(bool);
    impl Drop for Hide {
        fn drop(&mut self) {
            EXPOSED.set(self.0);
        }
    }
    let _hide = Hide(EXPOSED.replace(true));
    serialize()
}

/// Whether a serialised text stands for a secret that was hidden.
#[must_use]
pub fn is_hidden(text: &str) -> bool {
    text == HIDDEN
}

/// A secret setting. Debug and Serialize hide it; [`Secret::expose`] is the one way to the text.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Hides this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself: for the party that it is meant for, never for a log.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is none.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_debug_nor_json_shows_it() {
        let secret = Secret::new("hunter2");
        assert!(!format!("{secret:?}").contains("hunter2"));
        assert!(!serde_json::to_string(&secret).unwrap().contains("hunter2"));
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn it_is_shown_where_that_is_asked_for_and_hidden_again_after_that() {
        let secret = Secret::new("hunter2");
        assert_eq!(exposed(|| serde_json::to_string(&secret).unwrap()), "\"hunter2\"");
        assert!(is_hidden(&serde_json::from_str::<String>(&serde_json::to_string(&secret).unwrap()).unwrap()));
        assert!(std::panic::catch_unwind(|| exposed(|| panic!("while it is shown"))).is_err());
        assert!(!serde_json::to_string(&secret).unwrap().contains("hunter2"));
    }
}
