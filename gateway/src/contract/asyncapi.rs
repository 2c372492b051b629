//! The AsyncAPI 3 document of the WebSocket session and the SSE stream.

use protocol::{
    SUBPROTOCOL, TICKET_SUBPROTOCOL_PREFIX,
    client::{
        ExportCancel, ExportCreate, FileClose, FileOpen, FileWindow, OperateUnwatch, OperateWatch, Ping, SavedRun,
        SessionRefresh, SessionResume,
    },
    close::CloseCode,
    frame,
    server::ServerMessage,
};
use serde_json::{Map, Value, json};

use super::{info::info, schemas::Schemas};

/// The `type` of each message that `GET /v1/events` sends.
const SSE_MESSAGES: [&str; 10] = [
    "session.ready",
    "session.resumed",
    "export.progress",
    "export.completed",
    "export.unchanged",
    "export.failed",
    "export.canceled",
    "export.expired",
    "credits.changed",
    "schedule.paused",
];

/// Builds the AsyncAPI document from the message types of the crate `protocol`.
#[must_use]
pub fn asyncapi() -> Value {
    let mut schemas = Schemas::new();
    let client = [
        ("session.resume", schemas.reference::<SessionResume>()),
        ("session.refresh", schemas.reference::<SessionRefresh>()),
        ("export.create", schemas.reference::<ExportCreate>()),
        ("export.cancel", schemas.reference::<ExportCancel>()),
        ("saved.run", schemas.reference::<SavedRun>()),
        ("file.open", schemas.reference::<FileOpen>()),
        ("file.window", schemas.reference::<FileWindow>()),
        ("file.close", schemas.reference::<FileClose>()),
        ("operate.watch", schemas.reference::<OperateWatch>()),
        ("operate.unwatch", schemas.reference::<OperateUnwatch>()),
        ("ping", schemas.reference::<Ping>()),
    ];
    schemas.reference::<ServerMessage>();
    let mut definitions = schemas.into_definitions();
    let mut messages = Map::new();
    for (name, reference) in client {
        let target = reference["$ref"].as_str().and_then(|r| r.rsplit('/').next()).unwrap_or_default();
        if let Some(schema) = definitions.get_mut(target) {
            add_envelope(schema, name);
        }
        messages.insert(format!("client.{name}"), json!({"name": name, "payload": reference}));
    }
    let mut from_client: Vec<String> = messages.keys().cloned().collect();
    // each variant of the enum of all server messages becomes one message
    if let Some(server) = definitions.remove("ServerMessage") {
        for variant in server["oneOf"].as_array().cloned().unwrap_or_default() {
            let name = variant["properties"]["type"]["const"].as_str().unwrap_or_default().to_owned();
            messages.insert(format!("server.{name}"), json!({"name": name, "payload": variant}));
        }
    }
    messages.insert("server.frame".into(), json!({
        "name": "frame",
        "title": "Bytes of a file stream",
        "contentType": "application/octet-stream",
        "description": format!(
            "Big endian: u8 kind = {}, u8 flags = 0, u16 reserved = 0, u32 stream, u64 offset, then at most {} bytes.",
            frame::KIND_FILE, frame::MAX_PAYLOAD_BYTES
        ),
        "payload": {"type": "string", "format": "binary"},
    }));
    let mut from_server: Vec<String> = messages.keys().filter(|k| k.starts_with("server.")).cloned().collect();
    from_client.sort();
    from_server.sort();
    let refs = |names: &[String]| -> Vec<Value> {
        names.iter().map(|n| json!({"$ref": format!("#/channels/session/messages/{n}")})).collect()
    };
    let channel: Map<String, Value> =
        messages.keys().map(|n| (n.clone(), json!({"$ref": format!("#/components/messages/{n}")}))).collect();
    let events: Map<String, Value> = SSE_MESSAGES
        .iter()
        .map(|n| (format!("server.{n}"), json!({"$ref": format!("#/components/messages/server.{n}")})))
        .collect();
    let event_refs: Vec<Value> =
        events.keys().map(|n| json!({"$ref": format!("#/channels/events/messages/{n}")})).collect();
    let closes: Vec<Value> = CloseCode::ALL
        .iter()
        .map(|c| json!({"code": c.code(), "reason": c.reason(), "reconnect": format!("{:?}", c.reconnect())}))
        .collect();
    json!({
        "asyncapi": "3.0.0",
        "info": info_without_identifier(),
        "defaultContentType": "application/json",
        "channels": {"session": {
            "address": "/v1/ws",
            "title": "One authenticated session",
            "description": format!(
                "Subprotocol `{SUBPROTOCOL}`. A browser offers `{TICKET_SUBPROTOCOL_PREFIX}<ticket>` beside it."
            ),
            "messages": channel,
            "x-close-codes": closes,
        }, "events": {
            "address": "/v1/events",
            "title": "The same events over HTTP",
            "description": "Server-Sent Events. `event` is the message's `type` and `data` the message. The `id` of a numbered event \
                            is `<epoch>:<seq>`; `Last-Event-ID` resumes after it, and the first event is then `session.resumed`.",
            "messages": events,
        }},
        "operations": {
            "send": {"action": "receive", "channel": {"$ref": "#/channels/session"}, "summary": "Messages from the client.", "messages": refs(&from_client)},
            "push": {"action": "send", "channel": {"$ref": "#/channels/session"}, "summary": "Messages from the server.", "messages": refs(&from_server)},
            "follow": {"action": "send", "channel": {"$ref": "#/channels/events"}, "summary": "Messages for clients without a WebSocket.", "messages": event_refs},
        },
        "components": {"messages": messages, "schemas": definitions},
    })
}

/// Adds the members `type` and `ref`, which all client messages have, to the schema of the client message `name`.
/// `type` is required, and `ref` is optional.
fn add_envelope(schema: &mut Value, name: &str) {
    if !schema["properties"].is_object() {
        schema["properties"] = json!({});
    }
    schema["properties"]["type"] = json!({"const": name});
    schema["properties"]["ref"] = json!({"type": "string", "description": "The direct answer carries the same `ref`."});
    match schema["required"].as_array_mut() {
        Some(required) => required.push(json!("type")),
        None => schema["required"] = json!(["type"]),
    }
}

/// Returns the `info` object without the SPDX identifier of the licence, which AsyncAPI does not allow.
fn info_without_identifier() -> Value {
    let mut info = info();
    if let Some(license) = info["license"].as_object_mut() {
        license.remove("identifier");
    }
    info
}
