//! Tests `catalog init` with an existing catalog file that people have edited.

use sea_orm::{ConnectionTrait, Database};
use testkit::db::Postgres;

use super::*;

#[tokio::test]
async fn an_update_adds_what_is_new_and_keeps_every_byte() {
    let postgres = Postgres::start().await;
    let url = postgres.empty_database().await;
    let db = Database::connect(&url).await.unwrap();
    db.execute_unprepared(
        "CREATE TABLE orders (id bigint, note text); CREATE TABLE people (id bigint); CREATE TABLE noise (n int)",
    )
    .await
    .unwrap();
    let fixture = Fixture::new();
    let (written, _) = fixture.init(&url, &InitOptions::default()).await;
    // people rename a dataset and its variable, comment another one out, and add a template without a line end
    let variable = written.report.variable.unwrap().name;
    let noise = written.text.find("\n# Table `public.noise`").unwrap();
    let orders = written.text.find("\n# Table `public.orders`").unwrap();
    let commented = written.text[noise..orders].replace('\n', "\n# ");
    let edited = format!("{}{commented}\n{}", &written.text[..noise], &written.text[orders..]);
    let edited =
        edited.replace("name = \"orders\"\ntitle = \"Orders\"", "name    = 'sales'   # ours\r\ntitle = \"Orders\"");
    let edited = format!("{edited}\n[[template]]\nname = \"short\"\ncolumn = [{{ source = \"id\" }}]");

    let (again, loaded) = fixture.update(&url, &InitOptions::default(), Some(&edited)).await;
    assert_eq!(again.text, edited, "there is nothing new");
    assert_eq!((again.report.datasets.len(), again.report.kept, names(&loaded)), (0, 2, vec!["sales", "people"]));

    db.execute_unprepared(
        "CREATE TABLE sales (id bigint, tenant_id bigint); CREATE TABLE closed (); ALTER TABLE orders ADD COLUMN late text",
    )
    .await
    .unwrap();
    let (grown, loaded) = fixture.update(&url, &InitOptions::default(), Some(&edited)).await;
    assert!(grown.text.starts_with(&edited), "{}", grown.text);
    // the new table can't have the name that people gave to another one
    assert_eq!(names(&loaded), ["sales", "people", "public.sales"]);
    let added = &grown.text[edited.len()..];
    assert!(!added.contains("[source") && added.contains("row_policy = { tenant_id"), "{added}");
    assert!(added.contains("# Not offered: table `public.closed`"), "{added}");
    assert_eq!(grown.report.variable.as_ref().unwrap().name, variable);
    let new: Vec<_> = grown.report.new_columns.iter().map(|new| (new.dataset.as_str(), new.columns.clone())).collect();
    assert_eq!(new, [("sales", vec!["late".to_owned()])]);

    // a second update repeats nothing
    let (same, _) = fixture.update(&url, &InitOptions::default(), Some(&grown.text)).await;
    assert_eq!(same.text, grown.text);
}

#[tokio::test]
async fn a_source_that_cannot_be_compared_is_not_added_twice() {
    let postgres = Postgres::start().await;
    let url = postgres.empty_database().await;
    Database::connect(&url).await.unwrap().execute_unprepared("CREATE TABLE orders (id bigint)").await.unwrap();
    let fixture = Fixture::new();
    let (written, _) = fixture.init(&url, &InitOptions::default()).await;
    let renamed = written.text.replace(&written.report.variable.unwrap().name, "RENAMED_BY_AN_OPERATOR");
    let address = Address::parse(&url).unwrap();
    let context = fixture.context(&address);
    let path = fixture.path("catalog.toml");
    let update =
        async |context: &LoadContext| init(&address, &InitOptions::default(), context, &path, Some(&renamed)).await;
    let error = update(&context).await.unwrap_err().to_string();
    assert!(error.contains("`RENAMED_BY_AN_OPERATOR`, which is not set"), "{error}");
    let secrets = [("RENAMED_BY_AN_OPERATOR".to_owned(), platform::secret::Secret::new(url.as_str()))].into();
    assert_eq!(update(&LoadContext { secrets, ..context }).await.unwrap().text, renamed);
}

