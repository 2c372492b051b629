//! From a catalog file to datasets and templates.
//!
//! A fault of the text stops everything; a source that can't be reached takes only its own datasets off the list, until a
//! later look finds it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt, stream};
use object_store::aws::AmazonS3Builder;
use platform::{config::DatabaseConfig, secret::Secret};
use protocol::{access::Access, catalog::Column};
use sea_orm::DatabaseConnection;
use toml::Spanned;
use tracing::warn;

use super::{
    fault::{CatalogFault, CatalogFaults, line_of},
    refuse::{looked_at_in_vain, other_rows, postgres_alone, whose},
    rules,
    spec::{self, CatalogSpec, DatasetSpec, Rows, SecretRef, SourceSpec},
    templates,
};
use crate::{
    ExporterConfig, Registry,
    dataset::{
        Dataset, DatasetError, Files, Key, Place, PostgresRows, PostgresServer, PostgresSettings, Spool, Table,
        declared::{About, Declared},
        sql::{Source, sqlite_columns},
    },
    template::{self, Template},
};

/// How long finished files are kept, unless a dataset says otherwise.
const RETENTION: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a file that is elsewhere may be silent.
const FETCH_TIMEOUT: Duration = Duration::from_secs(60);
/// Sources and datasets that are looked at at once.
const AT_ONCE: usize = 8;
/// Connections to one SQLite file.
const SQLITE_CONNECTIONS: u32 = 8;

/// What datasets of a catalog file are made with.
#[derive(Clone)]
pub struct Means {
    /// The exporter's own database.
    pub reads: DatabaseConnection,
    /// Relative paths begin here.
    pub folder: PathBuf,
    /// Where copies of files that are elsewhere go, and how large one may be.
    pub spool: Spool,
    /// Exports at once: so many connections to a server stay free for the first ones of others.
    pub slots: usize,
}

impl Means {
    /// As an exporter with these settings has them.
    #[must_use]
    pub fn of(config: &ExporterConfig, reads: &DatabaseConnection) -> Self {
        let system = config.spool_dir.as_os_str().is_empty();
        let dir = if system { std::env::temp_dir() } else { config.spool_dir.clone() };
        let folder = config.datasets_dir.clone();
        let spool = Spool { dir, bytes: config.spool_bytes, timeout: FETCH_TIMEOUT };
        Self { reads: reads.clone(), folder, spool, slots: config.slots() }
    }
}

/// What a catalog file offers now.
#[derive(Default)]
pub struct Loaded {
    /// In the order of the file.
    pub datasets: Vec<Arc<dyn Dataset>>,
    /// In the order of the file.
    pub templates: Vec<Arc<dyn Template>>,
    /// Datasets whose source can't be read now, or is not what the file says, by name, and why.
    pub unavailable: Vec<(String, String)>,
    /// Those of them whose source is there and is not what the file says, each at its line.
    pub differing: Vec<CatalogFault>,
}

impl Loaded {
    /// The same for who wrote the file a moment ago, who should hear of what it says wrongly of its sources. For others
    /// the source has changed since, which is no reason to offer nothing at all.
    ///
    /// # Errors
    /// When the source of a dataset is not what the file at `path` says.
    pub fn as_written(self, path: &Path) -> Result<Self, CatalogFaults> {
        if self.differing.is_empty() { Ok(self) } else { Err(CatalogFaults::new(path, self.differing)) }
    }
}

/// Reads a catalog file, and looks at its sources; [`Loaded::as_written`] is stricter with them. Its templates may be for what is offered besides, too.
///
/// # Errors
/// Everything that is wrong in it.
pub async fn load(path: &Path, means: &Means, besides: &Registry) -> Result<Loaded, CatalogFaults> {
    let whole = |detail: String| {
        let fault = CatalogFault { line: None, what: "file".into(), detail };
        CatalogFaults::new(path, vec![fault])
    };
    let text = tokio::fs::read_to_string(path).await.map_err(|e| whole(format!("it can't be read: {e}")))?;
    let spec = CatalogSpec::parse(path, &text)?;
    let mut loader = Loader { text: &text, means, besides, faults: Vec::new(), sources: BTreeMap::new() };
    let loaded = loader.load(spec).await;
    if loader.faults.is_empty() { Ok(loaded) } else { Err(CatalogFaults::new(path, loader.faults)) }
}

