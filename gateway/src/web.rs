//! Serves the assets and the configuration of the web page, and `index.html` for every client-side route. The name of
//! each asset contains a hash, so browsers may cache an asset for a year.

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
    config::{GatewayConfig, LocalSignIn, OidcConfig},
    embed::{EmbedInfo, EmbedScript},
    error::Refusal,
    http::Endpoint,
    state::AppState,
};

/// The directives of the web page's Content-Security-Policy, without `connect-src`. The function [`csp`] builds
/// `connect-src` from the settings. `style-src` permits inline styles, because component libraries need them.
/// `frame-src` permits the gateway's origin, because the page starts a download in a hidden frame. The service worker
/// answers the request of this frame.
const PAGE_CSP: [&str; 12] = [
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

/// Path prefixes below which the gateway answers a missing file with `404` instead of `index.html`. In the browser, a
/// service worker answers requests below `/saving/` with the bytes of a file. Without a service worker, such a request
/// reaches the gateway. With `index.html` as the answer, the browser would save the web page as the file.
const PREFIXES_WITHOUT_INDEX: [&str; 4] = ["/assets/", "/embed/", "/saving/", "/local/"];

/// Serves the built web page from the directory in the setting `gateway.web_dir`. If the directory has no `index.html`,
/// every path answers with the problem `not-found`.
pub(crate) fn service(config: &GatewayConfig) -> Router {
    let folder = Path::new(&config.web_dir);
    if config.web_dir.is_empty() || !folder.join("index.html").is_file() {
        return Router::new().fallback(|| async { Refusal::new(Slug::NotFound, "There is no such path.") });
    }
    let index = ServeFile::new(folder.join("index.html"));
    let files = ServeDir::new(folder).precompressed_br().precompressed_gzip().fallback(index);
    let csp = csp(&config.identity.oidc);
    Router::new()
        .fallback_service(any_service(files))
        .layer(middleware::from_fn(move |request, next| set_headers(csp.clone(), request, next)))
}

/// The configuration that the web page reads before sign-in, and that other products read to load the script of the
/// export button. It contains no secrets.
#[derive(Debug, PartialEq, Serialize)]
struct PageConfig {
    identity: PageIdentity,
    /// The path and the hash of the export button's script; absent if the web page was built without the script.
    #[serde(skip_serializing_if = "Option::is_none")]
    embed: Option<EmbedInfo>,
}

/// The method by which users of the web page sign in.
#[derive(Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum PageIdentity {
    /// The user selects one of the users that `/local/people` lists, without a password.
    Local {
        /// Whether a browser must open a one-time sign-in link before a user can sign in with this browser.
        link_required: bool,
    },
    /// The user signs in at an external issuer, by the authorization code flow with PKCE.
    Oidc {
        authority: String,
        client_id: String,
        scope: String,
        /// Parameters that the web page adds to the authorization and token requests, such as `audience`.
        parameters: BTreeMap<String, String>,
    },
    /// The user pastes a token.
    Token,
}

/// `GET /config.json`: serves the configuration of the web page.
pub(crate) fn config_endpoint() -> Endpoint {
    Endpoint::get("/config.json", get_config)
}

async fn get_config(State(app): State<AppState>) -> impl IntoResponse {
    ([(header::CACHE_CONTROL, "no-store")], Json(page_config(&app.config, app.embed.as_ref())))
}

fn page_config(config: &GatewayConfig, embed: Option<&EmbedScript>) -> PageConfig {
    let (local, oidc) = (&config.identity.local, &config.identity.oidc);
    let identity = if oidc.is_enabled() {
        let OidcConfig { authority, client_id, scope, extra_request_parameters, .. } = oidc.clone();
        PageIdentity::Oidc { authority, client_id, scope, parameters: extra_request_parameters }
    } else if local.has_sign_in() {
        PageIdentity::Local { link_required: local.sign_in == LocalSignIn::Link }
    } else {
        PageIdentity::Token
    };
    PageConfig { identity, embed: embed.map(EmbedScript::info) }
}

