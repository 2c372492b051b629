//! Serves `/embed/sluice.js`, the script of the export button. Web pages of other products load this script.
//!
//! Such pages have other origins than the gateway, and may pin the script by its hash (Subresource Integrity). So every
//! origin may read the script, which contains no data. The setting `gateway.allowed_origins` lists the origins that may
//! call the API.

use std::{fs, io, path::Path, sync::Arc};

use aws_lc_rs::digest;
use axum::{
    body::Bytes,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use protocol::problem::Slug;
use serde::Serialize;
use tracing::warn;

use crate::{error::Refusal, http::conditional};

/// The URL path of the script. Below the folder `gateway.web_dir`, the file of the script has the same path.
pub(crate) const PATH: &str = "/embed/sluice.js";

/// Answers a request for the script of the export button. Answers `404` if the web page was built without the script.
pub(crate) fn respond(script: Option<&EmbedScript>, request: &HeaderMap) -> Response {
    script.map_or_else(not_found, |script| script.respond(request))
}

/// The script of the export button, as the gateway read it at its start. If the files change later, the gateway still
/// serves the script with the announced hash.
#[derive(Clone, Debug)]
pub(crate) struct EmbedScript(Arc<Files>);

#[derive(Debug)]
struct Files {
    /// The script in each content encoding for which a file exists, the smallest first. The last entry is the script
    /// without an encoding.
    encodings: Vec<Encoding>,
    integrity: String,
}

/// The bytes of the script in one content encoding.
#[derive(Debug)]
struct Encoding {
    /// The value of `Content-Encoding`; None for the script without an encoding.
    name: Option<&'static str>,
    bytes: Bytes,
    etag: String,
}

/// The part of `/config.json` with which other products load the script of the export button.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct EmbedInfo {
    path: &'static str,
    /// The value of the HTML attribute `integrity`: the hash of the script.
    integrity: String,
}

impl EmbedScript {
    /// Reads the script of the export button from the folder `web_dir`. Returns None if the folder has no readable
    /// script, such as when the web page was built without the script.
    pub(crate) fn load(web_dir: &str) -> Option<Self> {
        if web_dir.is_empty() {
            return None;
        }
        let path = Path::new(web_dir).join(PATH.trim_start_matches('/'));
        let script = match fs::read(&path) {
            Ok(script) => Bytes::from(script),
            Err(e) => {
                if e.kind() != io::ErrorKind::NotFound {
                    warn!(error = %e, path = %path.display(), "the script of the export button can't be read; it is not served");
                }
                return None;
            }
        };
        let integrity = format!("sha384-{}", STANDARD.encode(digest::digest(&digest::SHA384, &script)));
        let mut encodings = Vec::new();
        for (name, extension) in [("br", "js.br"), ("gzip", "js.gz")] {
            if let Ok(bytes) = fs::read(path.with_extension(extension)) {
                encodings.push(Encoding::new(Some(name), bytes.into()));
            }
        }
        encodings.push(Encoding::new(None, script));
        Some(Self(Arc::new(Files { encodings, integrity })))
    }

    pub(crate) fn info(&self) -> EmbedInfo {
        EmbedInfo { path: PATH, integrity: self.0.integrity.clone() }
    }

    /// Returns the encoding to which the client gives the greatest weight. If several have the same weight, returns the
    /// first of them. A client that accepts no encoding and also refuses the plain script (`identity;q=0`) gets the
    /// plain script, because every client can read it.
    fn choose(&self, request: &HeaderMap) -> Option<&Encoding> {
        let mut chosen = self.0.encodings.last();
        let mut greatest = 0.0;
        for encoding in &self.0.encodings {
            let weight = encoding.weight(request);
            if weight > greatest {
                greatest = weight;
                chosen = Some(encoding);
            }
        }
        chosen
    }

    /// Answers a request for the script, in the encoding that the client prefers.
    fn respond(&self, request: &HeaderMap) -> Response {
        let Some(Encoding { name, bytes, etag }) = self.choose(request) else {
            return not_found();
        };
        let mut response = if conditional::is_known(request, etag) {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], bytes.clone()).into_response()
        };
        let headers = response.headers_mut();
        for (name, value) in [
            (header::CACHE_CONTROL, "public, no-cache"),
            (header::VARY, "accept-encoding"),
            (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
            (HeaderName::from_static("cross-origin-resource-policy"), "cross-origin"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        if let Ok(etag) = HeaderValue::try_from(etag) {
            headers.insert(header::ETAG, etag);
        }
        if let (Some(name), StatusCode::OK) = (*name, response.status()) {
            response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static(name));
        }
        response
    }
}