/// A source that is ready to be asked.
#[derive(Clone)]
enum Open {
    Database(DatabaseConnection),
    Postgres(Arc<PostgresServer>),
    Bucket(Arc<dyn object_store::ObjectStore>),
    Http(url::Url, Secret),
    /// It can't be reached now; and whether it is a PostgreSQL server.
    Away(String, bool),
}

struct Loader<'a> {
    text: &'a str,
    means: &'a Means,
    besides: &'a Registry,
    faults: Vec<CatalogFault>,
    sources: BTreeMap<String, Open>,
}

/// Why a dataset is not offered.
pub(super) enum Refusal {
    /// The file is wrong, at this byte.
    Fault(usize, String),
    /// The source is there, and does not have what the file says at this byte.
    Differs(usize, String),
    /// The source is not there.
    Away(String),
}

impl Loader<'_> {
    fn fault(&mut self, at: usize, what: String, detail: String) {
        self.faults.push(CatalogFault { line: Some(line_of(self.text, at)), what, detail });
    }

    async fn load(&mut self, spec: CatalogSpec) -> Loaded {
        // several at once: one that does not answer holds up neither the others nor the start for long
        let opened: Vec<_> = {
            let opening: Vec<_> = spec.source.values().map(|source| self.source(source.get_ref())).collect();
            stream::iter(opening).buffered(AT_ONCE).collect().await
        };
        for ((name, source), open) in spec.source.iter().zip(opened) {
            match open {
                Ok(open) => drop(self.sources.insert(name.clone(), open)),
                Err(detail) => self.fault(source.span().start, format!("source {name}"), detail),
            }
        }
        let known: Vec<_> = spec.source.keys().cloned().collect();
        let made: Vec<_> = {
            let datasets = spec.dataset.iter();
            let making: Vec<_> = datasets.map(|one| self.dataset(one.span().start, one.get_ref(), &known)).collect();
            stream::iter(making).buffered(AT_ONCE).collect().await
        };
        let mut loaded = Loaded::default();
        for (dataset, made) in spec.dataset.iter().zip(made) {
            let dataset = dataset.get_ref();
            let name = dataset.name.get_ref();
            let is_taken = |other: &Arc<dyn Dataset>| other.name() == name;
            match made {
                Ok(_) if loaded.datasets.iter().chain(&self.besides.datasets).any(is_taken) => {
                    self.fault(dataset.name.span().start, format!("dataset {name}"), "the name is taken".into());
                }
                Ok(made) => loaded.datasets.push(made),
                Err(Refusal::Fault(at, detail)) => self.fault(at, format!("dataset {name}"), detail),
                Err(Refusal::Differs(at, detail)) => {
                    let line = line_of(self.text, at);
                    loaded.unavailable.push((name.clone(), format!("line {line} of the catalog: {detail}")));
                    let what = format!("dataset {name}");
                    loaded.differing.push(CatalogFault { line: Some(line), what, detail });
                }
                Err(Refusal::Away(why)) => loaded.unavailable.push((name.clone(), why)),
            }
        }
        for spec in &spec.template {
            self.template(spec, &mut loaded);
        }
        loaded
    }

    fn template(&mut self, spec: &Spanned<template::TemplateSpec>, loaded: &mut Loaded) {
        let (at, spec) = (spec.span().start, spec.get_ref());
        let what = format!("template {}", spec.name);
        if loaded.templates.iter().any(|other| other.name() == spec.name) {
            return self.fault(at, what, "the name is taken".into());
        }
        let offered: Vec<_> = loaded.datasets.iter().chain(&self.besides.datasets).map(AsRef::as_ref).collect();
        let away: Vec<_> = loaded.unavailable.iter().map(|(name, _)| name.as_str()).collect();
        for detail in templates::faults(spec, &offered, &away) {
            self.fault(at, what.clone(), detail);
        }
        loaded.templates.push(Arc::new(template::Declared::new(spec.clone())));
    }

    /// Opens a source; the error is a fault of the file.
    async fn source(&self, spec: &SourceSpec) -> Result<Open, String> {
        Ok(match spec {
            SourceSpec::Database {} => Open::Database(self.means.reads.clone()),
            SourceSpec::Postgres { url, connections, connections_per_export, read_timeout, few_rows } => {
                let usual = PostgresSettings::at(secret(url)?);
                let settings = PostgresSettings {
                    connections: connections.unwrap_or(usual.connections),
                    connections_per_export: connections_per_export.unwrap_or(usual.connections_per_export),
                    read_timeout: match read_timeout {
                        Some(text) => spec::duration(text)?,
                        None => usual.read_timeout,
                    },
                    few_rows: few_rows.unwrap_or(usual.few_rows),
                    reserved: self.means.slots,
                    ..usual
                };
                let server = PostgresServer::new(&settings)?;
                // asked once, and not by each of its datasets
                match server.reach().await {
                    Ok(()) => Open::Postgres(Arc::new(server)),
                    Err(e) => Open::Away(e.to_string(), true),
                }
            }
            SourceSpec::Sqlite { path } => {
                let config = DatabaseConfig {
                    url: platform::db::sqlite_read_only(&self.path(path)),
                    max_connections: SQLITE_CONNECTIONS,
                    ..DatabaseConfig::default()
                };
                match platform::db::connect(&config).await {
                    Ok(db) => Open::Database(db),
                    Err(e) => Open::Away(e.to_string(), false),
                }
            }
            SourceSpec::S3 { bucket, endpoint, region, access_key_id, secret_access_key, allow_http } => {
                let region = region.as_deref().unwrap_or("us-east-1");
                let mut builder = AmazonS3Builder::from_env().with_bucket_name(bucket).with_region(region);
                builder = builder.with_allow_http(*allow_http);
                if let Some(endpoint) = endpoint {
                    builder = builder.with_endpoint(endpoint);
                }
                match (access_key_id, secret_access_key) {
                    (Some(id), Some(key)) => {
                        builder = builder
                            .with_access_key_id(secret(id)?.expose())
                            .with_secret_access_key(secret(key)?.expose());
                    }
                    (None, None) => {}
                    _ => return Err("`access_key_id` and `secret_access_key` belong together".into()),
                }
                Open::Bucket(Arc::new(builder.build().map_err(|e| e.to_string())?))
            }
            SourceSpec::Http { base, bearer } => {
                let base = url::Url::parse(base).map_err(|e| format!("`base` is no URL: {e}"))?;
                if !base.username().is_empty() || base.password().is_some() {
                    return Err("`base` holds a password: use `bearer` with an environment variable or a file".into());
                }
                let bearer = bearer.as_ref().map(secret).transpose()?;
                Open::Http(base, bearer.unwrap_or_default())
            }
        })
    }

    fn path(&self, path: &str) -> PathBuf {
        // an absolute path replaces the folder
        self.means.folder.join(path)
    }

    async fn dataset(&self, at: usize, spec: &DatasetSpec, known: &[String]) -> Result<Arc<dyn Dataset>, Refusal> {
        let name = spec.name.get_ref();
        let fault = |at: usize, detail: &str| Refusal::Fault(at, detail.to_owned());
        let source = match &spec.from {
            None => None,
            Some(from) if known.contains(from.get_ref()) => match self.sources.get(from.get_ref()) {
                Some(open) => Some(open.clone()),
                // its own fault is told already
                None => return Err(Refusal::Away("its source is wrong".into())),
            },
            Some(from) => {
                let detail = format!("there is no [source.{}]", from.get_ref());
                return Err(Refusal::Fault(from.span().start, detail));
            }
        };
        let rows = spec.rows(at).map_err(|(at, detail)| Refusal::Fault(at, detail))?;
        postgres_alone(spec, matches!(&source, Some(Open::Postgres(_) | Open::Away(_, true))))?;
        if let Some(Open::Away(why, _)) = source {
            return Err(Refusal::Away(why));
        }
        let made: Result<Arc<dyn Dataset>, DatasetError> = match (rows, source) {
            (Rows::Sql(rows), Some(Open::Database(db))) => match self.of_database(at, spec, rows, db).await {
                Ok(made) => Ok(made?),
                Err(e) => Err(e),
            },
            (Rows::Sql(rows), Some(Open::Postgres(server))) => match self.of_postgres(at, spec, rows, server).await {
                Ok(made) => Ok(made?),
                Err(e) => Err(e),
            },
            (Rows::Files(files, kind), source) => {
                let place = self.place(files, source).ok_or_else(|| fault(at, "its source holds no files"))?;
                match Files::open(name, place, kind, &spec.columns()).await {
                    Ok(files) => {
                        whose(at, spec, files.names())?;
                        Ok(Arc::new(files) as Arc<dyn Dataset>)
                    }
                    Err(e) => Err(e),
                }
            }
            (Rows::Sql(_), _) => return Err(fault(at, "a table or query needs `from`, the name of a database")),
        };
        let made = made.map_err(|e| looked_at_in_vain(at, spec, &e))?;
        let about = self.about(spec, made.columns())?;
        let declared = Declared::new(about, made);
        rules::check(&declared).map_err(|detail| {
            let place = spec.row_policy.as_ref().map(|policy| policy.span().start);
            Refusal::Fault(place.filter(|_| detail.contains("policy")).unwrap_or(at), detail)
        })?;
        Ok(Arc::new(declared))
    }

    fn about(&self, spec: &DatasetSpec, found: &[Column]) -> Result<About, Refusal> {
        let declared = spec.columns();
        let columns = if declared.is_empty() {
            found.to_vec()
        } else {
            let typed = declared.into_iter().filter_map(|column| {
                let kind = found.iter().find(|found| found.name == column.name)?.kind;
                Some(Column { kind, ..column })
            });
            typed.collect()
        };
        if let Some(order) = &spec.order
            && found.iter().all(|column| column.name != *order.get_ref())
        {
            return Err(Refusal::Fault(order.span().start, "`order` names no column of it".into()));
        }
        for (key, name) in [("order", &spec.order), ("split_by", &spec.split_by)] {
            let hidden =
                |name: &str| spec.columns.iter().any(|c| c.get_ref().name == name && c.get_ref().scope.is_some());
            if let Some(name) = name.as_ref().filter(|name| hidden(name.get_ref())) {
                let detail = format!(
                    "`{key}` names `{}`, which has a `scope`: the order of the rows would tell those who lack it which \
                     value is larger",
                    name.get_ref()
                );
                return Err(Refusal::Fault(name.span().start, detail));
            }
        }
        for column in &spec.columns {
            if column.get_ref().mask.is_some() && column.get_ref().scope.is_none() {
                let detail = format!("column `{}` has `mask`, but no `scope`", column.get_ref().name);
                return Err(Refusal::Fault(column.span().start, detail));
            }
        }
        if let Some(columns) = spec.tenant_column.as_ref().filter(|columns| columns.get_ref().names().is_empty()) {
            return Err(Refusal::Fault(columns.span().start, "`tenant_column` names no column: leave it out".into()));
        }
        let policy = match &spec.row_policy {
            None => None,
            Some(policy) => {
                let json = serde_json::to_value(policy.get_ref());
                Some(json.map_err(|e| Refusal::Fault(policy.span().start, e.to_string()))?)
            }
        };
        let retention = match &spec.retention {
            None => RETENTION,
            Some(text) => spec::duration(text.get_ref()).map_err(|detail| Refusal::Fault(text.span().start, detail))?,
        };
        let name = spec.name.get_ref().clone();
        Ok(About {
            title: spec.title.clone().unwrap_or_else(|| name.clone()),
            description: spec.description.clone(),
            columns,
            version: spec.version.clone().unwrap_or_else(|| template::digest_of(spec)),
            tenant_columns: spec.tenant_column.as_ref().map(|columns| columns.get_ref().names()).unwrap_or_default(),
            row_policy: policy,
            access: Access { scopes: spec.scopes.clone(), columns: spec.rules() },
            retention,
            credits: spec.credits.unwrap_or(1),
            name,
        })
    }

    async fn of_database(
        &self,
        at: usize,
        spec: &DatasetSpec,
        rows: Source,
        db: DatabaseConnection,
    ) -> Result<Result<Arc<dyn Dataset>, Refusal>, DatasetError> {
        let declared = spec.columns();
        let found = sqlite_columns(&db, &rows).await?;
        if let Err(refusal) = whose(at, spec, found.iter().map(|column| column.name.as_str())) {
            return Ok(Err(refusal));
        }
        let columns = if all_typed(spec) { declared } else { merged(declared, spec, found)? };
        let order = spec.order.as_ref().map(|order| order.get_ref().clone());
        Ok(Ok(Arc::new(Table::of(db, rows, spec.name.get_ref(), columns, spec.params(), order))))
    }

    async fn of_postgres(
        &self,
        at: usize,
        spec: &DatasetSpec,
        rows: Source,
        server: Arc<PostgresServer>,
    ) -> Result<Result<Arc<dyn Dataset>, Refusal>, DatasetError> {
        // asked also when every type is declared, so that a table that isn't there is found now
        let found = PostgresRows::describe(&server, &rows).await?;
        if let Err(refusal) = whose(at, spec, found.iter().map(|column| column.name.as_str())) {
            return Ok(Err(refusal));
        }
        let columns = merged(spec.columns(), spec, found)?;
        let order = spec.order.as_ref().map(|order| order.get_ref().clone());
        let key = match &spec.split_by {
            None => None,
            Some(name) => match Key::find(&server, &rows, name.get_ref()).await? {
                Ok(key) => Some(key),
                Err(detail) => return Ok(Err(Refusal::Fault(name.span().start, detail))),
            },
        };
        let moment = spec.snapshot.as_ref().map(|moment| *moment.get_ref()).unwrap_or_default();
        let rows =
            PostgresRows::new(server, rows, spec.name.get_ref(), columns, spec.params(), order).of_moment(moment);
        let (Some(key), Some(name)) = (key, &spec.split_by) else { return Ok(Ok(Arc::new(rows))) };
        match rows.undivided().await? {
            None => Ok(Ok(Arc::new(rows.split_by(key)))),
            Some(doubt) if doubt.is_written => Ok(Err(Refusal::Fault(name.span().start, other_rows(&doubt.reason)))),
            // what the planner chose for the rows of today makes no file wrong: each read looks again
            Some(doubt) => {
                let dataset = rows.name().to_owned();
                warn!(dataset.name = dataset, doubt.reason, "its query may have to be read by one statement");
                Ok(Ok(Arc::new(rows.split_by(key))))
            }
        }
    }

    fn place(&self, files: String, source: Option<Open>) -> Option<Place> {
        let spool = self.means.spool.clone();
        Some(match source {
            None => Place::Local(self.path(&files)),
            Some(Open::Bucket(store)) => Place::Objects { store, pattern: files, spool },
            Some(Open::Http(base, bearer)) => {
                let client = reqwest::Client::builder().connect_timeout(FETCH_TIMEOUT).build().ok()?;
                Place::Http { client, url: base.join(&files).ok()?, bearer, spool }
            }
            Some(_) => return None,
        })
    }
}

