//! The state of the installation for sessions that watch it. One task reads the state for all sessions of the gateway,
//! and only while a session watches.

use std::{sync::Arc, time::Duration};

use platform::bus::Bus;
use protocol::{
    ops::{Overview, OverviewReply, OverviewRequest},
    server::ServerMessage,
    subject,
};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::request;

/// The time between two reads of the state.
const INTERVAL: Duration = Duration::from_secs(1);

/// The newest `operate.state` message; None before the first read.
pub(crate) type StateReceiver = watch::Receiver<Option<Arc<str>>>;

/// Reads the state of the installation for all sessions of this gateway. Clones share the state.
#[derive(Clone, Debug)]
pub(crate) struct Live(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    bus: Bus,
    state: watch::Sender<Option<Arc<str>>>,
    watched: Notify,
}

impl Live {
    pub(super) fn new(bus: Bus) -> Self {
        Self(Arc::new(Inner { bus, state: watch::Sender::new(None), watched: Notify::new() }))
    }

    /// Starts to watch the state. The receiver reports the current state at once, if it is known.
    pub(crate) fn subscribe(&self) -> StateReceiver {
        let mut receiver = self.0.state.subscribe();
        receiver.mark_changed();
        self.0.watched.notify_one();
        receiver
    }

    /// Reads the state at an interval while a session watches it, until `ended` is canceled.
    pub(crate) async fn run(self, ended: CancellationToken) {
        let mut last: Option<Overview> = None;
        loop {
            tokio::select! {
                biased;
                () = ended.cancelled() => return,
                () = self.0.watched.notified() => {}
            }
            let mut is_failing = false;
            while self.0.state.receiver_count() > 0 {
                match request(&self.0.bus, subject::OPS_OVERVIEW, &OverviewRequest {}).await {
                    Ok(OverviewReply::Overview { overview }) => {
                        self.publish(&mut last, *overview);
                        is_failing = false;
                    }
                    Ok(OverviewReply::Refused { problem }) if !is_failing => {
                        warn!(problem = %problem.slug(), "failed to read the state for operators; retrying");
                        is_failing = true;
                    }
                    Err(e) if !is_failing => {
                        warn!(error = %e, "failed to read the state for operators; retrying");
                        is_failing = true;
                    }
                    Ok(OverviewReply::Refused { .. }) | Err(_) => {}
                }
                tokio::select! {
                    biased;
                    () = ended.cancelled() => return,
                    () = tokio::time::sleep(INTERVAL) => {}
                }
            }
            // a session that watches later must not receive an old state
            last = None;
            self.0.state.send_replace(None);
        }
    }

    /// Sends a state to the watching sessions, unless it equals the last one apart from the time of the read.
    fn publish(&self, last: &mut Option<Overview>, overview: Overview) {
        let is_same = last.as_ref().is_some_and(|last| Overview { at: overview.at, ..last.clone() } == overview);
        if !is_same {
            let message = ServerMessage::OperateState { overview: Box::new(overview.clone()) };
            self.0.state.send_replace(Some(message.to_text().into()));
        }
        *last = Some(overview);
    }
}
