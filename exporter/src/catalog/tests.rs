//! Catalog files, good and bad, on real sources.

mod sources;

use std::path::{Path, PathBuf};

use futures::TryStreamExt;
use polars::prelude::{Column as PolarsColumn, DataFrame, ParquetWriter};
use protocol::filter::{self, Filter};
use sea_orm::ConnectionTrait;
use serde_json::{Map, Value, json};

use super::*;
use crate::{
    ExporterConfig,
    dataset::{Dataset, Query, Seen},
};

struct House {
    dir: tempfile::TempDir,
    database: testkit::db::TestDatabase,
}

impl House {
    async fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), database: testkit::db::sqlite().await }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    async fn load(&self, text: &str) -> Result<Loaded, CatalogFaults> {
        std::fs::write(self.path("catalog.toml"), text).unwrap();
        let config = ExporterConfig { datasets_dir: self.dir.path().into(), ..ExporterConfig::default() };
        load(&self.path("catalog.toml"), &Means::of(&config, &self.database.db), &self.besides()).await
    }

    /// What comes with every exporter.
    fn besides(&self) -> Registry {
        Registry::standard(self.dir.path(), &self.database.db)
    }

    async fn faults(&self, text: &str) -> Vec<(Option<usize>, String)> {
        match self.load(text).await.and_then(|loaded| loaded.as_written(&self.path("catalog.toml"))) {
            Ok(_) => vec![],
            Err(wrong) => wrong.faults.into_iter().map(|fault| (fault.line, fault.detail)).collect(),
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
retention = "7d"
credits = 2

[[dataset.column]]
name = "email"
label = "E-mail"
scope = "pii:read"
without = "redacted"

[[dataset.column]]
name = "salary"
scope = "hr"

[[dataset.column]]
name = "tenant"
"#;

async fn rows(dataset: Arc<dyn Dataset>, claims: Value, filter: Value) -> Result<Vec<Vec<String>>, String> {
    let seen = Seen::new(dataset, claims.as_object().unwrap()).map_err(|e| e.to_string())?;
    let query = Query {
        columns: seen.columns().iter().map(|column| column.name.clone()).collect(),
        filter: filter::parse(&filter, seen.columns()).map_err(|e| e[0].pointer.clone())?,
        params: Map::new(),
        limit: None,
    };
    let frames: Vec<DataFrame> = seen.open(&query).await.unwrap().try_collect().await.unwrap();
    let cell = |frame: &DataFrame, at: usize| -> Vec<String> {
        frame.columns().iter().map(|column| column.get(at).unwrap().str_value().into_owned()).collect()
    };
    Ok(frames.iter().flat_map(|frame| (0..frame.height()).map(move |at| cell(frame, at))).collect())
}

#[tokio::test]
async fn a_dataset_of_a_file_shows_each_caller_their_rows_and_columns() {
    let house = House::new().await;
    parquet(&house.path("people1.parquet"));
    let people = house.load(PEOPLE).await.unwrap().datasets.remove(0);
    assert_eq!((people.credits(), people.retention().as_secs(), people.title()), (2, 604_800, "People"));
    assert_eq!(people.columns()[0].label.as_deref(), Some("E-mail"));

    let plain = json!({"tenant": "acme"});
    let seen = rows(Arc::clone(&people), plain.clone(), json!({})).await.unwrap();
    assert_eq!(seen, [["***", "acme"], ["***", "acme"]]);
    let all = json!({"tenant": "globex", "scope": "export:* hr pii:read"});
    assert_eq!(rows(Arc::clone(&people), all, json!({})).await.unwrap(), [["carol@globex.test", "3", "globex"]]);
    // nothing brings another tenant's rows, and masked or hidden columns answer no question
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
    // who has no tenant has no rows
    assert!(rows(people, json!({}), json!({})).await.unwrap_err().contains("tenant"));
}

#[tokio::test]
async fn a_query_past_the_checks_still_finds_no_hidden_column() {
    let house = House::new().await;
    parquet(&house.path("people1.parquet"));
    let people = house.load(PEOPLE).await.unwrap().datasets.remove(0);
    let seen = Seen::new(people, json!({"tenant": "acme"}).as_object().unwrap()).unwrap();
    let hidden = Query { columns: vec!["salary".into()], filter: Filter::all(), params: Map::new(), limit: None };
    assert!(seen.open(&hidden).await.is_err());
    let masked = Filter::Contains("email".into(), "alice".into());
    let asking = Query { columns: vec!["tenant".into()], filter: masked, params: Map::new(), limit: None };
    assert!(
        seen.open(&asking).await.is_err() && seen.count(&asking).await.is_err() && seen.guess(&asking).await.is_err()
    );
}

#[tokio::test]
async fn each_fault_is_told_with_its_line_and_what_to_do() {
    let house = House::new().await;
    parquet(&house.path("people1.parquet"));
    house.database.db.execute_unprepared("CREATE TABLE owned (tenant_id TEXT, note TEXT)").await.unwrap();
    for (text, line, word) in [
        ("[[dataset]\n", 1, ""),
        ("\n[[dataset]]\nname = \"a\"\nfile = \"x\"\n", 4, "unknown field `file`"),
        ("[[dataset]]\nname = \"a\"\n", 1, "`table`, `query` and `files`"),
        ("[[dataset]]\nname = \"a b\"\nfiles = \"people1.parquet\"\ntenant_column = \"tenant\"\n", 1, "letters"),
        ("[[dataset]]\nname = \"a\"\nfiles = \"people1.parquet\"\n", 1, "add one such as row_policy"),
        (
            "[[dataset]]\nname = \"a\"\nfiles = \"people1.parquet\"\nrow_policy = { salary = { eq = { claim = \"x\" } } }\n",
            4,
            "does not ask for `tenant`",
        ),
        (
            "[[dataset]]\nname = \"a\"\nfiles = \"people1.parquet\"\nrow_policy = { nope = { eq = 1 } }\n",
            4,
            "unknown column",
        ),
        ("[[dataset]]\nname = \"a\"\nfrom = \"x\"\ntable = \"t\"\n", 3, "[source.x]"),
        ("[[dataset]]\nname = \"a\"\ntable = \"t\"\n", 1, "needs `from`"),
        (
            "[source.d]\nkind = \"database\"\n[[dataset]]\nname = \"a\"\nfrom = \"d\"\nquery = \"DROP TABLE x\"\n",
            6,
            "SELECT",
        ),
        ("[source.p]\nkind = \"postgres\"\nurl = { env = \"SLUICE_TEST_UNSET\" }\n", 1, "SLUICE_TEST_UNSET"),
        ("[source.p]\nkind = \"postgres\"\nurl = \"postgres://u:secret@h/d\"\n", 1, "{ env ="),
        ("[[dataset]]\nname = \"a\"\nfiles = \"people1.parquet\"\nretention = \"1y\"\n", 4, "24h"),
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
            "does not ask for `email`",
        ),
        // nor does the order tell what is hidden
        (
            "[[dataset]]\nname = \"a\"\nfiles = \"people1.parquet\"\norder = \"salary\"\n[[dataset.column]]\n\
             name = \"tenant\"\n[[dataset.column]]\nname = \"salary\"\nscope = \"hr\"\n",
            4,
            "has a `scope`",
        ),
        // whose rows they are can't be left out, nor be the same for everybody
        (
            "\n[[dataset]]\nname = \"a\"\nfiles = \"people1.parquet\"\n[[dataset.column]]\nname = \"email\"\n",
            2,
            "hide it with a `scope` instead of leaving it out",
        ),
        (
            "[source.d]\nkind = \"database\"\n[[dataset]]\nname = \"a\"\nfrom = \"d\"\ntable = \"owned\"\n\
             [[dataset.column]]\nname = \"note\"\ntype = \"string\"\n",
            3,
            "its source has a column `tenant_id`",
        ),
        (
            "[[dataset]]\nname = \"a\"\nfiles = \"people1.parquet\"\nrow_policy = { tenant = { eq = \"acme\" } }\n",
            4,
            "compared with a claim",
        ),
        (
            "[[dataset]]\nname = \"a\"\nfiles = \"people1.parquet\"\n\
             row_policy = { or = [{ tenant = { eq = { claim = \"t\" } } }, { tenant = { in = [\"acme\"] } }] }\n",
            4,
            "compared with a claim",
        ),
    ] {
        let faults = house.faults(text).await;
        assert_eq!(faults.first().map(|(line, _)| *line), Some(Some(line)), "{text}: {faults:?}");
        assert!(faults[0].1.contains(word) && !faults[0].1.contains("secret@"), "{text}: {faults:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_has_no_time_holds_up_no_heartbeat() {
    // the servers live as long as these
    let (postgres, nats) = (testkit::db::Postgres::start().await, testkit::nats::NatsServer::start().await);
    let (database, bus, house) = (postgres.database().await, nats.bus().await, House::new().await);
    let fill = "CREATE TABLE numbers AS SELECT n FROM generate_series(1, 2000000) AS n; ANALYZE numbers";
    database.db.execute_unprepared(fill).await.unwrap();
    std::fs::write(house.path("url"), database.url()).unwrap();
    let mut text = format!(
        "[source.p]\nkind = \"postgres\"\nconnections = 1\nurl = {{ file = \"{}\" }}\n",
        house.path("url").display()
    );
    for name in ["a", "b", "c"] {
        text.push_str(&format!("[[dataset]]\nname = \"{name}\"\nfrom = \"p\"\ntable = \"numbers\"\n"));
    }
    let datasets = house.load(&text).await.unwrap().datasets;
    // an export has the one connection
    let all = Query { columns: vec!["n".into()], filter: Filter::all(), params: Map::new(), limit: None };
    let mut reading = datasets[0].open(&all).await.unwrap();
    assert!(reading.try_next().await.unwrap().is_some());
    let (_replace, current) = Current::starting_with(Registry { datasets, templates: vec![], formats: vec![] });
    let advertiser = Advertiser {
        bus: bus.clone(),
        catalog: current,
        clock: platform::clock::SystemClock::shared(),
        instance: "busy".into(),
        pool: "default".into(),
        slots: (1, 1),
        every: std::time::Duration::from_millis(500),
        drain: crate::drain::Drain::default(),
    };
    let stop = tokio_util::sync::CancellationToken::new();
    let running = tokio::spawn(advertiser.run(stop.clone()));
    let entry = async || -> Option<protocol::catalog::CatalogEntry> {
        let value = bus.catalog().await.ok()?.get("busy").await.ok()??;
        Some(serde_json::from_slice(&value).unwrap())
    };
    let rows = |entry: &protocol::catalog::CatalogEntry| -> Vec<Option<u64>> {
        entry.datasets.iter().map(|dataset| dataset.rows_in_all).collect()
    };
    let puts = std::sync::Mutex::new(std::collections::BTreeSet::new());
    testkit::eventually("it is told again and again", async || {
        let entry = entry().await?;
        assert_eq!(rows(&entry), [None; 3]);
        let mut puts = puts.lock().unwrap();
        puts.insert(serde_json::to_string(&entry.at).unwrap());
        (puts.len() > 5).then_some(())
    })
    .await;
    // with a connection the sources are asked again
    drop(reading);
    testkit::eventually("the rows are told", async || {
        let rows = rows(&entry().await?);
        rows.iter().all(|rows| rows.is_some_and(|rows| rows > 1_000_000)).then_some(())
    })
    .await;
    stop.cancel();
    running.await.unwrap().unwrap();
    assert!(entry().await.is_none());
}

#[tokio::test]
async fn tables_and_queries_of_databases_are_described_by_them() {
    let house = House::new().await;
    let text = r#"
[source.own]
kind = "database"

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
    let loaded = house.load(text).await.unwrap();
    assert_eq!(loaded.unavailable.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["away"]);
    let names: Vec<_> = loaded.datasets[0].columns().iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["id", "name", "category"]);
    let of = Arc::clone(&loaded.datasets[1]);
    let ask = |category: &str| Query {
        columns: vec!["name".into()],
        filter: filter::parse(&json!({"name": {"ne": "menu4"}}), of.columns()).unwrap(),
        params: json!({"category": category}).as_object().unwrap().clone(),
        limit: None,
    };
    assert_eq!(of.count(&ask("stretch")).await.unwrap(), Some(1));
    assert_eq!(of.count(&ask("x' OR '1'='1")).await.unwrap(), Some(0));
    let frames: Vec<DataFrame> = of.open(&ask("stretch")).await.unwrap().try_collect().await.unwrap();
    assert_eq!(frames[0].column("name").unwrap().get(0).unwrap().str_value(), "menu5");
}

#[tokio::test]
async fn a_source_that_comes_back_and_a_new_file_are_taken_without_a_restart() {
    let house = House::new().await;
    parquet(&house.path("people1.parquet"));
    house.load(PEOPLE).await.unwrap();
    let path = house.path("catalog.toml");
    let config = ExporterConfig { datasets_dir: house.dir.path().into(), ..ExporterConfig::default() };
    let base = Registry { datasets: vec![], templates: vec![], formats: vec![] };
    let (replace, mut current) = Current::starting_with(base.clone());
    let stop = tokio_util::sync::CancellationToken::new();
    let reloader = Reloader {
        path: path.clone(),
        means: Means::of(&config, &house.database.db),
        base,
        replace,
        every: std::time::Duration::from_millis(10),
        seen: None,
        away: false,
    };
    let running = tokio::spawn(reloader.run(stop.clone()));
    let names = |current: &Current| -> Vec<String> {
        current.current().datasets.iter().map(|dataset| dataset.name().to_owned()).collect()
    };
    current.changed().await;
    assert_eq!(names(&current), ["people"]);

    // a wrong one changes nothing; the next good one comes after it. Files are put in place whole, as one that is half
    // written is a shorter one
    let put = |text: &str| {
        std::fs::write(path.with_extension("new"), text).unwrap();
        std::fs::rename(path.with_extension("new"), &path).unwrap();
    };
    put("[[dataset]]\nname = 1\n");
    let second = format!("{PEOPLE}\n[[dataset]]\nname = \"late\"\nfiles = \"late.csv\"\n");
    let wrong = fingerprint(&path).await;
    assert!(load(&path, &Means::of(&config, &house.database.db), &house.besides()).await.is_err() && wrong.is_some());
    put(&second);
    current.changed().await;
    assert_eq!(names(&current), ["people"], "the new one's source is away");
    std::fs::write(house.path("late.csv"), "a,b\n1,x\n").unwrap();
    testkit::eventually("the source is found", async || (names(&current) == ["people", "late"]).then_some(())).await;
    stop.cancel();
    running.await.unwrap().unwrap();
    house.database.db.execute_unprepared("SELECT 1").await.unwrap();
}

#[tokio::test]
async fn a_template_is_checked_for_every_dataset_that_it_is_for() {
    let house = House::new().await;
    parquet(&house.path("people1.parquet"));
    let people = "[[dataset]]\nname = \"p\"\nfiles = \"people1.parquet\"\n\
                  row_policy = { tenant = { eq = { claim = \"tenant\" } } }\n";
    let away = "[[dataset]]\nname = \"gone\"\nfiles = \"gone.parquet\"\n";
    for (text, told) in [
        // one for a dataset that comes with every exporter
        ("datasets = [\"menus\"]\n[[template.column]]\nsource = \"category\"\n", None),
        ("datasets = [\"menus\"]\n[[template.column]]\nsource = \"salary\"\n", Some("no column `salary`")),
        ("[[template.column]]\nsource = \"salary\"\ndecimals = 2\n", None),
        ("[[template.column]]\nsource = \"salary\"\n[[template.sort]]\ncolumn = \"email\"\n", None),
        // and others for nobody in particular
        ("[[template.column]]\nsource = \"category\"\ndecimals = 2\n", Some("column[0].decimals: only numbers")),
        ("[[template.column]]\nname = \"x\"\nvalue = \"email * 2\"\n", Some("column[0].value: at byte")),
        ("[[template.column]]\nname = \"x\"\nvalue = \"salry * 2\"\n", Some("lacks `salry`")),
        ("[[template.column]]\nsource = \"email\"\n[[template.sort]]\ncolumn = \"id\"\n", Some("lacks `id`. Mend")),
        // `name` of menus and of muscles, which is told once
        ("[[template.column]]\nsource = \"name\"\nwords = [\"a\", \"b\"]\n", Some("column[0].words")),
        ("time_zone = \"Mars\"\n", Some("no time zone")),
    ] {
        let file = format!("{people}\n[[template]]\nname = \"t\"\n{text}");
        let faults = house.faults(&file).await;
        match told {
            None => assert_eq!(faults, [], "{text}"),
            Some(word) => {
                assert_eq!(faults.len(), 1, "{text}: {faults:?}");
                assert!(faults[0].0 == Some(6) && faults[0].1.contains(word), "{text}: {faults:?}");
            }
        }
    }
    // nor is one wrong whose dataset can't be seen now
    let file = format!("{away}[[template]]\nname = \"t\"\n[[template.column]]\nsource = \"unknown\"\n");
    let loaded = house.load(&file).await.unwrap();
    assert_eq!((loaded.templates.len(), loaded.unavailable.len()), (1, 1));
    let bound = "[[template]]\nname = \"t\"\ndatasets = [\"menus\"]\n[[template.column]]\nsource = \"category\"\n";
    let registry = house.besides().with(house.load(bound).await.unwrap());
    let fits = |name: &str| registry.template("t").unwrap().fits(registry.dataset(name).unwrap().as_ref());
    assert!(fits("menus") && !fits("muscles"));
    let taken = "[[dataset]]\nname = \"menus\"\nfiles = \"people1.parquet\"\n\
                 row_policy = { tenant = { eq = { claim = \"tenant\" } } }\n";
    assert_eq!(house.faults(taken).await, [(Some(2), "the name is taken".to_owned())]);
}

#[tokio::test]
async fn rows_that_are_others_in_each_range_are_refused_with_their_line() {
    let house = House::new().await;
    let postgres = testkit::db::Postgres::start().await;
    let database = postgres.database().await;
    database.db.execute_unprepared("CREATE TABLE t (id bigint, at timestamptz, note text)").await.unwrap();
    std::fs::write(house.path("url"), database.url()).unwrap();
    let source = format!(
        "[source.p]\nkind = \"postgres\"\nfew_rows = 10\nurl = {{ file = \"{}\" }}\n",
        house.path("url").display()
    );
    let params = "[[dataset.param]]\nname = \"since\"\ntype = \"datetime\"\n";
    for (query, params, told) in [
        ("SELECT id, note AS \\\"limit\\\" FROM t WHERE note <> 'over'", "", None),
        ("SELECT id, row_number() Over (ORDER BY at) AS n FROM t", "", Some("`over` gives other rows")),
        ("SELECT id FROM t WHERE at > :since AND at < now()", params, Some("`now()` gives other rows")),
        ("SELECT id FROM t WHERE at > :since", params, None),
    ] {
        let file = format!(
            "{source}[[dataset]]\nname = \"a\"\nfrom = \"p\"\nsplit_by = \"id\"\nquery = \"{query}\"\n{params}"
        );
        let faults = house.faults(&file).await;
        match told {
            None => assert_eq!(faults, [], "{query}"),
            Some(word) => assert!(faults[0].0 == Some(8) && faults[0].1.contains(word), "{query}: {faults:?}"),
        }
    }
}

#[tokio::test]
async fn sources_that_do_not_answer_hold_up_a_start_once_and_not_one_after_the_other() {
    let house = House::new().await;
    let silent: Vec<_> = (0..5).map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let mut file = String::new();
    for (n, listener) in silent.iter().enumerate() {
        let url = house.path(&format!("url{n}"));
        std::fs::write(&url, format!("postgres://u@{}/d", listener.local_addr().unwrap())).unwrap();
        file += &format!("[source.s{n}]\nkind = \"postgres\"\nurl = {{ file = \"{}\" }}\n", url.display());
        for name in ["a", "b", "c"] {
            file += &format!("[[dataset]]\nname = \"{name}{n}\"\nfrom = \"s{n}\"\ntable = \"t\"\n");
        }
    }
    tokio::time::pause();
    let begun = tokio::time::Instant::now();
    let loaded = house.load(&file).await.unwrap();
    let took = begun.elapsed().as_secs();
    assert_eq!((loaded.datasets.len(), loaded.unavailable.len()), (0, 15));
    assert!((10..20).contains(&took), "{took} s");
    // what is wrong in the file is told all the same
    let wrong = file.replace("table = \"t\"", "query = \"DROP TABLE t\"");
    assert_eq!(house.faults(&wrong).await.len(), 15);
}
