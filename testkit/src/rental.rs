//! A database of ten tables that was made without any regard to Sluice, for tests of the first steps of a newcomer.

use sea_orm::{ConnectionTrait, Database, DatabaseConnection};

use crate::db::Postgres;

/// The script that creates the tables, views, comments and rows.
const SCRIPT: &str = include_str!("rental.sql");

/// Creates a database with the tables, and returns its URL and a connection.
///
/// # Panics
/// When the database can't be created.
pub async fn create(postgres: &Postgres) -> (String, DatabaseConnection) {
    let url = postgres.empty_database().await;
    let db = Database::connect(&url).await.expect("the database of this test is up");
    db.execute_unprepared(SCRIPT).await.expect("the script fits every supported version");
    (url, db)
}
