//! Invalid input over REST and WebSocket: each request gets its typed problem and has no effect.

use super::support::Gateway;
use entity::credit_policy::CreditsConfig;
use gateway::{
    auth::sign_in_link,
    config::{LocalSignIn, LocalUser},
};
use platform::clock::Clock;
use protocol::{
    client::ExportCreate,
    export::{ExportPage, ExportRequest, Status},
    problem::Slug,
    server::ServerMessage,
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testkit::{
    client::{Client, Credential},
    rest::{Answer, Rest},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

fn bad_requests() -> Vec<(Value, Slug, &'static str)> {
    vec![
        (json!({"dataset": "nope"}), Slug::UnknownDataset, "/dataset"),
        (json!({"dataset": 7}), Slug::InvalidRequest, "/dataset"),
        (json!({}), Slug::InvalidRequest, "/dataset"),
        (json!({"dataset": "flights", "colums": []}), Slug::InvalidRequest, "/colums"),
        (json!({"dataset": "flights", "columns": ["nope"]}), Slug::InvalidRequest, "/columns/0"),
        (json!({"dataset": "flights", "template": "nope"}), Slug::UnknownTemplate, "/template"),
        (json!({"dataset": "flights", "format": "nope"}), Slug::InvalidRequest, "/format"),
        (json!({"dataset": "flights", "filter": {"nope": {"eq": 1}}}), Slug::InvalidFilter, "/filter/nope"),
        (json!({"dataset": "flights", "filter": {"delay": {"gte": "x"}}}), Slug::InvalidFilter, "/filter/delay/gte"),
        (json!({"dataset": "flights", "params": {"x": 1}}), Slug::InvalidRequest, "/params/x"),
        (json!({"dataset": "counts"}), Slug::InvalidRequest, "/params/muscles"),
        (json!({"dataset": "counts", "params": {"muscles": "m"}}), Slug::InvalidRequest, "/params/muscles"),
        (json!({"dataset": "counts", "params": {"muscles": ["m\0"]}}), Slug::InvalidRequest, "/params/muscles"),
    ]
}

#[tokio::test]
async fn rest_reports_every_fault_and_holds_no_credit() {
    let gateway = Gateway::start().await;
    let rest = gateway.rest(&gateway.token("alice", "acme"));
    for (body, slug, pointer) in bad_requests() {
        let answer = rest.post("/v1/exports", &body).await;
        let problem = answer.problem();
        assert_eq!((answer.status.as_u16(), problem.slug()), (422, slug), "{body}");
        assert_eq!(problem.errors[0].pointer, pointer, "{body}");
    }
    for text in ["", "{", "[]", "\"x\"", "\u{0}", r#"{"dataset": "flights", "dataset": "counts"}"#] {
        let answer = rest.send(rest.request(Method::POST, "/v1/exports").body(text)).await;
        assert_eq!(answer.problem().slug(), Slug::InvalidRequest, "{text:?}");
    }
    let huge = "x".repeat(10 << 20);
    let answer = rest.send(rest.request(Method::POST, "/v1/exports").body(huge)).await;
    assert_eq!((answer.status.as_u16(), answer.problem().slug()), (413, Slug::TooLarge));
    assert_eq!(rest.send(rest.request(Method::PUT, "/v1/exports")).await.status, StatusCode::METHOD_NOT_ALLOWED);
    for query in ["status=nope", "limit=0", "limit=x", "cursor=x", "nope=1", "dataset=%00"] {
        let answer = rest.get(&format!("/v1/exports?{query}")).await;
        assert_eq!(answer.problem().slug(), Slug::InvalidRequest, "{query}");
    }
    for key in ["", "a b", "a\tb", "\u{e4}", &"k".repeat(256)] {
        let request = rest.request(Method::POST, "/v1/exports").json(&json!({"dataset": "flights"}));
        let answer = rest.send(request.header("idempotency-key", key.as_bytes())).await;
        assert_eq!(answer.problem().errors[0].pointer, "/idempotency_key", "{key:?}");
    }
    let credits: Value = rest.get("/v1/credits").await.json();
    assert_eq!((&credits["balance"], &credits["held"]), (&json!(5), &json!(0)));
    assert_eq!(rest.get("/v1/exports").await.json::<ExportPage>().items.len(), 0);
}

#[tokio::test]
async fn a_refusal_reads_the_rest_of_the_body_or_says_that_the_connection_closes() {
    let gateway = Gateway::start().await;
    let address = gateway.url.strip_prefix("http://").unwrap();
    let head =
        |length: usize| format!("POST /v1/exports HTTP/1.1\r\nHost: {address}\r\nContent-Length: {length}\r\n\r\n");
    let answer = async |socket: &mut TcpStream| {
        let mut answer = Vec::new();
        while !answer.ends_with(b"}") {
            let read = socket.read_buf(&mut answer).await.unwrap();
            assert!(read > 0, "{}", String::from_utf8_lossy(&answer));
        }
        String::from_utf8(answer).unwrap().to_ascii_lowercase()
    };
    // the body of a request without a token, which comes after its head
    let mut socket = TcpStream::connect(address).await.unwrap();
    for _ in 0..3 {
        socket.write_all(head(100_000).as_bytes()).await.unwrap();
        socket.write_all(&vec![b' '; 100_000]).await.unwrap();
        let answer = answer(&mut socket).await;
        assert!(answer.starts_with("http/1.1 401") && !answer.contains("connection: close"), "{answer}");
    }
    // a body above the limit of 1 MiB, of which the gateway reads 1 MiB more
    let mut large = TcpStream::connect(address).await.unwrap();
    let token = gateway.token("alice", "acme");
    let length = 16 << 20;
    let start = format!(
        "POST /v1/exports HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nContent-Length: {length}\r\n\r\n"
    );
    large.write_all(start.as_bytes()).await.unwrap();
    // the gateway may close the connection before it has all of this
    let _ = large.write_all(&vec![b' '; 3 << 20]).await;
    let refusal = answer(&mut large).await;
    assert!(refusal.starts_with("http/1.1 413") && refusal.contains("connection: close"), "{refusal}");
    // a body that never comes
    socket.write_all(head(10).as_bytes()).await.unwrap();
    let answer = answer(&mut socket).await;
    assert!(answer.starts_with("http/1.1 401") && answer.contains("connection: close"), "{answer}");
}

#[tokio::test]
async fn the_socket_reports_the_same_faults_and_stays_open() {
    let gateway = Gateway::start().await;
    let token = gateway.token("alice", "acme");
    let mut client = Client::connect(&gateway.url, Credential::Bearer(&token)).await.expect("the session starts");
    for (i, (mut body, slug, pointer)) in bad_requests().into_iter().enumerate() {
        let reference = i.to_string();
        body["type"] = "export.create".into();
        body["ref"] = reference.clone().into();
        client.send_text(&body.to_string()).await;
        let problem = client.expect_error(Some(&reference)).await;
        assert_eq!((problem.slug(), problem.errors[0].pointer.as_str()), (slug, pointer), "{body}");
    }
    for key in ["", "a b", "a\n", "a\0", "ä", &"k".repeat(256)] {
        let create = json!({"type": "export.create", "ref": "k", "dataset": "flights", "idempotency_key": key});
        client.send_text(&create.to_string()).await;
        assert_eq!(client.expect_error(Some("k")).await.errors[0].pointer, "/idempotency_key", "{key:?}");
    }
    client.send_text(r#"{"type":"ping","type":"ping","ref":"x"}"#).await;
    assert!(client.expect_error(None).await.errors[0].detail.contains("`type` occurs twice"));
    client.send_text(r#"{"type":"no.such","ref":"x"}"#).await;
    assert_eq!(client.expect_error(Some("x")).await.errors[0].pointer, "/type");
    let unknown = uuid();
    client.send_text(&json!({"type": "file.open", "ref": "y", "export_id": unknown}).to_string()).await;
    assert_eq!(client.expect_error(Some("y")).await.slug(), Slug::NotFound);
    client.send_text(&json!({"type": "session.resume", "ref": "z", "epoch": "e", "seq": 0}).to_string()).await;
    let resumed = |m: &ServerMessage| match m {
        ServerMessage::SessionResumed { reference, recovered, .. } => Some((reference.clone(), *recovered)),
        _ => None,
    };
    assert_eq!(client.expect_text("session.resumed", resumed).await, (Some("z".into()), false));
    client.send_text(r#"{"type":"ping","ref":"alive"}"#).await;
    let pong = |m: &ServerMessage| match m {
        ServerMessage::Pong { reference } => reference.clone(),
        _ => None,
    };
    assert_eq!(client.expect_text("pong", pong).await, "alive");
}

#[tokio::test]
async fn an_export_is_accepted_while_nats_is_away() {
    let mut gateway = Gateway::start().await;
    let rest = gateway.rest(&gateway.token("alice", "acme"));
    gateway.nats.stop().await;
    let down = async || (rest.get("/readyz").await.status == StatusCode::SERVICE_UNAVAILABLE).then_some(());
    testkit::eventually("the gateway has lost NATS", down).await;
    let export = rest.create(&flights(1)).await;
    assert_eq!(rest.export(export.id).await.status, Status::Queued);
}

#[tokio::test]
async fn one_idempotency_key_creates_one_export_and_credits_run_out() {
    let gateway = Gateway::start().await;
    let rest = gateway.rest(&gateway.token("alice", "acme"));
    let body = json!({"dataset": "flights"});
    let with_key = |key: &'static str, body: Value| {
        let request = rest.request(Method::POST, "/v1/exports").header("Idempotency-Key", key).json(&body);
        rest.send(request)
    };
    let (one, two, three) =
        tokio::join!(with_key("k", body.clone()), with_key("k", body.clone()), with_key("k", body.clone()));
    let id = |answer: &Answer| answer.json::<Value>()["id"].clone();
    assert_eq!((id(&one), id(&one)), (id(&two), id(&three)));
    for answer in [&one, &two, &three] {
        assert_eq!(answer.status, StatusCode::ACCEPTED);
        assert_eq!(answer.header("location"), answer.header("content-location"));
        assert!(answer.header("retry-after").is_some());
    }
    let other = with_key("k", json!({"dataset": "flights", "columns": ["delay"]})).await;
    assert_eq!((other.status.as_u16(), other.problem().slug()), (422, Slug::IdempotencyConflict));

    for delay in 1..5 {
        rest.create(&flights(delay)).await;
    }
    let exhausted = rest.post("/v1/exports", &flights(5)).await;
    assert_eq!((exhausted.status.as_u16(), exhausted.problem().slug()), (429, Slug::CreditsExhausted));
    for header in ["retry-after", "ratelimit", "ratelimit-policy"] {
        assert!(exhausted.header(header).is_some(), "{header}");
    }
    let credits: Value = rest.get("/v1/credits").await.json();
    assert_eq!((&credits["balance"], &credits["held"]), (&json!(0), &json!(5)));

    let page: ExportPage = rest.get("/v1/exports?limit=2").await.json();
    let next: ExportPage =
        rest.get(&format!("/v1/exports?limit=9&cursor={}", page.next_cursor.expect("more"))).await.json();
    assert_eq!((page.items.len(), next.items.len(), next.next_cursor), (2, 3, None));
    assert!(page.items.iter().all(|e| e.status == Status::Queued && e.progress.queue_position.is_some()));
    assert_eq!(rest.get(&page.items[0].links.file).await.problem().slug(), Slug::NotReady);

    let other_tenant = gateway.rest(&gateway.token("alice", "globex"));
    for path in [&page.items[0].links.this, &page.items[0].links.file, &page.items[0].links.metadata] {
        assert_eq!(other_tenant.get(path).await.problem().slug(), Slug::NotFound, "{path}");
    }
    assert_eq!(other_tenant.delete(&page.items[0].links.this).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_longest_idempotency_key_names_the_same_export_over_rest_and_the_socket() {
    let gateway = Gateway::start().await;
    let token = gateway.token("alice", "acme");
    let (rest, key) = (gateway.rest(&token), "k".repeat(255));
    let request = rest.request(Method::POST, "/v1/exports").header("Idempotency-Key", &key);
    let answer = rest.send(request.json(&json!({"dataset": "flights"}))).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text());
    let mut client = Client::connect(&gateway.url, Credential::Bearer(&token)).await.expect("the session starts");
    let create = ExportCreate { dataset: "flights".into(), idempotency_key: Some(key), ..ExportCreate::default() };
    assert_eq!(json!(client.create(create).await.id), answer.json::<Value>()["id"]);
}

#[tokio::test]
async fn concurrent_requests_with_one_key_and_one_credit_get_the_same_export() {
    let one = CreditsConfig { initial_balance: 1, ..CreditsConfig::default() };
    let gateway = Gateway::start_with_credits(&one, |_| {}).await;
    let rest = gateway.rest(&gateway.token("alice", "acme"));
    let submit = || {
        let request = rest.request(Method::POST, "/v1/exports").header("Idempotency-Key", "k");
        rest.send(request.json(&json!({"dataset": "flights"})))
    };
    let answers = futures::future::join_all((0..5).map(|_| submit())).await;
    for answer in &answers {
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text());
        assert_eq!(answer.json::<Value>()["id"], answers[0].json::<Value>()["id"]);
    }
}

#[tokio::test]
async fn a_huge_filter_gets_a_short_refusal_and_an_impossible_offset_is_refused() {
    let gateway = Gateway::start().await;
    let token = gateway.token("alice", "acme");
    let rest = gateway.rest(&token);
    for part in [json!({}), json!({"delay": {"eq": 1}}), json!(1)] {
        let answer =
            rest.post("/v1/exports", &json!({"dataset": "flights", "filter": {"or": vec![part; 40_000]}})).await;
        assert_eq!(answer.problem().slug(), Slug::InvalidFilter);
        assert!(answer.body.len() < 10_000, "{} bytes", answer.body.len());
    }
    let export = rest.create(&ExportRequest { dataset: "flights".into(), ..ExportRequest::default() }).await;
    let mut client = Client::connect(&gateway.url, Credential::Bearer(&token)).await.expect("the session starts");
    let open = json!({"type": "file.open", "ref": "far", "export_id": export.id, "offset": u64::MAX});
    client.send_text(&open.to_string()).await;
    assert_eq!(client.expect_error(Some("far")).await.errors[0].pointer, "/offset");
}

/// Starts a gateway whose sign-in page offers alice.
async fn gateway_with_sign_in(sign_in: LocalSignIn) -> Gateway {
    Gateway::start_with(|config| {
        config.identity.local.sign_in = sign_in;
        let (id, name, sub, tenant) = ("alice".into(), "Alice".into(), "alice".into(), "acme".into());
        config.identity.local.sign_in_users = vec![LocalUser { id, name, sub, tenant, operator: true }];
    })
    .await
}

#[tokio::test]
async fn a_browser_without_a_sign_in_link_cannot_sign_in() {
    let gateway = gateway_with_sign_in(LocalSignIn::Link).await;
    let rest = Rest::new(&gateway.url, None);
    let sign_in = async |key: &str| {
        let request = rest.request(Method::POST, "/local/sign-in").header("sluice-browser-key", key);
        rest.send(request.json(&json!({"person": "alice"}))).await
    };
    let refused = rest.post("/local/sign-in", &json!({"person": "alice"})).await;
    assert_eq!(
        (refused.status, refused.header("www-authenticate")),
        (StatusCode::UNAUTHORIZED, Some("Sluice-Sign-In-Link"))
    );
    assert_eq!(sign_in("guessed").await.problem().slug(), Slug::Unauthorized);

    let local = platform::secret::Secret::new(gateway.local.secret().unwrap());
    let local = gateway::config::LocalIdentityConfig { secret: local, ..Default::default() };
    let code = sign_in_link::create_code(&local, gateway.clock.now()).unwrap();
    assert_eq!(sign_in(&code).await.status, StatusCode::UNAUTHORIZED, "the code is no browser key");
    let exchange = async || rest.post("/local/browser-key", &json!({"code": code})).await;
    let exchanged = exchange().await;
    assert_eq!((exchanged.status, exchanged.header("cache-control")), (StatusCode::OK, Some("no-store")));
    let key = exchanged.json::<Value>()["key"].as_str().unwrap().to_owned();
    let signed_in = sign_in(&key).await;
    assert_eq!(signed_in.header("cache-control"), Some("no-store"));
    let token = signed_in.json::<Value>()["token"].as_str().unwrap().to_owned();
    assert_eq!(gateway.rest(&token).get("/v1/credits").await.status, StatusCode::OK);
    assert_eq!(exchange().await.problem().slug(), Slug::Unauthorized, "a link works once");

    let foreign = rest.request(Method::POST, "/local/browser-key").header("origin", "http://evil.example");
    assert_eq!(rest.send(foreign.json(&json!({"code": code}))).await.status, StatusCode::FORBIDDEN);
    let other = Gateway::start().await;
    let absent = Rest::new(&other.url, None).post("/local/browser-key", &json!({"code": code})).await;
    assert_eq!(absent.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn sign_in_without_a_password_is_limited_to_loopback() {
    let gateway = gateway_with_sign_in(LocalSignIn::Anyone).await;
    let rest = Rest::new(&gateway.url, None);
    let sign_in = |host: Option<&str>| {
        let mut request = rest.request(Method::POST, "/local/sign-in").json(&json!({"person": "alice"}));
        if let Some(host) = host {
            request = request.header("host", host).header("origin", format!("http://{host}"));
        }
        rest.send(request)
    };
    assert_eq!(sign_in(None).await.status, StatusCode::OK);
    assert_eq!(sign_in(Some("evil.example:8080")).await.status, StatusCode::NOT_FOUND);
    // a client can forge `Host`, so the gateway does not start on an address that other machines reach
    let refused = gateway.start_error(|config| config.listen = "0.0.0.0:8080".into()).await;
    assert!(refused.to_string().contains("0.0.0.0:8080"), "{refused}");
}

#[tokio::test]
async fn an_export_above_the_unfinished_limit_is_refused_and_holds_no_credit() {
    let gateway = Gateway::start_with(|config| config.max_unfinished_per_user = 2).await;
    let rest = &gateway.rest(&gateway.token("alice", "acme"));
    let submit = |delay| async move { rest.post("/v1/exports", &flights(delay)).await };
    let answers = futures::future::join_all((0..5).map(submit)).await;
    assert_eq!(answers.iter().filter(|a| a.status == StatusCode::ACCEPTED).count(), 2);
    for refused in answers.iter().filter(|a| a.status != StatusCode::ACCEPTED) {
        assert_eq!(refused.problem().slug(), Slug::TooManyExports);
    }
    let credits: Value = rest.get("/v1/credits").await.json();
    assert_eq!((&credits["balance"], &credits["held"]), (&json!(3), &json!(2)));
}

#[tokio::test]
async fn api_descriptions_and_problem_pages_need_no_token() {
    let gateway = Gateway::start().await;
    let rest = Rest::new(&gateway.url, None);
    assert_eq!(rest.get("/v1/openapi.json").await.json::<Value>()["openapi"], "3.1.0");
    assert_eq!(rest.get("/v1/asyncapi.json").await.json::<Value>()["asyncapi"], "3.0.0");
    assert_eq!(rest.get("/healthz").await.status, StatusCode::OK);
    let ready: Value = rest.get("/readyz").await.json();
    assert_eq!(ready["ready"], true, "{ready}");
    for slug in Slug::ALL {
        assert!(rest.get(&format!("/problems/{slug}")).await.text().contains(slug.title()));
    }
    assert_eq!(rest.get("/problems/nope").await.status, StatusCode::NOT_FOUND);
    assert_eq!(rest.get("/local/people").await.problem().slug(), Slug::NotFound);
}

/// A request whose filter depends on `delay`, so that requests with different delays do not join.
fn flights(delay: i64) -> ExportRequest {
    let filter = Some(json!({"delay": {"eq": delay}}));
    ExportRequest { dataset: "flights".into(), filter, ..ExportRequest::default() }
}

fn uuid() -> String {
    protocol::id::ExportId::generate().to_string()
}
