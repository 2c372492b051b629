//! Reads a Parquet file in row windows, and large row windows in chunks (see `plan`). The reader decodes and holds one
//! chunk at a time, whose size in memory is bounded.
//!
//! The streaming engine of polars maps the whole file and keeps several decoded row groups in memory, so its memory
//! grows with the file. A row window of this reader is a sequence of small row groups, or a part of a large row group.
//!
//! The reader does not map the file, because truncating a mapped file kills the process. It copies the pages of each
//! chunk, and a read fails if the file was modified after it was opened.

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    io::Cursor,
    sync::{Arc, Mutex},
};

use polars::{
    io::parquet::metadata::FileMetadataRef,
    prelude::{DataFrame, Schema, SchemaRef},
};
use polars_arrow::datatypes::ArrowSchema;
use polars_parquet::read::{infer_schema, read_metadata};
use rayon::iter::{IntoParallelIterator, ParallelIterator};

use super::{
    super::{
        super::DatasetError,
        file_version::FileVersion,
        nesting,
        type_mapping::{self, TextBudget, TypeMapping},
    },
    footer, logical, nested,
    pages::{Pages, width},
    plan::{Window, plan, split_at_pages},
};

/// The key under which writers store the Arrow schema of a file in its footer.
const ARROW_SCHEMA: &str = "ARROW:schema";
/// An open Parquet file that is read in row windows.
pub(in crate::dataset::files) struct Windows {
    pub(super) file: File,
    version: FileVersion,
    pub(super) metadata: FileMetadataRef,
    pub(super) fields: ArrowSchema,
    pub(super) mapping: TypeMapping,
    pub(super) cache: Mutex<PageCache>,
    /// The maximum total size, in bytes, of the texts into which the values of one data frame are converted.
    pub(super) text_budget: usize,
    /// The total number of bytes that this reader has copied from the file since it opened the file. Only tests use
    /// this number.
    #[cfg(test)]
    pub(super) copied: std::sync::atomic::AtomicUsize,
}

/// The positions of the pages in column chunks, by the file offset of the column chunk. The cache has no values.
#[derive(Default)]
pub(super) struct PageCache {
    pub(super) columns: HashMap<u64, Arc<Pages>>,
    pub(super) pages: usize,
}

impl Windows {
    /// Opens a Parquet file, and reads its footer.
    pub(in crate::dataset::files) fn open(mut file: File) -> Result<Self, DatasetError> {
        let version = FileVersion::of(&file)?;
        let footer = nesting::footer(&file)?;
        let empty_group = footer.as_deref().and_then(footer::empty_group);
        let opened = type_mapping::catch_damage(|| {
            let metadata = match footer {
                Some(footer) => {
                    let footer = footer::with_known_types(footer);
                    match read_metadata(&mut Cursor::new(&footer)) {
                        Ok(metadata) => metadata,
                        Err(e) => match footer::without_extras(&footer) {
                            Some(footer) => read_metadata(&mut Cursor::new(&footer))?,
                            None => return Err(e.into()),
                        },
                    }
                }
                None => read_metadata(&mut file)?,
            };
            let mut names = HashSet::new();
            let twice =
                metadata.schema_descr.fields().iter().map(|field| field.name()).find(|name| !names.insert(*name));
            if let Some(name) = twice {
                let detail = format!("two columns are called `{name}`: write one of them under another name");
                return Err(DatasetError::Undeclared(detail));
            }
            let pairs = metadata.key_value_metadata.iter().flatten();
            let stored: Vec<_> =
                pairs.filter(|pair| pair.key == ARROW_SCHEMA).filter_map(|pair| pair.value.as_deref()).collect();
            let has_arrow_schema = !stored.is_empty();
            stored.into_iter().try_for_each(nesting::check_encoded_schema)?;
            let fields: ArrowSchema =
                infer_schema(&metadata)?.iter_values().map(type_mapping::without_extension).collect();
            Ok((metadata, fields, has_arrow_schema))
        });
        let (metadata, fields, has_arrow_schema) = match opened {
            Err(_) if footer::is_encrypted(&file) => return Err(ENCRYPTED),
            Err(DatasetError::Polars(_)) if empty_group.is_some() => {
                return Err(EMPTY_GROUP.in_column(&empty_group.unwrap_or_default()));
            }
            opened => opened?,
        };
        let fields = logical::annotated(fields, &metadata.schema_descr, has_arrow_schema);
        let mut mapping = TypeMapping::of(&fields);
        let fields = nested::fit(fields, &mut mapping, &metadata.schema_descr);
        Ok(Self {
            file,
            version,
            metadata: Arc::new(metadata),
            fields,
            mapping,
            cache: Mutex::default(),
            text_budget: type_mapping::FRAME_TEXT,
            #[cfg(test)]
            copied: Default::default(),
        })
    }

