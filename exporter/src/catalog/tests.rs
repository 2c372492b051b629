//! Tests valid and invalid catalog files with real sources.

mod advertising;
mod altered;
mod declarations;
mod policies;
mod sources;
mod zones;

use std::path::{Path, PathBuf};

use futures::TryStreamExt;
use polars::prelude::{Column as PolarsColumn, DataFrame, ParquetWriter};
use protocol::{
    catalog::{Column, ColumnType},
    filter::{self, Filter},
};
use sea_orm::{ConnectionTrait, DatabaseConnection};
use serde_json::{Map, Value, json};

use super::*;
use crate::{
    ExporterConfig,
    dataset::{AccessView, Dataset, DatasetInfo, Precision, Query, RowCount, SqlRows, sql::Source},
};

/// A temporary folder with a catalog file and data files, among them the SQLite database `demo.db`.
struct Fixture {
    dir: tempfile::TempDir,
    database: DatabaseConnection,
}

impl Fixture {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let url = platform::db::sqlite_create(&dir.path().join("demo.db"));
        let database = sea_orm::Database::connect(url.expose()).await.unwrap();
        database.execute_unprepared(include_str!("../../../ops/demo/menus.sql")).await.unwrap();
        Self { dir, database }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn context(&self) -> LoadContext {
        let config = ExporterConfig { datasets_dir: self.dir.path().into(), ..ExporterConfig::default() };
        LoadContext::new(&config)
    }

    async fn load(&self, text: &str) -> Result<Loaded, CatalogFaults> {
        std::fs::write(self.path("catalog.toml"), text).unwrap();
        load(&self.path("catalog.toml"), &self.context(), &self.base()).await
    }

    /// Returns a registry with the datasets `menus` and `muscles`, and without the datasets of a catalog file.
    fn base(&self) -> Registry {
        let table = |name: &str, columns: &[&str]| -> Arc<dyn Dataset> {
            let columns = columns.iter().map(|name| Column::new(*name, ColumnType::String)).collect();
            Arc::new(SqlRows::new(self.database.clone(), Source::table(name), DatasetInfo::new(name, columns)))
        };
        let datasets = vec![table("menus", &["name", "category"]), table("muscles", &["name"])];
        Registry { datasets, ..Registry::built_in() }
    }

    async fn faults(&self, text: &str) -> Vec<(Option<usize>, String)> {
        match self.load(text).await.and_then(|loaded| loaded.as_written(&self.path("catalog.toml"))) {
            Ok(_) => vec![],
            Err(refused) => refused.faults.into_iter().map(|fault| (fault.line, fault.detail)).collect(),
        }
    }
}

fn parquet(path: &Path) {
    let columns = vec![
        PolarsColumn::new("tenant".into(), ["acme", "acme", "globex"]),
        PolarsColumn::new("email".into(), ["alice@acme.test", "bob@acme.test", "carol@globex.test"]),
        PolarsColumn::new("salary".into(), [1_i64, 2, 3]),
    ];
    let mut frame = DataFrame::new_infer_height(columns).unwrap();
    ParquetWriter::new(std::fs::File::create(path).unwrap()).finish(&mut frame).unwrap();
}

const PEOPLE: &str = r#"
[[dataset]]
name = "people"
title = "People"
files = "people*.parquet"
tenant_column = "tenant"
row_policy = { tenant = { eq = { claim = "tenant" } } }
retention = "7days"
credits = 2

[[dataset.column]]
name = "email"
label = "E-mail"
scope = "pii:read"
mask = "redacted"

[[dataset.column]]
name = "salary"
scope = "hr"

[[dataset.column]]
name = "tenant"
"#;

