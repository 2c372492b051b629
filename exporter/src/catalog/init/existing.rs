//! Reads an existing catalog file, so that `sluice catalog init` adds only datasets that the file does not have yet.

use std::{collections::BTreeSet, path::Path};

use toml::Spanned;

use super::{
    super::{
        fault::CatalogFaults,
        source::LoadContext,
        spec::{CatalogSpec, DatasetSpec, SecretRef, SourceSpec},
    },
    address::Address,
    draft::{Draft, DraftRows},
};

/// An existing catalog file, which people may have edited.
pub(super) struct Existing {
    text: String,
    spec: CatalogSpec,
    /// The values of the keys `table` and `files` in commented-out lines. An operator has commented out these datasets
    /// on purpose, so `catalog init` does not add them again.
    left_out: BTreeSet<String>,
}

/// A source of the existing catalog file that reads the same database, bucket or URL as the user names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KnownSource {
    pub(super) name: String,
    /// The environment variable with the URL of a PostgreSQL database; None for other sources.
    pub(super) variable: Option<String>,
}

impl Existing {
    /// Parses a catalog file. Error texts name the file by `path`.
    ///
    /// # Errors
    ///
    /// Returns the faults if the text is not a valid catalog.
    pub(super) fn parse(path: &Path, text: &str) -> Result<Self, CatalogFaults> {
        let spec = CatalogSpec::parse(path, text)?;
        let commented = text.lines().filter_map(|line| line.trim_start().strip_prefix('#'));
        let left_out = commented.filter_map(|line| {
            let parsed: toml::Table = line.trim_start_matches(['#', ' ']).parse().ok()?;
            let value = parsed.get("table").or_else(|| parsed.get("files"))?;
            value.as_str().map(str::to_owned)
        });
        let left_out = left_out.collect();
        Ok(Self { text: text.to_owned(), spec, left_out })
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn dataset_names(&self) -> impl Iterator<Item = String> {
        self.spec.dataset.iter().map(|dataset| dataset.get_ref().name.get_ref().clone())
    }

    pub(super) fn has_source(&self, name: &str) -> bool {
        self.spec.source.contains_key(name)
    }

    /// Whether `catalog init` can append datasets to the file. TOML does not allow that if the file writes `dataset` or
    /// `source` as inline values.
    pub(super) fn can_grow(&self) -> bool {
        let grown =
            format!("{}\n[source.__new]\nkind = \"sqlite\"\npath = \"x\"\n[[dataset]]\nname = \"__new\"\n", self.text);
        toml::from_str::<CatalogSpec>(&grown).is_ok()
    }

    /// Finds the source of the file that reads `address`. This is a PostgreSQL source with the same URL or with the
    /// same name of its environment variable, a SQLite source of the same file, an S3 source of the same bucket, or an
    /// HTTP source of the same folder.
    pub(super) fn source(&self, address: &Address, context: &LoadContext) -> Option<KnownSource> {
        let sources = || self.spec.source.iter().map(|(name, spec)| (name, spec.get_ref()));
        let known = |name: &String| KnownSource { name: name.clone(), variable: None };
        match address {
            Address::Files(_) => None,
            Address::Postgres(postgres) => {
                let named = |wanted: &dyn Fn(&SecretRef) -> bool| {
                    sources().find_map(|(name, spec)| match spec {
                        SourceSpec::Postgres { url, .. } if wanted(url) => {
                            let variable =
                                if let SecretRef::Env(variable) = url { Some(variable.clone()) } else { None };
                            Some(KnownSource { name: name.clone(), variable })
                        }
                        _ => None,
                    })
                };
                let has_url = |url: &SecretRef| context.secret(url).is_ok_and(|found| found == postgres.url);
                let has_name = |url: &SecretRef| matches!(url, SecretRef::Env(name) if *name == postgres.variable);
                named(&has_url).or_else(|| named(&has_name))
            }
            Address::Sqlite(file) => sources().find_map(|(name, spec)| match spec {
                SourceSpec::Sqlite { path } if context.folder.join(path) == *file => Some(known(name)),
                _ => None,
            }),
            Address::Bucket { bucket: wanted, .. } => sources().find_map(|(name, spec)| match spec {
                SourceSpec::S3 { bucket, .. } if bucket == wanted => Some(known(name)),
                _ => None,
            }),
            Address::Http(url) => sources().find_map(|(name, spec)| match spec {
                SourceSpec::Http { base, .. } if url.join(".").is_ok_and(|folder| folder.as_str() == base) => {
                    Some(known(name))
                }
                _ => None,
            }),
        }
    }

    /// Whether the file already has a source or a dataset that reads `address`.
    pub(super) fn reads(&self, address: &Address, context: &LoadContext) -> bool {
        let Address::Files(path) = address else { return self.source(address, context).is_some() };
        let folder = path.ancestors().find(|folder| folder.exists()).unwrap_or(path);
        self.spec.dataset.iter().map(Spanned::get_ref).any(|dataset| {
            let files = dataset.files.as_ref().filter(|_| dataset.from.is_none());
            files.is_some_and(|files| context.folder.join(files.get_ref()).starts_with(folder))
        })
    }

    /// Returns the datasets of the source `from`. If `from` is None, returns the datasets of local files.
    fn datasets_of(&self, from: Option<&str>) -> impl Iterator<Item = &DatasetSpec> {
        let source = |dataset: &DatasetSpec| dataset.from.as_ref().map(|from| from.get_ref().clone());
        self.spec.dataset.iter().map(Spanned::get_ref).filter(move |dataset| source(dataset).as_deref() == from)
    }

    /// Finds a PostgreSQL source whose environment variable is not set. Returns the names of the source and of the
    /// variable. Without the URL, `catalog init` can't tell whether this source is the database that the user names.
    pub(super) fn unset_variable(&self, context: &LoadContext) -> Option<(&str, &str)> {
        self.spec.source.iter().find_map(|(name, spec)| match spec.get_ref() {
            SourceSpec::Postgres { url: reference @ SecretRef::Env(variable), .. }
                if context.secret(reference).is_err() =>
            {
                Some((name.as_str(), variable.as_str()))
            }
            _ => None,
        })
    }

    /// Whether the file already has a dataset with the rows of `draft`, or names its table or files in a commented-out
    /// line. `from` is the name of the draft's source.
    pub(super) fn has(&self, draft: &Draft, from: Option<&str>, context: &LoadContext) -> bool {
        let mut of_source = self.datasets_of(from);
        match &draft.rows {
            DraftRows::Table(table) => {
                let short = table.strip_prefix("public.").unwrap_or(table);
                let is = |name: &str| name == table || name == short;
                self.left_out.iter().any(|name| is(name))
                    || of_source.any(|dataset| dataset.table.as_deref().is_some_and(is))
            }
            DraftRows::Query(query) => {
                of_source.any(|dataset| dataset.query.as_ref().is_some_and(|known| known.get_ref() == query))
            }
            DraftRows::Files { files, .. } => {
                let absolute = |path: &str| if from.is_none() { context.folder.join(path) } else { path.into() };
                let is = |path: &str| absolute(path) == absolute(files);
                self.left_out.iter().any(|path| is(path))
                    || of_source.any(|dataset| dataset.files.as_ref().is_some_and(|known| is(known.get_ref())))
            }
        }
    }

    /// Returns the name of the dataset that has the table of `draft`, and the columns of the table that this dataset
    /// does not declare. `from` is the name of the draft's source. Returns None if there are no such columns, or if the
    /// dataset declares no columns, because it then offers every column.
    pub(super) fn new_columns(&self, draft: &Draft, from: Option<&str>) -> Option<(String, Vec<String>)> {
        let DraftRows::Table(table) = &draft.rows else { return None };
        let short = table.strip_prefix("public.").unwrap_or(table);
        let is = |name: &str| name == table || name == short;
        let dataset = self.datasets_of(from).find(|dataset| dataset.table.as_deref().is_some_and(is))?;
        let is_declared = |name: &str| dataset.columns.iter().any(|column| column.get_ref().name == name);
        let new: Vec<_> = draft.columns.iter().filter(|column| !is_declared(&column.name)).collect();
        let new: Vec<_> = new.into_iter().map(|column| column.name.clone()).collect();
        (!dataset.columns.is_empty() && !new.is_empty()).then(|| (dataset.name.get_ref().clone(), new))
    }
}
