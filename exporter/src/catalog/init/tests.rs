//! Tests `catalog init`: writes catalog files for real sources, and loads them as an exporter does.

mod files;
mod postgres;
mod sqlite;
mod update;

use std::{fs, path::PathBuf, sync::Arc};

use super::{super::Loaded, *};
use crate::{ExporterConfig, Registry, catalog::load, dataset::Dataset};

/// A temporary folder for a catalog file and for data files.
struct Fixture {
    dir: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn context(&self, address: &Address) -> LoadContext {
        let config = ExporterConfig { datasets_dir: self.dir.path().into(), ..ExporterConfig::default() };
        let mut context = LoadContext::new(&config);
        if let Address::Postgres(postgres) = address {
            context.secrets.insert(postgres.variable.clone(), postgres.url.clone());
        }
        context
    }

    /// Writes a catalog file for a source, and loads it as an exporter does. Also checks that the loaded datasets are
    /// exactly the datasets that the report names.
    async fn init(&self, source: &str, options: &InitOptions) -> (Written, Loaded) {
        self.update(source, options, None).await
    }

    async fn update(&self, source: &str, options: &InitOptions, existing: Option<&str>) -> (Written, Loaded) {
        let address = Address::parse(source).unwrap();
        let context = self.context(&address);
        let path = self.path("catalog.toml");
        // `sluice catalog init` runs without the secrets of a started service
        let plain = LoadContext { secrets: [].into(), ..context.clone() };
        let written = init(&address, options, &plain, &path, existing).await.unwrap();
        fs::write(&path, &written.text).unwrap();
        let loaded =
            load(&path, &context, &Registry::built_in()).await.unwrap_or_else(|e| panic!("{e}\n{}", written.text));
        assert_eq!((&loaded.differing[..], &loaded.unavailable[..]), (&[][..], &[][..]), "{}", written.text);
        assert_eq!(loaded.datasets.len(), written.report.datasets.len() + written.report.kept, "{}", written.text);
        (written, loaded)
    }

    async fn refused(&self, source: &str, options: &InitOptions) -> InitError {
        let address = Address::parse(source).unwrap();
        let context = self.context(&address);
        init(&address, options, &context, &self.path("catalog.toml"), None).await.unwrap_err()
    }
}

fn names(loaded: &Loaded) -> Vec<&str> {
    loaded.datasets.iter().map(|dataset| dataset.info().name.as_str()).collect()
}

fn dataset<'a>(loaded: &'a Loaded, name: &str) -> &'a Arc<dyn Dataset> {
    loaded.datasets.iter().find(|dataset| dataset.info().name == name).unwrap()
}

/// Returns the lines of the catalog file about one dataset, from its comment to the comment of the next dataset.
fn part<'a>(text: &'a str, name: &str) -> &'a str {
    let wanted = format!("name = \"{name}\"\n");
    text.split("\n\n").find(|part| part.contains(&wanted)).unwrap_or_else(|| panic!("no {name} in\n{text}"))
}

/// Returns the comments about a dataset as one line.
fn comments(text: &str, name: &str) -> String {
    let lines = part(text, name).lines().filter_map(|line| line.trim_start().strip_prefix("# "));
    lines.collect::<Vec<_>>().join(" ")
}

/// Returns the masked columns of a dataset, each with its mask.
fn masks(dataset: &Arc<dyn Dataset>) -> Vec<(String, String)> {
    let rules = &dataset.info().access.columns;
    rules.iter().map(|rule| (rule.column.clone(), format!("{:?}", rule.mask))).collect()
}
