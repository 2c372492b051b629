//! `sluice catalog init` and `sluice up SOURCE`, as a newcomer runs them.

use std::{fs, path::Path};

use sea_orm::ConnectionTrait;
use serde_json::{Value, json};
use testkit::{
    db::Postgres,
    eventually,
    fault::{Launch, Process},
    s3::S3Server,
};

const PASSWORD: &str = "s3cr3t-of-the-newcomer";

/// Creates the tables and a login that may read them, and returns the URL with its password and the name of its role.
async fn rental(postgres: &Postgres) -> (String, String) {
    let (url, db) = testkit::rental::create(postgres).await;
    let role = format!("reader_of_{}", url.rsplit('/').next().unwrap());
    let ddl = format!(
        "CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}; \
         REVOKE ALL ON staff FROM {role}"
    );
    db.execute_unprepared(&ddl).await.unwrap();
    (url.replace("//postgres@", &format!("//{role}:{PASSWORD}@")), role)
}

fn sluice(dir: &Path, args: &[&str]) -> Launch {
    Launch::sluice(args.iter().map(AsRef::<std::ffi::OsStr>::as_ref)).current_dir(dir)
}

/// Runs a command and returns its exit code, standard output and standard error.
async fn run(launch: Launch) -> (Option<i32>, String, String) {
    let mut process = launch.run().await;
    let code = process.ended().await.code();
    (code, process.stdout(), process.stderr())
}

#[tokio::test]
async fn a_catalog_is_written_checked_and_never_overwritten() {
    let postgres = Postgres::start().await;
    let (url, _) = rental(&postgres).await;
    let dir = tempfile::tempdir().unwrap();
    let init = async |args: &[&str]| {
        let all: Vec<_> = ["catalog", "init", &url].iter().chain(args).copied().collect();
        run(sluice(dir.path(), &all)).await
    };
    let (code, out, err) = init(&[]).await;
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.starts_with("catalog.toml: 11 datasets\n"), "{out}");
    assert!(out.contains("  customer: table `public.customer`; 8 columns; masked: email, credit_card\n"), "{out}");
    assert!(out.contains("  not offered: table `public.staff`: the database user has no right to read it"), "{out}");
    let text = fs::read_to_string(dir.path().join("catalog.toml")).unwrap();
    assert!(text.contains("# Not offered: table `public.staff`: "), "{text}");
    let export = out.lines().find_map(|line| line.trim().strip_prefix("export ")).unwrap();
    let (variable, shown) = export.split_once('=').unwrap();
    assert!(text.contains(&format!("url = {{ env = \"{variable}\" }}")), "{text}");
    assert!(shown.contains(":PASSWORD@"), "{shown}");

    let check = sluice(dir.path(), &["catalog", "check", "catalog.toml"]);
    let (code, checked, err) = run(check.env(variable, &url)).await;
    assert_eq!((code, err.as_str()), (Some(0), ""), "{checked}");
    assert!(checked.ends_with("catalog.toml is valid\n") && checked.contains("dataset film: 9 columns"), "{checked}");
    let (code, checked, _) = run(sluice(dir.path(), &["catalog", "check", "catalog.toml"])).await;
    assert!(code == Some(1) && checked.contains(&format!("`{variable}` is not set")), "{checked}");

    // edits are safe
    fs::write(dir.path().join("catalog.toml"), format!("# ours\n{text}")).unwrap();
    let (code, out, err) = init(&[]).await;
    assert_eq!((code, out.as_str(), err.lines().count()), (Some(1), "", 1), "{err}");
    assert!(err.contains("--update") && err.contains("--force"), "{err}");
    let (code, out, err) = init(&["--update", "--json"]).await;
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (&report["datasets"], &report["kept"], &report["file"]),
        (&json!([]), &json!(11), &json!("catalog.toml"))
    );
    assert_eq!(report["variable"], json!({"name": variable, "is_set": false, "example": shown}));
    assert_eq!(fs::read_to_string(dir.path().join("catalog.toml")).unwrap(), format!("# ours\n{text}"));
    let (code, forced, _) = init(&["--force", "--tables", "film", "rental", "-o", "catalog.toml"]).await;
    assert!(code == Some(0) && forced.starts_with("catalog.toml: 2 datasets\n"), "{forced}");
    let (code, printed, err) = init(&["--tables", "film", "-o", "-"]).await;
    assert!(code == Some(0) && printed.contains("[[dataset]]") && err.contains("1 dataset"), "{printed}{err}");

    // a variable that has the URL already is named
    let named = sluice(dir.path(), &["catalog", "init", "env:RENTAL_URL", "-o", "named.toml"]).env("RENTAL_URL", &url);
    let (code, out, err) = run(named).await;
    assert!(code == Some(0) && !out.contains("export"), "{out}{err}");
    assert!(fs::read_to_string(dir.path().join("named.toml")).unwrap().contains("{ env = \"RENTAL_URL\" }"));

    let wrong = url.replace("//reader_of", "//nobody_of");
    let (code, out, refused) = run(sluice(dir.path(), &["catalog", "init", &wrong, "-o", "x.toml"])).await;
    assert_eq!((code, out.as_str(), refused.lines().count()), (Some(1), "", 1), "{refused}");
    for text in [text, checked, err, forced, printed, refused] {
        assert!(!text.contains(PASSWORD), "{text}");
    }
}

