//! A catalog file as a team writes it (`docs/catalog.md`): its shape, and what can be checked without any source.

use std::{collections::BTreeMap, path::Path, time::Duration};

use protocol::{
    access::{ColumnRule, Without},
    catalog::{Column, ColumnType},
    params::{ParamSpec, ParamType},
};
use serde::Deserialize;
use toml::Spanned;

use super::fault::{CatalogFault, CatalogFaults, line_of};
use crate::{
    dataset::{
        FileKind, Snapshot,
        sql::{Raw, Source},
    },
    template::TemplateSpec,
};

/// A whole file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CatalogSpec {
    /// `[source.NAME]`: where rows come from.
    #[serde(default)]
    pub(crate) source: BTreeMap<String, Spanned<SourceSpec>>,
    /// `[[dataset]]`.
    #[serde(default)]
    pub(crate) dataset: Vec<Spanned<DatasetSpec>>,
    /// `[[template]]`.
    #[serde(default)]
    pub(crate) template: Vec<Spanned<TemplateSpec>>,
}

/// A value that stands elsewhere, so that the file holds no secret.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "toml::Value")]
pub(crate) enum SecretRef {
    /// In an environment variable of the exporter.
    Env(String),
    /// In a file, without the line end.
    File(String),
}

impl TryFrom<toml::Value> for SecretRef {
    type Error = &'static str;

    /// The error repeats nothing of the value: somebody may have written the secret itself.
    fn try_from(value: toml::Value) -> Result<Self, Self::Error> {
        let text = |name: &str| value.get(name).and_then(toml::Value::as_str).map(str::to_owned);
        match (text("env"), text("file"), value.as_table().map(toml::Table::len)) {
            (Some(name), None, Some(1)) => Ok(Self::Env(name)),
            (None, Some(path), Some(1)) => Ok(Self::File(path)),
            _ => Err("a secret stands elsewhere: write { env = \"NAME\" } or { file = \"/path\" }"),
        }
    }
}

/// `[source.NAME]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, tag = "kind", rename_all = "lowercase")]
pub(crate) enum SourceSpec {
    /// The exporter's own database.
    Database {},
    /// A PostgreSQL server.
    Postgres {
        /// `postgres://…`
        url: SecretRef,
        /// Connections at once.
        connections: Option<usize>,
        /// Connections of one export.
        connections_per_export: Option<usize>,
        /// How long to wait for the next rows.
        read_timeout: Option<String>,
        /// So few rows of a table are read by one statement, which an index may serve.
        few_rows: Option<u64>,
    },
    /// A SQLite file.
    Sqlite {
        /// The file.
        path: String,
    },
    /// A bucket.
    S3 {
        /// Its name.
        bucket: String,
        /// The URL of a server other than Amazon's.
        endpoint: Option<String>,
        /// The region that requests are signed for.
        region: Option<String>,
        /// The key; without one, that of the environment or the machine.
        access_key_id: Option<SecretRef>,
        /// Its secret.
        secret_access_key: Option<SecretRef>,
        /// Whether plain HTTP is fine.
        #[serde(default)]
        allow_http: bool,
    },
    /// An HTTP endpoint.
    Http {
        /// What the datasets' `files` are appended to.
        base: String,
        /// A token for `Authorization: Bearer`.
        bearer: Option<SecretRef>,
    },
}

/// `[[dataset]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DatasetSpec {
    pub(crate) name: Spanned<String>,
    pub(crate) title: Option<String>,
    #[serde(default)]
    pub(crate) description: String,
    /// A `[source.NAME]`; none for files of this machine.
    pub(crate) from: Option<Spanned<String>>,
    /// A table or view, or …
    pub(crate) table: Option<String>,
    /// … a query, or …
    pub(crate) query: Option<Spanned<String>>,
    /// … files.
    pub(crate) files: Option<Spanned<String>>,
    /// `parquet`, `csv`, `tsv`, `ndjson` or `arrow`, where the name does not tell.
    pub(crate) format: Option<Spanned<String>>,
    /// The column that rows are ordered by.
    pub(crate) order: Option<Spanned<String>>,
    /// In the order of the dataset; all that the source has, when there are none.
    #[serde(default, rename = "column")]
    pub(crate) columns: Vec<Spanned<ColumnSpec>>,
    #[serde(default, rename = "param")]
    pub(crate) params: Vec<Spanned<ParamEntry>>,
    /// The columns that say whose a row is.
    pub(crate) tenant_column: Option<Spanned<OneOrMany>>,
    /// Whether all rows are of one moment.
    pub(crate) snapshot: Option<Spanned<Snapshot>>,
    /// The key whose ranges several connections read, of what has no pages of its own.
    pub(crate) split_by: Option<Spanned<String>>,
    /// What files say that made them; a digest of this table when it is left out.
    pub(crate) version: Option<String>,
    /// A filter that always holds.
    pub(crate) row_policy: Option<Spanned<toml::Value>>,
    /// Scopes that are needed besides `export:<name>`.
    #[serde(default)]
    pub(crate) scopes: Vec<String>,
    pub(crate) credits: Option<u32>,
    /// Such as `24h`.
    pub(crate) retention: Option<Spanned<String>>,
}

