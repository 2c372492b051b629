//! A file over WebSocket sessions: created with its stream or opened, and resumed after each broken session.

use std::{panic::AssertUnwindSafe, time::Duration};

use futures::FutureExt;
use protocol::{
    client::{ClientMessage, Deliver, ExportCreate, FileOpen, FileWindow},
    id::ExportId,
    problem::{Problem, Slug},
    server::ServerMessage,
};
use testkit::client::{Client, Credential, Received};
use tokio::time::{Instant, timeout};

use crate::{journal::Record, requests::Variant, site::Site};

/// The window of a stream in bytes: a file needs several grants.
const WINDOW: u64 = 256 * 1024;
/// The time after which a client gives up a session that says nothing.
const SILENCE: Duration = Duration::from_secs(20);

/// The end of the transfer.
#[derive(Debug, PartialEq)]
pub(crate) enum End {
    /// All bytes arrived, and the seal is right.
    Sealed,
    /// There is no file.
    Refused(Slug),
    /// Neither within the deadline.
    Late,
}

enum SessionEnd {
    Sealed,
    Refused(Problem),
    Broken(String),
}

/// A transfer over several sessions.
pub(crate) struct Stream<'a> {
    site: &'a Site,
    number: usize,
    record: Record,
    /// The offset up to which all bytes arrived and were right.
    offset: u64,
    /// The attempt that wrote them.
    attempt: Option<u32>,
    /// These bytes. Empty if each frame is compared when it arrives.
    kept: Vec<u8>,
}

impl<'a> Stream<'a> {
    pub(crate) fn new(site: &'a Site, number: usize) -> Self {
        Self { site, number, record: site.journal.record(number), offset: 0, attempt: None, kept: vec![] }
    }

