//! Who may see what of a dataset: scopes that the whole of it asks for, and columns that are hidden or masked without
//! theirs.
//!
//! The gateway shows and checks a dataset as the caller sees it; the exporter does both again, for it alone has the data.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::catalog::{CatalogDataset, Column};

/// What a caller without the scope has of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnMask {
    /// Nothing: for them there is no such column.
    Hidden,
    /// NULL in each row.
    Null,
    /// A fixed text in place of each value that isn't NULL; for text columns alone.
    Redacted,
    /// The last four characters, the others as `*`; of a text of up to eight characters nothing. For text columns alone.
    LastFour,
}

/// A column that asks for a scope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnRule {
    /// The column.
    pub column: String,
    /// The scope that shows it as it is.
    pub scope: String,
    /// What others have of it.
    pub mask: ColumnMask,
}

/// All rules of a dataset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// Scopes that a caller needs besides `export:<dataset>`: all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// Columns with rules; at most one for each column.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<ColumnRule>,
}

impl Access {
    /// Whether a caller with these scopes may export the dataset at all.
    #[must_use]
    pub fn admits(&self, scopes: &[String]) -> bool {
        self.scopes.iter().all(|needed| scopes.contains(needed))
    }

    /// What these scopes leave of a column; None for all of it.
    #[must_use]
    pub fn mask_for(&self, column: &str, scopes: &[String]) -> Option<ColumnMask> {
        let rule = self.columns.iter().find(|rule| rule.column == column)?;
        (!scopes.contains(&rule.scope)).then_some(rule.mask)
    }

    /// The columns as a caller with these scopes sees them: without the hidden ones, and the masked ones marked.
    #[must_use]
    pub fn visible_columns(&self, columns: &[Column], scopes: &[String]) -> Vec<Column> {
        let seen = columns.iter().filter_map(|column| match self.mask_for(&column.name, scopes) {
            None => Some(column.clone()),
            Some(ColumnMask::Hidden) => None,
            Some(mask) => {
                Some(Column { masked: true, nullable: column.nullable || mask == ColumnMask::Null, ..column.clone() })
            }
        });
        seen.collect()
    }
}

impl CatalogDataset {
    /// The dataset as a caller with these scopes sees it; None when it isn't for them. Templates lose the columns that are
    /// made of hidden ones, and one that loses all of them is not offered.
    #[must_use]
    pub fn visible_to(mut self, scopes: &[String]) -> Option<Self> {
        if !self.access.admits(scopes) {
            return None;
        }
        self.info.columns = self.access.visible_columns(&self.info.columns, scopes);
        let seen = &self.info.columns;
        self.info.templates.retain_mut(|template| {
            let Some(columns) = &mut template.columns else { return true };
            columns.retain_mut(|column| {
                let find = |name: &String| seen.iter().find(|seen| seen.name == *name);
                column.column.masked = column.reads.iter().filter_map(find).any(|seen| seen.masked);
                column.reads.iter().all(|name| find(name).is_some())
            });
            !columns.is_empty()
        });
        Some(self)
    }
}

/// The scopes of a token: the claim `scope`, split at spaces (RFC 8693, section 4.2).
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
    fn templates_lose_what_is_made_of_hidden_columns() {
        let column = |name: &str| Column::new(name, ColumnType::String);
        let made = |name: &str, reads: &[&str]| TemplateColumn {
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
                    template("pay", Some(vec![made("yearly", &["salary"]), made("both", &["id", "salary"])])),
                    template("mail", Some(vec![made("id", &["id"]), made("to", &["email"]), made("one", &["salary"])])),
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
            let seen = dataset.clone().visible_to(scopes).unwrap();
            let columns = |template: &TemplateInfo| {
                let columns = template.columns.iter().flatten();
                columns.map(|c| (c.column.name.clone(), c.column.masked)).collect::<Vec<_>>()
            };
            seen.info.templates.iter().map(|t| (t.name.clone(), columns(t))).collect::<Vec<_>>()
        };
        let expected =
            [("default".to_owned(), vec![]), ("mail".to_owned(), vec![("id".into(), false), ("to".into(), true)])];
        assert_eq!(shown(&[]), expected);
        assert_eq!(shown(&["pii".to_owned()]).len(), 3);
    }

    #[test]
    fn columns_are_hidden_or_marked_unless_the_scope_is_there() {
        let columns = ["id", "email", "salary"].map(|name| Column::new(name, ColumnType::String));
        let rule = |column: &str, mask| ColumnRule { column: column.into(), scope: "pii:read".into(), mask };
        let access = Access {
            scopes: vec!["hr".into()],
            columns: vec![rule("salary", ColumnMask::Hidden), rule("email", ColumnMask::LastFour)],
        };
        let scopes = |text: &str| scopes_of(json!({"scope": text}).as_object().unwrap());
        let seen = access.visible_columns(&columns, &scopes("export:* hr"));
        let shown: Vec<_> = seen.iter().map(|c| (c.name.as_str(), c.masked)).collect();
        assert_eq!(shown, [("id", false), ("email", true)]);
        assert_eq!(access.visible_columns(&columns, &scopes("hr pii:read")), columns);
        assert!(access.admits(&scopes("x hr")) && !access.admits(&scopes("hrx")) && !access.admits(&[]));
        assert_eq!(scopes_of(&Map::new()), Vec::<String>::new());
    }
}