    /// Returns this file with the types of `dataset` for its columns of the type null, whose values are all NULL.
    pub(in crate::dataset::files) fn with_types_of(mut self, dataset: &Schema) -> Self {
        for name in &self.mapping.nulls {
            if let Some(dtype) = dataset.get(name) {
                Arc::make_mut(&mut self.mapping.schema).insert(name.as_str().into(), dtype.clone());
            }
        }
        self
    }

    pub(in crate::dataset::files) const fn schema(&self) -> &SchemaRef {
        &self.mapping.schema
    }

    pub(in crate::dataset::files) const fn mapping(&self) -> &TypeMapping {
        &self.mapping
    }

    pub(in crate::dataset::files) fn rows(&self) -> u64 {
        self.metadata.num_rows as u64
    }

    /// Splits all rows of the file into row windows for reading these columns. Each window has at most `max_rows` rows;
    /// None means no such limit.
    pub(super) fn plan(&self, columns: &[String], max_rows: Option<usize>) -> Vec<Window> {
        let groups = self.metadata.row_groups.iter().map(|group| {
            let leaves = columns.iter().filter_map(|name| group.columns_under_root_iter(name)).flatten();
            let size = |size: i64| usize::try_from(size).unwrap_or(0);
            let bytes = leaves
                .map(|leaf| size(leaf.uncompressed_size()).max(size(leaf.num_values()).saturating_mul(width(leaf))))
                .fold(0, usize::saturating_add);
            (group.num_rows(), bytes)
        });
        plan(&groups.collect::<Vec<_>>(), columns.len(), max_rows.unwrap_or(usize::MAX))
    }

    /// Splits a row window into chunks of bounded size, at the bounds of the pages of `columns`. A few rows may be much
    /// larger than the average of their row group, from which the size of the window was planned. Returns the whole
    /// window as one chunk if it consists of whole row groups.
    pub(super) fn chunks(&self, window: Window, columns: &[String]) -> Result<Vec<Window>, DatasetError> {
        let group = window.groups.start;
        if window.groups.len() > 1 || window.rows.len() == self.metadata.row_groups[group].num_rows() {
            // `plan` puts a whole row group into a window only if the size in the footer is within the limit
            return Ok(vec![window]);
        }
        let found = type_mapping::catch_damage(|| self.all_pages(group, columns));
        self.version.check(&self.file)?;
        let chunks = split_at_pages(window.rows, &found?);
        Ok(chunks.into_iter().map(|rows| Window { groups: group..group + 1, rows }).collect())
    }

    fn all_pages(&self, group: usize, columns: &[String]) -> Result<Vec<Arc<Pages>>, DatasetError> {
        let mut found = Vec::with_capacity(columns.len());
        for name in columns {
            for leaf in self.leaves(group, name)? {
                found.push(self.pages(group, leaf, true).map_err(|e| e.in_column(name))?);
            }
        }
        Ok(found)
    }

