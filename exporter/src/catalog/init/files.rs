//! Finds the files of a folder, a bucket or an HTTP URL, and drafts a dataset for each set of files.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use futures::{StreamExt, stream};
use protocol::catalog::ColumnType;

use super::{
    super::source::{LoadContext, OpenSource},
    InitError, InitOptions,
    draft::{Draft, DraftColumn, DraftRows, Found, NotOffered},
    grouping::{Group, group, unknown},
    listing::Listing,
    names::humanized,
    sample::{SampleError, sample},
};
use crate::dataset::{CsvDialect, Dataset, DatasetError, DatasetInfo, FileKind, Files};

/// The maximum number of files that are opened at once.
const CONCURRENCY: usize = 4;
/// The time limit for guessing the types of the columns of text files. The guess reads all rows.
const SCAN_TIMEOUT: Duration = Duration::from_secs(15 * 60);
/// The delimiters that are tried if the usual delimiter of the file's extension gives a single column.
const DELIMITERS: [char; 4] = [';', '\t', '|', ','];
/// The maximum number of columns that one comment in the catalog file lists by name.
const MAX_NAMES: usize = 10;

/// The listed files of a source, with the settings and the opened source for reading them.
pub(super) struct Place<'a> {
    pub(super) context: &'a LoadContext,
    /// The opened bucket or HTTP endpoint; None for local files.
    pub(super) source: Option<OpenSource>,
    pub(super) listing: Listing,
}

/// A set of files that has been opened as one dataset.
struct Opened {
    files: Files,
    delimiter: Option<char>,
}

impl Opened {
    fn is_text(&self, kind: FileKind) -> bool {
        matches!(kind, FileKind::Csv(_) | FileKind::Ndjson) && !self.files.info().columns.is_empty()
    }
}

/// Groups the files of a source into sets, opens and samples each set, and returns the drafts of their datasets.
///
/// # Errors
///
/// When the source has no files.
pub(super) async fn find(place: &Place<'_>, options: &InitOptions) -> Result<Found, InitError> {
    let mut found = Found { not_offered: place.listing.left_out.clone(), ..Found::default() };
    let mut paths = Vec::new();
    for path in &place.listing.paths {
        match unknown(path) {
            None => paths.push(path.clone()),
            Some(reason) => found.not_offered.push(NotOffered::new(format!("file `{path}`"), reason)),
        }
    }
    for group in group(&paths, place.folder_name()) {
        let names: Vec<_> = group.names.iter().chain(&group.files).map(String::as_str).collect();
        if options.selects(&names) {
            place.draft_group(group, &mut found).await;
        }
    }
    Ok(found)
}

