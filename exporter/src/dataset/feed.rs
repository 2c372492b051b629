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
