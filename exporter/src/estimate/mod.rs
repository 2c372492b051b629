//! Predicts the row count, the size, the duration and the price of an export before a user requests it. An estimate
//! also has a preview of the rows.
//!
//! An estimate reads only the first rows of a source, as a [`sample`], and encodes them in the requested format. The
//! number of rows comes from the statistics of the source ([`crate::dataset::Dataset::count`]), unless the sample
//! contains all rows. The size of a row and the speed come from earlier exports, the [`history`]. Without earlier
//! exports of the same kind, the size comes from the sample, and the speed is a constant.

mod estimator;
mod history;
mod sample;
mod serve;

pub(crate) use self::{estimator::Estimator, serve::serve};