impl Place<'_> {
    fn folder_name(&self) -> &str {
        self.listing.folder.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or("files")
    }

    const fn is_local(&self) -> bool {
        self.source.is_none()
    }

    /// Returns the value of the key `files` in the catalog file. `below` is a path or pattern relative to the listed
    /// folder.
    fn key(&self, below: &str) -> String {
        let folder = &self.listing.folder;
        match folder.as_str() {
            "" => below.to_owned(),
            // an existing local folder may have any name, and a key with wildcards is a pattern
            folder if self.is_local() || !below.contains(['*', '?', '[']) => {
                format!("{}/{below}", folder.trim_end_matches('/'))
            }
            folder => format!("{}/{below}", glob::Pattern::escape(folder)),
        }
    }

    async fn draft_group(&self, group: Group, found: &mut Found) {
        let Some(kind) = FileKind::from_name(&group.files[0]) else { return };
        match self.draft(&group, kind).await {
            Ok(draft) => found.drafts.push(draft),
            Err(why) if group.files.len() > 1 && !group.is_partitioned => {
                let remark = format!(
                    "Its name differs from those of {} other files in numbers only, but {why}",
                    group.files.len() - 1
                );
                for path in &group.files {
                    let single = Group::single(path, self.folder_name());
                    match self.draft(&single, kind).await {
                        Ok(mut draft) => {
                            draft.remarks.insert(0, format!("{remark}: each file is a dataset."));
                            found.drafts.push(draft);
                        }
                        Err(reason) => found.not_offered.push(NotOffered::new(format!("file `{path}`"), reason)),
                    }
                }
            }
            Err(reason) => found.not_offered.push(NotOffered::new(subject(&group), reason)),
        }
    }

    /// Opens the files of a group, samples their rows, and returns the draft of their dataset.
    ///
    /// # Errors
    ///
    /// The reason why the group can't be one dataset.
    async fn draft(&self, group: &Group, kind: FileKind) -> Result<Draft, String> {
        let shared = if group.files.len() > 1 { Some(self.shared_columns(group, kind).await?) } else { None };
        let files = self.key(&group.pattern);
        let opened = self.open(&files, kind).await.map_err(|e| e.to_string())?;
        let info = opened.files.info();
        let declares_types = opened.is_text(kind);
        let is_shared = |name: &str| !declares_types || shared.as_ref().is_none_or(|shared| shared.contains(name));
        let mut remarks: Vec<_> = origin(group, self.is_local()).into_iter().collect();
        remarks.extend(info.notes.iter().map(|note| format!("Note: {note}.")));
        let lost: Vec<_> = info.columns.iter().filter(|column| !is_shared(&column.name)).collect();
        if !lost.is_empty() {
            let names: Vec<_> = lost.iter().take(MAX_NAMES).map(|column| format!("`{}`", column.name)).collect();
            let more = if lost.len() > MAX_NAMES { " and others" } else { "" };
            remarks.push(format!("Not offered, because some of the files lack them: {}{more}.", names.join(", ")));
        }
        if declares_types {
            remarks.push("The types are those that keep every value of all rows unchanged.".into());
        }
        if let Some(delimiter) = opened.delimiter {
            remarks
                .push(format!("Guess: its fields are separated by {delimiter:?}, because that gives several columns."));
        }
        let columns = info.columns.iter().filter(|column| is_shared(&column.name)).map(|column| DraftColumn {
            declares_type: declares_types,
            meaning: info.text_meanings.get(&column.name).copied(),
            ..DraftColumn::of(column)
        });
        let mut draft = Draft {
            names: group.names.clone(),
            subject: subject(group),
            title: humanized(&group.names[0]),
            description: None,
            rows: DraftRows::Files { files, delimiter: opened.delimiter },
            remarks,
            columns: columns.collect(),
            split_by: None,
        };
        if draft.columns.is_empty() {
            return Err("it has no columns that all of its files have".into());
        }
        match sample(&opened.files).await {
            Ok(values) => draft.guess(&values),
            Err(SampleError::Slow) => draft.guess_by_names(),
            Err(SampleError::Failed(e)) => return Err(format!("its rows can't be read: {e}")),
        }
        Ok(draft)
    }

    /// Opens the files of a group one by one, and returns the names of the columns that all opened files have. Of
    /// remote files, opens only the first and the last, because opening a remote file copies it.
    ///
    /// # Errors
    ///
    /// The reason why the files can't be one dataset: a file can't be read, or its columns differ from those of the
    /// first file. In partition folders, the columns may differ.
    async fn shared_columns(&self, group: &Group, kind: FileKind) -> Result<BTreeSet<String>, String> {
        let ends = [&group.files[0], &group.files[group.files.len() - 1]];
        let opened: Vec<&String> = if self.is_local() { group.files.iter().collect() } else { ends.to_vec() };
        let opening = opened.iter().map(|path| async move {
            let opened = self.open(&self.key(path), kind).await.map_err(|e| format!("`{path}` can't be read ({e})"))?;
            let typed = |column: &protocol::catalog::Column| {
                // the types of text files are guessed from their rows, and one file may have fewer kinds of values
                let kind = if opened.is_text(kind) { ColumnType::String } else { column.kind };
                (column.name.clone(), format!("{kind:?}"))
            };
            Ok(opened.files.info().columns.iter().map(typed).collect::<BTreeSet<_>>())
        });
        let mut columns = stream::iter(opening).buffered(CONCURRENCY);
        let mut shared: Option<BTreeSet<_>> = None;
        let mut at = 0;
        while let Some(found) = columns.next().await {
            let found: Result<BTreeSet<(String, String)>, String> = found;
            let found = found?;
            shared = Some(match shared {
                None => found,
                Some(shared) if group.is_partitioned => shared.intersection(&found).cloned().collect(),
                Some(shared) if shared == found => shared,
                Some(_) => return Err(format!("the columns of `{}` differ from those of `{}`", opened[at], opened[0])),
            });
            at += 1;
        }
        Ok(shared.unwrap_or_default().into_iter().map(|(name, _)| name).collect())
    }

    /// Opens files as one dataset, and waits until the types of their columns are known. Tries other delimiters if the
    /// usual delimiter of the file's extension seems wrong.
    async fn open(&self, files: &str, kind: FileKind) -> Result<Opened, DatasetError> {
        let refused = match self.open_as(files, kind).await {
            Ok(opened) => return Ok(Opened { files: opened, delimiter: None }),
            Err(e) => e,
        };
        let FileKind::Csv(usual) = kind else { return Err(refused) };
        if !is_about_form(&refused) {
            return Err(refused);
        }
        for delimiter in DELIMITERS.into_iter().filter(|other| *other != char::from(usual.delimiter)) {
            let dialect = CsvDialect { delimiter: delimiter as u8, is_declared: true, ..usual };
            if let Ok(opened) = self.open_as(files, FileKind::Csv(dialect)).await
                && opened.info().columns.len() > 1
            {
                return Ok(Opened { files: opened, delimiter: Some(delimiter) });
            }
        }
        Err(refused)
    }

    async fn open_as(&self, files: &str, kind: FileKind) -> Result<Files, DatasetError> {
        let give_up = Instant::now() + SCAN_TIMEOUT;
        loop {
            let location = self.context.location(files.to_owned(), self.source.clone());
            let location = location.ok_or_else(|| DatasetError::NoFile(files.to_owned()))?;
            match Files::open(location, kind, DatasetInfo::new("sample", Vec::new())).await {
                // each call waits some seconds for the scan, which continues meanwhile
                Err(DatasetError::Scanning) if Instant::now() < give_up => {}
                opened => return opened,
            }
        }
    }
}

