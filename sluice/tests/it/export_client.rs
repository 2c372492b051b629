//! The export client works with a scripted gateway, and recovers from its failures.

use std::{future::Future, path::PathBuf};

use bytes::Bytes;
use clap::Parser;
use futures::{SinkExt, StreamExt};
use protocol::{
    SUBPROTOCOL,
    client::{ClientMessage, ExportCreate, parse},
    export::{Export, Links, Progress, Status},
    frame::Frame,
    id::ExportId,
    problem::{Problem, Slug},
    server::ServerMessage,
};
use serde_json::{Map, json};
use sluice::{
    cli::{Cli, Command},
    export::{self, ExportError},
};
use tempfile::TempDir;
use testkit::DEADLINE;
use tokio::{
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async,
    tungstenite::{
        Message,
        handshake::server::{Request, Response},
        http::HeaderValue,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

/// The gateway's side of one session.
struct Session(WebSocketStream<TcpStream>);

impl Session {
    async fn accept(listener: &TcpListener) -> Self {
        let (stream, _) = listener.accept().await.expect("the client connects");
        let choose = |request: &Request, mut response: Response| {
            assert_eq!(request.headers()["authorization"], "Bearer secret");
            response.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static(SUBPROTOCOL));
            Ok(response)
        };
        Self(accept_hdr_async(stream, choose).await.expect("a WebSocket handshake"))
    }

    async fn receive(&mut self) -> (Option<String>, ClientMessage) {
        match self.0.next().await {
            Some(Ok(Message::Text(text))) => parse(&text).expect("a message of the contract"),
            other => panic!("{other:?}"),
        }
    }

    async fn receive_create(&mut self) -> (String, ExportCreate) {
        match self.receive().await {
            (Some(reference), ClientMessage::ExportCreate(create)) => (reference, *create),
            other => panic!("{other:?}"),
        }
    }

    async fn receive_open(&mut self) -> (ExportId, u64) {
        match self.receive().await {
            (_, ClientMessage::FileOpen(open)) => (open.export_id, open.offset),
            other => panic!("{other:?}"),
        }
    }

    async fn send(&mut self, message: ServerMessage) {
        self.0.send(Message::text(message.to_text())).await.expect("the client is there");
    }

    async fn accepted(&mut self, reference: String, id: ExportId) {
        self.send(ServerMessage::ExportAccepted { reference: Some(reference), export: Box::new(object(id)) }).await;
    }

    async fn opened(&mut self, id: ExportId, stream: u32, offset: u64) {
        self.send(ServerMessage::FileOpened {
            reference: None,
            stream,
            export_id: id,
            offset,
            size: None,
            attempt: Some(1),
        })
        .await;
    }

    async fn bytes(&mut self, stream: u32, offset: u64, payload: &'static [u8]) {
        let frame = Frame { stream, offset, payload: Bytes::from_static(payload) };
        self.0.send(Message::binary(frame.encode())).await.expect("the client is there");
    }

    async fn sealed(&mut self, stream: u32, whole: &[u8]) {
        let (size, sha256) = (whole.len() as u64, testkit::sha256(whole));
        self.send(ServerMessage::FileSealed { stream, size, rows: 1, sha256 }).await;
    }

    async fn close(mut self, code: u16) {
        let frame = CloseFrame { code: CloseCode::from(code), reason: "".into() };
        self.0.close(Some(frame)).await.expect("the client is there");
    }
}

fn object(id: ExportId) -> Export {
    Export {
        id,
        dataset: "flights".into(),
        template: "default".into(),
        format: "csv".into(),
        compression: "none".into(),
        filter: json!({}),
        columns: Vec::new(),
        params: Map::new(),
        status: Status::Queued,
        attempt: 0,
        requested_at: serde_json::from_str("\"2026-11-22T15:26:01.123Z\"").unwrap(),
        started_at: None,
        completed_at: None,
        expires_at: None,
        progress: Progress::default(),
        file: None,
        problem: None,
        links: Links::for_export(id),
    }
}

/// Runs `sluice export flights -o FILE` against a script; returns its result and the folder of FILE.
async fn run<F: Future<Output = ()>>(script: impl FnOnce(TcpListener) -> F) -> (Result<(), ExportError>, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let file = dir.path().join("a.csv");
    let arguments = ["sluice", "export", "flights", "--url", &url, "--token", "secret", "-o"];
    let cli = Cli::parse_from(arguments.into_iter().map(Into::into).chain([file.into_os_string()]));
    let Command::Export(options) = cli.command else { panic!("{:?}", cli.command) };
    let both = async { tokio::join!(export::run(*options, &cli.files), script(listener)) };
    let (result, ()) = timeout(DEADLINE, both).await.expect("it ends in time");
    (result, dir)
}

fn left(dir: &TempDir) -> Vec<(String, Vec<u8>)> {
    let files = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap());
    let read = |path: PathBuf| std::fs::read(path).unwrap();
    files.map(|file| (file.file_name().into_string().unwrap(), read(file.path()))).collect()
}

