//! Entity tags of lists and datasets, and compressed JSON.

use std::io::Read;

use reqwest::Method;
use serde_json::{Value, json};
use testkit::rest::Answer;

use super::support::Gateway;

fn etag(answer: &Answer) -> String {
    answer.header("etag").unwrap_or_else(|| panic!("no ETag: {}", answer.text())).to_owned()
}

#[tokio::test]
async fn lists_and_datasets_are_sent_again_only_when_they_have_changed() {
    let gateway = Gateway::start().await;
    let rest = gateway.rest(&gateway.token("alice", "acme"));
    let mut tags = Vec::new();
    for path in ["/v1/datasets", "/v1/datasets/flights", "/v1/datasets/counts", "/v1/exports"] {
        let tag = etag(&rest.get(path).await);
        assert!(tag.starts_with("W/\""), "{path}: {tag}");
        let again = rest.send(rest.request(Method::GET, path).header("if-none-match", &tag)).await;
        assert_eq!((again.status.as_u16(), again.body.len(), etag(&again)), (304, 0, tag.clone()), "{path}");
        tags.push(tag);
    }
    // the tags of two datasets differ
    assert_ne!(tags[1], tags[2]);

    // a new export changes the list
    let export: Value = rest.post("/v1/exports", &json!({"dataset": "flights"})).await.json();
    let list = rest.send(rest.request(Method::GET, "/v1/exports").header("if-none-match", &tags[3])).await;
    assert_eq!(list.status, 200);
    assert_eq!(list.json::<Value>()["items"][0]["id"], export["id"]);
}

#[tokio::test]
async fn json_is_compressed_for_clients_that_accept_it() {
    let gateway = Gateway::start().await;
    let rest = gateway.rest(&gateway.token("alice", "acme"));
    for path in ["/v1/openapi.json", "/v1/datasets"] {
        let plain = rest.get(path).await;
        assert_eq!(plain.header("content-encoding"), None, "{path}");
        let zipped = rest.send(rest.request(Method::GET, path).header("accept-encoding", "gzip")).await;
        assert_eq!(zipped.header("content-encoding"), Some("gzip"), "{path}");
        assert!(zipped.header("vary").unwrap_or_default().contains("accept-encoding"), "{path}");
        assert!(zipped.body.len() < plain.body.len() / 2, "{path}");
        let mut text = String::new();
        flate2::read::GzDecoder::new(&zipped.body[..]).read_to_string(&mut text).unwrap();
        assert_eq!(text, plain.text(), "{path}");
    }

    // a ticket is a secret, and a short answer is not worth it
    for (method, path) in [(Method::POST, "/v1/tickets"), (Method::GET, "/v1/credits")] {
        let answer = rest.send(rest.request(method, path).header("accept-encoding", "gzip")).await;
        assert_eq!(answer.header("content-encoding"), None, "{path}: {}", answer.text());
    }

    // the tag of a compressed export is weak, and names the plain one too
    let export: Value = rest.post("/v1/exports", &json!({"dataset": "flights"})).await.json();
    let path = format!("/v1/exports/{}", export["id"].as_str().unwrap());
    let strong = etag(&rest.get(&path).await);
    assert!(strong.starts_with('"'));
    let request = rest.request(Method::GET, &path).header("if-none-match", format!("W/{strong}"));
    assert_eq!(rest.send(request.header("accept-encoding", "gzip")).await.status, 304);
}
