//! The rules of a session, each as one input and what follows from it.

use chrono::{DateTime, Utc};
use protocol::{
    export::{Links, Progress, Status},
    id::Owner,
};

use super::*;

fn now() -> DateTime<Utc> {
    "2026-11-22T15:26:01Z".parse().unwrap()
}

fn caller(user: &str) -> Caller {
    Caller { owner: Owner::new("acme", user), scopes: vec![], claims: serde_json::Map::new(), expires_at: now() }
}

fn session(config: WsConfig) -> Session {
    let begin = Position { epoch: "e".into(), seq: 7 };
    Session::new(caller("alice"), config, begin, Instant::now())
}

#[tokio::test]
async fn newer_events_wait_while_missed_ones_are_looked_up() {
    let mut session = session(WsConfig::default());
    let resume = r#"{"type":"session.resume","epoch":"e","seq":3}"#;
    let asked = session.on_text(resume, Instant::now());
    let [Action::Request(None, Request::Resume(_, begin))] = asked.as_slice() else { panic!("{asked:?}") };
    assert_eq!((begin.seq, session.is_resuming()), (7, true));
    assert_eq!(slug(&session.on_text(resume, Instant::now())), Slug::RateLimited);
    let missed = Notice::of(5, &ServerMessage::Pong { reference: None });
    let actions = session.on_reply(None, Reply::Resumed(3, Some(vec![missed])));
    let [Action::Send(ServerMessage::SessionResumed { recovered: true, replayed: 1, .. }), Action::Replay(3, _)] =
        actions.as_slice()
    else {
        panic!("{actions:?}")
    };
    assert_eq!(slug(&session.on_text(resume, Instant::now())), Slug::RateLimited);
    session.on_caught_up();
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
        links: Links::of(id),
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
    let asked = session.on_text(&format!(r#"{{"type":"file.open","export_id":"{id}"}}"#), Instant::now());
    let [Action::Request(None, Request::Open(open))] = asked.as_slice() else { panic!("{asked:?}") };
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
async fn what_is_no_object_ends_the_session_and_what_is_wrong_does_not() {
    let mut session = session(WsConfig::default());
    let actions = session.on_text("nope", Instant::now());
    assert!(matches!(actions.as_slice(), [Action::Close(CloseCode::BadMessage)]));
    assert_eq!(slug(&session.on_text(r#"{"type":"ping","more":1}"#, Instant::now())), Slug::InvalidRequest);
    let actions = session.on_text(r#"{"type":"ping","ref":"a"}"#, Instant::now());
    assert!(matches!(actions.as_slice(), [Action::Send(ServerMessage::Pong { reference: Some(r) })] if r == "a"));
}

#[tokio::test]
async fn too_many_messages_end_the_session() {
    let mut session = session(WsConfig { message_burst: 2, messages_per_second: 1, ..WsConfig::default() });
    let at = Instant::now();
    for _ in 0..2 {
        assert!(matches!(session.on_text(r#"{"type":"ping"}"#, at).as_slice(), [Action::Send(_)]));
    }
    assert!(matches!(
        session.on_text(r#"{"type":"ping"}"#, at).as_slice(),
        [Action::Close(CloseCode::TooManyMessages)]
    ));
}

#[tokio::test]
async fn streams_are_limited_also_while_they_open() {
    let mut session = session(WsConfig { streams: 2, ..WsConfig::default() });
    let first = open_one(&mut session);
    let open = format!(r#"{{"type":"file.open","export_id":"{}"}}"#, ExportId::generate());
    assert!(matches!(session.on_text(&open, Instant::now()).as_slice(), [Action::Request(..)]));
    assert_eq!(slug(&session.on_text(&open, Instant::now())), Slug::RateLimited);
    session.on_stream_end(first, false);
    assert!(matches!(session.on_text(&open, Instant::now()).as_slice(), [Action::Request(..)]));
}

#[tokio::test]
async fn requests_in_flight_are_limited_and_give_their_stream_back() {
    let mut session = session(WsConfig { requests_in_flight: 1, streams: 2, ..WsConfig::default() });
    let open = format!(r#"{{"type":"file.open","export_id":"{}"}}"#, ExportId::generate());
    assert!(matches!(session.on_text(&open, Instant::now()).as_slice(), [Action::Request(..)]));
    for _ in 0..5 {
        assert_eq!(slug(&session.on_text(&open, Instant::now())), Slug::RateLimited);
    }
    assert_eq!(session.opening, 1);
}

#[tokio::test]
async fn windows_reach_their_stream_and_late_ones_are_ignored() {
    let mut session = session(WsConfig::default());
    let stream = open_one(&mut session);
    let grant = |s: u32, bytes: u64| format!(r#"{{"type":"file.window","stream":{s},"bytes":{bytes}}}"#);
    assert!(session.on_text(&grant(stream, 10), Instant::now()).is_empty());
    assert_eq!(session.streams[&stream].window.open(std::time::Duration::ZERO).await, DEFAULT_WINDOW_BYTES + 10);
    assert_eq!(slug(&session.on_text(&grant(stream, u64::MAX), Instant::now())), Slug::InvalidRequest);
    assert_eq!(slug(&session.on_text(&grant(stream + 1, 1), Instant::now())), Slug::InvalidRequest);
    session.on_stream_end(stream, false);
    assert!(session.on_text(&grant(stream, 10), Instant::now()).is_empty());
}

#[tokio::test]
async fn closing_a_stream_stops_its_pump() {
    let mut session = session(WsConfig::default());
    let stream = open_one(&mut session);
    let stop = session.streams[&stream].stop.clone();
    let close = format!(r#"{{"type":"file.close","stream":{stream},"ref":"c"}}"#);
    assert!(session.on_text(&close, Instant::now()).is_empty(), "the pump answers, after its last frame");
    assert_eq!(stop.stopped().await, Some(Some("c".to_owned())));
    assert!(session.on_stream_end(stream, true).is_empty());

    let stream = open_one(&mut session);
    let stop = session.streams[&stream].stop.clone();
    session.on_text(&format!(r#"{{"type":"file.close","stream":{stream}}}"#), Instant::now());
    let actions = session.on_stream_end(stream, false);
    assert!(matches!(actions.as_slice(), [Action::Send(ServerMessage::FileClosed { problem: None, .. })]));
    assert!(stop.is_stopped());
}

#[tokio::test]
async fn a_created_export_is_accepted_before_its_stream_begins() {
    let mut session = session(WsConfig::default());
    let create = r#"{"type":"export.create","ref":"r","dataset":"flights","deliver":"stream","window":0}"#;
    let mut asked = session.on_text(create, Instant::now());
    let Some(Action::Request(reference, Request::Create(create))) = asked.pop() else { panic!() };
    let actions =
        session.on_reply(reference, Reply::Created(create, TraceContext::generate(), Ok(export(Status::Queued))));
    let [Action::Send(ServerMessage::ExportAccepted { .. }), Action::Stream(new)] = actions.as_slice() else {
        panic!()
    };
    assert_eq!(new.announce, Some(Some("r".into())));
    assert!(new.live);
    assert_eq!(new.window.open(std::time::Duration::ZERO).await, 0);
}

#[tokio::test]
async fn a_refresh_is_for_the_same_person_only() {
    let mut session = session(WsConfig::default());
    for (user, fine) in [("alice", true), ("bob", false)] {
        session.on_text(r#"{"type":"session.refresh","token":"t"}"#, Instant::now());
        let actions = session.on_reply(None, Reply::Refreshed(Ok(caller(user))));
        assert_eq!(matches!(actions.as_slice(), [Action::Send(ServerMessage::SessionRefreshed { .. })]), fine);
    }
    assert_eq!(session.caller, caller("alice"));
}

#[tokio::test]
async fn two_unanswered_pings_mean_a_dead_client() {
    let mut session = session(WsConfig::default());
    assert!(matches!(session.on_heartbeat(), Action::Ping));
    session.on_sign_of_life();
    assert!(matches!(session.on_heartbeat(), Action::Ping));
    assert!(matches!(session.on_heartbeat(), Action::Ping));
    assert!(matches!(session.on_heartbeat(), Action::Close(CloseCode::TooSlow)));
}
