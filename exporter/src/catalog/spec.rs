//! The structure of a catalog file (`docs/catalog.md`), and the checks that need no source.

use std::{collections::BTreeMap, path::Path};

use platform::units::HumanDuration;
use protocol::{
    access::{ColumnMask, ColumnRule},
    catalog::{Column, ColumnType},
    params::{ParamSpec, ParamType},
};
use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::fault::{CatalogFault, CatalogFaults, line_of};
use crate::{
    dataset::{
        Comments, CsvDialect, FileKind, Snapshot,
        sql::{OrderBy, QueryText, Source, SqlDialect},
    },
    template::TemplateSpec,
};

/// Returns the JSON Schema (2020-12) of a catalog file, for completion and checks in editors.
#[must_use]
pub fn json_schema() -> serde_json::Value {
    schemars::schema_for!(CatalogSpec).to_value()
}

/// The datasets and templates that an exporter of Sluice offers.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Sluice catalog")]
pub(crate) struct CatalogSpec {
    /// The sources of rows, by name.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, SourceSpec>")]
    pub(crate) source: BTreeMap<String, Spanned<SourceSpec>>,
    /// The datasets that users may export.
    #[serde(default)]
    #[schemars(with = "Vec<DatasetSpec>")]
    pub(crate) dataset: Vec<Spanned<DatasetSpec>>,
    /// The templates, besides the built-in ones `default`, `plain` and `spreadsheet`.
    #[serde(default)]
    #[schemars(with = "Vec<TemplateSpec>")]
    pub(crate) template: Vec<Spanned<TemplateSpec>>,
}

/// A reference to a secret, so that the catalog file holds no secret.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(try_from = "toml::Value")]
#[schemars(!try_from, rename_all = "lowercase")]
pub(crate) enum SecretRef {
    /// The name of the environment variable that holds the secret.
    Env(String),
    /// The path of a file that holds the secret. A relative path begins at `exporter.datasets_dir`. Line ends at the
    /// end of the file are removed.
    File(String),
}

impl TryFrom<toml::Value> for SecretRef {
    type Error = &'static str;

    /// Parses a reference. The error does not repeat the value, which may be the secret itself.
    fn try_from(value: toml::Value) -> Result<Self, Self::Error> {
        let text = |name: &str| value.get(name).and_then(toml::Value::as_str).map(str::to_owned);
        match (text("env"), text("file"), value.as_table().map(toml::Table::len)) {
            (Some(name), None, Some(1)) => Ok(Self::Env(name)),
            (None, Some(path), Some(1)) => Ok(Self::File(path)),
            _ => Err("a catalog holds no secrets: write { env = \"NAME\" } or { file = \"/path\" }"),
        }
    }
}

/// A source of rows: a database, or a location of files.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, tag = "kind", rename_all = "lowercase")]
pub(crate) enum SourceSpec {
    /// A database of a PostgreSQL server.
    Postgres {
        /// The URL of the server, `postgres://…`.
        url: SecretRef,
        /// The maximum number of connections of this exporter to the server; 16 by default.
        connections: Option<usize>,
        /// The maximum number of connections of one export to the server; 2 by default.
        connections_per_export: Option<usize>,
        /// The maximum wait for the next rows from the server; 10m by default.
        read_timeout: Option<HumanDuration>,
        /// If the planner expects that at most this number of rows pass the filter of an export, one statement reads
        /// the table, and can use an index. For more rows, several connections each read a range of the table. 100,000
        /// by default.
        few_rows: Option<u64>,
    },
    /// A SQLite file, opened for reading only.
    Sqlite {
        /// The path of the SQLite file. A relative path begins at `exporter.datasets_dir`.
        path: String,
    },
    /// A bucket of S3, or of a compatible server.
    S3 {
        /// The name of the bucket.
        bucket: String,
        /// The URL of the S3 server; Amazon's by default.
        endpoint: Option<String>,
        /// The region for which requests are signed; us-east-1 by default.
        region: Option<String>,
        /// The access key ID. By default, the credentials come from environment variables or from the cloud role of the
        /// machine.
        access_key_id: Option<SecretRef>,
        /// The secret access key, which belongs to `access_key_id`.
        secret_access_key: Option<SecretRef>,
        /// Whether requests may use unencrypted HTTP; false by default.
        #[serde(default)]
        allow_http: bool,
    },
    /// Files behind an HTTP or HTTPS address.
    Http {
        /// The base URL, against which the `files` of a dataset are resolved.
        base: String,
        /// The token of the header `Authorization: Bearer`.
        bearer: Option<SecretRef>,
    },
}

