//! The page: hashed assets that may be kept for a year, `index.html` for every place inside the page, and what the
//! page must know before anybody has signed in.

use std::{collections::BTreeMap, path::Path};

use axum::{
    Json, Router,
    body::Body,
    extract::State,
    http::{HeaderName, HeaderValue, Request, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::any_service,
};
use protocol::problem::Slug;
use serde::Serialize;
use tower_http::services::{ServeDir, ServeFile};

use crate::{
    app::App,
    config::{GatewayConfig, OidcConfig},
    error::Refusal,
};

/// Only our own scripts, workers and sockets; styles may be inline, as component libraries set them. A frame of our own
/// begins the downloads that a service worker answers.
const CSP: [&str; 12] = [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self' 'unsafe-inline'",
    "img-src 'self' data:",
    "font-src 'self'",
    "manifest-src 'self'",
    "worker-src 'self'",
    "frame-src 'self'",
    "object-src 'none'",
    "base-uri 'none'",
    "form-action 'self'",
    "frame-ancestors 'none'",
];

/// Paths that are never a place inside the page. A service worker answers `/saving/…` with the bytes of a file; if it
/// is gone, a browser must not save the page in the file's place.
const NO_PLACES: [&str; 3] = ["/assets/", "/saving/", "/local/"];

/// Serves the built page from the folder of the settings; without one, every path is a `not-found` problem.
pub fn service(config: &GatewayConfig) -> Router {
    let folder = Path::new(&config.web_dir);
    if config.web_dir.is_empty() || !folder.join("index.html").is_file() {
        return Router::new().fallback(|| async { Refusal::new(Slug::NotFound, "There is no such path.") });
    }
    let index = ServeFile::new(folder.join("index.html"));
    let files = ServeDir::new(folder).precompressed_br().precompressed_gzip().fallback(index);
    let csp = csp(&config.identity.oidc);
    Router::new()
        .fallback_service(any_service(files))
        .layer(middleware::from_fn(move |request, next| headers(csp.clone(), request, next)))
}

/// What the page must know before anybody has signed in. None of it is secret.
#[derive(Debug, PartialEq, Serialize)]
pub struct PageConfig {
    identity: PageIdentity,
}

/// How people sign in.
#[derive(Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum PageIdentity {
    /// As one of the people of `/local/people`.
    Local,
    /// By the authorization code flow with PKCE, at this issuer.
    Oidc {
        authority: String,
        client_id: String,
        scope: String,
        /// What the issuer wants to hear besides.
        parameters: BTreeMap<String, String>,
    },
    /// With a token that they bring.
    Token,
}

/// `GET /config.json`
pub async fn page_config(State(app): State<App>) -> impl IntoResponse {
    ([(header::CACHE_CONTROL, "no-store")], Json(page_config_of(&app.config)))
}

fn page_config_of(config: &GatewayConfig) -> PageConfig {
    let (local, oidc) = (&config.identity.local, &config.identity.oidc);
    let identity = if oidc.is_on() {
        let OidcConfig { authority, client_id, scope, parameters, .. } = oidc.clone();
        PageIdentity::Oidc { authority, client_id, scope, parameters }
    } else if local.sign_in && !local.secret.is_empty() {
        PageIdentity::Local
    } else {
        PageIdentity::Token
    };
    PageConfig { identity }
}

/// The content policy. The page talks to nobody but its gateway and, where there is one, the issuer.
fn csp(oidc: &OidcConfig) -> HeaderValue {
    let mut connect = "connect-src 'self'".to_owned();
    for origin in oidc.origins() {
        connect.push(' ');
        connect.push_str(&origin);
    }
    let all = CSP.into_iter().chain([connect.as_str()]).collect::<Vec<_>>().join("; ");
    // an origin that can't stand in a header has no page that could use it
    HeaderValue::try_from(all).unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'"))
}

async fn headers(csp: HeaderValue, request: Request<Body>, next: Next) -> Response {
    let path = request.uri().path();
    let (hashed, placeless) = (path.starts_with("/assets/"), NO_PLACES.iter().any(|prefix| path.starts_with(prefix)));
    let mut response = next.run(request).await;
    if placeless && response.headers().get(header::CONTENT_TYPE).is_some_and(|t| t.as_bytes().starts_with(b"text/html"))
    {
        // an asset of an older build, or a file, must not be answered with the page
        return Refusal::new(Slug::NotFound, "There is no such file.").into_response();
    }
    let headers = response.headers_mut();
    let cache = if hashed { "public, max-age=31536000, immutable" } else { "no-cache" };
    let set = [
        (header::CACHE_CONTROL, cache),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("origin-agent-cluster"), "?1"),
        (
            HeaderName::from_static("permissions-policy"),
            "camera=(), microphone=(), geolocation=(), payment=(), usb=(), interest-cohort=()",
        ),
    ];
    for (name, value) in set {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(header::CONTENT_SECURITY_POLICY, csp);
    response
}

