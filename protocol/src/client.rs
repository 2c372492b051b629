//! The messages that a client sends over a WebSocket session.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    export::ExportRequest,
    id::ExportId,
    json::{self, decode},
    problem::{FieldError, Problem, Slug},
    saved_export::SavedExportId,
};

/// The initial window of a file stream when the request omits `window`, in bytes.
pub const DEFAULT_WINDOW_BYTES: u64 = 1024 * 1024;

/// The longest `ref`, in bytes. Every answer repeats the `ref`, so the limit bounds the size of an answer.
const MAX_REF_BYTES: usize = 256;

/// `session.resume`: asks for a replay of the events after `seq`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionResume {
    /// The epoch from the `session.ready` of the earlier session.
    pub epoch: String,
    /// The sequence number of the last event that the client received.
    pub seq: u64,
}

/// `session.refresh`: replaces the token of the session by a newer token of the same user.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionRefresh {
    /// The newer bearer token.
    pub token: String,
}

impl std::fmt::Debug for SessionRefresh {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SessionRefresh(…)")
    }
}

/// How the server delivers the file of a new export.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Deliver {
    /// The server sends events only.
    #[default]
    Notify,
    /// The server opens a file stream as soon as the file has bytes.
    Stream,
}

/// `export.create`: requests an export and chooses the delivery of its file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExportCreate {
    /// The name of a dataset from `GET /v1/datasets`.
    pub dataset: String,
    /// The name of a template of the dataset; `default` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// The name of a format of the dataset; `csv` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// The name of a compression of the format; `none` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compression: Option<String>,
    /// The filter expression; all rows when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<Value>,
    /// The columns of the file, in order; the columns of the template when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<String>>,
    /// The parameters of the dataset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub params: Option<Map<String, Value>>,
    /// The time zone in which moments relative to now, such as `now/d`, are resolved: an IANA name; `UTC` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// A repeated request with the same key and body returns the export of the first request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// The delivery of the file; `notify` when absent.
    #[serde(default)]
    pub deliver: Deliver,
    /// The initial window of the file stream, in bytes; 1 MiB when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<u64>,
}

impl ExportCreate {
    /// The export request, without the members about delivery.
    #[must_use]
    pub fn request(&self) -> ExportRequest {
        ExportRequest {
            dataset: self.dataset.clone(),
            template: self.template.clone(),
            format: self.format.clone(),
            compression: self.compression.clone(),
            filter: self.filter.clone(),
            columns: self.columns.clone(),
            params: self.params.clone(),
            time_zone: self.time_zone.clone(),
        }
    }
}

/// `export.cancel`: cancels an unfinished export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExportCancel {
    /// The id of the export.
    pub export_id: ExportId,
}

/// `saved.run`: submits the request of a saved export, and chooses the delivery of its file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SavedRun {
    /// The id of the saved export.
    pub saved_export_id: SavedExportId,
    /// A repeated request with the same key returns the export of the first request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// The delivery of the file; `notify` when absent.
    #[serde(default)]
    pub deliver: Deliver,
    /// The initial window of the file stream, in bytes; 1 MiB when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<u64>,
}

/// `file.open`: opens a file stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileOpen {
    /// The id of the export.
    pub export_id: ExportId,
    /// The position in the file of the first byte to send; 0 when absent.
    #[serde(default)]
    pub offset: u64,
    /// The initial window, in bytes; 1 MiB when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<u64>,
    /// The attempt that wrote the bytes before `offset`: the `attempt` of `file.opened`. With this member, the server
    /// answers `restarted` instead of bytes of another attempt. Without this member, a client detects bytes of two
    /// attempts only by the `sha256` of `file.sealed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
}

/// `file.window`: adds bytes to the window of a file stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileWindow {
    /// The number of the stream, from `file.opened`.
    pub stream: u32,
    /// The number of bytes that the server may send in addition.
    pub bytes: u64,
}

/// `file.close`: closes a file stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileClose {
    /// The number of the stream, from `file.opened`.
    pub stream: u32,
}

