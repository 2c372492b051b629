//! Checks the headers `Origin` (RFC 6454; RFC 6455, section 10.2) and `Host`, so that foreign web pages can neither
//! open sockets nor sign in.

use std::net::IpAddr;

use axum::http::{HeaderMap, header};

/// Whether the `Origin` header permits the request. True if the header is missing, names the gateway's own origin, or
/// is one of `allowed`.
#[must_use]
pub(crate) fn is_allowed(headers: &HeaderMap, allowed: &[String]) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let Ok(origin) = origin.to_str() else { return false };
    let host = headers.get(header::HOST).and_then(|h| h.to_str().ok()).unwrap_or_default();
    let own = origin.split_once("://").is_some_and(|(scheme, rest)| {
        matches!(scheme, "http" | "https") && !host.is_empty() && rest.eq_ignore_ascii_case(host)
    });
    own || allowed.iter().any(|a| a.eq_ignore_ascii_case(origin))
}

/// Whether the request's `Host` header names a loopback address. In a DNS rebinding attack, the host name of a foreign
/// web page resolves to this machine. The browser then sends this foreign name as `Host`, and the function returns
/// false.
#[must_use]
pub(crate) fn is_loopback_request(headers: &HeaderMap) -> bool {
    headers.get(header::HOST).and_then(|h| h.to_str().ok()).is_some_and(is_loopback_address)
}

/// Whether an address names this machine: its host is `localhost` or a loopback IP address. The address may have a
/// port.
#[must_use]
pub(crate) fn is_loopback_address(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(origin: Option<&str>) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, "localhost:8080".parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        is_allowed(&headers, &["https://app.example.com".to_owned()])
    }

    #[test]
    fn only_loopback_names_and_addresses_are_loopback() {
        let loopback = |host: &str| is_loopback_request(&HeaderMap::from_iter([(header::HOST, host.parse().unwrap())]));
        for own in ["localhost", "localhost:8080", "127.0.0.1:8080", "[::1]:8080", "127.1.2.3"] {
            assert!(loopback(own), "{own}");
        }
        for other in ["evil.example:8080", "localhost.evil.example", "10.0.0.1", "127.0.0.1.evil.example", ""] {
            assert!(!loopback(other), "{other}");
        }
    }

    #[test]
    fn pages_of_other_origins_are_refused() {
        for fine in [None, Some("http://localhost:8080"), Some("https://app.example.com")] {
            assert!(allowed(fine), "{fine:?}");
        }
        for foreign in ["null", "http://localhost:8081", "http://evil.example", "https://app.example.com.evil.example"]
        {
            assert!(!allowed(Some(foreign)), "{foreign}");
        }
    }
}
