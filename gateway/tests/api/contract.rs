//! Checks that the committed API descriptions match the generated ones. `UPDATE_CONTRACT=1` updates the files.

use std::path::Path;

use gateway::{asyncapi, openapi};
use protocol::client;

fn check(name: &str, document: &serde_json::Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
    let text = format!("{document:#}\n");
    if std::env::var_os("UPDATE_CONTRACT").is_some() {
        std::fs::write(&path, &text).expect("the docs folder is writable");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == text, "docs/{name} is out of date: run UPDATE_CONTRACT=1 cargo nextest run -p gateway");
}

#[test]
fn the_committed_openapi_document_is_current() {
    check("openapi.json", &openapi());
}

#[test]
fn the_committed_asyncapi_document_is_current() {
    let document = asyncapi();
    check("asyncapi.json", &document);
    let messages = document["components"]["messages"].as_object().expect("messages");
    for kind in client::TYPES {
        assert!(messages.contains_key(&format!("client.{kind}")), "{kind}");
    }
    for kind in ["session.ready", "export.completed", "file.sealed", "error"] {
        assert!(messages.contains_key(&format!("server.{kind}")), "{kind}");
    }
}
