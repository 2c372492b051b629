//! The registry of an exporter: its datasets, templates and formats.

use std::sync::Arc;

use protocol::{
    access::Access,
    catalog::{self, CatalogDataset, FormatInfo, TemplateInfo},
    filter::policy_claims,
    params,
};

use crate::{
    ExporterError,
    catalog::{Loaded, rules},
    dataset::{Dataset, DatasetInfo},
    format::{Arrow, Compression, Csv, CsvZip, Format, Ndjson, Parquet, Tsv, Xlsx, XlsxZip},
    template::{Enveloped, Plain, Spreadsheet, Template},
};

/// The datasets, templates and formats that an exporter offers.
#[derive(Clone)]
pub struct Registry {
    /// The datasets, in the order of the catalog.
    pub datasets: Vec<Arc<dyn Dataset>>,
    /// The templates; the first one is the default.
    pub templates: Vec<Arc<dyn Template>>,
    /// The formats; the first one is the default.
    pub formats: Vec<Arc<dyn Format>>,
}

impl Registry {
    /// Returns a registry of the built-in templates and formats, without datasets. Datasets come from a catalog file or
    /// from Rust code.
    #[must_use]
    pub fn built_in() -> Self {
        Self {
            datasets: Vec::new(),
            templates: vec![Arc::new(Enveloped), Arc::new(Plain), Arc::new(Spreadsheet)],
            formats: vec![
                Arc::new(Csv),
                Arc::new(Tsv),
                Arc::new(Ndjson),
                Arc::new(Parquet),
                Arc::new(Arrow),
                Arc::new(Xlsx),
                Arc::new(XlsxZip),
                Arc::new(CsvZip),
            ],
        }
    }

    /// Returns a copy of the registry with the datasets and templates of a loaded catalog file. A template of the file
    /// replaces an earlier template with the same name.
    #[must_use]
    pub fn with(&self, loaded: Loaded) -> Self {
        let mut all = self.clone();
        all.datasets.extend(loaded.datasets);
        all.replace_templates(loaded.templates);
        all
    }

    /// Adds templates. An added template replaces an earlier template with the same name.
    pub(crate) fn replace_templates(&mut self, templates: Vec<Arc<dyn Template>>) {
        let is_replaced = |name: &str| templates.iter().any(|template| template.info().name == name);
        self.templates.retain(|template| !is_replaced(&template.info().name));
        self.templates.extend(templates);
    }

    /// Checks that dataset names are unique and that every dataset is safe to offer. For example, a dataset with a
    /// tenant column needs a row policy.
    ///
    /// # Errors
    /// Returns the first fault, with the name of its dataset.
    pub fn validate(&self) -> Result<(), ExporterError> {
        for (at, dataset) in self.datasets.iter().enumerate() {
            let info = dataset.info();
            let invalid = |fault: String| ExporterError::Dataset { name: info.name.clone(), fault };
            if self.datasets[..at].iter().any(|other| other.info().name == info.name) {
                return Err(invalid("another dataset has this name".into()));
            }
            rules::check(info).map_err(invalid)?;
        }
        Ok(())
    }

    /// Finds a dataset by its name.
    #[must_use]
    pub fn dataset(&self, name: &str) -> Option<&Arc<dyn Dataset>> {
        self.datasets.iter().find(|dataset| dataset.info().name == name)
    }

    /// Finds a template by its name.
    #[must_use]
    pub fn template(&self, name: &str) -> Option<&Arc<dyn Template>> {
        self.templates.iter().find(|template| template.info().name == name)
    }

    /// Finds a format by its name.
    #[must_use]
    pub fn format(&self, name: &str) -> Option<&Arc<dyn Format>> {
        self.formats.iter().find(|format| format.info().name == name)
    }

    /// Returns every compression that at least one format supports.
    fn compressions(&self) -> Vec<String> {
        let is_supported = |one: &Compression| self.formats.iter().any(|f| f.info().compressions.contains(one));
        Compression::ALL.iter().filter(|one| is_supported(one)).map(ToString::to_string).collect()
    }

    /// Returns the catalog entry that advertises a dataset to gateways. The entry lists only the templates that fit the
    /// dataset, and contains no row count.
    pub(crate) fn describe(&self, info: &DatasetInfo) -> CatalogDataset {
        let templates = self.templates.iter().filter_map(|template| {
            // skip a template that does not fit the dataset
            let columns = template.columns(info).ok()?;
            let (name, title) = (template.info().name.clone(), template.info().title.clone());
            Some(TemplateInfo { name, title, columns })
        });
        CatalogDataset {
            info: catalog::DatasetInfo {
                name: info.name.clone(),
                title: info.title.clone(),
                description: info.description.clone(),
                columns: info.columns.clone(),
                params: params::json_schema(&info.params),
                templates: templates.collect(),
                formats: self.formats.iter().map(|format| format.info().name.to_owned()).collect(),
                compressions: self.compressions(),
                formats_info: self.formats.iter().map(|format| format_info(format.as_ref())).collect(),
                rows_estimate: None,
                credits: info.credits,
            },
            param_specs: info.params.clone(),
            retention_seconds: info.retention.as_secs(),
            access: Access {
                policy_claims: Some(info.row_policy.as_ref().map(policy_claims).unwrap_or_default()),
                ..info.access.clone()
            },
            total_rows: None,
        }
    }
}

fn format_info(format: &dyn Format) -> FormatInfo {
    let info = format.info();
    FormatInfo {
        name: info.name.to_owned(),
        compressions: info.compressions.iter().map(ToString::to_string).collect(),
        media_type: info.media_type.to_owned(),
        extension: info.extension.to_owned(),
    }
}
