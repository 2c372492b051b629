//! Tests sources that differ from the catalog file, and sources that are unavailable.

use polars::prelude::{IpcWriter, SerWriter};
use polars_arrow::{
    array::{Int32Array, UnionArray},
    datatypes::{ArrowDataType, ArrowSchema, Field as ArrowField, UnionMode, UnionType},
    io::ipc::write::{StreamWriter, WriteOptions},
    record_batch::RecordBatchT,
};

use super::*;

/// Writes an Arrow stream file with a column of the type union, which Sluice does not support.
fn with_a_union(path: &Path) {
    let fields = vec![ArrowField::new("i".into(), ArrowDataType::Int32, true)];
    let union = UnionType { fields, ids: None, mode: UnionMode::Dense };
    let dtype = ArrowDataType::Union(Box::new(union));
    let of = vec![Int32Array::from_slice([1, 2]).boxed()];
    let odd = UnionArray::new(dtype.clone(), vec![0_i8, 0].into(), of, Some(vec![0, 1].into()));
    let fields = [ArrowField::new("n".into(), ArrowDataType::Int32, true), ArrowField::new("odd".into(), dtype, true)];
    let schema: ArrowSchema = fields.into_iter().collect();
    let batch = RecordBatchT::new(2, schema.clone().into(), vec![Int32Array::from_slice([1, 2]).boxed(), odd.boxed()]);
    let mut writer = StreamWriter::new(std::fs::File::create(path).unwrap(), WriteOptions { compression: None });
    writer.start(&schema, None).unwrap();
    writer.write(&batch, None).unwrap();
    writer.finish().unwrap();
}

#[tokio::test]
async fn a_declared_type_that_would_change_values_is_refused_at_its_line() {
    let fixture = Fixture::new().await;
    let mut frame =
        DataFrame::new_infer_height(vec![PolarsColumn::new("a".into(), [1]), PolarsColumn::new("b".into(), ["x"])])
            .unwrap();
    IpcWriter::new(std::fs::File::create(fixture.path("t.arrow")).unwrap()).finish(&mut frame).unwrap();
    for (declared, expected) in [
        ("name = \"a\"\ntype = \"string\"", Some("column `a` is of the type `int` in its source")),
        ("name = \"a\"\ntype = \"decimal\"", Some("column `a` is of the type `int` in its source")),
        ("name = \"a\"\ntype = \"int\"", None),
        ("name = \"a\"", None),
    ] {
        let faults = fixture
            .faults(&format!("[[dataset]]\nname = \"t\"\nfiles = \"t.arrow\"\n[[dataset.column]]\n{declared}\n"))
            .await;
        match expected {
            None => assert_eq!(faults, [], "{declared}"),
            Some(words) => assert!(faults[0].0 == Some(4) && faults[0].1.starts_with(words), "{faults:?}"),
        }
    }

    // the server stops when this is dropped
    let postgres = testkit::db::Postgres::start().await;
    let database = postgres.database().await;
    let ddl = "CREATE TABLE typed (n numeric, f float8, b bigint, at timestamptz, t text)";
    database.db.execute_unprepared(ddl).await.unwrap();
    std::fs::write(fixture.path("url"), database.url()).unwrap();
    for (column, kind, is_exact) in [
        ("n", "int", false),
        ("n", "float", false),
        ("n", "string", true),
        ("f", "decimal", false),
        ("b", "float", false),
        ("b", "decimal", true),
        ("b", "int", true),
        ("at", "date", false),
        ("at", "string", true),
        ("t", "int", false),
    ] {
        let text = format!(
            "[source.pg]\nkind = \"postgres\"\nurl = {{ file = \"url\" }}\n[[dataset]]\nname = \"t\"\nfrom = \"pg\"\ntable = \"typed\"\n\
             [[dataset.column]]\nname = \"{column}\"\ntype = \"{kind}\"\n"
        );
        let faults = fixture.faults(&text).await;
        assert_eq!(faults.is_empty(), is_exact, "{column} {kind}: {faults:?}");
        assert!(faults.iter().all(|(line, text)| *line == Some(8) && text.contains("values may change")), "{faults:?}");
    }
}

