//! Creates grants, the short-lived URLs of segments. If the file store supports presigned URLs, a grant is such a URL.
//! Otherwise a grant is a URL of the internal HTTP port with a signed token.

use std::time::Duration;

use aws_lc_rs::{hmac, rand::SystemRandom};
use chrono::TimeDelta;
use platform::{
    clock::{Clock, SharedClock, SystemClock},
    store::FileStore,
};
use protocol::{
    delivery::{self, Grant, Segment},
    id::ExportId,
};

use super::token::{self, Claims, TokenError};
use crate::error::NotifierError;

/// The timeout of presigning a URL. Presigning sends no request, unless the machine's credentials for the file store
/// must be refreshed.
const PRESIGN_TIMEOUT: Duration = Duration::from_secs(3);

/// Largest time by which [`Minter::presigned_ttl`] extends the lifetime of a presigned URL, if the clock of this
/// machine is slow.
const MAX_BEHIND: Duration = Duration::from_secs(24 * 60 * 60);

/// Creates grants and verifies their tokens. The signing key exists in this process only, so no other process can
/// verify the tokens. After a notifier stops, gateways request new grants from another notifier.
pub(crate) struct Minter {
    store: FileStore,
    clock: SharedClock,
    base_url: String,
    key: hmac::Key,
    ttl: Duration,
}

impl Minter {
    /// Creates a minter with a random key. `base_url` is the base URL of the internal HTTP port.
    ///
    /// # Errors
    /// When the operating system returns no random numbers.
    pub(crate) fn new(
        store: FileStore,
        clock: SharedClock,
        base_url: &str,
        ttl: Duration,
    ) -> Result<Self, NotifierError> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).map_err(|_| NotifierError::Random)?;
        Ok(Self { store, clock, base_url: base_url.to_owned(), key, ttl })
    }

    /// Creates a grant of one segment, valid for the configured lifetime.
    ///
    /// # Errors
    /// When the file store fails to presign the URL, or needs longer than [`PRESIGN_TIMEOUT`].
    pub(crate) async fn mint(&self, id: ExportId, attempt: u32, segment: Segment) -> Result<Grant, NotifierError> {
        let path = delivery::segment_path(id, attempt, segment.index);
        let ttl_ms = u64::try_from(self.ttl.as_millis()).unwrap_or(u64::MAX);
        if self.store.can_presign() {
            let signed = tokio::time::timeout(PRESIGN_TIMEOUT, self.store.presign(&path, self.presigned_ttl())).await;
            if let Some(url) = signed.map_err(|_| NotifierError::Timeout("presigning"))?? {
                return Ok(Grant { segment, url: url.into(), ttl_ms });
            }
        }
        let ttl = TimeDelta::from_std(self.ttl).unwrap_or(TimeDelta::MAX);
        let now = self.clock.now();
        let expires_at = now.checked_add_signed(ttl).unwrap_or(now);
        let claims = Claims {
            path,
            size: segment.size,
            sha256: segment.sha256.clone(),
            expires_ms: expires_at.timestamp_millis(),
        };
        let url = format!("{}/v1/segments/{}", self.base_url, token::sign(&self.key, &claims));
        Ok(Grant { segment, url, ttl_ms })
    }

    /// Returns the lifetime of a presigned URL. The library that presigns takes the start of the lifetime from the
    /// clock of this machine. If that clock is behind the shared clock of the services, the file store would refuse the
    /// URL too early. So this method extends the lifetime by the difference, up to [`MAX_BEHIND`].
    fn presigned_ttl(&self) -> Duration {
        let behind = (self.clock.now() - SystemClock.now()).to_std().unwrap_or_default();
        self.ttl + behind.min(MAX_BEHIND)
    }

    /// Returns the claims of a valid token.
    ///
    /// # Errors
    /// When the token is malformed, another process signed it, or it has expired.
    pub(crate) fn verify(&self, token: &str) -> Result<Claims, TokenError> {
        token::verify(&self.key, token, self.clock.now())
    }
}

#[cfg(test)]
mod tests {
    use platform::{clock::ManualClock, config::StoreConfig, secret::Secret};

    use super::*;

    const TTL: Duration = Duration::from_secs(60);
    const DAY: i64 = 24 * 60 * 60;

    /// Returns the lifetime in seconds of a presigned URL (`X-Amz-Expires`). The clock of the machine of the notifier
    /// is `behind` seconds behind the clock of the services.
    async fn presigned_seconds(behind: i64) -> u64 {
        let config = StoreConfig {
            url: "s3://bucket/files".into(),
            s3_endpoint: "http://127.0.0.1:9".into(),
            s3_access_key_id: "key".into(),
            s3_secret_access_key: Secret::new("secret"),
            ..StoreConfig::default()
        };
        let store = FileStore::open(&config).unwrap();
        let clock = ManualClock::at(SystemClock.now() + TimeDelta::seconds(behind));
        let minter = Minter::new(store, clock, "http://127.0.0.1:9", TTL).unwrap();
        let segment = Segment { index: 0, offset: 0, size: 1, rows: 1, sha256: String::new() };
        let grant = minter.mint(ExportId::generate(), 1, segment).await.unwrap();
        assert_eq!(grant.ttl_ms, 60_000, "gateways count from the arrival of the grant");
        let expires = grant.url.split_once("X-Amz-Expires=").expect("a presigned URL").1;
        expires.split('&').next().unwrap().parse().unwrap()
    }

    #[tokio::test]
    async fn a_presigned_url_of_a_machine_whose_clock_is_behind_lives_longer() {
        let seconds = presigned_seconds(3600).await;
        // the difference shrinks while the test runs, and whole seconds are signed
        assert!((3600..=3660).contains(&seconds), "{seconds}");
        assert_eq!(presigned_seconds(30 * DAY).await, 60 + DAY.cast_unsigned(), "the extension is limited");
    }

    #[tokio::test]
    async fn a_presigned_url_of_a_machine_whose_clock_is_right_or_ahead_has_its_lifetime() {
        for behind in [0, -3600] {
            assert_eq!(presigned_seconds(behind).await, 60, "{behind}");
        }
    }
}
