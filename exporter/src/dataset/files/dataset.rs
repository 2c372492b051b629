//! Implements the dataset that reads one or many files of one format.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use async_trait::async_trait;
use polars::prelude::{Column as PolarsColumn, DataFrame, DataType, Schema, SchemaRef};
use tokio::runtime::Handle;

use super::{
    super::{
        Dataset, DatasetError, DatasetInfo, OpenedQuery, Precision, Query, RowCount, frame_builder::dtype,
        frame_channel, frame_channel::LimitedSender,
    },
    FileKind, Location, RowFilter, arrow,
    column_types::column_type,
    csv,
    file_version::FileVersion,
    first_file::{FirstFile, check_headers, leave_out_differing, read_schema},
    location::ListedFile,
    ndjson,
    offered::Offered,
    parquet, partitions,
    scan::{self, Found},
    type_mapping::{TextForm, TypeMapping},
    widen::{self, Widened},
};

/// A dataset that reads one or many files of one format. An operator may replace a file by renaming another file over
/// it. A running export has opened the replaced file, and continues to read it.
#[derive(Clone, Debug)]
pub struct Files {
    info: DatasetInfo,
    location: Arc<Location>,
    kind: FileKind,
    /// The types to which the columns of each file are cast. For Parquet and Arrow IPC, these are the types in the
    /// first file, widened to hold the numbers and timestamps of all local files. For text files, these are the
    /// declared types, or the types guessed from all files.
    schema: SchemaRef,
    /// The text form, such as JSON, to which the values of a column are converted, by the name of the column. The map
    /// has only the columns whose values need such a conversion. It is empty for text files.
    text_forms: Arc<BTreeMap<String, TextForm>>,
    /// The names of the columns that some of the files lack. None if the catalog file declares the columns, and for
    /// Parquet and Arrow IPC files.
    optional: Option<Arc<BTreeSet<String>>>,
    /// The names of all columns of all files at the time when the catalog was loaded. None for text files, and if the
    /// catalog file declares the columns. Also None for several remote files, because the load of the catalog reads
    /// only the first of them.
    known: Option<Arc<BTreeSet<String>>>,
    /// The local files that prevent the dataset from offering a column: such a file lacks the column, or has it in an
    /// unsupported or incompatible type. Each file has its version at the time when the catalog was loaded.
    withheld_by: Arc<[(PathBuf, FileVersion)]>,
    /// The number of rows in the file of the dataset. None if the dataset has several files, or if its file does not
    /// record the number.
    rows: Option<u64>,
    /// Whether an export has found that the files are newer than the loaded catalog. An export finds this by a new or
    /// missing column, by a value that does not fit the type of its column, or by a change of a file in `withheld_by`.
    outdated: Arc<AtomicBool>,
}

