//! Templates that a team describes: what becomes of them, and what is said when they can't be.

use async_trait::async_trait;
use polars::prelude::{DataFrame, df};
use protocol::catalog::{Column, ColumnType};

use super::{Declared, Template, TemplateError, TemplateSpec};
use crate::{
    dataset::{Dataset, DatasetError, Frames, Query},
    format::{Layout, Profile, Timestamps},
};

/// A dataset that is nothing but its columns.
pub(crate) struct Orders(pub(crate) Vec<Column>);

#[async_trait]
impl Dataset for Orders {
    fn name(&self) -> &str {
        "orders"
    }

    fn title(&self) -> &str {
        "Orders"
    }

    fn description(&self) -> &str {
        ""
    }

    fn columns(&self) -> &[Column] {
        &self.0
    }

    async fn rows_estimate(&self) -> Option<u64> {
        None
    }

    async fn count(&self, _: &Query) -> Result<Option<u64>, DatasetError> {
        Ok(None)
    }

    async fn open(&self, _: &Query) -> Result<Frames, DatasetError> {
        Err(DatasetError::NoColumn("all".into()))
    }
}

fn orders() -> Orders {
    let labelled = |name: &str, kind, label: &str| Column { label: Some(label.into()), ..Column::new(name, kind) };
    Orders(vec![
        labelled("id", ColumnType::Int, "Order"),
        Column::new("customer", ColumnType::String),
        Column::new("price", ColumnType::Float),
        Column::new("quantity", ColumnType::Int),
        Column::new("paid", ColumnType::Bool),
        Column::new("day", ColumnType::Date),
    ])
}

fn spec(text: &str) -> TemplateSpec {
    toml::from_str(text).unwrap_or_else(|e| panic!("{e}"))
}

const FINANCE: &str = r#"
name = "finance"
title = "For the finance team"
datasets = ["orders"]
profile = "spreadsheet"
time_zone = "Europe/Berlin"
file_name = "Orders {requested_at:yyyy-MM-dd}"
sort = [{ column = "total", descending = true }, { column = "day" }]

[text]
delimiter = ";"
decimal_mark = ","

[[column]]
source = "id"

[[column]]
name = "total"
value = "price * quantity"
label = "Total"
decimals = 2
grouping = "."

[[column]]
source = "paid"
words = ["yes", "no"]
"#;

/// A dataset of which one does not see all.
struct Partly {
    seen: Orders,
    hidden: Vec<Column>,
}

#[async_trait]
impl Dataset for Partly {
    fn name(&self) -> &str {
        self.seen.name()
    }

    fn columns(&self) -> &[Column] {
        self.seen.columns()
    }

    fn hidden(&self) -> &[Column] {
        &self.hidden
    }

    async fn rows_estimate(&self) -> Option<u64> {
        None
    }

    async fn count(&self, _: &Query) -> Result<Option<u64>, DatasetError> {
        Ok(None)
    }

    async fn open(&self, query: &Query) -> Result<Frames, DatasetError> {
        self.seen.open(query).await
    }
}

fn without(name: &str) -> Partly {
    let (hidden, seen) = orders().0.into_iter().partition(|column| column.name == name);
    Partly { seen: Orders(seen), hidden }
}

#[test]
fn what_is_made_of_hidden_columns_is_left_out_and_nothing_is_sorted_by_them() {
    let template = Declared::new(spec(FINANCE));
    let shown = |dataset: &dyn Dataset| {
        let columns = template.columns(dataset).unwrap();
        columns.into_iter().map(|made| (made.column.name, made.reads)).collect::<Vec<_>>()
    };
    let made =
        |name: &str, reads: &[&str]| (name.to_owned(), reads.iter().map(ToString::to_string).collect::<Vec<_>>());
    let all = [made("id", &["id"]), made("total", &["price", "quantity"]), made("paid", &["paid"])];
    assert_eq!(shown(&orders()), all);

    let dataset = without("price");
    assert!(template.fits(&dataset));
    assert_eq!(shown(&dataset), [all[0].clone(), all[2].clone()]);
    let layout = template.layout(&dataset, &[]).unwrap();
    assert_eq!(titles(&layout), ["Order", "paid"]);
    // sorted by the total before, and now by what is left
    assert_eq!(layout.inputs(), ["id", "paid", "day"]);
    assert_eq!(template.layout(&dataset, &["total".into()]), Err(TemplateError::NoColumn("total".into())));

    // an order alone tells too much as well
    let layout = template.layout(&without("day"), &["id".into()]).unwrap();
    assert_eq!(layout.inputs(), ["id", "price", "quantity"]);
    let alone = Declared::new(spec("name = \"t\"\n[[column]]\nname = \"x\"\nvalue = \"price * 2\""));
    assert!(matches!(alone.layout(&dataset, &[]), Err(TemplateError::Unsuited(_))));
    // a constant is made of nothing, and needs a column that is seen
    let constant = Declared::new(spec("name = \"t\"\n[[column]]\nname = \"x\"\nvalue = \"1\""));
    assert_eq!(constant.layout(&without("id"), &[]).unwrap().inputs(), ["customer"]);
    // all columns are all that are seen
    let plain = Declared::new(spec("name = \"t\""));
    assert_eq!((plain.columns(&dataset), plain.layout(&dataset, &[]).unwrap().columns.len()), (None, 5));
}