#[tokio::test]
async fn objects_of_a_bucket_become_a_catalog_without_the_keys() {
    let bucket = S3Server::start().await.bucket().await;
    let (store, config) = (bucket.store("lake"), bucket.config("lake"));
    for (key, text) in [
        ("orders-1.csv", "id,email\n1,a@example.com\n"),
        ("orders-2.csv", "id,email\n2,b@example.com\n"),
        ("sales/year=2025/a.ndjson", "{\"n\":1}\n"),
        ("sales/year=2026/b.ndjson", "{\"n\":2}\n"),
        ("note.txt", "x"),
    ] {
        store.put(key, text).await.unwrap();
    }
    let dir = tempfile::tempdir().unwrap();
    let keys = [
        ("AWS_ENDPOINT_URL", config.s3_endpoint.as_str()),
        ("AWS_ACCESS_KEY_ID", config.s3_access_key_id.as_str()),
        ("AWS_SECRET_ACCESS_KEY", config.s3_secret_access_key.expose()),
    ];
    let (code, out, err) = run(sluice(dir.path(), &["catalog", "init", &config.url]).envs(keys)).await;
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.starts_with("catalog.toml: 2 datasets\n") && out.contains("not offered: file `note.txt`"), "{out}");
    let text = fs::read_to_string(dir.path().join("catalog.toml")).unwrap();
    assert!(text.contains("files = \"lake/orders-[0-9]*.csv\"\n"), "{text}");
    assert!(text.contains("files = \"lake/sales/year=*/*.ndjson\"\n"), "{text}");
    assert!(text.contains(&format!("endpoint = \"{}\"\nallow_http = true\n", config.s3_endpoint)), "{text}");
    assert!(!text.contains(config.s3_secret_access_key.expose()) && !text.contains("access_key_id ="), "{text}");
    let (code, out, err) = run(sluice(dir.path(), &["catalog", "check", "catalog.toml"]).envs(keys)).await;
    assert_eq!(code, Some(0), "{out}{err}");
    let preview = ["catalog", "preview", "orders", "--file", "catalog.toml", "--all"];
    let (code, out, err) = run(sluice(dir.path(), &preview).envs(keys)).await;
    assert_eq!((code, out.lines().count()), (Some(0), 3), "{out}{err}");
}

/// Starts Sluice for a source on a free port, and returns the process once it is ready.
async fn up(data: &Path, args: &[&str]) -> Process {
    let all: Vec<_> = ["up"].iter().chain(args).copied().chain(["--port", "0", "--data-dir"]).collect();
    let launch = Launch::sluice(all.iter().map(AsRef::<std::ffi::OsStr>::as_ref).chain([data.as_os_str()]));
    let process = launch.env("SLUICE_LOG__FILTER", "debug").spawn();
    eventually("the block is printed", async || process.stdout().contains("Ctrl-C").then_some(())).await;
    process
}

