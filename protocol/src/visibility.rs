//! Applies the access rules of a dataset to its description: what a caller sees of the columns and the templates.

use crate::{
    access::{Access, ColumnMask},
    catalog::{CatalogDataset, Column},
};

impl Access {
    /// Returns the columns that a caller with these scopes sees, without hidden columns. Masked columns have `masked`
    /// set to true.
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
    /// Returns the dataset as a caller with these scopes sees it. Returns None if the caller may not export the
    /// dataset. The result omits template columns that read a hidden column, and templates that then have no columns.
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        access::{ColumnRule, scopes_of},
        catalog::{ColumnType, DatasetInfo, TemplateColumn, TemplateInfo},
    };

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
                policy_claims: None,
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
            policy_claims: None,
        };
        let scopes = |text: &str| scopes_of(json!({"scope": text}).as_object().unwrap());
        let visible = access.visible_columns(&columns, &scopes("export:* hr"));
        let shown: Vec<_> = visible.iter().map(|c| (c.name.as_str(), c.masked)).collect();
        assert_eq!(shown, [("id", false), ("email", true)]);
        assert_eq!(access.visible_columns(&columns, &scopes("hr pii:read")), columns);
    }
}