fn file(name: &str, bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    vec![(name.to_owned(), bytes.to_vec())]
}

#[tokio::test]
async fn after_a_broken_connection_the_file_continues_at_the_exact_byte() {
    let id = ExportId::generate();
    let (result, dir) = run(async |listener| {
        let mut first = Session::accept(&listener).await;
        let (reference, _) = first.receive_create().await;
        first.accepted(reference, id).await;
        first.opened(id, 1, 0).await;
        first.bytes(1, 0, b"one,").await;
        drop(first);
        let mut second = Session::accept(&listener).await;
        assert_eq!(second.receive_open().await, (id, 4));
        second.opened(id, 1, 4).await;
        second.bytes(1, 4, b"two").await;
        second.sealed(1, b"one,two").await;
    })
    .await;
    result.unwrap();
    assert_eq!(left(&dir), file("a.csv", b"one,two"));
}

#[tokio::test]
async fn after_a_connection_broken_before_the_answer_the_same_export_is_requested() {
    let id = ExportId::generate();
    let (result, dir) = run(async |listener| {
        let mut first = Session::accept(&listener).await;
        let (_, requested) = first.receive_create().await;
        first.close(1001).await;
        let mut second = Session::accept(&listener).await;
        let (reference, again) = second.receive_create().await;
        assert!(requested.idempotency_key.is_some());
        assert_eq!(requested, again);
        second.accepted(reference, id).await;
        second.opened(id, 1, 0).await;
        second.sealed(1, b"").await;
    })
    .await;
    result.unwrap();
    assert_eq!(left(&dir), file("a.csv", b""));
}

#[tokio::test]
async fn a_restarted_file_holds_no_byte_of_the_first_attempt() {
    let id = ExportId::generate();
    let (result, dir) = run(async |listener| {
        let mut session = Session::accept(&listener).await;
        let (reference, _) = session.receive_create().await;
        session.accepted(reference, id).await;
        session.opened(id, 1, 0).await;
        session.bytes(1, 0, b"of the first attempt").await;
        let problem = Some(Box::new(Problem::new(Slug::Restarted, "x")));
        session.send(ServerMessage::FileClosed { reference: None, stream: 1, problem }).await;
        assert_eq!(session.receive_open().await, (id, 0));
        session.opened(id, 2, 0).await;
        session.bytes(2, 0, b"second").await;
        session.sealed(2, b"second").await;
    })
    .await;
    result.unwrap();
    assert_eq!(left(&dir), file("a.csv", b"second"));
}

#[tokio::test]
async fn a_file_that_differs_from_its_seal_never_gets_its_name() {
    let id = ExportId::generate();
    let (result, dir) = run(async |listener| {
        let mut session = Session::accept(&listener).await;
        let (reference, _) = session.receive_create().await;
        session.accepted(reference, id).await;
        session.opened(id, 1, 0).await;
        session.bytes(1, 0, b"one").await;
        session.sealed(1, b"two").await;
        // the client cancels the export, whose file it will not receive
        let (reference, message) = session.receive().await;
        assert!(matches!(message, ClientMessage::ExportCancel(cancel) if cancel.export_id == id));
        session.accepted(reference.unwrap(), id).await;
    })
    .await;
    assert!(matches!(result, Err(ExportError::Damaged(_))), "{result:?}");
    assert_eq!(left(&dir), file("a.csv.part", b"one"));
}

#[tokio::test]
async fn permanent_failures_are_not_retried() {
    let (result, dir) = run(async |listener| {
        let mut session = Session::accept(&listener).await;
        session.receive_create().await;
        session.close(4403).await;
    })
    .await;
    assert!(matches!(result, Err(ExportError::Closed("forbidden"))), "{result:?}");
    assert_eq!(left(&dir), []);

    let (result, dir) = run(async |listener| {
        let mut session = Session::accept(&listener).await;
        let (reference, _) = session.receive_create().await;
        session.send(ServerMessage::error(Some(reference), Problem::new(Slug::UnknownDataset, "x"))).await;
        // the client closes the session or just disconnects
        drop(session.0.next().await);
    })
    .await;
    assert!(matches!(result, Err(ExportError::Problem(p)) if p.slug() == Slug::UnknownDataset));
    assert_eq!(left(&dir), []);
}
