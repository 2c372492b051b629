//! The committed contract is the one that the types give. `UPDATE_CONTRACT=1` writes it anew.

use std::path::Path;

use gateway::contract::{asyncapi, openapi};
use protocol::client;

fn check(name: &str, document: &serde_json::Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
    let text = format!("{document:#}\n");
    if std::env::var_os("UPDATE_CONTRACT").is_some() {
        std::fs::write(&path, &text).expect("docs can be written");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == text,
        "docs/{name} drifted from the types: run UPDATE_CONTRACT=1 cargo nextest run -p gateway"
    );
}

#[test]
fn openapi_is_what_the_types_give() {
    check("openapi.json", &openapi());
}

#[test]
fn asyncapi_is_what_the_types_give() {
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
