//! Sources that are there and are not what the file says, and those that are not there.

use polars::prelude::{IpcWriter, SerWriter};
use polars_arrow::{
    array::{Int32Array, UnionArray},
    datatypes::{ArrowDataType, ArrowSchema, Field as ArrowField, UnionMode, UnionType},
    io::ipc::write::{StreamWriter, WriteOptions},
    record_batch::RecordBatchT,
};

use super::*;

/// A stream with numbers, and a column of a type that nothing can be made of.
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
async fn a_column_that_files_do_not_have_is_a_fault_of_the_one_who_named_it_and_not_of_the_files() {
    let house = House::new().await;
    parquet(&house.path("people1.parquet"));
    let mut frame =
        DataFrame::new_infer_height(vec![PolarsColumn::new("a".into(), [1]), PolarsColumn::new("b".into(), ["x"])])
            .unwrap();
    IpcWriter::new(std::fs::File::create(house.path("t.arrow")).unwrap()).finish(&mut frame).unwrap();
    std::fs::write(house.path("t.csv"), "a,b\n1,x\n").unwrap();
    std::fs::write(house.path("t.ndjson"), "{\"a\": 1, \"b\": \"x\"}\n").unwrap();
    with_a_union(&house.path("u.arrows"));
    let columns = |names: [&str; 2]| names.map(|name| format!("[[dataset.column]]\nname = \"{name}\"\n")).concat();
    for (files, named, told) in [
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
        let faults = house.faults(&text).await;
        match told {
            None => assert_eq!(faults, [], "{text}"),
            Some(word) => {
                // at the column, and not at its dataset
                let line = 6 + usize::from(!policy.is_empty());
                assert_eq!(faults.len(), 1, "{text}: {faults:?}");
                assert_eq!(faults[0].0, Some(line), "{text}");
                assert!(faults[0].1.starts_with(word), "{faults:?}");
                // an exporter that starts, or looks again, offers all the others
                let loaded = house.load(&text).await.unwrap();
                assert_eq!((loaded.datasets.len(), loaded.unavailable.len()), (0, 1), "{text}");
                let why = &loaded.unavailable[0].1;
                assert!(why.starts_with(&format!("line {line} of the catalog: {word}")), "{why}");
            }
        }
    }
    // nobody named it: the others are offered
    let loaded = house.load("[[dataset]]\nname = \"t\"\nfiles = \"u.arrows\"\n").await.unwrap();
    assert_eq!(loaded.datasets[0].columns().len(), 1);
    // a file that is broken, or not there, is no fault of the catalog
    std::fs::write(house.path("broken.parquet"), "PAR1").unwrap();
    for files in ["broken.parquet", "nowhere.parquet", "nowhere*.csv"] {
        let text = format!("[[dataset]]\nname = \"t\"\nfiles = \"{files}\"\n{}", columns(["a", "c"]));
        let loaded = house.load(&text).await.unwrap();
        assert_eq!((loaded.datasets.len(), loaded.unavailable.len()), (0, 1), "{files}");
    }
}

#[tokio::test]
async fn a_column_that_a_table_does_not_have_is_told_at_its_line() {
    let house = House::new().await;
    let text = "[source.d]\nkind = \"database\"\n[[dataset]]\nname = \"m\"\nfrom = \"d\"\ntable = \"menus\"\n\
                [[dataset.column]]\nname = \"id\"\n[[dataset.column]]\nname = \"nope\"\n";
    let faults = house.faults(text).await;
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(faults[0].0 == Some(9) && faults[0].1.starts_with("its source has no column `nope`"), "{faults:?}");
}

#[tokio::test]
async fn a_sqlite_file_may_have_any_name() {
    let house = House::new().await;
    for name in ["mode=rwc.db", "what?mode=rw 100%.db", "a#b.db"] {
        let path = house.path("plain.db");
        let url = format!("sqlite://{}?mode=rwc", path.display());
        let db = sea_orm::Database::connect(url).await.unwrap();
        db.execute_unprepared("CREATE TABLE t (n INTEGER)").await.unwrap();
        db.close().await.unwrap();
        std::fs::rename(&path, house.path(name)).unwrap();
        let text = format!(
            "[source.lite]\nkind = \"sqlite\"\npath = \"{name}\"\n\
             [[dataset]]\nname = \"t\"\nfrom = \"lite\"\ntable = \"t\"\n"
        );
        let loaded = house.load(&text).await.unwrap();
        assert_eq!((loaded.datasets.len(), loaded.unavailable), (1, vec![]), "{name}");
    }
}
