//! Parses JSON into a checked [`Filter`].

use serde_json::Value;

use super::{
    Compare, Filter, Literal, OPERATORS,
    literal::{NUL, literal},
    names_column,
    policy::{TEXT_CLAIMS, claim_name, placeholder},
};
use crate::{
    access::TOKEN_CLAIMS,
    catalog::{Column, ColumnType},
    json::child,
    problem::FieldError,
};

/// The maximum nesting of `and`, `or` and `not`, so that no filter exhausts the stack.
const MAX_DEPTH: usize = 32;
/// The maximum number of values of `in`.
const MAX_IN: usize = 10_000;
/// The maximum total number of conditions, `and`, `or` and `not` in a filter, so that no filter exhausts the stack or
/// the CPU time.
const MAX_PARTS: usize = 500;
/// The maximum number of reported errors. The limit bounds the size of the answer.
const MAX_ERRORS: usize = 20;

/// Parses a filter and checks it against the columns of the dataset.
///
/// # Errors
/// All errors, with pointers below `/filter`.
pub fn parse(filter: &Value, columns: &[Column]) -> Result<Filter, Vec<FieldError>> {
    parse_with(filter, columns, false)
}

/// Checks a row policy. A row policy is a filter in which `{"claim": "<name>"}` may replace any value, or the list of
/// `in`. The claim must not be one of [`TOKEN_CLAIMS`]. The returned filter contains placeholders instead of claim
/// values, so the caller can only use the names of its columns.
///
/// # Errors
/// All errors, with pointers below `/filter`.
pub fn check_policy(policy: &Value, columns: &[Column]) -> Result<Filter, Vec<FieldError>> {
    parse_with(policy, columns, true)
}

fn parse_with(filter: &Value, columns: &[Column], is_policy: bool) -> Result<Filter, Vec<FieldError>> {
    let mut parser = Parser { columns, errors: Vec::new(), parts: 0, is_policy };
    let parsed = parser.object(filter, "/filter", 0);
    match parsed {
        Some(filter) if parser.errors.is_empty() => Ok(filter),
        _ => Err(parser.errors),
    }
}

struct Parser<'a> {
    columns: &'a [Column],
    errors: Vec<FieldError>,
    parts: usize,
    /// Whether the filter is a row policy, in which `{"claim": "<name>"}` may replace a value.
    is_policy: bool,
}

