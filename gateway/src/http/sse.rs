//! The text format of Server-Sent Events (WHATWG HTML, section 9.2): frames, event ids and the `retry` field.

use std::time::Duration;

use axum::{
    body::Bytes,
    http::{HeaderMap, HeaderValue, header},
};
use protocol::server::ServerMessage;
use uuid::Uuid;

use crate::sessions::{Position, RenderedEvent};

/// An empty SSE comment. A stream sends this comment at each heartbeat interval, so that proxies do not close an idle
/// connection.
pub(super) const HEARTBEAT: &[u8] = b":\n\n";

/// Formats the `retry` field, which says how long the client waits before it reconnects. The delay is between `base`
/// and twice `base`. It depends on the session id, so that not all clients reconnect at once.
pub(super) fn retry(base: Duration, session: Uuid) -> Bytes {
    let base_ms = u64::try_from(base.as_millis()).unwrap_or(u64::MAX);
    let spread = session.as_u64_pair().1 % base_ms.max(1);
    format!("retry: {}\n\n", base_ms.saturating_add(spread)).into()
}

/// Formats an event as an SSE frame with the id `<epoch>:<sequence number>`. The epoch is the identity of the event
/// stream.
pub(super) fn event(epoch: &str, event: &RenderedEvent) -> Bytes {
    frame(Some((epoch, event.seq)), event.kind, &event.text)
}

/// Formats a message without a sequence number as an SSE frame. With a `position`, the frame has an `id` for this
/// position. A client that reconnects sends the last `id` to request the events after that position.
pub(super) fn message(position: Option<&Position>, message: &ServerMessage) -> Bytes {
    frame(position.map(|position| (&*position.epoch, position.seq)), message.kind(), &message.to_text())
}

/// Formats one SSE frame. `id` holds the epoch and the sequence number for the `id` field; with None, the frame has no
/// `id`. `kind` is the value of the `event` field. `data` is the JSON text of the message. It fits on one `data` line,
/// because serialised JSON has no line breaks.
fn frame(id: Option<(&str, u64)>, kind: &str, data: &str) -> Bytes {
    let id = id.map(|(epoch, seq)| format!("id: {epoch}:{seq}\n")).unwrap_or_default();
    format!("{id}event: {kind}\ndata: {data}\n\n").into()
}

/// Parses the value of the header `Last-Event-ID`, which has the form `<epoch>:<seq>`. The epoch is the identity of the
/// event stream, and `seq` is a sequence number. Returns None for any other text.
pub(super) fn parse_position(last_event_id: &HeaderValue) -> Option<Position> {
    let (epoch, seq) = last_event_id.to_str().ok()?.trim().split_once(':')?;
    Some(Position { epoch: epoch.into(), seq: seq.parse().ok()? })
}

/// Whether the `Accept` header allows `text/event-stream`. True if the request has no `Accept` header.
pub(super) fn is_accepted(headers: &HeaderMap) -> bool {
    let mut accepted = headers.get_all(header::ACCEPT).into_iter().filter_map(|value| value.to_str().ok()).peekable();
    let allows = |range: &str| {
        let (kind, parameters) = range.split_once(';').unwrap_or((range, ""));
        let is_refused = parameters.split(';').any(|p| matches!(p.trim(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000"));
        let kind = kind.trim().to_ascii_lowercase();
        !is_refused && ["text/event-stream", "text/*", "*/*"].contains(&kind.as_str())
    };
    accepted.peek().is_none() || accepted.any(|list| list.split(',').any(allows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_accept_header_without_event_streams_is_refused() {
        for (accept, expected) in [
            (None, true),
            (Some("text/event-stream"), true),
            (Some("application/json, */*;q=0.1"), true),
            (Some("Text/Event-Stream; charset=utf-8"), true),
            (Some("application/json"), false),
            (Some("text/event-stream;q=0"), false),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert(header::ACCEPT, accept.parse().unwrap());
            }
            assert_eq!(is_accepted(&headers), expected, "{accept:?}");
        }
    }

    #[test]
    fn the_id_of_a_frame_parses_to_its_position() {
        let position = Position { epoch: "19ab".into(), seq: 7 };
        let pong = message(Some(&position), &ServerMessage::Pong { reference: None });
        assert_eq!(pong, "id: 19ab:7\nevent: pong\ndata: {\"type\":\"pong\"}\n\n");
        assert_eq!(parse_position(&"19ab:7".parse().unwrap()), Some(position));
        for invalid in ["", "7", "19ab:", "19ab:-1", "19ab:7:8"] {
            assert_eq!(parse_position(&invalid.parse().unwrap()), None, "{invalid}");
        }
    }
}
