//! Hostile text in every string that a client can send, over REST and the WebSocket: the gateway refuses the text with a
//! problem, or treats the text as data. It never becomes part of a statement, a path, a subject or a header.

use std::{collections::BTreeSet, fs::File};

use e2e::{CatalogFile, Fleet, SourceDatabase};
use polars::prelude::{Column, DataFrame, ParquetWriter};
use protocol::{
    client::{ClientMessage, Ping, encode},
    estimate::Estimate,
    export::{Export, ExportPage, ExportRequest, Status},
    problem::Problem,
    server::ServerMessage,
};
use reqwest::{Method, StatusCode};
use sea_orm::{ConnectionTrait, Database, DatabaseConnection};
use serde_json::{Value, json};
use testkit::{
    client::{Client, Credential},
    rest::{Answer, Rest},
};

/// Hostile texts. Each is a row of every dataset too.
const HOSTILE: [&str; 36] = [
    "'; DROP TABLE things; --",
    "\"; DROP TABLE things; --",
    "'); DELETE FROM things; --",
    "x' OR '1'='1",
    "') OR true --",
    "' UNION SELECT id, note FROM hidden --",
    "%' OR note LIKE '%",
    "\\'; DROP TABLE things; --",
    "E'\\x27; DROP TABLE things; --",
    "$$; DROP TABLE things; $$",
    "$1",
    ":note",
    "?1",
    "/* */ 1 = 1",
    "1; SELECT pg_sleep(30)",
    "'||pg_sleep(30)||'",
    "COPY things TO PROGRAM 'id'",
    "ATTACH DATABASE '/tmp/x.db' AS x",
    "../../../../etc/passwd",
    "..\\..\\secret",
    "/etc/passwd",
    "file:///etc/passwd",
    "%2e%2e%2f%00",
    "a\r\nSet-Cookie: session=1",
    "a\nb",
    "\u{202e}vsc.exe",
    "\u{feff}note",
    "\"quoted\"",
    "`id` $(id) ${id}",
    "{{7*7}}",
    "sluice.v1.job.>",
    "*",
    "{\"claim\": \"tenant\"}",
    "<script>alert(1)</script>",
    "𝕏\u{1f600}\u{301}",
    " ",
];

/// A text with NUL, the one character that no text may have.
const NUL: &str = "a\u{0}'; DROP TABLE things; --";

const CATALOG: &str = r#"
[source.postgres]
kind = "postgres"
url = { env = "SOURCE_DATABASE_URL" }

[source.lite]
kind = "sqlite"
path = "lite.db"

[[dataset]]
name = "table"
from = "postgres"
table = "things"

[[dataset]]
name = "query"
from = "postgres"
query = "SELECT id, note FROM things WHERE note = :note OR :note = '' OR note IN (:notes)"
[[dataset.param]]
name = "note"
type = "string"
default = ""
[[dataset.param]]
name = "notes"
type = "strings"
default = ["none"]

[[dataset]]
name = "lite_table"
from = "lite"
table = "things"

[[dataset]]
name = "lite_query"
from = "lite"
query = "SELECT id, note FROM things WHERE note = :note OR :note = '' OR note IN (:notes)"
[[dataset.column]]
name = "id"
type = "int"
[[dataset.column]]
name = "note"
type = "string"
[[dataset.param]]
name = "note"
type = "string"
default = ""
[[dataset.param]]
name = "notes"
type = "strings"
default = ["none"]

[[dataset]]
name = "file"
files = "things.parquet"

[[template]]
name = "named"
file_name = "Straße {requested_at:yyyy-MM-dd} ({template}) {dataset}"
[[template.column]]
source = "note"
"#;

const DATASETS: [&str; 5] = ["table", "query", "lite_table", "lite_query", "file"];

/// A text as an SQL literal, for both databases.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

struct Fixture {
    source: SourceDatabase,
    lite: DatabaseConnection,
    fleet: Fleet,
    catalog: CatalogFile,
}

