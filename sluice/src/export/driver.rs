//! Connects to the gateway, executes the steps of a [`Transfer`], and reconnects when the connection breaks.

use std::time::Duration;

use platform::backoff::{Backoff, Schedule};
use protocol::{
    close::{CloseCode, Reconnect},
    delivery::Seal,
    problem::Slug,
};
use reqwest::StatusCode;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::{
    access::Access,
    error::ExportError,
    progress::Progress,
    sink::Sink,
    socket::{ConnectError, Incoming, Socket},
    transfer::{Step, Transfer},
};
use crate::output;

/// If the gateway sends no message for this time, the driver ends the session; pings do not count as messages. The
/// driver then connects again if the session had received a message before, and otherwise fails.
const STALL_TIMEOUT: Duration = Duration::from_secs(5 * 60);
/// The time limit for canceling the export.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);

/// The pauses between reconnects. Full jitter spreads the load of clients that lost the same server.
const RECONNECT_PAUSES: Schedule =
    Schedule::new(Duration::from_millis(500), Duration::from_secs(30)).with_full_jitter();

/// The next action of a session after the driver has executed all steps.
enum Next {
    /// The session reads the next message.
    Read,
    Done(Seal),
    /// The session repeats the request after a pause, on the same connection.
    Retry(String),
    Canceled,
}

/// The result of an ended session: the complete file, or a broken connection.
enum Ended {
    Done(Seal),
    Broken(String),
}

pub(super) struct Driver<'a> {
    access: &'a Access,
    transfer: &'a mut Transfer,
    sink: &'a mut Sink,
    progress: &'a Progress,
    stop: CancellationToken,
    socket: Option<Socket>,
    backoff: Backoff,
    /// The time at which the last message arrived.
    last_progress: Instant,
    ever_connected: bool,
}

impl<'a> Driver<'a> {
    pub(super) fn new(
        access: &'a Access,
        transfer: &'a mut Transfer,
        sink: &'a mut Sink,
        progress: &'a Progress,
        stop: CancellationToken,
    ) -> Self {
        Self {
            access,
            transfer,
            sink,
            progress,
            stop,
            socket: None,
            backoff: Backoff::from(RECONNECT_PAUSES),
            last_progress: Instant::now(),
            ever_connected: false,
        }
    }

    /// Runs sessions with the gateway until the file is complete.
    pub(super) async fn run(&mut self) -> Result<Seal, ExportError> {
        loop {
            let fault = match self.connect().await? {
                Ok(()) => match self.session().await? {
                    Ended::Done(seal) => {
                        if let Some(socket) = self.socket.take() {
                            socket.close().await;
                        }
                        return Ok(seal);
                    }
                    Ended::Broken(fault) => fault,
                },
                Err(fault) => fault,
            };
            self.socket = None;
            self.pause(fault).await?;
        }
    }

    /// Opens a connection to the gateway. The inner error is transient, so the caller connects again after a pause.
    async fn connect(&mut self) -> Result<Result<(), String>, ExportError> {
        let token = self.access.token()?;
        let url = self.access.socket_url();
        let connected = tokio::select! {
            () = self.stop.cancelled() => return Err(ExportError::Interrupted),
            connected = Socket::connect(&url, &token) => connected,
        };
        match connected {
            Ok(socket) => {
                self.socket = Some(socket);
                self.ever_connected = true;
                Ok(Ok(()))
            }
            Err(ConnectError::Refused(status, detail)) => {
                let is_transient = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
                if is_transient { Ok(Err(detail)) } else { Err(ExportError::Refused { status, detail }) }
            }
            // fail at once if no connection has ever succeeded
            Err(ConnectError::Unreachable(detail)) if !self.ever_connected => {
                Err(ExportError::Unreachable { url: self.access.url().to_owned(), detail })
            }
            Err(ConnectError::Unreachable(detail)) => Ok(Err(detail)),
        }
    }

    /// Runs one session until the file is complete or the connection breaks.
    async fn session(&mut self) -> Result<Ended, ExportError> {
        let mut steps = self.transfer.begin();
        let connected_at = Instant::now();
        loop {
            match self.execute(steps).await? {
                Ok(Next::Done(seal)) => return Ok(Ended::Done(seal)),
                Ok(Next::Canceled) => return Err(canceled_elsewhere()),
                Ok(Next::Retry(problem)) => {
                    self.pause(problem).await?;
                    steps = self.transfer.begin();
                    continue;
                }
                Ok(Next::Read) => {}
                Err(fault) => return Ok(Ended::Broken(fault)),
            }
            let Some(socket) = &mut self.socket else { return Ok(Ended::Broken("no connection".into())) };
            let silent_at = self.last_progress + STALL_TIMEOUT;
            let incoming = tokio::select! {
                () = self.stop.cancelled() => return Err(ExportError::Interrupted),
                incoming = socket.next() => incoming,
                () = sleep_until(silent_at) => return Ok(self.silent(connected_at)),
            };
            steps = match incoming {
                Incoming::Text(message) => {
                    let steps = self.transfer.text(*message)?;
                    self.last_progress = Instant::now();
                    self.progress.show(self.transfer.progress(), self.transfer.offset());
                    steps
                }
                Incoming::Frame(frame) => {
                    self.backoff.reset();
                    self.last_progress = Instant::now();
                    self.transfer.frame(frame)?
                }
                Incoming::Closed(code) => return self.closed(code),
                Incoming::Broken(fault) => return Ok(Ended::Broken(fault)),
                Incoming::Unreadable(detail) => return Err(ExportError::Protocol(detail)),
            };
        }
    }