impl Files {
    /// Opens the files at `location` as a dataset, and reads the schema of the first file. The columns of `info` are
    /// the declared columns. If `info` has no columns, the dataset offers all supported columns.
    ///
    /// Declared types apply to text files only. Parquet and Arrow IPC files have their own types. If the columns of
    /// text files are not declared, this function reads all files completely, and guesses the type of each column.
    ///
    /// # Errors
    /// When there is no file, the first file can't be read, or a file lacks a declared column. This function looks for
    /// declared columns in all local files, but only in the first of several remote files, and not in NDJSON files.
    ///
    /// [`DatasetError::Scanning`] if reading all text files takes more than ten seconds. A later call may then succeed.
    pub async fn open(location: Location, kind: FileKind, info: DatasetInfo) -> Result<Self, DatasetError> {
        let location = Arc::new(location);
        let names = location.list().await?;
        let first = names.first().ok_or_else(|| DatasetError::NoFile(location.to_string()))?;
        let mut info = info;
        if kind.is_text() && info.columns.is_empty() {
            let Found { columns, optional, notes } = scan::find(&location, kind, scan::MAX_WAIT).await?;
            let schema: Schema =
                columns.iter().map(|column| (column.name.as_str().into(), dtype(column.kind))).collect();
            info.notes.extend(notes.into_iter().chain(partitions::note(&location, &names, &schema)));
            return Ok(Self {
                info: DatasetInfo { columns, ..info },
                location,
                kind,
                schema: Arc::new(schema),
                text_forms: Arc::default(),
                known: None,
                optional: Some(Arc::new(optional)),
                withheld_by: Arc::default(),
                rows: None,
                outdated: Arc::default(),
            });
        }
        let file = location.fetch(&first.name).await?;
        let first_version = FileVersion::of(&file)?;
        let (dataset, declared) = (info.name.clone(), info.columns.clone());
        let reading = tokio::task::spawn_blocking(move || read_schema(&dataset, file, kind, &declared));
        let FirstFile { columns, mapping, rows, notes } = reading.await?.map_err(|e| e.in_file(&first.name))?;
        info.notes.extend(notes.into_iter().chain(partitions::note(&location, &names, &mapping.schema)));
        let is_declared = !info.columns.is_empty();
        info.columns = columns;
        let (nulls, lacks_types) = (mapping.nulls.clone(), !mapping.unsupported.is_empty());
        if let FileKind::Csv(dialect) = kind
            && location.is_local()
        {
            let (columns, others) = (info.columns.clone(), names[1..].to_vec());
            tokio::task::spawn_blocking(move || check_headers(&columns, &others, dialect)).await??;
        }
        let mut widened = Widened::new(mapping.clone());
        if !kind.is_text() && location.is_local() && names.len() > 1 {
            let others = names[1..].to_vec();
            widened = tokio::task::spawn_blocking(move || widen::by_all_footers(mapping, &others, kind)).await?;
            leave_out_differing(&mut info, &widened, is_declared)?;
            for column in info.columns.iter_mut().filter(|column| nulls.contains(&column.name)) {
                if let Some((dtype, kind)) =
                    widened.schema.get(&column.name).and_then(|dtype| Some((dtype, column_type(dtype)?)))
                {
                    *column = column.clone().typed(kind, matches!(dtype, DataType::Datetime(_, None)));
                }
            }
            // an operator who declares columns leaves the others out on purpose, and needs no note
            info.notes.extend(widened.note().filter(|_| !is_declared));
        }
        let mut withheld_by = Vec::new();
        if !is_declared && location.is_local() {
            if lacks_types || !widened.late.is_empty() {
                withheld_by.push((PathBuf::from(&first.name), first_version));
            }
            withheld_by.append(&mut widened.withheld_by);
        }
        info.text_meanings = widened.text_forms.iter().map(|(name, form)| (name.clone(), form.meaning())).collect();
        let has_all = !is_declared && !kind.is_text() && (location.is_local() || names.len() == 1);
        let known = has_all.then(|| widened.schema.iter_names().map(ToString::to_string).chain(widened.late).collect());
        Ok(Self {
            info,
            location,
            kind,
            known: known.map(Arc::new),
            schema: Arc::new(widened.schema),
            text_forms: Arc::new(widened.text_forms),
            optional: None,
            withheld_by: withheld_by.into(),
            // the number of rows in several files is unknown before all are read
            rows: rows.filter(|_| names.len() == 1),
            outdated: Arc::default(),
        })
    }

    /// Returns this dataset with the description `info`. Keeps the notes about the files and the meanings of the texts,
    /// which [`Self::open`] has found. The columns of `info` must be columns of the files.
    #[must_use]
    pub(crate) fn described(self, info: DatasetInfo) -> Self {
        let DatasetInfo { notes, text_meanings, .. } = self.info;
        Self { info: DatasetInfo { notes, text_meanings, ..info }, ..self }
    }

    /// Returns the names of the columns of the first file, including those that the dataset does not offer. If the
    /// files are text and their columns are not declared, returns the names of the columns of all files. For NDJSON
    /// with declared columns, returns the declared names and the names of the members on the first lines.
    pub(crate) fn column_names(&self) -> impl Iterator<Item = &str> {
        self.schema.iter_names().map(|name| name.as_str())
    }

    /// Reads the files in order, and sends the data frames of a query until the receiver needs no further frame. This
    /// method blocks its thread; `runtime` runs the listing and the copying of remote files.
    fn read(&self, query: &Query, sender: &mut LimitedSender, runtime: &Handle) -> Result<(), DatasetError> {
        if let Some(gone) = query.columns.iter().find(|name| !self.schema.contains(name)) {
            return Err(DatasetError::NoColumn(gone.clone()));
        }
        if self.withheld_by.iter().any(|(path, version)| FileVersion::at(path) != Some(*version)) {
            self.outdated.store(true, Relaxed);
            return Err(DatasetError::Repaired);
        }
        let needed = needed_columns(query, RowFilter::new(&query.filter, &self.schema)?.as_ref());
        let Some(names) = runtime.block_on(unless_closed(sender, self.location.list()))? else { return Ok(()) };
        if names.is_empty() {
            // a dataset whose files were deleted must not look empty
            return Err(DatasetError::NoFile(self.location.to_string()));
        }
        let mut empty = 0;
        for ListedFile { name, .. } in &names {
            let fetched = runtime.block_on(unless_closed(sender, self.location.fetch(name)))?;
            let Some(file) = fetched else { return Ok(()) };
            match self.read_file(file, query, &needed, sender) {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                // one of several text files may be empty, but a dataset whose files were emptied must not look empty
                Err(DatasetError::Empty) if self.kind.is_text() && empty + 1 < names.len() => empty += 1,
                Err(e) => {
                    // a load reads only the first of several remote files, unless they are text
                    let reads_all = self.kind.is_text() || self.location.is_local() || names.len() == 1;
                    // a new load can't help a dataset whose declared column is missing
                    let is_declared = self.known.is_none() && self.optional.is_none();
                    let is_lost = matches!(e, DatasetError::MissingColumn(_)) && !is_declared;
                    if reads_all && (e.is_newer() || is_lost) {
                        self.outdated.store(true, Relaxed);
                    }
                    return Err(e.in_file(name));
                }
            }
        }
        Ok(())
    }