impl Fixture {
    async fn start() -> Self {
        let source = SourceDatabase::start().await;
        let catalog = CatalogFile::new(CATALOG);
        let url = format!("sqlite://{}?mode=rwc", catalog.dir.path().join("lite.db").display());
        let lite = Database::connect(url).await.expect("a new folder is writable");
        let rows: Vec<_> = HOSTILE.iter().enumerate().map(|(n, text)| format!("({n}, {})", literal(text))).collect();
        let rows = rows.join(", ");
        for statement in [
            "CREATE TABLE things (id bigint, note text)".to_owned(),
            "CREATE TABLE hidden (id bigint, note text)".to_owned(),
            format!("INSERT INTO things VALUES {rows}"),
            "INSERT INTO hidden VALUES (1, 'hidden text')".to_owned(),
        ] {
            source.run(&statement).await;
            lite.execute_unprepared(&statement).await.expect("a valid statement");
        }
        let mut frame = DataFrame::new_infer_height(vec![
            Column::new("id".into(), (0..HOSTILE.len() as i64).collect::<Vec<_>>()),
            Column::new("note".into(), HOSTILE.to_vec()),
        ])
        .expect("columns of one height");
        let file = File::create(catalog.dir.path().join("things.parquet")).expect("a new folder is writable");
        ParquetWriter::new(file).finish(&mut frame).expect("a frame can be written");
        let fleet = catalog.start_fleet(Some(&source), &DATASETS, vec![]).await;
        Self { source, lite, fleet, catalog }
    }

    /// All contents of the databases.
    async fn contents(&self) -> Vec<String> {
        let mut all = self
            .source
            .texts(
                "SELECT 'table ' || tablename AS text FROM pg_tables WHERE schemaname = 'public' \
                 UNION ALL SELECT 'thing ' || t::text FROM things t UNION ALL SELECT 'hidden ' || h::text FROM hidden h",
            )
            .await;
        for select in [
            "SELECT 'lite table ' || name || sql FROM sqlite_master",
            "SELECT 'lite thing ' || id || note FROM things UNION ALL SELECT 'lite hidden ' || id || note FROM hidden",
            "PRAGMA database_list",
        ] {
            let rows = self.lite.query_all_raw(sea_orm::Statement::from_string(sea_orm::DbBackend::Sqlite, select));
            for row in rows.await.expect("a valid statement") {
                let text: Result<String, _> = row.try_get_by_index(usize::from(select.starts_with("PRAGMA")));
                all.push(text.expect("a text"));
            }
        }
        all.sort();
        all
    }

    fn rest_of(&self, sub: &str) -> Rest {
        Rest::new(self.fleet.url(), Some(&self.fleet.token(sub, "acme")))
    }
}

/// Asserts that an answer is a client error without hidden contents. Returns its problem.
fn refused(answer: &Answer, what: &str) -> Problem {
    assert!(answer.status.is_client_error(), "{what}: {} {}", answer.status, answer.text());
    let problem = answer.problem();
    assert!(!answer.text().contains("hidden text") && !answer.text().contains("root:"), "{what}: {problem}");
    problem
}

async fn estimate(rest: &Rest, body: &Value) -> Estimate {
    let answer = rest.post("/v1/exports/estimate", body).await;
    assert_eq!(answer.status, StatusCode::OK, "{body}: {}", answer.text());
    answer.json()
}

/// Requests with a text as a name, and the JSON pointer to the text in each.
fn as_names(dataset: &str, text: &str) -> Vec<(Value, String)> {
    let escaped = text.replace('~', "~0").replace('/', "~1");
    let mut bodies = vec![
        (json!({"dataset": text}), "/dataset".to_owned()),
        (json!({"dataset": dataset, "template": text}), "/template".to_owned()),
        (json!({"dataset": dataset, "format": text}), "/format".to_owned()),
        (json!({"dataset": dataset, "compression": text}), "/compression".to_owned()),
        (json!({"dataset": dataset, "columns": [text]}), "/columns/0".to_owned()),
        (json!({"dataset": dataset, "filter": {text: {"eq": 1}}}), format!("/filter/{escaped}")),
        (json!({"dataset": dataset, "filter": {"note": {text: "x"}}}), format!("/filter/note/{escaped}")),
        (json!({"dataset": dataset, "filter": {"or": [{text: {"is_null": true}}]}}), format!("/filter/or/0/{escaped}")),
        (json!({"dataset": dataset, "filter": {"id": {"eq": text}}}), "/filter/id/eq".to_owned()),
        (json!({"dataset": dataset, "filter": {"id": {"in": [1, text]}}}), "/filter/id/in/1".to_owned()),
        (json!({"dataset": dataset, "params": {text: "x"}}), format!("/params/{escaped}")),
    ];
    if text == NUL {
        bodies.push((json!({"dataset": dataset, "filter": {"note": {"eq": text}}}), "/filter/note/eq".to_owned()));
        bodies.push((json!({"dataset": "query", "params": {"note": text}}), "/params/note".to_owned()));
    }
    bodies
}

