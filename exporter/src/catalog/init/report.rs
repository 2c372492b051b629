//! What a written catalog file has, for people and programs.

use serde::Serialize;

use super::draft::NotOffered;

/// A catalog file that was written.
#[derive(Clone, Debug)]
pub struct Written {
    /// The text of the whole file.
    pub text: String,
    /// What the text has.
    pub report: InitReport,
}

/// What a written catalog file has, for people and programs.
#[derive(Clone, Debug, Default, Serialize)]
pub struct InitReport {
    /// The datasets that this run has added to the file.
    pub datasets: Vec<InitDataset>,
    /// The number of datasets that the file had already.
    pub kept: usize,
    /// What is not offered.
    pub not_offered: Vec<NotOffered>,
    /// Columns of the source that a dataset of the existing file does not declare.
    pub new_columns: Vec<NewColumns>,
    /// The environment variable that the exporter needs.
    pub variable: Option<Variable>,
}

/// A dataset that was written.
#[derive(Clone, Debug, Serialize)]
pub struct InitDataset {
    /// The name of the dataset.
    pub name: String,
    /// The table or files in words.
    pub of: String,
    /// The number of columns.
    pub columns: usize,
    /// The column that names the tenant of a row.
    pub tenant_column: Option<String>,
    /// The columns with a mask.
    pub masked: Vec<String>,
}

/// Columns that a dataset of the existing file does not declare.
#[derive(Clone, Debug, Serialize)]
pub struct NewColumns {
    /// The name of the dataset.
    pub dataset: String,
    /// The names of the columns.
    pub columns: Vec<String>,
}

/// An environment variable that the exporter needs.
#[derive(Clone, Debug, Serialize)]
pub struct Variable {
    /// The name of the variable.
    pub name: String,
    /// Whether the variable has the URL of the source in this process.
    pub is_set: bool,
    /// The URL of the source without its password.
    pub example: String,
}