/// A dataset that users may export.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DatasetSpec {
    /// The name of the dataset in requests and scopes: 1 to 64 letters, digits, `_`, `-` and `.`.
    #[schemars(with = "String")]
    pub(crate) name: Spanned<String>,
    /// The title of the dataset that users see; the name by default.
    pub(crate) title: Option<String>,
    /// The description of the dataset that users see.
    #[serde(default)]
    pub(crate) description: String,
    /// The name of the source that the dataset reads. Without a source, `files` are files on the exporter's machine.
    #[schemars(with = "Option<String>")]
    pub(crate) from: Option<Spanned<String>>,
    /// A table or view, written as `name` or `schema.name`. A dataset has one of `table`, `query` and `files`.
    pub(crate) table: Option<String>,
    /// One SELECT, WITH, VALUES or TABLE statement, with `:name` for each parameter.
    #[schemars(with = "Option<String>")]
    pub(crate) query: Option<Spanned<String>>,
    /// A path, key or URL, in which `*`, `?` and `[…]` match many files. A relative path begins at
    /// `exporter.datasets_dir`.
    #[schemars(with = "Option<String>")]
    pub(crate) files: Option<Spanned<String>>,
    /// The format of the files: `parquet`, `csv`, `tsv`, `ndjson` or `arrow`; by default the extension decides.
    #[schemars(with = "Option<String>")]
    pub(crate) format: Option<Spanned<String>>,
    /// The character between two fields of CSV or TSV files: one ASCII character. By default `,` for CSV and a tab for
    /// TSV.
    #[schemars(with = "Option<String>")]
    pub(crate) delimiter: Option<Spanned<String>>,
    /// The character at the start of comment lines before the header of a CSV file: `#`, or an empty text if the files
    /// have no comments. By default, the lines at the start of a file that begin with `#` are comments, but the last of
    /// these lines may be the header. To decide, the exporter compares the number of fields in this line and in the
    /// line below. If the numbers are equal and no space follows the `#`, the line is the header. If the numbers are
    /// equal and above 1, and a space follows the `#`, the exporter refuses the file until this key is set.
    #[schemars(with = "Option<String>")]
    pub(crate) comment: Option<Spanned<String>>,
    /// The character around fields of CSV files: `"`, the default, or an empty text for files in which quotes are
    /// ordinary characters.
    #[schemars(with = "Option<String>")]
    pub(crate) quote: Option<Spanned<String>>,
    /// The column, or the list of columns, by which rows are ordered; `NAME desc` for the largest value first.
    #[schemars(with = "Option<OneOrMany>")]
    pub(crate) order: Option<Spanned<OneOrMany>>,
    /// The columns, in the order of the dataset; all columns of the source by default.
    #[serde(default, rename = "column")]
    #[schemars(with = "Vec<ColumnSpec>")]
    pub(crate) columns: Vec<Spanned<ColumnSpec>>,
    /// The parameters of the query.
    #[serde(default, rename = "param")]
    #[schemars(with = "Vec<ParamEntry>")]
    pub(crate) params: Vec<Spanned<ParamEntry>>,
    /// The columns that name the tenant of a row; by default those called `tenant` or `tenant_id`.
    #[schemars(with = "Option<OneOrMany>")]
    pub(crate) tenant_column: Option<Spanned<OneOrMany>>,
    /// `export`, the default, reads all rows in one snapshot. `none` reads each range of rows in a separate snapshot,
    /// and is for PostgreSQL only.
    #[schemars(with = "Option<Snapshot>")]
    pub(crate) snapshot: Option<Spanned<Snapshot>>,
    /// The column whose values split the rows of a PostgreSQL view, query or partitioned table into ranges. Several
    /// connections read these ranges at once.
    #[schemars(with = "Option<String>")]
    pub(crate) split_by: Option<Spanned<String>>,
    /// The dataset's version, which manifests record beside its name; by default, a digest of this `[[dataset]]` table.
    pub(crate) version: Option<String>,
    /// A filter that every row must pass, with `{ claim = "NAME" }` for values of the caller's token.
    #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
    pub(crate) row_policy: Option<Spanned<toml::Value>>,
    /// The scopes that an export requires besides `export:<name>`. A caller needs all of them.
    #[serde(default)]
    pub(crate) scopes: Vec<String>,
    /// The price of one export, in credits; 1 by default.
    pub(crate) credits: Option<u32>,
    /// How long a finished file is kept, from 1s to 366days; 24h by default.
    #[schemars(with = "Option<HumanDuration>")]
    pub(crate) retention: Option<Spanned<HumanDuration>>,
}

/// One name, or a list of names.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum OneOrMany {
    /// A single name, written without a list.
    One(String),
    /// A list of names.
    Many(Vec<String>),
}

