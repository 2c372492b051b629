//! The result of loading a catalog file.

use std::{path::Path, sync::Arc};

use super::fault::{CatalogFault, CatalogFaults};
use crate::{dataset::Dataset, template::Template};

/// The datasets and templates of a loaded catalog file.
#[derive(Default)]
pub struct Loaded {
    /// The available datasets, in the order of the file.
    pub datasets: Vec<Arc<dyn Dataset>>,
    /// The templates, in the order of the file.
    pub templates: Vec<Arc<dyn Template>>,
    /// The unavailable datasets: the name of each, and the reason, such as a source that can't be read or that differs
    /// from the file.
    pub unavailable: Vec<(String, String)>,
    /// A fault for each unavailable dataset whose source is available, but differs from the file, or has more columns
    /// than the catalog can hold.
    pub differing: Vec<CatalogFault>,
}

impl Loaded {
    /// Refuses a file that differs from its sources. Call this only for a file that the operator has just written or
    /// changed. A file that was valid before stays valid when a source changes: only the datasets that differ from
    /// their source become unavailable.
    ///
    /// # Errors
    /// When the source of a dataset differs from the file at `path`.
    pub fn as_written(self, path: &Path) -> Result<Self, CatalogFaults> {
        if self.differing.is_empty() { Ok(self) } else { Err(CatalogFaults::new(path, self.differing)) }
    }
}
