//! Checks the readiness of a service on this machine, for the option `--health` of the binaries that run one service.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

/// The time limit of a check with `--health`.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(5);
/// The maximum length of an answer in an error text, in characters.
const MAX_ANSWER_CHARS: usize = 500;

/// The reason why a check with `--health` fails.
#[derive(Debug, thiserror::Error)]
pub enum HealthError {
    /// The setting contains no IP address and port to which the check could connect.
    #[error("{setting} has no address and port to check: `{address}`")]
    NoAddress {
        /// The name of the setting.
        setting: &'static str,
        /// The value of the setting.
        address: String,
    },
    /// The service does not answer.
    #[error("no answer from {0}: {1}")]
    Unreachable(SocketAddr, reqwest::Error),
    /// The service answers that it is not ready.
    #[error("{address} is not ready ({status}): {answer}")]
    NotReady {
        /// The address of the service.
        address: SocketAddr,
        /// The HTTP status of the answer.
        status: reqwest::StatusCode,
        /// The body of the answer, which names the failed dependency.
        answer: String,
    },
}

/// Requests `/readyz` of the service on this machine, and fails if the service is not ready.
pub(crate) async fn check_readiness(setting: &'static str, listen: &str) -> Result<(), HealthError> {
    let address = reachable(listen).ok_or_else(|| HealthError::NoAddress { setting, address: listen.to_owned() })?;
    let unreachable = |e| HealthError::Unreachable(address, e);
    let client = reqwest::Client::builder().no_proxy().timeout(HEALTH_TIMEOUT).build().map_err(unreachable)?;
    let answer = client.get(format!("http://{address}/readyz")).send().await.map_err(unreachable)?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let answer: String = answer.text().await.map_err(unreachable)?.chars().take(MAX_ANSWER_CHARS).collect();
    Err(HealthError::NotReady { address, status, answer })
}

/// Returns the address at which this machine can reach a service that listens on `listen`. For a service that listens
/// on every address, returns the loopback address. Returns None if `listen` is not an IP address with a port.
fn reachable(listen: &str) -> Option<SocketAddr> {
    let mut address: SocketAddr = listen.parse().ok().filter(|address: &SocketAddr| address.port() > 0)?;
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    Some(address)
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    /// Answers one request with these bytes. The task returns the request line.
    async fn serve_once(answer: &'static str) -> (SocketAddr, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let request_line = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 1024];
            let length = socket.read(&mut request).await.unwrap();
            socket.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8_lossy(&request[..length]).lines().next().unwrap_or_default().to_owned()
        });
        (address, request_line)
    }

    #[tokio::test]
    async fn a_ready_service_is_healthy() {
        let (address, request_line) = serve_once("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        check_readiness("x.listen", &format!("0.0.0.0:{}", address.port())).await.unwrap();
        assert_eq!(request_line.await.unwrap(), "GET /readyz HTTP/1.1");
    }

    #[tokio::test]
    async fn the_answer_of_a_service_that_is_not_ready_is_reported() {
        let (address, _request_line) =
            serve_once("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 14\r\n\r\nno database :(").await;
        let error = check_readiness("x.listen", &address.to_string()).await.unwrap_err().to_string();
        assert!(error.contains("503") && error.ends_with("no database :("), "{error}");
    }

    #[tokio::test]
    async fn a_missing_service_is_unreachable() {
        // the bound socket keeps other processes from listening on the port
        let held = tokio::net::TcpSocket::new_v4().unwrap();
        held.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let address = held.local_addr().unwrap();
        assert!(matches!(check_readiness("x.listen", &address.to_string()).await, Err(HealthError::Unreachable(..))));
        assert!(matches!(
            check_readiness("x.listen", "").await,
            Err(HealthError::NoAddress { setting: "x.listen", .. })
        ));
    }

    #[test]
    fn a_service_on_every_address_is_checked_on_loopback() {
        let checked = |listen| reachable(listen).map(|address| address.to_string());
        assert_eq!(checked("0.0.0.0:8080").as_deref(), Some("127.0.0.1:8080"));
        assert_eq!(checked("[::]:8080").as_deref(), Some("[::1]:8080"));
        assert_eq!(checked("10.0.0.1:8080").as_deref(), Some("10.0.0.1:8080"));
        for invalid in ["", "127.0.0.1:0", "gateway:8080"] {
            assert_eq!(checked(invalid), None, "{invalid}");
        }
    }
}