impl OneOrMany {
    /// Returns the names as a list, which may have a single entry.
    pub(crate) fn names(&self) -> Vec<String> {
        match self {
            Self::One(name) => vec![name.clone()],
            Self::Many(names) => names.clone(),
        }
    }
}

/// A column of a dataset.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ColumnSpec {
    /// The name of a column of the source.
    pub(crate) name: String,
    /// The type of the column; by default its type in the source.
    #[serde(rename = "type")]
    pub(crate) kind: Option<ColumnType>,
    /// `true` declares that the timestamps of a `datetime` column have no time zone. If false, the default, the source
    /// decides. A column whose timestamps have a time zone in the source is refused.
    #[serde(default)]
    pub(crate) local: bool,
    /// The label of the column that users see.
    pub(crate) label: Option<String>,
    /// Whether a value of the column may be NULL; true by default.
    pub(crate) nullable: Option<bool>,
    /// The scope that a caller needs to see the values of the column.
    pub(crate) scope: Option<String>,
    /// How the column appears to a caller who lacks the column's `scope`; `hidden` by default.
    pub(crate) mask: Option<ColumnMask>,
}

/// A parameter of a query.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ParamEntry {
    /// The name of the parameter in requests. The query refers to the parameter as `:name`.
    pub(crate) name: String,
    /// The type of the parameter's value.
    #[serde(rename = "type")]
    pub(crate) kind: ParamType,
    /// The description of the parameter that users see.
    #[serde(default)]
    pub(crate) description: String,
    /// The value of the parameter in a request that omits it. Without a default, the parameter is required.
    pub(crate) default: Option<serde_json::Value>,
    /// The maximum number of values that a caller may give for a list parameter; 1,000 by default.
    pub(crate) max_items: Option<usize>,
}

/// The default of `max_items`, the maximum number of values of a list parameter.
const MAX_ITEMS: usize = 1_000;

/// The fault text for a table or query whose source is no database.
pub(super) const NO_DATABASE: &str = "a table or query needs `from`, the name of a database";

/// The fault text for a PostgreSQL dataset whose key `table` is not `name` or `schema.name`: the key has too many
/// parts, or an empty part.
const DOTTED: &str = "`table` is `name` or `schema.name` for a PostgreSQL source: read a table of another database through a \
    source of its own, and a table whose own name has a dot by a `query`, such as SELECT * FROM schema.\"a.b\"";

/// Where the rows of a dataset come from: SQL or files.
#[derive(Clone, Debug)]
pub(crate) enum Rows {
    /// The rows of a table or query.
    Sql(Source),
    /// Files, by their path, object key or URL, and the kind of these files.
    Files(String, FileKind),
}

impl CatalogSpec {
    /// Parses the text of a catalog file.
    ///
    /// # Errors
    /// Returns the first fault of the file's syntax or structure, with its line.
    pub(crate) fn parse(file: &Path, text: &str) -> Result<Self, CatalogFaults> {
        toml::from_str(text).map_err(|e| {
            let line = e.span().map(|span| line_of(text, span.start));
            let fault = CatalogFault { line, what: "syntax".into(), detail: e.message().to_owned() };
            CatalogFaults::new(file, vec![fault])
        })
    }
}

/// The fault text for one of the keys `delimiter`, `comment` and `quote` in a dataset that reads no CSV or TSV files.
const CSV_KEYS: &str = "`delimiter`, `comment` and `quote` are for CSV files";

impl DatasetSpec {
    /// Returns where the rows of the dataset come from. `at` is the byte position of the `[[dataset]]` table in the
    /// file. `dialect` is the SQL dialect of the source; None if the source is no database.
    ///
    /// # Errors
    /// Returns the text of a fault, and its byte position in the file.
    pub(crate) fn rows(&self, at: usize, dialect: Option<SqlDialect>) -> Result<Rows, (usize, String)> {
        let params = self.params();
        if let (None, Some(key)) = (&self.files, self.csv_key()) {
            return Err((key.span().start, CSV_KEYS.into()));
        }
        match (&self.table, &self.query, &self.files) {
            (Some(table), None, None) => {
                if !params.is_empty() {
                    return Err((at, "a table takes no parameters: write a `query` that names them".into()));
                }
                let parts: Vec<_> = table.split('.').collect();
                if dialect == Some(SqlDialect::Postgres) && (parts.len() > 2 || parts.contains(&"")) {
                    return Err((at, DOTTED.into()));
                }
                Ok(Rows::Sql(Source::table(table)))
            }
            (None, Some(query), None) => {
                let dialect = dialect.ok_or_else(|| (at, NO_DATABASE.to_owned()))?;
                let text = QueryText::parse_for(dialect, query.get_ref(), &params);
                let text = text.map_err(|e| (query.span().start, e.to_string()))?;
                Ok(Rows::Sql(Source::Query(text.into())))
            }
            (None, None, Some(files)) => {
                if !params.is_empty() {
                    return Err((at, "files take no parameters: use filters".into()));
                }
                let kind = match &self.format {
                    Some(format) => FileKind::from_name(&format!(".{}", format.get_ref())).ok_or_else(|| {
                        (format.span().start, "the formats are parquet, csv, tsv, ndjson and arrow".to_owned())
                    })?,
                    None => FileKind::from_name(files.get_ref()).ok_or_else(|| {
                        (files.span().start, "the extension does not tell the format: add `format`".to_owned())
                    })?,
                };
                Ok(Rows::Files(files.get_ref().clone(), self.with_dialect(kind)?))
            }
            _ => Err((at, "a dataset has one of `table`, `query` and `files`".into())),
        }
    }

