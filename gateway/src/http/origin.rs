//! Which pages may open sockets and sign in (RFC 6454; RFC 6455, section 10.2).

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
