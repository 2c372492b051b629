//! A session that streams a file during its export.

use e2e::Fleet;
use protocol::{
    client::{ClientMessage, Deliver, ExportCreate, FileOpen},
    export::Export,
    problem::{Problem, Slug},
    server::ServerMessage,
};
use testkit::client::{Client, Collected, Collector, Opened};

const KIB: u64 = 1024;
/// The window of a file stream, in bytes.
const WINDOW: u64 = 1024 * KIB;

/// A session that exports a dataset and streams the file during the export.
pub(crate) struct Streaming {
    client: Client,
    export: Export,
    pub(crate) opened: Opened,
}

impl Streaming {
    pub(crate) async fn start(fleet: &Fleet, dataset: &str) -> Self {
        let mut client = fleet.client().await;
        let create = ExportCreate {
            dataset: dataset.into(),
            deliver: Deliver::Stream,
            window: Some(WINDOW),
            ..ExportCreate::default()
        };
        let export = client.create(create).await;
        let opened = client.opened(export.id, WINDOW).await;
        Self { client, export, opened }
    }

    /// Reads the first part of the file, which is not available over REST yet.
    pub(crate) async fn read_some(&mut self, fleet: &Fleet) -> Collector {
        let collector = self.client.collect_until(self.opened, 256 * KIB).await;
        let answer = fleet.rest().get(&self.export.links.file).await;
        assert_eq!(answer.problem().slug(), Slug::NotReady, "a running export has no file over REST");
        collector
    }

    /// Reads to the end of the stream.
    async fn read_stream(&mut self, mut collector: Collector) -> Collected {
        loop {
            if collector.window() <= WINDOW / 2 {
                collector.enlarge_window(WINDOW);
                self.client.grant(self.opened.stream, WINDOW).await;
            }
            if let Some(end) = self.client.read_frame(&mut collector).await {
                return collector.finish(end);
            }
        }
    }

    /// Reads to the end of the export. When another attempt restarts the file, the stream is opened again, unless the export
    /// has ended. `received` becomes the maximum over all streams.
    pub(crate) async fn read_all(&mut self, collector: Collector) -> Collected {
        let mut collected = self.read_stream(collector).await;
        while matches!(&collected.end, Err(Some(problem)) if problem.slug() == Slug::Restarted) {
            let before = collected.received;
            match self.reopen().await {
                Ok(opened) => {
                    self.opened = opened;
                    collected = self.read_stream(Collector::new(self.opened, true)).await;
                }
                Err(problem) => collected.end = Err(Some(*problem)),
            }
            collected.received = collected.received.max(before);
        }
        collected
    }

    async fn reopen(&mut self) -> Result<Opened, Box<Problem>> {
        let id = self.export.id;
        let open = FileOpen { export_id: id, offset: 0, window: Some(WINDOW), attempt: None };
        self.client.send(&ClientMessage::FileOpen(open), Some("restarted")).await;
        let wanted = |message: &ServerMessage| match message {
            ServerMessage::FileOpened { stream, export_id, offset, size, .. } if *export_id == id => {
                Some(Ok(Opened { stream: *stream, offset: *offset, size: *size, window: WINDOW }))
            }
            ServerMessage::Error { problem, .. } => Some(Err(problem.clone())),
            _ => None,
        };
        self.client.expect_text("the answer to file.open", wanted).await
    }

    pub(crate) async fn ended(&mut self) -> Export {
        self.client.ended(self.export.id).await
    }
}

/// Asserts that a stream of an incomplete file ended with a problem instead of a seal, and returns the problem. The stream may
/// have no bytes, because the last attempt may fail before its first byte.
pub(crate) fn truncated(collected: &Collected) -> &Problem {
    let end = collected.end.as_ref().expect_err("an incomplete file has no seal");
    let problem = end.as_ref().expect("a truncated stream has a problem");
    assert_eq!(problem.slug(), Slug::ExportFailed, "{problem}");
    let text = String::from_utf8_lossy(&collected.bytes);
    assert!(!text.contains("# export_completed_at"), "the stream has the last line of a complete file");
    problem
}
