//! Single-use tickets, with which browsers authenticate WebSocket handshakes (protocol.md, `POST /v1/tickets`).
//! Browsers need tickets because they cannot send an `Authorization` header with a handshake.
//!
//! A key-value bucket of NATS stores the hash of each ticket, but not the ticket itself. So a person who can read the
//! bucket cannot use the tickets.

use async_nats::{
    HeaderMap,
    jetstream::{
        kv::{DeleteErrorKind, Store},
        stream::LastRawMessageErrorKind,
    },
};
use aws_lc_rs::{digest, rand};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use platform::clock::SharedClock;
use protocol::{
    problem::{Problem, Slug},
    time::Timestamp,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracing::error;

use super::caller::{AuthError, Caller};
use crate::error::Refusal;

/// The NATS header that marks a deletion. When a key of a key-value bucket is deleted or purged, NATS stores a message
/// with this header instead of a value (NATS ADR-8).
const KV_OPERATION: &str = "KV-Operation";
/// How long after its creation a client may use a ticket.
const LIFETIME: TimeDelta = TimeDelta::seconds(30);

/// A ticket that authenticates one WebSocket handshake.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Ticket {
    /// The secret; the client offers it as the subprotocol `sluice.ticket.<ticket>`.
    pub(crate) ticket: String,
    /// The gateway refuses the ticket after this time.
    pub(crate) expires_at: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct StoredTicket {
    caller: Caller,
    expires_at: DateTime<Utc>,
}

/// Issues and redeems single-use tickets. Every gateway can redeem every ticket, because all gateways share the NATS
/// key-value bucket that stores the tickets.
#[derive(Clone, Debug)]
pub(crate) struct Tickets {
    bucket: Store,
    clock: SharedClock,
}

impl Tickets {
    #[must_use]
    pub(crate) fn new(bucket: Store, clock: SharedClock) -> Self {
        Self { bucket, clock }
    }

    /// Creates a ticket, and stores the caller under the hash of the ticket in the NATS key-value bucket for tickets.
    ///
    /// # Errors
    /// `unavailable` when NATS does not answer.
    pub(crate) async fn issue(&self, caller: &Caller) -> Result<Ticket, Refusal> {
        let mut random = [0; 32];
        rand::fill(&mut random)
            .map_err(|_| Refusal::from(Problem::new(Slug::Internal, "The random number generator failed.")))?;
        let ticket = URL_SAFE_NO_PAD.encode(random);
        let expires_at = self.clock.now() + LIFETIME;
        let stored = serde_json::to_vec(&StoredTicket { caller: caller.clone(), expires_at })
            .map_err(|e| Refusal::from(Problem::new(Slug::Internal, e.to_string())))?;
        self.bucket.create(bucket_key(&ticket), stored.into()).await.map_err(|e| {
            error!(error = %e, "failed to store a ticket");
            Refusal::from(Problem::new(Slug::Unavailable, "Tickets cannot be issued at the moment. Retry shortly."))
        })?;
        Ok(Ticket { ticket, expires_at: expires_at.into() })
    }

    /// Deletes the ticket, and returns the caller to whom the ticket was issued.
    ///
    /// # Errors
    /// [`AuthError::Ticket`] when the ticket is unknown, used or expired, or when the token of the caller who requested
    /// the ticket has expired. [`AuthError::Unavailable`] when NATS does not answer.
    pub(crate) async fn redeem(&self, ticket: &str) -> Result<Caller, AuthError> {
        let key = bucket_key(ticket);
        let subject = format!("{}{key}", self.bucket.prefix);
        // `Store::entry` may ask a replica that was paused and lacks the newest tickets; this request asks the leader
        let stored = match self.bucket.stream.get_last_raw_message_by_subject(&subject).await {
            Ok(stored) if is_deleted(&stored.headers) => return Err(AuthError::Ticket),
            Ok(stored) => stored,
            Err(e) if e.kind() == LastRawMessageErrorKind::NoMessageFound => return Err(AuthError::Ticket),
            Err(e) => {
                error!(error = %e, "failed to read a ticket");
                return Err(AuthError::Unavailable);
            }
        };
        // of two concurrent redemptions, only the first deletes the expected revision; the other one fails
        let deleted = self.bucket.delete_expect_revision(&key, Some(stored.sequence)).await;
        deleted.map_err(|e| match e.kind() {
            DeleteErrorKind::WrongLastRevision => AuthError::Ticket,
            _ => {
                error!(error = %e, "failed to delete a ticket");
                AuthError::Unavailable
            }
        })?;
        let stored: StoredTicket = serde_json::from_slice(&stored.payload).map_err(|_| AuthError::Ticket)?;
        let now = self.clock.now();
        if now >= stored.expires_at || stored.caller.is_expired(now) {
            return Err(AuthError::Ticket);
        }
        Ok(stored.caller)
    }
}

/// Whether these headers of a key's newest message in the NATS bucket say that the key was deleted or purged. Such a
/// key has no value.
fn is_deleted(headers: &HeaderMap) -> bool {
    headers.get(KV_OPERATION).is_some()
}

fn bucket_key(ticket: &str) -> String {
    hex::encode(digest::digest(&digest::SHA256, ticket.as_bytes()))
}