    /// Reads one file, and sends the data frames of a query. Returns false when the receiver needs no further frame.
    /// `needed` has the names of the columns that the query selects or filters by.
    fn read_file(
        &self,
        file: File,
        query: &Query,
        needed: &[String],
        sender: &mut LimitedSender,
    ) -> Result<bool, DatasetError> {
        let (same, version) = (file.try_clone()?, FileVersion::of(&file)?);
        let mut filter = None;
        let mut handle = |frame: DataFrame| -> Result<bool, DatasetError> {
            version.check(&same)?;
            let frame = self.with_nulls(frame)?;
            self.check_types(frame.schema())?;
            // evaluate the filter before the casts, because a cast may fail and only the passing rows must be cast
            if filter.is_none() {
                filter = Some(RowFilter::new(&query.filter, frame.schema())?);
            }
            let frame = match filter.as_ref().and_then(Option::as_ref) {
                None => frame,
                Some(filter) => match filter.apply(frame, sender)? {
                    Some(frame) => frame,
                    None => return Ok(!sender.is_closed()),
                },
            };
            let frame = frame.select(query.columns.iter().map(String::as_str))?;
            Ok(sender.send(self.cast(frame)?))
        };
        if self.kind == FileKind::Arrow {
            self.check_forms(&arrow::schema(file.try_clone()?)?, needed)?;
        }
        let more = match self.kind {
            FileKind::Parquet => self.read_parquet(file, query, needed, sender),
            FileKind::Csv(dialect) => csv::read(file, dialect, &self.offered(), needed, &mut handle),
            FileKind::Ndjson => ndjson::read(file, &self.offered(), needed, &mut handle),
            FileKind::Arrow => arrow::read(file, needed, &mut handle),
        };
        // check for a modification before any other error, because it may be the cause of that error
        version.check(&same)?;
        more
    }

    fn offered(&self) -> Offered<'_> {
        Offered { columns: &self.info.columns, optional: self.optional.as_deref() }
    }

    /// Reads a Parquet file in row windows. Reads the columns of the filter first, and the other columns of a window
    /// only if a row of the window passes the filter. `needed` has the names of the columns that the query selects or
    /// filters by. Returns false when the receiver needs no further frame.
    fn read_parquet(
        &self,
        file: File,
        query: &Query,
        needed: &[String],
        sender: &mut LimitedSender,
    ) -> Result<bool, DatasetError> {
        let file = parquet::Windows::open(file)?.with_types_of(&self.schema);
        self.check_forms(file.mapping(), needed)?;
        let known = needed.iter().filter_map(|name| file.schema().get_full(name));
        self.check_types(&known.map(|(_, name, dtype)| (name.clone(), dtype.clone())).collect())?;
        let filter = RowFilter::new(&query.filter, file.schema())?;
        parquet::read(&file, &query.columns, filter.as_ref(), sender, query.limit, &|frame| self.cast(frame))
    }

    /// Gives each column that has only NULLs in a data frame the type of the same column in the dataset. This is
    /// necessary because the reader of Arrow IPC returns a column of the type null as text. Returns frames of other
    /// formats unchanged.
    fn with_nulls(&self, mut frame: DataFrame) -> Result<DataFrame, DatasetError> {
        if self.kind == FileKind::Arrow {
            for (name, dtype) in self.schema.iter() {
                let Ok(column) = frame.column(name) else { continue };
                if column.dtype() == &DataType::String
                    && dtype != &DataType::String
                    && column.null_count() == column.len()
                {
                    let null = PolarsColumn::full_null(name.clone(), column.len(), dtype);
                    frame.replace(name, null)?;
                }
            }
        }
        Ok(frame)
    }

    /// Returns an error if a file has a column that is newer than the loaded catalog, or lacks a column in `needed`.
    ///
    /// Also returns an error if the values of a column in `needed` have another text form than `text_forms` states. For
    /// example, the column may have bytes in this file and text in others. The export would then mix both forms in one
    /// column.
    fn check_forms(&self, file: &TypeMapping, needed: &[String]) -> Result<(), DatasetError> {
        if let Some(known) = &self.known
            && let Some(new) = file.schema.iter_names().find(|name| !known.contains(name.as_str()))
        {
            return Err(DatasetError::NewColumn(new.to_string()));
        }
        for name in needed {
            if !file.schema.contains(name) {
                return Err(DatasetError::MissingColumn(name.clone()));
            }
            if !file.nulls.contains(name) && file.text_forms.get(name) != self.text_forms.get(name) {
                return Err(DatasetError::Changed(name.clone()));
            }
        }
        Ok(())
    }

    /// Returns an error if a column of a file has another column type than the same column of the dataset. The widths
    /// of numbers may differ. For Parquet and Arrow IPC, returns an error also if only one of the two columns has
    /// timestamps with a time zone.
    fn check_types(&self, schema: &Schema) -> Result<(), DatasetError> {
        for (name, dtype) in schema.iter() {
            let found = column_type(dtype);
            let known = self.schema.get(name);
            if found.is_some() && found != known.and_then(column_type) {
                return Err(DatasetError::Changed(name.to_string()));
            }
            // the readers of text files check the zone of each value
            let is_typed = matches!(self.kind, FileKind::Parquet | FileKind::Arrow);
            if is_typed
                && let (Some(DataType::Datetime(_, known)), DataType::Datetime(_, found)) = (known, dtype)
                && known.is_some() != found.is_some()
            {
                return Err(DatasetError::Changed(name.to_string()));
            }
        }
        Ok(())
    }

    /// Casts the columns of a data frame to the types of the dataset. The numbers and timestamps of a file may be
    /// narrower or wider than these types. Returns an error if a cast would change a value.
    fn cast(&self, mut frame: DataFrame) -> Result<DataFrame, DatasetError> {
        for (name, dtype) in self.schema.iter() {
            let Some(column) = frame.column(name).ok().filter(|column| column.dtype() != dtype) else { continue };
            let Some(cast) = widen::cast_exactly(column, dtype)? else {
                // the error must not show the value
                return Err(DatasetError::DoesNotFit(name.to_string()));
            };
            frame.replace(name, cast)?;
        }
        Ok(frame)
    }
}

