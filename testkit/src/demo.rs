//! Writes the demo catalog and data of `ops/demo` to a folder, for tests that export flights and menus.

use std::{
    fs,
    path::{Path, PathBuf},
};

use sea_orm::{ConnectionTrait, Database, DatabaseConnection};

/// The text of the demo catalog.
const DEMO_CATALOG: &str = include_str!("../../ops/demo/catalog.toml");
/// The part of the demo catalog with the TPC-H datasets.
const TPCH_CATALOG: &str = include_str!("../../ops/demo/tpch.toml");
/// The SQL script that creates the menu tables in SQLite or PostgreSQL.
const MENUS_SQL: &str = include_str!("../../ops/demo/menus.sql");
/// The source of the menu datasets as `ops/demo/catalog.toml` declares it.
const SQLITE_SOURCE: &str = "kind = \"sqlite\"\npath = \"demo.sqlite\"";

/// The environment variable with the URL of a PostgreSQL database that holds the menu tables.
pub const POSTGRES_URL: &str = "DEMO_DATABASE_URL";

/// Writes the menu tables as a SQLite file and a catalog to a folder, and returns the path of the catalog. The catalog
/// lists flights and the TPC-H tables only if the folder contains their files.
///
/// # Panics
/// When the folder can't be written.
pub async fn seed(folder: &Path) -> PathBuf {
    let url = format!("sqlite://{}?mode=rwc", folder.join("demo.sqlite").display());
    create_menus(&Database::connect(url).await.expect("the folder is writable")).await;
    write_catalog(folder, DEMO_CATALOG)
}

/// Creates the menu tables in a PostgreSQL database, and writes a catalog that reads them from [`POSTGRES_URL`].
/// Returns the path of the catalog.
///
/// # Panics
/// When the tables can't be created or the folder can't be written.
pub async fn seed_postgres(folder: &Path, database: &DatabaseConnection) -> PathBuf {
    create_menus(database).await;
    assert!(DEMO_CATALOG.contains(SQLITE_SOURCE), "ops/demo/catalog.toml declares its source as a SQLite file");
    let source = format!("kind = \"postgres\"\nurl = {{ env = \"{POSTGRES_URL}\" }}");
    write_catalog(folder, &DEMO_CATALOG.replace(SQLITE_SOURCE, &source))
}

async fn create_menus(database: &DatabaseConnection) {
    database.execute_unprepared(MENUS_SQL).await.expect("the demo's tables can be created");
}

fn write_catalog(folder: &Path, catalog: &str) -> PathBuf {
    let has = |name: &str| folder.join(format!("{name}.parquet")).is_file();
    let mut catalog = if has("flights") { catalog.to_owned() } else { without_flights(catalog) };
    if has("lineitem") && has("orders") {
        catalog.push_str(TPCH_CATALOG);
    }
    let path = folder.join("catalog.toml");
    fs::write(&path, catalog).expect("the folder is writable");
    path
}

/// Removes the dataset `flights` from the catalog, because without its file an exporter reports it as unavailable.
fn without_flights(catalog: &str) -> String {
    let mut tables = catalog.split("\n[[dataset]]\n");
    let head = tables.next().unwrap_or_default().to_owned();
    tables
        .filter(|table| !table.starts_with("name = \"flights\""))
        .fold(head, |catalog, table| format!("{catalog}\n[[dataset]]\n{table}"))
}
