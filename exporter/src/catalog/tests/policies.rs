//! Tests that row policies can compare claims with columns of every type, in every kind of source.

use polars::prelude::{IpcWriter, SerWriter};
use polars_arrow::{
    array::{FixedSizeBinaryArray, Int64Array},
    datatypes::{ArrowDataType, ArrowSchema, ExtensionType, Field as ArrowField},
    io::ipc::write::{StreamWriter, WriteOptions},
    record_batch::RecordBatchT,
};

use super::*;

const UUIDS: [&str; 2] = ["0199aaaa-0000-7000-8000-00000000000a", "0199aaaa-0000-7000-8000-00000000000b"];

/// Writes an Arrow stream file with a column `tenant_id` of UUIDs.
fn with_uuids(path: &Path) {
    let storage = ArrowDataType::FixedSizeBinary(16);
    let extension = ExtensionType { name: "arrow.uuid".into(), inner: storage, metadata: None };
    let dtype = ArrowDataType::Extension(Box::new(extension));
    let bytes: Vec<u8> = UUIDS.iter().flat_map(|text| uuid::Uuid::parse_str(text).unwrap().into_bytes()).collect();
    let tenants = FixedSizeBinaryArray::new(dtype.clone(), bytes.into(), None);
    let fields =
        [ArrowField::new("id".into(), ArrowDataType::Int64, true), ArrowField::new("tenant_id".into(), dtype, true)];
    let schema: ArrowSchema = fields.into_iter().collect();
    let columns = vec![Int64Array::from_slice([1, 2]).boxed(), tenants.boxed()];
    let batch = RecordBatchT::new(2, schema.clone().into(), columns);
    let mut writer = StreamWriter::new(std::fs::File::create(path).unwrap(), WriteOptions { compression: None });
    writer.start(&schema, None).unwrap();
    writer.write(&batch, None).unwrap();
    writer.finish().unwrap();
}

/// Writes a source of each kind with the rows (1, 42), (2, 7) and (3, NULL). Returns the text of a catalog file for
/// these sources.
async fn numbers(fixture: &Fixture, postgres: &testkit::db::Postgres) -> String {
    std::fs::write(fixture.path("t.csv"), "id,tenant_id\n1,42\n2,7\n3,\n").unwrap();
    std::fs::write(fixture.path("t.ndjson"), "{\"id\":1,\"tenant_id\":42}\n{\"id\":2,\"tenant_id\":7}\n{\"id\":3}\n")
        .unwrap();
    let column = |kind: i64| PolarsColumn::new("tenant_id".into(), [Some(kind), Some(7), None]);
    let mut frame =
        DataFrame::new_infer_height(vec![PolarsColumn::new("id".into(), [1_i64, 2, 3]), column(42)]).unwrap();
    ParquetWriter::new(std::fs::File::create(fixture.path("t.parquet")).unwrap()).finish(&mut frame).unwrap();
    IpcWriter::new(std::fs::File::create(fixture.path("t.arrow")).unwrap()).finish(&mut frame).unwrap();
    let unsigned = PolarsColumn::new("tenant_id".into(), [Some(42_u64), Some(7), None]);
    let mut frame = DataFrame::new_infer_height(vec![PolarsColumn::new("id".into(), [1_i64, 2, 3]), unsigned]).unwrap();
    ParquetWriter::new(std::fs::File::create(fixture.path("u.parquet")).unwrap()).finish(&mut frame).unwrap();
    fixture
        .database
        .execute_unprepared(
            "CREATE TABLE t (id INTEGER, tenant_id INTEGER); INSERT INTO t VALUES (1, 42), (2, 7), (3, NULL)",
        )
        .await
        .unwrap();
    let url = postgres.empty_database().await;
    let db = sea_orm::Database::connect(&url).await.unwrap();
    for (name, kind) in
        [("small", "smallint"), ("whole", "integer"), ("big", "bigint"), ("exact", "numeric"), ("real8", "float8")]
    {
        let ddl = format!(
            "CREATE TABLE {name} (id int, tenant_id {kind}); INSERT INTO {name} VALUES (1, 42), (2, 7), (3, NULL)"
        );
        db.execute_unprepared(&ddl).await.unwrap();
    }
    std::fs::write(fixture.path("url"), url).unwrap();
    let policy = "row_policy = { tenant_id = { eq = { claim = \"tenant\" } } }\n";
    let mut text = "[source.p]\nkind = \"postgres\"\nurl = { file = \"url\" }\n[source.s]\nkind = \"sqlite\"\npath = \"demo.db\"\n".to_owned();
    for (name, rows) in [
        ("csv", "files = \"t.csv\""),
        ("ndjson", "files = \"t.ndjson\""),
        ("parquet", "files = \"t.parquet\""),
        ("unsigned", "files = \"u.parquet\""),
        ("arrow", "files = \"t.arrow\""),
        ("sqlite", "from = \"s\"\ntable = \"t\""),
        ("query", "from = \"p\"\nquery = \"SELECT * FROM big\""),
    ] {
        text += &format!("[[dataset]]\nname = \"{name}\"\n{rows}\n{policy}");
    }
    for name in ["small", "whole", "big", "exact", "real8"] {
        text += &format!("[[dataset]]\nname = \"{name}\"\nfrom = \"p\"\ntable = \"{name}\"\n{policy}");
    }
    text
}

