//! Tests the documentation: its Rust code is part of the calendar example, and an exporter accepts its TOML.

#![expect(clippy::unwrap_used, reason = "a document that can't be read fails")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use exporter::{
    ExporterConfig, Registry,
    catalog::{LoadContext, Loaded, load},
};
use sea_orm::ConnectionTrait;
use serde::Deserialize;

/// The line that marks omitted lines in a block of Rust.
const GAP: &str = "// …";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn document(name: &str) -> String {
    fs::read_to_string(root().join("docs").join(name)).unwrap()
}

/// Returns the code blocks of a document in one language, each with the number of its first line.
fn blocks(document: &str, language: &str) -> Vec<(usize, String)> {
    let (mut found, mut open): (Vec<(usize, String)>, bool) = (Vec::new(), false);
    let begin = format!("```{language}");
    for (at, line) in document.lines().enumerate() {
        if !open && line == begin {
            open = true;
            found.push((at + 2, String::new()));
        } else if line == "```" {
            open = false;
        } else if open && let Some((_, block)) = found.last_mut() {
            block.push_str(line);
            block.push('\n');
        }
    }
    assert!(!open && !found.is_empty(), "no block of {language}, or one without an end");
    found
}

/// Returns the lines of a text, without leading and trailing spaces.
fn lines(text: &str) -> Vec<&str> {
    text.lines().map(str::trim).collect()
}

/// Whether all parts of a block, split at its gaps, occur in a file in this order.
fn occurs_in(block: &str, file: &str) -> bool {
    let (block, mut rest) = (lines(block), &lines(file)[..]);
    block.split(|line| *line == GAP).all(|part| {
        let found = rest.windows(part.len().max(1)).position(|run| run == part);
        rest = found.map_or(&[][..], |at| &rest[at + part.len()..]);
        found.is_some()
    })
}

#[test]
fn all_rust_of_the_documentation_is_part_of_the_example() {
    let sources = root().join("exporter/examples/calendar/src");
    let files: Vec<_> =
        fs::read_dir(sources).unwrap().map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap()).collect();
    let shown = blocks(&document("extending.md"), "rust");
    assert!(shown.len() >= 2);
    for (line, block) in shown {
        assert!(files.iter().any(|file| occurs_in(&block, file)), "docs/extending.md:{line}:\n{block}");
        // the check itself finds a difference
        let (_, other) = block.split_once('(').unwrap();
        assert!(!files.iter().any(|file| occurs_in(&format!("other({other}"), file)));
    }
}

#[test]
fn the_documented_dataset_is_a_whole_file_of_at_most_30_lines() {
    let file = fs::read_to_string(root().join("exporter/examples/calendar/src/days.rs")).unwrap();
    let (about, code) = file.split_once("\n\n").unwrap();
    assert!(about.lines().all(|line| line.starts_with("//!")), "{about}");
    let shown = blocks(&document("extending.md"), "rust");
    let (_, dataset) = shown.first().unwrap();
    assert_eq!(dataset, code);
    assert!(code.lines().count() <= 30, "{} lines", code.lines().count());
}

#[test]
fn all_named_files_exist() {
    let text = document("extending.md");
    let named: Vec<_> =
        text.split('`').skip(1).step_by(2).filter(|name| name.contains('/') && !name.contains(['{', '\n'])).collect();
    assert!(named.len() > 5, "{named:?}");
    for name in named {
        assert!(root().join(name).exists(), "docs/extending.md names {name}");
    }
}

/// Loads a catalog file with this text, in the folder of its data files.
async fn loaded(dir: &Path, text: &str) -> Loaded {
    let config = ExporterConfig { datasets_dir: dir.to_owned(), ..ExporterConfig::default() };
    let file = dir.join("catalog.toml");
    fs::write(&file, text).unwrap();
    let loaded = load(&file, &LoadContext::new(&config), &Registry::built_in()).await;
    let loaded = loaded.unwrap_or_else(|faults| panic!("{faults}\n{text}"));
    assert!(loaded.unavailable.is_empty(), "{:?}", loaded.unavailable);
    loaded
}

/// The settings of an exporter.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    exporter: ExporterConfig,
}

#[tokio::test]
async fn an_exporter_accepts_all_toml_of_the_documentation() {
    // the server stops when this is dropped
    let postgres = testkit::db::Postgres::start().await;
    let database = postgres.database().await;
    let tables = "CREATE SCHEMA sales; CREATE TABLE sales.orders (id bigint, tenant_id text, ordered_at timestamptz, \
                  card_number text, region text, amount numeric)";
    database.db.execute_unprepared(tables).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    write("url", database.url());
    write("holidays.csv", "day,name\n2026-12-25,Christmas Day\n");
    write("orders.csv", "o_orderkey,price,quantity,discount,o_orderdate,paid\n1,2.5,3,0.1,2026-11-23,true\n");
    // a dataset for the templates
    let orders = "[[dataset]]\nname = \"orders\"\nfiles = \"orders.csv\"\n";
    // variables of this process would leak into other tests
    let url = format!("{{ file = \"{}\" }}", dir.path().join("url").display());
    let (mut settings, mut datasets, mut templates) = (0, 0, 0);
    for name in ["extending.md", "catalog.md", "templates.md"] {
        for (line, block) in blocks(&document(name), "toml") {
            if block.starts_with("[exporter]") {
                let parsed: Settings = toml::from_str(&block).unwrap_or_else(|e| panic!("docs/{name}:{line}: {e}"));
                parsed.exporter.validate().unwrap();
                settings += 1;
                continue;
            }
            let block = block.replace("{ env = \"WAREHOUSE_URL\" }", &url);
            let before = if block.starts_with("[[template]]") { orders } else { "" };
            let loaded = loaded(dir.path(), &format!("{before}{block}")).await;
            datasets += loaded.datasets.len() - usize::from(!before.is_empty());
            templates += loaded.templates.len();
        }
    }
    assert_eq!((settings, datasets, templates), (2, 3, 1));
}
