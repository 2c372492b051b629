//! The URLs of NATS servers, as the settings give them.

use async_nats::ServerAddr;

use super::BusError;

/// The servers that a comma-separated list names. Logs and `sluice config` show that list, so it holds no secret.
///
/// # Errors
/// When an entry is no such URL, or names a user.
pub(super) fn servers(list: &str) -> Result<Vec<ServerAddr>, BusError> {
    let read = |(entry, url): (usize, &str)| {
        let wrong = |detail: String| BusError::Url { entry, detail };
        let server: ServerAddr = url.trim().parse().map_err(|e: std::io::Error| wrong(e.to_string()))?;
        if server.host().is_empty() {
            return Err(wrong("it names no host".into()));
        }
        // a token stands where a user does
        if server.has_user_pass() || server.password().is_some() { Err(BusError::UserInUrl(entry)) } else { Ok(server) }
    };
    (1..).zip(list.split(',')).map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_names_servers_and_holds_no_secret() {
        let found = servers("nats://one:4222, tls://two,three:4333").unwrap();
        assert_eq!(
            found.iter().map(|server| (server.host(), server.port())).collect::<Vec<_>>(),
            [("one", 4222), ("two", 4222), ("three", 4333)]
        );
        for (list, wrong) in
            [("nats://one,nats://sluice:hunter2@two", 2), ("nats://hunter2@one:4222", 1), ("nats://:hunter2@one", 1)]
        {
            let told = servers(list).unwrap_err();
            assert!(matches!(told, BusError::UserInUrl(entry) if entry == wrong), "{told}");
            assert!(!told.to_string().contains("hunter2") && told.to_string().contains("nats.user"), "{told}");
        }
        for (list, wrong) in [("", 1), ("nats://one,", 2), ("nats://sluice:hunter2@", 1), ("https://one:hunter2@b", 1)]
        {
            let told = servers(list).unwrap_err();
            assert!(matches!(told, BusError::Url { entry, .. } if entry == wrong), "{list}: {told}");
            assert!(!told.to_string().contains("hunter2"), "{told}");
        }
    }
}