#[tokio::test]
async fn a_missing_or_unsupported_column_is_reported_at_its_line() {
    let fixture = Fixture::new().await;
    parquet(&fixture.path("people1.parquet"));
    let mut frame =
        DataFrame::new_infer_height(vec![PolarsColumn::new("a".into(), [1]), PolarsColumn::new("b".into(), ["x"])])
            .unwrap();
    IpcWriter::new(std::fs::File::create(fixture.path("t.arrow")).unwrap()).finish(&mut frame).unwrap();
    std::fs::write(fixture.path("t.csv"), "a,b\n1,x\n").unwrap();
    std::fs::write(fixture.path("t.ndjson"), "{\"a\": 1, \"b\": \"x\"}\n").unwrap();
    with_a_union(&fixture.path("u.arrows"));
    let columns = |names: [&str; 2]| names.map(|name| format!("[[dataset.column]]\nname = \"{name}\"\n")).concat();
    for (files, named, expected) in [
        ("t.arrow", ["a", "c"], Some("the file `t.arrow` has no column `c`")),
        ("t.csv", ["a", "c"], Some("the file `t.csv` has no column `c`")),
        ("people*.parquet", ["tenant", "c"], Some("the file `people1.parquet` has no column `c`")),
        ("u.arrows", ["n", "odd"], Some("column `odd` of the file `u.arrows` is of the unsupported type Union")),
        ("t.arrow", ["a", "b"], None),
        ("t.csv", ["a", "b"], None),
        ("t.ndjson", ["a", "b"], None),
    ] {
        let policy = "row_policy = { tenant = { eq = { claim = \"tenant\" } } }\n";
        let policy = if named[0] == "tenant" { policy } else { "" };
        let text = format!("[[dataset]]\nname = \"t\"\nfiles = \"{files}\"\n{policy}{}", columns(named));
        let faults = fixture.faults(&text).await;
        match expected {
            None => assert_eq!(faults, [], "{text}"),
            Some(word) => {
                // the line of the column, not of its dataset
                let line = 6 + usize::from(!policy.is_empty());
                assert_eq!(faults.len(), 1, "{text}: {faults:?}");
                assert_eq!(faults[0].0, Some(line), "{text}");
                assert!(faults[0].1.starts_with(word), "{faults:?}");
                // an exporter that starts or retries still offers all other datasets
                let loaded = fixture.load(&text).await.unwrap();
                assert_eq!((loaded.datasets.len(), loaded.unavailable.len()), (0, 1), "{text}");
                let why = &loaded.unavailable[0].1;
                assert!(why.starts_with(&format!("line {line} of the catalog: {word}")), "{why}");
            }
        }
    }
    // without a declaration, the other columns are offered
    let loaded = fixture.load("[[dataset]]\nname = \"t\"\nfiles = \"u.arrows\"\n").await.unwrap();
    assert_eq!(loaded.datasets[0].info().columns.len(), 1);
    // a broken or missing file is no fault of the catalog
    std::fs::write(fixture.path("broken.parquet"), "PAR1").unwrap();
    for files in ["broken.parquet", "nowhere.parquet", "nowhere*.csv"] {
        let text = format!("[[dataset]]\nname = \"t\"\nfiles = \"{files}\"\n{}", columns(["a", "c"]));
        let loaded = fixture.load(&text).await.unwrap();
        assert_eq!((loaded.datasets.len(), loaded.unavailable.len()), (0, 1), "{files}");
    }
}

#[tokio::test]
async fn the_form_of_csv_files_is_declared() {
    let fixture = Fixture::new().await;
    std::fs::write(fixture.path("t.csv"), "a;b;b\n1;x;y\n").unwrap();
    let dataset = "[[dataset]]\nname = \"t\"\nfiles = \"t.csv\"\n";
    for (key, line, word) in [
        ("", 1, "declare `delimiter = \";\"`"),
        ("delimiter = \";;\"\n", 4, "one character"),
        ("delimiter = \"é\"\n", 4, "one character"),
        ("delimiter = \"#\"\n", 4, "one character"),
        ("comment = \"--\"\n", 4, "`comment` is"),
        ("quote = \"'\"\n", 4, "`quote` is \"\\\"\" or \"\""),
        ("format = \"arrow\"\nquote = \"\"\n", 5, "for CSV files"),
        ("format = \"ndjson\"\ndelimiter = \";\"\n", 5, "for CSV files"),
    ] {
        let faults = fixture.faults(&format!("{dataset}{key}")).await;
        assert_eq!(faults.len(), 1, "{key}: {faults:?}");
        assert!(faults[0].0 == Some(line) && faults[0].1.contains(word), "{key}: {faults:?}");
    }
    let table = "[source.d]\nkind = \"sqlite\"\npath = \"demo.db\"\n[[dataset]]\nname = \"m\"\nfrom = \"d\"\n\
                 table = \"menus\"\ncomment = \"#\"\n";
    assert_eq!(
        fixture.faults(table).await,
        [(Some(8), "`delimiter`, `comment` and `quote` are for CSV files".to_owned())]
    );
    let loaded = fixture.load(&format!("{dataset}delimiter = \";\"\ncomment = \"\"\nquote = \"\"\n")).await.unwrap();
    let info = loaded.datasets[0].info();
    assert_eq!(info.columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>(), ["a", "b", "b_2"]);
    assert_eq!(info.notes, ["column 3 is a further `b`, and is offered as `b_2`"]);
}

