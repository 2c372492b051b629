//! The access rules of a dataset: the scopes that the whole dataset requires, and the columns that require an
//! additional scope. Sluice hides or masks such a column if the caller lacks the scope of the column.
//!
//! The gateway applies these rules to the catalog and to requests. The exporter applies the rules to the data.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::catalog::{CatalogDataset, Column};

/// How a column appears to a caller who lacks the scope of the column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ColumnMask {
    /// The caller does not see that the column exists.
    Hidden,
    /// Every value is NULL.
    Null,
    /// The text `***` replaces each value that is not NULL. Only text columns may have this mask.
    Redacted,
    /// `*` replaces all characters except the last four. In a text of eight or fewer characters, `*` replaces all of
    /// them. Only text columns may have this mask.
    LastFour,
}

/// A column that requires a scope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnRule {
    /// The name of the column.
    pub column: String,
    /// A caller with this scope sees the unmasked values.
    pub scope: String,
    /// The mask of the column for a caller without the scope.
    pub mask: ColumnMask,
}

/// The access rules of a dataset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// Scopes that a caller needs in addition to `export:<dataset>`; all of them are required.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// The column rules, at most one for each column.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<ColumnRule>,
}

impl Access {
    /// Whether a caller with these scopes may export the dataset.
    #[must_use]
    pub fn admits(&self, scopes: &[String]) -> bool {
        self.scopes.iter().all(|needed| scopes.contains(needed))
    }

    /// The mask of a column for a caller with these scopes; None when the caller sees the unmasked values.
    #[must_use]
    pub fn mask_for(&self, column: &str, scopes: &[String]) -> Option<ColumnMask> {
        let rule = self.columns.iter().find(|rule| rule.column == column)?;
        (!scopes.contains(&rule.scope)).then_some(rule.mask)
    }

    /// The columns that a caller with these scopes sees, without hidden columns. Masked columns have `masked` set.
    #[must_use]
    pub fn visible_columns(&self, columns: &[Column], scopes: &[String]) -> Vec<Column> {
        let visible = columns.iter().filter_map(|column| match self.mask_for(&column.name, scopes) {
            None => Some(column.clone()),
            Some(ColumnMask::Hidden) => None,
            Some(mask) => {
                Some(Column { masked: true, nullable: column.nullable || mask == ColumnMask::Null, ..column.clone() })
            }
        });
        visible.collect()
    }
}

impl CatalogDataset {
    /// The dataset that a caller with these scopes sees; None when the caller may not export the dataset. The result
    /// has no template column that reads a hidden column, and no template that loses all its columns.
    #[must_use]
    pub fn visible_to(mut self, scopes: &[String]) -> Option<Self> {
        if !self.access.admits(scopes) {
            return None;
        }
        self.info.columns = self.access.visible_columns(&self.info.columns, scopes);
        let visible = &self.info.columns;
        self.info.templates.retain_mut(|template| {
            let Some(columns) = &mut template.columns else { return true };
            columns.retain_mut(|column| {
                let find = |name: &String| visible.iter().find(|column| column.name == *name);
                column.column.masked = column.reads.iter().filter_map(find).any(|column| column.masked);
                column.reads.iter().all(|name| find(name).is_some())
            });
            !columns.is_empty()
        });
        Some(self)
    }
}

/// Claims that describe a token or a sign-in, and not the user or the user's rights (RFC 7519; OpenID Connect Core 1.0,
/// section 2). Two tokens of one user with the same rights may differ in these claims.
///
/// The gateway ignores these claims when it looks for an identical unfinished export, and no row policy may use them.
pub const TOKEN_CLAIMS: [&str; 10] =
    ["exp", "iat", "nbf", "jti", "auth_time", "nonce", "at_hash", "c_hash", "s_hash", "sid"];

/// The scopes of a token: the words of the claim `scope`, separated by spaces (RFC 8693, section 4.2).
#[must_use]
pub fn scopes_of(claims: &Map<String, Value>) -> Vec<String> {
    let scope = claims.get("scope").and_then(Value::as_str).unwrap_or_default();
    scope.split_ascii_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::catalog::{ColumnType, DatasetInfo, TemplateColumn, TemplateInfo};

    #[test]
    fn templates_lose_the_columns_that_read_hidden_columns() {
        let column = |name: &str| Column::new(name, ColumnType::String);
        let template_column = |name: &str, reads: &[&str]| TemplateColumn {
            column: column(name),
            reads: reads.iter().map(ToString::to_string).collect(),
        };
        let rule = |column: &str, mask| ColumnRule { column: column.into(), scope: "pii".into(), mask };
        let template = |name: &str, columns| TemplateInfo { name: name.into(), title: String::new(), columns };
        let dataset = CatalogDataset {
            info: DatasetInfo {
                name: "staff".into(),
                title: String::new(),
                description: String::new(),
                columns: ["id", "email", "salary"].map(column).to_vec(),
                params: json!({}),
                templates: vec![
                    template("default", None),
                    template(
                        "pay",
                        Some(vec![template_column("yearly", &["salary"]), template_column("both", &["id", "salary"])]),
                    ),
                    template(
                        "mail",
                        Some(vec![
                            template_column("id", &["id"]),
                            template_column("to", &["email"]),
                            template_column("one", &["salary"]),
                        ]),
                    ),
                ],
                formats: vec![],
                compressions: vec![],
                formats_info: vec![],
                rows_estimate: None,
                credits: 1,
            },
            param_specs: vec![],
            retention_seconds: 60,
            access: Access {
                scopes: vec![],
                columns: vec![rule("salary", ColumnMask::Hidden), rule("email", ColumnMask::LastFour)],
            },
            total_rows: None,
        };
        let shown = |scopes: &[String]| {
            let visible = dataset.clone().visible_to(scopes).unwrap();
            let columns = |template: &TemplateInfo| {
                let columns = template.columns.iter().flatten();
                columns.map(|c| (c.column.name.clone(), c.column.masked)).collect::<Vec<_>>()
            };
            visible.info.templates.iter().map(|t| (t.name.clone(), columns(t))).collect::<Vec<_>>()
        };
        let expected =
            [("default".to_owned(), vec![]), ("mail".to_owned(), vec![("id".into(), false), ("to".into(), true)])];
        assert_eq!(shown(&[]), expected);
        assert_eq!(shown(&["pii".to_owned()]).len(), 3);
    }

    #[test]
    fn columns_are_hidden_or_marked_without_the_scope() {
        let columns = ["id", "email", "salary"].map(|name| Column::new(name, ColumnType::String));
        let rule = |column: &str, mask| ColumnRule { column: column.into(), scope: "pii:read".into(), mask };
        let access = Access {
            scopes: vec!["hr".into()],
            columns: vec![rule("salary", ColumnMask::Hidden), rule("email", ColumnMask::LastFour)],
        };
        let scopes = |text: &str| scopes_of(json!({"scope": text}).as_object().unwrap());
        let visible = access.visible_columns(&columns, &scopes("export:* hr"));
        let shown: Vec<_> = visible.iter().map(|c| (c.name.as_str(), c.masked)).collect();
        assert_eq!(shown, [("id", false), ("email", true)]);
        assert_eq!(access.visible_columns(&columns, &scopes("hr pii:read")), columns);
        assert!(access.admits(&scopes("x hr")) && !access.admits(&scopes("hrx")) && !access.admits(&[]));
        assert_eq!(scopes_of(&Map::new()), Vec::<String>::new());
    }
}
