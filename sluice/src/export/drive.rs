//! Carries out what the [`Transfer`] says, over one connection after the other.

use std::time::Duration;

use protocol::{
    close::{CloseCode, Reconnect},
    delivery::Seal,
    problem::Slug,
};
use reqwest::StatusCode;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{
    ExportError,
    access::Access,
    backoff::Backoff,
    progress::Progress,
    sink::Sink,
    socket::{ConnectError, Incoming, Socket},
    transfer::{Step, Transfer},
};
use crate::output;

/// For this long without a sign of progress a broken connection is made anew.
pub(super) const GIVE_UP: Duration = Duration::from_secs(5 * 60);
/// How long the wish to cancel may take.
const CANCEL: Duration = Duration::from_secs(5);

/// Where carrying out the steps left off.
enum Next {
    Read,
    Done(Seal),
    /// The stream must be opened again, on this connection.
    Again(String),
    Canceled,
}

/// How a session ended without the file being whole.
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
    /// When something last went forward.
    forward: Instant,
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
            backoff: Backoff::default(),
            forward: Instant::now(),
            ever_connected: false,
        }
    }

    /// Until the file is whole.
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

    /// A new connection. The inner error is one that may pass.
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
                let may_pass = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
                if may_pass { Ok(Err(detail)) } else { Err(ExportError::Refused { status, detail }) }
            }
            // somebody who never was there won't come by waiting
            Err(ConnectError::Unreachable(detail)) if !self.ever_connected => {
                Err(ExportError::Unreachable { url: self.access.url().to_owned(), detail })
            }
            Err(ConnectError::Unreachable(detail)) => Ok(Err(detail)),
        }
    }

    /// Talks until the file is whole or the connection breaks.
    async fn session(&mut self) -> Result<Ended, ExportError> {
        let mut steps = self.transfer.begin();
        loop {
            match self.carry_out(steps).await? {
                Ok(Next::Done(seal)) => return Ok(Ended::Done(seal)),
                Ok(Next::Canceled) => return Err(canceled_elsewhere()),
                Ok(Next::Again(why)) => {
                    self.pause(why).await?;
                    steps = self.transfer.begin();
                    continue;
                }
                Ok(Next::Read) => {}
                Err(fault) => return Ok(Ended::Broken(fault)),
            }
            let Some(socket) = &mut self.socket else { return Ok(Ended::Broken("no connection".into())) };
            let incoming = tokio::select! {
                () = self.stop.cancelled() => return Err(ExportError::Interrupted),
                incoming = socket.next() => incoming,
            };
            steps = match incoming {
                Incoming::Text(message) => {
                    let steps = self.transfer.text(*message)?;
                    self.forward = Instant::now();
                    self.progress.show(self.transfer.progress(), self.transfer.offset());
                    steps
                }
                Incoming::Frame(frame) => {
                    self.backoff.reset();
                    self.forward = Instant::now();
                    self.transfer.frame(frame)?
                }
                Incoming::Closed(code) => return self.closed(code),
                Incoming::Broken(fault) => return Ok(Ended::Broken(fault)),
                Incoming::Unreadable(detail) => return Err(ExportError::Protocol(detail)),
            };
        }
    }

    fn closed(&self, code: CloseCode) -> Result<Ended, ExportError> {
        match code.reconnect() {
            Reconnect::Retry => Ok(Ended::Broken(code.reason().to_owned())),
            Reconnect::WithNewToken if self.access.can_renew() => Ok(Ended::Broken(code.reason().to_owned())),
            Reconnect::WithNewToken | Reconnect::No => Err(ExportError::Closed(code.reason())),
        }
    }

    /// The inner error is a connection that broke.
    async fn carry_out(&mut self, steps: Vec<Step>) -> Result<Result<Next, String>, ExportError> {
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
                Step::Later(problem) => return Ok(Ok(Next::Again(problem.to_string()))),
                Step::Done(seal) => return Ok(Ok(Next::Done(seal))),
                Step::Canceled => return Ok(Ok(Next::Canceled)),
            }
        }
        Ok(Ok(Next::Read))
    }

    /// Waits before the next try, unless there was no progress for too long.
    async fn pause(&mut self, fault: String) -> Result<(), ExportError> {
        if self.forward.elapsed() >= GIVE_UP {
            return Err(ExportError::GaveUp { last: fault });
        }
        self.progress.wait(&fault);
        tracing::debug!(fault, "trying again");
        tokio::select! {
            () = self.stop.cancelled() => Err(ExportError::Interrupted),
            () = sleep(self.backoff.next(rand::random())) => Ok(()),
        }
    }

    /// Nobody will take the file: the export should end, so that its credit comes back and its work stops.
    pub(super) async fn give_up(&mut self) {
        let canceled = timeout(CANCEL, async {
            match self.socket.take() {
                Some(socket) => self.cancel_over(socket).await,
                None => self.cancel_by_rest().await,
            }
        });
        match canceled.await {
            Ok(Ok(())) => {}
            Ok(Err(fault)) => output::note(&format!("the export can't be canceled: {fault}")),
            Err(_) => output::note("the export can't be canceled: no answer"),
        }
    }

    async fn cancel_over(&mut self, mut socket: Socket) -> Result<(), String> {
        let mut asked = false;
        loop {
            // one that was only asked for can be canceled once it has an id
            if let (false, Some(Step::Send(message, reference))) = (asked, self.transfer.cancel()) {
                socket.send(&message, reference).await?;
                asked = true;
            }
            match socket.next().await {
                Incoming::Text(message) => match self.transfer.text(*message) {
                    Ok(steps) if steps.contains(&Step::Canceled) => break,
                    Ok(_) => {}
                    // it has ended another way
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
    protocol::problem::Problem::new(Slug::Canceled, "It was canceled from elsewhere.").into()
}