#[tokio::test]
async fn a_missing_column_of_a_table_is_reported_at_its_line() {
    let fixture = Fixture::new().await;
    let text = "[source.d]\nkind = \"sqlite\"\npath = \"demo.db\"\n[[dataset]]\nname = \"m\"\nfrom = \"d\"\ntable = \"menus\"\n\
                [[dataset.column]]\nname = \"id\"\n[[dataset.column]]\nname = \"nope\"\n";
    let faults = fixture.faults(text).await;
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(faults[0].0 == Some(10) && faults[0].1.starts_with("its source has no column `nope`"), "{faults:?}");
}

#[tokio::test]
async fn a_sqlite_file_may_have_any_name() {
    let fixture = Fixture::new().await;
    for name in ["mode=rwc.db", "what?mode=rw 100%.db", "a#b.db"] {
        let path = fixture.path("plain.db");
        let url = format!("sqlite://{}?mode=rwc", path.display());
        let db = sea_orm::Database::connect(url).await.unwrap();
        db.execute_unprepared("CREATE TABLE t (n INTEGER)").await.unwrap();
        db.close().await.unwrap();
        std::fs::rename(&path, fixture.path(name)).unwrap();
        let text = format!(
            "[source.lite]\nkind = \"sqlite\"\npath = \"{name}\"\n\
             [[dataset]]\nname = \"t\"\nfrom = \"lite\"\ntable = \"t\"\n"
        );
        let loaded = fixture.load(&text).await.unwrap();
        assert_eq!((loaded.datasets.len(), loaded.unavailable), (1, vec![]), "{name}");
    }
}

#[tokio::test]
async fn a_column_that_the_exporter_may_not_read_is_reported_at_its_line() {
    let fixture = Fixture::new().await;
    let postgres = testkit::db::Postgres::start().await;
    let database = postgres.database().await;
    let prepare = "CREATE ROLE clerk LOGIN; CREATE TABLE staff (id bigint, name text, salary numeric); \
                   CREATE TABLE closed (id bigint); GRANT SELECT (id, name) ON staff TO clerk";
    database.db.execute_unprepared(prepare).await.unwrap();
    std::fs::write(fixture.path("url"), database.url().replace("//postgres@", "//clerk@")).unwrap();
    let source = format!("[source.p]\nkind = \"postgres\"\nurl = {{ file = \"{}\" }}\n", fixture.path("url").display());
    let column = |name: &str| format!("[[dataset.column]]\nname = \"{name}\"\n");
    for (table, columns, expected) in [
        ("staff", String::new(), Some((4, "no right to read column `salary`"))),
        ("staff", column("id") + &column("salary"), Some((10, "no right to read column `salary`"))),
        ("staff", column("id") + &column("name"), None),
        ("closed", String::new(), Some((4, "permission denied for table closed"))),
        ("gone", String::new(), Some((4, "gone"))),
    ] {
        let text = format!("{source}[[dataset]]\nname = \"s\"\nfrom = \"p\"\ntable = \"{table}\"\n{columns}");
        let loaded = fixture.load(&text).await.unwrap();
        match expected {
            None => assert_eq!(loaded.unavailable, [], "{text}"),
            Some((line, words)) => {
                assert!(loaded.unavailable[0].1.contains(words), "{text}: {:?}", loaded.unavailable);
                let faults = fixture.faults(&text).await;
                assert!(faults[0].0 == Some(line) && faults[0].1.contains(words), "{text}: {faults:?}");
            }
        }
    }
    database.db.execute_unprepared("DROP OWNED BY clerk; DROP ROLE clerk").await.unwrap();
}

