//! The result of `sluice catalog init`: the text of the catalog file, and a report on its contents.

use serde::Serialize;

use super::draft::NotOffered;

/// The result of `sluice catalog init`: the text of the catalog file, and a report on its contents.
#[derive(Clone, Debug)]
pub struct Written {
    /// The complete text of the catalog file.
    pub text: String,
    /// The report on the contents of `text`, which `sluice catalog init` prints.
    pub report: InitReport,
}

/// A report on the contents of a catalog file: its new datasets, and the tables, files and columns that it leaves out.
/// `sluice catalog init` prints the report as text or as JSON.
#[derive(Clone, Debug, Default, Serialize)]
pub struct InitReport {
    /// The datasets that this run has added to the file.
    pub datasets: Vec<InitDataset>,
    /// The number of datasets that the file already had before this run.
    pub kept: usize,
    /// The tables or files of the source that the catalog file does not offer, each with the reason.
    pub not_offered: Vec<NotOffered>,
    /// The columns of the source that existing datasets of the file do not declare.
    pub new_columns: Vec<NewColumns>,
    /// The environment variable in which the exporter expects the URL of the source; None if the source needs no
    /// variable.
    pub variable: Option<Variable>,
}

/// A dataset that this run has added to the catalog file.
#[derive(Clone, Debug, Serialize)]
pub struct InitDataset {
    /// The name of the dataset.
    pub name: String,
    /// The text that names the table or files of the dataset, such as ``table `public.orders` ``.
    pub of: String,
    /// The number of columns of the dataset.
    pub columns: usize,
    /// The column that names the tenant of a row; None if `catalog init` found none.
    pub tenant_column: Option<String>,
    /// The names of the columns that a mask hides from callers without a scope.
    pub masked: Vec<String>,
}

/// Columns of the source that an existing dataset of the file does not declare.
#[derive(Clone, Debug, Serialize)]
pub struct NewColumns {
    /// The name of the dataset.
    pub dataset: String,
    /// The names of the columns that the dataset does not declare.
    pub columns: Vec<String>,
}

/// The environment variable in which the exporter expects the URL of the source.
#[derive(Clone, Debug, Serialize)]
pub struct Variable {
    /// The name of the variable.
    pub name: String,
    /// Whether the variable has the URL of the source in the environment of this process.
    pub is_set: bool,
    /// The URL of the source without its password, as an example of the value.
    pub example: String,
}
