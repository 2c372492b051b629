//! Tests that a `timestamp` has no time zone, no matter which time zone the server has.

use super::*;

#[tokio::test]
async fn a_timestamp_has_no_time_zone_and_a_timestamptz_has_one() {
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    run(&database.db, "CREATE TABLE moments (local timestamp, zoned timestamptz)").await;
    run(
        &database.db,
        "INSERT INTO moments VALUES ('2026-03-29 02:30:00.5', '2026-03-29 02:30:00.5+00'), ('infinity', '-infinity')",
    )
    .await;
    run(
        &database.db,
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET timezone = ''America/New_York''', current_database()); END $$",
    )
    .await;
    let server = server(database.url());
    run(&database.db, "CREATE VIEW moments_view AS SELECT local, zoned FROM moments").await;
    for source in ["moments", "moments_view"] {
        let rows = described(&server, Source::table(source), vec![]).await;
        let columns = rows.info.columns.clone();
        assert_eq!(columns.iter().map(|column| column.local).collect::<Vec<_>>(), [true, false]);
        let all = frames(&rows, &query(&["local", "zoned"], Filter::all())).await;
        let expected = "2026-03-29T02:30:00.500,2026-03-29T02:30:00.500Z\ninfinity,-infinity\n";
        assert_eq!(written(&Csv, &columns, &all), expected);
        for (filter, found) in [
            (json!({"local": {"eq": "2026-03-29T02:30:00.500"}}), 1),
            (json!({"local": {"eq": "2026-03-29T02:30:00.500Z"}}), 1),
            (json!({"local": {"between": ["2026-03-29T02:30:00.500", "2026-03-29T02:30:01"]}}), 1),
            (json!({"local": {"in": ["2026-03-28T22:30:00.500"]}}), 0),
            (json!({"zoned": {"eq": "2026-03-29T04:30:00.500+02:00"}}), 1),
        ] {
            let parsed = filter::parse(&filter, &columns).unwrap();
            let some = frames(&rows, &query(&["local"], parsed)).await;
            assert_eq!(some.iter().map(DataFrame::height).sum::<usize>(), found, "{filter}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timestamp_that_no_export_holds_is_refused_with_its_row() {
    let postgres = Postgres::start().await;
    let database = postgres.database().await;
    let late = "CREATE TABLE late (id bigint, at timestamp); \
                INSERT INTO late VALUES (1, '2026-01-01'), (2, '294270-01-01')";
    run(&database.db, late).await;
    let rows = described(&server(database.url()), Source::table("late"), vec![]).await;
    let opened = rows.open(&query(&["id", "at"], Filter::all())).await.unwrap();
    let refused = opened.frames.try_collect::<Vec<_>>().await.unwrap_err();
    assert!(!refused.is_transient(), "{refused}");
    for words in ["row 2 of the export: column `at`: ", "a filter", "`type = \"string\"`"] {
        assert!(refused.user_message().contains(words), "{refused}");
    }
}
