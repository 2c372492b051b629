//! What the settings of an outside issuer may be, so that neither the page's policy nor its sign-in can be bent by them.

use axum::http::Uri;

use crate::config::OidcConfig;

/// What the authorization code flow with PKCE says itself (RFC 6749, RFC 7636, OpenID Connect Core 1.0).
const OF_THE_FLOW: [&str; 15] = [
    "client_id",
    "client_secret",
    "code",
    "code_challenge",
    "code_challenge_method",
    "code_verifier",
    "grant_type",
    "id_token_hint",
    "nonce",
    "redirect_uri",
    "refresh_token",
    "response_mode",
    "response_type",
    "scope",
    "state",
];

/// Settings with which the page could sign nobody in.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum OidcError {
    /// The issuer can't be reached by a browser.
    #[error("gateway.identity.oidc.authority: `{0}` is no address that begins with https:// or http://")]
    Authority(String),
    /// Half of what is needed.
    #[error("gateway.identity.oidc.{0}: empty, although the other of authority and client_id is set")]
    Half(&'static str),
    /// More or less than an origin.
    #[error("gateway.identity.oidc.connect: `{0}` is no origin such as https://oauth2.example.com")]
    Connect(String),
    /// The flow has its own word for it.
    #[error("gateway.identity.oidc.parameters.{0}: the sign-in sets this by itself")]
    Parameter(String),
}

impl OidcConfig {
    /// Whether the page signs people in at an issuer.
    #[must_use]
    pub fn is_on(&self) -> bool {
        !self.authority.is_empty() && !self.client_id.is_empty()
    }

    /// Looks at all of it before anybody comes in.
    ///
    /// # Errors
    /// Names the setting that is wrong.
    pub fn check(&self) -> Result<(), OidcError> {
        match (self.authority.is_empty(), self.client_id.is_empty()) {
            (true, false) => return Err(OidcError::Half("authority")),
            (false, true) => return Err(OidcError::Half("client_id")),
            (false, false) if origin(&self.authority).is_none() => {
                return Err(OidcError::Authority(self.authority.clone()));
            }
            _ => {}
        }
        if let Some(bad) = self.connect.iter().find(|one| origin(one).as_ref() != Some(*one)) {
            return Err(OidcError::Connect(bad.clone()));
        }
        match self.parameters.keys().find(|name| name.is_empty() || OF_THE_FLOW.contains(&name.as_str())) {
            Some(name) => Err(OidcError::Parameter(name.clone())),
            None => Ok(()),
        }
    }

    /// The origins that the page talks to for a sign-in: the issuer's, and those that are named besides.
    pub(crate) fn origins(&self) -> impl Iterator<Item = String> {
        std::iter::once(&self.authority).chain(&self.connect).filter_map(|address| origin(address))
    }
}

/// Scheme, host and port of an address, if it has them and names nobody in it.
fn origin(address: &str) -> Option<String> {
    let uri: Uri = address.parse().ok()?;
    let (scheme, authority) = (uri.scheme_str()?, uri.authority()?);
    // the policy separates by these; a host that holds one would say more than where it is
    let plain = !authority.as_str().contains(['@', ';', ',', '\'', '*']);
    (plain && matches!(scheme, "https" | "http")).then(|| format!("{scheme}://{authority}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn oidc(change: impl FnOnce(&mut OidcConfig)) -> OidcConfig {
        let mut oidc = OidcConfig {
            authority: "https://login.example.com/realms/a".into(),
            client_id: "sluice-page".into(),
            ..OidcConfig::default()
        };
        change(&mut oidc);
        oidc
    }

    #[test]
    fn settings_that_would_sign_nobody_in_are_named() {
        assert_eq!(OidcConfig::default().check(), Ok(()));
        let fine = oidc(|o| {
            o.connect = vec!["https://oauth2.example.com".into(), "https://127.0.0.1:8443".into()];
            o.parameters = [("audience".into(), "https://exports.example.com".into())].into();
        });
        assert_eq!(fine.check(), Ok(()));
        for authority in ["login.example.com", "/realms/a", "ftp://login.example.com", "https://a;b/"] {
            let error = oidc(|o| o.authority = authority.into()).check();
            assert_eq!(error, Err(OidcError::Authority(authority.into())));
        }
        assert_eq!(oidc(|o| o.client_id.clear()).check(), Err(OidcError::Half("client_id")));
        assert_eq!(oidc(|o| o.authority.clear()).check(), Err(OidcError::Half("authority")));
        for origin in ["https://a.example.com/", "https://a.example.com/token", "a.example.com", "*", "https://*.a.com"]
        {
            let error = oidc(|o| o.connect = vec![origin.into()]).check();
            assert_eq!(error, Err(OidcError::Connect(origin.into())));
        }
        for name in ["redirect_uri", "client_secret", "scope", ""] {
            let error = oidc(|o| o.parameters = [(name.into(), "x".into())].into()).check();
            assert_eq!(error, Err(OidcError::Parameter(name.into())));
        }
    }
}
