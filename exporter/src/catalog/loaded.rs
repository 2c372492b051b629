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
    /// The name of each unavailable dataset, and the reason as a text: the source can't be read, the source differs
    /// from the file, or the dataset exceeds a size limit of the catalog.
    pub unavailable: Vec<(String, String)>,
    /// The faults of the unavailable datasets whose source can be read. Such a source differs from the file, or the
    /// dataset exceeds a size limit of the catalog.
    pub differing: Vec<CatalogFault>,
}

impl Loaded {
    /// Returns this value if the source of each dataset fits the file, and no dataset exceeds a size limit of the
    /// catalog. `path` is the path of the file, for the error text.
    ///
    /// Call this method only after an operator has written or changed the file. When only a source has changed, the
    /// file stays valid, and the datasets that differ from their source become unavailable.
    ///
    /// # Errors
    /// Returns the faults in `differing`, if there are any.
    pub fn as_written(self, path: &Path) -> Result<Self, CatalogFaults> {
        if self.differing.is_empty() { Ok(self) } else { Err(CatalogFaults::new(path, self.differing)) }
    }
}
