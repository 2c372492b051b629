//! Validates `[gateway.identity.oidc]`, so that no setting can inject sources into the web page's
//! Content-Security-Policy or replace a parameter of the sign-in.

use axum::http::Uri;

use crate::config::OidcConfig;

/// Parameters of the authorization code flow with PKCE (RFC 6749, RFC 7636, OpenID Connect Core 1.0) that are reserved
/// for the sign-in. The setting `extra_request_parameters` must not contain them.
const RESERVED_PARAMETERS: [&str; 15] = [
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

/// An invalid setting of `[gateway.identity.oidc]`.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum OidcError {
    /// The setting `authority` is not an HTTP URL, or contains a forbidden character. The value is the text of the
    /// setting.
    #[error("gateway.identity.oidc.authority: `{0}` is not an https:// or http:// URL")]
    Authority(String),
    /// Only one of the settings `authority` and `client_id` is set. The value is the name of the other setting, which
    /// is empty.
    #[error("gateway.identity.oidc.{0} is empty; set both authority and client_id, or neither")]
    Incomplete(&'static str),
    /// The setting `csp_connect_src` lists a text that is not an origin (scheme, host and port only). The value is this
    /// text.
    #[error("gateway.identity.oidc.csp_connect_src: `{0}` is not an origin such as https://oauth2.example.com")]
    ConnectSource(String),
    /// The setting `extra_request_parameters` has a parameter without a name, or with a name that is reserved for the
    /// sign-in. The value is this name.
    #[error("gateway.identity.oidc.extra_request_parameters.{0}: reserved, because the sign-in sets it")]
    ReservedParameter(String),
}

impl OidcConfig {
    /// Whether the web page signs users in at an external issuer.
    #[must_use]
    pub(crate) fn is_enabled(&self) -> bool {
        !self.authority.is_empty() && !self.client_id.is_empty()
    }

    /// Validates all OIDC settings at startup.
    ///
    /// # Errors
    /// [`OidcError`] with the first invalid setting.
    pub(crate) fn check(&self) -> Result<(), OidcError> {
        match (self.authority.is_empty(), self.client_id.is_empty()) {
            (true, false) => return Err(OidcError::Incomplete("authority")),
            (false, true) => return Err(OidcError::Incomplete("client_id")),
            (false, false) if origin(&self.authority).is_none() => {
                return Err(OidcError::Authority(self.authority.clone()));
            }
            _ => {}
        }
        if let Some(bad) = self.csp_connect_src.iter().find(|source| origin(source).as_ref() != Some(*source)) {
            return Err(OidcError::ConnectSource(bad.clone()));
        }
        match self
            .extra_request_parameters
            .keys()
            .find(|name| name.is_empty() || RESERVED_PARAMETERS.contains(&name.as_str()))
        {
            Some(name) => Err(OidcError::ReservedParameter(name.clone())),
            None => Ok(()),
        }
    }

    /// Returns the origins to which the web page connects during sign-in: the origin of `authority`, and the origins in
    /// `csp_connect_src`.
    pub(crate) fn origins(&self) -> impl Iterator<Item = String> {
        std::iter::once(&self.authority).chain(&self.csp_connect_src).filter_map(|address| origin(address))
    }
}

/// Returns the origin (scheme, host and port) of an HTTP URL. Returns None if the text is not an `https` or `http` URL,
/// or if the URL has user information. Also returns None if the host contains a character that has a meaning in a
/// Content-Security-Policy.
fn origin(address: &str) -> Option<String> {
    let uri: Uri = address.parse().ok()?;
    let (scheme, authority) = (uri.scheme_str()?, uri.authority()?);
    // these characters separate sources or name keywords in a Content-Security-Policy
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
    fn an_invalid_setting_is_named() {
        assert_eq!(OidcConfig::default().check(), Ok(()));
        let fine = oidc(|o| {
            o.csp_connect_src = vec!["https://oauth2.example.com".into(), "https://127.0.0.1:8443".into()];
            o.extra_request_parameters = [("audience".into(), "https://exports.example.com".into())].into();
        });
        assert_eq!(fine.check(), Ok(()));
        for authority in ["login.example.com", "/realms/a", "ftp://login.example.com", "https://a;b/"] {
            let error = oidc(|o| o.authority = authority.into()).check();
            assert_eq!(error, Err(OidcError::Authority(authority.into())));
        }
        assert_eq!(oidc(|o| o.client_id.clear()).check(), Err(OidcError::Incomplete("client_id")));
        assert_eq!(oidc(|o| o.authority.clear()).check(), Err(OidcError::Incomplete("authority")));
        for origin in ["https://a.example.com/", "https://a.example.com/token", "a.example.com", "*", "https://*.a.com"]
        {
            let error = oidc(|o| o.csp_connect_src = vec![origin.into()]).check();
            assert_eq!(error, Err(OidcError::ConnectSource(origin.into())));
        }
        for name in ["redirect_uri", "client_secret", "scope", ""] {
            let error = oidc(|o| o.extra_request_parameters = [(name.into(), "x".into())].into()).check();
            assert_eq!(error, Err(OidcError::ReservedParameter(name.into())));
        }
    }
}
