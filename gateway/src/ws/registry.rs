//! Which sessions are open on this gateway, by owner.

use std::{
    collections::HashMap,
    sync::{Arc, RwLock},
};

use protocol::{id::Owner, server::ServerMessage};
use tokio::sync::mpsc;
use uuid::Uuid;

/// Events that a session may have waiting. A session that lets it fill up is closed as too slow: events are never
/// silently lost, as its client learns on its return that it has to catch up.
const MAILBOX: usize = 256;

/// An event for one session.
#[derive(Clone, Debug)]
pub struct Notice {
    /// The event's number.
    pub seq: u64,
    /// Its `type`.
    pub kind: &'static str,
    /// The event as a text frame, shared by all sessions of its owner.
    pub text: Arc<str>,
}

impl Notice {
    /// An event under its number.
    #[must_use]
    pub fn of(seq: u64, message: &ServerMessage) -> Self {
        Self { seq, kind: message.kind(), text: message.to_text().into() }
    }
}

/// The mailboxes of one person's sessions.
type Mailboxes = HashMap<Uuid, mpsc::Sender<Notice>>;

/// The sessions of this gateway. Clones share it.
#[derive(Clone, Debug)]
pub struct Registry {
    sessions: Arc<RwLock<HashMap<Owner, Mailboxes>>>,
    per_user: usize,
}

/// A place in the registry, given up when dropped.
#[derive(Debug)]
pub struct Seat {
    registry: Registry,
    owner: Owner,
    id: Uuid,
}

impl Registry {
    /// An empty registry that lets each person hold this many sessions.
    #[must_use]
    pub fn new(per_user: usize) -> Self {
        Self { sessions: Arc::default(), per_user }
    }

    /// Takes a place; None when the owner holds too many.
    #[must_use]
    pub fn enter(&self, owner: &Owner, id: Uuid) -> Option<(Seat, mpsc::Receiver<Notice>)> {
        let mut sessions = self.sessions.write().ok()?;
        let own = sessions.entry(owner.clone()).or_default();
        if own.len() >= self.per_user {
            return None;
        }
        let (mailbox, notices) = mpsc::channel(MAILBOX);
        own.insert(id, mailbox);
        metrics::gauge!("sluice_gateway_sessions").increment(1);
        Some((Seat { registry: self.clone(), owner: owner.clone(), id }, notices))
    }

    /// Whether this person has a session here.
    #[must_use]
    pub fn has(&self, owner: &Owner) -> bool {
        self.sessions.read().is_ok_and(|sessions| sessions.contains_key(owner))
    }

    /// Puts an event into the mailbox of each of the owner's sessions. A full mailbox is dropped, which ends its
    /// session.
    pub fn notify(&self, owner: &Owner, seq: u64, message: &ServerMessage) {
        if !self.has(owner) {
            return;
        }
        let notice = Notice::of(seq, message);
        if let Ok(mut sessions) = self.sessions.write()
            && let Some(own) = sessions.get_mut(owner)
        {
            own.retain(|_, mailbox| mailbox.try_send(notice.clone()).is_ok());
        }
    }

    /// Drops all mailboxes, which ends the sessions once they have read what is in them.
    pub fn clear(&self) {
        if let Ok(mut sessions) = self.sessions.write() {
            sessions.clear();
        }
    }

    fn leave(&self, owner: &Owner, id: Uuid) {
        if let Ok(mut sessions) = self.sessions.write()
            && let Some(own) = sessions.get_mut(owner)
        {
            own.remove(&id);
            if own.is_empty() {
                sessions.remove(owner);
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        metrics::gauge!("sluice_gateway_sessions").decrement(1);
        self.registry.leave(&self.owner, self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pong() -> ServerMessage {
        ServerMessage::Pong { reference: None }
    }

    #[tokio::test]
    async fn events_reach_their_owner_alone() {
        let registry = Registry::new(2);
        let (alice, bob) = (Owner::new("acme", "alice"), Owner::new("acme", "bob"));
        let (_a, mut to_alice) = registry.enter(&alice, Uuid::from_u128(1)).unwrap();
        let (_b, mut to_bob) = registry.enter(&bob, Uuid::from_u128(2)).unwrap();
        registry.notify(&alice, 7, &pong());
        assert_eq!(to_alice.recv().await.unwrap().seq, 7);
        assert!(to_bob.try_recv().is_err());
    }

    #[tokio::test]
    async fn places_are_limited_and_given_up() {
        let registry = Registry::new(1);
        let alice = Owner::new("acme", "alice");
        let seat = registry.enter(&alice, Uuid::from_u128(1)).unwrap();
        assert!(registry.enter(&alice, Uuid::from_u128(2)).is_none());
        drop(seat);
        assert!(registry.enter(&alice, Uuid::from_u128(3)).is_some());
    }

    #[tokio::test]
    async fn a_full_mailbox_ends_its_session_instead_of_losing_events_silently() {
        let registry = Registry::new(1);
        let alice = Owner::new("acme", "alice");
        let (_seat, mut notices) = registry.enter(&alice, Uuid::from_u128(1)).unwrap();
        for seq in 0..=MAILBOX {
            registry.notify(&alice, seq as u64, &pong());
        }
        let mut count = 0;
        while notices.recv().await.is_some() {
            count += 1;
        }
        assert_eq!(count, MAILBOX);
    }
}
