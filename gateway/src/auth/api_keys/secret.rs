//! The text of API keys: `slk_`, 64 hex digits of random bytes, and 8 hex digits of a checksum.
//!
//! The database stores the SHA-256 of a key. A key has 256 random bits, so an attacker can't guess the key from its
//! hash, and a slow hash for passwords would add nothing. The lookup by the hash needs no comparison in constant time,
//! because the duration of the lookup can reveal only a part of the hash.

use aws_lc_rs::{digest, rand};
use platform::secret::Secret;

/// The prefix of every API key, by which the gateway and secret scanners recognise a key.
pub(super) const PREFIX: &str = "slk_";
/// The number of random bytes of a key: 256 bits.
const RANDOM_BYTES: usize = 32;
/// The number of hex digits of the checksum.
const CHECKSUM_DIGITS: usize = 8;

/// The error when the operating system supplies no random bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct NoRandomness;

/// Generates an API key from random bytes of the operating system.
///
/// # Errors
/// When the operating system supplies no random bytes.
pub(super) fn generate() -> Result<Secret, NoRandomness> {
    let mut random = [0; RANDOM_BYTES];
    rand::fill(&mut random).map_err(|_| NoRandomness)?;
    let body = format!("{PREFIX}{}", hex::encode(random));
    Ok(Secret::new(format!("{body}{}", checksum(&body))))
}

/// Returns the SHA-256 of an API key in hex, as the database stores it. Returns None for a text that is no key or has a
/// wrong checksum, so that a truncated or mistyped key causes no database query.
pub(super) fn hash(key: &str) -> Option<String> {
    let body = key.get(..PREFIX.len() + 2 * RANDOM_BYTES)?;
    let is_key = key.starts_with(PREFIX) && key[body.len()..] == *checksum(body);
    is_key.then(|| sha256(key))
}

/// Computes the checksum of a key: the first hex digits of the SHA-256 of `body`, which is the key without its
/// checksum.
fn checksum(body: &str) -> String {
    let mut digits = sha256(body);
    digits.truncate(CHECKSUM_DIGITS);
    digits
}

fn sha256(text: &str) -> String {
    hex::encode(digest::digest(&digest::SHA256, text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_complete_key_has_a_hash() {
        let (one, other) = (generate().unwrap(), generate().unwrap());
        let key = one.expose();
        assert!(key.len() == 76 && key[4..].bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)));
        let hash_of = |text: &str| hash(text);
        assert_eq!(hash_of(key).as_deref(), Some(sha256(key).as_str()));
        assert_ne!(hash_of(key), hash_of(other.expose()));
        let changed = if key.as_bytes()[10] == b'0' { "1" } else { "0" };
        let damaged = [key[..10].to_owned(), changed.to_owned(), key[11..].to_owned()].concat();
        let upper = format!("slk_{}", key[4..].to_ascii_uppercase());
        for wrong in ["", PREFIX, &key[..75], &format!("{key}0"), &key[4..], &damaged, &upper, "slk_ä"] {
            // a key of digits only equals its upper-case form
            assert!(hash_of(wrong).is_none() || wrong == key, "{wrong}");
        }
    }
}
