//! The security headers of every response.

use platform::units::HumanDuration;

use super::support::Gateway;

const FOR_ALL: [(&str, &str); 3] =
    [("x-content-type-options", "nosniff"), ("referrer-policy", "no-referrer"), ("x-frame-options", "DENY")];

#[tokio::test]
async fn every_response_has_a_content_policy_and_security_headers() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("assets")).unwrap();
    std::fs::write(folder.path().join("index.html"), "<!doctype html>").unwrap();
    let gateway = Gateway::start_with(|config| config.web_dir = folder.path().display().to_string()).await;
    let http = reqwest::Client::new();
    for (path, status, policy) in [
        ("/", 200, "script-src 'self'"),
        ("/exports/0199", 200, "script-src 'self'"),
        ("/assets/of-an-older-build.js", 404, "default-src 'none'"),
        ("/problems/expired", 200, "style-src 'unsafe-inline'"),
        ("/problems/no-such-type", 404, "default-src 'none'"),
        ("/config.json", 200, "default-src 'none'"),
        ("/v1/exports", 401, "default-src 'none'"),
        ("/healthz", 200, "default-src 'none'"),
    ] {
        let answer = http.get(format!("{}{path}", gateway.url)).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{path}");
        let of = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap()).unwrap_or_default();
        assert!(of("content-security-policy").contains(policy), "{path}: {:?}", of("content-security-policy"));
        assert!(of("content-security-policy").contains("frame-ancestors 'none'"), "{path}");
        for (name, value) in FOR_ALL {
            assert_eq!(of(name), value, "{path}: {name}");
        }
    }
}

#[tokio::test]
async fn preflights_and_refused_methods_have_the_headers_too_and_tickets_are_not_stored() {
    let app = "https://app.example.com";
    let gateway = Gateway::start_with(|config| config.allowed_origins = vec![app.to_owned()]).await;
    let http = reqwest::Client::new();
    let preflight = http.request(reqwest::Method::OPTIONS, format!("{}/v1/exports", gateway.url));
    let preflight = preflight.header("origin", app).header("access-control-request-method", "POST");
    let refused = http.delete(format!("{}/healthz", gateway.url));
    for (request, status) in [(preflight, 200), (refused, 405)] {
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status);
        for (name, value) in FOR_ALL {
            assert_eq!(answer.headers()[name], value);
        }
        if status == 405 {
            assert_eq!(answer.headers()["content-type"], "application/problem+json");
        }
    }
    let ticket = http.post(format!("{}/v1/tickets", gateway.url)).bearer_auth(gateway.token("alice", "acme"));
    assert_eq!(ticket.send().await.unwrap().headers()["cache-control"], "no-store");
}

#[tokio::test]
async fn a_request_without_a_host_and_a_handshake_without_a_nonce_are_refused() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let gateway = Gateway::start().await;
    let address = gateway.url.strip_prefix("http://").unwrap();
    let token = gateway.token("alice", "acme");
    let handshake = format!(
        "GET /v1/ws HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nConnection: Upgrade\r\nUpgrade: \
         websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: YWJj\r\n\r\n"
    );
    for request in ["GET /healthz HTTP/1.1\r\n\r\n", &handshake] {
        let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        socket.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 400", "{request}");
    }
}

/// If the HTTP parser refuses the head of a request, the answer has only a status, because no handler sees the request
/// (`docs/decisions/0140-refusals-of-unparsed-requests-have-no-body.md`).
#[tokio::test]
async fn a_head_that_cannot_be_parsed_gets_its_status_without_a_body_and_the_connection_closes() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let gateway = Gateway::start().await;
    let address = gateway.url.strip_prefix("http://").unwrap();
    let long_field = format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\nX: {}\r\n\r\n", "x".repeat(200_000));
    let many_fields = format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\n{}\r\n", "X: x\r\n".repeat(101));
    let long_path = format!("GET /{} HTTP/1.1\r\nHost: {address}\r\n\r\n", "x".repeat(66_000));
    for (head, statuses) in [
        ("GET /healthz HTTP/1.1\r\nno colon\r\n\r\n", &[400][..]),
        ("nonsense\r\n\r\n", &[400]),
        ("GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", &[400]),
        (&long_field, &[431]),
        (&many_fields, &[431]),
        // by the sizes of the reads, the parser or the buffer refuses it
        (&long_path, &[414, 431]),
    ] {
        let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
        socket.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // bytes that the gateway did not read reset the connection after the answer
        let _ = socket.read_to_end(&mut answer).await;
        let answer = String::from_utf8(answer).unwrap().to_ascii_lowercase();
        let (start, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{statuses:?}: {answer:?}"));
        let is_expected = statuses.iter().any(|status| start.starts_with(&format!("http/1.1 {status} ")));
        assert!(is_expected, "{statuses:?}: {start}");
        assert!(start.contains("connection: close") && start.contains("content-length: 0"), "{start}");
        assert_eq!(body, "", "{statuses:?}");
    }
}

#[tokio::test]
async fn only_responses_over_https_have_strict_transport_security() {
    let gateway = Gateway::start_with(|config| config.hsts_max_age = HumanDuration::from_secs(600)).await;
    let http = reqwest::Client::new();
    for (proto, expected) in [(None, None), (Some("http"), None), (Some("https"), Some("max-age=600"))] {
        for path in ["/healthz", "/v1/exports", "/config.json"] {
            let mut request = http.get(format!("{}{path}", gateway.url));
            if let Some(proto) = proto {
                request = request.header("x-forwarded-proto", proto);
            }
            let answer = request.send().await.unwrap();
            let header = answer.headers().get("strict-transport-security").map(|value| value.to_str().unwrap());
            assert_eq!(header, expected, "{path} over {proto:?}");
        }
    }
}