    /// Returns the first of the keys `delimiter`, `comment` and `quote` that is set; None if none is set.
    fn csv_key(&self) -> Option<&Spanned<String>> {
        self.delimiter.as_ref().or(self.comment.as_ref()).or(self.quote.as_ref())
    }

    /// Applies the keys `delimiter`, `comment` and `quote` of the dataset to the format of its files. These keys are a
    /// fault if the files are not CSV or TSV.
    fn with_dialect(&self, kind: FileKind) -> Result<FileKind, (usize, String)> {
        let FileKind::Csv(mut dialect) = kind else {
            return match self.csv_key() {
                None => Ok(kind),
                Some(key) => Err((key.span().start, CSV_KEYS.into())),
            };
        };
        if let Some(delimiter) = &self.delimiter {
            dialect = match delimiter.get_ref().as_bytes() {
                [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\r' | b'\n' | b'#') => {
                    CsvDialect { delimiter: *byte, is_declared: true, ..dialect }
                }
                _ => {
                    let detail = "`delimiter` is one character of ASCII, such as \";\" or \"\\t\"";
                    return Err((delimiter.span().start, detail.into()));
                }
            };
        }
        if let Some(comment) = &self.comment {
            dialect.comments = match comment.get_ref().as_str() {
                "#" => Comments::Hash,
                "" => Comments::None,
                _ => return Err((comment.span().start, "`comment` is \"#\" or \"\"".into())),
            };
        }
        if let Some(quote) = &self.quote {
            dialect.has_quotes = match quote.get_ref().as_str() {
                "\"" => true,
                "" => false,
                _ => return Err((quote.span().start, "`quote` is \"\\\"\" or \"\"".into())),
            };
        }
        Ok(FileKind::Csv(dialect))
    }

    /// Returns the declared columns. A column without a declared type has the type text at first. After the exporter
    /// has read the source, it replaces this type by the column's type in the source.
    pub(crate) fn columns(&self) -> Vec<Column> {
        let columns = self.columns.iter().map(Spanned::get_ref).map(|spec| Column {
            label: spec.label.clone(),
            nullable: spec.nullable.unwrap_or(true),
            local: spec.local,
            ..Column::new(spec.name.clone(), spec.kind.unwrap_or(ColumnType::String))
        });
        columns.collect()
    }

    /// Returns the columns that the key `order` of the catalog file lists, each with its direction. The direction is
    /// ascending, unless ` desc` follows the name. Without this key, the result is empty.
    pub(crate) fn order(&self) -> Vec<OrderBy> {
        let keys = self.order.iter().flat_map(|order| order.get_ref().names()).map(|key| match key.rsplit_once(' ') {
            Some((column, direction)) if direction.eq_ignore_ascii_case("desc") => {
                OrderBy { column: column.trim_end().to_owned(), descending: true }
            }
            Some((column, direction)) if direction.eq_ignore_ascii_case("asc") => OrderBy::ascending(column.trim_end()),
            _ => OrderBy::ascending(key),
        });
        keys.collect()
    }

    /// Returns the declared parameters. A list parameter without `max_items` accepts at most [`MAX_ITEMS`] values.
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

    /// Returns the access rule of each column with a scope.
    pub(crate) fn rules(&self) -> Vec<ColumnRule> {
        let rules = self.columns.iter().map(Spanned::get_ref).filter_map(|spec| {
            let scope = spec.scope.clone()?;
            Some(ColumnRule { column: spec.name.clone(), scope, mask: spec.mask.unwrap_or(ColumnMask::Hidden) })
        });
        rules.collect()
    }
}
