//! Templates: the columns of a file, their order, names and styles, and the location of the timestamps.
//!
//! A team describes its templates in the catalog file, as a [`TemplateSpec`]. A template that a [`TemplateSpec`] cannot
//! express implements [`Template`] in Rust.

mod builtin;
mod declared;
mod error;
mod expr;
mod resolve;
mod spec;
#[cfg(test)]
mod tests;

use protocol::catalog::TemplateColumn;

pub(crate) use self::declared::digest_of;
pub use self::{
    builtin::{Plain, Spreadsheet},
    declared::Declared,
    error::TemplateError,
    spec::{ColumnSpec, Fault, SortSpec, TemplateSpec, TextSpec},
};
use crate::{dataset::DatasetInfo, layout::Layout};

/// The description of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateDescription {
    /// The name in requests.
    pub name: String,
    /// The title that users see.
    pub title: String,
    /// The version that manifests record beside the name. Change the version whenever the template would make another
    /// file of the same rows.
    pub version: String,
}

/// A template lays out the columns of a dataset as a file.
pub trait Template: Send + Sync {
    /// Describes the template for the catalog and for files.
    fn info(&self) -> &TemplateDescription;

    /// Returns the columns that a request may choose; None, the default, for the columns of the dataset.
    ///
    /// # Errors
    /// When the template does not fit the dataset, so that the catalog does not offer it there.
    fn columns(&self, dataset: &DatasetInfo) -> Result<Option<Vec<TemplateColumn>>, TemplateError> {
        let _ = dataset;
        Ok(None)
    }

    /// Lays out the requested columns, or all columns of the template when `requested` is empty. A column that reads a
    /// hidden column ([`DatasetInfo::hidden_columns`]) is left out.
    ///
    /// # Errors
    /// When the template does not fit the dataset, or a column does not exist or is requested twice.
    fn layout(&self, dataset: &DatasetInfo, requested: &[String]) -> Result<Layout, TemplateError>;
}