#[tokio::test]
async fn slow_the_gateway_refuses_hostile_names_over_rest() {
    let fixture = Fixture::start().await;
    let before = fixture.contents().await;
    let rest = fixture.fleet.rest();
    for (at, text) in HOSTILE.into_iter().chain([NUL, ""]).enumerate() {
        for (body, pointer) in as_names(DATASETS[at % DATASETS.len()], text) {
            for path in ["/v1/exports", "/v1/exports/estimate"] {
                let answer = rest.post(path, &body).await;
                let problem = refused(&answer, &body.to_string());
                assert_eq!(problem.errors.first().map(|e| e.pointer.as_str()), Some(pointer.as_str()), "{problem:?}");
            }
        }
        let escaped: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
        for path in [
            format!("/v1/datasets/{escaped}x"),
            format!("/v1/exports/{escaped}x"),
            format!("/v1/exports/{escaped}x/file"),
            format!("/v1/exports/{escaped}x/metadata"),
            format!("/v1/exports?status={escaped}x"),
            format!("/v1/exports?cursor={escaped}x"),
            format!("/v1/exports?limit={escaped}x"),
            format!("/v1/exports?{escaped}x=1"),
        ] {
            refused(&rest.get(&path).await, &path);
        }
        refused(&rest.delete(&format!("/v1/exports/{escaped}x")).await, text);
        let listed = rest.get(&format!("/v1/exports?dataset={escaped}x")).await;
        if listed.status.is_success() {
            assert_eq!(listed.json::<ExportPage>().items, [], "{text}");
        } else {
            refused(&listed, text);
        }
    }
    // A header value is data, or the HTTP library refuses it.
    let rest = fixture.rest_of("keys");
    let request = json!({"dataset": "file", "columns": ["nope"]});
    for text in HOSTILE {
        let key = reqwest::header::HeaderValue::from_bytes(text.as_bytes());
        let Ok(key) = key else { continue };
        for header in ["idempotency-key", "prefer", "traceparent", "x-request-id"] {
            let request = rest.request(Method::POST, "/v1/exports").header(header, key.clone()).json(&request);
            refused(&rest.send(request).await, text);
        }
    }
    assert_eq!(fixture.contents().await, before, "a request changed the databases");
}

#[tokio::test]
async fn slow_hostile_values_are_data_in_every_dataset() {
    let fixture = Fixture::start().await;
    let before = fixture.contents().await;
    let rest = fixture.fleet.rest();
    for dataset in DATASETS {
        for (at, text) in HOSTILE.into_iter().enumerate() {
            let mut bodies = vec![
                json!({"dataset": dataset, "filter": {"note": {"eq": text}}}),
                json!({"dataset": dataset, "filter": {"note": {"in": [text, "no such note"]}}}),
                json!({"dataset": dataset, "filter": {"note": {"between": [text, text]}}}),
                json!({"dataset": dataset, "filter": {"not": {"note": {"ne": text}}}}),
            ];
            if dataset.ends_with("query") {
                bodies.push(json!({"dataset": dataset, "params": {"note": text}}));
                bodies.push(json!({"dataset": dataset, "params": {"note": "no such note", "notes": ["x", text]}}));
            }
            for body in bodies {
                let shown = estimate(&rest, &body).await;
                assert_eq!((shown.rows, shown.exact), (Some(1), true), "{body}");
                assert_eq!((&shown.preview[0]["id"], &shown.preview[0]["note"]), (&json!(at), &json!(text)), "{body}");
            }
            let matches = HOSTILE.iter().filter(|other| other.contains(text)).count() as u64;
            let body = json!({"dataset": dataset, "filter": {"note": {"contains": text}}});
            assert_eq!(estimate(&rest, &body).await.rows, Some(matches), "{body}");
        }
        // The file has every text unchanged.
        let rest = fixture.rest_of(dataset);
        let body = json!({"dataset": dataset, "format": "ndjson", "filter": {"note": {"in": HOSTILE.to_vec()}}});
        let request: ExportRequest = serde_json::from_value(body).expect("a request");
        let done = rest.ended(rest.create(&request).await.id).await;
        assert_eq!(done.status, Status::Completed, "{:?}", done.problem);
        let file = rest.get(&done.links.file).await.text();
        let rows: Vec<Value> = file.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let notes: BTreeSet<_> = rows.iter().filter_map(|row| row["note"].as_str()).collect();
        assert_eq!((notes, rows.len()), (HOSTILE.into_iter().collect(), HOSTILE.len()), "{dataset}");
        let shown: Export = rest.get(&done.links.this).await.json();
        assert_eq!(shown.filter, json!({"note": {"in": HOSTILE.to_vec()}}), "the filter is stored unchanged");
    }
    assert_eq!(fixture.contents().await, before, "a request changed the databases");
}

