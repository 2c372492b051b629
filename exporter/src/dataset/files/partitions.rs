//! Finds partition columns. Hive and Spark store the values of such a column in folder names of the form `name=value`.
//! Datasets do not offer these columns, and a note tells the operator so.

use std::collections::BTreeSet;

use polars::prelude::Schema;

use super::location::{ListedFile, Location};

/// The maximum number of partition columns that a note names.
const MAX_NAMES: usize = 8;

/// Returns a note that names the partition columns of the files; None if there are no partition columns. If the files
/// themselves have a column of the same name, the note omits it. `schema` has the columns of the files.
pub(super) fn note(location: &Location, files: &[ListedFile], schema: &Schema) -> Option<String> {
    // a single file without a pattern has no partitions, because the folders above it are part of its location
    let folders = files.iter().filter(|_| location.is_pattern()).filter_map(|file| file.name.rsplit_once('/'));
    let mut names = BTreeSet::new();
    for (path, _) in folders {
        names.extend(path.split('/').filter_map(|folder| folder.split_once('=')).map(|(name, _)| name));
    }
    names.retain(|name| !name.is_empty() && !schema.contains(name));
    let mut shown: Vec<_> = names.iter().take(MAX_NAMES).map(|name| format!("`{name}`")).collect();
    if shown.is_empty() {
        return None;
    }
    if names.len() > MAX_NAMES {
        shown.push("others".into());
    }
    Some(format!(
        "the folders of its files have values of {} that are not offered as columns: write them into the files",
        shown.join(", ")
    ))
}
