//! Files as datasets: Parquet, CSV, NDJSON and Arrow IPC, one or a glob of them, from this machine, from S3 or over HTTP.
//!
//! Files are read one after the other in the order of their names. One that isn't on this machine is first copied to a
//! temporary file without a name, whose size is bounded, and which is gone with its reader, whatever happens.

mod arrow;
mod batches;
pub(super) mod carried;
mod cells;
mod csv;
mod ndjson;
mod place;
mod stamp;
#[cfg(test)]
mod tests;
mod text;
#[cfg(test)]
mod type_tests;

use std::{fs::File, sync::Arc};

use async_trait::async_trait;
use polars::prelude::{DataFrame, DataType, SchemaRef};
use protocol::catalog::{Column, ColumnType};
use tokio::runtime::Handle;

pub use self::place::{Place, Spool};
pub(super) use self::{carried::Carried, stamp::Stamp};
use super::{
    Dataset, DatasetError, Frames, Guess, Query, feed,
    parquet::{self, RowFilter},
    reals,
};

/// How the files are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// Apache Parquet.
    Parquet,
    /// Text with this byte between its fields, and a header.
    Csv(u8),
    /// A JSON object on each line.
    Ndjson,
    /// Arrow IPC, the file format or the stream format.
    Arrow,
}

impl FileKind {
    /// The kind that the end of a name tells.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        let extension = name.rsplit('.').next()?.to_ascii_lowercase();
        Some(match extension.as_str() {
            "parquet" => Self::Parquet,
            "csv" => Self::Csv(b','),
            "tsv" => Self::Csv(b'\t'),
            "ndjson" | "jsonl" => Self::Ndjson,
            "arrow" | "ipc" | "feather" | "arrows" => Self::Arrow,
            _ => return None,
        })
    }
}

/// A dataset in one or many files.
#[derive(Clone, Debug)]
pub struct Files {
    name: String,
    place: Arc<Place>,
    kind: FileKind,
    columns: Vec<Column>,
    /// What each file's columns are brought to.
    schema: SchemaRef,
    rows: Option<u64>,
}

impl Files {
    /// Looks into the first file. Columns of text files take the types given in `declared`, and those that are not
    /// declared the ones that their first rows show; columns of the other kinds say themselves what they are.
    ///
    /// # Errors
    /// When there is no file, it can't be read, or it lacks a declared column.
    pub async fn open(name: &str, place: Place, kind: FileKind, declared: &[Column]) -> Result<Self, DatasetError> {
        let place = Arc::new(place);
        let items = place.list().await?;
        let first = items.first().ok_or_else(|| DatasetError::NoFile(place.to_string()))?;
        let file = place.fetch(first).await?;
        let given = declared.to_vec();
        let dataset = name.to_owned();
        let look = tokio::task::spawn_blocking(move || look(&dataset, file, kind, &given));
        let (columns, schema, rows) = look.await?.map_err(|e| e.in_file(first))?;
        // with several files only the readers know
        let rows = rows.filter(|_| items.len() == 1);
        Ok(Self { name: name.to_owned(), place, kind, columns, schema, rows })
    }

