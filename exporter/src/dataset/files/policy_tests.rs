//! Tests that row policies on files compare the bytes of texts, in every format.

use std::{path::Path, sync::Arc};

use futures::TryStreamExt;
use polars::prelude::{
    CategoricalPhysical, Categories, Column as PolarsColumn, DataFrame, DataType, IpcStreamWriter, IpcWriter,
    ParquetWriter, SerWriter,
};
use protocol::{
    catalog::{Column, ColumnType},
    filter,
};
use serde_json::{Map, Value, json};

use super::*;
use crate::dataset::{AccessView, Dataset, DatasetError, DatasetInfo, Precision, Query};

/// The tenant of each row. The column `id` counts the rows from 1.
const TENANTS: [Option<&str>; 20] = [
    Some("acme"),
    Some("ACME"),
    Some("Acme"),
    Some("acme "),
    Some("acme\0"),
    Some(" acme"),
    None,
    Some("acme"),
    Some("5"),
    Some("05"),
    Some("5.0"),
    Some(" 5"),
    Some("é"),
    Some("e\u{301}"),
    Some(""),
    Some("acm"),
    Some("acmee"),
    Some("acme\t"),
    Some("\u{feff}acme"),
    Some("acme\0\0"),
];

/// Writes a file with one row for each tenant of [`TENANTS`].
fn write(dir: &Path, name: &str) {
    let rows = || (1_i64..).zip(TENANTS);
    let path = dir.join(name);
    let text = match name {
        "a.csv" | "a.tsv" => {
            let delimiter = if name == "a.csv" { "," } else { "\t" };
            let lines = rows().map(|(id, tenant)| {
                let quoted = tenant.map_or_else(String::new, |tenant| format!("\"{tenant}\""));
                format!("{id}{delimiter}{quoted}\n")
            });
            let header = format!("id{delimiter}tenant\n");
            [header].into_iter().chain(lines).collect::<String>()
        }
        "a.ndjson" => rows().map(|(id, tenant)| json!({"id": id, "tenant": tenant}).to_string() + "\n").collect(),
        _ => {
            let mut frame = DataFrame::new_infer_height(vec![
                PolarsColumn::new("id".into(), rows().map(|(id, _)| id).collect::<Vec<_>>()),
                PolarsColumn::new("tenant".into(), TENANTS.to_vec()),
            ])
            .unwrap();
            if name == "a.dictionary.parquet" {
                let categories = Categories::new("t".into(), "policies".into(), CategoricalPhysical::U32);
                let tenant = frame.column("tenant").unwrap().cast(&DataType::from_categories(categories)).unwrap();
                frame.with_column(tenant).unwrap();
            }
            let file = std::fs::File::create(path).unwrap();
            match name {
                "a.arrow" => IpcWriter::new(file).finish(&mut frame).unwrap(),
                "a.arrows" => IpcStreamWriter::new(file).finish(&mut frame).unwrap(),
                _ => drop(ParquetWriter::new(file).with_row_group_size(Some(3)).finish(&mut frame).unwrap()),
            }
            return;
        }
    };
    std::fs::write(path, text).unwrap();
}

async fn open(dir: &Path, name: &str, policy: Value, columns: &[Column]) -> Arc<dyn Dataset> {
    let kind = FileKind::from_name(name).unwrap();
    let info = DatasetInfo { row_policy: Some(policy), ..DatasetInfo::new("t", columns.to_vec()) };
    Arc::new(Files::open(Location::Local(dir.join(name)), kind, info).await.unwrap())
}

fn view(rows: &Arc<dyn Dataset>, tenant: &str) -> AccessView {
    let claims = json!({"tenant": tenant, "tenants": [tenant]});
    AccessView::new(Arc::clone(rows), claims.as_object().unwrap()).unwrap()
}

