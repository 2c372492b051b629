//! Files whose columns are nested 100 levels deep. The libraries that read files exhaust the stack on such files, so
//! `sluice up` refuses them and keeps running.

use std::{fs::File, path::Path, thread};

use polars::prelude::{
    Column, DataFrame, IntoSeries, IpcStreamWriter, IpcWriter, ListChunked, NamedFrom, ParquetWriter, SerWriter,
    Series, StructChunked,
};
use protocol::catalog::DatasetList;
use testkit::{
    demo, eventually,
    fault::{Launch, Process, free_port},
    rest::Rest,
};

/// The number of levels around a value. Libraries can't read this many levels with the stack of a thread.
const DEEP: usize = 100;
/// A stack on which the library can write that many levels.
const STACK: usize = 1 << 30;

/// Writes a file with a column of this many levels of lists or records, in a thread with a large stack.
fn write(folder: &Path, name: &str, levels: usize, are_lists: bool) {
    let write = || {
        let mut series = Series::new("m".into(), [7_i64]);
        for _ in 0..levels {
            series = if are_lists {
                ListChunked::from_iter([Some(series)]).into_series()
            } else {
                StructChunked::from_series("m".into(), 1, [series].iter()).expect("one row").into_series()
            }
            .with_name("m".into());
        }
        let columns = vec![Column::new("n".into(), [1_i64]), series.with_name("deep".into()).into()];
        let mut frame = DataFrame::new_infer_height(columns).expect("columns of one row");
        // a reader never sees half of the file
        let beside = folder.join("beside");
        let file = File::create(&beside).expect("the folder is writable");
        match Path::new(name).extension().and_then(|extension| extension.to_str()) {
            Some("parquet") => drop(ParquetWriter::new(file).finish(&mut frame).expect("a file")),
            Some("arrow") => IpcWriter::new(file).finish(&mut frame).expect("a file"),
            _ => IpcStreamWriter::new(file).finish(&mut frame).expect("a file"),
        }
        std::fs::rename(beside, folder.join(name)).expect("the folder is writable");
    };
    thread::scope(|scope| {
        let thread = thread::Builder::new().stack_size(STACK).spawn_scoped(scope, write);
        thread.expect("memory for a stack").join().expect("a file");
    });
}

async fn run(data: &Path, args: &[&str]) -> Process {
    let data_dir = ["--data-dir".as_ref(), data.as_os_str()];
    let mut process = Launch::sluice(args.iter().map(AsRef::as_ref).chain(data_dir)).run().await;
    process.ended().await;
    process
}

#[tokio::test]
async fn files_of_100_levels_are_refused_and_the_process_lives() {
    let dir = tempfile::tempdir().expect("the folder for temporary files is writable");
    let data = dir.path().join("data");
    let datasets = data.join("datasets");
    std::fs::create_dir_all(&datasets).expect("a new folder is writable");
    let catalog = demo::seed(&datasets).await;
    let mut text = std::fs::read_to_string(&catalog).expect("a catalog");
    // files that are deep at the load of the catalog, and files that become deep afterwards
    let kinds = ["parquet", "arrow", "arrows"];
    for kind in kinds {
        for (name, levels) in [("early", DEEP), ("later", 2)] {
            write(&datasets, &format!("{name}.{kind}"), levels, kind != "arrow");
            text += &format!("\n[[dataset]]\nname = \"{name}_{kind}\"\nfiles = \"{name}.{kind}\"\n");
        }
    }
    std::fs::write(&catalog, text).expect("the folder is writable");

    let port = free_port().to_string();
    let catalog = catalog.display().to_string();
    let args = ["up", "--port", &port, "--catalog", &catalog, "--data-dir", &data.display().to_string()];
    let mut process = Launch::sluice(args).env("SLUICE_LOG__FILTER", "warn").spawn();
    let url = format!("http://127.0.0.1:{port}");
    process.ready(&format!("{url}/healthz")).await;
    eventually("the block is printed", async || process.stdout().contains("Ctrl-C").then_some(())).await;

    let token = run(&data, &["token", "--sub", "alice", "--tenant", "acme"]).await.stdout();
    let rest = Rest::new(&url, Some(token.trim()));
    let names = eventually("the datasets are offered", async || {
        let list: DatasetList = rest.get("/v1/datasets").await.json();
        let names: Vec<_> = list.items.into_iter().map(|dataset| dataset.name).collect();
        names.contains(&"later_parquet".to_owned()).then_some(names)
    })
    .await;
    for kind in kinds {
        assert!(names.contains(&format!("later_{kind}")) && !names.contains(&format!("early_{kind}")), "{names:?}");
        let said = process.stderr();
        let line = said.lines().find(|line| line.contains(&format!("early_{kind}"))).unwrap_or_default();
        let is_clear = line.contains("column `deep` is nested") && line.contains("at most 32 are read: flatten it");
        assert!(is_clear, "{said}");

        write(&datasets, &format!("later.{kind}"), DEEP, kind != "arrow");
        let file = dir.path().join("export.csv").display().to_string();
        let failed = run(&data, &["export", &format!("later_{kind}"), "-o", &file]).await;
        let said = failed.stderr();
        let is_clear = said.contains("column `deep` is nested") && said.contains("at most 32 are read: flatten it");
        assert!(is_clear, "{said}\n{}", process.stderr());
    }
    // the same process completes another export
    let file = dir.path().join("menus.csv").display().to_string();
    let completed = run(&data, &["export", "menus", "-o", &file]).await;
    assert!(Path::new(&file).is_file(), "{}", completed.stderr());
    process.interrupt();
    assert_eq!(process.ended().await.code(), Some(0), "{}", process.stderr());
}
