//! Tests the declarations of templates and row orders, and the JSON Schema of catalog files.

use super::*;

#[tokio::test]
async fn a_template_is_checked_for_each_of_its_datasets() {
    let fixture = Fixture::new().await;
    parquet(&fixture.path("people1.parquet"));
    let people = "[[dataset]]\nname = \"p\"\nfiles = \"people1.parquet\"\n\
                  row_policy = { tenant = { eq = { claim = \"tenant\" } } }\n";
    let unavailable = "[[dataset]]\nname = \"gone\"\nfiles = \"gone.parquet\"\n";
    for (text, expected) in [
        // a template for a dataset outside of the file
        ("datasets = [\"menus\"]\n[[template.column]]\nsource = \"category\"\n", None),
        ("datasets = [\"menus\"]\n[[template.column]]\nsource = \"salary\"\n", Some("no column `salary`")),
        ("[[template.column]]\nsource = \"salary\"\ndecimals = 2\n", None),
        ("[[template.column]]\nsource = \"salary\"\n[[template.sort]]\ncolumn = \"email\"\n", None),
        // templates that name no dataset
        ("[[template.column]]\nsource = \"category\"\ndecimals = 2\n", Some("column[0].decimals: only numbers")),
        ("[[template.column]]\nname = \"x\"\nvalue = \"email * 2\"\n", Some("column[0].value: at byte")),
        ("[[template.column]]\nname = \"x\"\nvalue = \"salry * 2\"\n", Some("lacks `salry`")),
        ("[[template.column]]\nsource = \"email\"\n[[template.sort]]\ncolumn = \"id\"\n", Some("lacks `id`. Correct")),
        // `name` of menus and of muscles, reported once
        ("[[template.column]]\nsource = \"name\"\nwords = [\"a\", \"b\"]\n", Some("column[0].words")),
        ("time_zone = \"Mars\"\n", Some("not a time zone")),
    ] {
        let file = format!("{people}\n[[template]]\nname = \"t\"\n{text}");
        let faults = fixture.faults(&file).await;
        match expected {
            None => assert_eq!(faults, [], "{text}"),
            Some(word) => {
                assert_eq!(faults.len(), 1, "{text}: {faults:?}");
                assert!(faults[0].0 == Some(6) && faults[0].1.contains(word), "{text}: {faults:?}");
            }
        }
    }
    // a template for an unavailable dataset is no fault
    let file = format!("{unavailable}[[template]]\nname = \"t\"\n[[template.column]]\nsource = \"unknown\"\n");
    let loaded = fixture.load(&file).await.unwrap();
    assert_eq!((loaded.templates.len(), loaded.unavailable.len()), (1, 1));
    let bound = "[[template]]\nname = \"t\"\ndatasets = [\"menus\"]\n[[template.column]]\nsource = \"category\"\n";
    let registry = fixture.base().with(fixture.load(bound).await.unwrap());
    let fits = |name: &str| registry.template("t").unwrap().columns(registry.dataset(name).unwrap().info()).is_ok();
    assert!(fits("menus") && !fits("muscles"));
    let taken = "[[dataset]]\nname = \"menus\"\nfiles = \"people1.parquet\"\n\
                 row_policy = { tenant = { eq = { claim = \"tenant\" } } }\n";
    assert_eq!(fixture.faults(taken).await, [(Some(2), "the name is taken".to_owned())]);
}

#[tokio::test]
async fn rows_are_ordered_by_several_columns_in_either_direction() {
    let fixture = Fixture::new().await;
    let text = "[source.d]\nkind = \"sqlite\"\npath = \"demo.db\"\n[[dataset]]\nname = \"m\"\nfrom = \"d\"\n\
                table = \"menus\"\norder = [\"category desc\", \"id\"]\n";
    let menus = fixture.load(text).await.unwrap().datasets.remove(0);
    let rows = rows(menus, json!({}), json!({"id": {"gte": 3}})).await.unwrap();
    let ids: Vec<_> = rows.iter().map(|row| row[0].as_str()).collect();
    assert_eq!(ids, ["3", "4", "5", "6"]);
    let faults = fixture.faults(&text.replace("\"id\"", "\"nope\"")).await;
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(
        faults[0].0 == Some(8) && faults[0].1.contains("which is none of its columns: correct the name"),
        "{faults:?}"
    );
}

#[test]
fn the_json_schema_describes_every_key_and_hides_positions() {
    let schema = json_schema();
    let dataset = &schema["$defs"]["DatasetSpec"];
    assert_eq!(dataset["required"], json!(["name"]));
    assert_eq!(dataset["properties"]["name"]["type"], "string");
    assert_eq!(dataset["additionalProperties"], json!(false));
    let text = schema.to_string();
    assert!(text.contains("ColumnMask") && text.contains("last_four") && !text.contains("Spanned"), "{text}");
    for definition in schema["$defs"].as_object().unwrap().values() {
        for (name, property) in definition["properties"].as_object().into_iter().flatten() {
            let is_described = property.get("description").is_some() || property.get("const").is_some();
            assert!(is_described, "{name}: {property}");
        }
    }
}
