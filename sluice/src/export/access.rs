//! Which gateway, and with which token.

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

use super::ExportError;
use crate::cli::{ExportOptions, Place};

/// How long tokens are good that we sign ourselves; each session gets a new one.
const TTL: Duration = Duration::from_secs(60 * 60);

/// Nobody to talk to, or nothing to say.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The gateway's URL is none.
    #[error("--url {0} is no http:// or https:// URL")]
    Url(String),
    /// No token, and no way to make one.
    #[error(
        "no token: give one with --token or SLUICE_TOKEN, or name the data folder of a `sluice up` with --data-dir"
    )]
    NoToken,
    /// A token can't be signed.
    #[error(transparent)]
    Sign(SignError),
    /// No HTTP client.
    #[error("no HTTP client: {0}")]
    Http(reqwest::Error),
}

enum Tokens {
    /// This one, as long as it lasts.
    Given(Secret),
    /// A new one whenever one is needed.
    Local { identity: Box<IdentityConfig>, tenant: String, sub: String },
}

/// The way to one gateway as one person.
pub(super) struct Access {
    base: Url,
    tokens: Tokens,
    http: Client,
}

impl Access {
    /// What the command line says, and the settings for the rest.
    pub(super) fn of(options: &ExportOptions, place: &Place) -> Result<Self, ExportError> {
        let settings = place.load()?;
        let base = options.url.clone().unwrap_or_else(|| format!("http://{}", settings.gateway.listen));
        let url = Url::parse(&base).ok().filter(|url| ["http", "https"].contains(&url.scheme()) && url.has_host());
        let url = url.ok_or(AccessError::Url(base))?;
        let tokens = match &options.token {
            Some(token) => Tokens::Given(Secret::new(token.trim())),
            None if settings.gateway.identity.local.secret.is_empty() => return Err(AccessError::NoToken.into()),
            None => Tokens::Local {
                identity: Box::new(settings.gateway.identity),
                tenant: options.tenant.clone(),
                sub: options.sub.clone(),
            },
        };
        let http = Client::builder().build().map_err(AccessError::Http)?;
        Ok(Self { base: url, tokens, http })
    }

    /// The gateway, for people.
    pub(super) fn url(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// Where sessions are opened.
    pub(super) fn socket_url(&self) -> String {
        format!("{}/v1/ws", self.url()).replacen("http", "ws", 1)
    }

    /// Whether a token that ran out can be replaced.
    pub(super) fn can_renew(&self) -> bool {
        matches!(self.tokens, Tokens::Local { .. })
    }

    /// A token that is good now, as far as we know.
    pub(super) fn token(&self) -> Result<String, AccessError> {
        match &self.tokens {
            Tokens::Given(token) => Ok(token.expose().to_owned()),
            Tokens::Local { identity, tenant, sub } => {
                let signed = local::sign(identity, tenant, sub, "export:*", TTL, SystemClock.now());
                signed.map(|(token, _)| token).map_err(AccessError::Sign)
            }
        }
    }

    /// A GET.
    pub(super) fn get(&self, path: &str) -> Result<RequestBuilder, String> {
        self.request(Method::GET, path)
    }

    /// A DELETE.
    pub(super) fn delete(&self, path: &str) -> Result<RequestBuilder, String> {
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

    fn access(args: &[&str]) -> Result<Access, ExportError> {
        let cli = Cli::parse_from(["sluice", "export", "flights"].iter().chain(args));
        match cli.command {
            Command::Export(options) => Access::of(&options, &cli.place),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_url_may_have_a_path_and_tls() {
        let access = access(&["--url", "https://example.com/sluice/", "--token", "t"]).unwrap();
        assert_eq!(access.socket_url(), "wss://example.com/sluice/v1/ws");
        assert_eq!((access.token().unwrap().as_str(), access.can_renew()), ("t", false));
    }

    #[test]
    fn without_a_way_in_it_is_said_what_to_do() {
        let refused = |args: &[&str]| access(args).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(refused(&[]).contains("--data-dir"));
        assert!(refused(&["--token", "t", "--url", "ftp://x"]).contains("ftp://x"));
    }
}
