//! Authentication and authorization at every route and at the WebSocket handshake.

use std::{convert::Infallible, time::Duration};

use super::support::Gateway;
use axum::{Json, Router, body::Body, response::Redirect, routing::get};
use chrono::TimeDelta;
use protocol::{api_key::ApiKeyId, id::ExportId, problem::Slug};
use reqwest::{Method, StatusCode};
use serde_json::json;
use testkit::{
    client::{Client, Credential},
    rest::{Answer, Rest},
    token::Issuer,
};
use tokio::net::TcpListener;

fn routes() -> Vec<(Method, String)> {
    let export = format!("/v1/exports/{}", ExportId::generate());
    vec![
        (Method::POST, "/v1/exports".into()),
        (Method::GET, "/v1/exports".into()),
        (Method::GET, export.clone()),
        (Method::DELETE, export.clone()),
        (Method::GET, format!("{export}/file")),
        (Method::GET, format!("{export}/metadata")),
        (Method::GET, "/v1/datasets".into()),
        (Method::GET, "/v1/datasets/flights".into()),
        (Method::GET, "/v1/credits".into()),
        (Method::POST, "/v1/tickets".into()),
        (Method::POST, "/v1/keys".into()),
        (Method::GET, "/v1/keys".into()),
        (Method::DELETE, format!("/v1/keys/{}", ApiKeyId::generate())),
        (Method::GET, "/v1/events".into()),
        (Method::GET, "/v1/nothing-here".into()),
        (Method::GET, "/v1/".into()),
        (Method::GET, "/v1/ws".into()),
    ]
}

#[tokio::test]
async fn invalid_tokens_are_refused_at_every_route_and_before_the_upgrade() {
    let gateway = Gateway::start().await;
    let unknown_issuer = Issuer::rs256();
    let mut invalid = vec![unknown_issuer.token("alice", "acme").sign(), "nonsense".to_owned()];
    // the form of an API key, with a wrong and with the right checksum
    let secret = format!("slk_{}", "0".repeat(64));
    let checksum = &testkit::sha256(secret.as_bytes())[..8];
    invalid.extend(["slk_".to_owned(), format!("{secret}00000000"), format!("{secret}{checksum}")]);
    for issuer in [&gateway.local, &gateway.issuers[0], &gateway.issuers[1], &gateway.issuers[2]] {
        let token = issuer.token("alice", "acme");
        for changed in [
            token.clone().bad_signature(),
            token.clone().alg_none(),
            token.clone().unsigned(),
            token.clone().expired(),
            token.clone().not_yet_valid(),
            token.clone().wrong_audience(),
            token.clone().wrong_issuer(),
            token.clone().without("exp"),
            token.clone().without("aud"),
            token.clone().without("iss"),
            token.clone().without("sub"),
            token.clone().without("tenant"),
            token.clone().critical(),
            token.clone().claim("iss", json!(["sluice"])),
            token.clone().claim("sub", "ali\0ce"),
            token.clone().claim("sub", ApiKeyId::generate().subject()),
            token.clone().claim("groups", json!([{"name": "a\0"}])),
        ] {
            invalid.push(changed.sign());
        }
    }
    for token in invalid.iter().map(Some).chain([None]) {
        let rest = Rest::new(&gateway.url, token.map(String::as_str));
        for (method, path) in routes() {
            let mut request = rest.request(method.clone(), &path);
            if method == Method::POST {
                request = request.json(&json!({"dataset": "flights"}));
            }
            let answer = rest.send(request).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{method} {path} with {token:?}");
            assert!(answer.header("www-authenticate").is_some_and(|h| h.starts_with("Bearer")));
            assert_eq!(answer.problem().slug(), Slug::Unauthorized);
            assert!(answer.problem().trace_id.is_some());
        }
        let credential = token.map_or(Credential::None, |token| Credential::Bearer(token));
        let refusal = Client::connect(&gateway.url, credential).await.err().expect("no upgrade");
        assert_eq!(refusal.status, StatusCode::UNAUTHORIZED, "{token:?}");
        assert_eq!(refusal.problem.expect("a problem body").slug(), Slug::Unauthorized);
    }
}

#[tokio::test]
async fn valid_tokens_of_every_algorithm_are_accepted_with_one_fetch_of_the_keys() {
    let gateway = Gateway::start().await;
    for issuer in gateway.issuers.iter().chain([&gateway.local]) {
        let token = issuer.token("alice", "acme").sign();
        assert_eq!(gateway.rest(&token).get("/v1/credits").await.status, StatusCode::OK);
        assert!(Client::connect(&gateway.url, Credential::Bearer(&token)).await.is_ok());
    }
    assert_eq!(gateway.jwks.requests(), 1);
}

