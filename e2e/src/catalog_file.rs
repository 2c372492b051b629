//! A catalog file of one test, in a folder beside its data files.

use std::path::PathBuf;

use tempfile::TempDir;
use testkit::{eventually, rest::Rest};

use crate::{Datasets, Fleet, Plan, Setting, SourceDatabase, fleet, source_database::SOURCE_URL};

/// A temporary folder with a catalog file. Dropping the value deletes the folder.
pub struct CatalogFile {
    /// The folder, at which relative paths of the catalog begin.
    pub dir: TempDir,
}

impl CatalogFile {
    /// Creates a folder with this catalog.
    ///
    /// # Panics
    /// When the folder can't be written.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let dir = tempfile::tempdir().expect("the folder for temporary files is writable");
        let catalog = Self { dir };
        std::fs::write(catalog.path(), text).expect("a new folder is writable");
        catalog
    }

    /// The path of the catalog file.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.dir.path().join(fleet::CATALOG)
    }

    /// Replaces the catalog atomically: an exporter polls the file, and the first half of a catalog may be valid too.
    ///
    /// # Panics
    /// When the folder can't be written.
    pub fn replace(&self, text: &str) {
        let new = self.dir.path().join("catalog.new");
        std::fs::write(&new, text).and_then(|()| std::fs::rename(&new, self.path())).expect("the folder is writable");
    }

    /// The plan of a fleet whose exporters use this catalog and notice changes soon.
    #[must_use]
    pub fn plan(&self, mut settings: Vec<Setting>) -> Plan {
        settings.extend([("SLUICE_EXPORTER__ADVERTISE_INTERVAL", "200ms".to_owned())]);
        Plan { settings, datasets: Datasets::Catalog(self.dir.path().to_owned()), ..Plan::default() }
    }

    /// Starts a fleet with this catalog and waits until it offers `datasets`. The catalog reads the URL of `source` from the
    /// variable [`SOURCE_URL`].
    ///
    /// # Panics
    /// When the fleet does not start, or does not offer one of the datasets.
    pub async fn start_fleet(
        &self,
        source: Option<&SourceDatabase>,
        datasets: &[&str],
        mut settings: Vec<Setting>,
    ) -> Fleet {
        settings.extend(source.map(|source| (SOURCE_URL, source.url())));
        let fleet = Fleet::start(self.plan(settings)).await;
        await_datasets(&fleet.rest(), datasets).await;
        fleet
    }
}

/// Waits until a gateway offers all of these datasets.
///
/// # Panics
/// When it does not offer one of them in time.
pub async fn await_datasets(rest: &Rest, datasets: &[&str]) {
    for name in datasets {
        eventually(&format!("the dataset {name} is offered"), async || {
            rest.get(&format!("/v1/datasets/{name}")).await.status.is_success().then_some(())
        })
        .await;
    }
}
