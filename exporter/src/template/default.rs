//! The template that every dataset has.

use super::{Template, TemplateError, chosen};
use crate::{
    dataset::Dataset,
    format::{Envelope, Layout},
};

/// All columns, or those asked for, under their own names, with the timestamps in comment lines.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plain;

impl Template for Plain {
    fn name(&self) -> &str {
        "default"
    }

    fn title(&self) -> &str {
        "All columns as they are"
    }

    fn layout(&self, dataset: &dyn Dataset, wanted: &[String]) -> Result<Layout, TemplateError> {
        Ok(Layout { columns: chosen(dataset, wanted)?, envelope: Envelope::Comments })
    }
}
