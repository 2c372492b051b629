//! The script for pages of other products.

use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::support::Gateway;

#[tokio::test]
async fn every_origin_may_load_the_script_with_its_hash_and_only_known_ones_may_call_the_api() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("embed")).unwrap();
    std::fs::write(folder.path().join("index.html"), "<!doctype html>").unwrap();
    std::fs::write(folder.path().join("embed/sluice.js"), "export {};").unwrap();
    let known = "https://shop.example.com";
    let gateway = Gateway::start_with(|config| {
        config.web_dir = folder.path().display().to_string();
        config.allowed_origins = vec![known.to_owned()];
    })
    .await;
    let http = reqwest::Client::new();
    let config: Value = http.get(format!("{}/config.json", gateway.url)).send().await.unwrap().json().await.unwrap();
    let hash = STANDARD.encode(digest::digest(&digest::SHA384, b"export {};"));
    assert_eq!(config["embed"], json!({"path": "/embed/sluice.js", "integrity": format!("sha384-{hash}")}));
    for origin in [known, "https://other.example.com"] {
        let get = |path: &str| http.get(format!("{}{path}", gateway.url)).header("origin", origin);
        let script = get("/embed/sluice.js").send().await.unwrap();
        assert_eq!(script.status(), 200);
        for (name, value) in [
            ("access-control-allow-origin", "*"),
            ("cross-origin-resource-policy", "cross-origin"),
            ("cache-control", "public, no-cache"),
            ("content-type", "text/javascript; charset=utf-8"),
            ("x-content-type-options", "nosniff"),
        ] {
            assert_eq!(script.headers()[name], value, "{origin}: {name}");
        }
        let tag = script.headers()["etag"].clone();
        assert_eq!(script.text().await.unwrap(), "export {};");
        assert_eq!(get("/embed/sluice.js").header("if-none-match", tag).send().await.unwrap().status(), 304);
        let api = get("/v1/exports").send().await.unwrap();
        let allowed = api.headers().get("access-control-allow-origin").map(|value| value.to_str().unwrap());
        assert_eq!(allowed, (origin == known).then_some(known));
        let own_page = get("/").send().await.unwrap();
        assert_eq!(own_page.headers()["cross-origin-resource-policy"], "same-origin");
    }
    let refused = http.post(format!("{}/embed/sluice.js", gateway.url)).send().await.unwrap();
    assert_eq!(refused.status(), 405);
    assert_eq!(refused.headers()["content-type"], "application/problem+json");
    assert_eq!(http.get(format!("{}/embed/other.js", gateway.url)).send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn a_gateway_without_the_built_script_does_not_announce_it() {
    let gateway = Gateway::start().await;
    let http = reqwest::Client::new();
    let config: Value = http.get(format!("{}/config.json", gateway.url)).send().await.unwrap().json().await.unwrap();
    assert_eq!(config.get("embed"), None);
    let missing = http.get(format!("{}/embed/sluice.js", gateway.url)).send().await.unwrap();
    assert_eq!(missing.status(), 404);
    assert_eq!(missing.headers()["content-type"], "application/problem+json");
}
