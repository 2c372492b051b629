//! The bounded channel for data frames between the task that reads a source and the stream that an opened query
//! returns.

use futures::{StreamExt, stream};
use polars::prelude::DataFrame;
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_util::task::AbortOnDropHandle;

use super::{DatasetError, Frames};

/// The capacity of the channel, in frames. The task that reads the source waits while the channel is full, and stops
/// when the receiver is dropped.
const CAPACITY: usize = 1;

/// The sending end of the channel. The task that reads a source holds this end.
pub(super) type FrameSender = mpsc::Sender<DataFrame>;

/// Creates the channel: the sender for the task that reads a source, and the receiver for [`frames`].
pub(super) fn channel() -> (FrameSender, mpsc::Receiver<DataFrame>) {
    mpsc::channel(CAPACITY)
}

/// Sends frames from a blocking task. The sent frames together have no more rows than the limit of the query.
pub(super) struct LimitedSender {
    sender: FrameSender,
    left: Option<u64>,
}

impl LimitedSender {
    pub(super) const fn new(sender: FrameSender, limit: Option<u64>) -> Self {
        Self { sender, left: limit }
    }

    /// Whether no further frame is needed, because the limit of the query is reached or the receiver is dropped.
    pub(super) fn is_closed(&self) -> bool {
        self.left == Some(0) || self.sender.is_closed()
    }

    /// Waits until the receiver of the frames is dropped.
    pub(super) async fn closed(&self) {
        self.sender.closed().await;
    }

    /// Sends the rows of a frame up to the limit of the query, and blocks while the channel is full. Returns false if
    /// no further frame is needed, because the limit is reached or the receiver is dropped.
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

/// Returns the stream of the frames that `task` sends to `receiver`. If the task fails or panics, the last item of the
/// stream is an error. So the stream of a source that stopped early never looks complete.
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