#[tokio::test]
async fn the_columns_of_a_query_of_sqlite_are_declared_and_have_different_names() {
    let fixture = Fixture::new().await;
    let dataset = |query: &str, columns: &str| {
        format!(
            "[source.d]\nkind = \"sqlite\"\npath = \"demo.db\"\n[[dataset]]\nname = \"m\"\nfrom = \"d\"\n\
             query = \"{query}\"\n{columns}"
        )
    };
    let n = "[[dataset.column]]\nname = \"n\"\ntype = \"int\"\n";
    for (query, columns, expected) in [
        ("SELECT 1 AS n, 2 AS n", n, Some("two columns of its query are called `n`")),
        (
            "SELECT a.id AS n, b.id AS n FROM menus AS a JOIN menus AS b USING (id)",
            n,
            Some("give each a name of its own"),
        ),
        (
            "SELECT 1 AS n, 2 AS m",
            "",
            Some("declare each column with its `type` in a [[dataset.column]]; the query has `n`, `m`"),
        ),
        ("SELECT 1 AS n, 2 AS \\\"n:x\\\"", n, None),
        ("SELECT 1 AS n, 2 AS m", n, None),
    ] {
        let faults = fixture.faults(&dataset(query, columns)).await;
        match expected {
            None => assert_eq!(faults, [], "{query}"),
            Some(words) => assert!(faults[0].0 == Some(4) && faults[0].1.contains(words), "{query}: {faults:?}"),
        }
    }
}

#[tokio::test]
async fn a_refused_source_says_what_to_do() {
    let fixture = Fixture::new().await;
    let dataset =
        |source: &str, rows: &str| format!("[source.d]\n{source}\n[[dataset]]\nname = \"m\"\nfrom = \"d\"\n{rows}\n");
    let column = "[[dataset.column]]\nname = \"c\"\ntype = \"string\"\n";
    let sqlite = "kind = \"sqlite\"\npath = \"demo.db\"";
    for (query, word) in [
        ("SELECT name AS c FORM menus", "correct the `query`"),
        ("SELECT nope(name) AS c FROM menus", "correct the `query`"),
        ("SELECT c FROM nowhere", "correct the `query`"),
    ] {
        let text = dataset(sqlite, &format!("query = '{query}'\n{column}"));
        let faults = fixture.faults(&text).await;
        assert!(faults.len() == 1 && faults[0].0 == Some(7) && faults[0].1.contains(word), "{query}: {faults:?}");
        // an exporter that starts offers the other datasets
        assert_eq!(fixture.load(&text).await.unwrap().unavailable.len(), 1, "{query}");
    }
    let unnamed = dataset(sqlite, &format!("query = \"SELECT name || 'x' FROM menus\"\n{column}"));
    let faults = fixture.faults(&unnamed).await;
    let words = "its query has no column `c`: correct the name, or name a column of the query with AS";
    assert!(faults.len() == 1 && faults[0].0 == Some(8) && faults[0].1.starts_with(words), "{faults:?}");
    // SQLite takes a quoted name that is no column for a text
    let text = dataset(sqlite, &format!("query = 'SELECT name || \"\" c FROM menus WHERE id = 1'\n{column}"));
    let menus = fixture.load(&text).await.unwrap().datasets.remove(0);
    assert_eq!(rows(menus, json!({}), json!({})).await.unwrap().len(), 1);
    std::fs::write(fixture.path("text.db"), "this is no database".repeat(100)).unwrap();
    for (path, word) in [("text.db", "correct the `path`"), ("nowhere.db", "correct `path`")] {
        let source = format!("kind = \"sqlite\"\npath = \"{path}\"");
        let loaded = fixture.load(&dataset(&source, "table = \"t\"")).await.unwrap();
        assert!(loaded.unavailable[0].1.contains(word), "{path}: {:?}", loaded.unavailable);
    }

    let postgres = testkit::db::Postgres::start().await;
    let database = postgres.database().await;
    database.db.execute_unprepared("CREATE SCHEMA x; CREATE TABLE x.\"dot.ted\" (id bigint)").await.unwrap();
    std::fs::write(fixture.path("url"), database.url()).unwrap();
    let source = "kind = \"postgres\"\nurl = { file = \"url\" }";
    for (rows, word) in [
        ("table = \"x.nope\"", "correct the name in the catalog, or create the table"),
        ("table = \"dot.ted\"", "a table whose own name has a dot needs a `query`"),
        ("query = \"SELECT id FORM x\"", "correct the `query`"),
        ("query = \"SELECT nope FROM x.\\\"dot.ted\\\"\"", "correct the `query`"),
    ] {
        let loaded = fixture.load(&dataset(source, rows)).await.unwrap();
        assert!(loaded.unavailable[0].1.contains(word), "{rows}: {:?}", loaded.unavailable);
    }
    for table in ["x.dot.ted", ".x", "x."] {
        let faults = fixture.faults(&dataset(source, &format!("table = \"{table}\""))).await;
        assert!(faults[0].0 == Some(4) && faults[0].1.contains("`name` or `schema.name`"), "{table}: {faults:?}");
    }
    let quoted = "query = \"SELECT * FROM x.\\\"dot.ted\\\"\"";
    assert_eq!(fixture.load(&dataset(source, quoted)).await.unwrap().unavailable, []);
}
