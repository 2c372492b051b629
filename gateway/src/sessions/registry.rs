//! The registry of this gateway's open sessions, grouped by owner.

use std::{
    collections::HashMap,
    sync::{Arc, RwLock},
};

use protocol::{id::Owner, server::ServerMessage};
use tokio::sync::mpsc;
use uuid::Uuid;

/// The maximum number of events in a mailbox, the queue of events that wait for one session. If an event arrives while
/// the mailbox is full, the session ends. The client reconnects and requests the events that it missed, so no event is
/// lost.
const MAILBOX_CAPACITY: usize = 256;

/// A user event, rendered as a message. All sessions of the event's owner send this message and share its text.
#[derive(Clone, Debug)]
pub(crate) struct RenderedEvent {
    /// The sequence number of the event.
    pub(crate) seq: u64,
    /// The `type` of the message, such as `export.completed`.
    pub(crate) kind: &'static str,
    /// The whole message as JSON text.
    pub(crate) text: Arc<str>,
}

impl RenderedEvent {
    #[must_use]
    pub(crate) fn new(seq: u64, message: &ServerMessage) -> Self {
        Self { seq, kind: message.kind(), text: message.to_text().into() }
    }
}

/// The mailboxes of one owner's sessions, by session id. A mailbox is the queue of events that wait for one session.
type Mailboxes = HashMap<Uuid, mpsc::Sender<RenderedEvent>>;

/// The open sessions of this gateway. Clones share the state.
#[derive(Clone, Debug)]
pub(crate) struct Registry {
    sessions: Arc<RwLock<HashMap<Owner, Mailboxes>>>,
    max_per_user: usize,
}

/// The transport of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    WebSocket,
    /// Server-Sent Events over HTTP.
    Sse,
}

impl Transport {
    /// Returns the value of the metric label `transport`.
    const fn as_str(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::Sse => "sse",
        }
    }
}

/// Keeps a session in the registry. Dropping the guard removes the session.
#[derive(Debug)]
pub(crate) struct SessionGuard {
    registry: Registry,
    owner: Owner,
    id: Uuid,
    transport: Transport,
}

impl Registry {
    #[must_use]
    pub(crate) fn new(max_per_user: usize) -> Self {
        Self { sessions: Arc::default(), max_per_user }
    }

    /// Registers a session. Returns the guard that keeps the session registered, and the mailbox (the queue of events
    /// for the session). Returns None if the owner already has the maximum number of sessions.
    #[must_use]
    pub(crate) fn register(
        &self,
        owner: &Owner,
        id: Uuid,
        transport: Transport,
    ) -> Option<(SessionGuard, mpsc::Receiver<RenderedEvent>)> {
        let mut sessions = self.sessions.write().ok()?;
        let mailboxes = sessions.entry(owner.clone()).or_default();
        if mailboxes.len() >= self.max_per_user {
            return None;
        }
        let (sender, mailbox) = mpsc::channel(MAILBOX_CAPACITY);
        mailboxes.insert(id, sender);
        metrics::gauge!("sluice_gateway_sessions", "transport" => transport.as_str()).increment(1);
        Some((SessionGuard { registry: self.clone(), owner: owner.clone(), id, transport }, mailbox))
    }

    /// Whether this owner has an open session on this gateway.
    #[must_use]
    pub(crate) fn contains(&self, owner: &Owner) -> bool {
        self.sessions.read().is_ok_and(|sessions| sessions.contains_key(owner))
    }

    /// Puts an event into the mailbox of each of the owner's sessions. A mailbox is the queue of events for one
    /// session. `seq` is the sequence number of the event, and `message` is the message that clients receive. If a
    /// mailbox is full, removes the mailbox from the registry. The session of a removed mailbox ends.
    pub(crate) fn notify(&self, owner: &Owner, seq: u64, message: &ServerMessage) {
        if !self.contains(owner) {
            return;
        }
        let event = RenderedEvent::new(seq, message);
        if let Ok(mut sessions) = self.sessions.write()
            && let Some(mailboxes) = sessions.get_mut(owner)
        {
            mailboxes.retain(|_, mailbox| mailbox.try_send(event.clone()).is_ok());
        }
    }

    /// Removes all sessions from the registry. Each session still sends the events in its mailbox (its queue of
    /// events), and then ends.
    pub(crate) fn clear(&self) {
        if let Ok(mut sessions) = self.sessions.write() {
            sessions.clear();
        }
    }

    fn remove(&self, owner: &Owner, id: Uuid) {
        if let Ok(mut sessions) = self.sessions.write()
            && let Some(mailboxes) = sessions.get_mut(owner)
        {
            mailboxes.remove(&id);
            if mailboxes.is_empty() {
                sessions.remove(owner);
            }
        }
    }
}

impl Drop for SessionGuard {
    fn drop(&mut self) {
        metrics::gauge!("sluice_gateway_sessions", "transport" => self.transport.as_str()).decrement(1);
        self.registry.remove(&self.owner, self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pong() -> ServerMessage {
        ServerMessage::Pong { reference: None }
    }

    #[tokio::test]
    async fn an_event_reaches_only_its_owners_sessions() {
        let registry = Registry::new(2);
        let (alice, bob) = (Owner::new("acme", "alice"), Owner::new("acme", "bob"));
        let (_alices_guard, mut to_alice) =
            registry.register(&alice, Uuid::from_u128(1), Transport::WebSocket).unwrap();
        let (_bobs_guard, mut to_bob) = registry.register(&bob, Uuid::from_u128(2), Transport::WebSocket).unwrap();
        registry.notify(&alice, 7, &pong());
        assert_eq!(to_alice.recv().await.unwrap().seq, 7);
        assert!(to_bob.try_recv().is_err());
    }

    #[tokio::test]
    async fn dropping_a_guard_allows_another_session() {
        let registry = Registry::new(1);
        let alice = Owner::new("acme", "alice");
        let first = registry.register(&alice, Uuid::from_u128(1), Transport::WebSocket).unwrap();
        assert!(registry.register(&alice, Uuid::from_u128(2), Transport::WebSocket).is_none());
        drop(first);
        assert!(registry.register(&alice, Uuid::from_u128(3), Transport::WebSocket).is_some());
    }

    #[tokio::test]
    async fn a_full_mailbox_ends_its_session_after_the_events_in_it() {
        let registry = Registry::new(1);
        let alice = Owner::new("acme", "alice");
        let (_guard, mut mailbox) = registry.register(&alice, Uuid::from_u128(1), Transport::WebSocket).unwrap();
        for seq in 0..=MAILBOX_CAPACITY {
            registry.notify(&alice, seq as u64, &pong());
        }
        let mut count = 0;
        while mailbox.recv().await.is_some() {
            count += 1;
        }
        assert_eq!(count, MAILBOX_CAPACITY);
    }
}
