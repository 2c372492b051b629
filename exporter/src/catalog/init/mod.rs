//! Implements `sluice catalog init`, which writes a catalog file for a source. The file has one dataset for each table,
//! view or set of files. A comment states the reason of each guess.
//!
//! The modules, in the order of their use:
//!
//! - `address` parses the source.
//! - `postgres`, `sqlite` and `files` describe and sample the source; `listing` and `grouping` find sets of files.
//! - `names`, `tenant` and `sensitive` make the guesses.
//! - `existing` parses an existing catalog file.
//! - `render` writes the parts of the text.
//! - `writer` writes the whole text, and loads it as a check.

mod address;
mod draft;
mod existing;
mod files;
mod grouping;
mod listing;
mod names;
mod postgres;
mod render;
mod report;
mod sample;
mod sensitive;
mod sqlite;
mod tenant;
#[cfg(test)]
mod tests;
mod writer;

use std::path::Path;

pub use self::{
    address::{Address, PASSED_URL, PostgresAddress},
    draft::NotOffered,
    report::{InitDataset, InitReport, NewColumns, Variable, Written},
};
use self::{draft::Found, existing::Existing, files::Place, render::S3Environment, writer::Writer};
use super::{
    fault::CatalogFaults,
    source::{LoadContext, OpenSource},
    spec::{SecretRef, SourceSpec},
};
use crate::dataset::DatasetError;

/// The options of `sluice catalog init`: which tables or files become datasets, and which claim names a tenant.
#[derive(Clone, Debug)]
pub struct InitOptions {
    /// Patterns that select tables or files by name, such as `order*` or `sales.*`; empty for all.
    pub tables: Vec<String>,
    /// The PostgreSQL schemas whose tables become datasets; empty for all schemas.
    pub schemas: Vec<String>,
    /// The claim in tokens that names the tenant of a caller.
    pub tenant_claim: String,
}

impl Default for InitOptions {
    fn default() -> Self {
        Self { tables: Vec::new(), schemas: Vec::new(), tenant_claim: "tenant".into() }
    }
}

impl InitOptions {
    /// Whether one of the names of a table or set of files matches a pattern of [`Self::tables`], or there are no
    /// patterns.
    fn selects(&self, names: &[&str]) -> bool {
        let patterns = || self.tables.iter().filter_map(|pattern| glob::Pattern::new(pattern).ok());
        self.tables.is_empty() || patterns().any(|pattern| names.iter().any(|name| pattern.matches(name)))
    }

    fn check(&self) -> Result<(), InitError> {
        for pattern in &self.tables {
            glob::Pattern::new(pattern)
                .map_err(|e| InitError::Source(format!("the pattern `{pattern}` is invalid: {e}")))?;
        }
        Ok(())
    }
}

/// The reason why `catalog init` writes no catalog file. The texts contain no secrets.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The source or an option is invalid. The text states the reason.
    #[error("{0}")]
    Source(String),
    /// The environment variable of this name should have the URL of the source, but is not set.
    #[error("the environment variable `{0}` is not set")]
    NoVariable(String),
    /// The source can't be read.
    #[error("the source can't be read: {0}")]
    Dataset(DatasetError),
    /// The source has no table or file that can be offered. The list has the reason for each.
    #[error("{}", nothing(.0))]
    Nothing(Vec<NotOffered>),
    /// The existing file is not a valid catalog.
    #[error(transparent)]
    Existing(#[from] CatalogFaults),
    /// The existing file writes `dataset` or `source` as inline values, so no dataset can be appended.
    #[error(
        "nothing can be appended to the file, because it has `dataset` or `source` as inline values: use [[dataset]]"
    )]
    Inline,
}

fn nothing(parts: &[NotOffered]) -> String {
    let mut text = "the source has nothing to offer with these options".to_owned();
    for part in parts.iter().take(3) {
        text += &format!("; {}: {}", part.what, part.reason);
    }
    text
}

/// Returns whether a catalog file already reads the source `address`. Also returns the environment variable in which
/// the file expects the URL of that source; None if the source is not PostgreSQL. `text` is the content of the file,
/// and error texts name the file by `path`.
///
/// # Errors
///
/// When the text is not a valid catalog.
pub fn reads(
    path: &Path,
    text: &str,
    address: &Address,
    context: &LoadContext,
) -> Result<(bool, Option<String>), CatalogFaults> {
    let existing = Existing::parse(path, text)?;
    let variable = existing.source(address, context).and_then(|source| source.variable);
    Ok((existing.reads(address, context), variable))
}