fn subject(group: &Group) -> String {
    match group.files.len() {
        1 => format!("file `{}`", group.files[0]),
        _ => format!("files `{}`", group.pattern),
    }
}

/// Returns a sentence that says which files belong to the dataset, and why. `is_local` is true if the columns of all
/// files were compared, and false if only those of the first and the last remote file were. Returns None for a single
/// file.
fn origin(group: &Group, is_local: bool) -> Option<String> {
    let (first, last) = (&group.files[0], &group.files[group.files.len() - 1]);
    let compared = if is_local { "" } else { "; the first and the last were compared" };
    match group.files.len() {
        1 if !group.is_partitioned => None,
        count if group.is_partitioned => {
            Some(format!("Guess: {count} files of partition folders are one dataset, `{first}` to `{last}`{compared}."))
        }
        count => Some(format!(
            "Guess: {count} files whose names differ in numbers only and whose columns agree are one dataset, `{first}` to \
             `{last}`{compared}. A new file that fits the pattern belongs to it."
        )),
    }
}

/// Whether an error may mean that the file has another delimiter than the usual one for its extension.
fn is_about_form(error: &DatasetError) -> bool {
    match error {
        DatasetError::Shared(inner) => is_about_form(inner),
        DatasetError::InFile { source, .. } | DatasetError::AtLine { source, .. } => is_about_form(source),
        DatasetError::Undeclared(_) | DatasetError::Fields { .. } => true,
        _ => false,
    }
}
