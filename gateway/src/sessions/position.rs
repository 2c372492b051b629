//! Positions in the event stream.

use std::sync::Arc;

/// A position in the event stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    /// Identifies the stream; sequence numbers of another epoch are not comparable.
    pub(crate) epoch: Arc<str>,
    /// The sequence number of the last event before this position.
    pub(crate) seq: u64,
}
