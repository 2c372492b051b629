//! Replaces relative times in a filter, such as `now-1d`, by absolute times.

use serde_json::{Map, Value};

use super::names_column;
use crate::{
    catalog::{Column, ColumnType},
    json::child,
    problem::FieldError,
    relative::{self, Reference},
};

/// The maximum number of reported errors. The limit bounds the size of the answer.
const MAX_ERRORS: usize = 20;

/// Returns a filter in which an absolute time replaces each relative time, such as `now-1d/d`. Only values of `date`
/// and `datetime` columns can be relative. Leaves all other parts unchanged, even invalid parts, which [`super::parse`]
/// reports later.
///
/// # Errors
///
/// All malformed relative times, with pointers below `/filter`.
pub fn resolve(filter: &Value, columns: &[Column], reference: &Reference) -> Result<Value, Vec<FieldError>> {
    let mut resolver = Resolver { columns, reference, errors: Vec::new() };
    let resolved = resolver.filter(filter, "/filter");
    if resolver.errors.is_empty() { Ok(resolved) } else { Err(resolver.errors) }
}

struct Resolver<'a> {
    columns: &'a [Column],
    reference: &'a Reference,
    errors: Vec<FieldError>,
}

impl Resolver<'_> {
    fn filter(&mut self, filter: &Value, at: &str) -> Value {
        let Value::Object(members) = filter else { return filter.clone() };
        let resolved = members.iter().map(|(name, member)| {
            let at = child(at, name);
            let resolved = match name.as_str() {
                name if names_column(name, member, self.columns) => self.operators(name, member, &at),
                "and" | "or" => self.each(member, &at, Self::filter),
                _ => self.filter(member, &at),
            };
            (name.clone(), resolved)
        });
        Value::Object(resolved.collect())
    }

    /// Applies `resolve` to each item of a list. Leaves any other value unchanged.
    fn each(&mut self, list: &Value, at: &str, mut resolve: impl FnMut(&mut Self, &Value, &str) -> Value) -> Value {
        let Value::Array(items) = list else { return list.clone() };
        let items = items.iter().enumerate().map(|(index, item)| resolve(self, item, &child(at, &index.to_string())));
        Value::Array(items.collect())
    }

    fn operators(&mut self, name: &str, operators: &Value, at: &str) -> Value {
        let column = self.columns.iter().find(|column| column.name == name);
        let column = column.filter(|column| matches!(column.kind, ColumnType::Date | ColumnType::Datetime));
        let (Some(column), Value::Object(operators)) = (column.cloned(), operators) else { return operators.clone() };
        let resolved: Map<String, Value> = operators
            .iter()
            .map(|(operator, operand)| {
                let at = child(at, operator);
                let resolved = match operand {
                    Value::Array(_) => self.each(operand, &at, |this, item, at| this.moment(&column, item, at)),
                    _ => self.moment(&column, operand, &at),
                };
                (operator.clone(), resolved)
            })
            .collect();
        Value::Object(resolved)
    }

    fn moment(&mut self, column: &Column, value: &Value, at: &str) -> Value {
        let Some(text) = value.as_str().filter(|text| relative::is_relative(text)) else { return value.clone() };
        match self.reference.resolve(text) {
            Ok(moment) if column.kind == ColumnType::Date => relative::date_text(&moment).into(),
            Ok(moment) if column.local => relative::local_text(&moment).into(),
            Ok(moment) => relative::instant_text(&moment).into(),
            Err(e) => {
                if self.errors.len() < MAX_ERRORS {
                    self.errors.push(FieldError::new(at, e.to_string()));
                }
                value.clone()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use chrono_tz::Tz;
    use serde_json::json;

    use super::*;

    fn columns() -> Vec<Column> {
        let kinds = [("at", ColumnType::Datetime), ("day", ColumnType::Date), ("word", ColumnType::String)];
        let mut columns = kinds.map(|(name, kind)| Column::new(name, kind)).to_vec();
        columns.push(Column::new("wall", ColumnType::Datetime).typed(ColumnType::Datetime, true));
        columns
    }

    fn resolved(filter: Value, zone: Tz) -> Result<Value, Vec<FieldError>> {
        let now = DateTime::parse_from_rfc3339("2026-10-25T23:30:00.123Z").unwrap().to_utc();
        resolve(&filter, &columns(), &Reference { now, zone })
    }

    #[test]
    fn moments_are_resolved_wherever_they_stand() {
        let filter = json!({
            "at": {"gte": "now-1d/d", "lt": "now"},
            "or": [{"day": {"in": ["now", "2026-01-01"]}}, {"not": {"wall": {"between": ["now-1h", "now/d"]}}}],
            "word": {"eq": "now-1d"},
        });
        let expected = json!({
            "at": {"gte": "2026-10-24T22:00:00.000Z", "lt": "2026-10-25T23:30:00.123Z"},
            "or": [
                {"day": {"in": ["2026-10-26", "2026-01-01"]}},
                {"not": {"wall": {"between": ["2026-10-25T23:30:00.123", "2026-10-26T00:00:00.000"]}}},
            ],
            "word": {"eq": "now-1d"},
        });
        let berlin = resolved(filter, chrono_tz::Europe::Berlin).unwrap();
        assert_eq!(berlin, expected);
        assert!(super::super::parse(&berlin, &columns()).is_ok());
        let utc = resolved(json!({"day": {"eq": "now"}, "wall": {"lt": "now/d"}}), Tz::UTC).unwrap();
        assert_eq!(utc, json!({"day": {"eq": "2026-10-25"}, "wall": {"lt": "2026-10-25T00:00:00.000"}}));
    }

    #[test]
    fn moments_of_columns_called_not_and_or_are_resolved() {
        let columns = ["not", "and", "or", "at"].map(|name| Column::new(name, ColumnType::Date));
        let now = DateTime::parse_from_rfc3339("2026-10-25T23:30:00.123Z").unwrap().to_utc();
        let resolved = |filter: Value| resolve(&filter, &columns, &Reference { now, zone: Tz::UTC }).unwrap();
        let (relative, absolute) = (json!({"in": ["now/d"]}), json!({"in": ["2026-10-25"]}));
        let filter = |moment: &Value| json!({"not": moment, "and": moment, "or": [{"and": [{"or": moment}]}, {"not": {"not": moment}}, {"not": {"at": moment}}]});
        assert_eq!(resolved(filter(&relative)), filter(&absolute));
    }

    #[test]
    fn a_malformed_moment_has_a_pointer_and_other_faults_stay() {
        let filter = json!({"and": [{"at": {"in": ["now", "now-1"]}}], "day": {"eq": "nowish"}});
        let pointers: Vec<_> = resolved(filter, Tz::UTC).unwrap_err().into_iter().map(|e| e.pointer).collect();
        assert_eq!(pointers, ["/filter/and/0/at/in/1", "/filter/day/eq"]);
        for odd in [json!([]), json!({"or": 1}), json!({"at": "now"}), json!({"nope": {"eq": "now-x"}})] {
            assert_eq!(resolved(odd.clone(), Tz::UTC), Ok(odd));
        }
        let many = json!({"at": {"in": vec!["now-"; 100]}});
        assert_eq!(resolved(many, Tz::UTC).unwrap_err().len(), MAX_ERRORS);
    }
}