    /// Ends a session that received no message for [`STALL_TIMEOUT`]. If the session had received a message before, the
    /// driver connects again, because the export may simply wait or run for a long time. Otherwise [`Self::pause`]
    /// fails.
    fn silent(&mut self, connected_at: Instant) -> Ended {
        if self.last_progress > connected_at {
            self.last_progress = Instant::now();
        }
        Ended::Broken(format!("no message for {} s", STALL_TIMEOUT.as_secs()))
    }

    fn closed(&self, code: CloseCode) -> Result<Ended, ExportError> {
        match code.reconnect() {
            Reconnect::Retry => Ok(Ended::Broken(code.reason().to_owned())),
            Reconnect::WithNewToken if self.access.can_renew() => Ok(Ended::Broken(code.reason().to_owned())),
            Reconnect::WithNewToken | Reconnect::No => Err(ExportError::Closed(code.reason())),
        }
    }

    /// Executes steps in order. The inner error describes a broken connection.
    async fn execute(&mut self, steps: Vec<Step>) -> Result<Result<Next, String>, ExportError> {
        for step in steps {
            match step {
                Step::Send(message, reference) => {
                    let Some(socket) = &mut self.socket else { return Ok(Err("no connection".into())) };
                    if let Err(fault) = socket.send(&message, reference).await {
                        return Ok(Err(fault));
                    }
                }
                Step::Write(bytes) => {
                    self.sink.write(&bytes).await?;
                    self.progress.show(self.transfer.progress(), self.transfer.offset());
                }
                Step::Restart => self.sink.restart().await?,
                Step::Retry(problem) => return Ok(Ok(Next::Retry(problem.to_string()))),
                Step::Done(seal) => return Ok(Ok(Next::Done(seal))),
                Step::Canceled => return Ok(Ok(Next::Canceled)),
            }
        }
        Ok(Ok(Next::Read))
    }

    /// Waits before the next attempt to connect. Fails if no message arrived within [`STALL_TIMEOUT`].
    async fn pause(&mut self, fault: String) -> Result<(), ExportError> {
        if self.last_progress.elapsed() >= STALL_TIMEOUT {
            return Err(ExportError::GaveUp { waited: STALL_TIMEOUT, last: fault });
        }
        self.progress.show_retry(&fault);
        tracing::debug!(fault, "retrying");
        tokio::select! {
            () = self.stop.cancelled() => Err(ExportError::Interrupted),
            () = sleep(self.backoff.next_pause()) => Ok(()),
        }
    }

    /// Cancels the export, because no client will receive its file. A canceled export costs no credits.
    pub(super) async fn cancel_export(&mut self) {
        let canceled = timeout(CANCEL_TIMEOUT, async {
            match self.socket.take() {
                Some(socket) => self.cancel_by_socket(socket).await,
                None => self.cancel_by_rest().await,
            }
        });
        match canceled.await {
            Ok(Ok(())) => {}
            Ok(Err(fault)) => output::note(&format!("failed to cancel the export: {fault}")),
            Err(_) => output::note("failed to cancel the export: no answer"),
        }
    }

    async fn cancel_by_socket(&mut self, mut socket: Socket) -> Result<(), String> {
        let mut requested = false;
        loop {
            // the gateway can cancel the export only after it has accepted the export
            if let (false, Some(Step::Send(message, reference))) = (requested, self.transfer.cancel()) {
                socket.send(&message, reference).await?;
                requested = true;
            }
            match socket.next().await {
                Incoming::Text(message) => match self.transfer.text(*message) {
                    Ok(steps) if steps.contains(&Step::Canceled) => break,
                    Ok(_) => {}
                    // the export has ended already
                    Err(_) => break,
                },
                Incoming::Frame(_) => {}
                Incoming::Closed(_) | Incoming::Broken(_) | Incoming::Unreadable(_) => {
                    return self.cancel_by_rest().await;
                }
            }
        }
        socket.close().await;
        Ok(())
    }

    async fn cancel_by_rest(&self) -> Result<(), String> {
        let Some(id) = self.transfer.export_id() else { return Ok(()) };
        let answer = self.access.delete(&format!("/v1/exports/{id}"))?.send().await.map_err(|e| e.to_string())?;
        answer.error_for_status().map(drop).map_err(|e| e.to_string())
    }
}

fn canceled_elsewhere() -> ExportError {
    protocol::problem::Problem::new(Slug::Canceled, "Another client canceled the export.").into()
}
