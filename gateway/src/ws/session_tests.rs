//! Tests of the session's state machine: each input leads to the expected actions.

use chrono::{DateTime, Utc};
use protocol::{
    client::DEFAULT_WINDOW_BYTES,
    envelope::TraceContext,
    export::{Export, Links, Progress, Status},
    id::{ExportId, Owner},
};

use super::*;

fn now() -> DateTime<Utc> {
    "2026-11-22T15:26:01Z".parse().unwrap()
}

fn caller(user: &str) -> Caller {
    Caller {
        owner: Owner::new("acme", user),
        scopes: vec![],
        claims: serde_json::Map::new(),
        expires_at: Some(now()),
        key: None,
    }
}

fn session(config: &WsConfig) -> Session {
    let start = Position { epoch: "e".into(), seq: 7 };
    Session::new(caller("alice"), config, start, Instant::now())
}

#[tokio::test]
async fn newer_events_wait_until_missed_events_were_sent() {
    let mut session = session(&WsConfig::default());
    let resume = r#"{"type":"session.resume","epoch":"e","seq":3}"#;
    let actions = session.on_text(resume, Instant::now());
    let [Action::Request(None, Request::Resume(_, start))] = actions.as_slice() else { panic!("{actions:?}") };
    assert_eq!((start.seq, session.is_resuming()), (7, true));
    assert_eq!(slug(&session.on_text(resume, Instant::now())), Slug::RateLimited);
    let missed = RenderedEvent::new(5, &ServerMessage::Pong { reference: None });
    let actions = session.on_reply(None, Reply::Resumed(3, Some(vec![missed])));
    let [Action::Send(ServerMessage::SessionResumed { recovered: true, replayed: 1, .. }), Action::Replay(3, _)] =
        actions.as_slice()
    else {
        panic!("{actions:?}")
    };
    assert_eq!(slug(&session.on_text(resume, Instant::now())), Slug::RateLimited);
    session.on_replay_end();
    assert!(!session.is_resuming());
    session.on_text(r#"{"type":"session.resume","epoch":"other","seq":99}"#, Instant::now());
    let actions = session.on_reply(None, Reply::Resumed(99, None));
    let [Action::Send(ServerMessage::SessionResumed { recovered: false, replayed: 0, .. }), Action::Replay(0, none)] =
        actions.as_slice()
    else {
        panic!("{actions:?}")
    };
    assert!(none.is_empty());
}

fn export(status: Status) -> Export {
    let id = ExportId::generate();
    Export {
        id,
        dataset: "flights".into(),
        template: "default".into(),
        format: "csv".into(),
        compression: "none".into(),
        filter: serde_json::json!({}),
        columns: vec![],
        params: serde_json::Map::new(),
        status,
        attempt: 0,
        requested_at: now().into(),
        started_at: None,
        completed_at: None,
        expires_at: None,
        progress: Progress::default(),
        file: None,
        problem: None,
        links: Links::for_export(id),
    }
}

fn slug(actions: &[Action]) -> Slug {
    match actions {
        [Action::Send(ServerMessage::Error { problem, .. })] => problem.slug(),
        other => panic!("{other:?}"),
    }
}

fn open_one(session: &mut Session) -> u32 {
    let id = ExportId::generate();
    let actions = session.on_text(&format!(r#"{{"type":"file.open","export_id":"{id}"}}"#), Instant::now());
    let [Action::Request(None, Request::Open(open))] = actions.as_slice() else { panic!("{actions:?}") };
    let reply = Reply::Opened(open.clone(), Ok((export(Status::Running), TraceContext::generate())));
    match session.on_reply(None, reply).as_slice() {
        [Action::Send(ServerMessage::FileOpened { stream, .. }), Action::Stream(new)] => {
            assert_eq!(*stream, new.stream);
            *stream
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn malformed_json_ends_the_session_and_an_invalid_message_does_not() {
    let mut session = session(&WsConfig::default());
    let actions = session.on_text("nope", Instant::now());
    assert!(matches!(actions.as_slice(), [Action::Close(CloseCode::BadMessage)]));
    assert_eq!(slug(&session.on_text(r#"{"type":"ping","more":1}"#, Instant::now())), Slug::InvalidRequest);
    let actions = session.on_text(r#"{"type":"ping","ref":"a"}"#, Instant::now());
    assert!(matches!(actions.as_slice(), [Action::Send(ServerMessage::Pong { reference: Some(r) })] if r == "a"));
}

#[tokio::test]
async fn too_many_messages_end_the_session() {
    let mut session = session(&WsConfig { messages_per_second: 1, ..WsConfig::default() });
    let at = Instant::now();
    for _ in 0..5 {
        assert!(matches!(session.on_text(r#"{"type":"ping"}"#, at).as_slice(), [Action::Send(_)]));
    }
    assert!(matches!(
        session.on_text(r#"{"type":"ping"}"#, at).as_slice(),
        [Action::Close(CloseCode::TooManyMessages)]
    ));
}

#[tokio::test]
async fn streams_that_are_being_opened_count_against_the_limit() {
    let mut session = session(&WsConfig { max_file_streams: 2, ..WsConfig::default() });
    let first = open_one(&mut session);
    let open = format!(r#"{{"type":"file.open","export_id":"{}"}}"#, ExportId::generate());
    assert!(matches!(session.on_text(&open, Instant::now()).as_slice(), [Action::Request(..)]));
    assert_eq!(slug(&session.on_text(&open, Instant::now())), Slug::RateLimited);
    session.on_stream_end(first, false);
    assert!(matches!(session.on_text(&open, Instant::now()).as_slice(), [Action::Request(..)]));
}

#[tokio::test]
async fn a_refused_request_releases_its_stream_reservation() {
    let mut session = session(&WsConfig { max_file_streams: 2, ..WsConfig::default() });
    let cancel = format!(r#"{{"type":"export.cancel","export_id":"{}"}}"#, ExportId::generate());
    for _ in 1..MAX_REQUESTS {
        assert!(matches!(session.on_text(&cancel, Instant::now()).as_slice(), [Action::Request(..)]));
    }
    let open = format!(r#"{{"type":"file.open","export_id":"{}"}}"#, ExportId::generate());
    assert!(matches!(session.on_text(&open, Instant::now()).as_slice(), [Action::Request(..)]));
    for _ in 0..5 {
        assert_eq!(slug(&session.on_text(&open, Instant::now())), Slug::RateLimited);
    }
    assert_eq!(session.streams.reserved(), 1);
}

#[tokio::test]
async fn a_grant_enlarges_the_window_of_its_stream_until_the_stream_ends() {
    let mut session = session(&WsConfig::default());
    let stream = open_one(&mut session);
    let grant = |s: u32, bytes: u64| format!(r#"{{"type":"file.window","stream":{s},"bytes":{bytes}}}"#);
    assert!(session.on_text(&grant(stream, 10), Instant::now()).is_empty());
    assert_eq!(
        session.streams.get(stream).window.available(std::time::Duration::ZERO).await,
        DEFAULT_WINDOW_BYTES + 10
    );
    assert_eq!(slug(&session.on_text(&grant(stream, u64::MAX), Instant::now())), Slug::InvalidRequest);
    assert_eq!(slug(&session.on_text(&grant(stream + 1, 1), Instant::now())), Slug::InvalidRequest);
    session.on_stream_end(stream, false);
    assert!(session.on_text(&grant(stream, 10), Instant::now()).is_empty());
}

#[tokio::test]
async fn a_closed_stream_stops_its_pump_and_is_answered_once() {
    let mut session = session(&WsConfig::default());
    let stream = open_one(&mut session);
    let stop = session.streams.get(stream).stop.clone();
    let close = format!(r#"{{"type":"file.close","stream":{stream},"ref":"c"}}"#);
    assert!(session.on_text(&close, Instant::now()).is_empty(), "the pump answers, after its last frame");
    assert_eq!(stop.stopped().await, Some(Some("c".to_owned())));
    assert!(session.on_stream_end(stream, true).is_empty());

    let stream = open_one(&mut session);
    let stop = session.streams.get(stream).stop.clone();
    session.on_text(&format!(r#"{{"type":"file.close","stream":{stream}}}"#), Instant::now());
    let actions = session.on_stream_end(stream, false);
    assert!(matches!(actions.as_slice(), [Action::Send(ServerMessage::FileClosed { problem: None, .. })]));
    assert!(stop.is_stopped());
}

#[tokio::test]
async fn an_export_is_accepted_before_its_stream_starts() {
    let mut session = session(&WsConfig::default());
    let create = r#"{"type":"export.create","ref":"r","dataset":"flights","deliver":"stream","window":0}"#;
    let mut actions = session.on_text(create, Instant::now());
    let Some(Action::Request(reference, Request::Create(create))) = actions.pop() else { panic!() };
    let actions =
        session.on_reply(reference, Reply::Created(create, TraceContext::generate(), Ok(export(Status::Queued))));
    let [Action::Send(ServerMessage::ExportAccepted { .. }), Action::Stream(new)] = actions.as_slice() else {
        panic!()
    };
    assert_eq!(new.unsent_opened, Some(Some("r".into())));
    assert!(new.is_unfinished);
    assert_eq!(new.window.available(std::time::Duration::ZERO).await, 0);
}

#[tokio::test]
async fn a_refresh_requires_a_token_of_the_same_owner() {
    let mut session = session(&WsConfig::default());
    for (user, is_accepted) in [("alice", true), ("bob", false)] {
        session.on_text(r#"{"type":"session.refresh","token":"t"}"#, Instant::now());
        let actions = session.on_reply(None, Reply::Refreshed(Ok(caller(user))));
        // the new token lacks the right to watch the operators' state
        let refreshed =
            matches!(actions.as_slice(), [Action::Send(ServerMessage::SessionRefreshed { .. }), Action::Watch(false)]);
        assert_eq!(refreshed, is_accepted);
    }
    assert_eq!(session.caller, caller("alice"));
}

#[tokio::test]
async fn two_unanswered_pings_close_the_session() {
    let mut session = session(&WsConfig::default());
    assert!(matches!(session.on_heartbeat(), Action::Ping));
    session.on_activity();
    assert!(matches!(session.on_heartbeat(), Action::Ping));
    assert!(matches!(session.on_heartbeat(), Action::Ping));
    assert!(matches!(session.on_heartbeat(), Action::Close(CloseCode::TooSlow)));
}