/// Describes a source, and returns the text of a catalog file for it. `existing` is the text of an existing catalog
/// file; new datasets are then appended to this text. Error texts name the file by `path`.
///
/// # Errors
///
/// When the source can't be read, has nothing to offer, or the existing file is invalid.
pub async fn init(
    address: &Address,
    options: &InitOptions,
    context: &LoadContext,
    path: &Path,
    existing: Option<&str>,
) -> Result<Written, InitError> {
    options.check()?;
    let existing = existing.map(|text| Existing::parse(path, text)).transpose()?;
    if existing.as_ref().is_some_and(|existing| !existing.can_grow()) {
        return Err(InitError::Inline);
    }
    let known = existing.as_ref().and_then(|existing| existing.source(address, context));
    let is_postgres = matches!(address, Address::Postgres(_));
    let unset = existing.as_ref().and_then(|existing| existing.unset_variable(context));
    if let Some((source, variable)) = unset.filter(|_| is_postgres && known.is_none()) {
        return Err(InitError::Source(format!(
            "the file has the source `{source}`, whose URL is in the variable `{variable}`, which is not set: set it, so that \
             the file and the given source can be compared"
        )));
    }
    let mut address = address.clone();
    let mut context = context.clone();
    if let Address::Postgres(postgres) = &mut address {
        if let Some(variable) = known.as_ref().and_then(|known| known.variable.clone()) {
            postgres.is_set = std::env::var(&variable).is_ok_and(|value| value == postgres.url.expose());
            postgres.variable = variable;
        }
        context.secrets.insert(postgres.variable.clone(), postgres.url.clone());
    }
    let found = find(&address, options, &context).await?;
    Writer { address, options, context, path, existing, known: known.map(|known| known.name) }.write(found).await
}

/// Returns the drafts of datasets for all tables, views or files that the options select.
async fn find(address: &Address, options: &InitOptions, context: &LoadContext) -> Result<Found, InitError> {
    let open = async |spec: SourceSpec| context.open(&spec).await.map_err(InitError::Source);
    match address {
        Address::Postgres(address) => {
            let spec = SourceSpec::Postgres {
                url: SecretRef::Env(address.variable.clone()),
                connections: None,
                connections_per_export: None,
                read_timeout: None,
                few_rows: None,
            };
            match open(spec).await? {
                OpenSource::Postgres(server) => postgres::find(&server, options).await,
                other => Err(unavailable(other)),
            }
        }
        Address::Sqlite(path) => match open(SourceSpec::Sqlite { path: path.to_string_lossy().into_owned() }).await? {
            OpenSource::Sqlite(file) => sqlite::find(&file, options).await,
            other => Err(unavailable(other)),
        },
        Address::Bucket { bucket, prefix } => {
            let S3Environment { endpoint, region } = S3Environment::read();
            let allow_http = endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://"));
            let spec = SourceSpec::S3 {
                bucket: bucket.clone(),
                endpoint,
                region,
                access_key_id: None,
                secret_access_key: None,
                allow_http,
            };
            let source = open(spec).await?;
            let OpenSource::Bucket(store, _) = &source else { return Err(unavailable(source)) };
            let listing = listing::bucket(store.as_ref(), prefix).await?;
            files::find(&Place { context, source: Some(source), listing }, options).await
        }
        Address::Http(url) => {
            let base = url.join(".").as_ref().unwrap_or(url).to_string();
            let name = url.path_segments().and_then(|mut segments| segments.next_back()).unwrap_or_default().to_owned();
            let source = open(SourceSpec::Http { base, bearer: None }).await?;
            let listing = listing::Listing { paths: vec![name], ..listing::Listing::default() };
            files::find(&Place { context, source: Some(source), listing }, options).await
        }
        Address::Files(path) => {
            let path = path.clone();
            let listing = tokio::task::spawn_blocking(move || listing::local(&path)).await;
            let listing = listing.map_err(|e| InitError::Dataset(e.into()))??;
            files::find(&Place { context, source: None, listing }, options).await
        }
    }
}

fn unavailable(source: OpenSource) -> InitError {
    match source {
        OpenSource::Unavailable { reason, .. } => InitError::Source(format!("the source can't be read: {reason}")),
        _ => InitError::Source("the source can't be read".into()),
    }
}