#[tokio::test]
async fn hostile_text_over_the_websocket_is_refused_or_returned_unchanged() {
    let fixture = Fixture::start().await;
    let before = fixture.contents().await;
    for (at, text) in HOSTILE.into_iter().chain([NUL]).enumerate() {
        // A new user for each text, whose names are the text.
        let token = fixture.fleet.token(text, text);
        let mut client = match Client::connect(fixture.fleet.url(), Credential::Bearer(&token)).await {
            Ok(client) => client,
            Err(refusal) => {
                assert!(refusal.status.is_client_error(), "{text}: {refusal:?}");
                fixture.fleet.client().await
            }
        };
        client.send(&ClientMessage::Ping(Ping {}), Some(text)).await;
        let pong = |m: &ServerMessage| match m {
            ServerMessage::Pong { reference } => Some(reference.clone()),
            _ => None,
        };
        assert_eq!(client.expect_text("pong", pong).await.as_deref(), Some(text));
        for (body, pointer) in as_names(DATASETS[at % DATASETS.len()], text) {
            let mut message = body.clone();
            message["type"] = json!("export.create");
            message["ref"] = json!(text);
            client.send_text(&message.to_string()).await;
            let problem = client.expect_error(Some(text)).await;
            assert!((400..500).contains(&problem.status), "{problem}");
            assert_eq!(
                problem.errors.first().map(|e| e.pointer.as_str()),
                Some(pointer.as_str()),
                "{body} {problem:?}"
            );
        }
        for message in [
            json!({"type": text}),
            json!({"type": "export.cancel", "export_id": text}),
            json!({"type": "file.open", "export_id": text}),
            json!({"type": "session.resume", "epoch": "x", "seq": text}),
            json!({"type": "session.refresh", "token": text}),
            json!({"type": "export.create", "dataset": "file", "deliver": text}),
            json!({"type": "export.create", "dataset": "file", "columns": ["nope"], "idempotency_key": text}),
            json!({"type": "ping", text: text}),
        ] {
            let mut message = message;
            message["ref"] = json!(text);
            client.send_text(&message.to_string()).await;
            let problem = client.expect_error(Some(text)).await;
            assert!((400..500).contains(&problem.status), "{message}: {problem}");
        }
        let resume = json!({"type": "session.resume", "epoch": text, "seq": 1, "ref": text});
        client.send_text(&resume.to_string()).await;
        let resumed = |m: &ServerMessage| match m {
            ServerMessage::SessionResumed { recovered, .. } => Some(Ok(*recovered)),
            ServerMessage::Error { problem, .. } => Some(Err(problem.status)),
            _ => None,
        };
        let answer = client.expect_text("session.resumed", resumed).await;
        assert!(matches!(answer, Ok(false) | Err(400..500)), "{text}: {answer:?}");
        // The session still works.
        client.send_text(&encode(&ClientMessage::Ping(Ping {}), None)).await;
        client.expect_text("pong", pong).await;
    }
    assert_eq!(fixture.contents().await, before, "a request changed the databases");
}

