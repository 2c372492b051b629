//! Builds data frames from rows, for all sources that are read row by row.

use polars::prelude::{
    BooleanChunkedBuilder, ChunkedBuilder, Column as PolarsColumn, DataFrame, DataType, Float64Type, Int32Type,
    Int64Type, IntoColumn, IntoSeries, PrimitiveChunkedBuilder, Series, StringChunkedBuilder, TimeUnit,
};
use protocol::catalog::{Column, ColumnType};

use super::DatasetError;

/// The maximum number of rows in a data frame.
const FRAME_ROWS: usize = 8192;
/// The total size of values, in bytes, at which a data frame is full. The last row may make the frame larger.
const FRAME_BYTES: usize = 4 << 20;

/// Returns the polars type in which a data frame stores the values of a column of type `kind`. Decimals are stored as
/// text, which keeps all their digits.
pub(super) const fn dtype(kind: ColumnType) -> DataType {
    match kind {
        ColumnType::String | ColumnType::Decimal => DataType::String,
        ColumnType::Int => DataType::Int64,
        ColumnType::Float => DataType::Float64,
        ColumnType::Bool => DataType::Boolean,
        ColumnType::Date => DataType::Date,
        ColumnType::Datetime => DataType::Datetime(TimeUnit::Microseconds, None),
        ColumnType::Time => DataType::Time,
    }
}

/// Collects the values of rows by column, and builds data frames from these values.
pub(super) struct FrameBuilder {
    columns: Vec<(Column, ColumnBuilder)>,
    rows: usize,
    bytes: usize,
}

/// The values of one column for the next data frame.
pub(super) enum ColumnBuilder {
    Text(StringChunkedBuilder),
    /// Exact decimals, stored as text.
    Decimal(StringChunkedBuilder),
    Int(PrimitiveChunkedBuilder<Int64Type>),
    Float(PrimitiveChunkedBuilder<Float64Type>),
    Bool(BooleanChunkedBuilder),
    /// Dates, in days since 1970-01-01.
    Date(PrimitiveChunkedBuilder<Int32Type>),
    /// Timestamps, in microseconds since 1970-01-01T00:00:00Z. Timestamps without a time zone count from
    /// 1970-01-01T00:00:00 in their own, unknown zone.
    Datetime(PrimitiveChunkedBuilder<Int64Type>),
    /// Times of day, in nanoseconds since midnight.
    Time(PrimitiveChunkedBuilder<Int64Type>),
}

impl FrameBuilder {
    pub(super) fn new(columns: impl IntoIterator<Item = Column>) -> Self {
        let columns = columns.into_iter().map(|column| (ColumnBuilder::new(&column), column));
        Self { columns: columns.map(|(builder, column)| (column, builder)).collect(), rows: 0, bytes: 0 }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Whether the collected rows fill a data frame. If so, the caller should call [`Self::take`].
    pub(super) const fn is_full(&self) -> bool {
        self.rows >= FRAME_ROWS || self.bytes >= FRAME_BYTES
    }

    /// Appends a row by calling `append` for each column, in order, with the index and the builder of the column.
    /// `append` must append exactly one value to the builder, and return the size of the value in bytes. For values
    /// other than text, it may return 0.
    ///
    /// # Errors
    /// The error of `append`. [`AppendError::Value`] becomes [`DatasetError::Value`] with the name of the column.
    pub(super) fn push<E: Into<AppendError>>(
        &mut self,
        mut append: impl FnMut(usize, &mut ColumnBuilder) -> Result<usize, E>,
    ) -> Result<(), DatasetError> {
        self.push_typed(|index, _, builder| append(index, builder))
    }

    /// Appends a row like [`Self::push`], but also passes the [`Column`] of each value to `append`.
    pub(super) fn push_typed<E: Into<AppendError>>(
        &mut self,
        mut append: impl FnMut(usize, &Column, &mut ColumnBuilder) -> Result<usize, E>,
    ) -> Result<(), DatasetError> {
        for (index, (column, builder)) in self.columns.iter_mut().enumerate() {
            self.bytes += append(index, column, builder).map_err(|error| match error.into() {
                AppendError::Value(detail) => DatasetError::Value { column: column.name.clone(), detail },
                AppendError::Source(error) => error,
            })?;
        }
        self.rows += 1;
        Ok(())
    }

    /// Returns the collected rows as a data frame, and starts the next frame.
    pub(super) fn take(&mut self) -> Result<DataFrame, DatasetError> {
        let rows = std::mem::take(&mut self.rows);
        self.bytes = 0;
        let columns = self
            .columns
            .iter_mut()
            .map(|(column, builder)| std::mem::replace(builder, ColumnBuilder::new(column)).finish(column.kind));
        Ok(DataFrame::new(rows, columns.collect::<Result<_, _>>()?)?)
    }
}

/// The reason why a value cannot be appended to a column.
pub(super) enum AppendError {
    /// The value does not fit the column. The text gives the reason, and does not repeat the value.
    Value(&'static str),
    /// The source failed to return the value.
    Source(DatasetError),
}

impl From<&'static str> for AppendError {
    fn from(detail: &'static str) -> Self {
        Self::Value(detail)
    }
}

impl From<DatasetError> for AppendError {
    fn from(error: DatasetError) -> Self {
        Self::Source(error)
    }
}

impl ColumnBuilder {
    fn new(column: &Column) -> Self {
        let name = column.name.as_str().into();
        match column.kind {
            ColumnType::String => Self::Text(StringChunkedBuilder::new(name, FRAME_ROWS)),
            ColumnType::Decimal => Self::Decimal(StringChunkedBuilder::new(name, FRAME_ROWS)),
            ColumnType::Int => Self::Int(PrimitiveChunkedBuilder::new(name, FRAME_ROWS)),
            ColumnType::Float => Self::Float(PrimitiveChunkedBuilder::new(name, FRAME_ROWS)),
            ColumnType::Bool => Self::Bool(BooleanChunkedBuilder::new(name, FRAME_ROWS)),
            ColumnType::Date => Self::Date(PrimitiveChunkedBuilder::new(name, FRAME_ROWS)),
            ColumnType::Datetime => Self::Datetime(PrimitiveChunkedBuilder::new(name, FRAME_ROWS)),
            ColumnType::Time => Self::Time(PrimitiveChunkedBuilder::new(name, FRAME_ROWS)),
        }
    }

    pub(super) fn append_null(&mut self) {
        match self {
            Self::Text(values) | Self::Decimal(values) => values.append_null(),
            Self::Int(values) | Self::Datetime(values) | Self::Time(values) => values.append_null(),
            Self::Float(values) => values.append_null(),
            Self::Bool(values) => values.append_null(),
            Self::Date(values) => values.append_null(),
        }
    }

    fn finish(self, kind: ColumnType) -> Result<PolarsColumn, DatasetError> {
        let series: Series = match self {
            Self::Text(values) | Self::Decimal(values) => values.finish().into_series(),
            Self::Int(values) | Self::Datetime(values) | Self::Time(values) => values.finish().into_series(),
            Self::Float(values) => values.finish().into_series(),
            Self::Bool(values) => values.finish().into_series(),
            Self::Date(values) => values.finish().into_series(),
        };
        Ok(series.cast(&dtype(kind))?.into_column())
    }
}