impl Parser<'_> {
    fn fail<T>(&mut self, pointer: &str, detail: impl Into<String>) -> Option<T> {
        if self.errors.len() < MAX_ERRORS {
            self.errors.push(FieldError::new(pointer, detail));
        }
        None
    }

    /// Counts one more part of the filter: a condition, or an `and`, `or` or `not`. Above [`MAX_PARTS`], records an
    /// error and returns None.
    fn count_part(&mut self, at: &str) -> Option<()> {
        self.parts += 1;
        if self.parts == MAX_PARTS + 1 {
            return self.fail(at, format!("a filter may have at most {MAX_PARTS} parts; `in` takes a list"));
        }
        (self.parts <= MAX_PARTS).then_some(())
    }

    fn object(&mut self, value: &Value, at: &str, depth: usize) -> Option<Filter> {
        if depth > MAX_DEPTH {
            return self.fail(at, format!("a filter may nest at most {MAX_DEPTH} levels"));
        }
        let Some(members) = value.as_object().filter(|members| depth == 0 || !members.is_empty()) else {
            return self.fail(at, "expected an object such as {\"column\": {\"eq\": 1}}");
        };
        let mut all = Vec::with_capacity(members.len());
        for (name, member) in members {
            let at = child(at, name);
            self.count_part(&at)?;
            let part = match name.as_str() {
                name if names_column(name, member, self.columns) => self.column(name, member, &at),
                "and" => self.list(member, &at, depth).map(Filter::And),
                "or" => self.list(member, &at, depth).map(Filter::Or),
                _ => self.object(member, &at, depth + 1).map(|f| Filter::Not(Box::new(f))),
            };
            all.extend(part);
        }
        Some(if all.len() == 1 { all.remove(0) } else { Filter::And(all) })
    }

    fn list(&mut self, value: &Value, at: &str, depth: usize) -> Option<Vec<Filter>> {
        let Some(items) = value.as_array().filter(|items| !items.is_empty()) else {
            return self.fail(at, "expected a list of at least one filter");
        };
        let mut parts = Vec::new();
        for (i, item) in items.iter().enumerate() {
            let at = child(at, &i.to_string());
            self.count_part(&at)?;
            parts.extend(self.object(item, &at, depth + 1));
        }
        Some(parts)
    }

    fn column(&mut self, name: &str, value: &Value, at: &str) -> Option<Filter> {
        let Some(column) = self.columns.iter().find(|c| c.name == name) else {
            let known: Vec<_> = self.columns.iter().map(|c| c.name.as_str()).collect();
            return self.fail(at, format!("unknown column; this dataset has {}", known.join(", ")));
        };
        if column.masked {
            // a filter on a masked column would reveal the unmasked values
            return self.fail(at, "your token shows only masked values of this column, so a filter may not use it");
        }
        let Some(operators) = value.as_object().filter(|o| !o.is_empty()) else {
            return self.fail(at, format!("expected an object with one of {}", OPERATORS.join(", ")));
        };
        let mut all = Vec::with_capacity(operators.len());
        for (operator, operand) in operators {
            let at = child(at, operator);
            self.count_part(&at)?;
            all.extend(self.operator(column, operator, operand, &at));
        }
        Some(if all.len() == 1 { all.remove(0) } else { Filter::And(all) })
    }

    fn operator(&mut self, of: &Column, operator: &str, value: &Value, at: &str) -> Option<Filter> {
        let (column, kind) = (of.name.clone(), of.kind);
        let compare = match operator {
            "eq" => Compare::Eq,
            "ne" => Compare::Ne,
            "lt" => Compare::Lt,
            "lte" => Compare::Lte,
            "gt" => Compare::Gt,
            "gte" => Compare::Gte,
            "in" => return self.literals(of, value, at, 1..=MAX_IN).map(|values| Filter::In(column, values)),
            "between" => {
                let mut ends = self.literals(of, value, at, 2..=2)?;
                let high = ends.pop()?;
                return Some(Filter::Between(column, ends.pop()?, high));
            }
            "is_null" => {
                return match value {
                    Value::Bool(is) => Some(Filter::IsNull(column, *is)),
                    _ => self.fail(at, "expected true or false"),
                };
            }
            "like" | "contains" => {
                if kind != ColumnType::String {
                    return self.fail(at, format!("`{operator}` works on string columns only"));
                }
                return match value {
                    Value::String(text) if text.contains('\0') => self.fail(at, NUL),
                    Value::String(text) if operator == "like" => Some(Filter::Like(column, text.clone())),
                    Value::String(text) => Some(Filter::Contains(column, text.clone())),
                    _ => self.fail(at, "expected a string"),
                };
            }
            _ => return self.fail(at, format!("unknown operator; expected one of {}", OPERATORS.join(", "))),
        };
        if value.is_null() {
            return self.fail(at, "a comparison with null is never true; use {\"is_null\": true}");
        }
        if kind == ColumnType::Bool && !matches!(compare, Compare::Eq | Compare::Ne) {
            return self.fail(at, "true and false have no order; use `eq` or `ne`");
        }
        self.literal(of, value, at).map(|literal| Filter::Compare(column, compare, literal))
    }

    fn literals(
        &mut self,
        column: &Column,
        value: &Value,
        at: &str,
        count: std::ops::RangeInclusive<usize>,
    ) -> Option<Vec<Literal>> {
        if let Some(claim) = self.claim(value).filter(|_| count.start() != count.end()) {
            if TEXT_CLAIMS.contains(&claim) {
                let detail = format!(
                    "the claim `{claim}` is a text in every token, and `in` takes a claim that is a list: use `eq`, or a list \
                     such as [{{\"claim\": \"{claim}\"}}]"
                );
                return self.fail(at, detail);
            }
            return self.claim_placeholder(column, claim, at).map(|literal| vec![literal]);
        }
        let Some(items) = value.as_array().filter(|items| count.contains(&items.len())) else {
            let wanted = if count.start() == count.end() {
                format!("a list of {} values", count.start())
            } else {
                format!("a list of {} to {} values", count.start(), count.end())
            };
            return self.fail(at, format!("expected {wanted}"));
        };
        let before = self.errors.len();
        let out: Vec<_> =
            items.iter().enumerate().filter_map(|(i, v)| self.literal(column, v, &child(at, &i.to_string()))).collect();
        (self.errors.len() == before).then_some(out)
    }

    fn literal(&mut self, column: &Column, value: &Value, at: &str) -> Option<Literal> {
        if let Some(claim) = self.claim(value) {
            return self.claim_placeholder(column, claim, at);
        }
        match literal(column, value) {
            Ok(literal) => Some(literal),
            Err(expected) => self.fail(at, expected),
        }
    }

    /// Returns the name of the claim in a value of a row policy. Returns None for any other value, and for every value
    /// of a filter that is not a row policy.
    fn claim<'v>(&self, value: &'v Value) -> Option<&'v str> {
        if self.is_policy { claim_name(value) } else { None }
    }

    fn claim_placeholder(&mut self, column: &Column, claim: &str, at: &str) -> Option<Literal> {
        if TOKEN_CLAIMS.contains(&claim) {
            let detail = "describes a token or a sign-in, and not the user: a row policy can't use it";
            return self.fail(at, format!("the claim `{claim}` {detail}"));
        }
        if column.kind == ColumnType::Bool && TEXT_CLAIMS.contains(&claim) {
            let detail = "is a text in every token, which never equals true or false";
            return self.fail(at, format!("the claim `{claim}` {detail}"));
        }
        Some(placeholder(column.kind))
    }
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
