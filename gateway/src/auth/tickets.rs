//! Tickets: a browser can't send a header with a WebSocket handshake, so it buys a single-use ticket first.
//!
//! The bucket holds the hash of a ticket, so that reading it opens nothing.

use async_nats::jetstream::kv::{Operation, Store};
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

use super::{AuthError, Caller};
use crate::error::Refusal;

/// How long a ticket works.
const LIFE: TimeDelta = TimeDelta::seconds(30);

/// The answer of `POST /v1/tickets`.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub struct Ticket {
    /// Offer it as the subprotocol `sluice.ticket.<ticket>`.
    pub ticket: String,
    /// After this it is refused.
    pub expires_at: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    caller: Caller,
    expires_at: DateTime<Utc>,
}

/// Issues tickets and takes them back, once each, on any gateway.
#[derive(Clone, Debug)]
pub struct Tickets {
    bucket: Store,
    clock: SharedClock,
}

impl Tickets {
    /// Tickets in this bucket.
    #[must_use]
    pub fn new(bucket: Store, clock: SharedClock) -> Self {
        Self { bucket, clock }
    }

    /// A fresh ticket for a caller.
    ///
    /// # Errors
    /// When NATS does not answer.
    pub async fn issue(&self, caller: &Caller) -> Result<Ticket, Refusal> {
        let mut random = [0; 32];
        rand::fill(&mut random).map_err(|_| Refusal::from(Problem::new(Slug::Internal, "No randomness to be had.")))?;
        let ticket = URL_SAFE_NO_PAD.encode(random);
        let expires_at = self.clock.now() + LIFE;
        let stored = serde_json::to_vec(&Stored { caller: caller.clone(), expires_at })
            .map_err(|e| Refusal::from(Problem::new(Slug::Internal, e.to_string())))?;
        self.bucket.create(key(&ticket), stored.into()).await.map_err(|e| {
            error!(error = %e, "a ticket can't be stored");
            Refusal::from(Problem::new(Slug::Unavailable, "Tickets can't be issued just now."))
        })?;
        Ok(Ticket { ticket, expires_at: expires_at.into() })
    }

    /// The caller who bought this ticket, which never works again.
    ///
    /// # Errors
    /// [`AuthError::Ticket`] for an unknown, used or expired one.
    pub async fn redeem(&self, ticket: &str) -> Result<Caller, AuthError> {
        let key = key(ticket);
        let entry = self.bucket.entry(&key).await.map_err(|e| {
            error!(error = %e, "tickets can't be read");
            AuthError::Unavailable
        })?;
        let entry = entry.filter(|entry| entry.operation == Operation::Put).ok_or(AuthError::Ticket)?;
        // of two who present it at once, the revision lets one win
        self.bucket.delete_expect_revision(&key, Some(entry.revision)).await.map_err(|_| AuthError::Ticket)?;
        let stored: Stored = serde_json::from_slice(&entry.value).map_err(|_| AuthError::Ticket)?;
        let now = self.clock.now();
        if now >= stored.expires_at || now >= stored.caller.expires_at {
            return Err(AuthError::Ticket);
        }
        Ok(stored.caller)
    }
}

fn key(ticket: &str) -> String {
    hex::encode(digest::digest(&digest::SHA256, ticket.as_bytes()))
}
