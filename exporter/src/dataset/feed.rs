//! From a task that reads to a stream of frames.

use futures::{StreamExt, stream};
use polars::prelude::DataFrame;
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_util::task::AbortOnDropHandle;

use super::{DatasetError, Frames};

/// Frames that wait between a source and the encoders. When it is full the source waits; when the reader is gone
/// the source's sends fail and it ends.
const CAPACITY: usize = 1;

/// Where a source puts its frames.
pub(super) type Feed = mpsc::Sender<DataFrame>;

/// A channel from a source to its reader.
pub(super) fn channel() -> (Feed, mpsc::Receiver<DataFrame>) {
    mpsc::channel(CAPACITY)
}

/// A feed that ends after so many rows.
pub(super) struct Rows {
    feed: Feed,
    left: Option<u64>,
}

impl Rows {
    pub(super) const fn new(feed: Feed, limit: Option<u64>) -> Self {
        Self { feed, left: limit }
    }

    /// Whether nobody wants more.
    pub(super) fn is_closed(&self) -> bool {
        self.left == Some(0) || self.feed.is_closed()
    }

    /// Waits until nobody is there who could want more.
    pub(super) async fn closed(&self) {
        self.feed.closed().await;
    }

    /// Sends a frame, or what is still wanted of it. False: nobody wants more.
    pub(super) fn send(&mut self, frame: DataFrame) -> bool {
        let frame = match &mut self.left {
            None => frame,
            Some(left) => {
                let frame = frame.head(Some(usize::try_from(*left).unwrap_or(usize::MAX)));
                *left -= frame.height() as u64;
                frame
            }
        };
        (frame.height() == 0 || self.feed.blocking_send(frame).is_ok()) && !self.is_closed()
    }
}

/// The frames of a source that runs in `task`. Only a task that ended well ends the stream well: if it failed or
/// died, the last item is an error, so that a cut-off source never looks complete.
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
