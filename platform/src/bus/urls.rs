//! Parses the setting `nats.url`.

use async_nats::ServerAddr;

use super::BusError;

/// Parses a comma-separated list of server URLs. Logs and `sluice config` show the list, so no URL may contain a
/// password.
///
/// # Errors
/// When an entry is not the URL of a NATS server, or contains a user, a password or a token.
pub(super) fn parse_servers(list: &str) -> Result<Vec<ServerAddr>, BusError> {
    let read = |(entry, url): (usize, &str)| {
        let wrong = |detail: String| BusError::Url { entry, detail };
        let server: ServerAddr = url.trim().parse().map_err(|e: std::io::Error| wrong(e.to_string()))?;
        if server.host().is_empty() {
            return Err(wrong("the URL has no host".into()));
        }
        // in a URL, a token takes the place of the user
        if server.has_user_pass() || server.password().is_some() { Err(BusError::UserInUrl(entry)) } else { Ok(server) }
    };
    (1..).zip(list.split(',')).map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_servers_must_not_hold_a_secret() {
        let found = parse_servers("nats://one:4222, tls://two,three:4333").unwrap();
        assert_eq!(
            found.iter().map(|server| (server.host(), server.port())).collect::<Vec<_>>(),
            [("one", 4222), ("two", 4222), ("three", 4333)]
        );
        for (list, wrong) in
            [("nats://one,nats://sluice:hunter2@two", 2), ("nats://hunter2@one:4222", 1), ("nats://:hunter2@one", 1)]
        {
            let error = parse_servers(list).unwrap_err();
            assert!(matches!(error, BusError::UserInUrl(entry) if entry == wrong), "{error}");
            assert!(!error.to_string().contains("hunter2") && error.to_string().contains("nats.user"), "{error}");
        }
        for (list, wrong) in [("", 1), ("nats://one,", 2), ("nats://sluice:hunter2@", 1), ("https://one:hunter2@b", 1)]
        {
            let error = parse_servers(list).unwrap_err();
            assert!(matches!(error, BusError::Url { entry, .. } if entry == wrong), "{list}: {error}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }
}