pub(super) async fn rows(dataset: Arc<dyn Dataset>, claims: Value, filter: Value) -> Result<Vec<Vec<String>>, String> {
    let view = AccessView::new(dataset, claims.as_object().unwrap()).map_err(|e| e.to_string())?;
    let query = Query {
        columns: view.info().columns.iter().map(|column| column.name.clone()).collect(),
        filter: filter::parse(&filter, &view.info().columns).map_err(|e| e[0].pointer.clone())?,
        params: Map::new(),
        limit: None,
    };
    let frames: Vec<DataFrame> = view.open(&query).await.unwrap().frames.try_collect().await.unwrap();
    let cell = |frame: &DataFrame, at: usize| -> Vec<String> {
        frame.columns().iter().map(|column| column.get(at).unwrap().str_value().into_owned()).collect()
    };
    Ok(frames.iter().flat_map(|frame| (0..frame.height()).map(move |at| cell(frame, at))).collect())
}

#[tokio::test]
async fn a_caller_sees_only_the_permitted_rows_and_columns() {
    let fixture = Fixture::new().await;
    parquet(&fixture.path("people1.parquet"));
    let people = fixture.load(PEOPLE).await.unwrap().datasets.remove(0);
    assert_eq!(
        (people.info().credits, people.info().retention.as_secs(), people.info().title.as_str()),
        (2, 604_800, "People")
    );
    assert_eq!(people.info().columns[0].label.as_deref(), Some("E-mail"));

    let plain = json!({"tenant": "acme"});
    let seen = rows(Arc::clone(&people), plain.clone(), json!({})).await.unwrap();
    assert_eq!(seen, [["***", "acme"], ["***", "acme"]]);
    let all = json!({"tenant": "globex", "scope": "export:* hr pii:read"});
    assert_eq!(rows(Arc::clone(&people), all, json!({})).await.unwrap(), [["carol@globex.test", "3", "globex"]]);
    // no filter reaches rows of another tenant, and masked or hidden columns can't be filtered
    for filter in [
        json!({"tenant": {"eq": "globex"}}),
        json!({"or": [{"tenant": {"eq": "globex"}}, {"tenant": {"is_null": true}}]}),
        json!({"not": {"tenant": {"eq": "acme"}}}),
        json!({"tenant": {"like": "%' OR 1=1 --"}}),
    ] {
        assert!(rows(Arc::clone(&people), plain.clone(), filter).await.unwrap().is_empty());
    }
    for column in ["email", "salary"] {
        let asked = rows(Arc::clone(&people), plain.clone(), json!({column: {"is_null": false}})).await;
        assert_eq!(asked, Err(format!("/filter/{column}")));
    }
    // a caller without a tenant has no rows
    assert!(rows(people, json!({}), json!({})).await.unwrap_err().contains("tenant"));
}

#[tokio::test]
async fn a_query_that_bypasses_the_checks_can_not_use_hidden_columns() {
    let fixture = Fixture::new().await;
    parquet(&fixture.path("people1.parquet"));
    let people = fixture.load(PEOPLE).await.unwrap().datasets.remove(0);
    let view = AccessView::new(people, json!({"tenant": "acme"}).as_object().unwrap()).unwrap();
    let hidden = Query { columns: vec!["salary".into()], filter: Filter::all(), params: Map::new(), limit: None };
    assert!(view.open(&hidden).await.is_err());
    let masked = Filter::Contains("email".into(), "alice".into());
    let asking = Query { columns: vec!["tenant".into()], filter: masked, params: Map::new(), limit: None };
    assert!(
        view.open(&asking).await.is_err()
            && view.count(&asking, Precision::Exact).await.is_err()
            && view.count(&asking, Precision::Estimate).await.is_err()
    );
}

