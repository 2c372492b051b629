//! Positions in the event stream. A client that reconnects requests the events after its position.

use std::sync::Arc;

/// A position in the event stream in NATS: the point directly after the event with the sequence number `seq`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    /// The identity of the event stream, which changes when the stream is deleted and created again. Sequence numbers
    /// of different epochs are not comparable.
    pub(crate) epoch: Arc<str>,
    /// The sequence number of the last event before this position.
    pub(crate) seq: u64,
}
