//! One-time sign-in links, for an installation on a machine with several users. Each user of the machine can connect to
//! the loopback address, but only the user who runs `sluice up` sees the printed link.
//!
//! A link contains a code that is signed with the secret of this installation. The web page exchanges the code once for
//! a browser key, and sends the key with each sign-in.
//!
//! A gateway refuses codes and keys that were created before the start of the gateway. After a gateway has stopped,
//! another user's program may listen on the same port and receive codes and keys from browsers. The program cannot use
//! them, because the next gateway refuses them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use platform::clock::SharedClock;
use uuid::{NoContext, Timestamp, Uuid};

use super::local::SignError;
use crate::config::LocalIdentityConfig;

/// How long after its creation a user may open a link.
const LIFETIME: TimeDelta = TimeDelta::hours(24);
/// The size, in bytes, of the id in a link's code and in a browser key. The id is a UUID (RFC 9562).
const ID_BYTES: usize = 16;
/// The size, in bytes, of the signature in a link's code and in a browser key. The signature is the first half of an
/// HMAC; RFC 2104, section 5, permits this truncation.
const SIGNATURE_BYTES: usize = 16;

/// The purpose of a signed text: the code of a link, or a browser key. A text that is signed for one purpose is not
/// valid for the other.
#[derive(Clone, Copy, Debug)]
enum Purpose {
    /// The code of a link. A browser with the code may obtain one browser key.
    Link,
    /// A browser key. A browser with the key may sign in as any of the local users.
    Browser,
}

impl Purpose {
    const fn label(self) -> &'static [u8] {
        match self {
            Self::Link => b"sluice sign-in link\0",
            Self::Browser => b"sluice browser key\0",
        }
    }
}

/// Creates the code of a one-time sign-in link, signed with the secret from these settings. A gateway with the same
/// secret accepts the code once. A gateway that starts after `now` refuses the code.
///
/// # Errors
/// When `gateway.identity.local.secret` is empty.
pub fn create_code(config: &LocalIdentityConfig, now: DateTime<Utc>) -> Result<String, SignError> {
    if config.secret.is_empty() {
        return Err(SignError::NoSecret);
    }
    Ok(sign(&key(config), Purpose::Link, now))
}

/// Exchanges the codes of sign-in links for browser keys, and checks the keys. Clones share the list of used codes.
#[derive(Clone, Debug)]
pub(crate) struct SignInLinks {
    key: hmac::Key,
    clock: SharedClock,
    /// The start time of the gateway. The gateway refuses codes and keys that were created before this time.
    started_at: DateTime<Utc>,
    /// The ids of used codes, with the creation time of each code.
    used: Arc<Mutex<HashMap<Uuid, DateTime<Utc>>>>,
}

impl SignInLinks {
    #[must_use]
    pub(crate) fn new(config: &LocalIdentityConfig, clock: SharedClock) -> Self {
        // ids contain the time in whole milliseconds, so the start time must not have a fraction of a millisecond
        let started_at = truncate(clock.now());
        Self { key: key(config), clock, started_at, used: Arc::default() }
    }

    /// Exchanges the code of a link for a browser key. Returns None if the code is invalid, expired or already used.
    #[must_use]
    pub(crate) fn redeem(&self, code: &str) -> Option<String> {
        let now = self.clock.now();
        let (id, created_at) = self.verify(Purpose::Link, code)?;
        if created_at + LIFETIME <= now {
            return None;
        }
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.retain(|_, created_at| *created_at + LIFETIME > now);
        used.insert(id, created_at).is_none().then(|| sign(&self.key, Purpose::Browser, now))
    }

    /// Whether the browser key has a valid signature and was created after the start of this gateway.
    #[must_use]
    pub(crate) fn is_browser_key(&self, key: &str) -> bool {
        self.verify(Purpose::Browser, key).is_some()
    }

    /// Checks `text`, which is a link's code or a browser key. Returns the id and the creation time that the text
    /// contains. Returns None if the text is not signed for this purpose, or was created before the start of this
    /// gateway.
    fn verify(&self, purpose: Purpose, text: &str) -> Option<(Uuid, DateTime<Utc>)> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (id, signature) = bytes.split_at_checked(ID_BYTES)?;
        let expected = hmac::sign(&self.key, &[purpose.label(), id].concat());
        let expected = expected.as_ref().get(..SIGNATURE_BYTES)?;
        aws_lc_rs::constant_time::verify_slices_are_equal(expected, signature).ok()?;
        let id = Uuid::from_slice(id).ok()?;
        let (seconds, nanoseconds) = id.get_timestamp()?.to_unix();
        let created_at = DateTime::from_timestamp(i64::try_from(seconds).ok()?, nanoseconds)?;
        (created_at >= self.started_at).then_some((id, created_at))
    }
}

fn key(config: &LocalIdentityConfig) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, config.secret.expose().as_bytes())
}

/// Creates a link's code or a browser key, depending on `purpose`. The result is the Base64 text of two parts. The
/// first part is a new id, a UUID that contains the creation time `now`. The second part is the truncated signature of
/// the purpose and the id.
fn sign(key: &hmac::Key, purpose: Purpose, now: DateTime<Utc>) -> String {
    let seconds = u64::try_from(now.timestamp()).unwrap_or_default();
    let id = Uuid::new_v7(Timestamp::from_unix(NoContext, seconds, now.timestamp_subsec_nanos())).into_bytes();
    let signature = hmac::sign(key, &[purpose.label(), id.as_slice()].concat());
    let signature = signature.as_ref().iter().copied().take(SIGNATURE_BYTES);
    URL_SAFE_NO_PAD.encode(id.into_iter().chain(signature).collect::<Vec<u8>>())
}

fn truncate(time: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(time.timestamp_millis()).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use platform::{
        clock::{Clock, ManualClock},
        secret::Secret,
    };

    use super::*;

    fn config(secret: &str) -> LocalIdentityConfig {
        LocalIdentityConfig { secret: Secret::new(secret), ..LocalIdentityConfig::default() }
    }

    #[test]
    fn a_code_works_once_and_not_for_another_gateway_or_purpose() {
        let config = config("a secret of thirty-two bytes, or more");
        let clock = ManualClock::at(DateTime::UNIX_EPOCH + TimeDelta::days(20_000));
        let before = create_code(&config, clock.now()).unwrap();
        clock.advance(TimeDelta::milliseconds(1));
        let links = SignInLinks::new(&config, clock.clone());
        assert_eq!(links.redeem(&before), None, "the gateway has started after the code was created");

        let code = create_code(&config, clock.now()).unwrap();
        let key = links.redeem(&code).unwrap();
        assert!(links.is_browser_key(&key) && !links.is_browser_key(&code));
        assert_eq!((links.redeem(&code), links.redeem(&key)), (None, None));

        let foreign = create_code(&self::config("another secret of thirty-two bytes"), clock.now()).unwrap();
        for wrong in [foreign.as_str(), "", "AAAA", "not base64!", &code[1..]] {
            assert_eq!(links.redeem(wrong), None, "{wrong}");
        }
        let late = create_code(&config, clock.now()).unwrap();
        clock.advance(LIFETIME);
        assert_eq!(links.redeem(&late), None, "the code has expired");
        assert!(links.is_browser_key(&key));
    }
}