#[tokio::test]
async fn each_fault_is_reported_with_its_line_and_its_correction() {
    let fixture = Fixture::new().await;
    parquet(&fixture.path("people1.parquet"));
    fixture.database.execute_unprepared("CREATE TABLE owned (tenant_id TEXT, note TEXT)").await.unwrap();
    for (text, line, word) in [
        ("[[dataset]\n", 1, ""),
        ("\n[[dataset]]\nname = \"a\"\nfile = \"x\"\n", 4, "unknown field `file`"),
        ("[[dataset]]\nname = \"a\"\n", 1, "`table`, `query` and `files`"),
        ("[[dataset]]\nname = \"a b\"\nfiles = \"people1.parquet\"\ntenant_column = \"tenant\"\n", 1, "letters"),
        ("[[dataset]]\nname = \"a\"\nfiles = \"people1.parquet\"\n", 1, "add one such as row_policy"),
        (
            "[[dataset]]\nname = \"a\"\nfiles = \"people1.parquet\"\nrow_policy = { salary = { eq = { claim = \"x\" } } }\n",
            4,
            "does not compare `tenant` with a claim",
        ),
        (
            "[[dataset]]\nname = \"a\"\nfiles = \"people1.parquet\"\nrow_policy = { nope = { eq = 1 } }\n",
            4,
            "unknown column",
        ),
        ("[[dataset]]\nname = \"a\"\nfrom = \"x\"\ntable = \"t\"\n", 3, "[source.x]"),
        ("[[dataset]]\nname = \"a\"\ntable = \"t\"\n", 1, "needs `from`"),
        (
            "[source.d]\nkind = \"sqlite\"\npath = \"demo.db\"\n[[dataset]]\nname = \"a\"\nfrom = \"d\"\nquery = \"DROP TABLE x\"\n",
            7,
            "SELECT",
        ),
        // the place in the query, and a query without a database
        (
            "[source.d]\nkind = \"sqlite\"\npath = \"demo.db\"\n[[dataset]]\nname = \"a\"\nfrom = \"d\"\nquery = \"\"\"\nSELECT\n  [a]] :x]\"\"\"\n\
             [[dataset.param]]\nname = \"x\"\ntype = \"int\"\n",
            7,
            "line 2, column 3 of the query",
        ),
        ("[[dataset]]\nname = \"a\"\nquery = \"SELECT 1\"\n", 1, "needs `from`"),
        ("[source.p]\nkind = \"postgres\"\nurl = { env = \"SLUICE_TEST_UNSET\" }\n", 1, "SLUICE_TEST_UNSET"),
        ("[source.p]\nkind = \"postgres\"\nurl = \"postgres://u:secret@h/d\"\n", 1, "{ env ="),
        ("[[dataset]]\nname = \"a\"\nfiles = \"people1.parquet\"\nretention = \"0s\"\n", 4, "from 1s to 366days"),
        ("[[template]]\nname = \"t\"\ndatasets = [\"nope\"]\n", 1, "no dataset"),
        ("[[dataset]]\nname = \"a\"\nfiles = \"people1.parquet\"\nsnapshot = \"later\"\n", 4, "`export` or `none`"),
        ("[[dataset]]\nname = \"a\"\nfiles = \"people1.parquet\"\nsnapshot = \"none\"\n", 4, "PostgreSQL source"),
        ("[[dataset]]\nname = \"a\"\nfiles = \"people1.parquet\"\nsplit_by = \"salary\"\n", 4, "PostgreSQL source"),
        (
            "[[dataset]]\nname = \"a\"\nfiles = \"people1.parquet\"\norder = \"salary\"\nsplit_by = \"salary\"\n",
            5,
            "leave one of them out",
        ),
        ("[[dataset]]\nname = \"a\"\nfiles = \"people1.parquet\"\ntenant_column = []\n", 4, "leave it out"),
        (
            "[[dataset]]\nname = \"a\"\nfiles = \"people1.parquet\"\ntenant_column = [\"tenant\", \"email\"]\n\
             row_policy = { tenant = { eq = { claim = \"tenant\" } } }\n",
            5,
            "does not compare `email` with a claim",
        ),
        // the order of rows must not reveal a column that requires a scope
        (
            "[[dataset]]\nname = \"a\"\nfiles = \"people1.parquet\"\norder = \"salary\"\n[[dataset.column]]\n\
             name = \"tenant\"\n[[dataset.column]]\nname = \"salary\"\nscope = \"hr\"\n",
            4,
            "has a `scope`",
        ),
        // a tenant column can't be left out, and a constant policy is refused
        (
            "\n[[dataset]]\nname = \"a\"\nfiles = \"people1.parquet\"\n[[dataset.column]]\nname = \"email\"\n",
            2,
            "give it a `scope` instead of leaving it out",
        ),
        (
            "[source.d]\nkind = \"sqlite\"\npath = \"demo.db\"\n[[dataset]]\nname = \"a\"\nfrom = \"d\"\ntable = \"owned\"\n\
             [[dataset.column]]\nname = \"note\"\ntype = \"string\"\n",
            4,
            "its source has the tenant column `tenant_id`",
        ),
        (
            "[[dataset]]\nname = \"a\"\nfiles = \"people1.parquet\"\nrow_policy = { tenant = { eq = \"acme\" } }\n",
            4,
            "with a claim of the caller's token",
        ),
        (
            "[[dataset]]\nname = \"a\"\nfiles = \"people1.parquet\"\n\
             row_policy = { or = [{ tenant = { eq = { claim = \"t\" } } }, { tenant = { in = [\"acme\"] } }] }\n",
            4,
            "with a claim of the caller's token",
        ),
        // a constant in the list shows the rows of one tenant to all callers
        (
            "[[dataset]]\nname = \"a\"\nfiles = \"people1.parquet\"\n\
             row_policy = { tenant = { in = [\"acme\", { claim = \"tenant\" }] } }\n",
            4,
            "with a claim of the caller's token",
        ),
        // a claim that differs between two tokens of one user
        (
            "[[dataset]]\nname = \"a\"\nfiles = \"people1.parquet\"\n\
             row_policy = { tenant = { eq = { claim = \"tenant\" } }, email = { eq = { claim = \"sid\" } } }\n",
            4,
            "the claim `sid` describes a token",
        ),
    ] {
        let faults = fixture.faults(text).await;
        assert_eq!(faults.first().map(|(line, _)| *line), Some(Some(line)), "{text}: {faults:?}");
        assert!(faults[0].1.contains(word) && !faults[0].1.contains("secret@"), "{text}: {faults:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_source_does_not_delay_the_advertisement() {
    // the servers stop when these are dropped
    let (postgres, nats) = (testkit::db::Postgres::start().await, testkit::nats::NatsServer::start().await);
    let (database, bus, fixture) = (postgres.database().await, nats.bus().await, Fixture::new().await);
    let fill = "CREATE TABLE numbers AS SELECT n FROM generate_series(1, 2000000) AS n; ANALYZE numbers";
    database.db.execute_unprepared(fill).await.unwrap();
    std::fs::write(fixture.path("url"), database.url()).unwrap();
    let mut text = format!(
        "[source.p]\nkind = \"postgres\"\nconnections = 1\nurl = {{ file = \"{}\" }}\n",
        fixture.path("url").display()
    );
    for name in ["a", "b", "c"] {
        text.push_str(&format!("[[dataset]]\nname = \"{name}\"\nfrom = \"p\"\ntable = \"numbers\"\n"));
    }
    let datasets = fixture.load(&text).await.unwrap().datasets;
    // an export holds the only connection
    let all = Query { columns: vec!["n".into()], filter: Filter::all(), params: Map::new(), limit: None };
    let mut reading = datasets[0].open(&all).await.unwrap().frames;
    assert!(reading.try_next().await.unwrap().is_some());
    let (_replace, current) = Current::starting_with(Registry { datasets, templates: vec![], formats: vec![] });
    let advertiser = Advertiser {
        bus: bus.clone(),
        catalog: current,
        clock: platform::clock::SystemClock::shared(),
        instance: "busy".into(),
        pool: "default".into(),
        slots: (1, 1),
        interval: std::time::Duration::from_millis(500),
        drain: crate::drain::Drain::default(),
        advertisement: Advertisement::default(),
    };
    let stop = tokio_util::sync::CancellationToken::new();
    let running = tokio::spawn(advertiser.run(stop.clone()));
    let heartbeat = async || testkit::catalog::advertised(&bus, "busy").await.map(|(heartbeat, _)| heartbeat);
    let rows = |heartbeat: &protocol::catalog::ExporterHeartbeat| -> Vec<Option<u64>> {
        heartbeat.datasets.iter().map(|dataset| dataset.rows).collect()
    };
    let puts = std::sync::Mutex::new(std::collections::BTreeSet::new());
    testkit::eventually("the catalog is advertised repeatedly", async || {
        let heartbeat = heartbeat().await?;
        assert_eq!(rows(&heartbeat), [None; 3]);
        let mut puts = puts.lock().unwrap();
        puts.insert(serde_json::to_string(&heartbeat.at).unwrap());
        (puts.len() > 5).then_some(())
    })
    .await;
    // the sources are estimated again when a connection is free
    drop(reading);
    testkit::eventually("the rows are advertised", async || {
        let rows = rows(&heartbeat().await?);
        rows.iter().all(|rows| rows.is_some_and(|rows| rows > 1_000_000)).then_some(())
    })
    .await;
    stop.cancel();
    running.await.unwrap().unwrap();
    assert!(heartbeat().await.is_none());
}

#[tokio::test]
async fn tables_and_queries_get_their_columns_from_the_database() {
    let fixture = Fixture::new().await;
    let text = r#"
[source.own]
kind = "sqlite"
path = "demo.db"

[source.gone]
kind = "sqlite"
path = "nowhere.db"

[[dataset]]
name = "menu_list"
from = "own"
table = "menus"
order = "id"

[[dataset]]
name = "menus_of"
from = "own"
query = "SELECT name, category FROM menus WHERE category = :category ORDER BY id"
[[dataset.column]]
name = "name"
type = "string"
[[dataset.param]]
name = "category"
type = "string"

[[dataset]]
name = "away"
from = "gone"
table = "x"
"#;
    let loaded = fixture.load(text).await.unwrap();
    assert_eq!(loaded.unavailable.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["away"]);
    let names: Vec<_> = loaded.datasets[0].info().columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["id", "name", "category"]);
    let of = Arc::clone(&loaded.datasets[1]);
    let ask = |category: &str| Query {
        columns: vec!["name".into()],
        filter: filter::parse(&json!({"name": {"ne": "menu4"}}), &of.info().columns).unwrap(),
        params: json!({"category": category}).as_object().unwrap().clone(),
        limit: None,
    };
    assert_eq!(of.count(&ask("stretch"), Precision::Exact).await.unwrap(), Some(RowCount::exact(1)));
    assert_eq!(of.count(&ask("x' OR '1'='1"), Precision::Exact).await.unwrap(), Some(RowCount::exact(0)));
    let frames: Vec<DataFrame> = of.open(&ask("stretch")).await.unwrap().frames.try_collect().await.unwrap();
    assert_eq!(frames[0].column("name").unwrap().get(0).unwrap().str_value(), "menu5");
}

#[tokio::test]
async fn a_returning_source_and_a_changed_file_are_loaded_without_a_restart() {
    let fixture = Fixture::new().await;
    parquet(&fixture.path("people1.parquet"));
    fixture.load(PEOPLE).await.unwrap();
    let path = fixture.path("catalog.toml");
    let base = Registry { datasets: vec![], templates: vec![], formats: vec![] };
    let (replace, mut current) = Current::starting_with(base.clone());
    let stop = tokio_util::sync::CancellationToken::new();
    let reloader = Reloader {
        path: path.clone(),
        context: fixture.context(),
        base,
        replace,
        interval: std::time::Duration::from_millis(10),
        fingerprint: None,
        has_unavailable: false,
    };
    let running = tokio::spawn(reloader.run(stop.clone()));
    let names = |current: &Current| -> Vec<String> {
        current.current().datasets.iter().map(|dataset| dataset.info().name.clone()).collect()
    };
    current.changed().await;
    assert_eq!(names(&current), ["people"]);

    // an invalid file changes nothing, and the next valid one replaces the first; a rename makes each change atomic
    let put = |text: &str| {
        std::fs::write(path.with_extension("new"), text).unwrap();
        std::fs::rename(path.with_extension("new"), &path).unwrap();
    };
    put("[[dataset]]\nname = 1\n");
    let second = format!("{PEOPLE}\n[[dataset]]\nname = \"late\"\nfiles = \"late.csv\"\n");
    let invalid = fingerprint(&path).await;
    assert!(load(&path, &fixture.context(), &fixture.base()).await.is_err() && invalid.is_some());
    put(&second);
    current.changed().await;
    assert_eq!(names(&current), ["people"], "the source of the new dataset is unavailable");
    std::fs::write(fixture.path("late.csv"), "a,b\n1,x\n").unwrap();
    testkit::eventually("the source becomes available", async || (names(&current) == ["people", "late"]).then_some(()))
        .await;
    // a newer file of another form is offered after an export has found it
    std::fs::write(fixture.path("late.new"), "a,b,c\n01,x,y\n").unwrap();
    std::fs::rename(fixture.path("late.new"), fixture.path("late.csv")).unwrap();
    let late = current.current().datasets[1].clone();
    let query = Query { columns: vec!["a".into()], filter: Filter::all(), params: Map::new(), limit: None };
    let error = late.open(&query).await.unwrap().frames.try_collect::<Vec<_>>().await.unwrap_err();
    assert!(error.is_transient() && late.is_outdated(), "{error}");
    let kinds = || current.current().datasets[1].info().columns.iter().map(|column| column.kind).collect::<Vec<_>>();
    testkit::eventually("the new form is offered", async || (kinds() == [ColumnType::String; 3]).then_some(())).await;
    stop.cancel();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_query_that_can_not_be_split_is_refused_with_its_line() {
    let fixture = Fixture::new().await;
    let postgres = testkit::db::Postgres::start().await;
    let database = postgres.database().await;
    database.db.execute_unprepared("CREATE TABLE t (id bigint, at timestamptz, note text)").await.unwrap();
    std::fs::write(fixture.path("url"), database.url()).unwrap();
    let source = format!(
        "[source.p]\nkind = \"postgres\"\nfew_rows = 10\nurl = {{ file = \"{}\" }}\n",
        fixture.path("url").display()
    );
    let params = "[[dataset.param]]\nname = \"since\"\ntype = \"datetime\"\n";
    for (query, params, expected) in [
        ("SELECT id, note AS \\\"limit\\\" FROM t WHERE note <> 'over'", "", None),
        ("SELECT id, row_number() Over (ORDER BY at) AS n FROM t", "", Some("`over` gives other rows")),
        ("SELECT id FROM t WHERE at > :since AND at < now()", params, Some("`now()` gives other rows")),
        ("SELECT id FROM t WHERE at > :since", params, None),
    ] {
        let file = format!(
            "{source}[[dataset]]\nname = \"a\"\nfrom = \"p\"\nsplit_by = \"id\"\nquery = \"{query}\"\n{params}"
        );
        let faults = fixture.faults(&file).await;
        match expected {
            None => assert_eq!(faults, [], "{query}"),
            Some(word) => assert!(faults[0].0 == Some(8) && faults[0].1.contains(word), "{query}: {faults:?}"),
        }
    }
}

#[tokio::test]
async fn silent_sources_delay_a_start_by_one_timeout_and_not_by_their_sum() {
    let fixture = Fixture::new().await;
    let silent: Vec<_> = (0..5).map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let mut file = String::new();
    for (n, listener) in silent.iter().enumerate() {
        let url = fixture.path(&format!("url{n}"));
        std::fs::write(&url, format!("postgres://u@{}/d", listener.local_addr().unwrap())).unwrap();
        file += &format!("[source.s{n}]\nkind = \"postgres\"\nurl = {{ file = \"{}\" }}\n", url.display());
        for name in ["a", "b", "c"] {
            file += &format!("[[dataset]]\nname = \"{name}{n}\"\nfrom = \"s{n}\"\ntable = \"t\"\n");
        }
    }
    tokio::time::pause();
    let begun = tokio::time::Instant::now();
    let loaded = fixture.load(&file).await.unwrap();
    let took = begun.elapsed().as_secs();
    assert_eq!((loaded.datasets.len(), loaded.unavailable.len()), (0, 15));
    assert!((10..20).contains(&took), "{took} s");
    // faults of the file are still reported
    let invalid = file.replace("table = \"t\"", "query = \"DROP TABLE t\"");
    assert_eq!(fixture.faults(&invalid).await.len(), 15);
}
