//! Tests `catalog init` with PostgreSQL databases.

use sea_orm::{ConnectionTrait, Database};
use testkit::db::Postgres;

use super::*;

#[tokio::test]
async fn ten_tables_that_nobody_prepared_become_a_catalog() {
    // the server stops when this is dropped
    let postgres = Postgres::start().await;
    let (url, _db) = testkit::rental::create(&postgres).await;
    let fixture = Fixture::new();
    let (written, loaded) = fixture.init(&url, &InitOptions::default()).await;
    assert_eq!(
        names(&loaded),
        [
            "address",
            "city",
            "country",
            "customer",
            "film",
            "film_revenue",
            "language",
            "open_rental",
            "payment",
            "rental",
            "staff",
            "store"
        ]
    );
    assert_eq!(written.report.not_offered, []);
    let text = &written.text;

    // titles, descriptions and labels come from comments, or else from names
    let film = dataset(&loaded, "film").info();
    assert_eq!((film.title.as_str(), film.description.as_str()), ("Films for rent", ""));
    let rental = dataset(&loaded, "rental").info();
    assert_eq!(rental.title, "Rental");
    assert!(rental.description.contains("took.\nA film"), "{}", rental.description);
    let label = |name: &str, column: &str| dataset(&loaded, name).info().column(column).unwrap().label.clone().unwrap();
    assert_eq!(label("film", "rental_rate"), "Price per day");
    assert_eq!(label("film", "release_year"), "Release year");
    assert_eq!(label("customer", "firstName"), "First name");
    assert!(comments(text, "rental").contains("The moment at which the film came back, or NULL"), "{text}");

    // personal data is masked, by names and by values
    let redacted = |column: &str| (column.to_owned(), "Redacted".to_owned());
    assert_eq!(masks(dataset(&loaded, "address")), [redacted("phone")]);
    assert_eq!(masks(dataset(&loaded, "customer")), [redacted("email"), ("credit_card".into(), "LastFour".into())]);
    assert_eq!(masks(dataset(&loaded, "staff")), [redacted("contact"), ("password".into(), "Hidden".into())]);
    assert_eq!(masks(dataset(&loaded, "film")), []);
    let staff = comments(text, "staff");
    assert!(staff.contains("Guess: 4 of 4 sampled values look like e-mail addresses."), "{staff}");
    assert!(staff.contains("Guess: its name suggests passwords or keys."), "{staff}");

    // partitions are read through their table, and a view has a key that an operator can turn on
    assert!(comments(text, "payment").contains("Its 2 partitions are read through it"), "{text}");
    assert!(part(text, "payment").contains("\nsplit_by = \"payment_id\"\n"), "{text}");
    let view = part(text, "open_rental");
    assert!(view.starts_with("# View `public.open_rental`.") && view.contains("\n# split_by = \"id\"\n"), "{view}");
    assert!(!part(text, "film_revenue").contains("split_by"));
    let with_key = text.replace("\n# split_by", "\nsplit_by");
    fs::write(fixture.path("with_key.toml"), with_key).unwrap();
    let address = Address::parse(&url).unwrap();
    load(&fixture.path("with_key.toml"), &fixture.context(&address), &Registry::built_in()).await.unwrap();
    assert_eq!(written.report.datasets[0].masked, ["phone"]);
}

