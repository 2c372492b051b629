//! `sluice up SOURCE`: writes a catalog file for the source into the data folder, or keeps the file of an earlier start.

use std::{collections::BTreeMap, fs, io::ErrorKind, path::PathBuf};

use exporter::{
    ExporterConfig,
    catalog::{
        LoadContext,
        init::{Address, InitError, InitOptions, init, reads},
    },
};
use platform::secret::Secret;

use super::{
    data_dir::{DataDir, write_private},
    error::UpError,
};
use crate::{init_summary::summary, output};

/// The catalog file of a source, and the secrets that it names.
#[derive(Debug)]
pub(super) struct SourceCatalog {
    pub(super) path: PathBuf,
    /// The URL of the source, by the name of the environment variable in the catalog file.
    pub(super) secrets: BTreeMap<String, Secret>,
}

/// Returns the catalog file of a source in the data folder. Writes the file if there is none.
///
/// # Errors
/// When the source can't be read, or the file of an earlier start reads another source.
pub(super) async fn prepare(dir: &DataDir, source: &Secret) -> Result<SourceCatalog, UpError> {
    let failed = |e: InitError| UpError::CatalogInit(Box::new(e));
    let mut address = Address::parse(source.expose()).map_err(failed)?;
    let path = dir.catalog();
    let config = ExporterConfig { datasets_dir: dir.datasets(), ..ExporterConfig::default() };
    let context = LoadContext::new(&config);
    let shown = dir.named().join(path.file_name().unwrap_or_default()).display().to_string();
    match fs::read_to_string(&path) {
        Ok(text) => {
            let (is_read, variable) =
                reads(&path, &text, &address, &context).map_err(|faults| failed(InitError::Existing(faults)))?;
            if !is_read {
                return Err(UpError::OtherSource(shown.into()));
            }
            if let (Address::Postgres(postgres), Some(variable)) = (&mut address, variable) {
                postgres.variable = variable;
            }
            output::note(&format!(
                "{shown} is kept; `sluice catalog init SOURCE -o {shown} --update` adds what is new"
            ));
        }
        Err(e) if e.kind() == ErrorKind::NotFound => {
            let written = init(&address, &InitOptions::default(), &context, &path, None).await.map_err(failed)?;
            write_private(&path, &written.text)?;
            output::note(summary(&shown, &written.report).trim_end());
        }
        Err(e) => return Err(UpError::file(&path)(e)),
    }
    let secrets = match address {
        Address::Postgres(postgres) => BTreeMap::from([(postgres.variable, postgres.url)]),
        _ => BTreeMap::new(),
    };
    Ok(SourceCatalog { path, secrets })
}