#[tokio::test]
async fn a_claim_of_digits_equals_a_whole_number_in_every_source() {
    let postgres = testkit::db::Postgres::start().await;
    let fixture = Fixture::new().await;
    let text = numbers(&fixture, &postgres).await;
    let loaded = fixture.load(&text).await.unwrap();
    assert_eq!((loaded.datasets.len(), &loaded.unavailable[..]), (12, &[][..]));
    for dataset in &loaded.datasets {
        let name = &dataset.info().name;
        let ids = async |claim: Value| {
            let rows = rows(Arc::clone(dataset), json!({ "tenant": claim }), json!({})).await?;
            Ok::<_, String>(rows.into_iter().map(|row| row[0].clone()).collect::<Vec<_>>())
        };
        for claim in [json!("42"), json!(42)] {
            assert_eq!(ids(claim.clone()).await, Ok(vec!["1".to_owned()]), "{name} {claim}");
        }
        assert_eq!(ids(json!("43")).await, Ok(vec![]), "{name}");
        // another spelling may be the name of another tenant
        for claim in ["042", "42.0", "+42", "4.2e1", "acme"] {
            let refused = ids(json!(claim)).await.unwrap_err();
            assert!(refused.contains("claim `tenant`") && refused.contains("column `tenant_id`"), "{name}: {refused}");
            assert!(!refused.contains(claim), "{name}: {refused}");
        }
        // a filter of the caller can't leave the own rows
        let seen = rows(Arc::clone(dataset), json!({"tenant": "7"}), json!({"id": {"lte": 3}})).await.unwrap();
        assert_eq!(seen.iter().map(|row| row[0].as_str()).collect::<Vec<_>>(), ["2"], "{name}");
    }
}

