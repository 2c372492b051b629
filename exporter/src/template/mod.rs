//! Templates: which columns a file has, in which order and under which names, how values are written, and where its
//! timestamps stand.
//!
//! Those of a team are described in its catalog file, as a [`TemplateSpec`]; what that can't say is a [`Template`] in
//! Rust.

mod declared;
mod default;
mod expr;
mod file_name;
mod shape;
mod spec;
#[cfg(test)]
pub(crate) mod tests;

use protocol::catalog::{Column, TemplateColumn};

use crate::{
    dataset::Dataset,
    format::{Layout, LayoutColumn},
};

pub use declared::Declared;
pub(crate) use declared::digest_of;
pub use default::{Plain, Spreadsheet};
pub use expr::{Computed, ExprError, compile};
pub use file_name::{FileName, FileNameError};
pub use shape::Shape;
pub use spec::{ColumnSpec, Fault, SortSpec, TemplateSpec, TextSpec};

/// A way to lay out a dataset.
pub trait Template: Send + Sync {
    /// The name in requests.
    fn name(&self) -> &str;

    /// For people.
    fn title(&self) -> &str;

    /// What files say that made them, beside the name: to be changed whenever the files would differ.
    fn version(&self) -> &str {
        "1"
    }

    /// Whether it fits a dataset; every one by default.
    fn fits(&self, dataset: &dyn Dataset) -> bool {
        let _ = dataset;
        true
    }

    /// The columns that may be chosen with it; None for those of the dataset, which is the default.
    fn columns(&self, dataset: &dyn Dataset) -> Option<Vec<TemplateColumn>> {
        let _ = dataset;
        None
    }

    /// The shape of a file with the columns asked for; none means those that the template chooses. What is made of columns
    /// that the dataset hides ([`Dataset::hidden`]) is left out.
    ///
    /// # Errors
    /// When a column does not exist or is asked for twice.
    fn layout(&self, dataset: &dyn Dataset, wanted: &[String]) -> Result<Layout, TemplateError>;
}

/// Why a dataset can't be laid out as asked.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// No such column.
    #[error("there is no column `{0}`")]
    NoColumn(String),
    /// Once is enough.
    #[error("column `{0}` is asked for twice")]
    Twice(String),
    /// The template is not for this dataset.
    #[error("the template does not suit the dataset: {0}")]
    Unsuited(String),
    /// A calculated column has no value.
    #[error("a calculated column failed: {0}")]
    Value(String),
}

/// The columns asked for in their order, or all of the dataset, under their own names.
fn chosen(dataset: &dyn Dataset, wanted: &[String]) -> Result<Vec<LayoutColumn>, TemplateError> {
    let plain = |source: &Column| LayoutColumn::plain(source.clone());
    if wanted.is_empty() {
        return Ok(dataset.columns().iter().map(plain).collect());
    }
    let mut columns: Vec<LayoutColumn> = Vec::with_capacity(wanted.len());
    for name in wanted {
        let found = dataset.columns().iter().find(|c| c.name == *name);
        let source = found.ok_or_else(|| TemplateError::NoColumn(name.clone()))?;
        if columns.iter().any(|c| c.source.name == *name) {
            return Err(TemplateError::Twice(name.clone()));
        }
        columns.push(plain(source));
    }
    Ok(columns)
}
