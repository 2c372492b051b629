//! Mints grants: presigned URLs where the store has such, else URLs of this notifier's own port.

use std::time::Duration;

use aws_lc_rs::{hmac, rand::SystemRandom};
use chrono::TimeDelta;
use platform::{clock::SharedClock, store::FileStore};
use protocol::{
    delivery::{self, Grant, Segment},
    id::ExportId,
};

use super::token::{self, Claims, TokenError};
use crate::error::NotifierError;

/// How long presigning may take; it only waits when the machine's credentials are fetched anew.
const PRESIGN: Duration = Duration::from_secs(3);

/// Mints grants, and honours those that it minted. The key lives as long as the process: when a notifier dies, its
/// grants die with it, and gateways ask another one.
pub(crate) struct Minter {
    store: FileStore,
    clock: SharedClock,
    base: String,
    key: hmac::Key,
    ttl: Duration,
}

impl Minter {
    /// With a fresh key. `base` is the URL of this notifier's port.
    ///
    /// # Errors
    /// When the machine gives no random numbers.
    pub(crate) fn new(store: FileStore, clock: SharedClock, base: &str, ttl: Duration) -> Result<Self, NotifierError> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).map_err(|_| NotifierError::Random)?;
        Ok(Self { store, clock, base: base.to_owned(), key, ttl })
    }

    /// A URL of this segment that is good for a short time.
    ///
    /// # Errors
    /// When the store can't presign just now.
    pub(crate) async fn mint(&self, id: ExportId, attempt: u32, segment: Segment) -> Result<Grant, NotifierError> {
        let path = delivery::segment_path(id, attempt, segment.index);
        let ttl = TimeDelta::from_std(self.ttl).unwrap_or(TimeDelta::MAX);
        let now = self.clock.now();
        let expires_at = now.checked_add_signed(ttl).unwrap_or(now);
        if self.store.can_presign() {
            let signed = tokio::time::timeout(PRESIGN, self.store.presign(&path, self.ttl)).await;
            if let Some(url) = signed.map_err(|_| NotifierError::Timeout("presigning"))?? {
                return Ok(Grant { segment, url: url.into(), expires_at: expires_at.into() });
            }
        }
        let claims = Claims {
            path,
            size: segment.size,
            sha256: segment.sha256.clone(),
            expires_ms: expires_at.timestamp_millis(),
        };
        let url = format!("{}/v1/segments/{}", self.base, token::seal(&self.key, &claims));
        Ok(Grant { segment, url, expires_at: expires_at.into() })
    }

    /// What a token of this minter allows now.
    ///
    /// # Errors
    /// When it is another's, or its time is over.
    pub(crate) fn honour(&self, token: &str) -> Result<Claims, TokenError> {
        token::open(&self.key, token, self.clock.now())
    }
}
