//! Templates decide the columns of a file, their order, names and styles. They also decide where the file states the
//! times at which its export was requested and completed.
//!
//! Operators describe templates in the catalog file, as a [`TemplateSpec`]. For a layout that a [`TemplateSpec`] can't
//! describe, a developer implements [`Template`] in Rust.

mod builtin;
mod declared;
mod error;
pub(crate) mod expr;
mod resolve;
mod spec;
#[cfg(test)]
mod tests;

use protocol::catalog::TemplateColumn;

pub(crate) use self::declared::digest_of;
pub use self::{
    builtin::{Enveloped, Plain, Spreadsheet},
    declared::DeclaredTemplate,
    error::TemplateError,
    spec::{ColumnSpec, Fault, SortSpec, TemplateSpec, TextSpec},
};
use crate::{dataset::DatasetInfo, layout::Layout};

/// The name, title and version of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateDescription {
    /// The name of the template in requests.
    pub name: String,
    /// The title of the template that users see.
    pub title: String,
    /// The version of the template, which the metadata of each file records. Change the version whenever the template
    /// would lay out the same rows differently.
    pub version: String,
}

/// Decides the layout of an export's file: the columns, their styles and the order of the rows.
pub trait Template: Send + Sync {
    /// Returns the name, title and version of the template.
    fn info(&self) -> &TemplateDescription;

    /// Returns the columns that a request may choose. None means any column of the dataset; the default implementation
    /// returns None.
    ///
    /// # Errors
    /// When the template does not fit the dataset. The catalog then does not offer the template for this dataset.
    fn columns(&self, dataset: &DatasetInfo) -> Result<Option<Vec<TemplateColumn>>, TemplateError> {
        let _ = dataset;
        Ok(None)
    }

    /// Returns the layout of the `requested` columns, or of all columns of the template if `requested` is empty. The
    /// layout omits each column that reads a hidden column ([`DatasetInfo::hidden_columns`]).
    ///
    /// # Errors
    /// When the template does not fit the dataset, or a column does not exist or is requested twice.
    fn layout(&self, dataset: &DatasetInfo, requested: &[String]) -> Result<Layout, TemplateError>;
}
