//! Finds common column types for the Parquet or Arrow IPC files of one dataset. A column may have another width, scale
//! or unit in each file. This module finds the type that holds the values of all files, and casts values only without
//! loss.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    path::{Path, PathBuf},
};

use polars::prelude::{Column, DataType, Schema, TimeUnit, TimeZone};

use super::{
    super::DatasetError,
    FileKind, arrow,
    column_types::column_type,
    file_version::FileVersion,
    location::ListedFile,
    parquet,
    type_mapping::{TextForm, TypeMapping},
};
use crate::value::float32;

/// The maximum number of digits of a decimal in a data frame.
const MAX_DIGITS: usize = 38;
/// The maximum number of columns that a note names.
const MAX_NAMES: usize = 8;

/// Returns the type that holds all values of both types. Returns None if the types are of different kinds, such as
/// integer and float, or if they are decimals that together need more than [`MAX_DIGITS`] digits.
fn widened(left: &DataType, right: &DataType) -> Option<DataType> {
    if left == right {
        return Some(left.clone());
    }
    Some(match (left, right) {
        (DataType::Float32 | DataType::Float64, DataType::Float32 | DataType::Float64) => DataType::Float64,
        (DataType::Decimal(left_digits, left_scale), DataType::Decimal(right_digits, right_scale)) => {
            let scale = *left_scale.max(right_scale);
            let whole = (left_digits - left_scale).max(right_digits - right_scale);
            if whole + scale > MAX_DIGITS {
                return None;
            }
            DataType::Decimal(whole + scale, scale)
        }
        (DataType::Datetime(left, zone), DataType::Datetime(right, other)) if zone == other => {
            DataType::Datetime(finer(*left, *right), zone.clone())
        }
        // timestamps of two time zones are compared and written in UTC
        (DataType::Datetime(left, Some(_)), DataType::Datetime(right, Some(_))) => {
            DataType::Datetime(finer(*left, *right), Some(TimeZone::UTC))
        }
        (left, right) if left.is_integer() && right.is_integer() => DataType::Int64,
        _ => return None,
    })
}

const fn finer(left: TimeUnit, right: TimeUnit) -> TimeUnit {
    match (left, right) {
        (TimeUnit::Nanoseconds, _) | (_, TimeUnit::Nanoseconds) => TimeUnit::Nanoseconds,
        (TimeUnit::Microseconds, _) | (_, TimeUnit::Microseconds) => TimeUnit::Microseconds,
        _ => TimeUnit::Milliseconds,
    }
}

/// Casts a column to this type. Returns None if a value would change.
pub(super) fn cast_exactly(column: &Column, dtype: &DataType) -> Result<Option<Column>, DatasetError> {
    if column.null_count() == column.len() {
        return Ok(Some(Column::full_null(column.name().clone(), column.len(), dtype)));
    }
    let cast = match (column.dtype(), dtype) {
        (DataType::Float32, DataType::Float64) => return Ok(Some(float32::widened(column)?)),
        (DataType::Float64, DataType::Float32) => return Ok(float32::narrowed(column)?),
        _ => column.cast(dtype)?,
    };
    // a cast may round, cut or overflow without an error
    let back = cast.cast(column.dtype())?;
    Ok(Some(cast).filter(|_| back.equals_missing(column)))
}

/// The columns of a dataset, with types that hold the values of all its files. The columns are those of the first file,
/// and [`by_all_footers`] widens their types.
pub(super) struct Widened {
    /// The columns of the first file. Each column has the type that holds its values in all files, unless the column is
    /// in [`Self::differing`].
    pub(super) schema: Schema,
    /// The names of the columns that have the type null in all files that were added. All values of such a column are
    /// NULL.
    pub(super) nulls: BTreeSet<String>,
    /// The text form to which the values of a column are converted, by the name of the column. The map has only columns
    /// whose values are converted to text.
    pub(super) text_forms: BTreeMap<String, TextForm>,
    /// The names of the columns that a later file has, but the first file lacks.
    pub(super) late: BTreeSet<String>,
    /// The columns of the first file that the dataset can't offer, because a later file lacks the column or has it in
    /// an incompatible type. The key is the name of the column, and the value is the reason, as a text for the
    /// operator.
    pub(super) differing: BTreeMap<String, String>,
    /// The later files that added an entry to [`Self::differing`], with their versions.
    pub(super) withheld_by: Vec<(PathBuf, FileVersion)>,
}

