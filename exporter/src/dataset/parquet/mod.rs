//! A local Parquet file.
//!
//! The file is read window by window (see `windows`), so that memory depends on neither its size nor the size of
//! its row groups. With a filter, each window's filter columns are read first and the others only when a row is left.

#[cfg(test)]
mod checksum_tests;
mod nested;
mod pages;
mod predicate;
#[cfg(test)]
mod tests;
mod windows;

use std::{
    fs::File,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use polars::prelude::{BooleanChunked, ChunkFull, DataFrame, DataType, Expr, IntoLazy, SchemaRef, col};
use protocol::{
    catalog::{Column, ColumnType},
    filter::Filter,
};
use tracing::warn;

use self::windows::Windows;
use super::{
    Dataset, DatasetError, Frames, Guess, Query, feed,
    files::{Carried, Take, Wanted},
};

/// Rows of a window when only the first rows are wanted.
const FEW_ROWS: usize = 16_384;
/// Pieces of a file that are looked at for an estimate, …
const PROBES: usize = 16;
/// … the rows of each, …
const PROBE_ROWS: usize = 4_096;
/// … and when enough was looked at.
const PROBE_TIME: Duration = Duration::from_millis(700);
/// A filter is asked about this many rows at once.
const MASK_ROWS: usize = 1 << 16;

/// A dataset in a Parquet file. The file may be replaced while exports run: each reads the one it opened.
#[derive(Clone, Debug)]
pub struct ParquetFile {
    path: PathBuf,
    name: String,
    title: String,
    description: String,
    columns: Vec<Column>,
    rows: u64,
}

impl ParquetFile {
    /// Reads the footer of the file.
    ///
    /// # Errors
    /// When it can't be read, or has no column of a type that can be carried.
    pub fn open(path: &Path, name: &str, title: &str, description: &str) -> Result<Self, DatasetError> {
        let windows = Windows::open(File::open(path)?)?;
        let columns = columns(name, windows.carried(), &[])?;
        let [name, title, description] = [name, title, description].map(str::to_owned);
        Ok(Self { path: path.to_owned(), name, title, description, columns, rows: windows.rows() })
    }
}

#[async_trait]
impl Dataset for ParquetFile {
    fn name(&self) -> &str {
        &self.name
    }

    fn title(&self) -> &str {
        &self.title
    }

    fn description(&self) -> &str {
        &self.description
    }

    fn columns(&self) -> &[Column] {
        &self.columns
    }

    async fn rows_estimate(&self) -> Option<u64> {
        Some(self.rows)
    }

    async fn count(&self, query: &Query) -> Result<Option<u64>, DatasetError> {
        let (path, filter) = (self.path.clone(), query.filter.clone());
        let (sender, receiver) = feed::channel();
        // the channel carries nothing: its reader's end tells the thread that nobody waits for the count any more
        let count = tokio::task::spawn_blocking(move || {
            let windows = Windows::open(File::open(path)?)?;
            let Some(filter) = RowFilter::of(&filter, windows.schema())? else { return Ok(windows.rows()) };
            let mut rows = 0;
            for window in windows.plan(&filter.columns, None) {
                if sender.is_closed() {
                    break;
                }
                windows.each(window, &filter.columns, &mut |piece| {
                    let frame = windows.read(piece, &filter.columns)?;
                    let Some(mask) = filter.mask(&frame, || sender.is_closed())? else { return Ok(false) };
                    rows += u64::from(mask.sum().unwrap_or(0));
                    Ok(true)
                })?;
            }
            Ok(rows)
        });
        let rows = count.await?;
        drop(receiver);
        rows.map(Some)
    }

    async fn open(&self, query: &Query) -> Result<Frames, DatasetError> {
        let (path, query) = (self.path.clone(), query.clone());
        let (sender, receiver) = feed::channel();
        let task = tokio::task::spawn_blocking(move || {
            let mut sender = feed::Rows::new(sender, query.limit);
            read(&path, &query, &mut sender)
        });
        Ok(feed::frames(receiver, task))
    }

    /// From the row groups' sizes, and the share of a few rows here and there that pass.
    async fn guess(&self, query: &Query) -> Result<Option<Guess>, DatasetError> {
        let (path, filter) = (self.path.clone(), query.filter.clone());
        tokio::task::spawn_blocking(move || guess(File::open(path)?, &filter)).await?.map(Some)
    }
}

/// About how many rows pass a filter: as many as in a few pieces that lie all over the file.
pub(super) fn guess(file: File, filter: &Filter) -> Result<Guess, DatasetError> {
    let windows = Windows::open(file)?;
    let rows = windows.rows();
    let Some(filter) = RowFilter::of(filter, windows.schema())? else { return Ok(Guess { rows, exact: true }) };
    let plan = windows.plan(&filter.columns, Some(PROBE_ROWS));
    let step = plan.len().div_ceil(PROBES).max(1);
    let until = Instant::now() + PROBE_TIME;
    let (mut looked, mut passed) = (0, 0);
    for window in plan.iter().skip(step / 2).step_by(step) {
        let frame = windows.first(window.clone(), &filter.columns)?;
        looked += frame.height() as u64;
        passed += u64::from(filter.mask(&frame, || false)?.and_then(|mask| mask.sum()).unwrap_or(0));
        if Instant::now() > until {
            break;
        }
    }
    if looked == rows {
        return Ok(Guess { rows: passed, exact: true });
    }
    let share = passed as f64 / looked.max(1) as f64;
    Ok(Guess { rows: (share * rows as f64).round() as u64, exact: false })
}

/// The columns of a file and its rows.
pub(super) fn look(file: File) -> Result<(Carried, Option<u64>), DatasetError> {
    let windows = Windows::open(file)?;
    Ok((windows.carried().clone(), Some(windows.rows())))
}

/// The columns of a dataset's files, under the labels that were declared; of these each must be there, and all that can be
/// carried if none was.
pub(super) fn columns(dataset: &str, carried: &Carried, declared: &[Column]) -> Result<Vec<Column>, DatasetError> {
    let typed = |name: &str, dtype: &DataType| {
        let told = || carried.refused.get(name).cloned().unwrap_or_else(|| format!("{dtype:?}"));
        let kind = column_type(dtype);
        kind.ok_or_else(|| DatasetError::Unsupported { column: name.to_owned(), dtype: told() })
    };
    if declared.is_empty() {
        let (known, unknown): (Vec<_>, Vec<_>) = carried
            .schema
            .iter()
            .map(|(name, dtype)| Ok(Column::new(name.as_str(), typed(name, dtype)?)))
            .partition(Result::is_ok);
        for error in unknown.iter().filter_map(|column: &Result<_, DatasetError>| column.as_ref().err()) {
            warn!(dataset.name = dataset, error = %error, "a column is left out");
        }
        if known.is_empty()
            && let Some(none) = unknown.into_iter().next()
        {
            return none.map(|column| vec![column]);
        }
        return known.into_iter().collect();
    }
    let known = declared.iter().map(|column| {
        let dtype = carried.schema.get(&column.name).ok_or_else(|| DatasetError::NoColumn(column.name.clone()))?;
        Ok(Column { kind: typed(&column.name, dtype)?, ..column.clone() })
    });
    known.collect()
}

/// Gives these columns of all rows of a file, window by window. False: nobody wants more.
pub(super) fn each(file: File, wanted: &Wanted<'_>, take: Take<'_>) -> Result<bool, DatasetError> {
    let windows = Windows::open(file)?;
    if let Some(gone) = wanted.columns.iter().find(|name| !windows.schema().contains(name)) {
        return Err(DatasetError::NoColumn(gone.clone()));
    }
    for window in windows.plan(wanted.columns, wanted.limit.map(|_| FEW_ROWS)) {
        if !windows.each(window, wanted.columns, &mut |piece| take(windows.read(piece, wanted.columns)?))? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Reads all windows of a file until nobody wants more.
fn read(path: &Path, query: &Query, sender: &mut feed::Rows) -> Result<(), DatasetError> {
    let windows = Windows::open(File::open(path)?)?;
    if let Some(gone) = query.columns.iter().find(|name| !windows.schema().contains(name)) {
        return Err(DatasetError::NoColumn(gone.clone()));
    }
    let filter = RowFilter::of(&query.filter, windows.schema())?;
    let mut needed = query.columns.clone();
    if let Some(filter) = &filter {
        needed.extend(filter.columns.iter().filter(|name| !query.columns.contains(name)).cloned());
    }
    for window in windows.plan(&needed, query.limit.map(|_| FEW_ROWS)) {
        let more = windows.each(window, &needed, &mut |piece| {
            if sender.is_closed() {
                return Ok(false);
            }
            let frame = match &filter {
                None => Some(windows.read(piece, &query.columns)?),
                Some(filter) => filtered(&windows, piece, filter, &query.columns, sender)?,
            };
            Ok(frame.is_none_or(|frame| sender.send(frame)))
        })?;
        if !more {
            return Ok(());
        }
    }
    Ok(())
}

/// The rows of a window that pass, unless none does or nobody wants them any more.
fn filtered(
    windows: &Windows,
    window: &windows::Window,
    filter: &RowFilter,
    columns: &[String],
    sender: &feed::Rows,
) -> Result<Option<DataFrame>, DatasetError> {
    let tested = windows.read(window, &filter.columns)?;
    let Some(mask) = filter.mask(&tested, || sender.is_closed())?.filter(BooleanChunked::any) else { return Ok(None) };
    let others: Vec<_> = columns.iter().filter(|name| !filter.columns.contains(name)).cloned().collect();
    let mut frame = tested;
    if !others.is_empty() {
        frame.hstack_mut(windows.read(window, &others)?.columns())?;
    }
    Ok(Some(frame.select(columns.iter().map(String::as_str))?.filter(&mask)?))
}

/// A filter that needs some columns.
pub(super) struct RowFilter {
    expr: Expr,
    pub(super) columns: Vec<String>,
}

impl RowFilter {
    /// None for a filter that every row passes.
    pub(super) fn of(filter: &Filter, schema: &SchemaRef) -> Result<Option<Self>, DatasetError> {
        if filter.is_all() {
            return Ok(None);
        }
        let expr = predicate::expr(filter, schema)?;
        let mut columns: Vec<_> = filter.columns().into_iter().map(str::to_owned).collect();
        if columns.is_empty() {
            // a filter without a column, such as an empty `or`: any column tells how many rows there are
            let carried = schema.iter().find(|(_, dtype)| column_type(dtype).is_some());
            columns.extend(carried.map(|(name, _)| name.to_string()));
        }
        Ok(Some(Self { expr, columns }))
    }

    /// The rows of a frame that pass, unless none does or nobody wants them any more.
    pub(super) fn apply(&self, frame: DataFrame, sender: &feed::Rows) -> Result<Option<DataFrame>, DatasetError> {
        let mask = self.mask(&frame, || sender.is_closed())?.filter(BooleanChunked::any);
        Ok(mask.map(|mask| frame.filter(&mask)).transpose()?)
    }

    /// The rows of a frame that pass.
    pub(super) fn passing(&self, frame: DataFrame) -> Result<DataFrame, DatasetError> {
        let mask = self.mask(&frame, || false)?;
        Ok(mask.map_or(Ok(frame.clear()), |mask| frame.filter(&mask))?)
    }

    /// True for each row of the frame that passes; NULL, as in SQL, is not true. None: nobody waits for it any more,
    /// which is looked up after every few rows, as some filters take long.
    fn mask(&self, frame: &DataFrame, unwanted: impl Fn() -> bool) -> Result<Option<BooleanChunked>, DatasetError> {
        const MASK: &str = "mask";
        let rows = frame.height();
        let Some(any) = self.columns.first() else { return Ok(Some(BooleanChunked::full(MASK.into(), true, rows))) };
        let mut passing = Vec::with_capacity(rows);
        for at in (0..rows).step_by(MASK_ROWS) {
            if unwanted() {
                return Ok(None);
            }
            let part = frame.slice(at as i64, MASK_ROWS);
            // the column beside it makes a constant filter as long as the frame
            let masked =
                part.lazy().select([self.expr.clone().alias(MASK), col(any.as_str()).alias("any")]).collect()?;
            passing.extend(masked.column(MASK)?.bool()?.iter().map(|passes| passes.unwrap_or(false)));
        }
        Ok(Some(passing.into_iter().collect()))
    }
}

/// What a type of polars is to filters and files.
pub(super) fn column_type(dtype: &DataType) -> Option<ColumnType> {
    Some(match dtype {
        DataType::String => ColumnType::String,
        DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::UInt8
        | DataType::UInt16
        | DataType::UInt32 => ColumnType::Int,
        DataType::Float32 | DataType::Float64 => ColumnType::Float,
        DataType::Decimal(..) => ColumnType::Decimal,
        DataType::Boolean => ColumnType::Bool,
        DataType::Date => ColumnType::Date,
        DataType::Datetime(..) => ColumnType::Datetime,
        DataType::Time => ColumnType::Time,
        _ => return None,
    })
}