/// The files of a folder and its folders whose bytes contain a text.
fn files_with(folder: &Path, text: &str) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, text));
        } else if fs::read(&path).unwrap().windows(text.len()).any(|window| window == text.as_bytes()) {
            found.push(path);
        }
    }
    found
}

#[tokio::test]
async fn slow_up_with_a_database_exports_a_table_with_a_filter() {
    let postgres = Postgres::start().await;
    let (url, _) = rental(&postgres).await;
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let export = async |dataset: &str, filter: &str| {
        let file = dir.path().join(format!("{dataset}.csv"));
        let args =
            ["export", dataset, "--filter", filter, "--template", "plain", "-o", file.to_str().unwrap(), "--data-dir"];
        let (code, out, err) = run(sluice(dir.path(), &[&args[..], &[data.to_str().unwrap()]].concat())).await;
        assert_eq!(code, Some(0), "{out}{err}");
        fs::read_to_string(file).unwrap()
    };
    let mut process = up(&data, &[&url]).await;
    let catalog = data.join("catalog.toml");
    // other users of the machine can read the arguments of every process
    let arguments = fs::read_to_string(format!("/proc/{}/cmdline", process.pid())).unwrap();
    assert!(arguments.contains("env:") && !arguments.contains(PASSWORD), "{arguments}");
    assert!(process.stderr().contains("catalog.toml: 11 datasets"), "{}", process.stderr());
    let rows = export("rental", r#"{"rental_id": {"lte": 3}}"#).await;
    assert_eq!(rows.lines().count(), 4, "{rows}");
    let rows = export("customer", r#"{"customer_id": {"eq": 1}}"#).await;
    assert!(rows.contains("***") && rows.contains("***************1111"), "{rows}");
    assert!(!rows.contains("@example.com"), "{rows}");
    process.interrupt();
    assert_eq!(process.ended().await.code(), Some(0), "{}", process.stderr());
    assert!(!format!("{}{}", process.stdout(), process.stderr()).contains(PASSWORD));
    assert_eq!(files_with(&data, PASSWORD), [""; 0].map(std::path::PathBuf::from));

    // a later start keeps the edited file
    let edited = fs::read_to_string(&catalog).unwrap().replace("name = \"rental\"", "name = \"rentals\"");
    fs::write(&catalog, &edited).unwrap();
    let mut process = up(&data, &[&url]).await;
    assert_eq!(export("rentals", r#"{"rental_id": {"eq": 7}}"#).await.lines().count(), 2);
    assert_eq!(fs::read_to_string(&catalog).unwrap(), edited);
    assert!(process.stderr().contains("is kept"), "{}", process.stderr());
    process.interrupt();
    assert_eq!(process.ended().await.code(), Some(0), "{}", process.stderr());

    let other = ["up", "postgres://localhost/another", "--port", "0", "--data-dir", data.to_str().unwrap()];
    let (code, _, err) = run(sluice(dir.path(), &other)).await;
    assert!(code == Some(1) && err.contains("does not read this source") && err.lines().count() == 1, "{err}");
}

#[tokio::test]
async fn slow_up_with_a_folder_exports_a_file() {
    let dir = tempfile::tempdir().unwrap();
    for year in [2025, 2026] {
        fs::write(dir.path().join(format!("orders-{year}.csv")), format!("id,year\n1,{year}\n2,{year}\n")).unwrap();
    }
    // the data folder is inside of the source, and is not taken for data
    let data = dir.path().join("data");
    let mut process = up(&data, &[dir.path().to_str().unwrap()]).await;
    let args = ["export", "orders", "--filter", r#"{"id": {"eq": 2}}"#, "--template", "plain", "-o", "-", "--data-dir"];
    let (code, out, err) = run(sluice(dir.path(), &[&args[..], &[data.to_str().unwrap()]].concat())).await;
    assert_eq!((code, out.lines().count()), (Some(0), 3), "{out}{err}");
    process.interrupt();
    assert_eq!(process.ended().await.code(), Some(0), "{}", process.stderr());
    assert!(fs::read_to_string(data.join("catalog.toml")).unwrap().contains("folder `data`"));
}