/// `operate.watch`: asks for the state of the installation and its changes. Needs the scope `sluice:operate`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OperateWatch {}

/// `operate.unwatch`: ends `operate.watch`. The server does not answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OperateUnwatch {}

/// `ping`: asks for a `pong`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ping {}

/// A message from a client, one variant for each `type`.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "each variant is named after its message type")]
pub enum ClientMessage {
    SessionResume(SessionResume),
    SessionRefresh(SessionRefresh),
    ExportCreate(Box<ExportCreate>),
    ExportCancel(ExportCancel),
    SavedRun(SavedRun),
    FileOpen(FileOpen),
    FileWindow(FileWindow),
    FileClose(FileClose),
    OperateWatch(OperateWatch),
    OperateUnwatch(OperateUnwatch),
    Ping(Ping),
}

/// Every `type` that a client may send.
pub const TYPES: [&str; 11] = [
    "session.resume",
    "session.refresh",
    "export.create",
    "export.cancel",
    "saved.run",
    "file.open",
    "file.window",
    "file.close",
    "operate.watch",
    "operate.unwatch",
    "ping",
];

/// The reason why a text frame is not a valid client message.
#[derive(Clone, Debug, PartialEq)]
pub enum ParseError {
    /// The frame is not a JSON object. The session ends with close code 4400.
    NotAnObject,
    /// The JSON object is not a valid message. The server answers with `error`, and the session continues.
    Invalid {
        /// The `ref` of the message, if it was valid.
        reference: Option<String>,
        /// The problem in the answer.
        problem: Box<Problem>,
    },
}

/// Parses one text frame into the `ref` and the message.
///
/// # Errors
/// When the frame is not a valid message; see [`ParseError`].
pub fn parse(text: &str) -> Result<(Option<String>, ClientMessage), ParseError> {
    let invalid = |reference: Option<String>, error: FieldError| ParseError::Invalid {
        reference,
        problem: Box::new(Problem::invalid(Slug::InvalidRequest, vec![error])),
    };
    let mut members = match json::parse(text.as_bytes()) {
        Ok(Value::Object(members)) => members,
        Err(e) if e.is_data() => return Err(invalid(None, FieldError::new("", e.to_string()))),
        _ => return Err(ParseError::NotAnObject),
    };
    let reference = match members.remove("ref") {
        None | Some(Value::Null) => None,
        Some(Value::String(reference)) if reference.len() <= MAX_REF_BYTES => Some(reference),
        Some(_) => {
            let detail = format!("expected a string of at most {MAX_REF_BYTES} bytes");
            return Err(invalid(None, FieldError::new("/ref", detail)));
        }
    };
    let kind = match members.remove("type") {
        Some(Value::String(kind)) => kind,
        _ => return Err(invalid(reference, FieldError::new("/type", format!("expected one of {}", TYPES.join(", "))))),
    };
    let body = Value::Object(members);
    let message = match kind.as_str() {
        "session.resume" => decode(body).map(ClientMessage::SessionResume),
        "session.refresh" => decode(body).map(ClientMessage::SessionRefresh),
        "export.create" => decode(body).map(|m| ClientMessage::ExportCreate(Box::new(m))),
        "export.cancel" => decode(body).map(ClientMessage::ExportCancel),
        "saved.run" => decode(body).map(ClientMessage::SavedRun),
        "file.open" => decode(body).map(ClientMessage::FileOpen),
        "file.window" => decode(body).map(ClientMessage::FileWindow),
        "file.close" => decode(body).map(ClientMessage::FileClose),
        "operate.watch" => decode(body).map(ClientMessage::OperateWatch),
        "operate.unwatch" => decode(body).map(ClientMessage::OperateUnwatch),
        "ping" => decode(body).map(ClientMessage::Ping),
        other => {
            let detail = format!("unknown type `{other}`; expected one of {}", TYPES.join(", "));
            Err(FieldError::new("/type", detail))
        }
    };
    match message {
        Ok(message) => Ok((reference, message)),
        Err(error) => Err(invalid(reference, error)),
    }
}