    /// Calls `work` for each chunk of a row window. `columns` are the columns that `work` reads. If `work` fails
    /// because the texts of a chunk exceed their [`TextBudget`], calls `work` for each half of the chunk. Stops and
    /// returns false when `work` returns false.
    pub(super) fn each(
        &self,
        window: Window,
        columns: &[String],
        work: &mut dyn FnMut(&Window) -> Result<bool, DatasetError>,
    ) -> Result<bool, DatasetError> {
        let mut left = self.chunks(window, columns)?;
        left.reverse();
        while let Some(part) = left.pop() {
            match work(&part) {
                Ok(true) => {}
                Err(e) if part.rows.len() > 1 && type_mapping::exceeds_budget(&e) => {
                    let (first, second) = part.halves();
                    left.extend([second, first]);
                }
                end => return end,
            }
        }
        Ok(true)
    }

    /// Reads these columns of the first chunk of a row window. If the texts of the chunk exceed their [`TextBudget`],
    /// reads only the first half of the chunk. Halves the chunk again until its texts fit.
    pub(super) fn first(&self, window: Window, columns: &[String]) -> Result<DataFrame, DatasetError> {
        let mut first = None;
        self.each(window, columns, &mut |part| {
            first = Some(self.read(part, columns)?);
            Ok(false)
        })?;
        Ok(first.unwrap_or_default())
    }

    /// Decodes these columns of a row window or of a chunk, in the order of `columns`.
    ///
    /// # Errors
    /// When the file can't be read or was modified, or when the texts of the rows exceed their [`TextBudget`]. In the
    /// latter case, the caller may read the same rows in smaller parts (see [`type_mapping::exceeds_budget`]).
    pub(super) fn read(&self, window: &Window, columns: &[String]) -> Result<DataFrame, DatasetError> {
        let decoded = type_mapping::catch_damage(|| self.decode(window, columns));
        // report a modification of the file first, because it may cause any other error
        self.version.check(&self.file)?;
        match decoded {
            Err(DatasetError::InColumn { .. }) if footer::is_encrypted(&self.file) => Err(ENCRYPTED),
            decoded => decoded,
        }
    }

    fn decode(&self, window: &Window, columns: &[String]) -> Result<DataFrame, DatasetError> {
        let mut parts = Vec::with_capacity(window.groups.len());
        let mut begin = 0;
        for group in window.groups.clone() {
            let height = self.metadata.row_groups[group].num_rows();
            let of = |row: usize| row.clamp(begin, begin + height) - begin;
            let rows = of(window.rows.start)..of(window.rows.end);
            if !rows.is_empty() {
                parts.push((group, rows));
            }
            begin += height;
        }
        let budget = TextBudget::new(self.text_budget, window.rows.len());
        let jobs: Vec<_> = parts.iter().flat_map(|part| columns.iter().map(move |name| (part, name))).collect();
        // each thread of the pool catches its own panics
        let read = jobs.into_par_iter().map(|((group, rows), name)| {
            type_mapping::catch_damage(|| self.column(*group, rows, name, &budget)).map_err(|e| e.in_column(name))
        });
        let mut read = read.collect::<Result<Vec<_>, _>>()?.into_iter();
        let mut frame: Option<DataFrame> = None;
        for (_, rows) in parts {
            let part = DataFrame::new(rows.len(), read.by_ref().take(columns.len()).collect())?;
            match &mut frame {
                None => frame = Some(part),
                Some(frame) => frame.vstack_mut_owned(part).map(drop)?,
            }
        }
        Ok(frame.unwrap_or_default())
    }
}

/// The error for a file that is encrypted in whole or in part.
const ENCRYPTED: DatasetError =
    DatasetError::Lacking("the file is encrypted, which is not supported: write it without encryption");

/// The error for a schema with a group that has no columns.
const EMPTY_GROUP: DatasetError =
    DatasetError::Lacking("it is a record without members, which is not supported: write the file without it");