/// Returns the values of the column `id` in the rows that pass `filter`. If the view can count the rows exactly, also
/// checks that the count equals their number.
async fn ids(view: &AccessView, filter: Value) -> Result<Vec<i64>, DatasetError> {
    let filter = filter::parse(&filter, &view.info().columns).unwrap();
    let query = Query { columns: vec!["id".into()], filter, params: Map::new(), limit: None };
    let frames: Vec<DataFrame> = view.open(&query).await?.frames.try_collect().await?;
    let ids =
        frames.iter().flat_map(|frame| frame.column("id").unwrap().i64().unwrap().iter().flatten().collect::<Vec<_>>());
    let ids: Vec<_> = ids.collect();
    let exact = view.count(&query, Precision::Exact).await?.map(|count| count.rows);
    assert!(exact.is_none_or(|rows| rows == ids.len() as u64), "{exact:?} {ids:?}");
    Ok(ids)
}

/// Each tenant, and the ids of the rows of this tenant.
const OWN: [(&str, &[i64]); 17] = [
    ("acme", &[1, 8]),
    ("ACME ", &[]),
    ("5", &[9]),
    ("e\u{301}", &[14]),
    ("ACME", &[2]),
    ("acme ", &[4]),
    (" acme", &[6]),
    ("acme\t", &[18]),
    ("05", &[10]),
    ("5.0", &[11]),
    (" 5", &[12]),
    ("5.00", &[]),
    ("é", &[13]),
    ("acm", &[16]),
    ("a", &[]),
    ("acme%", &[]),
    ("null", &[]),
];

#[tokio::test]
async fn a_tenant_never_sees_rows_of_a_tenant_with_a_similar_name() {
    let dir = tempfile::tempdir().unwrap();
    let declared = [Column::new("id", ColumnType::Int), Column::new("tenant", ColumnType::String)];
    for name in ["a.parquet", "a.dictionary.parquet", "a.arrow", "a.arrows", "a.csv", "a.tsv", "a.ndjson"] {
        write(dir.path(), name);
        for (policy, columns, count) in [
            (json!({"tenant": {"eq": {"claim": "tenant"}}}), &declared[..], OWN.len()),
            (json!({"tenant": {"eq": {"claim": "tenant"}}}), &[], OWN.len()),
            (json!({"tenant": {"in": {"claim": "tenants"}}}), &[], 4),
            (json!({"not": {"tenant": {"ne": {"claim": "tenant"}}}}), &[], 4),
            (json!({"tenant": {"gte": {"claim": "tenant"}, "lte": {"claim": "tenant"}}}), &[], 4),
        ] {
            let rows = open(dir.path(), name, policy.clone(), columns).await;
            for (tenant, own) in &OWN[..count] {
                let found = ids(&view(&rows, tenant), json!({})).await.unwrap();
                assert_eq!(found, *own, "{name}, {policy}, {tenant:?}, {} columns", columns.len());
            }
            // a filter of the request does not widen the policy
            let all = json!({"or": [{"tenant": {"is_null": false}}, {"tenant": {"is_null": true}}]});
            assert_eq!(ids(&view(&rows, "acme"), all).await.unwrap(), [1, 8], "{name}, {policy}");
        }
    }
}

#[tokio::test]
async fn a_tenant_column_of_numbers_gives_a_tenant_only_its_own_number() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.csv"), "id,tenant\n1,5\n2,50\n3,-5\n").unwrap();
    std::fs::write(dir.path().join("a.ndjson"), "{\"id\":1,\"tenant\":5}\n{\"id\":2,\"tenant\":50}\n").unwrap();
    for name in ["a.csv", "a.ndjson"] {
        let rows = open(dir.path(), name, json!({"tenant": {"eq": {"claim": "tenant"}}}), &[]).await;
        assert_eq!(rows.info().columns[1].kind, ColumnType::Int, "{name}");
        for (claim, own) in [(json!(5), &[1][..]), (json!(50), &[2]), (json!(505), &[])] {
            let view = AccessView::new(Arc::clone(&rows), json!({"tenant": claim}).as_object().unwrap()).unwrap();
            assert_eq!(ids(&view, json!({})).await.unwrap(), own, "{name} {claim}");
        }
        // a text that is no such number never widens to one
        for claim in ["05", "5.0", " 5", "5 ", "5\0", ""] {
            match AccessView::new(Arc::clone(&rows), json!({"tenant": claim}).as_object().unwrap()) {
                Err(_) => {}
                Ok(view) => assert!(ids(&view, json!({})).await.unwrap().is_empty(), "{name} {claim:?}"),
            }
        }
    }
}
