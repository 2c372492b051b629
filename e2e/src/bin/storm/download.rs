//! A file over HTTP, in ranges, resumed after each broken answer.

use std::time::Duration;

use futures::StreamExt;
use protocol::problem::{Problem, Slug};
use reqwest::{
    Method, Response, StatusCode,
    header::{self, HeaderName},
};
use tokio::time::{Instant, timeout};

use crate::{journal::Record, reference::Reference, site::Site, stream::End};

/// The time after which a client gives up an answer without a byte.
const SILENCE: Duration = Duration::from_secs(20);

enum Part {
    /// All bytes of the range arrived.
    Whole,
    Refused(Problem),
    Broken(String),
}

/// What has arrived of a file.
struct Download<'a> {
    site: &'a Site,
    record: &'a Record,
    offset: u64,
    /// The bytes that arrived. Empty if each chunk is compared when it arrives.
    kept: Vec<u8>,
    /// The size and the digest that the first answer names.
    announced: Option<(u64, String)>,
}

/// Reads the file of a record to its end. The first request asks for a part, the others for the rest.
pub(crate) async fn run(site: &Site, record: &Record, first: Option<u64>, deadline: Instant) -> End {
    let size = site.variants[record.variant].file.bytes.len() as u64;
    let mut last = first.map(|bytes| bytes.min(size - 1));
    let mut download = Download { site, record, offset: 0, kept: vec![], announced: None };
    loop {
        match download.part(last.take()).await {
            Part::Whole if download.is_complete() => {
                download.check();
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

impl Download<'_> {
    fn file(&self) -> &Reference {
        &self.site.variants[self.record.variant].file
    }

    fn broken(&self, detail: String) {
        self.site.journal.violated("no wrong byte", self.record.id, detail);
    }

    fn is_complete(&self) -> bool {
        self.announced.as_ref().is_some_and(|(size, _)| self.offset >= *size)
    }

    /// Requests the bytes from the offset to `last`, or to the end, compares them with the reference, and moves the offset.
    async fn part(&mut self, last: Option<u64>) -> Part {
        let Some(id) = self.record.id else { return Part::Broken("no export".to_owned()) };
        let last = last.map(|last| last.to_string()).unwrap_or_default();
        let path = format!("/v1/exports/{id}/file");
        let request = self.site.request(Method::GET, &path, &self.record.person);
        let request = match (self.offset, last.as_str()) {
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
        self.on_head(&answer);
        let mut body = answer.bytes_stream();
        loop {
            match timeout(SILENCE, body.next()).await {
                Ok(Some(Ok(chunk))) => {
                    if !self.file().has(self.offset, &chunk) {
                        self.broken(format!("{} bytes at {} of a download", chunk.len(), self.offset));
                    }
                    if !self.file().is_exact() {
                        self.kept.extend_from_slice(&chunk);
                    }
                    self.offset += chunk.len() as u64;
                }
                Ok(None) => return Part::Whole,
                Ok(Some(Err(_))) => return Part::Broken("the body broke".to_owned()),
                Err(_) => return Part::Broken("silence".to_owned()),
            }
        }
    }

    /// Checks that each answer names the same size and digest.
    fn on_head(&mut self, answer: &Response) {
        let text =
            |name: HeaderName| answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let size = match answer.status() {
            StatusCode::PARTIAL_CONTENT => text(header::CONTENT_RANGE).rsplit('/').next(),
            _ => Some(text(header::CONTENT_LENGTH)),
        };
        let size = size.and_then(|size| size.parse().ok()).unwrap_or(0);
        let named = (size, text(header::ETAG).trim_matches('"').to_owned());
        if !self.file().may_have(named.0, &named.1) {
            self.broken(format!("the answer names {named:?}"));
        }
        let before = self.announced.get_or_insert_with(|| named.clone()).clone();
        if before != named {
            self.broken(format!("one answer names {before:?}, a later one {named:?}"));
        }
    }

    fn check(&self) {
        let sha256 = self.announced.as_ref().map(|(_, sha256)| sha256.as_str()).unwrap_or_default();
        if let Err(detail) = self.file().compare(&self.kept, sha256) {
            self.broken(detail);
        }
    }
}
