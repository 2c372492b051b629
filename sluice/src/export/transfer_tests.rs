//! Tests of the transfer with scripted messages of a gateway.

use protocol::{
    client::ExportCreate,
    export::{Links, Status},
};
use serde_json::{Map, json};

use super::*;

const WINDOW: u64 = 16;

fn transfer() -> Transfer {
    let create = ExportCreate { dataset: "flights".into(), idempotency_key: Some("k".into()), ..Default::default() };
    Transfer::new(ClientMessage::ExportCreate(Box::new(create)), WINDOW)
}

fn export(id: ExportId, status: Status) -> Box<Export> {
    Box::new(Export {
        id,
        dataset: "flights".into(),
        template: "default".into(),
        format: "csv".into(),
        compression: "none".into(),
        filter: json!({}),
        columns: Vec::new(),
        params: Map::new(),
        status,
        attempt: 0,
        requested_at: serde_json::from_str("\"2026-11-22T15:26:01.123Z\"").unwrap(),
        started_at: None,
        completed_at: None,
        expires_at: None,
        progress: Progress::default(),
        file: None,
        problem: None,
        links: Links::for_export(id),
    })
}

fn accepted(id: ExportId) -> ServerMessage {
    ServerMessage::ExportAccepted { reference: Some(CREATE.into()), export: export(id, Status::Queued) }
}

fn opened(id: ExportId, stream: u32, offset: u64) -> ServerMessage {
    ServerMessage::FileOpened { reference: None, stream, export_id: id, offset, size: None, attempt: Some(1) }
}

fn closed(stream: u32, slug: Slug) -> ServerMessage {
    let problem = Some(Box::new(Problem::new(slug, "x")));
    ServerMessage::FileClosed { reference: None, stream, problem }
}

fn frame(stream: u32, offset: u64, payload: &'static [u8]) -> Frame {
    Frame { stream, offset, payload: Bytes::from_static(payload) }
}

fn seal(bytes: &[u8]) -> Seal {
    Seal { size: bytes.len() as u64, rows: 1, sha256: testkit::sha256(bytes) }
}

fn sealed(stream: u32, bytes: &[u8]) -> ServerMessage {
    let Seal { size, rows, sha256 } = seal(bytes);
    ServerMessage::FileSealed { stream, size, rows, sha256 }
}

/// Returns a transfer with an accepted export and the open stream 1.
fn opened_transfer() -> (Transfer, ExportId) {
    let (mut transfer, id) = (transfer(), ExportId::generate());
    transfer.begin();
    assert_eq!(transfer.text(accepted(id)).unwrap(), []);
    assert_eq!(transfer.text(opened(id, 1, 0)).unwrap(), []);
    (transfer, id)
}

#[test]
fn a_complete_file_matches_its_seal_and_the_window_is_extended() {
    let (mut transfer, _) = opened_transfer();
    assert_eq!(transfer.frame(frame(1, 0, b"abc")).unwrap(), [Step::Write(Bytes::from_static(b"abc"))]);
    let extension = ClientMessage::FileWindow(FileWindow { stream: 1, bytes: 5 });
    assert_eq!(
        transfer.frame(frame(1, 3, b"de")).unwrap(),
        [Step::Write(Bytes::from_static(b"de")), Step::Send(extension, None)]
    );
    assert_eq!(transfer.text(sealed(1, b"abcde")).unwrap(), [Step::Done(seal(b"abcde"))]);
}

#[test]
fn a_new_connection_repeats_the_request_until_the_export_is_accepted() {
    let mut transfer = transfer();
    let first = transfer.begin();
    assert_eq!(transfer.begin(), first, "with the same idempotency key");
    let id = ExportId::generate();
    transfer.text(accepted(id)).unwrap();
    let open = FileOpen { export_id: id, offset: 0, window: Some(WINDOW), attempt: None };
    assert_eq!(transfer.begin(), [Step::Send(ClientMessage::FileOpen(open), Some(OPEN))]);
}

#[test]
fn a_new_connection_continues_at_the_exact_byte_with_the_same_digest() {
    let (mut transfer, id) = opened_transfer();
    transfer.frame(frame(1, 0, b"abc")).unwrap();
    let open = FileOpen { export_id: id, offset: 3, window: Some(WINDOW), attempt: Some(1) };
    assert_eq!(transfer.begin(), [Step::Send(ClientMessage::FileOpen(open), Some(OPEN))]);
    transfer.text(opened(id, 1, 3)).unwrap();
    transfer.frame(frame(1, 3, b"de")).unwrap();
    assert_eq!(transfer.text(sealed(1, b"abcde")).unwrap(), [Step::Done(seal(b"abcde"))]);
}

