//! Calculates the columns of a file from the columns of a dataset, and sorts the rows.

use polars::prelude::{DataFrame, Expr, IntoLazy, PolarsError, PolarsResult, SortMultipleOptions};

use crate::named_column;

/// The expressions that calculate a file's columns from a dataset's columns, and the order of the rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Projection {
    /// The names of the dataset's columns that the pipeline reads.
    inputs: Vec<String>,
    /// The expressions of the file's columns; None if the file has the unchanged input columns.
    outputs: Option<Vec<Expr>>,
    /// The sort keys, most significant first.
    sort: Vec<SortKey>,
}

/// One sort key of the rows.
#[derive(Clone, Debug, PartialEq)]
pub struct SortKey {
    /// The expression by whose values the rows are sorted.
    pub value: Expr,
    /// Whether the largest value comes first.
    pub descending: bool,
}

/// The first row of a data frame for which an expression fails.
#[derive(Debug)]
pub struct Failure {
    /// The index of the first column of the file whose expression fails; None if only a sort key fails.
    pub output: Option<usize>,
    /// The index of the row in the data frame.
    pub row: usize,
    /// The error, whose text may contain values of the row.
    pub error: PolarsError,
}

impl Projection {
    /// Creates a projection that returns the columns and rows unchanged.
    #[must_use]
    pub const fn identity(inputs: Vec<String>) -> Self {
        Self { inputs, outputs: None, sort: Vec::new() }
    }

    /// Creates a projection that reads `inputs`, calculates `outputs` and sorts the rows by `sort`. If `outputs` is
    /// None, the columns of the file are the unchanged `inputs`.
    pub fn new(inputs: Vec<String>, outputs: Option<Vec<Expr>>, sort: Vec<SortKey>) -> Self {
        Self { inputs, outputs, sort }
    }

    /// Returns the names of the dataset's columns that the pipeline reads.
    #[must_use]
    pub fn inputs(&self) -> &[String] {
        &self.inputs
    }

    /// Whether the projection changes neither the columns nor the order of the rows.
    #[must_use]
    pub fn is_identity(&self) -> bool {
        self.outputs.is_none() && self.sort.is_empty()
    }

    /// Whether the projection sorts the rows. If true, the pipeline must collect all rows before it encodes the first
    /// row.
    #[must_use]
    pub fn is_sorted(&self) -> bool {
        !self.sort.is_empty()
    }

    /// Calculates the columns of the file from a data frame of the dataset, and appends one column for each sort key.
    ///
    /// # Errors
    /// When an expression fails, for example because a number overflows or a column no longer exists.
    pub fn apply(&self, frame: DataFrame) -> PolarsResult<DataFrame> {
        if self.is_identity() {
            return Ok(frame);
        }
        let columns: Vec<Expr> = match &self.outputs {
            Some(outputs) => outputs.clone(),
            None => self.inputs.iter().map(|name| named_column(name)).collect(),
        };
        let outputs = columns.into_iter().enumerate().map(|(index, value)| value.alias(output_name(index)));
        let keys = self.sort.iter().enumerate().map(|(index, key)| key.value.clone().alias(sort_key_name(index)));
        // polars repeats constants to the height of this input column, which is dropped below
        let height = self.inputs.first().map(|name| named_column(name).alias("height"));
        let all: Vec<Expr> = outputs.chain(keys).chain(height).collect();
        frame.lazy().select(all).collect()?.drop("height")
    }

    /// Finds the row and the expression for which [`Projection::apply`] failed in `frame`. Returns None if each row
    /// alone can be calculated.
    pub fn failure(&self, frame: &DataFrame) -> Option<Failure> {
        let outputs = self.outputs.iter().flatten();
        let output =
            outputs.enumerate().find_map(|(index, value)| calculated(frame, value).is_err().then_some((index, value)));
        let attempt = |rows: usize| {
            let rows = frame.head(Some(rows));
            output.map_or_else(|| self.apply(rows.clone()).map(drop), |(_, value)| calculated(&rows, value))
        };
        // the first `passing` rows are calculated without an error, and the first `failing` rows are not
        let (mut passing, mut failing) = (0, frame.height());
        let mut error = attempt(failing).err()?;
        while failing - passing > 1 {
            let middle = passing.midpoint(failing);
            match attempt(middle) {
                Ok(()) => passing = middle,
                Err(e) => (failing, error) = (middle, e),
            }
        }
        Some(Failure { output: output.map(|(index, _)| index), row: passing, error })
    }

    /// Sorts the rows of a file, and drops the columns of the sort keys. `frame` contains all rows of the file, as
    /// [`Projection::apply`] returned them. The sort is stable, with NULL last.
    ///
    /// # Errors
    /// When polars fails to sort.
    pub fn sorted(&self, frame: DataFrame) -> PolarsResult<DataFrame> {
        let keys: Vec<String> = (0..self.sort.len()).map(sort_key_name).collect();
        let options = SortMultipleOptions::default()
            .with_order_descending_multi(self.sort.iter().map(|key| key.descending))
            .with_nulls_last(true)
            .with_maintain_order(true);
        let sorted = frame.sort(keys.iter().map(String::as_str), options)?;
        Ok(sorted.drop_many(keys))
    }
}

fn calculated(frame: &DataFrame, value: &Expr) -> PolarsResult<()> {
    frame.clone().lazy().select([value.clone()]).collect().map(drop)
}

fn output_name(index: usize) -> String {
    format!("{index}")
}

fn sort_key_name(index: usize) -> String {
    format!("sort {index}")
}
