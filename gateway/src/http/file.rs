//! `/v1/exports/{id}/file` and `/v1/exports/{id}/metadata`: downloads of files and their metadata over HTTP.

use std::ops::Range;

use axum::{
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use entity::export::Model;
use platform::{
    range::{self, RequestedRange},
    telemetry::traces,
};
use protocol::{
    delivery::MetadataReply,
    envelope::TraceContext,
    export::{FileInfo, Links},
    problem::{Problem, Slug},
    time::Timestamp,
};
use serde_json::json;

use super::{conditional, endpoint::Endpoint, extract::ExportPath, file_body::file_body};
use crate::{
    auth::Caller,
    delivery::{self, Reader, ReaderRequest},
    error::{Outcome, Refusal},
    exports::require_readable,
    state::AppState,
};

pub(super) fn endpoints() -> [Endpoint; 3] {
    [
        Endpoint::get("/v1/exports/{id}/file", download).operation("downloadFile", "Download the file", |operation| {
            let bytes = "The bytes. `ETag` is the file's SHA-256; `Sluice-Requested-At` and `Sluice-Completed-At` are the times \
                         at which the export was requested and completed.";
            operation
                .header("Range", "One byte range; several ranges are ignored.")
                .header("If-Range", "Apply `Range` only if the file's `ETag` is still this.")
                .header("If-None-Match", "Answer 304 if the file's `ETag` is still this.")
                .content(200, bytes, "*/*", json!({}))
                .content(206, bytes, "*/*", json!({}))
                .empty(304, "The file has not changed.")
                .problems(&[403, 404, 409, 410, 416, 429, 503])
        }),
        Endpoint::head("/v1/exports/{id}/file", download).operation(
            "headFile",
            "Read the file's headers",
            |operation| {
                let problem = "A problem, without its body.";
                operation
                    .empty(200, "The headers of the download.")
                    .empty(404, problem)
                    .empty(409, problem)
                    .empty(410, problem)
            },
        ),
        Endpoint::get("/v1/exports/{id}/metadata", metadata).operation(
            "getMetadata",
            "Read the file's metadata",
            |operation| {
                operation
                    .content(200, "A CSVW document.", "application/csvm+json", json!({"schema": {"type": "object"}}))
                    .problems(&[403, 404, 409, 410])
            },
        ),
    ]
}

async fn download(
    State(app): State<AppState>,
    caller: Caller,
    ExportPath(id): ExportPath,
    method: Method,
    headers: HeaderMap,
) -> Outcome<Response> {
    let row = app.exports.row(&caller.owner, id).await?;
    require_readable(&app.catalog, &caller, &row)?;
    let file = app.exports.file(&row)?;
    let tag = format!("\"{}\"", file.sha256);
    let text = |name: HeaderName| headers.get(name).and_then(|v| v.to_str().ok());
    if conditional::is_known(&headers, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response());
    }
    // RFC 9110, section 13.1.5: with a weak or different tag the client's bytes may belong to another file, so the
    // gateway sends the whole file
    let is_same_file = text(header::IF_RANGE).is_none_or(|known| known == tag);
    let requested = if is_same_file && method == Method::GET {
        range::parse(text(header::RANGE), file.size)
    } else {
        RequestedRange::Whole
    };
    let (status, range) = match requested {
        RequestedRange::Whole => (StatusCode::OK, 0..file.size),
        RequestedRange::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
        RequestedRange::Unsatisfiable => return Ok(unsatisfiable(&file)),
    };
    let sends_bytes = method == Method::GET && !range.is_empty();
    let guard = if sends_bytes { Some(app.downloads.begin(&caller.owner)?) } else { None };
    let mut response = status.into_response();
    set_headers(response.headers_mut(), &row, &file, &tag, &range, status);
    if let Some(guard) = guard {
        // the span belongs to the trace of the request; the link leads to the trace of the export
        let span = delivery::span("http", id, range.start);
        if let Some(export) = TraceContext::parse(&row.traceparent) {
            traces::link(&span, export);
        }
        let watch = app.api_keys.watch(&caller);
        let owner = caller.owner;
        let request =
            ReaderRequest { owner, export: id, offset: range.start, attempt: None, is_unfinished: false, span };
        let reader = Reader::open(app.source.clone(), request).await;
        let (body, sending) = file_body(reader, range.end, guard, watch);
        app.life.spawn(sending);
        *response.body_mut() = body;
    }
    Ok(response)
}

async fn metadata(State(app): State<AppState>, caller: Caller, ExportPath(id): ExportPath) -> Outcome<Response> {
    let row = app.exports.row(&caller.owner, id).await?;
    require_readable(&app.catalog, &caller, &row)?;
    app.exports.file(&row)?;
    match app.source.metadata(&caller.owner, id).await? {
        MetadataReply::Document { document } => {
            Ok(([(header::CONTENT_TYPE, "application/csvm+json")], document.to_string()).into_response())
        }
        MetadataReply::Refused { problem } => Err(problem.into()),
    }
}

fn set_headers(
    headers: &mut HeaderMap,
    row: &Model,
    file: &FileInfo,
    tag: &str,
    range: &Range<u64>,
    status: StatusCode,
) {
    let links = Links::for_export(row.export_id());
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
    set(header::CONTENT_DISPOSITION, &content_disposition(&file.name));
    set(header::LINK, &described);
    set(header::CACHE_CONTROL, "private, no-cache");
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(HeaderName::from_static("sluice-requested-at"), &Timestamp::from(row.requested_at).to_string());
    if let Some(completed_at) = row.completed_at {
        set(HeaderName::from_static("sluice-completed-at"), &Timestamp::from(completed_at).to_string());
    }
    if status == StatusCode::PARTIAL_CONTENT {
        set(header::CONTENT_RANGE, &format!("bytes {}-{}/{}", range.start, range.end - 1, file.size));
    }
}

/// Builds the value of `Content-Disposition` (RFC 6266): an ASCII file name for old clients, and the exact name in
/// percent-encoding.
fn content_disposition(name: &str) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_is_sent_as_ascii_and_percent_encoded() {
        assert_eq!(
            content_disposition("flüge \"1\".csv"),
            "attachment; filename=\"fl_ge__1_.csv\"; filename*=UTF-8''fl%C3%BCge%20%221%22.csv"
        );
    }
}
