//! `/v1/exports/{id}/file` and its metadata: the same bytes that go over the socket.

use std::{io, ops::Range};

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use entity::export::Model;
use futures::stream;
use platform::telemetry::traces;
use protocol::{
    delivery::MetadataReply,
    envelope::TraceContext,
    export::{FileInfo, Links},
    frame::MAX_PAYLOAD_BYTES,
    problem::{Problem, Slug},
};
use tracing::warn;

use super::{
    extract::ExportPath,
    range::{Wanted, parse},
};
use crate::{
    app::App,
    auth::Caller,
    delivery::{self, Reader, Step},
    error::{Outcome, Refusal},
};

/// `GET` and `HEAD /v1/exports/{id}/file`
pub(super) async fn download(
    State(app): State<App>,
    caller: Caller,
    ExportPath(id): ExportPath,
    method: Method,
    headers: HeaderMap,
) -> Outcome<Response> {
    let row = app.exports.row(&caller.owner, id).await?;
    let file = app.exports.file(&row)?;
    let tag = format!("\"{}\"", file.sha256);
    let text = |name: HeaderName| headers.get(name).and_then(|v| v.to_str().ok());
    if text(header::IF_NONE_MATCH)
        .is_some_and(|known| known == "*" || known.split(',').any(|t| t.trim().trim_start_matches("W/") == tag))
    {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response());
    }
    // a weak or other tag means that the client's bytes may be of another file: it gets the whole one
    let same = text(header::IF_RANGE).is_none_or(|known| known == tag);
    let wanted = if same && method == Method::GET { parse(text(header::RANGE), file.size) } else { Wanted::All };
    let (status, range) = match wanted {
        Wanted::All => (StatusCode::OK, 0..file.size),
        Wanted::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
        Wanted::Unsatisfiable => return Ok(unsatisfiable(&file)),
    };
    let mut response = status.into_response();
    describe(response.headers_mut(), &row, &file, &tag, &range, status);
    if method == Method::GET && !range.is_empty() {
        // within the span of the request, which is of another trace than the export
        let span = delivery::span("http", id, range.start);
        if let Some(export) = TraceContext::parse(&row.traceparent) {
            traces::link(&span, export);
        }
        let reader = Reader::open(app.source.clone(), caller.owner, id, range.start, None, false, span).await;
        *response.body_mut() = body(reader, range.end);
    }
    Ok(response)
}

/// `GET /v1/exports/{id}/metadata`
pub(super) async fn metadata(State(app): State<App>, caller: Caller, ExportPath(id): ExportPath) -> Outcome<Response> {
    let row = app.exports.row(&caller.owner, id).await?;
    app.exports.file(&row)?;
    match app.source.metadata(&caller.owner, id).await? {
        MetadataReply::Document { document } => {
            Ok(([(header::CONTENT_TYPE, "application/csvm+json")], document.to_string()).into_response())
        }
        MetadataReply::Refused { problem } => Err(problem.into()),
    }
}

fn describe(headers: &mut HeaderMap, row: &Model, file: &FileInfo, tag: &str, range: &Range<u64>, status: StatusCode) {
    let links = Links::of(row.export_id());
    let digest = hex::decode(&file.sha256).map(|raw| format!("sha-256=:{}:", STANDARD.encode(raw))).unwrap_or_default();
    let described = format!("<{}>; rel=\"describedby\"; type=\"application/csvm+json\"", links.metadata);
    let mut set = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    set(header::CONTENT_TYPE, &file.media_type);
    set(header::CONTENT_LENGTH, &(range.end - range.start).to_string());
    set(header::ETAG, tag);
    set(header::ACCEPT_RANGES, "bytes");
    set(HeaderName::from_static("repr-digest"), &digest);
    set(header::CONTENT_DISPOSITION, &disposition(&file.name));
    set(header::LINK, &described);
    set(header::CACHE_CONTROL, "private, no-cache");
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    if status == StatusCode::PARTIAL_CONTENT {
        set(header::CONTENT_RANGE, &format!("bytes {}-{}/{}", range.start, range.end - 1, file.size));
    }
}

/// RFC 6266: a plain name for old clients, and the exact one percent-encoded.
fn disposition(name: &str) -> String {
    let plain: String =
        name.chars().map(|c| if c.is_ascii_graphic() && c != '"' && c != '\\' { c } else { '_' }).collect();
    let mut exact = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            exact.push(char::from(byte));
        } else {
            exact.push_str(&format!("%{byte:02X}"));
        }
    }
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{exact}")
}

fn unsatisfiable(file: &FileInfo) -> Response {
    let detail = format!("The file has {} bytes.", file.size);
    let problem = Problem::new(Slug::InvalidRequest, detail).with_status(StatusCode::RANGE_NOT_SATISFIABLE.as_u16());
    Refusal::from(problem).with_header(header::CONTENT_RANGE, format!("bytes */{}", file.size)).into_response()
}

/// The bytes from the reader's offset up to `end`. A failure breaks the connection: the client must not take the
/// end of the stream for the end of the file.
fn body(reader: Reader, end: u64) -> Body {
    Body::from_stream(stream::try_unfold(reader, move |mut reader| async move {
        loop {
            let left = end.saturating_sub(reader.offset());
            if left == 0 {
                return Ok(None);
            }
            match reader.ready().await {
                Step::Ready => {}
                Step::Sealed(_) => return Err(broken("the file ended too early")),
                Step::Ended(problem) => return Err(broken(&problem.detail)),
            }
            let max = usize::try_from(left).unwrap_or(usize::MAX).min(MAX_PAYLOAD_BYTES);
            let bytes: Bytes = reader.read(max).await.map_err(|problem| broken(&problem.detail))?;
            if !bytes.is_empty() {
                metrics::counter!("sluice_gateway_file_bytes_total", "over" => "http").increment(bytes.len() as u64);
                return Ok(Some((bytes, reader)));
            }
        }
    }))
}

fn broken(why: &str) -> io::Error {
    warn!(reason = %why, "a download was broken off");
    io::Error::other(why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_in_both_forms() {
        assert_eq!(
            disposition("flüge \"1\".csv"),
            "attachment; filename=\"fl_ge__1_.csv\"; filename*=UTF-8''fl%C3%BCge%20%221%22.csv"
        );
    }
}
