//! `sluice catalog preview` prints the rows of a dataset as an export would write them.

use std::{fs, path::Path};

use tempfile::TempDir;
use testkit::fault::Launch;

const CATALOG: &str = r#"
[[dataset]]
name = "people"
files = "people.csv"
"#;

/// A folder with a catalog of one CSV file of `rows` rows.
fn folder(rows: usize) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let lines: String = (1..=rows).map(|id| format!("{id},\"name {id}\"\n")).collect();
    fs::write(dir.path().join("people.csv"), format!("id,name\n{lines}")).unwrap();
    fs::write(dir.path().join("catalog.toml"), CATALOG).unwrap();
    dir
}

/// Runs the command and returns its exit code, standard output and standard error.
async fn preview(dir: &Path, args: &[&str]) -> (Option<i32>, String, String) {
    let fixed = ["catalog", "preview", "--file", "catalog.toml"];
    let launch = Launch::sluice(fixed.iter().chain(args).map(AsRef::<std::ffi::OsStr>::as_ref));
    let datasets = dir.to_str().unwrap();
    let mut process = launch.current_dir(dir).env("SLUICE_EXPORTER__DATASETS_DIR", datasets).run().await;
    let code = process.ended().await.code();
    (code, process.stdout(), process.stderr())
}

#[tokio::test]
async fn the_first_rows_or_all_rows_are_printed() {
    let dir = folder(30);
    let (code, out, err) = preview(dir.path(), &["people"]).await;
    let lines: Vec<_> = out.lines().collect();
    assert_eq!((code, lines.len(), lines[0], lines[1]), (Some(0), 21, "\"id\",\"name\"", "1,name 1"), "{err}");
    assert!(err.contains("--all"), "{err}");
    let (code, out, err) = preview(dir.path(), &["people", "--all", "--columns", "name"]).await;
    let lines: Vec<_> = out.lines().collect();
    assert_eq!((code, lines.len(), lines[30], err.as_str()), (Some(0), 31, "name 30", ""));
}

#[tokio::test]
async fn filters_and_formats_are_those_of_exports() {
    let dir = folder(3);
    let args = ["people", "--filter", r#"{"id": {"gt": 2}}"#, "--format", "ndjson"];
    let (code, out, err) = preview(dir.path(), &args).await;
    assert_eq!((code, out.as_str()), (Some(0), "{\"id\":3,\"name\":\"name 3\"}\n"), "{err}");
}

#[tokio::test]
async fn a_mistake_is_one_line_that_says_what_there_is() {
    let dir = folder(1);
    for (args, expected) in [
        (&["flights"][..], "there is no dataset `flights`; there are: people"),
        (&["people", "--format", "pdf"], "there is no format `pdf`"),
        (&["people", "--columns", "age"], "age"),
        (&["people", "--filter", r#"{"age": {"eq": 1}}"#], "/filter/age"),
        (&["people", "--param", "since=1"], "since"),
    ] {
        let (code, out, err) = preview(dir.path(), args).await;
        assert_ne!(code, Some(0), "{args:?}");
        assert!(err.contains(expected) && err.lines().count() == 1 && out.is_empty(), "{args:?}: {out}{err}");
    }
}
