//! Which pages may open sockets and sign in (RFC 6454; RFC 6455, section 10.2).

use std::net::IpAddr;

use axum::http::{HeaderMap, header};

/// Whether the request comes from no page, from our own, or from one that the settings name.
#[must_use]
pub fn is_allowed(headers: &HeaderMap, allowed: &[String]) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let Ok(origin) = origin.to_str() else { return false };
    let host = headers.get(header::HOST).and_then(|h| h.to_str().ok()).unwrap_or_default();
    let own = origin.split_once("://").is_some_and(|(scheme, rest)| {
        matches!(scheme, "http" | "https") && !host.is_empty() && rest.eq_ignore_ascii_case(host)
    });
    own || allowed.iter().any(|a| a.eq_ignore_ascii_case(origin))
}

/// Whether the request names this machine itself. A page elsewhere that makes its own name point here (DNS
/// rebinding) is of the same origin to its browser; its `Host` gives it away.
#[must_use]
pub fn is_loopback(headers: &HeaderMap) -> bool {
    headers.get(header::HOST).and_then(|h| h.to_str().ok()).is_some_and(is_this_machine)
}

/// Whether an address, with a port or without, is one of this machine that nobody else can reach.
#[must_use]
pub fn is_this_machine(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(origin: Option<&str>) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, "localhost:8080".parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        is_allowed(&headers, &["https://app.example.com".to_owned()])
    }

    #[test]
    fn only_this_machine_is_loopback() {
        let named = |host: &str| is_loopback(&HeaderMap::from_iter([(header::HOST, host.parse().unwrap())]));
        for own in ["localhost", "localhost:8080", "127.0.0.1:8080", "[::1]:8080", "127.1.2.3"] {
            assert!(named(own), "{own}");
        }
        for other in ["evil.example:8080", "localhost.evil.example", "10.0.0.1", "127.0.0.1.evil.example", ""] {
            assert!(!named(other), "{other}");
        }
    }

    #[test]
    fn foreign_pages_are_kept_out() {
        for fine in [None, Some("http://localhost:8080"), Some("https://app.example.com")] {
            assert!(asked(fine), "{fine:?}");
        }
        for foreign in ["null", "http://localhost:8081", "http://evil.example", "https://app.example.com.evil.example"]
        {
            assert!(!asked(Some(foreign)), "{foreign}");
        }
    }
}
