//! Defines the faults of a catalog file. Each has its line in the file, and a hint for its correction.

use std::{fmt, path::Path};

use serde::Serialize;

/// One fault of a catalog file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CatalogFault {
    /// The line number in the file, from 1; None for a fault of the whole file.
    pub line: Option<usize>,
    /// The subject of the fault, such as `dataset sales`.
    pub what: String,
    /// A sentence that describes the fault and its correction.
    pub detail: String,
}

/// All faults of a catalog file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
pub struct CatalogFaults {
    /// The path of the catalog file, as in the settings or on the command line.
    pub file: String,
    /// The faults, in the order of their lines.
    pub faults: Vec<CatalogFault>,
}

impl CatalogFaults {
    pub(crate) fn new(file: &Path, mut faults: Vec<CatalogFault>) -> Self {
        faults.sort_by_key(|fault| fault.line);
        Self { file: file.display().to_string(), faults }
    }
}

impl fmt::Display for CatalogFaults {
    /// Writes one line for each fault in the form of compilers: `file:line: what: detail`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, fault) in self.faults.iter().enumerate() {
            let end = if at == 0 { "" } else { "\n" };
            match fault.line {
                Some(line) => write!(f, "{end}{}:{line}: {}: {}", self.file, fault.what, fault.detail)?,
                None => write!(f, "{end}{}: {}: {}", self.file, fault.what, fault.detail)?,
            }
        }
        Ok(())
    }
}

/// Why the exporter does not offer a dataset.
pub(super) enum Refusal {
    /// The catalog file has a fault. The fields are the byte position of the fault in the file, and the text of the
    /// fault.
    Fault(usize, String),
    /// The source differs from its declaration in the catalog file. The fields are the byte position of the declaration
    /// in the file, and a text that describes the difference.
    Differs(usize, String),
    /// The source can't be read at present. The field is the reason.
    Unavailable(String),
}

/// Returns the number, from 1, of the line that contains the byte `at` of a text.
pub(crate) fn line_of(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}
