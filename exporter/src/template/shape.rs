//! What the rows of a dataset become before they are written: columns that are calculated, and an order.

use polars::prelude::{DataFrame, Expr, IntoLazy, PolarsResult, SortMultipleOptions, col};

/// What one frame after the other becomes.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// The dataset's columns that are read.
    inputs: Vec<String>,
    /// The columns of the file; None: the inputs as they are.
    outputs: Option<Vec<Expr>>,
    /// What the rows are sorted by, most significant first.
    sort: Vec<SortKey>,
}

/// One key of an order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SortKey {
    /// The value that decides.
    pub(crate) value: Expr,
    /// Largest first.
    pub(crate) descending: bool,
}

impl Shape {
    /// The columns as they are, in the order in which they come.
    #[must_use]
    pub const fn untouched(inputs: Vec<String>) -> Self {
        Self { inputs, outputs: None, sort: Vec::new() }
    }

    /// Columns made of others.
    pub(crate) fn new(inputs: Vec<String>, outputs: Option<Vec<Expr>>, sort: Vec<SortKey>) -> Self {
        Self { inputs, outputs, sort }
    }

    /// The dataset's columns that are needed, at least one.
    #[must_use]
    pub fn inputs(&self) -> &[String] {
        &self.inputs
    }

    /// Whether [`Shape::apply`] returns what it is given.
    #[must_use]
    pub fn is_untouched(&self) -> bool {
        self.outputs.is_none() && self.sort.is_empty()
    }

    /// Whether rows are sorted, so that all of them have to be there first.
    #[must_use]
    pub fn is_sorted(&self) -> bool {
        !self.sort.is_empty()
    }

    /// The columns of the file, and behind them the keys of the order.
    ///
    /// # Errors
    /// When a value can't be calculated: a number that is too large, a column that is gone.
    pub fn apply(&self, frame: DataFrame) -> PolarsResult<DataFrame> {
        if self.is_untouched() {
            return Ok(frame);
        }
        let columns: Vec<Expr> = match &self.outputs {
            Some(outputs) => outputs.clone(),
            None => self.inputs.iter().map(|name| col(name.as_str())).collect(),
        };
        let outputs = columns.into_iter().enumerate().map(|(index, value)| value.alias(output(index)));
        let keys = self.sort.iter().enumerate().map(|(index, key)| key.value.clone().alias(sort_key(index)));
        // the column beside them makes constants as long as the frame
        let height = self.inputs.first().map(|name| col(name.as_str()).alias("height"));
        let all: Vec<Expr> = outputs.chain(keys).chain(height).collect();
        frame.lazy().select(all).collect()?.drop("height")
    }

    /// All rows in order, of a frame that holds all that [`Shape::apply`] has made, without the keys. Rows of the same
    /// keys stay as they came; NULL comes last.
    ///
    /// # Errors
    /// When polars fails.
    pub fn sorted(&self, frame: DataFrame) -> PolarsResult<DataFrame> {
        let keys: Vec<String> = (0..self.sort.len()).map(sort_key).collect();
        let options = SortMultipleOptions::default()
            .with_order_descending_multi(self.sort.iter().map(|key| key.descending))
            .with_nulls_last(true)
            .with_maintain_order(true);
        let sorted = frame.sort(keys.iter().map(String::as_str), options)?;
        Ok(sorted.drop_many(keys))
    }
}

fn output(index: usize) -> String {
    format!("{index}")
}

fn sort_key(index: usize) -> String {
    format!("sort {index}")
}
