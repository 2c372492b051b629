//! `sluice catalog preview`: prints rows of a dataset as an export would write them.

use std::{
    io::{self, Write},
    path::Path,
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;
use exporter::{
    Registry,
    catalog::{LoadContext, load},
    dataset::{Dataset, Query},
    error::JobError,
    format::{Compression, FormatError},
    pipeline::{Pipeline, PipelineLimits},
    progress::Meter,
    segment::SegmentSink,
};
use platform::clock::{Clock, SystemClock};
use protocol::{
    delivery::Segment,
    filter::{self, Filter},
    params,
    problem::FieldError,
};
use serde_json::Map;

use super::CommandError;
use crate::{cli::CatalogPreviewOptions, output, settings::Settings};

/// The reason why the rows of a dataset can't be printed.
#[derive(Debug, thiserror::Error)]
pub enum PreviewError {
    /// The catalog file has faults.
    #[error(transparent)]
    Catalog(#[from] exporter::catalog::CatalogFaults),
    /// No dataset, template or format has the name on the command line.
    #[error("there is no {part} `{name}`; there are: {names}")]
    Missing {
        /// The kind of the part: `dataset`, `template` or `format`.
        part: &'static str,
        /// The name on the command line.
        name: String,
        /// The names of all parts of this kind.
        names: String,
    },
    /// The source of the dataset can't be read now, or differs from the catalog file.
    #[error("dataset `{0}`: {1}")]
    Unavailable(String, String),
    /// A filter, a parameter or a column does not fit the dataset.
    #[error("{}", fields(.0))]
    Fields(Vec<FieldError>),
    /// The source or the format failed.
    #[error(transparent)]
    Failed(#[from] Box<JobError>),
}

/// Prints rows of a dataset to standard output. The access rules of the dataset do not apply.
///
/// # Errors
/// When the catalog file is invalid, an option does not fit the dataset, or the source can't be read.
pub async fn preview(options: &CatalogPreviewOptions, settings: &Settings) -> Result<(), CommandError> {
    let configured = Some(&settings.exporter.catalog).filter(|file| !file.as_os_str().is_empty());
    let file = options.file.as_ref().or(configured).ok_or(CommandError::NoCatalog)?;
    Ok(print_rows(options, settings, file).await.map_err(Box::new)?)
}

async fn print_rows(options: &CatalogPreviewOptions, settings: &Settings, file: &Path) -> Result<(), PreviewError> {
    let base = Registry::built_in();
    let loaded = load(file, &LoadContext::new(&settings.exporter), &base).await?;
    let unavailable = loaded.unavailable.iter().find(|(name, _)| *name == options.dataset);
    if let Some((name, reason)) = unavailable {
        return Err(PreviewError::Unavailable(name.clone(), reason.clone()));
    }
    let registry = base.with(loaded);
    let datasets = registry.datasets.iter().map(|dataset| dataset.info().name.clone());
    let dataset = registry.dataset(&options.dataset).ok_or_else(|| missing("dataset", &options.dataset, datasets))?;
    let templates = registry.templates.iter().map(|template| template.info().name.clone());
    let name = options.template.as_deref().unwrap_or("plain");
    let template = registry.template(name).ok_or_else(|| missing("template", name, templates))?;
    let formats = registry.formats.iter().map(|format| format.info().name.to_owned());
    let format = registry.format(&options.format).ok_or_else(|| missing("format", &options.format, formats))?;

    for note in &dataset.info().notes {
        output::note(&format!("note: {note}"));
    }
    let failed = |error: JobError| PreviewError::Failed(Box::new(error));
    let mut layout = template.layout(dataset.info(), &options.columns).map_err(|e| failed(e.into()))?;
    layout.timestamps = format.info().timestamps(layout.timestamps);
    let limits = PipelineLimits::from(&settings.exporter);
    let query = query(options, dataset.as_ref(), layout.inputs().to_vec())?;
    let opened = dataset.open(&query).await.map_err(|e| failed(e.into()))?;
    let clock = SystemClock;
    let requested_at = clock.now().into();
    let pipeline = Pipeline {
        frames: opened.frames,
        encoding: format.encoding(&layout, Compression::None, &limits.format).map_err(|e| failed(e.into()))?,
        layout: Arc::new(layout),
        compression: Compression::None,
        requested_at,
        meter: Arc::new(Meter::start()),
        limits,
        sink: &Stdout,
        clock: Arc::new(clock),
    };
    let file = pipeline.run().await.map_err(failed)?;
    if !options.all && options.limit == file.seal.rows {
        output::note(&format!("the first {} rows; --all prints every row", output::grouped(file.seal.rows)));
    }
    Ok(())
}

/// Checks the filter and the parameters of the command line against the dataset.
fn query(options: &CatalogPreviewOptions, dataset: &dyn Dataset, columns: Vec<String>) -> Result<Query, PreviewError> {
    let info = dataset.info();
    let given = options.param.iter().cloned().collect::<Map<_, _>>();
    let params = params::check(&info.params, &given).map_err(PreviewError::Fields)?;
    let filter = match &options.filter {
        None => Filter::all(),
        Some(filter) => filter::parse(filter, &info.columns).map_err(PreviewError::Fields)?,
    };
    Ok(Query { columns, filter, params, limit: (!options.all).then_some(options.limit) })
}

fn missing(part: &'static str, name: &str, names: impl Iterator<Item = String>) -> PreviewError {
    let names = names.collect::<Vec<_>>().join(", ");
    let names = if names.is_empty() { "none".to_owned() } else { names };
    PreviewError::Missing { part, name: name.to_owned(), names }
}

fn fields(errors: &[FieldError]) -> String {
    errors.iter().map(|error| format!("{}: {}", error.pointer, error.detail)).collect::<Vec<_>>().join("; ")
}

/// Writes the segments of the file to standard output.
struct Stdout;

#[async_trait]
impl SegmentSink for Stdout {
    async fn store(&self, _: &Segment, chunks: Vec<Bytes>) -> Result<(), JobError> {
        let write = || {
            let mut out = io::stdout().lock();
            chunks.iter().try_for_each(|chunk| out.write_all(chunk))?;
            out.flush()
        };
        Ok(write().map_err(FormatError::Spool)?)
    }
}
