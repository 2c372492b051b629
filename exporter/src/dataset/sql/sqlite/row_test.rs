//! Evaluates filters and row policies on the values of SQLite rows, with the three-valued logic of SQL.

use std::cmp::Ordering;

use protocol::{
    catalog::{Column, ColumnType},
    filter::{Compare, Filter, LikePart, Literal, like_parts},
};

use super::{
    super::super::{DatasetError, files::like},
    cell::Cell,
};

/// A filter that refers to columns by their positions in a row.
pub(super) struct RowTest {
    /// The conditions that must all be true. The conditions of a row policy come before those of the request's filter.
    conditions: Vec<Condition>,
}

enum Condition {
    And(Vec<Condition>),
    Or(Vec<Condition>),
    Not(Box<Condition>),
    Compare(usize, Compare, Cell<'static>),
    /// A condition that is true if the value at this position in the row equals one of these values. The values are
    /// sorted.
    In(usize, Vec<Cell<'static>>),
    IsNull(usize, bool),
    Like(usize, Vec<LikePart>),
    Contains(usize, String),
}

impl RowTest {
    /// Creates the test of a filter for rows with the columns `columns`.
    ///
    /// # Errors
    /// When the filter names a column that the rows lack, or `like` or `contains` names a column that is not a string.
    pub(super) fn new(filter: &Filter, columns: &[Column]) -> Result<Self, DatasetError> {
        let mut conditions = Vec::new();
        flatten(filter, columns, &mut conditions)?;
        Ok(Self { conditions })
    }

    /// Whether a row passes the filter. `cell` returns the value at a position in the row.
    ///
    /// The conditions are evaluated in order, up to the first condition that is not true. So if the row policy hides a
    /// row, only the values that the policy compares are read.
    ///
    /// # Errors
    ///
    /// The error that `cell` returns.
    pub(super) fn passes<'a>(
        &self,
        mut cell: impl FnMut(usize) -> Result<Cell<'a>, DatasetError>,
    ) -> Result<bool, DatasetError> {
        for condition in &self.conditions {
            if condition.evaluate(&mut cell)? != Some(true) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Splits a filter into conditions that must all be true, and appends the conditions to `into`. `columns` are the
/// columns of a row, by their positions. Nested `and` filters become one list.
fn flatten(filter: &Filter, columns: &[Column], into: &mut Vec<Condition>) -> Result<(), DatasetError> {
    match filter {
        Filter::And(parts) => parts.iter().try_for_each(|part| flatten(part, columns, into)),
        other => {
            into.push(Condition::new(other, columns)?);
            Ok(())
        }
    }
}

impl Condition {
    fn new(filter: &Filter, columns: &[Column]) -> Result<Self, DatasetError> {
        let at = |name: &str| {
            let found = columns.iter().position(|column| column.name == name);
            found.ok_or_else(|| DatasetError::NoColumn(name.to_owned()))
        };
        let text_at = |name: &str| {
            let at = at(name)?;
            let unsupported = || DatasetError::Unsupported { column: name.to_owned(), dtype: "not text".to_owned() };
            if columns[at].kind == ColumnType::String { Ok(at) } else { Err(unsupported()) }
        };
        let all = |parts: &[Filter]| parts.iter().map(|part| Self::new(part, columns)).collect::<Result<Vec<_>, _>>();
        let compare = |name: &str, operator: Compare, literal: &Literal| -> Result<Self, DatasetError> {
            Ok(Self::Compare(at(name)?, operator, Cell::of_literal(literal)))
        };
        match filter {
            Filter::And(parts) => Ok(Self::And(all(parts)?)),
            Filter::Or(parts) => Ok(Self::Or(all(parts)?)),
            Filter::Not(inner) => Ok(Self::Not(Self::new(inner, columns)?.into())),
            Filter::Compare(name, operator, literal) => compare(name, *operator, literal),
            Filter::Between(name, low, high) => {
                Ok(Self::And(vec![compare(name, Compare::Gte, low)?, compare(name, Compare::Lte, high)?]))
            }
            Filter::In(name, literals) => {
                let mut values: Vec<_> = literals.iter().map(Cell::of_literal).collect();
                values.sort_by(order);
                Ok(Self::In(at(name)?, values))
            }
            Filter::IsNull(name, is) => Ok(Self::IsNull(at(name)?, *is)),
            Filter::Like(name, pattern) => Ok(Self::Like(text_at(name)?, like_parts(pattern))),
            Filter::Contains(name, text) => Ok(Self::Contains(text_at(name)?, text.clone())),
        }
    }

    /// Returns whether the condition is true for a row; None if it is NULL. `cell` returns the value at a position in
    /// the row.
    fn evaluate<'a>(
        &self,
        cell: &mut impl FnMut(usize) -> Result<Cell<'a>, DatasetError>,
    ) -> Result<Option<bool>, DatasetError> {
        Ok(match self {
            Self::And(parts) => all(parts, false, cell)?,
            Self::Or(parts) => all(parts, true, cell)?,
            Self::Not(inner) => inner.evaluate(cell)?.map(|is| !is),
            Self::Compare(at, operator, literal) => cell(*at)?.compare(literal).map(|order| holds(*operator, order)),
            Self::In(at, values) => match cell(*at)? {
                Cell::Null => None,
                value => Some(values.binary_search_by(|other| order(other, &value)).is_ok()),
            },
            Self::IsNull(at, is) => Some(cell(*at)?.is_null() == *is),
            Self::Like(at, parts) => cell(*at)?.text().map(|text| like(text, parts)),
            Self::Contains(at, wanted) => cell(*at)?.text().map(|text| text.contains(wanted.as_str())),
        })
    }
}

/// Combines the conditions `parts` by AND (`decisive` is false) or OR (`decisive` is true), for a row whose values
/// `cell` returns. The result is `decisive` if one condition has this result. Otherwise it is None (NULL) if a
/// condition is NULL, and the opposite of `decisive` if none is.
fn all<'a>(
    parts: &[Condition],
    decisive: bool,
    cell: &mut impl FnMut(usize) -> Result<Cell<'a>, DatasetError>,
) -> Result<Option<bool>, DatasetError> {
    let mut result = Some(!decisive);
    for part in parts {
        match part.evaluate(cell)? {
            Some(is) if is == decisive => return Ok(Some(decisive)),
            Some(_) => {}
            None => result = None,
        }
    }
    Ok(result)
}

/// Compares two values of the same type. Neither value may be NULL.
fn order(left: &Cell<'_>, right: &Cell<'_>) -> Ordering {
    left.compare(right).unwrap_or(Ordering::Equal)
}

const fn holds(operator: Compare, order: Ordering) -> bool {
    match operator {
        Compare::Eq => order.is_eq(),
        Compare::Ne => order.is_ne(),
        Compare::Lt => order.is_lt(),
        Compare::Lte => order.is_le(),
        Compare::Gt => order.is_gt(),
        Compare::Gte => order.is_ge(),
    }
}

#[cfg(test)]
mod tests {
    use protocol::filter;
    use serde_json::{Value, json};

    use super::{super::stored::Stored, *};

    fn passes(filter: &Value, row: [Stored<'_>; 2]) -> Result<bool, DatasetError> {
        let columns = [Column::new("s", ColumnType::String), Column::new("n", ColumnType::Int)];
        let test = RowTest::new(&filter::parse(filter, &columns).unwrap(), &columns).unwrap();
        test.passes(|at| Cell::new(columns[at].kind, row[at]).map_err(DatasetError::Garbled))
    }

    #[test]
    fn null_is_neither_true_nor_false() {
        let row = [Stored::Null, Stored::Integer(5)];
        for (filter, expected) in [
            (json!({"s": {"eq": "a"}}), false),
            (json!({"not": {"s": {"eq": "a"}}}), false),
            (json!({"not": {"s": {"in": ["a"]}}}), false),
            (json!({"not": {"s": {"like": "%"}}}), false),
            (json!({"or": [{"s": {"eq": "a"}}, {"n": {"gt": 4}}]}), true),
            (json!({"not": {"and": [{"s": {"eq": "a"}}, {"n": {"gt": 5}}]}}), true),
            (json!({"not": {"or": [{"s": {"eq": "a"}}, {"n": {"gt": 5}}]}}), false),
            (json!({"s": {"is_null": true}, "n": {"between": [5, 6]}}), true),
            (json!({"n": {"in": [9, 7, 5, 3]}}), true),
            (json!({"n": {"in": [9, 7, 3]}}), false),
            (json!({}), true),
        ] {
            assert_eq!(passes(&filter, row).unwrap(), expected, "{filter}");
        }
    }

    #[test]
    fn a_later_condition_never_looks_at_a_row_that_an_earlier_one_hides() {
        let policy_first = |tenant| {
            Filter::And(vec![
                Filter::Compare("s".into(), Compare::Eq, filter::Literal::String(tenant)),
                Filter::Compare("n".into(), Compare::Gt, filter::Literal::Int(1)),
            ])
        };
        let columns = [Column::new("s", ColumnType::String), Column::new("n", ColumnType::Int)];
        for (policy, hidden) in [("acme", true), ("globex", false)] {
            let test = RowTest::new(&policy_first(policy.to_owned()), &columns).unwrap();
            for tenant in [Stored::Text("globex"), Stored::Null] {
                let row = [tenant, Stored::Text("abc")];
                let passes = test.passes(|at| Cell::new(columns[at].kind, row[at]).map_err(DatasetError::Garbled));
                let is_shown = !hidden && tenant != Stored::Null;
                assert_eq!(passes.is_err(), is_shown, "{policy} {tenant:?}");
            }
        }
    }
}