impl Widened {
    /// Creates the columns of a dataset from `first`, the columns of its first file. [`Self::add`] then widens their
    /// types for each later file.
    pub(super) fn new(first: TypeMapping) -> Self {
        let TypeMapping { schema, nulls, text_forms, .. } = first;
        Self {
            schema: schema.as_ref().clone(),
            nulls,
            text_forms,
            late: BTreeSet::new(),
            differing: BTreeMap::new(),
            withheld_by: Vec::new(),
        }
    }

    /// Returns a note for operators about the columns that the first file lacks; None if there are no such columns.
    pub(super) fn note(&self) -> Option<String> {
        let mut shown: Vec<_> = self.late.iter().take(MAX_NAMES).map(|name| format!("`{name}`")).collect();
        if self.late.len() > MAX_NAMES {
            shown.push("others".into());
        }
        let shown = shown.join(", ");
        (!self.late.is_empty()).then(|| format!("its first file lacks {shown}, and so they are not offered"))
    }

    /// Widens the columns so that they hold the values of a later file. `other` has the columns of that file. `file` is
    /// its name, for the reasons in [`Self::differing`].
    fn add(&mut self, file: &str, other: &TypeMapping) {
        for (name, dtype) in other.schema.iter() {
            let Some(known) = self.schema.get(name) else {
                self.late.insert(name.to_string());
                continue;
            };
            if other.nulls.contains(name.as_str()) {
                continue;
            }
            let form = other.text_forms.get(name.as_str());
            if column_type(dtype).is_some() && self.nulls.remove(name.as_str()) {
                self.schema.insert(name.clone(), dtype.clone());
                self.text_forms.extend(form.map(|form| (name.to_string(), *form)));
                continue;
            }
            let has_form = self.text_forms.get(name.as_str()) == form;
            match widened(known, dtype).filter(|_| has_form) {
                Some(wide) => drop(self.schema.insert(name.clone(), wide)),
                // a column of an unsupported type is left out for another reason
                None if column_type(known).is_none() => {}
                None => {
                    let known = type_name(known, self.text_forms.get(name.as_str()));
                    let found = type_name(dtype, form);
                    let detail = format!("it is of the type {known} in the first file, and {found} in `{file}`");
                    self.differs(name, || detail);
                }
            }
        }
        let missing: Vec<_> = self.schema.iter_names().filter(|name| !other.schema.contains(name)).cloned().collect();
        for name in missing {
            self.differs(&name, || format!("`{file}` has no such column"));
        }
    }

    fn differs(&mut self, name: &str, reason: impl FnOnce() -> String) {
        if !self.differing.contains_key(name) {
            self.differing.insert(name.to_owned(), reason());
        }
    }
}

/// Widens the types of the columns of the first file, so that they hold the values of all other local files. Reads only
/// the schemas of these files. If a column has the type null in the first file, it gets its type from the first other
/// file in which its type is supported and not null. Skips a file that can't be read, because the export reports the
/// error.
pub(super) fn by_all_footers(first: TypeMapping, others: &[ListedFile], kind: FileKind) -> Widened {
    let mut widened = Widened::new(first);
    for other in others {
        let path = Path::new(&other.name);
        // take the version first, so that a later change of the file changes its version
        let version = FileVersion::at(path);
        let Ok(mapping) = mapping(&other.name, kind) else { continue };
        let differing = widened.differing.len();
        widened.add(other.name.rsplit('/').next().unwrap_or(&other.name), &mapping);
        if widened.differing.len() > differing {
            widened.withheld_by.extend(version.map(|version| (path.to_owned(), version)));
        }
    }
    widened
}