#[test]
fn a_restart_discards_all_bytes_and_opens_at_offset_zero() {
    let (mut transfer, id) = opened_transfer();
    transfer.frame(frame(1, 0, b"old")).unwrap();
    let open = FileOpen { export_id: id, offset: 0, window: Some(WINDOW), attempt: None };
    assert_eq!(
        transfer.text(closed(1, Slug::Restarted)).unwrap(),
        [Step::Restart, Step::Send(ClientMessage::FileOpen(open), Some(OPEN))]
    );
    transfer.text(opened(id, 2, 0)).unwrap();
    assert_eq!(transfer.frame(frame(1, 3, b"late")).unwrap(), [], "a frame of the old stream");
    transfer.frame(frame(2, 0, b"new")).unwrap();
    assert_eq!(transfer.text(sealed(2, b"new")).unwrap(), [Step::Done(seal(b"new"))]);
}

#[test]
fn bytes_that_do_not_match_the_offset_or_the_seal_are_refused() {
    let (mut transfer, id) = opened_transfer();
    assert!(matches!(transfer.frame(frame(1, 1, b"a")), Err(ExportError::Protocol(_))));
    transfer.frame(frame(1, 0, b"ab")).unwrap();
    assert!(matches!(transfer.text(sealed(1, b"abc")), Err(ExportError::Damaged(_))), "truncated");
    assert!(matches!(transfer.text(sealed(1, b"xy")), Err(ExportError::Damaged(_))), "other bytes");
    transfer.begin();
    assert!(matches!(transfer.text(opened(id, 2, 0)), Err(ExportError::Protocol(_))));
}

#[test]
fn transient_problems_are_retried_and_others_fail() {
    let (mut transfer, id) = opened_transfer();
    for slug in [Slug::Unavailable, Slug::Internal, Slug::RateLimited] {
        transfer.stream = Some(1);
        assert!(matches!(transfer.text(closed(1, slug)).unwrap()[..], [Step::Retry(_)]), "{slug:?}");
    }
    transfer.stream = Some(1);
    let without_problem = ServerMessage::FileClosed { reference: None, stream: 1, problem: None };
    assert!(matches!(transfer.text(without_problem).unwrap()[..], [Step::Retry(_)]));
    for slug in [Slug::NotFound, Slug::ExportFailed, Slug::Expired, Slug::Canceled] {
        transfer.stream = Some(1);
        assert!(matches!(transfer.text(closed(1, slug)), Err(ExportError::Problem(_))), "{slug:?}");
    }
    let failed = ServerMessage::ExportFailed { seq: 1, export: export(id, Status::Failed) };
    assert!(matches!(transfer.text(failed), Err(ExportError::Problem(_))));
    let other = ServerMessage::ExportFailed { seq: 1, export: export(ExportId::generate(), Status::Failed) };
    assert_eq!(transfer.text(other).unwrap(), [], "another export");
}

#[test]
fn a_refused_request_is_retried_only_for_a_transient_problem() {
    let mut transfer = transfer();
    transfer.begin();
    let refused = |status, slug| {
        let problem = Problem::new(slug, "x").with_status(status);
        ServerMessage::error(Some(CREATE.into()), problem)
    };
    assert!(matches!(transfer.text(refused(409, Slug::IdempotencyConflict)).unwrap()[..], [Step::Retry(_)]));
    assert!(transfer.text(refused(422, Slug::IdempotencyConflict)).is_err());
    assert!(transfer.text(refused(429, Slug::CreditsExhausted)).is_err());
    assert!(transfer.cancel().is_none(), "no export was accepted");
}

#[test]
fn a_cancel_ends_when_it_is_confirmed_or_too_late() {
    let (mut transfer, id) = opened_transfer();
    let cancel = ClientMessage::ExportCancel(ExportCancel { export_id: id });
    assert_eq!(transfer.cancel(), Some(Step::Send(cancel, Some(CANCEL))));
    let confirmed =
        ServerMessage::ExportAccepted { reference: Some(CANCEL.into()), export: export(id, Status::Running) };
    assert_eq!(transfer.text(confirmed).unwrap(), [Step::Canceled]);
    let canceled = ServerMessage::ExportCanceled { seq: 1, export: export(id, Status::Canceled) };
    assert_eq!(transfer.text(canceled).unwrap(), [Step::Canceled]);
    let late = ServerMessage::error(Some(CANCEL.into()), Problem::new(Slug::NotFound, "x"));
    assert_eq!(transfer.text(late).unwrap(), [Step::Canceled]);
}