#[tokio::test]
async fn a_public_key_is_not_accepted_as_an_hmac_secret() {
    let gateway = Gateway::start().await;
    for issuer in &gateway.issuers {
        let forged = Issuer::local(&issuer.jwk().to_string()).token("alice", "acme").sign();
        assert_eq!(gateway.rest(&forged).get("/v1/credits").await.status, StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn a_ticket_works_once_and_for_thirty_seconds() {
    let gateway = Gateway::start().await;
    let rest = gateway.rest(&gateway.token("alice", "acme"));
    let create = async || {
        let answer = rest.send(rest.request(Method::POST, "/v1/tickets")).await;
        assert_eq!(answer.status, StatusCode::CREATED);
        answer.json::<serde_json::Value>()["ticket"].as_str().expect("a ticket").to_owned()
    };
    let refused = async |ticket: &str| {
        let refusal = Client::connect(&gateway.url, Credential::Ticket(ticket)).await.err().expect("no upgrade");
        assert_eq!(refusal.status, StatusCode::UNAUTHORIZED);
    };

    let ticket = create().await;
    assert!(Client::connect(&gateway.url, Credential::Ticket(&ticket)).await.is_ok());
    refused(&ticket).await;
    refused("unknown").await;

    let expired = create().await;
    gateway.clock.advance(TimeDelta::seconds(31));
    refused(&expired).await;

    let contested = create().await;
    let (one, two) = tokio::join!(
        Client::connect(&gateway.url, Credential::Ticket(&contested)),
        Client::connect(&gateway.url, Credential::Ticket(&contested)),
    );
    assert_eq!([one.is_ok(), two.is_ok()].iter().filter(|ok| **ok).count(), 1);
}

/// Starts an identity provider with these routes, and returns its URL.
async fn provider(routes: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    url
}

/// Sends a request with a valid token to a gateway that fetches its keys from this URL. Returns the answer.
async fn answer_with_keys_of(gateway: &Gateway, url: String) -> Answer {
    let other = gateway.another(|config| config.identity.jwks_url = url).await;
    let token = gateway.issuers[0].token("alice", "acme").sign();
    Rest::new(&other, Some(&token)).get("/v1/credits").await
}

#[tokio::test]
async fn the_keys_of_another_origin_and_a_huge_key_set_are_not_accepted() {
    let gateway = Gateway::start().await;
    let keys = gateway.jwks.url().to_owned();
    let redirect = move || std::future::ready(Redirect::temporary(&keys));
    let huge = format!("{{\"keys\": [], \"x\": \"{}\"}}", "x".repeat(2 << 20));
    let routes =
        Router::new().route("/moved-elsewhere", get(redirect)).route("/huge", get(move || std::future::ready(huge)));
    let url = provider(routes).await;
    for path in ["moved-elsewhere", "huge"] {
        // no key is known, so no token can be called wrong
        let answer = answer_with_keys_of(&gateway, format!("{url}/{path}")).await;
        assert_eq!(answer.problem().slug(), Slug::Unavailable, "{path}");
    }
    assert_eq!(answer_with_keys_of(&gateway, gateway.jwks.url().to_owned()).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_redirect_within_the_origin_of_the_keys_is_followed() {
    let gateway = Gateway::start().await;
    let keys = Issuer::jwks(&gateway.issuers);
    let routes = Router::new()
        .route("/moved", get(|| async { Redirect::temporary("/keys") }))
        .route("/keys", get(move || std::future::ready(Json(keys))));
    let url = provider(routes).await;
    assert_eq!(answer_with_keys_of(&gateway, format!("{url}/moved")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn slow_a_provider_that_hangs_or_drips_makes_tokens_unverifiable_and_blocks_no_request() {
    let gateway = Gateway::start().await;
    // a space before a JSON document means nothing, so this key set begins and never ends
    let drip = || async {
        let ticks = tokio::time::interval(Duration::from_millis(100));
        let spaces = futures::stream::unfold(ticks, |mut ticks| async {
            ticks.tick().await;
            Some((Ok::<_, Infallible>(" "), ticks))
        });
        Body::from_stream(spaces)
    };
    let routes = Router::new().route("/hangs", get(std::future::pending::<String>)).route("/drips", get(drip));
    let url = provider(routes).await;
    // without a deadline neither answers before the client of the test gives up
    let (hangs, drips) = tokio::join!(
        answer_with_keys_of(&gateway, format!("{url}/hangs")),
        answer_with_keys_of(&gateway, format!("{url}/drips")),
    );
    for answer in [hangs, drips] {
        assert_eq!(answer.problem().slug(), Slug::Unavailable);
    }
}

#[tokio::test]
async fn a_store_of_tickets_that_fails_is_unavailable_and_says_nothing_about_the_ticket() {
    let gateway = Gateway::start().await;
    let rest = gateway.rest(&gateway.token("alice", "acme"));
    let issue = async || rest.send(rest.request(Method::POST, "/v1/tickets")).await;
    let ticket = issue().await.json::<serde_json::Value>()["ticket"].as_str().expect("a ticket").to_owned();
    let jetstream = gateway.bus.jetstream();
    jetstream.delete_stream(protocol::subject::KV_TICKETS).await.expect("the bucket exists");
    let refusal = Client::connect(&gateway.url, Credential::Ticket(&ticket)).await.err().expect("no upgrade");
    assert_eq!(refusal.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refusal.www_authenticate, None);
    assert_eq!(refusal.problem.expect("a problem body").slug(), Slug::Unavailable);
    assert_eq!(issue().await.problem().slug(), Slug::Unavailable);
}

#[tokio::test]
async fn scopes_limit_the_datasets_and_pages_of_other_origins_are_refused() {
    let gateway = Gateway::start().await;
    let token = gateway.local.token("alice", "acme").scope("export:counts").sign();
    let rest = gateway.rest(&token);
    let listed: serde_json::Value = rest.get("/v1/datasets").await.json();
    assert_eq!(listed["items"].as_array().expect("items").len(), 1);
    assert_eq!(rest.get("/v1/datasets/flights").await.problem().slug(), Slug::Forbidden);
    let answer = rest.post("/v1/exports", &json!({"dataset": "flights"})).await;
    assert_eq!((answer.status, answer.problem().slug()), (StatusCode::FORBIDDEN, Slug::Forbidden));

    let foreign = Client::connect_from(&gateway.url, Credential::Bearer(&token), Some("https://evil.example")).await;
    assert_eq!(foreign.err().expect("no upgrade").status, StatusCode::FORBIDDEN);
    assert!(Client::connect_from(&gateway.url, Credential::Bearer(&token), Some(&gateway.url)).await.is_ok());
}

#[tokio::test]
async fn only_pages_of_allowed_origins_may_call_the_api() {
    let app = "https://app.example.com";
    let gateway = Gateway::start_with(|config| config.allowed_origins = vec![app.to_owned()]).await;
    let rest = gateway.rest(&gateway.token("alice", "acme"));
    for (origin, allowed) in [(app, true), ("https://evil.example", false)] {
        let preflight = Rest::new(&gateway.url, None);
        let request = preflight.request(Method::OPTIONS, "/v1/exports").header("origin", origin);
        let request = request.header("access-control-request-method", "POST");
        let answer = preflight.send(request.header("access-control-request-headers", "authorization")).await;
        assert_eq!(answer.header("access-control-allow-origin"), allowed.then_some(app));
        let answer = rest.send(rest.request(Method::GET, "/v1/credits").header("origin", origin)).await;
        assert_eq!(answer.header("access-control-allow-origin"), allowed.then_some(app));
    }
}

#[tokio::test]
async fn a_session_ends_with_its_token_unless_it_is_refreshed() {
    let gateway = Gateway::start().await;
    let short = gateway.local.token("alice", "acme").expires_in(TimeDelta::seconds(2)).sign();
    let mut client = Client::connect(&gateway.url, Credential::Bearer(&short)).await.expect("the session starts");
    // the gateway's manual clock stands still until the test advances it
    let longer = gateway.token("alice", "acme");
    client.send_text(&json!({"type": "session.refresh", "ref": "r", "token": longer}).to_string()).await;
    let refreshed = |m: &protocol::server::ServerMessage| {
        matches!(m, protocol::server::ServerMessage::SessionRefreshed { .. }).then_some(())
    };
    client.expect_text("session.refreshed", refreshed).await;
    let other = gateway.token("bob", "acme");
    client.send_text(&json!({"type": "session.refresh", "ref": "s", "token": other}).to_string()).await;
    assert_eq!(client.expect_error(Some("s")).await.slug(), Slug::Forbidden);

    let mut unrefreshed = Client::connect(&gateway.url, Credential::Bearer(&short)).await.expect("the session starts");
    // far beyond the expiry, for every start time of the manual clock
    gateway.clock.advance(TimeDelta::minutes(10));
    assert_eq!(unrefreshed.expect_close().await, Some(4401));
    client.send_text(r#"{"type":"ping","ref":"still here"}"#).await;
    let pong =
        |m: &protocol::server::ServerMessage| matches!(m, protocol::server::ServerMessage::Pong { .. }).then_some(());
    client.expect_text("pong", pong).await;
}