    fn variant(&self) -> &'a Variant {
        &self.site.variants[self.record.variant]
    }

    /// Creates the export unless it has an id, and reads its file to the end.
    pub(crate) async fn run(&mut self, deadline: Instant) -> End {
        let journal = &self.site.journal;
        loop {
            // the client panics on a violation of the protocol
            let end = AssertUnwindSafe(self.session()).catch_unwind().await.unwrap_or_else(|panic| {
                let text = panic.downcast_ref::<String>().map_or("a panic", String::as_str).to_owned();
                journal.violated("sessions follow the protocol", self.record.id, text.clone());
                SessionEnd::Broken(text)
            });
            match end {
                SessionEnd::Sealed => {
                    journal.counts().files_checked += 1;
                    return End::Sealed;
                }
                SessionEnd::Refused(problem) => match problem.slug() {
                    slug @ (Slug::Canceled | Slug::ExportFailed | Slug::Expired) => return End::Refused(slug),
                    Slug::Restarted => (self.offset, self.attempt, self.kept) = (0, None, vec![]),
                    slug => journal.refused("stream", slug.as_str()),
                },
                SessionEnd::Broken(reason) => journal.refused("stream", &reason),
            }
            if Instant::now() > deadline {
                return End::Late;
            }
            journal.counts().resumed += 1;
            self.site.pause().await;
        }
    }

    async fn session(&mut self) -> SessionEnd {
        if self.attempt.is_none() && !self.variant().file.is_exact() {
            // an export that had not begun names no attempt, and another attempt makes other bytes
            (self.offset, self.kept) = (0, vec![]);
        }
        let token = self.site.token(&self.record.person);
        let connecting = Client::try_connect(self.site.gateway(), Credential::Bearer(&token), None);
        let mut client = match timeout(SILENCE, connecting).await {
            Ok(Ok(Ok(client))) => client,
            Ok(Ok(Err(refusal))) => return SessionEnd::Broken(format!("upgrade refused: {}", refusal.status)),
            Ok(Err(_)) => return SessionEnd::Broken("no connection".to_owned()),
            Err(_) => return SessionEnd::Broken("no session in time".to_owned()),
        };
        let first = match self.record.id {
            Some(id) => self.open(id),
            None => self.create(),
        };
        let mut sent = timeout(SILENCE, client.try_send(&first, Some("first"))).await == Ok(true);
        let (mut stream, mut granted) = (None, self.offset + WINDOW);
        while sent {
            let Ok(received) = timeout(SILENCE, client.next()).await else {
                // a queued export has nothing to say, but a session has its heartbeat
                return SessionEnd::Broken("silence".to_owned());
            };
            match received {
                Received::Closed(code) => return SessionEnd::Broken(format!("session closed ({code:?})")),
                Received::Binary(frame) if Some(frame.stream) == stream => {
                    self.compare(frame.offset, &frame.payload);
                    if granted - self.offset <= WINDOW / 2 {
                        let window = FileWindow { stream: frame.stream, bytes: WINDOW / 2 };
                        granted += WINDOW / 2;
                        let message = ClientMessage::FileWindow(window);
                        sent = timeout(SILENCE, client.try_send(&message, None)).await == Ok(true);
                    }
                }
                Received::Binary(_) => {}
                Received::Text(message) => {
                    if let Some(end) = self.on_message(message, &mut stream) {
                        return end;
                    }
                }
            }
        }
        SessionEnd::Broken("the session broke".to_owned())
    }

    fn create(&self) -> ClientMessage {
        let request = &self.variant().request;
        ClientMessage::ExportCreate(Box::new(ExportCreate {
            dataset: request.dataset.clone(),
            template: request.template.clone(),
            format: request.format.clone(),
            compression: request.compression.clone(),
            filter: request.filter.clone(),
            idempotency_key: Some(self.record.key.clone()),
            deliver: Deliver::Stream,
            window: Some(WINDOW),
            ..ExportCreate::default()
        }))
    }

    fn open(&self, export_id: ExportId) -> ClientMessage {
        let (offset, attempt) = (self.offset, self.attempt.filter(|_| self.offset > 0));
        ClientMessage::FileOpen(FileOpen { export_id, offset, window: Some(WINDOW), attempt })
    }

    fn on_message(&mut self, message: ServerMessage, stream: &mut Option<u32>) -> Option<SessionEnd> {
        let journal = &self.site.journal;
        match message {
            ServerMessage::ExportAccepted { export, .. } => {
                journal.answered(self.number, export.id);
                self.record.id = Some(export.id);
            }
            ServerMessage::FileOpened { stream: opened, export_id, offset, attempt, .. }
                if Some(export_id) == self.record.id =>
            {
                if offset != self.offset {
                    let detail = format!("a stream begins at {offset}, asked for {}", self.offset);
                    journal.violated("no wrong byte", Some(export_id), detail);
                }
                *stream = Some(opened);
                self.attempt = attempt;
            }
            ServerMessage::FileSealed { stream: of, size, sha256, .. } if Some(of) == *stream => {
                self.check_seal(size, &sha256);
                return Some(SessionEnd::Sealed);
            }
            ServerMessage::FileClosed { stream: of, problem, .. } if Some(of) == *stream => {
                return Some(
                    problem.map_or(SessionEnd::Broken("stream closed".to_owned()), |p| SessionEnd::Refused(*p)),
                );
            }
            ServerMessage::Error { problem, .. } => return Some(SessionEnd::Refused(*problem)),
            // the stream of an export that ends without a file may never open
            ServerMessage::ExportFailed { export, .. } | ServerMessage::ExportCanceled { export, .. }
                if Some(export.id) == self.record.id =>
            {
                return export.problem.map(SessionEnd::Refused);
            }
            _ => {}
        }
        None
    }

    /// Compares bytes with the reference, and moves the offset.
    fn compare(&mut self, offset: u64, payload: &[u8]) {
        if offset != self.offset || !self.variant().file.has(offset, payload) {
            let detail = format!("{} bytes at {offset} over a session, expected at {}", payload.len(), self.offset);
            self.site.journal.violated("no wrong byte", self.record.id, detail);
        }
        if !self.variant().file.is_exact() {
            self.kept.extend_from_slice(payload);
        }
        self.offset = offset + payload.len() as u64;
    }

    fn check_seal(&self, size: u64, sha256: &str) {
        let file = &self.variant().file;
        let wrong = if !file.may_have(size, sha256) || self.offset != size {
            Some(format!("sealed with {size} bytes, {sha256}, after {}", self.offset))
        } else {
            file.compare(&self.kept, sha256).err()
        };
        if let Some(detail) = wrong {
            self.site.journal.violated("no wrong byte", self.record.id, detail);
        }
    }
}