    /// All columns of the first file, whether they are offered or not.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.schema.iter_names().map(|name| name.as_str())
    }

    /// Reads all files until nobody wants more.
    fn read(&self, query: &Query, sender: &mut feed::Rows, runtime: &Handle) -> Result<(), DatasetError> {
        if let Some(gone) = query.columns.iter().find(|name| !self.schema.contains(name)) {
            return Err(DatasetError::NoColumn(gone.clone()));
        }
        let mut needed = query.columns.clone();
        if let Some(filter) = RowFilter::of(&query.filter, &self.schema)? {
            needed.extend(filter.columns.into_iter().filter(|name| !query.columns.contains(name)));
        }
        let Some(items) = runtime.block_on(unless_unwanted(sender, self.place.list()))? else { return Ok(()) };
        if items.is_empty() {
            // files that are gone are not a dataset without rows
            return Err(DatasetError::NoFile(self.place.to_string()));
        }
        for item in items {
            let fetched = runtime.block_on(unless_unwanted(sender, self.place.fetch(&item)))?;
            let Some(file) = fetched else { return Ok(()) };
            if !self.read_one(file, query, &needed, sender).map_err(|e| e.in_file(&item))? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Reads a file. False: nobody wants more.
    fn read_one(
        &self,
        file: File,
        query: &Query,
        needed: &[String],
        sender: &mut feed::Rows,
    ) -> Result<bool, DatasetError> {
        let (same, stamp) = (file.try_clone()?, Stamp::of(&file)?);
        let wanted = Wanted { columns: needed, limit: query.limit };
        let mut filter = None;
        let mut take = |frame: DataFrame| -> Result<bool, DatasetError> {
            stamp.check(&same)?;
            self.check_kinds(&frame)?;
            // by the types of this very file: what is made of its values, and may fail, is made of rows that pass alone
            if filter.is_none() {
                filter = Some(RowFilter::of(&query.filter, frame.schema())?);
            }
            let frame = match filter.as_ref().and_then(Option::as_ref) {
                None => frame,
                Some(filter) => match filter.apply(frame, sender)? {
                    Some(frame) => frame,
                    None => return Ok(!sender.is_closed()),
                },
            };
            let frame = frame.select(query.columns.iter().map(String::as_str))?;
            Ok(sender.send(self.fitting(frame)?))
        };
        let more = match self.kind {
            FileKind::Parquet => parquet::each(file, &wanted, &mut take),
            FileKind::Csv(delimiter) => csv::each(file, delimiter, &self.columns, &wanted, &mut take),
            FileKind::Ndjson => ndjson::each(file, &self.columns, &wanted, &mut take),
            FileKind::Arrow => arrow::each(file, &wanted, &mut take),
        };
        // a file that was written meanwhile may look whole, or broken
        stamp.check(&same)?;
        more
    }

    /// Refuses a frame whose columns are of other kinds than the dataset's.
    fn check_kinds(&self, frame: &DataFrame) -> Result<(), DatasetError> {
        for column in frame.columns() {
            let known = self.schema.get(column.name()).and_then(parquet::column_type);
            if parquet::column_type(column.dtype()) != known {
                return Err(DatasetError::Changed(column.name().to_string()));
            }
        }
        Ok(())
    }

    /// The frame with its columns as the dataset has them: other files may have narrower or wider numbers.
    fn fitting(&self, mut frame: DataFrame) -> Result<DataFrame, DatasetError> {
        for (name, dtype) in self.schema.iter() {
            let Some(column) = frame.column(name).ok().filter(|column| column.dtype() != dtype) else { continue };
            let cast = match (column.dtype(), dtype) {
                (DataType::Float32, DataType::Float64) => Some(reals::widened(column)?),
                (DataType::Float64, DataType::Float32) => reals::narrowed(column)?,
                _ => Some(column.cast(dtype)?),
            };
            let Some(cast) = cast.filter(|cast| cast.null_count() == column.null_count()) else {
                // what the value is, is nobody's business but its reader's
                let detail = "a value does not fit the type that the first of the files has";
                return Err(DatasetError::Value { column: name.to_string(), detail });
            };
            frame.replace(name, cast)?;
        }
        Ok(frame)
    }
}

/// What comes of the work, unless all who wanted it leave meanwhile.
async fn unless_unwanted<T>(
    sender: &feed::Rows,
    work: impl Future<Output = Result<T, DatasetError>>,
) -> Result<Option<T>, DatasetError> {
    tokio::select! {
        biased;
        () = sender.closed() => Ok(None),
        done = work => done.map(Some),
    }
}

/// What a reader of files is to give.
pub(super) struct Wanted<'a> {
    /// These columns.
    pub(super) columns: &'a [String],
    /// Not many more rows than this are wanted.
    pub(super) limit: Option<u64>,
}

/// Takes frames; false when nobody wants more.
pub(super) type Take<'a> = &'a mut dyn FnMut(DataFrame) -> Result<bool, DatasetError>;

fn look(
    dataset: &str,
    file: File,
    kind: FileKind,
    declared: &[Column],
) -> Result<(Vec<Column>, SchemaRef, Option<u64>), DatasetError> {
    let (carried, rows) = match kind {
        FileKind::Parquet => parquet::look(file)?,
        FileKind::Csv(delimiter) => (Carried::all(csv::look(file, delimiter, declared)?), None),
        FileKind::Ndjson => (Carried::all(ndjson::look(file, declared)?), None),
        FileKind::Arrow => (arrow::look(file)?, None),
    };
    let mut columns = parquet::columns(dataset, &carried, declared)?;
    if matches!(kind, FileKind::Csv(_) | FileKind::Ndjson) {
        // exact numbers of any length stay text in frames
        for column in &mut columns {
            let exact = |known: &&Column| known.name == column.name && known.kind == ColumnType::Decimal;
            if declared.iter().any(|known| exact(&known)) {
                column.kind = ColumnType::Decimal;
            }
        }
    }
    Ok((columns, carried.schema, rows))
}

#[async_trait]
impl Dataset for Files {
    fn name(&self) -> &str {
        &self.name
    }

    fn columns(&self) -> &[Column] {
        &self.columns
    }

    async fn rows_estimate(&self) -> Option<u64> {
        self.rows
    }

    async fn count(&self, query: &Query) -> Result<Option<u64>, DatasetError> {
        if query.filter.is_all() { Ok(self.rows) } else { Ok(None) }
    }

    /// From the share of the first rows that pass; a source that is far away, or not Parquet, is not looked at twice.
    async fn guess(&self, query: &Query) -> Result<Option<Guess>, DatasetError> {
        let Some(rows) = self.rows else { return Ok(None) };
        if query.filter.is_all() {
            return Ok(Some(Guess { rows, exact: true }));
        }
        let Some(path) = self.place.local_file().filter(|_| self.kind == FileKind::Parquet) else { return Ok(None) };
        let filter = query.filter.clone();
        let guessed = tokio::task::spawn_blocking(move || parquet::guess(File::open(path)?, &filter)).await?;
        guessed.map(Some)
    }

    async fn open(&self, query: &Query) -> Result<Frames, DatasetError> {
        let (files, query, runtime) = (self.clone(), query.clone(), Handle::current());
        let (sender, receiver) = feed::channel();
        let task = tokio::task::spawn_blocking(move || {
            let mut sender = feed::Rows::new(sender, query.limit);
            files.read(&query, &mut sender, &runtime)
        });
        Ok(feed::frames(receiver, task))
    }
}

/// The dtype that a column of a text file is read as.
pub(super) fn dtype(column: &Column) -> DataType {
    cells::dtype(column.kind)
}