fn all_typed(spec: &DatasetSpec) -> bool {
    !spec.columns.is_empty() && spec.columns.iter().all(|column| column.get_ref().kind.is_some())
}

/// The declared columns with the types that the source has where none is declared; all of the source when there are none.
fn merged(declared: Vec<Column>, spec: &DatasetSpec, found: Vec<Column>) -> Result<Vec<Column>, DatasetError> {
    if declared.is_empty() {
        return Ok(found);
    }
    let typed = declared.into_iter().zip(&spec.columns).map(|(column, spec)| {
        let known = found.iter().find(|found| found.name == column.name);
        let known = known.ok_or_else(|| DatasetError::NoColumn(column.name.clone()))?;
        Ok(Column { kind: spec.get_ref().kind.unwrap_or(known.kind), ..column })
    });
    typed.collect()
}

/// The text that a reference stands for. The error names the reference, never the text.
fn secret(reference: &SecretRef) -> Result<Secret, String> {
    let text = match reference {
        SecretRef::Env(name) => {
            std::env::var(name).map_err(|_| format!("the environment variable `{name}` is not set"))?
        }
        SecretRef::File(path) => {
            std::fs::read_to_string(path).map_err(|e| format!("the file `{path}` can't be read: {e}"))?
        }
    };
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() { Err("it names an empty secret".into()) } else { Ok(Secret::new(text)) }
}
