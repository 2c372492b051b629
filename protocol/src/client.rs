//! What clients send over the socket.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    export::ExportRequest,
    id::ExportId,
    json::decode,
    problem::{FieldError, Problem, Slug},
};

/// The window of a stream that names none, bytes.
pub const DEFAULT_WINDOW_BYTES: u64 = 1024 * 1024;

/// The longest `ref`, bytes: it comes back with the answer, which must not outgrow its request.
pub const MAX_REF_BYTES: usize = 256;

/// `session.resume`: replay events after `seq`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionResume {
    /// The epoch of the earlier session.
    pub epoch: String,
    /// The last event seen.
    pub seq: u64,
}

/// `session.refresh`: a newer token of the same person.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionRefresh {
    /// The token.
    pub token: String,
}

impl std::fmt::Debug for SessionRefresh {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SessionRefresh(…)")
    }
}

/// How the one who creates an export wants to have its file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Deliver {
    /// Events only.
    #[default]
    Notify,
    /// A file stream opens by itself as soon as there are bytes.
    Stream,
}

/// `export.create`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExportCreate {
    /// As in [`ExportRequest`].
    pub dataset: String,
    /// As in [`ExportRequest`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// As in [`ExportRequest`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// As in [`ExportRequest`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compression: Option<String>,
    /// As in [`ExportRequest`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<Value>,
    /// As in [`ExportRequest`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<String>>,
    /// As in [`ExportRequest`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub params: Option<Map<String, Value>>,
    /// The same key and body give the same export.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// `notify` when absent.
    #[serde(default)]
    pub deliver: Deliver,
    /// The stream's first window, bytes; 1 MiB when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<u64>,
}

impl ExportCreate {
    /// What to export, without how to deliver it.
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
        }
    }
}

/// `export.cancel`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExportCancel {
    /// The export.
    pub export_id: ExportId,
}

/// `file.open`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileOpen {
    /// The export.
    pub export_id: ExportId,
    /// The first byte wanted; 0 when absent.
    #[serde(default)]
    pub offset: u64,
    /// The first window, bytes; 1 MiB when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<u64>,
    /// The attempt of the bytes before `offset`, as `file.opened` named it: with it, bytes of another attempt are
    /// refused with `restarted` instead of being found out by the digest at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
}

/// `file.window`: grants more bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileWindow {
    /// The stream.
    pub stream: u32,
    /// How many more.
    pub bytes: u64,
}

/// `file.close`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileClose {
    /// The stream.
    pub stream: u32,
}

/// `ping`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ping {}

/// A message from a client.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "each variant is its type's one-to-one")]
pub enum ClientMessage {
    SessionResume(SessionResume),
    SessionRefresh(SessionRefresh),
    ExportCreate(Box<ExportCreate>),
    ExportCancel(ExportCancel),
    FileOpen(FileOpen),
    FileWindow(FileWindow),
    FileClose(FileClose),
    Ping(Ping),
}

/// Every `type` that a client may send.
pub const TYPES: [&str; 8] = [
    "session.resume",
    "session.refresh",
    "export.create",
    "export.cancel",
    "file.open",
    "file.window",
    "file.close",
    "ping",
];

/// Why a text frame is no message.
#[derive(Clone, Debug, PartialEq)]
pub enum ParseError {
    /// Not a JSON object: the session ends with close code 4400.
    NotAnObject,
    /// An object that is no valid message: answered with `error`, and the session goes on.
    Invalid {
        /// The message's `ref`, where it had a valid one.
        reference: Option<String>,
        /// What is wrong with it.
        problem: Box<Problem>,
    },
}

/// Reads one text frame: the message and its `ref`.
///
/// # Errors
/// See [`ParseError`].
pub fn parse(text: &str) -> Result<(Option<String>, ClientMessage), ParseError> {
    let Ok(Value::Object(mut members)) = serde_json::from_str(text) else {
        return Err(ParseError::NotAnObject);
    };
    let invalid = |reference: Option<String>, error: FieldError| ParseError::Invalid {
        reference,
        problem: Box::new(Problem::invalid(Slug::InvalidRequest, vec![error])),
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
        "file.open" => decode(body).map(ClientMessage::FileOpen),
        "file.window" => decode(body).map(ClientMessage::FileWindow),
        "file.close" => decode(body).map(ClientMessage::FileClose),
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

/// Writes a message as a text frame.
///
/// # Panics
/// Never: these types always serialise.
#[must_use]
pub fn encode(message: &ClientMessage, reference: Option<&str>) -> String {
    let (kind, body) = match message {
        ClientMessage::SessionResume(m) => ("session.resume", serde_json::to_value(m)),
        ClientMessage::SessionRefresh(m) => ("session.refresh", serde_json::to_value(m)),
        ClientMessage::ExportCreate(m) => ("export.create", serde_json::to_value(m)),
        ClientMessage::ExportCancel(m) => ("export.cancel", serde_json::to_value(m)),
        ClientMessage::FileOpen(m) => ("file.open", serde_json::to_value(m)),
        ClientMessage::FileWindow(m) => ("file.window", serde_json::to_value(m)),
        ClientMessage::FileClose(m) => ("file.close", serde_json::to_value(m)),
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
    fn every_message_survives_its_own_encoding() {
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
            ClientMessage::FileOpen(FileOpen { export_id: id, offset: 7, window: None, attempt: Some(2) }),
            ClientMessage::FileWindow(FileWindow { stream: 1, bytes: 9 }),
            ClientMessage::FileClose(FileClose { stream: 1 }),
            ClientMessage::Ping(Ping {}),
        ];
        assert_eq!(messages.len(), TYPES.len());
        for message in messages {
            assert_eq!(parse(&encode(&message, Some("r"))), Ok((Some("r".into()), message)));
        }
    }

    #[test]
    fn faults_are_told_apart_and_keep_their_ref() {
        for text in ["", "nope", "[1]", "\"x\"", "{\"type\":"] {
            assert_eq!(parse(text), Err(ParseError::NotAnObject), "{text}");
        }
        assert_eq!(invalid(r#"{"type":"nope","ref":"a"}"#), (Some("a".into()), "/type".into()));
        assert_eq!(invalid(r#"{"ref":"a"}"#), (Some("a".into()), "/type".into()));
        assert_eq!(invalid(r#"{"type":"ping","x":1}"#), (None, "/x".into()));
        assert_eq!(invalid(r#"{"type":"ping","ref":1}"#), (None, "/ref".into()));
        assert_eq!(invalid(r#"{"type":"file.open","export_id":"x"}"#).1, "/export_id");
        assert_eq!(invalid(r#"{"type":"file.window","stream":1,"bytes":-1}"#).1, "/bytes");
    }
}