fn titles(layout: &Layout) -> Vec<&str> {
    layout.columns.iter().map(|column| column.title.as_str()).collect()
}

#[test]
fn a_description_becomes_a_layout() {
    let template = Declared::new(spec(FINANCE));
    assert!(template.fits(&orders()));
    let layout = template.layout(&orders(), &[]).unwrap();
    assert_eq!(titles(&layout), ["Order", "Total", "paid"]);
    assert_eq!(layout.columns[1].source.kind, ColumnType::Float);
    assert_eq!(layout.timestamps, Timestamps::Rows);
    assert_eq!(
        (layout.style.profile, layout.style.delimiter, layout.style.decimal_mark),
        (Profile::Spreadsheet, Some(b';'), b',')
    );
    assert_eq!(layout.inputs(), ["id", "price", "quantity", "paid", "day"]);
    assert_eq!(layout.made_by.template, "finance");
    assert_eq!(layout.made_by.version.len(), 12);

    let day = polars::prelude::Column::new("day".into(), [3, 2, 1, 0]).cast(&polars::prelude::DataType::Date).unwrap();
    let mut frame: DataFrame =
        df!("id" => [1, 2, 3, 4], "price" => [Some(1.0), Some(2.5), None, Some(5.0)], "quantity" => [1, 4, 2, 2], "paid" => [true, false, true, true]).unwrap();
    frame.with_column(day).unwrap();
    let shaped = layout.shape.sorted(layout.shape.apply(frame).unwrap()).unwrap();
    let expected =
        df!("0" => [4, 2, 1, 3], "1" => [Some(10.0), Some(10.0), Some(1.0), None], "2" => [true, false, true, true])
            .unwrap();
    assert!(shaped.equals_missing(&expected), "{shaped}");
}

#[test]
fn columns_that_are_asked_for_are_the_templates_own() {
    let template = Declared::new(spec(FINANCE));
    let asked = |names: &[&str]| {
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        template
            .layout(&orders(), &names)
            .map(|layout| layout.columns.iter().map(|c| c.title.clone()).collect::<Vec<_>>())
    };
    assert_eq!(asked(&["paid", "total"]).unwrap(), ["paid", "Total"]);
    assert_eq!(asked(&["customer"]).unwrap_err(), TemplateError::NoColumn("customer".into()));
    assert_eq!(asked(&["id", "id"]).unwrap_err(), TemplateError::Twice("id".into()));
}

#[test]
fn a_change_of_the_description_is_another_version() {
    let version = |text: &str| Declared::new(spec(text)).version().to_owned();
    assert_eq!(version(FINANCE), version(FINANCE));
    assert_ne!(version(FINANCE), version(&FINANCE.replace("decimals = 2", "decimals = 3")));
    assert_eq!(version("name = \"a\"\nversion = \"2026-11\""), "2026-11");
}

#[test]
fn two_columns_more_carry_the_timestamps() {
    let template = Declared::new(spec("name = \"c\"\ntimestamps = \"columns\"\n[[column]]\nsource = \"id\""));
    let layout = template.layout(&orders(), &[]).unwrap();
    assert_eq!(titles(&layout), ["id", "export_requested_at", "export_completed_at"]);
    assert_eq!(layout.inputs(), ["id"]);
    assert!(layout.shape.is_untouched());
}

#[test]
fn every_fault_is_named_with_its_place() {
    let wrong = spec(
        r#"
name = "a b"
time_zone = "Berlin"
file_name = "../x"
sort = [{ column = "nope" }]
text = { delimiter = "x", decimal_mark = ";", null = "a\"b" }
column = [
  { source = "nope" },
  { source = "customer", decimals = 2, grouping = "x", words = ["a", "b"] },
  { source = "day", pattern = "HH:mm" },
  { name = "x", value = "price +" },
  { value = "price" },
  { source = "id", value = "id" },
  { label = "nothing" },
  { source = "price", decimals = 30, label = "id" },
  { source = "id" },
  { source = "paid", words = ["a", "a"] },
  { source = "day", pattern = "yy" },
]
"#,
    );
    let faults = wrong.validate(&orders().0).unwrap_err();
    let paths: Vec<_> = faults.iter().map(|fault| fault.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "name",
            "time_zone",
            "text.delimiter",
            "text.decimal_mark",
            "text.null",
            "file_name",
            "column[0].source",
            "column[1].decimals",
            "column[1].grouping",
            "column[1].words",
            "column[2].pattern",
            "column[3].value",
            "column[4].name",
            "column[5].value",
            "column[6].source",
            "column[7].decimals",
            "column[9].words",
            "column[10].pattern",
            "column[10]",
            "column",
            "column",
            "sort[0].column",
        ],
        "{faults:#?}"
    );
    assert!(faults.iter().all(|fault| !fault.detail.is_empty()));
}

#[test]
fn a_key_that_means_nothing_is_refused() {
    assert!(toml::from_str::<TemplateSpec>("name = \"a\"\ncolour = \"red\"").is_err());
    assert!(toml::from_str::<TemplateSpec>("name = \"a\"\ncolumn = [{ source = \"a\", wide = true }]").is_err());
}