/// Returns the names of the columns that a query selects or filters by.
fn needed_columns(query: &Query, filter: Option<&RowFilter>) -> Vec<String> {
    let mut needed = query.columns.clone();
    if let Some(filter) = filter {
        needed.extend(filter.columns.iter().filter(|name| !query.columns.contains(name)).cloned());
    }
    needed
}

/// Waits for the result of `work`. Returns None if the receiver of the data frames is dropped before `work` ends.
async fn unless_closed<T>(
    sender: &LimitedSender,
    work: impl Future<Output = Result<T, DatasetError>>,
) -> Result<Option<T>, DatasetError> {
    tokio::select! {
        biased;
        () = sender.closed() => Ok(None),
        done = work => done.map(Some),
    }
}

#[async_trait]
impl Dataset for Files {
    fn info(&self) -> &DatasetInfo {
        &self.info
    }

    fn is_outdated(&self) -> bool {
        self.outdated.load(Relaxed)
    }

    async fn open(&self, query: &Query) -> Result<OpenedQuery, DatasetError> {
        let (files, query, runtime) = (self.clone(), query.clone(), Handle::current());
        let (sender, receiver) = frame_channel::channel();
        let task = tokio::task::spawn_blocking(move || {
            let mut sender = LimitedSender::new(sender, query.limit);
            files.read(&query, &mut sender, &runtime)
        });
        Ok(frame_channel::frames(receiver, task).into())
    }

    /// Returns the number of rows that pass the filter of the query. Without a filter, returns the number that the file
    /// records, if the dataset has a single file. With a filter, counts or estimates the rows, as `precision` asks,
    /// only for a single local Parquet file, because other files would have to be read completely. Returns None in all
    /// other cases.
    async fn count(&self, query: &Query, precision: Precision) -> Result<Option<RowCount>, DatasetError> {
        let Some(path) = self.location.local_file().filter(|_| self.kind == FileKind::Parquet) else {
            return Ok(self.rows.filter(|_| query.filter.is_all()).map(RowCount::exact));
        };
        let filter = query.filter.clone();
        let (sender, receiver) = frame_channel::channel();
        // the channel carries no frames; when this future is dropped, the closed channel stops the thread
        let counting = tokio::task::spawn_blocking(move || {
            let file = parquet::Windows::open(File::open(path)?)?;
            match (RowFilter::new(&filter, file.schema())?, precision) {
                (None, _) => Ok(RowCount::exact(file.rows())),
                (Some(filter), Precision::Exact) => {
                    parquet::count(&file, &filter, || sender.is_closed()).map(RowCount::exact)
                }
                (Some(filter), Precision::Estimate) => parquet::estimate(&file, &filter),
            }
        });
        let counted = counting.await?;
        drop(receiver);
        counted.map(Some)
    }
}
