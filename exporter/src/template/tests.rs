//! Tests the layouts of templates in the catalog file, and the faults of invalid templates.

use polars::prelude::{DataFrame, df};
use protocol::catalog::{Column, ColumnType};

use super::{DeclaredTemplate, Enveloped, Plain, Template, TemplateError, TemplateSpec};
use crate::{
    dataset::DatasetInfo,
    layout::{Layout, Profile, Style, Timestamps},
};

fn orders() -> DatasetInfo {
    let labelled = |name: &str, kind, label: &str| Column { label: Some(label.into()), ..Column::new(name, kind) };
    let columns = vec![
        labelled("id", ColumnType::Int, "Order"),
        Column::new("customer", ColumnType::String),
        Column::new("price", ColumnType::Float),
        Column::new("quantity", ColumnType::Int),
        Column::new("paid", ColumnType::Bool),
        Column::new("day", ColumnType::Date),
    ];
    DatasetInfo::new("orders", columns)
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

/// Returns the dataset `orders`, in which the column `name` is hidden.
fn orders_without(name: &str) -> DatasetInfo {
    let (hidden_columns, columns) = orders().columns.into_iter().partition(|column| column.name == name);
    DatasetInfo { hidden_columns, ..DatasetInfo::new("orders", columns) }
}

#[test]
fn columns_and_sort_keys_that_read_hidden_columns_are_left_out() {
    let template = DeclaredTemplate::new(spec(FINANCE));
    let offered = |dataset: &DatasetInfo| {
        let columns = template.columns(dataset).unwrap().unwrap();
        columns.into_iter().map(|offered| (offered.column.name, offered.reads)).collect::<Vec<_>>()
    };
    let column =
        |name: &str, reads: &[&str]| (name.to_owned(), reads.iter().map(ToString::to_string).collect::<Vec<_>>());
    let all = [column("id", &["id"]), column("total", &["price", "quantity"]), column("paid", &["paid"])];
    assert_eq!(offered(&orders()), all);

    let dataset = orders_without("price");
    assert_eq!(offered(&dataset), [all[0].clone(), all[2].clone()]);
    let layout = template.layout(&dataset, &[]).unwrap();
    assert_eq!(titles(&layout), ["Order", "paid"]);
    // the sort key `total` reads a hidden column, but the key `day` does not
    assert_eq!(layout.inputs(), ["id", "paid", "day"]);
    assert_eq!(template.layout(&dataset, &["total".into()]), Err(TemplateError::NoColumn("total".into())));

    // an order alone would reveal hidden values
    let layout = template.layout(&orders_without("day"), &["id".into()]).unwrap();
    assert_eq!(layout.inputs(), ["id", "price", "quantity"]);
    let alone = DeclaredTemplate::new(spec("name = \"t\"\n[[column]]\nname = \"x\"\nvalue = \"price * 2\""));
    assert!(matches!(alone.layout(&dataset, &[]), Err(TemplateError::Unsuited(_))));
    // a constant reads a visible column, for the number of rows
    let constant = DeclaredTemplate::new(spec("name = \"t\"\n[[column]]\nname = \"x\"\nvalue = \"1\""));
    assert_eq!(constant.layout(&orders_without("id"), &[]).unwrap().inputs(), ["customer"]);
    // a template without columns has all visible columns
    let plain = DeclaredTemplate::new(spec("name = \"t\""));
    assert_eq!((plain.columns(&dataset).unwrap(), plain.layout(&dataset, &[]).unwrap().columns.len()), (None, 5));
}

fn titles(layout: &Layout) -> Vec<&str> {
    layout.columns.iter().map(|column| column.title.as_str()).collect()
}

#[test]
fn a_column_without_a_label_is_titled_by_its_own_name_and_in_spreadsheets_by_the_label_of_the_dataset() {
    let columns = "[[column]]\nsource = \"id\"\nname = \"number\"\n[[column]]\nsource = \"paid\"\nname = \"settled\"\n";
    for (profile, expected) in [("machine", ["number", "settled"]), ("spreadsheet", ["Order", "settled"])] {
        let template = DeclaredTemplate::new(spec(&format!("name = \"t\"\nprofile = \"{profile}\"\n{columns}")));
        assert_eq!(titles(&template.layout(&orders(), &[]).unwrap()), expected, "{profile}");
    }
}

#[test]
fn a_layout_follows_the_description_of_its_template() {
    let template = DeclaredTemplate::new(spec(FINANCE));
    assert!(template.columns(&orders()).is_ok());
    assert!(template.columns(&DatasetInfo::new("others", orders().columns)).is_err());
    let layout = template.layout(&orders(), &[]).unwrap();
    assert_eq!(titles(&layout), ["Order", "Total", "paid"]);
    assert_eq!(layout.columns[1].source.kind, ColumnType::Float);
    assert_eq!(layout.timestamps, Timestamps::Rows);
    assert_eq!(
        (layout.style.profile, layout.style.delimiter, layout.style.decimal_mark),
        (Profile::Spreadsheet, Some(b';'), b',')
    );
    assert_eq!(layout.inputs(), ["id", "price", "quantity", "paid", "day"]);
    assert_eq!(layout.template.name, "finance");
    assert_eq!(layout.template.version.len(), 12);

    let day = polars::prelude::Column::new("day".into(), [3, 2, 1, 0]).cast(&polars::prelude::DataType::Date).unwrap();
    let mut frame: DataFrame =
        df!("id" => [1, 2, 3, 4], "price" => [Some(1.0), Some(2.5), None, Some(5.0)], "quantity" => [1, 4, 2, 2], "paid" => [true, false, true, true]).unwrap();
    frame.with_column(day).unwrap();
    let projected = layout.projection.sorted(layout.projection.apply(frame).unwrap()).unwrap();
    let expected =
        df!("0" => [4, 2, 1, 3], "1" => [Some(10.0), Some(10.0), Some(1.0), None], "2" => [true, false, true, true])
            .unwrap();
    assert!(projected.equals_missing(&expected), "{projected}");
}

#[test]
fn a_request_chooses_among_the_columns_of_the_template() {
    let template = DeclaredTemplate::new(spec(FINANCE));
    let requested = |names: &[&str]| {
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        template
            .layout(&orders(), &names)
            .map(|layout| layout.columns.iter().map(|c| c.title.clone()).collect::<Vec<_>>())
    };
    assert_eq!(requested(&["paid", "total"]).unwrap(), ["paid", "Total"]);
    assert_eq!(requested(&["customer"]).unwrap_err(), TemplateError::NoColumn("customer".into()));
    assert_eq!(requested(&["id", "id"]).unwrap_err(), TemplateError::Twice("id".into()));
}

#[test]
fn every_change_of_a_description_changes_its_version() {
    let version = |text: &str| DeclaredTemplate::new(spec(text)).info().version.clone();
    assert_eq!(version(FINANCE), version(FINANCE));
    assert_ne!(version(FINANCE), version(&FINANCE.replace("decimals = 2", "decimals = 3")));
    assert_eq!(version("name = \"a\"\nversion = \"2026-11\""), "2026-11");
}

#[test]
fn timestamps_in_columns_add_two_columns() {
    let template = DeclaredTemplate::new(spec("name = \"c\"\ntimestamps = \"columns\"\n[[column]]\nsource = \"id\""));
    let layout = template.layout(&orders(), &[]).unwrap();
    assert_eq!(titles(&layout), ["id", "export_requested_at", "export_completed_at"]);
    assert_eq!(layout.inputs(), ["id"]);
    assert!(layout.projection.is_identity());
}

#[test]
fn digits_are_not_grouped_by_the_decimal_mark() {
    for (text, expected) in [("", "."), ("text = { decimal_mark = \",\" }", ",")] {
        for grouping in [".", ","] {
            let column = format!("column = [{{ source = \"price\", grouping = \"{grouping}\" }}]");
            let faults = spec(&format!("name = \"t\"\n{text}\n{column}")).validate(&orders().columns);
            let paths = faults.err().map(|faults| faults.into_iter().map(|fault| fault.path).collect::<Vec<_>>());
            let wrong = (grouping == expected).then(|| vec!["column[0].grouping".to_owned()]);
            assert_eq!(paths, wrong, "{text} {grouping}");
        }
    }
}

#[test]
fn a_column_whose_name_polars_takes_as_a_pattern_is_sorted_and_calculated_as_itself() {
    let columns = ["*", "^a$", "a"].map(|name| Column::new(name, ColumnType::Int)).to_vec();
    let template = "name = \"t\"\nsort = [{ column = \"^a$\", descending = true }]\ncolumn = [{ source = \"^a$\" }, \
                    { source = \"*\" }, { name = \"sum\", value = '\"^a$\" + \"a\"' }]";
    let layout = DeclaredTemplate::new(spec(template)).layout(&DatasetInfo::new("t", columns), &[]).unwrap();
    let frame = df!("*" => [0_i64, 0, 9], "^a$" => [2_i64, 1, 7], "a" => [4_i64, 1, 5]).unwrap();
    let frame = frame.select(layout.inputs()).unwrap();
    let projected = layout.projection.sorted(layout.projection.apply(frame).unwrap()).unwrap();
    let expected = df!("0" => [7_i64, 2, 1], "1" => [9_i64, 0, 0], "2" => [12_i64, 6, 2]).unwrap();
    assert!(projected.equals(&expected), "{projected}");
}

#[test]
fn every_fault_is_reported_with_its_path() {
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
    let faults = wrong.validate(&orders().columns).unwrap_err();
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
fn the_template_plain_is_the_table_alone_with_quoted_titles() {
    let layout = Plain.layout(&orders(), &["id".into(), "paid".into()]).unwrap();
    let enveloped = Enveloped.layout(&orders(), &["id".into(), "paid".into()]).unwrap();
    assert_eq!((layout.timestamps, enveloped.timestamps), (Timestamps::Sidecar, Timestamps::Envelope));
    assert_eq!(layout.columns, enveloped.columns);
    assert_eq!(layout.style, Style { quoted_titles: true, ..enveloped.style });
    assert_eq!((layout.template.name.as_str(), enveloped.template.name.as_str()), ("plain", "default"));
    assert!(Plain.layout(&orders(), &["nope".into()]).is_err());
    let names: Vec<_> = crate::Registry::built_in().templates.iter().map(|one| one.info().name.clone()).collect();
    assert_eq!(names, ["default", "plain", "spreadsheet"]);
}

#[test]
fn decimals_that_are_text_sort_by_their_value() {
    let prices = [Some("10"), Some("9"), Some("-1.5"), None, Some("9.5"), Some("NaN"), Some("-10"), Some("0.30")];
    let frame = df!("price" => prices).unwrap();
    let dataset = DatasetInfo::new("prices", vec![Column::new("price", ColumnType::Decimal)]);
    let sorted = |text: &str| {
        let layout = DeclaredTemplate::new(spec(text)).layout(&dataset, &[]).unwrap();
        let frame = layout.projection.sorted(layout.projection.apply(frame.clone()).unwrap()).unwrap();
        let texts: Vec<_> = frame.columns()[0].str().unwrap().iter().map(|t| t.map(str::to_owned)).collect();
        texts.into_iter().map(|text| text.unwrap_or_else(|| "null".into())).collect::<Vec<_>>().join(" ")
    };
    let up = "-10 -1.5 0.30 9 9.5 10 NaN null";
    assert_eq!(sorted("name = \"a\"\nsort = [{ column = \"price\" }]"), up);
    let renamed = "name = \"a\"\nsort = [{ column = \"p\" }]\ncolumn = [{ source = \"price\", name = \"p\" }]";
    assert_eq!(sorted(renamed), up);
    let down = sorted("name = \"a\"\nsort = [{ column = \"price\", descending = true }]");
    assert_eq!(down, "NaN 10 9.5 9 0.30 -1.5 -10 null");
}

#[test]
fn a_pattern_with_an_offset_needs_a_time_zone() {
    let offset = spec("name = \"a\"\ncolumn = [{ source = \"at\", pattern = \"yyyy-MM-ddTHH:mm:ssXXX\" }]");
    let zoned = Column::new("at", ColumnType::Datetime);
    assert!(offset.validate(std::slice::from_ref(&zoned)).is_ok());
    let faults = offset.validate(&[zoned.typed(ColumnType::Datetime, true)]).unwrap_err();
    assert_eq!(faults[0].path, "column[0].pattern");
}

#[test]
fn an_unknown_key_is_refused() {
    assert!(toml::from_str::<TemplateSpec>("name = \"a\"\ncolour = \"red\"").is_err());
    assert!(toml::from_str::<TemplateSpec>("name = \"a\"\ncolumn = [{ source = \"a\", wide = true }]").is_err());
}

#[test]
fn a_failed_calculation_has_its_column_and_its_first_row() {
    let template = DeclaredTemplate::new(spec(
        "name = \"t\"\n[[column]]\nsource = \"id\"\n[[column]]\nname = \"next\"\nvalue = \"quantity + 1\"\n",
    ));
    let layout = template.layout(&orders(), &[]).unwrap();
    for failing in [0, 1, 5, 9] {
        let mut quantity = vec![1; 10];
        quantity[failing] = i64::MAX;
        quantity[9] = i64::MAX;
        let frame = df!("id" => [1; 10], "quantity" => quantity).unwrap();
        assert!(layout.projection.apply(frame.clone()).is_err());
        let failure = layout.projection.failure(&frame).unwrap();
        assert_eq!((failure.output, failure.row), (Some(1), failing));
        let text = super::expr::cause(&failure.error);
        assert!(text.contains("beyond whole numbers of 64 bits") && !text.contains("922"), "{text}");
    }
    let frame = df!("id" => [1], "quantity" => [1_i64]).unwrap();
    assert!(layout.projection.failure(&frame).is_none());
}