#[cfg(test)]
mod tests {
    use platform::secret::Secret;

    use super::*;

    fn config(change: impl FnOnce(&mut GatewayConfig)) -> GatewayConfig {
        let mut config = GatewayConfig::default();
        change(&mut config);
        config
    }

    #[test]
    fn the_page_learns_how_people_sign_in() {
        let shown = |config: &GatewayConfig| serde_json::to_value(page_config_of(config)).unwrap()["identity"].clone();
        assert_eq!(shown(&GatewayConfig::default()), serde_json::json!({"kind": "token"}));
        let local = config(|c| {
            c.identity.local.sign_in = true;
            c.identity.local.secret = Secret::new("a secret of thirty-two bytes, or more");
        });
        assert_eq!(shown(&local), serde_json::json!({"kind": "local"}));
        let oidc = config(|c| {
            c.identity.oidc.authority = "https://login.example.com/realms/a".into();
            c.identity.oidc.client_id = "sluice-page".into();
        });
        let expected = serde_json::json!({"kind": "oidc", "authority": "https://login.example.com/realms/a",
            "client_id": "sluice-page", "scope": "openid profile", "parameters": {}});
        assert_eq!(shown(&oidc), expected);
        let with_audience = config(|c| {
            c.identity.oidc = oidc.identity.oidc.clone();
            c.identity.oidc.connect = vec!["https://tokens.example.com".into()];
            c.identity.oidc.parameters = [("audience".into(), "https://exports.example.com".into())].into();
        });
        let shown = shown(&with_audience);
        assert_eq!(shown["parameters"], serde_json::json!({"audience": "https://exports.example.com"}));
        assert_eq!(shown.get("connect"), None, "the policy says it");
    }

    #[test]
    fn the_policy_lets_the_page_reach_its_gateway_and_its_issuer_alone() {
        let of = |authority: &str| {
            let policy = csp(&OidcConfig { authority: authority.into(), ..OidcConfig::default() });
            policy.to_str().unwrap().rsplit("; ").next().unwrap().to_owned()
        };
        assert_eq!(of(""), "connect-src 'self'");
        assert_eq!(of("https://login.example.com:8443/realms/a"), "connect-src 'self' https://login.example.com:8443");
        assert_eq!(of("not an address; script-src *"), "connect-src 'self'");
        let elsewhere = csp(&OidcConfig {
            authority: "https://accounts.example.com".into(),
            connect: vec!["https://oauth2.example.com".into(), "https://keys.example.com".into()],
            ..OidcConfig::default()
        });
        let connect =
            "connect-src 'self' https://accounts.example.com https://oauth2.example.com https://keys.example.com";
        assert!(elsewhere.to_str().unwrap().ends_with(connect), "{elsewhere:?}");
        let policy = csp(&OidcConfig::default());
        assert!(!policy.to_str().unwrap().contains("script-src 'self' 'unsafe"));
    }

    #[tokio::test]
    async fn neither_assets_nor_files_are_ever_answered_with_the_page() {
        use tower::ServiceExt as _;

        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("assets")).unwrap();
        std::fs::write(folder.path().join("index.html"), "<!doctype html>").unwrap();
        std::fs::write(folder.path().join("assets/a-1.js"), "1").unwrap();
        let config = config(|c| c.web_dir = folder.path().display().to_string());
        let get = async |path: &str| {
            let request = Request::get(path).body(Body::empty()).unwrap();
            let response = service(&config).oneshot(request).await.unwrap();
            let cache = response.headers().get(header::CACHE_CONTROL).map(|v| v.to_str().unwrap().to_owned());
            (response.status().as_u16(), cache, response.headers().contains_key(header::CONTENT_SECURITY_POLICY))
        };
        let page = (200, Some("no-cache".to_owned()), true);
        assert_eq!(get("/").await, page);
        assert_eq!(get("/exports/0199").await, page);
        assert_eq!(get("/assets/a-1.js").await, (200, Some("public, max-age=31536000, immutable".to_owned()), true));
        assert_eq!(get("/assets/old-2.js").await.0, 404);
        assert_eq!(get("/saving/0199/flights.csv").await.0, 404);
    }
}