#[tokio::test]
async fn a_claim_equals_a_uuid_in_any_case() {
    let postgres = testkit::db::Postgres::start().await;
    let fixture = Fixture::new().await;
    with_uuids(&fixture.path("u.arrows"));
    let url = postgres.empty_database().await;
    let db = sea_orm::Database::connect(&url).await.unwrap();
    let ddl = format!(
        "CREATE TABLE t (id int, tenant_id uuid); INSERT INTO t VALUES (1, '{}'), (2, '{}'); \
         CREATE DOMAIN key AS uuid; CREATE TABLE d (id int, tenant_id key); INSERT INTO d SELECT * FROM t",
        UUIDS[0], UUIDS[1]
    );
    db.execute_unprepared(&ddl).await.unwrap();
    std::fs::write(fixture.path("url"), url).unwrap();
    let policy = "row_policy = { tenant_id = { in = [{ claim = \"tenant\" }] } }\n";
    let text = format!(
        "[source.p]\nkind = \"postgres\"\nurl = {{ file = \"url\" }}\n\
         [[dataset]]\nname = \"table\"\nfrom = \"p\"\ntable = \"t\"\n{policy}\
         [[dataset]]\nname = \"domain\"\nfrom = \"p\"\ntable = \"d\"\n{policy}\
         [[dataset]]\nname = \"query\"\nfrom = \"p\"\nquery = \"SELECT * FROM t\"\n{policy}\
         [[dataset]]\nname = \"arrow\"\nfiles = \"u.arrows\"\n{policy}"
    );
    let loaded = fixture.load(&text).await.unwrap();
    assert_eq!((loaded.datasets.len(), &loaded.unavailable[..]), (4, &[][..]));
    for dataset in &loaded.datasets {
        let upper = UUIDS[1].to_ascii_uppercase();
        for (claim, ids) in [(UUIDS[0], vec!["1"]), (UUIDS[1], vec!["2"]), (&upper, vec!["2"]), ("acme", vec![])] {
            let seen = rows(Arc::clone(dataset), json!({ "tenant": claim }), json!({})).await.unwrap();
            let seen: Vec<_> = seen.iter().map(|row| row[0].as_str()).collect();
            assert_eq!(seen, ids, "{} {claim}", dataset.info().name);
        }
    }
}

#[tokio::test]
async fn a_policy_that_can_never_hold_is_a_fault_of_the_catalog() {
    let postgres = testkit::db::Postgres::start().await;
    let fixture = Fixture::new().await;
    let url = postgres.empty_database().await;
    let db = sea_orm::Database::connect(&url).await.unwrap();
    db.execute_unprepared(
        "CREATE TABLE t (flag boolean, day date, at timestamptz, doc jsonb, raw bytea, list int[], name text, code char(4))",
    )
    .await
    .unwrap();
    std::fs::write(fixture.path("url"), url).unwrap();
    for (column, policy, word) in [
        ("flag", "{ flag = { eq = { claim = \"tenant\" } } }", "never equals true or false"),
        ("flag", "{ flag = { eq = { claim = \"is_admin\" } } }", "truth values, which no claim equals"),
        ("day", "{ day = { eq = { claim = \"tenant\" } } }", "dates or times, which no claim equals"),
        ("at", "{ at = { in = [{ claim = \"tenant\" }] } }", "dates or times, which no claim equals"),
        ("doc", "{ doc = { eq = { claim = \"tenant\" } } }", "composed values, which no claim equals"),
        ("raw", "{ raw = { eq = { claim = \"tenant\" } } }", "composed values, which no claim equals"),
        ("list", "{ list = { eq = { claim = \"tenant\" } } }", "composed values, which no claim equals"),
        ("name", "{ name = { in = { claim = \"tenant\" } } }", "`in` takes a claim that is a list"),
    ] {
        let text = format!(
            "[source.p]\nkind = \"postgres\"\nurl = {{ file = \"url\" }}\n[[dataset]]\nname = \"t\"\nfrom = \"p\"\ntable = \"t\"\n\
             tenant_column = \"{column}\"\nrow_policy = {policy}\n"
        );
        let faults = fixture.faults(&text).await;
        assert_eq!(faults.len(), 1, "{column} {policy}: {faults:?}");
        assert!(faults[0].0 == Some(9) && faults[0].1.contains(word), "{column} {policy}: {faults:?}");
    }
    // what may hold is no fault, but a note says what is unusual
    let text = "[source.p]\nkind = \"postgres\"\nurl = { file = \"url\" }\n[[dataset]]\nname = \"t\"\nfrom = \"p\"\ntable = \"t\"\n\
                tenant_column = \"code\"\nrow_policy = { code = { eq = { claim = \"tenant\" } }, flag = { eq = { claim = \"all\" } } }\n";
    let loaded = fixture.load(text).await.unwrap();
    let notes = &loaded.datasets[0].info().notes;
    assert!(notes.len() == 1 && notes[0].contains("`code` is of the type `char(n)`"), "{notes:?}");
}