/// Builds the Content-Security-Policy of the web page. `connect-src` allows the gateway and the configured origins of
/// the issuer.
fn csp(oidc: &OidcConfig) -> HeaderValue {
    let mut connect = "connect-src 'self'".to_owned();
    for origin in oidc.origins() {
        connect.push(' ');
        connect.push_str(&origin);
    }
    let all = PAGE_CSP.into_iter().chain([connect.as_str()]).collect::<Vec<_>>().join("; ");
    // if an origin is not a valid header value, block everything instead of sending a weaker policy
    HeaderValue::try_from(all).unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'"))
}

async fn set_headers(csp: HeaderValue, request: Request<Body>, next: Next) -> Response {
    let path = request.uri().path();
    let (is_asset, is_no_route) =
        (path.starts_with("/assets/"), PREFIXES_WITHOUT_INDEX.iter().any(|prefix| path.starts_with(prefix)));
    let mut response = next.run(request).await;
    if is_no_route
        && response.headers().get(header::CONTENT_TYPE).is_some_and(|t| t.as_bytes().starts_with(b"text/html"))
    {
        // the request is for an asset of an older build or for a file of an export, and `index.html` is neither of them
        return Refusal::new(Slug::NotFound, "There is no such file.").into_response();
    }
    let headers = response.headers_mut();
    let cache = if is_asset { "public, max-age=31536000, immutable" } else { "no-cache" };
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
    fn the_page_config_names_the_kind_of_sign_in() {
        let shown =
            |config: &GatewayConfig| serde_json::to_value(page_config(config, None)).unwrap()["identity"].clone();
        assert_eq!(shown(&GatewayConfig::default()), serde_json::json!({"kind": "token"}));
        let local = config(|c| {
            c.identity.local.sign_in = LocalSignIn::Link;
            c.identity.local.secret = Secret::new("a secret of thirty-two bytes, or more");
        });
        assert_eq!(shown(&local), serde_json::json!({"kind": "local", "link_required": true}));
        let oidc = config(|c| {
            c.identity.oidc.authority = "https://login.example.com/realms/a".into();
            c.identity.oidc.client_id = "sluice-page".into();
        });
        let expected = serde_json::json!({"kind": "oidc", "authority": "https://login.example.com/realms/a",
            "client_id": "sluice-page", "scope": "openid profile", "parameters": {}});
        assert_eq!(shown(&oidc), expected);
        let with_audience = config(|c| {
            c.identity.oidc = oidc.identity.oidc.clone();
            c.identity.oidc.csp_connect_src = vec!["https://tokens.example.com".into()];
            c.identity.oidc.extra_request_parameters =
                [("audience".into(), "https://exports.example.com".into())].into();
        });
        let shown = shown(&with_audience);
        assert_eq!(shown["parameters"], serde_json::json!({"audience": "https://exports.example.com"}));
        assert_eq!(shown.get("csp_connect_src"), None, "only the policy needs it");
    }

    #[test]
    fn the_policy_allows_connections_to_the_gateway_and_the_issuer_only() {
        let of = |authority: &str| {
            let policy = csp(&OidcConfig { authority: authority.into(), ..OidcConfig::default() });
            policy.to_str().unwrap().rsplit("; ").next().unwrap().to_owned()
        };
        assert_eq!(of(""), "connect-src 'self'");
        assert_eq!(of("https://login.example.com:8443/realms/a"), "connect-src 'self' https://login.example.com:8443");
        assert_eq!(of("not an address; script-src *"), "connect-src 'self'");
        let elsewhere = csp(&OidcConfig {
            authority: "https://accounts.example.com".into(),
            csp_connect_src: vec!["https://oauth2.example.com".into(), "https://keys.example.com".into()],
            ..OidcConfig::default()
        });
        let connect =
            "connect-src 'self' https://accounts.example.com https://oauth2.example.com https://keys.example.com";
        assert!(elsewhere.to_str().unwrap().ends_with(connect), "{elsewhere:?}");
        let policy = csp(&OidcConfig::default());
        assert!(!policy.to_str().unwrap().contains("script-src 'self' 'unsafe"));
    }

    #[tokio::test]
    async fn missing_assets_and_files_are_not_answered_with_the_page() {
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
