//! What this exporter offers: one list of datasets, one of templates, one of formats.
//!
//! To offer more, implement [`Dataset`], [`Template`] or [`Format`] in a file of its own and add it to
//! [`Registry::standard`].

use std::{path::Path, sync::Arc};

use protocol::{
    catalog::{CatalogDataset, Column, ColumnType, DatasetInfo, FormatInfo, TemplateInfo},
    params,
};
use sea_orm::DatabaseConnection;
use tracing::warn;

use crate::{
    ExporterError,
    catalog::{Loaded, rules},
    dataset::{Dataset, MenuCategoryCounts, ParquetFile, Table},
    format::{Compression, Csv, CsvZip, Format, Ndjson, Parquet, Tsv, Xlsx, XlsxZip},
    template::{Plain, Spreadsheet, Template},
};

/// The parts that exports are made of. The first template and the first format are the default ones.
#[derive(Clone)]
pub struct Registry {
    /// Sources of rows.
    pub datasets: Vec<Arc<dyn Dataset>>,
    /// Layouts.
    pub templates: Vec<Arc<dyn Template>>,
    /// Kinds of files.
    pub formats: Vec<Arc<dyn Format>>,
}

impl Registry {
    /// Everything that comes with Sluice. Files are offered when they are in `datasets_dir`; tables are read from `db`,
    /// which should be [`crate::Deps::reads`].
    #[must_use]
    pub fn standard(datasets_dir: &Path, db: &DatabaseConnection) -> Self {
        let file = |name, title, description| parquet(datasets_dir, name, title, description);
        let table = |name, title, description, columns: &[Column]| -> Option<Arc<dyn Dataset>> {
            Some(Arc::new(Table::new(db.clone(), name, title, description, columns.to_vec(), "id")))
        };
        let id = Column { nullable: false, ..Column::new("id", ColumnType::Int) };
        let key = |name: &str| Column { nullable: false, ..Column::new(name, ColumnType::Int) };
        let text = |name: &str| Column::new(name, ColumnType::String);

        let datasets = [
            file("flights", "US flights", "Three million domestic flights in the United States in 2001"),
            file("lineitem", "Order lines", "The lines of all orders, as in the TPC-H benchmark"),
            file("orders", "Orders", "All orders, as in the TPC-H benchmark"),
            table("menus", "Menus", "Training menus", &[id.clone(), text("name"), text("category")]),
            table("muscles", "Muscles", "Muscles that menus train", &[id.clone(), text("name")]),
            table(
                "muscle_menus",
                "Muscles of menus",
                "Which menu trains which muscle",
                &[id, key("muscle_id"), key("menu_id")],
            ),
            Some(Arc::new(MenuCategoryCounts::new(db.clone())) as Arc<dyn Dataset>),
        ];
        Self {
            datasets: datasets.into_iter().flatten().collect(),
            templates: vec![Arc::new(Plain), Arc::new(Spreadsheet)],
            formats: vec![
                Arc::new(Csv),
                Arc::new(Tsv),
                Arc::new(Ndjson),
                Arc::new(Parquet),
                Arc::new(Xlsx),
                Arc::new(XlsxZip),
                Arc::new(CsvZip),
            ],
        }
    }

    /// The same with what a catalog file says besides; of two templates with one name the file's counts.
    #[must_use]
    pub fn with(&self, loaded: Loaded) -> Self {
        let mut all = self.clone();
        all.datasets.extend(loaded.datasets);
        let replaced = |name: &str| loaded.templates.iter().any(|template| template.name() == name);
        all.templates.retain(|template| !replaced(template.name()));
        all.templates.extend(loaded.templates);
        all
    }

    /// Checks what no type can: that names are there once, and that nobody's rows are offered to others.
    ///
    /// # Errors
    /// The first fault, with the dataset's name.
    pub fn validate(&self) -> Result<(), ExporterError> {
        for (at, dataset) in self.datasets.iter().enumerate() {
            let name = dataset.name();
            if self.datasets[..at].iter().any(|other| other.name() == name) {
                return Err(ExporterError::Dataset {
                    name: name.into(),
                    fault: "another dataset has this name".into(),
                });
            }
            rules::check(dataset.as_ref()).map_err(|fault| ExporterError::Dataset { name: name.into(), fault })?;
        }
        Ok(())
    }

    /// The dataset of this name.
    #[must_use]
    pub fn dataset(&self, name: &str) -> Option<&Arc<dyn Dataset>> {
        self.datasets.iter().find(|dataset| dataset.name() == name)
    }

    /// The template of this name.
    #[must_use]
    pub fn template(&self, name: &str) -> Option<&Arc<dyn Template>> {
        self.templates.iter().find(|template| template.name() == name)
    }

    /// The format of this name.
    #[must_use]
    pub fn format(&self, name: &str) -> Option<&Arc<dyn Format>> {
        self.formats.iter().find(|format| format.name() == name)
    }

    /// The datasets as they are advertised; `rows` tells about how many rows each has, by its name.
    pub fn catalog(&self, rows: impl Fn(&str) -> Option<u64>) -> Vec<CatalogDataset> {
        self.datasets.iter().map(|dataset| self.entry(dataset.as_ref(), rows(dataset.name()))).collect()
    }

    /// The compressions that any of the formats has.
    fn compressions(&self) -> Vec<String> {
        let any = |one: &Compression| self.formats.iter().any(|format| format.compressions().contains(one));
        Compression::ALL.iter().filter(|one| any(one)).map(ToString::to_string).collect()
    }

    fn entry(&self, dataset: &dyn Dataset, rows: Option<u64>) -> CatalogDataset {
        let templates = self.templates.iter().filter(|template| template.fits(dataset));
        CatalogDataset {
            info: DatasetInfo {
                name: dataset.name().to_owned(),
                title: dataset.title().to_owned(),
                description: dataset.description().to_owned(),
                columns: dataset.columns().to_vec(),
                params: params::json_schema(dataset.params()),
                templates: templates
                    .map(|template| TemplateInfo {
                        name: template.name().into(),
                        title: template.title().into(),
                        columns: template.columns(dataset),
                    })
                    .collect(),
                formats: self.formats.iter().map(|format| format.name().to_owned()).collect(),
                compressions: self.compressions(),
                formats_info: self.formats.iter().map(|format| info_of(format.as_ref())).collect(),
                // how many rows others have is nobody's business
                rows_estimate: rows.filter(|_| dataset.row_policy().is_none()),
                credits: dataset.credits(),
            },
            param_specs: dataset.params().to_vec(),
            retention_s: dataset.retention().as_secs(),
            access: dataset.access(),
            rows_in_all: rows,
        }
    }
}

fn info_of(format: &dyn Format) -> FormatInfo {
    FormatInfo {
        name: format.name().to_owned(),
        compressions: format.compressions().iter().map(ToString::to_string).collect(),
        media_type: format.media_type().to_owned(),
        extension: format.extension().to_owned(),
    }
}

/// `<name>.parquet` in the folder, if it is there and can be read.
fn parquet(
    folder: &Path,
    name: &'static str,
    title: &'static str,
    description: &'static str,
) -> Option<Arc<dyn Dataset>> {
    let path = folder.join(format!("{name}.parquet"));
    if !path.is_file() {
        return None;
    }
    match ParquetFile::open(&path, name, title, description) {
        Ok(dataset) => Some(Arc::new(dataset)),
        Err(e) => {
            warn!(dataset.name = name, dataset.path = %path.display(), error = %e, "a dataset is not offered");
            None
        }
    }
}
