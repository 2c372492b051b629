//! Loads a catalog file into datasets and templates.
//!
//! If the file has a fault, the whole file is rejected. If a source can't be read, only the datasets of this source are
//! unavailable, and a later poll of the catalog file tries the source again.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use futures::{StreamExt, stream};
use toml::Spanned;

use super::{
    advertisement::AdvertiseError,
    dataset,
    fault::{CatalogFault, CatalogFaults, Refusal, line_of},
    loaded::Loaded,
    sizes::Room,
    source::{LoadContext, OpenSource},
    spec::{CatalogSpec, DatasetSpec},
    templates,
};
use crate::{Registry, dataset::Dataset, template};

/// The maximum number of sources to open at once, and of datasets to create at once.
const CONCURRENCY: usize = 8;

/// Loads a catalog file, and reads the schemas of its sources. `base` has the built-in templates and formats, and the
/// datasets and templates in Rust code. The caller adds the result to `base`. The templates of the file may use the
/// datasets of the file and those of `base`.
///
/// If the declaration of a dataset differs from its source, or its catalog entry is too large, `load` still succeeds,
/// but the dataset is unavailable in the result. A caller that must refuse such a file calls [`Loaded::as_written`].
///
/// # Errors
/// Returns all faults of the file. If the file is not valid TOML or has the wrong structure, returns only the first
/// fault.
pub async fn load(path: &Path, context: &LoadContext, base: &Registry) -> Result<Loaded, CatalogFaults> {
    let unreadable = |detail: String| {
        let fault = CatalogFault { line: None, what: "file".into(), detail };
        CatalogFaults::new(path, vec![fault])
    };
    let text = tokio::fs::read_to_string(path).await.map_err(|e| unreadable(format!("it can't be read: {e}")))?;
    load_text(path, &text, context, base).await
}

/// Loads a catalog like [`load`], but from `text`, the content of its file. `path` is only for error texts.
pub(super) async fn load_text(
    path: &Path,
    text: &str,
    context: &LoadContext,
    base: &Registry,
) -> Result<Loaded, CatalogFaults> {
    let spec = CatalogSpec::parse(path, text)?;
    let mut loader = Loader { text, context, base, faults: Vec::new(), sources: BTreeMap::new() };
    let loaded = loader.load(spec).await;
    if loader.faults.is_empty() { Ok(loaded) } else { Err(CatalogFaults::new(path, loader.faults)) }
}

struct Loader<'a> {
    text: &'a str,
    context: &'a LoadContext,
    base: &'a Registry,
    faults: Vec<CatalogFault>,
    sources: BTreeMap<String, OpenSource>,
}

impl Loader<'_> {
    fn fault(&mut self, at: usize, what: String, detail: String) {
        self.faults.push(CatalogFault { line: Some(line_of(self.text, at)), what, detail });
    }

    async fn load(&mut self, spec: CatalogSpec) -> Loaded {
        // open several sources at once, so that a slow source does not delay the others
        let opened: Vec<_> = {
            let opening: Vec<_> = spec.source.values().map(|source| self.context.open(source.get_ref())).collect();
            stream::iter(opening).buffered(CONCURRENCY).collect().await
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
            stream::iter(making).buffered(CONCURRENCY).collect().await
        };
        let mut loaded = Loaded::default();
        for (dataset, made) in spec.dataset.iter().zip(made) {
            let dataset = dataset.get_ref();
            let name = dataset.name.get_ref();
            let is_taken = |other: &Arc<dyn Dataset>| other.info().name == *name;
            match made {
                Ok(_) if loaded.datasets.iter().chain(&self.base.datasets).any(is_taken) => {
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
                Err(Refusal::Unavailable(reason)) => loaded.unavailable.push((name.clone(), reason)),
            }
        }
        for spec in &spec.template {
            self.template(spec, &mut loaded);
        }
        self.check_sizes(&spec.dataset, &mut loaded);
        loaded
    }

    /// Makes each dataset unavailable whose entry in the advertised catalog exceeds a limit. This can happen long after
    /// the catalog file was written, when columns are added to the source. `specs` are the `[[dataset]]` tables of the
    /// file.
    fn check_sizes(&self, specs: &[Spanned<DatasetSpec>], loaded: &mut Loaded) {
        let mut registry = self.base.clone();
        registry.replace_templates(loaded.templates.clone());
        let mut room = Room::new(self.context.max_entry_size);
        for dataset in &self.base.datasets {
            // the advertiser reports a dataset in Rust that does not fit
            let _ = room.take(&registry.describe(dataset.info()));
        }
        for dataset in std::mem::take(&mut loaded.datasets) {
            let info = dataset.info();
            let Err(e) = room.take(&registry.describe(info)) else {
                loaded.datasets.push(dataset);
                continue;
            };
            let declared = specs.iter().map(|spec| &spec.get_ref().name).find(|name| *name.get_ref() == info.name);
            let line = declared.map(|name| line_of(self.text, name.span().start));
            let detail = match e {
                AdvertiseError::TooLarge { excess, .. } => excess.to_string(),
                other => other.to_string(),
            };
            loaded.unavailable.push((info.name.clone(), detail.clone()));
            loaded.differing.push(CatalogFault { line, what: format!("dataset {}", info.name), detail });
        }
    }

    fn template(&mut self, spec: &Spanned<template::TemplateSpec>, loaded: &mut Loaded) {
        let (at, spec) = (spec.span().start, spec.get_ref());
        let what = format!("template {}", spec.name);
        if loaded.templates.iter().any(|other| other.info().name == spec.name) {
            return self.fault(at, what, "the name is taken".into());
        }
        let offered: Vec<_> = loaded.datasets.iter().chain(&self.base.datasets).map(|dataset| dataset.info()).collect();
        let unavailable: Vec<_> = loaded.unavailable.iter().map(|(name, _)| name.as_str()).collect();
        for detail in templates::faults(spec, &offered, &unavailable) {
            self.fault(at, what.clone(), detail);
        }
        loaded.templates.push(Arc::new(template::DeclaredTemplate::new(spec.clone())));
    }

    async fn dataset(&self, at: usize, spec: &DatasetSpec, known: &[String]) -> Result<Arc<dyn Dataset>, Refusal> {
        let source = match &spec.from {
            None => None,
            Some(from) if known.contains(from.get_ref()) => match self.sources.get(from.get_ref()) {
                Some(open) => Some(open.clone()),
                // the fault of this source is reported already
                None => return Err(Refusal::Unavailable("its source is invalid".into())),
            },
            Some(from) => {
                let detail = format!("there is no [source.{}]", from.get_ref());
                return Err(Refusal::Fault(from.span().start, detail));
            }
        };
        dataset::make(self.context, at, spec, source).await
    }
}
