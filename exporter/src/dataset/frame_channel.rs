//! The bounded channel that carries data frames from the task that reads a source to the stream that
//! [`Dataset::open`](super::Dataset::open) returns.

use futures::{StreamExt, stream};
use polars::prelude::DataFrame;
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_util::task::AbortOnDropHandle;

use super::{DatasetError, Frames};

/// The capacity of the channel, in data frames. The task that reads the source waits while the channel is full, and
/// stops when the receiver is dropped.
const CAPACITY: usize = 1;

/// The sending end of the channel. The task that reads a source holds this end.
pub(super) type FrameSender = mpsc::Sender<DataFrame>;

/// Creates the channel. The sender is for the task that reads a source, and the receiver is for [`frames`].
pub(super) fn channel() -> (FrameSender, mpsc::Receiver<DataFrame>) {
    mpsc::channel(CAPACITY)
}

/// Sends data frames from a blocking task. The total number of rows in the sent frames does not exceed the limit of the
/// query.
pub(super) struct LimitedSender {
    sender: FrameSender,
    left: Option<u64>,
}

impl LimitedSender {
    pub(super) const fn new(sender: FrameSender, limit: Option<u64>) -> Self {
        Self { sender, left: limit }
    }

    /// Whether the receiver needs no further data frame, because the limit of the query is reached or the receiver is
    /// dropped.
    pub(super) fn is_closed(&self) -> bool {
        self.left == Some(0) || self.sender.is_closed()
    }

    /// Waits until the receiver of the data frames is dropped.
    pub(super) async fn closed(&self) {
        self.sender.closed().await;
    }

    /// Sends the rows of a data frame up to the limit of the query, and blocks while the channel is full. Returns false
    /// if the receiver needs no further frame, because the limit is reached or the receiver is dropped.
    pub(super) fn send(&mut self, frame: DataFrame) -> bool {
        let frame = match &mut self.left {
            None => frame,
            Some(left) => {
                let frame = frame.head(Some(usize::try_from(*left).unwrap_or(usize::MAX)));
                *left -= frame.height() as u64;
                frame
            }
        };
        (frame.height() == 0 || self.sender.blocking_send(frame).is_ok()) && !self.is_closed()
    }
}

/// Returns the stream of the data frames that `task` sends to `receiver`. If the task fails or panics, the last item of
/// the stream is an error. Without this error, the stream of a failed task would look complete.
pub(super) fn frames(receiver: mpsc::Receiver<DataFrame>, task: JoinHandle<Result<(), DatasetError>>) -> Frames {
    let state = Some((receiver, AbortOnDropHandle::new(task)));
    stream::unfold(state, |state| async move {
        let (mut receiver, task) = state?;
        if let Some(frame) = receiver.recv().await {
            return Some((Ok(frame), Some((receiver, task))));
        }
        match task.await {
            Ok(Ok(())) => None,
            Ok(Err(e)) => Some((Err(e), None)),
            Err(e) => Some((Err(e.into()), None)),
        }
    })
    .boxed()
}