#[tokio::test]
async fn tables_that_cannot_be_offered_are_named_with_the_reason() {
    let postgres = Postgres::start().await;
    let url = postgres.empty_database().await;
    let db = Database::connect(&url).await.unwrap();
    let ddl = "CREATE SCHEMA sales; CREATE SCHEMA closed; CREATE SCHEMA \"od.d\"; \
         CREATE TABLE closed.log (n bigint); \
         CREATE TABLE public.salaries (n bigint); \
         CREATE TABLE public.nothing (); \
         CREATE TABLE public.half (id bigint, secret_note text); \
         CREATE TABLE public.orders (id bigint PRIMARY KEY, \"Straße\" text, \"a\"\"b\" text, \"new\nline\" text, n bigint, \"N\" bigint); \
         CREATE TABLE sales.orders (id bigint); \
         CREATE TABLE \"od.d\".\"ta.ble\" (id bigint); \
         CREATE TABLE public.secured (id bigint); ALTER TABLE public.secured ENABLE ROW LEVEL SECURITY; \
         CREATE TABLE public.parent (id bigint); CREATE TABLE public.child (more text) INHERITS (public.parent); \
         CREATE MATERIALIZED VIEW public.stale AS SELECT 1 AS n WITH NO DATA; \
         CREATE VIEW public.broken AS SELECT 1 / (id - id) AS n FROM public.orders; INSERT INTO public.orders VALUES (1); \
         CREATE FOREIGN DATA WRAPPER nowhere; CREATE SERVER far FOREIGN DATA WRAPPER nowhere; \
         CREATE FOREIGN TABLE public.remote (id bigint) SERVER far; \
         DROP ROLE IF EXISTS newcomer; CREATE ROLE newcomer LOGIN PASSWORD 's3cr3t'; \
         GRANT USAGE ON SCHEMA public, sales, \"od.d\" TO newcomer; \
         GRANT SELECT ON ALL TABLES IN SCHEMA public, sales, \"od.d\", closed TO newcomer; \
         REVOKE ALL ON public.salaries, public.half FROM newcomer; GRANT SELECT (id) ON public.half TO newcomer";
    db.execute_unprepared(ddl).await.unwrap();
    let url = url.replace("//postgres@", "//newcomer:s3cr3t@");
    let fixture = Fixture::new();
    let (written, loaded) = fixture.init(&url, &InitOptions::default()).await;
    assert_eq!(
        names(&loaded),
        ["od.d.ta.ble", "child", "half", "orders", "parent", "secured", "sales.orders"],
        "{}",
        written.text
    );
    for (what, reason) in [
        ("table `closed.log`", "GRANT USAGE ON SCHEMA \"closed\""),
        ("table `public.salaries`", "GRANT SELECT ON \"public\".\"salaries\""),
        ("table `public.nothing`", "no columns"),
        ("materialized view `public.stale`", "REFRESH MATERIALIZED VIEW"),
        ("view `public.broken`", "rows can't be read"),
        ("foreign table `public.remote`", ""),
    ] {
        let found = written.report.not_offered.iter().find(|part| part.what == what);
        let found = found.unwrap_or_else(|| panic!("{what} is not in {:?}", written.report.not_offered));
        assert!(found.reason.contains(reason), "{found:?}");
        let head = format!("# Not offered: {what}: ");
        assert!(written.text.contains(&head), "{head}\n{}", written.text);
    }
    assert_eq!(written.report.not_offered.len(), 6);
    assert!(comments(&written.text, "half").contains("Not offered: `secret_note`"), "{}", written.text);
    assert!(comments(&written.text, "secured").contains("It has row security"), "{}", written.text);
    assert!(
        comments(&written.text, "parent").contains("the rows of 1 tables that inherit from it"),
        "{}",
        written.text
    );
    let columns: Vec<_> = dataset(&loaded, "orders").info().columns.iter().map(|column| column.name.clone()).collect();
    assert_eq!(columns, ["id", "Straße", "a\"b", "new\nline", "n", "N"]);

    // the password is nowhere, and the variable is named
    let variable = written.report.variable.clone().unwrap();
    assert!(written.text.contains(&format!("url = {{ env = \"{}\" }}", variable.name)), "{}", written.text);
    assert!(variable.name.ends_with("_DATABASE_URL") && !variable.is_set, "{variable:?}");
    assert!(variable.example.contains("newcomer:PASSWORD@"), "{variable:?}");
    let everything = format!("{written:?} {:?}", Address::parse(&url).unwrap());
    assert!(!everything.contains("s3cr3t"), "{everything}");
    let wrong = url.replace("newcomer", "nobody_here");
    let error = fixture.refused(&wrong, &InitOptions::default()).await;
    assert!(!format!("{error} {error:?}").contains("s3cr3t"), "{error:?}");
    db.execute_unprepared("DROP OWNED BY newcomer; DROP ROLE newcomer").await.unwrap();
}

