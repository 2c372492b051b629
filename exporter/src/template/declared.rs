//! Templates from the `[[template]]` tables of the catalog file.

use std::fmt::Debug;

use aws_lc_rs::digest::{SHA256, digest};
use protocol::catalog::{Column, TemplateColumn};

use super::{
    Template, TemplateDescription, TemplateError,
    resolve::{Resolved, resolve},
    spec::TemplateSpec,
};
use crate::{
    dataset::DatasetInfo,
    layout::{Layout, TemplateVersion},
};

/// The number of hexadecimal digits that [`digest_of`] returns.
const VERSION_LENGTH: usize = 12;

/// A template from a `[[template]]` table of the catalog file.
#[derive(Clone, Debug)]
pub struct DeclaredTemplate {
    spec: TemplateSpec,
    info: TemplateDescription,
}

impl DeclaredTemplate {
    /// Creates a template from its table in the catalog file. Use [`TemplateSpec::validate`] to check the template
    /// against a dataset.
    #[must_use]
    pub fn new(spec: TemplateSpec) -> Self {
        let info = TemplateDescription {
            name: spec.name.clone(),
            title: spec.title.clone().unwrap_or_else(|| spec.name.clone()),
            version: spec.version.clone().unwrap_or_else(|| digest_of(&spec)),
        };
        Self { spec, info }
    }

    /// Resolves the template against the columns of a dataset. If the template does not fit, the error names the first
    /// fault.
    fn resolve(&self, dataset: &DatasetInfo) -> Result<Resolved, TemplateError> {
        resolve(&self.spec, &dataset.columns, &dataset.hidden_columns).map_err(|faults| {
            let first = faults.into_iter().next();
            TemplateError::Unsuited(first.map_or_else(String::new, |fault| format!("{}: {}", fault.path, fault.detail)))
        })
    }
}

/// Returns a digest of `spec`, the table of a template or dataset in the catalog file. The digest is the version of a
/// template or dataset whose table sets no `version`.
pub(crate) fn digest_of(spec: &impl Debug) -> String {
    let mut text = hex::encode(digest(&SHA256, format!("{spec:?}").as_bytes()));
    text.truncate(VERSION_LENGTH);
    text
}

impl Template for DeclaredTemplate {
    fn info(&self) -> &TemplateDescription {
        &self.info
    }

    fn columns(&self, dataset: &DatasetInfo) -> Result<Option<Vec<TemplateColumn>>, TemplateError> {
        if !self.spec.datasets.is_empty() && !self.spec.datasets.contains(&dataset.name) {
            return Err(TemplateError::Unsuited(format!("it is not for `{}`", dataset.name)));
        }
        let resolved = self.resolve(dataset)?;
        if self.spec.columns.is_empty() {
            return Ok(None);
        }
        let columns = resolved.columns.into_iter().map(|resolved| TemplateColumn {
            column: Column {
                name: resolved.name,
                label: Some(resolved.layout_column.title),
                ..resolved.layout_column.source
            },
            reads: resolved.reads,
        });
        Ok(Some(columns.collect()))
    }

    fn layout(&self, dataset: &DatasetInfo, requested: &[String]) -> Result<Layout, TemplateError> {
        let resolved = self.resolve(dataset)?;
        if resolved.columns.is_empty() {
            return Err(TemplateError::Unsuited("all of its columns read hidden columns".into()));
        }
        let template = TemplateVersion { name: self.info.name.clone(), version: self.info.version.clone() };
        resolved.layout(requested, template)
    }
}
