//! A file over HTTP, in ranges, resumed after each broken answer.

use std::time::Duration;

use futures::StreamExt;
use protocol::problem::{Problem, Slug};
use reqwest::{Method, StatusCode, header};
use tokio::time::{Instant, timeout};

use crate::{journal::Record, site::Site, stream::End};

/// The time after which a client gives up an answer without a byte.
const SILENCE: Duration = Duration::from_secs(20);

enum Part {
    /// All bytes of the range arrived.
    Whole,
    Refused(Problem),
    Broken(String),
}

/// Reads the file of a record to its end. The first request asks for a part, the others for the rest.
pub(crate) async fn run(site: &Site, record: &Record, first: Option<u64>, deadline: Instant) -> End {
    let size = site.variants[record.variant].bytes.len() as u64;
    let (mut offset, mut last) = (0, first.map(|bytes| bytes.min(size - 1)));
    loop {
        match part(site, record, &mut offset, last.take()).await {
            Part::Whole if offset >= size => {
                site.journal.counts().files_checked += 1;
                return End::Sealed;
            }
            Part::Whole => continue,
            Part::Refused(problem) => match problem.slug() {
                slug @ (Slug::Canceled | Slug::ExportFailed | Slug::Expired) => return End::Refused(slug),
                slug => site.journal.refused("download", slug.as_str()),
            },
            Part::Broken(reason) => site.journal.refused("download", &reason),
        }
        if Instant::now() > deadline {
            return End::Late;
        }
        site.journal.counts().resumed += 1;
        site.pause().await;
    }
}

/// Requests the bytes from `offset` to `last`, or to the end, compares them with the reference, and moves the offset.
async fn part(site: &Site, record: &Record, offset: &mut u64, last: Option<u64>) -> Part {
    let Some(id) = record.id else { return Part::Broken("no export".to_owned()) };
    let variant = &site.variants[record.variant];
    let last = last.map(|last| last.to_string()).unwrap_or_default();
    let request = site.request(Method::GET, &format!("/v1/exports/{id}/file"), &record.person);
    let request = match (*offset, last.as_str()) {
        (0, "") => request,
        (from, last) => request.header(header::RANGE, format!("bytes={from}-{last}")),
    };
    let answer = match timeout(SILENCE, request.send()).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => return Part::Broken("no connection".to_owned()),
        Err(_) => return Part::Broken("timeout".to_owned()),
    };
    let status = answer.status();
    if !matches!(status, StatusCode::OK | StatusCode::PARTIAL_CONTENT) {
        let body = answer.bytes().await.unwrap_or_default();
        return serde_json::from_slice(&body).map_or(Part::Broken(format!("{status}")), Part::Refused);
    }
    let etag = answer.headers().get(header::ETAG).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if etag.trim_matches('"') != variant.sha256 {
        site.journal.violated("no wrong byte", Some(id), format!("the ETag is {etag}, expected {}", variant.sha256));
    }
    let mut body = answer.bytes_stream();
    loop {
        match timeout(SILENCE, body.next()).await {
            Ok(Some(Ok(chunk))) => {
                let from = usize::try_from(*offset).unwrap_or(usize::MAX);
                if variant.bytes.get(from..from.saturating_add(chunk.len())) != Some(&chunk[..]) {
                    let detail = format!("{} bytes at {offset} of a download", chunk.len());
                    site.journal.violated("no wrong byte", Some(id), detail);
                }
                *offset += chunk.len() as u64;
            }
            Ok(None) => return Part::Whole,
            Ok(Some(Err(_))) => return Part::Broken("the body broke".to_owned()),
            Err(_) => return Part::Broken("silence".to_owned()),
        }
    }
}