#[tokio::test]
async fn a_tenant_column_gets_a_row_policy_with_its_reason() {
    let postgres = Postgres::start().await;
    let url = postgres.empty_database().await;
    let db = Database::connect(&url).await.unwrap();
    let ddl = "CREATE TABLE numbers (id bigint, tenant_id integer); INSERT INTO numbers VALUES (1, 42), (2, 7), (3, NULL); \
         CREATE TABLE uuids (id bigint, org_id uuid); \
         INSERT INTO uuids VALUES (1, '0199aaaa-0000-7000-8000-00000000000a'), (2, '0199aaaa-0000-7000-8000-00000000000b'); \
         CREATE TABLE texts (id bigint, \"accountId\" text, company_id text); INSERT INTO texts VALUES (1, 'acme', 'x'); \
         CREATE TABLE padded (id bigint, tenant char(6)); INSERT INTO padded VALUES (1, 'acme'); \
         CREATE TABLE composed (id bigint, org_id jsonb); \
         CREATE TABLE moments (id bigint, tenant timestamptz); \
         CREATE TABLE shared (id bigint)";
    db.execute_unprepared(ddl).await.unwrap();
    let fixture = Fixture::new();
    let options = InitOptions { tenant_claim: "org".into(), ..InitOptions::default() };
    let (written, loaded) = fixture.init(&url, &options).await;
    assert_eq!(names(&loaded), ["composed", "numbers", "padded", "shared", "texts", "uuids"]);
    let text = &written.text;
    let policy = "row_policy = { tenant_id = { eq = { claim = \"org\" } } }";
    assert!(part(text, "numbers").contains(policy), "{text}");
    assert!(comments(text, "numbers").contains("Guess: by its name, `tenant_id` is the tenant of a row."), "{text}");
    assert!(part(text, "texts").contains("tenant_column = \"accountId\""), "{text}");
    assert!(comments(text, "texts").contains("`company_id` may name a tenant, too"), "{text}");
    assert!(comments(text, "padded").contains("char(n)"), "{text}");
    assert!(comments(text, "composed").contains("which no claim equals"), "{text}");
    assert!(!part(text, "composed").contains("row_policy"), "{text}");
    assert!(!part(text, "shared").contains("row_policy"));
    assert_eq!(written.report.not_offered.len(), 1);
    assert!(written.report.not_offered[0].reason.contains("`tenant`"), "{:?}", written.report.not_offered);

    let uuid = "0199AAAA-0000-7000-8000-00000000000A";
    for (name, claim, ids) in [
        ("numbers", "42", Ok(&["1"][..])),
        ("numbers", "042", Err("claim `org`")),
        ("numbers", "acme", Err("claim `org`")),
        ("uuids", uuid, Ok(&["1"][..])),
        ("uuids", "acme", Ok(&[][..])),
        ("texts", "acme", Ok(&["1"][..])),
        ("padded", "acme", Ok(&[][..])),
        ("padded", "acme  ", Ok(&["1"][..])),
    ] {
        let claims = serde_json::json!({"org": claim});
        let found =
            crate::catalog::tests::rows(Arc::clone(dataset(&loaded, name)), claims, serde_json::json!({})).await;
        match ids {
            Ok(ids) => {
                assert_eq!(found.unwrap().iter().map(|row| row[0].as_str()).collect::<Vec<_>>(), ids, "{name} {claim}")
            }
            Err(word) => assert!(found.as_ref().unwrap_err().contains(word), "{name} {claim}: {found:?}"),
        }
    }
}

#[tokio::test]
async fn tables_and_schemas_are_chosen() {
    let postgres = Postgres::start().await;
    let url = postgres.empty_database().await;
    let db = Database::connect(&url).await.unwrap();
    let ddl = "CREATE SCHEMA sales; CREATE TABLE orders (id bigint); CREATE TABLE order_items (id bigint); \
               CREATE TABLE people (id bigint); CREATE TABLE sales.orders (id bigint); CREATE TABLE sales.leads (id bigint)";
    db.execute_unprepared(ddl).await.unwrap();
    let fixture = Fixture::new();
    let texts = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
    for (tables, schemas, expected) in [
        (&["order*"][..], &[][..], &["order_items", "orders", "sales.orders"][..]),
        (&["sales.*", "people"], &[], &["people", "sales.leads", "sales.orders"]),
        (&[], &["sales"], &["leads", "orders"]),
        (&["orders"], &["sales", "public"], &["orders", "sales.orders"]),
    ] {
        let options = InitOptions { tables: texts(tables), schemas: texts(schemas), ..InitOptions::default() };
        let (_, loaded) = fixture.init(&url, &options).await;
        assert_eq!(names(&loaded), expected, "{tables:?} {schemas:?}");
    }
    let none = InitOptions { tables: texts(&["nope*"]), ..InitOptions::default() };
    assert!(matches!(fixture.refused(&url, &none).await, InitError::Nothing(_)));
    let schema = InitOptions { schemas: texts(&["nope"]), ..InitOptions::default() };
    assert!(fixture.refused(&url, &schema).await.to_string().contains("schema `nope`"));
    let pattern = InitOptions { tables: texts(&["[a"]), ..InitOptions::default() };
    assert!(fixture.refused(&url, &pattern).await.to_string().contains("`[a`"));
}