/// Encodes a message as a text frame.
///
/// # Panics
/// Never, because these types always serialise.
#[must_use]
pub fn encode(message: &ClientMessage, reference: Option<&str>) -> String {
    let (kind, body) = match message {
        ClientMessage::SessionResume(m) => ("session.resume", serde_json::to_value(m)),
        ClientMessage::SessionRefresh(m) => ("session.refresh", serde_json::to_value(m)),
        ClientMessage::ExportCreate(m) => ("export.create", serde_json::to_value(m)),
        ClientMessage::ExportCancel(m) => ("export.cancel", serde_json::to_value(m)),
        ClientMessage::SavedRun(m) => ("saved.run", serde_json::to_value(m)),
        ClientMessage::FileOpen(m) => ("file.open", serde_json::to_value(m)),
        ClientMessage::FileWindow(m) => ("file.window", serde_json::to_value(m)),
        ClientMessage::FileClose(m) => ("file.close", serde_json::to_value(m)),
        ClientMessage::OperateWatch(m) => ("operate.watch", serde_json::to_value(m)),
        ClientMessage::OperateUnwatch(m) => ("operate.unwatch", serde_json::to_value(m)),
        ClientMessage::Ping(m) => ("ping", serde_json::to_value(m)),
    };
    let mut body = body.unwrap_or(Value::Object(Map::new()));
    body["type"] = kind.into();
    if let Some(reference) = reference {
        body["ref"] = reference.into();
    }
    body.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invalid(text: &str) -> (Option<String>, String) {
        match parse(text) {
            Err(ParseError::Invalid { reference, problem }) => (reference, problem.errors[0].pointer.clone()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_message_round_trips_through_its_encoding() {
        let id = ExportId::generate();
        let messages = [
            ClientMessage::SessionResume(SessionResume { epoch: "e".into(), seq: 3 }),
            ClientMessage::SessionRefresh(SessionRefresh { token: "t".into() }),
            ClientMessage::ExportCreate(Box::new(ExportCreate {
                dataset: "flights".into(),
                deliver: Deliver::Stream,
                window: Some(0),
                ..ExportCreate::default()
            })),
            ClientMessage::ExportCancel(ExportCancel { export_id: id }),
            ClientMessage::SavedRun(SavedRun {
                saved_export_id: SavedExportId::generate(),
                idempotency_key: Some("k".into()),
                deliver: Deliver::Notify,
                window: None,
            }),
            ClientMessage::FileOpen(FileOpen { export_id: id, offset: 7, window: None, attempt: Some(2) }),
            ClientMessage::FileWindow(FileWindow { stream: 1, bytes: 9 }),
            ClientMessage::FileClose(FileClose { stream: 1 }),
            ClientMessage::OperateWatch(OperateWatch {}),
            ClientMessage::OperateUnwatch(OperateUnwatch {}),
            ClientMessage::Ping(Ping {}),
        ];
        assert_eq!(messages.len(), TYPES.len());
        for message in messages {
            assert_eq!(parse(&encode(&message, Some("r"))), Ok((Some("r".into()), message)));
        }
    }

    #[test]
    fn parse_errors_keep_the_ref_and_name_the_member() {
        for text in ["", "nope", "[1]", "\"x\"", "{\"type\":"] {
            assert_eq!(parse(text), Err(ParseError::NotAnObject), "{text}");
        }
        assert_eq!(invalid(r#"{"type":"nope","ref":"a"}"#), (Some("a".into()), "/type".into()));
        assert_eq!(invalid(r#"{"ref":"a"}"#), (Some("a".into()), "/type".into()));
        assert_eq!(invalid(r#"{"type":"ping","x":1}"#), (None, "/x".into()));
        assert_eq!(invalid(r#"{"type":"ping","type":"ping"}"#), (None, String::new()));
        assert_eq!(invalid(r#"{"type":"ping","ref":1}"#), (None, "/ref".into()));
        assert_eq!(invalid(r#"{"type":"file.open","export_id":"x"}"#).1, "/export_id");
        assert_eq!(invalid(r#"{"type":"file.window","stream":1,"bytes":-1}"#).1, "/bytes");
    }
}
