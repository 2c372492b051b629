//! Converts the command line to a request for an export.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
};

use protocol::{
    client::{Deliver, ExportCreate},
    export::ExportRequest,
};
use uuid::Uuid;

use super::error::ExportError;
use crate::cli::{ExportOptions, RequestOptions};

/// The extensions of files, each with its format.
const EXTENSIONS: [(&str, &str); 7] = [
    ("csv", "csv"),
    ("tsv", "tsv"),
    ("ndjson", "ndjson"),
    ("parquet", "parquet"),
    ("xlsx", "xlsx"),
    ("arrows", "arrow"),
    ("arrow", "arrow"),
];

/// Creates the request with a new idempotency key, so that a repeated request after a broken connection creates no
/// second export.
pub(super) fn create(options: &ExportOptions) -> ExportCreate {
    let (format, compression) = requested_format(options);
    let ExportRequest { dataset, template, filter, columns, params, time_zone, .. } =
        request(&options.dataset, &options.request);
    ExportCreate {
        dataset,
        template,
        format,
        compression,
        filter,
        columns,
        params,
        time_zone,
        idempotency_key: Some(Uuid::new_v4().to_string()),
        deliver: Deliver::Stream,
        window: Some(options.window),
    }
}

/// Converts the options to an export request of this dataset.
pub(crate) fn request(dataset: &str, options: &RequestOptions) -> ExportRequest {
    let parameters = (!options.param.is_empty()).then(|| options.param.iter().cloned().collect());
    ExportRequest {
        dataset: dataset.to_owned(),
        template: options.template.clone(),
        format: options.format.clone(),
        compression: options.compression.clone(),
        filter: options.filter.clone(),
        columns: options.columns.clone(),
        params: options.params.clone().or(parameters),
        time_zone: options.time_zone.clone(),
    }
}

/// Returns the format and the compression of the options. Without these options, the extensions of the output file
/// decide, such as `.xlsx` and `.csv.gz`.
fn requested_format(options: &ExportOptions) -> (Option<String>, Option<String>) {
    let name = options.output.as_deref().and_then(Path::file_name).and_then(OsStr::to_str).unwrap_or_default();
    let name = name.to_lowercase();
    let (name, compression) = match name.rsplit_once('.') {
        Some((name, "gz")) => (name, Some("gzip")),
        Some((name, "zst")) => (name, Some("zstd")),
        _ => (name.as_str(), None),
    };
    let extension = name.rsplit_once('.').map(|(_, extension)| extension);
    let format = EXTENSIONS.iter().find(|(known, _)| Some(*known) == extension).map(|(_, format)| *format);
    (
        options.request.format.clone().or(format.map(str::to_owned)),
        options.request.compression.clone().or(compression.map(str::to_owned)),
    )
}

/// Returns the file to write, or `None` for standard output. A file that the user did not name is never overwritten.
pub(super) fn target(options: &ExportOptions) -> Result<Option<PathBuf>, ExportError> {
    match &options.output {
        Some(path) if path == Path::new("-") => Ok(None),
        Some(path) => Ok(Some(path.clone())),
        None => {
            let path = PathBuf::from(file_name(options));
            if path.exists() { Err(ExportError::Exists(path)) } else { Ok(Some(path)) }
        }
    }
}

fn file_name(options: &ExportOptions) -> String {
    let plain = |c: char| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '_' };
    let dataset: String = options.dataset.chars().map(plain).collect();
    let format = options.request.format.as_deref().unwrap_or("csv");
    let compression = match options.request.compression.as_deref() {
        None | Some("none") => "",
        Some("gzip") => ".gz",
        Some("zstd") => ".zst",
        Some(_) => ".compressed",
    };
    // an Arrow file is compressed inside, so its name has no suffix
    if format == "arrow" {
        return format!("{dataset}.arrows");
    }
    format!("{dataset}.{format}{compression}")
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::*;
    use crate::cli::{Cli, Command};

    fn options(args: &[&str]) -> ExportOptions {
        match Cli::parse_from(["sluice", "export"].iter().chain(args)).command {
            Command::Export(options) => *options,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_request_carries_the_options_and_a_new_idempotency_key() {
        let zone = ["--time-zone", "Europe/Berlin"];
        let options =
            options(&[&["flights", "--columns", "date,delay", "--param", "a=1", "--param", "b=x"], &zone[..]].concat());
        let create = create(&options);
        assert_eq!(create.time_zone.as_deref(), Some("Europe/Berlin"));
        assert_eq!(create.columns, Some(vec!["date".into(), "delay".into()]));
        assert_eq!(create.params.map(serde_json::Value::Object), Some(json!({"a": 1, "b": "x"})));
        assert_eq!((create.deliver, create.window), (Deliver::Stream, Some(4 << 20)));
        assert_ne!(create.idempotency_key, super::create(&options).idempotency_key);
    }

    #[test]
    fn the_extensions_of_the_file_choose_format_and_compression() {
        let requested = |args: &[&str]| {
            let create = create(&options(args));
            (create.format.unwrap_or_default(), create.compression.unwrap_or_default())
        };
        let pair = |format: &str, compression: &str| (format.to_owned(), compression.to_owned());
        assert_eq!(requested(&["flights", "-o", "out/Flights.XLSX"]), pair("xlsx", ""));
        assert_eq!(requested(&["flights", "-o", "flights.ndjson.zst"]), pair("ndjson", "zstd"));
        assert_eq!(requested(&["flights", "-o", "flights.arrows"]), pair("arrow", ""));
        assert_eq!(requested(&["flights", "-o", "flights.gz"]), pair("", "gzip"));
        assert_eq!(requested(&["flights", "-o", "flights.txt"]), pair("", ""));
        let options = ["flights", "-o", "a.csv.gz", "--format", "tsv", "--compression", "none"];
        assert_eq!(requested(&options), pair("tsv", "none"));
    }

    #[test]
    fn the_default_file_is_named_after_the_dataset_in_the_current_folder() {
        assert_eq!(file_name(&options(&["flights"])), "flights.csv");
        assert_eq!(file_name(&options(&["../a b", "--format", "ndjson", "--compression", "gzip"])), ".._a_b.ndjson.gz");
        assert_eq!(target(&options(&["flights", "-o", "-"])).unwrap(), None);
        assert_eq!(target(&options(&["flights", "-o", "x/y.csv"])).unwrap(), Some("x/y.csv".into()));
    }
}
