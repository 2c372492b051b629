//! Selects the gateway, and obtains the token for requests to this gateway.

use std::time::Duration;

use gateway::{
    auth::local::{self, SignError},
    config::IdentityConfig,
};
use platform::{
    clock::{Clock, SystemClock},
    secret::Secret,
};
use reqwest::{Client, Method, RequestBuilder};
use url::Url;

use crate::{
    cli::{AccessOptions, SettingsFiles},
    settings::SettingsError,
};

/// The lifetime of a token of the local identity. Each session uses a new token.
const TOKEN_TTL: Duration = Duration::from_secs(60 * 60);

/// The reason why the command line and the settings provide no usable gateway or token.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The settings are invalid, or can't be read.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The URL of the gateway is invalid.
    #[error("--url {0} is not an http:// or https:// URL")]
    Url(String),
    /// The command line contains no token, and the settings have no local identity that could sign a token.
    #[error(
        "no token: give one with --token or SLUICE_TOKEN, or give the data folder of a `sluice up` with --data-dir"
    )]
    NoToken,
    /// The local identity can't sign a token.
    #[error(transparent)]
    Sign(SignError),
    /// The HTTP client can't be created.
    #[error("can't create the HTTP client: {0}")]
    Http(reqwest::Error),
}

enum Tokens {
    /// The token from the command line or the environment.
    Given(Secret),
    /// The local identity, which signs a new token for each session.
    Local { identity: Box<IdentityConfig>, tenant: String, sub: String, scope: String },
}

/// The URL of one gateway, and the tokens with which one user accesses the gateway.
pub(crate) struct Access {
    base: Url,
    tokens: Tokens,
    http: Client,
}

impl Access {
    /// Reads the URL of the gateway and the token from the command line. If an option is missing, reads the value from
    /// the settings. A token of the local identity gets the scopes `scope`.
    pub(crate) fn new(options: &AccessOptions, scope: &str, files: &SettingsFiles) -> Result<Self, AccessError> {
        let settings = files.load()?;
        let base = options.url.clone().unwrap_or_else(|| format!("http://{}", settings.gateway.listen));
        let url = Url::parse(&base).ok().filter(|url| ["http", "https"].contains(&url.scheme()) && url.has_host());
        let url = url.ok_or(AccessError::Url(base))?;
        let tokens = match &options.token {
            Some(token) => Tokens::Given(Secret::new(token.trim())),
            None if settings.gateway.identity.local.secret.is_empty() => return Err(AccessError::NoToken),
            None => Tokens::Local {
                identity: Box::new(settings.gateway.identity),
                tenant: options.tenant.clone(),
                sub: options.sub.clone(),
                scope: scope.to_owned(),
            },
        };
        let http = Client::builder().build().map_err(AccessError::Http)?;
        Ok(Self { base: url, tokens, http })
    }

    /// Returns the URL of the gateway without a trailing slash.
    pub(crate) fn url(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// Returns the URL at which the gateway accepts WebSocket sessions.
    pub(super) fn socket_url(&self) -> String {
        format!("{}/v1/ws", self.url()).replacen("http", "ws", 1)
    }

    /// Whether the client can sign a new token after the current token expires.
    pub(super) fn can_renew(&self) -> bool {
        matches!(self.tokens, Tokens::Local { .. })
    }

    /// Returns the token for a new session.
    pub(super) fn token(&self) -> Result<String, AccessError> {
        match &self.tokens {
            Tokens::Given(token) => Ok(token.expose().to_owned()),
            Tokens::Local { identity, tenant, sub, scope } => {
                let signed = local::sign(identity, tenant, sub, scope, TOKEN_TTL, SystemClock.now());
                signed.map(|(token, _)| token).map_err(AccessError::Sign)
            }
        }
    }

    /// Builds a GET request that carries the token.
    pub(crate) fn get(&self, path: &str) -> Result<RequestBuilder, String> {
        self.request(Method::GET, path)
    }

    /// Builds a POST request that carries the token.
    pub(crate) fn post(&self, path: &str) -> Result<RequestBuilder, String> {
        self.request(Method::POST, path)
    }

    /// Builds a PATCH request that carries the token.
    pub(crate) fn patch(&self, path: &str) -> Result<RequestBuilder, String> {
        self.request(Method::PATCH, path)
    }

    /// Builds a DELETE request that carries the token.
    pub(crate) fn delete(&self, path: &str) -> Result<RequestBuilder, String> {
        self.request(Method::DELETE, path)
    }

    fn request(&self, method: Method, path: &str) -> Result<RequestBuilder, String> {
        let token = self.token().map_err(|e| e.to_string())?;
        Ok(self.http.request(method, format!("{}{path}", self.url())).bearer_auth(token))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn access(args: &[&str]) -> Result<Access, AccessError> {
        let cli = Cli::parse_from(["sluice", "export", "flights"].iter().chain(args));
        match cli.command {
            Command::Export(options) => Access::new(&options.access, "export:*", &cli.files),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_gateway_url_may_have_a_path_and_tls() {
        let access = access(&["--url", "https://example.com/sluice/", "--token", "t"]).unwrap();
        assert_eq!(access.socket_url(), "wss://example.com/sluice/v1/ws");
        assert_eq!((access.token().unwrap().as_str(), access.can_renew()), ("t", false));
    }

    #[test]
    fn a_missing_token_or_an_invalid_url_is_explained() {
        let refused = |args: &[&str]| access(args).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(refused(&[]).contains("--data-dir"));
        assert!(refused(&["--token", "t", "--url", "ftp://x"]).contains("ftp://x"));
    }
}