/// `"a"` or `["a", "b"]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum OneOrMany {
    /// One name.
    One(String),
    /// Several.
    Many(Vec<String>),
}

impl OneOrMany {
    /// All names.
    pub(crate) fn names(&self) -> Vec<String> {
        match self {
            Self::One(name) => vec![name.clone()],
            Self::Many(names) => names.clone(),
        }
    }
}

/// `[[dataset.column]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ColumnSpec {
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) kind: Option<ColumnType>,
    pub(crate) label: Option<String>,
    pub(crate) nullable: Option<bool>,
    /// The scope that shows the column as it is.
    pub(crate) scope: Option<String>,
    /// What others have of it; `hidden` unless said otherwise.
    pub(crate) without: Option<Without>,
}

/// `[[dataset.param]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ParamEntry {
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) kind: ParamType,
    #[serde(default)]
    pub(crate) description: String,
    pub(crate) default: Option<serde_json::Value>,
    pub(crate) max_items: Option<usize>,
}

/// Values of a list parameter, unless it says otherwise.
const MAX_ITEMS: usize = 1_000;

/// What a dataset's rows are.
#[derive(Clone, Debug)]
pub(crate) enum Rows {
    /// Of a database.
    Sql(Source),
    /// Of files.
    Files(String, FileKind),
}

impl CatalogSpec {
    /// Reads a file's text.
    ///
    /// # Errors
    /// The first fault of its syntax or shape, with its line.
    pub(crate) fn parse(file: &Path, text: &str) -> Result<Self, CatalogFaults> {
        toml::from_str(text).map_err(|e| {
            let line = e.span().map(|span| line_of(text, span.start));
            let fault = CatalogFault { line, what: "syntax".into(), detail: e.message().to_owned() };
            CatalogFaults::new(file, vec![fault])
        })
    }
}

impl DatasetSpec {
    /// What its rows are, as far as the text tells.
    ///
    /// # Errors
    /// The fault, and where it stands.
    pub(crate) fn rows(&self, at: usize) -> Result<Rows, (usize, String)> {
        let params = self.params();
        match (&self.table, &self.query, &self.files) {
            (Some(table), None, None) => {
                if !params.is_empty() {
                    return Err((at, "a table takes no parameters: write a `query` that names them".into()));
                }
                Ok(Rows::Sql(Source::table(table)))
            }
            (None, Some(query), None) => {
                let raw = Raw::parse(query.get_ref(), &params).map_err(|e| (query.span().start, e.to_string()))?;
                Ok(Rows::Sql(Source::Query(raw.into())))
            }
            (None, None, Some(files)) => {
                if !params.is_empty() {
                    return Err((at, "files take no parameters: use filters".into()));
                }
                let kind = match &self.format {
                    Some(format) => FileKind::of(&format!(".{}", format.get_ref())).ok_or_else(|| {
                        (format.span().start, "the formats are parquet, csv, tsv, ndjson and arrow".to_owned())
                    })?,
                    None => FileKind::of(files.get_ref()).ok_or_else(|| {
                        (files.span().start, "the name does not tell the format: add `format`".to_owned())
                    })?,
                };
                Ok(Rows::Files(files.get_ref().clone(), kind))
            }
            _ => Err((at, "a dataset has one of `table`, `query` and `files`".into())),
        }
    }

    /// Its declared columns; those without a type are strings until the source tells.
    pub(crate) fn columns(&self) -> Vec<Column> {
        let columns = self.columns.iter().map(Spanned::get_ref).map(|spec| Column {
            label: spec.label.clone(),
            nullable: spec.nullable.unwrap_or(true),
            ..Column::new(spec.name.clone(), spec.kind.unwrap_or(ColumnType::String))
        });
        columns.collect()
    }

    /// Its parameters.
    pub(crate) fn params(&self) -> Vec<ParamSpec> {
        let params = self.params.iter().map(Spanned::get_ref).map(|spec| ParamSpec {
            name: spec.name.clone(),
            kind: spec.kind,
            description: spec.description.clone(),
            default: spec.default.clone(),
            max_items: spec.max_items.or((spec.kind == ParamType::Strings).then_some(MAX_ITEMS)),
        });
        params.collect()
    }

    /// The rules of its columns.
    pub(crate) fn rules(&self) -> Vec<ColumnRule> {
        let rules = self.columns.iter().map(Spanned::get_ref).filter_map(|spec| {
            let scope = spec.scope.clone()?;
            Some(ColumnRule { column: spec.name.clone(), scope, without: spec.without.unwrap_or(Without::Hidden) })
        });
        rules.collect()
    }
}

/// `90s`, `15m`, `24h` or `7d`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wanted = || format!("`{text}` is no duration: write a number with s, m, h or d, such as 24h");
    let unit = match text.chars().next_back() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3_600,
        Some('d') => 86_400,
        _ => return Err(wanted()),
    };
    let number: u64 = text[..text.len() - 1].parse().map_err(|_| wanted())?;
    let seconds = number.checked_mul(unit).filter(|s| (1..=366 * 86_400).contains(s));
    seconds.map(Duration::from_secs).ok_or_else(|| "a duration is from 1s to 366d".to_owned())
}