#[tokio::test]
async fn users_with_hostile_names_see_only_their_own_exports() {
    let fixture = Fixture::start().await;
    let body = json!({"dataset": "file", "filter": {"id": {"eq": 3}}});
    let request: ExportRequest = serde_json::from_value(body).expect("a request");
    let mut accepted = 0;
    for text in HOSTILE.into_iter().step_by(3) {
        let rest = Rest::new(fixture.fleet.url(), Some(&fixture.fleet.token(text, text)));
        let answer = rest.post("/v1/exports", &request).await;
        if !answer.status.is_success() {
            refused(&answer, text);
            continue;
        }
        accepted += 1;
        let done = rest.ended(answer.json::<Export>().id).await;
        assert_eq!(done.status, Status::Completed, "{text}: {:?}", done.problem);
        assert_eq!(rest.get(&done.links.file).await.status, StatusCode::OK);
        let page: ExportPage = rest.get("/v1/exports").await.json();
        assert_eq!(page.items.iter().map(|export| export.id).collect::<Vec<_>>(), [done.id], "{text}");
    }
    assert!(accepted > 5, "only {accepted} users were accepted");
}

#[tokio::test]
async fn a_file_name_cannot_leave_its_folder_or_its_header() {
    let fixture = Fixture::start().await;
    let rest = fixture.fleet.rest();
    let request: ExportRequest =
        serde_json::from_value(json!({"dataset": "file", "template": "named"})).expect("a request");
    let done = rest.ended(rest.create(&request).await.id).await;
    let name = done.file.expect("a completed export has a file").name;
    let day = done.requested_at.to_string()[..10].to_owned();
    assert_eq!(name, format!("Straße {day} (named) file.csv"));
    let answer = rest.get(&done.links.file).await;
    assert_eq!(
        answer.header("content-disposition"),
        Some(
            format!(
                "attachment; filename=\"Stra_e_{day}_(named)_file.csv\"; \
                 filename*=UTF-8''Stra%C3%9Fe%20{day}%20%28named%29%20file.csv"
            )
            .as_str()
        )
    );
    // `catalog check` refuses every pattern of a file name that could leave its folder or header.
    let patterns =
        HOSTILE.into_iter().chain(["", "{note}", "{params.note}", "{dataset", ".hidden", "a/b", "a:b", "\t"]);
    let (mut catalog, mut expected) = (String::new(), BTreeSet::new());
    for (at, text) in patterns.enumerate() {
        let (quoted, column) = (toml_text(text), "[[template.column]]\nsource = \"note\"\n");
        catalog += &format!("[[template]]\nname = \"t{at}\"\ndatasets = [\"d\"]\nfile_name = {quoted}\n{column}");
        expected.insert(format!("template t{at}"));
        if at < HOSTILE.len() {
            catalog += &format!("[[template]]\nname = {quoted}\n{column}");
            catalog += &format!("[[dataset]]\nname = {quoted}\nfiles = \"things.parquet\"\n");
            expected.extend([format!("template {text}"), format!("dataset {text}")]);
        }
    }
    catalog += "[[dataset]]\nname = \"d\"\nfiles = \"things.parquet\"\n";
    let catalog = CatalogFile::new(&catalog);
    let things = |catalog: &CatalogFile| catalog.dir.path().join("things.parquet");
    e2e::fleet::link(&things(&fixture.catalog), &things(&catalog));
    let path = catalog.path().display().to_string();
    let check = fixture.fleet.sluice(&["catalog", "check", &path, "--json"]);
    let check = check.env("SLUICE_EXPORTER__DATASETS_DIR", catalog.dir.path()).run().await;
    let report: Value = serde_json::from_str(&check.stdout()).unwrap_or_else(|e| panic!("{e}: {}", check.stderr()));
    let faults = report["faults"].as_array().expect("a list of faults");
    let found: BTreeSet<_> = faults.iter().filter_map(|fault| fault["what"].as_str().map(str::to_owned)).collect();
    assert_eq!(found, expected, "{report:#}");
}

/// A text as a quoted TOML string.
fn toml_text(text: &str) -> String {
    let escaped: String = text
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_string() } else { format!("\\U{:08X}", u32::from(c)) })
        .collect();
    format!("\"{escaped}\"")
}