/// Returns the name of a column's type in a file, for error texts. If the values of the column are converted to text,
/// `dtype` is text, and `form` determines the name of the original type.
fn type_name(dtype: &DataType, form: Option<&TextForm>) -> String {
    match (form, dtype) {
        (Some(TextForm::Bytes), _) => "bytes".into(),
        (Some(TextForm::Uuid), _) => "uuid".into(),
        (Some(TextForm::Duration), _) => "duration".into(),
        (Some(TextForm::Json), _) => "list or record".into(),
        (None, DataType::Datetime(_, None)) => "timestamp without a time zone".into(),
        (None, DataType::Datetime(_, Some(_))) => "timestamp with a time zone".into(),
        (None, DataType::Unknown(_)) => "that is not supported".into(),
        (None, dtype) => dtype.to_string(),
    }
}

fn mapping(path: &str, kind: FileKind) -> Result<TypeMapping, DatasetError> {
    let file = File::open(path)?;
    if kind == FileKind::Parquet { Ok(parquet::Windows::open(file)?.mapping().clone()) } else { arrow::schema(file) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NANOS: DataType = DataType::Datetime(TimeUnit::Nanoseconds, None);
    const UTC_NANOS: DataType = DataType::Datetime(TimeUnit::Nanoseconds, Some(TimeZone::UTC));

    fn berlin() -> DataType {
        let zone = TimeZone::opt_try_new(Some("Europe/Berlin")).unwrap();
        DataType::Datetime(TimeUnit::Nanoseconds, zone)
    }

    const MILLIS: DataType = DataType::Datetime(TimeUnit::Milliseconds, None);

    #[test]
    fn the_wider_type_holds_all_values_of_both() {
        use DataType::{Decimal, Float32, Float64, Int32, Int64, String, UInt8};
        for (left, right, wide) in [
            (Int32, Int64, Some(Int64)),
            (UInt8, Int32, Some(Int64)),
            (Float32, Float64, Some(Float64)),
            (Decimal(10, 2), Decimal(10, 4), Some(Decimal(12, 4))),
            (Decimal(38, 0), Decimal(38, 10), None),
            (NANOS, MILLIS, Some(NANOS)),
            (berlin(), DataType::Datetime(TimeUnit::Milliseconds, Some(TimeZone::UTC)), Some(UTC_NANOS)),
            (berlin(), NANOS, None),
            (Int64, Float64, None),
            (Int64, String, None),
        ] {
            assert_eq!(widened(&left, &right), wide, "{left:?} and {right:?}");
            assert_eq!(widened(&right, &left), wide, "{right:?} and {left:?}");
        }
    }

    #[test]
    fn a_cast_that_would_change_a_value_is_refused() {
        let cast = |from: Column, dtype: DataType| cast_exactly(&from, &dtype).unwrap().is_some();
        let decimals =
            |text: &str| Column::new("d".into(), [Some(text), None]).cast(&DataType::Decimal(10, 3)).unwrap();
        assert!(
            cast(decimals("1.500"), DataType::Decimal(10, 1)) && !cast(decimals("1.005"), DataType::Decimal(10, 2))
        );
        let moments = |nanos: i64| Column::new("t".into(), [Some(nanos), None]).cast(&NANOS).unwrap();
        assert!(cast(moments(5_000_000), MILLIS) && !cast(moments(5_000_001), MILLIS));
        let far = Column::new("t".into(), [253_402_214_400_000_i64]).cast(&MILLIS).unwrap();
        assert!(!cast(far, NANOS), "the year 9999 is beyond nanoseconds");
        assert!(!cast(Column::new("n".into(), [3_000_000_000_i64]), DataType::Int32));
        assert!(cast(Column::new("n".into(), [Some(3_i64), None]), DataType::Int32));
    }
}
