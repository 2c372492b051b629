//! Predicts the rows, in bytes, duration and price of an export before a user requests it, with a preview of its rows.
//!
//! No source is read completely. A [`sample`] of the first rows is encoded in the requested format. The number of rows
//! comes from the statistics of the source ([`crate::dataset::Dataset::count`]); the size of a row and
//! the speed come from the [`history`] of earlier exports, or else from the sample.

mod estimator;
mod history;
mod sample;
mod serve;

pub(crate) use self::{estimator::Estimator, serve::serve};