#[tokio::test]
async fn another_source_is_added_beside_the_first() {
    let fixture = Fixture::new();
    fixture.write("a/orders.csv", "id\n1\n");
    fixture.write("b/orders.csv", "id\n1\n");
    let options = InitOptions::default();
    let (first, _) = fixture.init(fixture.path("a").to_str().unwrap(), &options).await;
    let b = fixture.path("b");
    let (both, loaded) = fixture.update(b.to_str().unwrap(), &options, Some(&first.text)).await;
    assert_eq!(names(&loaded), ["orders", "orders_csv"]);
    assert!(both.text.starts_with(&first.text));

    for (name, path) in [("one.db", "x"), ("sub/one.db", "y")] {
        fixture.write(name, "");
        let db = Database::connect(platform::db::sqlite_create(&fixture.path(name)).expose()).await.unwrap();
        db.execute_unprepared(&format!("CREATE TABLE {path} (id INTEGER)")).await.unwrap();
        db.close().await.unwrap();
    }
    let (three, _) = fixture.update(fixture.path("one.db").to_str().unwrap(), &options, Some(&both.text)).await;
    let (four, loaded) =
        fixture.update(fixture.path("sub/one.db").to_str().unwrap(), &options, Some(&three.text)).await;
    assert_eq!(names(&loaded), ["orders", "orders_csv", "x", "y"]);
    assert!(four.text.contains("[source.one]") && four.text.contains("[source.one_2]"), "{}", four.text);
}

#[tokio::test]
async fn a_file_that_cannot_grow_or_is_no_catalog_is_refused() {
    let fixture = Fixture::new();
    fixture.write("a.csv", "id\n1\n");
    let address = Address::parse(fixture.path("a.csv").to_str().unwrap()).unwrap();
    let context = fixture.context(&address);
    let path = fixture.path("catalog.toml");
    let update =
        async |text: &str| init(&address, &InitOptions::default(), &context, &path, Some(text)).await.unwrap_err();
    let inline = update("dataset = [{ name = \"a\", files = \"a.csv\" }]\n").await;
    assert!(matches!(inline, InitError::Inline), "{inline}");
    let invalid = update("[[dataset]]\nnam = 1\n").await;
    assert!(invalid.to_string().contains("catalog.toml:2: syntax"), "{invalid}");
    // a fault in what people wrote is theirs to correct
    let fault = update("[[dataset]]\nname = \"b b\"\nfiles = \"a.csv\"\n").await;
    assert!(fault.to_string().contains("dataset b b"), "{fault}");
}

#[tokio::test]
async fn a_kept_file_is_told_from_one_of_another_source() {
    let fixture = Fixture::new();
    fixture.write("a/x.csv", "id\n1\n");
    fixture.write("b/x.csv", "id\n1\n");
    let of = |name: &str| Address::parse(fixture.path(name).to_str().unwrap()).unwrap();
    let (written, _) = fixture.init(fixture.path("a").to_str().unwrap(), &InitOptions::default()).await;
    let path = fixture.path("catalog.toml");
    let reads = |address: &Address, text: &str| reads(&path, text, address, &fixture.context(address)).unwrap();
    assert_eq!(reads(&of("a"), &written.text), (true, None));
    assert_eq!(reads(&of("b"), &written.text), (false, None));
    let shop = Address::parse("postgres://app:pw@localhost/shop").unwrap();
    let text = "[source.x]\nkind = \"postgres\"\nurl = { env = \"SHOP_DATABASE_URL\" }\n";
    assert_eq!(reads(&shop, text), (true, Some("SHOP_DATABASE_URL".into())));
    assert_eq!(reads(&Address::parse("postgres://app:pw@localhost/crm").unwrap(), text), (false, None));
}
