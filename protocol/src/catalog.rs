//! The catalog: the datasets that exporters advertise in the bucket `SLUICE_CATALOG`, and the descriptions of datasets
//! that clients see. The bucket contains an entry for each dataset of an exporter, and a heartbeat for each exporter.
//! The heartbeat names the datasets of the exporter.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{access::Access, params::ParamSpec, time::Timestamp};

/// The type of a column in filters and in the catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ColumnType {
    /// A text in Unicode.
    String,
    /// A signed whole number of 64 bits.
    Int,
    /// A binary floating-point number.
    Float,
    /// An exact decimal number; in JSON a string or a number.
    Decimal,
    /// Either true or false.
    Bool,
    /// A calendar date such as `2026-11-22`.
    Date,
    /// A moment as RFC 3339 text; without its offset in a `local` column.
    Datetime,
    /// A time of day such as `15:26:01`.
    Time,
}

/// One column of a dataset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Column {
    /// The name of the column in filters, in `columns` and in the header of the file.
    pub name: String,
    /// The type of the values.
    #[serde(rename = "type")]
    pub kind: ColumnType,
    /// The label of the column for users, if the column has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Whether a value may be NULL.
    pub nullable: bool,
    /// Whether the caller sees masked values only. A filter on a masked column is refused.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub masked: bool,
    /// Whether the moments of a `datetime` column have no time zone. Files and filters write such a moment without an
    /// offset, as in `2026-03-29T02:30:00.500`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub local: bool,
}

impl Column {
    /// Returns a nullable, unmasked column without a label. The timestamps of a `datetime` column have a time zone.
    pub fn new(name: impl Into<String>, kind: ColumnType) -> Self {
        Self { name: name.into(), kind, label: None, nullable: true, masked: false, local: false }
    }

    /// Returns the column with the type `kind`. If `local` is true, the timestamps of a `datetime` column have no time
    /// zone.
    #[must_use]
    pub fn typed(self, kind: ColumnType, local: bool) -> Self {
        Self { kind, local: local && kind == ColumnType::Datetime, ..self }
    }
}

/// One template of a dataset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TemplateInfo {
    /// The name of the template in requests.
    pub name: String,
    /// The title of the template, for users.
    pub title: String,
    /// The columns that a request may choose; absent when a request may choose all columns of the dataset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<TemplateColumn>>,
}

/// One column of a template: a column of the dataset, or a calculated one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TemplateColumn {
    /// The column. A request names it in `columns`, and the header of the file shows its label.
    #[serde(flatten)]
    pub column: Column,
    /// The names of the dataset columns from which the value is calculated.
    pub reads: Vec<String>,
}

/// One format of a dataset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FormatInfo {
    /// The name of the format in requests.
    pub name: String,
    /// The compressions of the format, the default first.
    pub compressions: Vec<String>,
    /// The `Content-Type` of an uncompressed file.
    pub media_type: String,
    /// The file name extension, without its dot.
    pub extension: String,
}

/// A dataset in the answer of `GET /v1/datasets`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DatasetInfo {
    /// The name of the dataset in requests and scopes.
    pub name: String,
    /// The title of the dataset, for users.
    pub title: String,
    /// The description of the dataset, for users.
    pub description: String,
    /// The columns, in the order of the dataset.
    pub columns: Vec<Column>,
    /// The JSON Schema of `params`.
    pub params: Value,
    /// The templates; the first one is the default.
    pub templates: Vec<TemplateInfo>,
    /// The names of the formats.
    pub formats: Vec<String>,
    /// Every compression that at least one format supports.
    pub compressions: Vec<String>,
    /// The formats with the compressions and the media type of each.
    #[serde(default)]
    pub formats_info: Vec<FormatInfo>,
    /// The approximate number of rows, if known.
    pub rows_estimate: Option<u64>,
    /// The price of one export, in credits.
    pub credits: u32,
}

/// The answer of `GET /v1/datasets`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DatasetList {
    /// The datasets that the caller may export, ordered by name.
    pub items: Vec<DatasetInfo>,
}

/// A dataset as an exporter advertises it: the value of the dataset's entry in the bucket `SLUICE_CATALOG`. The entry
/// omits the estimated number of rows, which changes often. Readers take this number from the [`DatasetRef`] in the
/// heartbeat.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CatalogDataset {
    /// The description of the dataset that clients see.
    #[serde(flatten)]
    pub info: DatasetInfo,
    /// The parameters that the gateway checks; `info.params` is the JSON Schema of the same parameters.
    pub param_specs: Vec<ParamSpec>,
    /// The time until a finished file is deleted, in seconds.
    pub retention_seconds: u64,
    /// The access rules of the dataset.
    #[serde(default)]
    pub access: Access,
    /// The approximate number of rows of all tenants together. The gateway chooses the lane by this number, and never
    /// sends it to clients. Clients see `info.rows_estimate`, which is None for a dataset with a row policy.
    #[serde(default)]
    pub total_rows: Option<u64>,
}

/// The heartbeat of one exporter: a value in the bucket `SLUICE_CATALOG` that the exporter writes again at a fixed
/// interval. The exporter writes the entry of each dataset before the first heartbeat that names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExporterHeartbeat {
    /// The envelope version, [`crate::ENVELOPE_VERSION`].
    pub v: u8,
    /// The name of the exporter. [`crate::subject::catalog_exporter`] makes the key of the heartbeat from this name.
    pub instance: String,
    /// The pool that receives the jobs of the exporter's datasets.
    pub pool: String,
    /// The time at which the exporter wrote this heartbeat.
    pub at: Timestamp,
    /// Readers ignore the heartbeat when it is older than this many milliseconds.
    pub ttl_ms: u64,
    /// The number of exports that the exporter runs at once.
    pub slots: u32,
    /// The number of slots that bulk exports may use.
    pub bulk_slots: u32,
    /// Whether an operator drains the exporter. A draining exporter accepts no new jobs and has no slots.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub draining: bool,
    /// All datasets of the exporter. A reader offers a dataset once it has received the entry with the revision in this
    /// list.
    pub datasets: Vec<DatasetRef>,
}

/// One dataset in the heartbeat of an exporter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetRef {
    /// The name of the dataset. [`crate::subject::catalog_dataset`] makes the key of the dataset's entry from this
    /// name.
    pub name: String,
    /// The revision of the dataset's entry: a digest of the entry's value.
    pub revision: String,
    /// The approximate number of rows of all tenants together; None if it is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// Whether the number of rows must stay hidden from clients, because the dataset has a row policy.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rows_hidden: bool,
}

impl DatasetRef {
    /// Adds the estimated number of rows to the description of the dataset.
    #[must_use]
    pub fn with_rows(&self, mut dataset: CatalogDataset) -> CatalogDataset {
        dataset.total_rows = self.rows;
        // under a row policy, the number of all rows would reveal rows of other tenants
        dataset.info.rows_estimate = self.rows.filter(|_| !self.rows_hidden);
        dataset
    }
}