impl Encoding {
    fn new(name: Option<&'static str>, bytes: Bytes) -> Self {
        let etag = conditional::strong_etag(&bytes);
        Self { name, bytes, etag }
    }

    /// Returns the weight that the request header `Accept-Encoding` gives to this encoding, from 0 (refused) to 1 (RFC
    /// 9110, section 12.5.3). An entry of the header for the encoding itself counts before the entry `*`. If the header
    /// contains neither the name `identity` nor `*`, the plain script gets a weight below that of every accepted
    /// encoding.
    fn weight(&self, request: &HeaderMap) -> f32 {
        const LEAST: f32 = 0.0001; // below the least weight that a client can give, 0.001
        let name = self.name.unwrap_or("identity");
        let mut of_any = None;
        for list in request.get_all(header::ACCEPT_ENCODING) {
            for item in list.to_str().unwrap_or_default().split(',') {
                let (coding, weight) = item.split_once(';').unwrap_or((item, ""));
                let weight = weight.trim().trim_start_matches("q=").parse::<f32>().unwrap_or(1.0);
                match coding.trim() {
                    named if named.eq_ignore_ascii_case(name) => return weight,
                    "*" => of_any = Some(weight),
                    _ => {}
                }
            }
        }
        of_any.unwrap_or(if self.name.is_none() { LEAST } else { 0.0 })
    }
}

fn not_found() -> Response {
    Refusal::new(Slug::NotFound, "This gateway has no script for other pages.").into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(HeaderName, &str)]) -> HeaderMap {
        list.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn a_gateway_without_a_built_script_has_none() {
        let folder = tempfile::tempdir().unwrap();
        assert!(EmbedScript::load("").is_none());
        assert!(EmbedScript::load(&folder.path().display().to_string()).is_none());
    }

    #[test]
    fn the_best_accepted_encoding_is_sent_and_each_has_its_own_tag() {
        let folder = tempfile::tempdir().unwrap();
        let embed = folder.path().join("embed");
        fs::create_dir(&embed).unwrap();
        for (name, bytes) in [("sluice.js", "script"), ("sluice.js.gz", "zipped"), ("sluice.js.br", "brotli")] {
            fs::write(embed.join(name), bytes).unwrap();
        }
        let script = EmbedScript::load(&folder.path().display().to_string()).unwrap();
        fs::write(embed.join("sluice.js"), "a newer build").unwrap();
        let mut tags = Vec::new();
        for (accepted, encoding, length) in [
            ("gzip, deflate, br", Some("br"), 6),
            ("gzip;q=1, br;q=0", Some("gzip"), 6),
            ("zstd", None, 6),
            ("", None, 6),
            ("gzip, deflate, br;q=0.5", Some("gzip"), 6),
            ("*", Some("br"), 6),
            ("br;q=0, *;q=0.5", Some("gzip"), 6),
            ("gzip;q=0.001", Some("gzip"), 6),
            ("identity, gzip;q=0.5", None, 6),
            ("identity;q=0", None, 6),
            ("*;q=0", None, 6),
        ] {
            let response = script.respond(&headers(&[(header::ACCEPT_ENCODING, accepted)]));
            assert_eq!(response.status(), 200);
            let of = |name: HeaderName| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
            assert_eq!(of(header::CONTENT_ENCODING).as_deref(), encoding, "{accepted}");
            assert_eq!(axum::body::HttpBody::size_hint(response.body()).exact(), Some(length));
            tags.push(of(header::ETAG).unwrap());
        }
        assert_ne!(tags[0], tags[1]);
        assert_eq!(tags[2], tags[3]);
        let known =
            headers(&[(header::ACCEPT_ENCODING, "br"), (header::IF_NONE_MATCH, &format!("\"x\", W/{}", tags[0]))]);
        let unchanged = script.respond(&known);
        assert_eq!(unchanged.status(), 304);
        assert_eq!(unchanged.headers()[header::ETAG], tags[0]);
        assert_eq!(unchanged.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
    }
}
