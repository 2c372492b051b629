//! Moves the bytes of one file into a session, as far as its window allows.

use std::{sync::Arc, time::Duration};

use protocol::{
    export::Links,
    frame::{Frame, MAX_PAYLOAD_BYTES},
    id::ExportId,
    problem::{Problem, Slug},
    server::ServerMessage,
};
use tokio::{sync::mpsc, time::Instant};

use super::{outbox::Out, window::Window};
use crate::delivery::{Reader, Step};

/// A stream that waits this long for its window lets go of its connection and bytes.
const PARK_AFTER: Duration = Duration::from_secs(1);

/// How often to ask about an export whose stream waits for its window, as the news of its end may be lost.
const LOOK_AGAIN: Duration = Duration::from_secs(15);

/// One stream.
pub(super) struct Pump {
    pub(super) stream: u32,
    pub(super) export: ExportId,
    pub(super) reader: Reader,
    pub(super) window: Arc<Window>,
    pub(super) out: mpsc::Sender<Out>,
    /// How long to bear a closed window.
    pub(super) idle: Duration,
    /// Say `file.opened` with this `ref` once there are bytes; None when that was said before.
    pub(super) announce: Option<Option<String>>,
    /// Finds the session in the logs.
    pub(super) trace_id: String,
    /// Since when the window has been closed.
    pub(super) closed_since: Option<Instant>,
    /// The end was told.
    pub(super) over: bool,
}

/// The session is gone.
struct Gone;

impl Pump {
    /// Runs until the seal, a problem, or the session's end.
    pub(super) async fn run(mut self) {
        // when the session is gone there is nobody to tell
        let _ = self.move_bytes().await;
    }

    async fn move_bytes(&mut self) -> Result<(), Gone> {
        loop {
            match self.reader.ready().await {
                Step::Ready => self.announce().await?,
                Step::Sealed(seal) => {
                    self.announce().await?;
                    let (stream, size, rows) = (self.stream, seal.size, seal.rows);
                    return self.say(&ServerMessage::FileSealed { stream, size, rows, sha256: seal.sha256 }).await;
                }
                Step::Ended(problem) => return self.end(*problem).await,
            }
            let granted = self.window.open(PARK_AFTER).await;
            if granted == 0 {
                self.wait_for_window().await?;
                if self.over {
                    return Ok(());
                }
                continue;
            }
            self.closed_since = None;
            let max = usize::try_from(granted).unwrap_or(usize::MAX).min(MAX_PAYLOAD_BYTES);
            let offset = self.reader.offset();
            match self.reader.read(max).await {
                Ok(payload) if payload.is_empty() => {}
                Ok(payload) => {
                    self.window.take(payload.len() as u64);
                    let frame = Frame { stream: self.stream, offset, payload };
                    self.out.send(Out::Frame(frame.encode())).await.map_err(|_| Gone)?;
                }
                Err(problem) => return self.end(*problem).await,
            }
        }
    }

    /// Holds nothing while the client wants nothing, yet hears when the export ends.
    async fn wait_for_window(&mut self) -> Result<(), Gone> {
        self.reader.park();
        let since = *self.closed_since.get_or_insert_with(Instant::now);
        let left = self.idle.saturating_sub(since.elapsed());
        if left.is_zero() {
            self.over = true;
            let detail = format!("No window was granted for too long. Open it again at {}.", self.reader.offset());
            return self.end(Problem::new(Slug::RateLimited, detail)).await;
        }
        tokio::select! {
            _ = self.window.open(left.min(LOOK_AGAIN)) => {}
            () = self.reader.ended() => {}
        }
        Ok(())
    }

    async fn announce(&mut self) -> Result<(), Gone> {
        let Some(reference) = self.announce.take() else { return Ok(()) };
        let (stream, export_id, offset) = (self.stream, self.export, self.reader.offset());
        let (size, attempt) = (self.reader.size(), self.reader.attempt());
        self.say(&ServerMessage::FileOpened { reference, stream, export_id, offset, size, attempt }).await
    }

    /// A stream that was never announced ends silently when the export itself did: its event says so.
    async fn end(&mut self, problem: Problem) -> Result<(), Gone> {
        let problem = Box::new(problem.of_request(&Links::of(self.export).file, &self.trace_id));
        match self.announce.take() {
            None => {
                self.say(&ServerMessage::FileClosed { reference: None, stream: self.stream, problem: Some(problem) })
                    .await
            }
            Some(_) if matches!(problem.slug(), Slug::Canceled | Slug::ExportFailed) => Ok(()),
            Some(reference) => self.say(&ServerMessage::Error { reference, problem }).await,
        }
    }

    async fn say(&mut self, message: &ServerMessage) -> Result<(), Gone> {
        self.out.send(Out::Text(message.to_text().into())).await.map_err(|_| Gone)
    }
}
