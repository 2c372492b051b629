//! What is wrong in a catalog file, where, and how to mend it.

use std::{fmt, path::Path};

use serde::Serialize;

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CatalogFault {
    /// The line in the file, from 1 on; None for what concerns no single line.
    pub line: Option<usize>,
    /// What it is about, such as `dataset sales`.
    pub what: String,
    /// What is wrong, and what would be right.
    pub detail: String,
}

/// All that is wrong in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
pub struct CatalogFaults {
    /// The file, as it was named.
    pub file: String,
    /// In the order of their lines.
    pub faults: Vec<CatalogFault>,
}

impl CatalogFaults {
    pub(crate) fn new(file: &Path, mut faults: Vec<CatalogFault>) -> Self {
        faults.sort_by_key(|fault| fault.line);
        Self { file: file.display().to_string(), faults }
    }
}

impl fmt::Display for CatalogFaults {
    /// One line for each fault, as compilers have them: `file:line: what: detail`.
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

/// The number of the line in which a byte stands.
pub(crate) fn line_of(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}
