//! The catalog: what exporters offer, as they advertise it in the `SLUICE_CATALOG` bucket and as clients see it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{access::Access, params::ParamSpec, time::Timestamp};

/// The type of a column, as clients and filters see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ColumnType {
    /// Text.
    String,
    /// A whole number of at most 64 bits.
    Int,
    /// A binary floating-point number.
    Float,
    /// An exact decimal number; in JSON a string or a number.
    Decimal,
    /// true or false.
    Bool,
    /// A calendar date, `2026-11-22`.
    Date,
    /// A moment, RFC 3339.
    Datetime,
    /// A time of day, `15:26:01`.
    Time,
}

/// One column of a dataset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Column {
    /// The name in filters, in `columns` and in the file's header.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: ColumnType,
    /// A label for people, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Whether it may be NULL.
    pub nullable: bool,
    /// Whether the caller has it masked only: then no filter can ask about it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub masked: bool,
}

impl Column {
    /// A nullable column without a label.
    pub fn new(name: impl Into<String>, kind: ColumnType) -> Self {
        Self { name: name.into(), kind, label: None, nullable: true, masked: false }
    }
}

/// One template of a dataset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TemplateInfo {
    /// The name in requests.
    pub name: String,
    /// For people.
    pub title: String,
    /// The columns that may be chosen with it, where they are not those of the dataset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<TemplateColumn>>,
}

/// One column of a template: a column of the dataset, or a calculated one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TemplateColumn {
    /// The column: its name is what a request's `columns` take, its label what stands in the file.
    #[serde(flatten)]
    pub column: Column,
    /// The dataset's columns that it is made of.
    pub reads: Vec<String>,
}

/// One format of a dataset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FormatInfo {
    /// The name in requests.
    pub name: String,
    /// How its files may be compressed, the default first.
    pub compressions: Vec<String>,
    /// For `Content-Type` of files that are not compressed.
    pub media_type: String,
    /// The end of a file's name, without its dot.
    pub extension: String,
}

/// A dataset as `GET /v1/datasets` shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DatasetInfo {
    /// The name in requests and scopes.
    pub name: String,
    /// For people.
    pub title: String,
    /// For people.
    pub description: String,
    /// Its columns, in their own order.
    pub columns: Vec<Column>,
    /// JSON Schema of `params`.
    pub params: Value,
    /// Its templates; the first is the default one.
    pub templates: Vec<TemplateInfo>,
    /// The formats on offer.
    pub formats: Vec<String>,
    /// The compressions on offer, by any of the formats.
    pub compressions: Vec<String>,
    /// The formats with what each of them can do.
    #[serde(default)]
    pub formats_info: Vec<FormatInfo>,
    /// About how many rows it has, where that is known.
    pub rows_estimate: Option<u64>,
    /// What one export of it costs.
    pub credits: u32,
}

/// The answer of `GET /v1/datasets`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DatasetList {
    /// What the caller may export, by name.
    pub items: Vec<DatasetInfo>,
}

/// A dataset as an exporter advertises it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CatalogDataset {
    /// What clients see.
    #[serde(flatten)]
    pub info: DatasetInfo,
    /// The parameters as the gateway checks them; `info.params` is made from these.
    pub param_specs: Vec<ParamSpec>,
    /// How long a finished file is kept, seconds.
    pub retention_seconds: u64,
    /// Who may see what of it.
    #[serde(default)]
    pub access: Access,
    /// About how many rows all callers have together. It decides the lane, and is for nobody to see: where a row policy
    /// holds, `info.rows_estimate` is None.
    #[serde(default)]
    pub total_rows: Option<u64>,
}

/// What one exporter offers: the value of its key in `SLUICE_CATALOG`, put again at each heartbeat.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CatalogEntry {
    /// [`crate::ENVELOPE_VERSION`].
    pub v: u8,
    /// The exporter, and the key.
    pub instance: String,
    /// Jobs of these datasets go to this pool.
    pub pool: String,
    /// When this was put.
    pub at: Timestamp,
    /// After this many milliseconds without a new put the entry counts for nothing.
    pub ttl_ms: u64,
    /// Exports that it can run at once.
    #[serde(default = "one")]
    pub slots: u32,
    /// Bulk exports among them.
    #[serde(default = "one")]
    pub bulk_slots: u32,
    /// Whether it takes no new jobs, as an operator wants it to end; then it has no slots.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub draining: bool,
    /// What it offers.
    pub datasets: Vec<CatalogDataset>,
}

/// An exporter that doesn't say runs at least one.
const fn one() -> u32 {
    1
}
