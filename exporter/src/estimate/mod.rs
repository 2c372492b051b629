//! Predicts an export before a user requests it: rows, bytes, duration, price, and its first rows.
//!
//! No source is read completely. The [`sample`] of the first rows is encoded as the export would encode them. The
//! number of rows comes from the statistics of the source ([`crate::dataset::Dataset::count`]); the size of a row and
//! the speed come from the [`history`] of earlier exports, or else from the sample.

mod estimator;
mod history;
mod sample;
mod serve;

pub(crate) use self::{estimator::Estimator, serve::serve};
