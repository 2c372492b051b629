//! Sorts rows by the values that files show, and checks their order.
//!
//! SQLite sorts stored values, and one column may store them in several forms, such as numbers and texts. [`sort_keys`]
//! converts the values to one form as far as SQL can. If the rows are still not sorted by the values that files show,
//! [`OrderCheck`] fails the export.

use std::cmp::Ordering;

use protocol::catalog::{Column, ColumnType};
use sea_orm::sea_query::Expr;

use super::{
    super::super::DatasetError,
    cell::Cell,
    moments, quoted,
    schema::{Affinities, Affinity},
};

/// Returns the SQL expressions in the ORDER BY clause that sort the rows by one column. SQLite uses a later expression
/// only for rows whose earlier expressions are equal.
pub(super) fn sort_keys(column: &Column, affinities: &Affinities) -> Vec<Expr> {
    let name = quoted(&column.name);
    let affinity = affinities.get(&column.name);
    let key = match (column.kind, affinity) {
        (ColumnType::String, Affinity::Text) | (ColumnType::Time, _) => format!("{name} COLLATE BINARY"),
        (ColumnType::String, _) => format!(
            "CASE typeof({name}) WHEN 'blob' THEN '\\x' || lower(hex({name})) ELSE CAST({name} AS TEXT) END COLLATE BINARY"
        ),
        (ColumnType::Int | ColumnType::Float | ColumnType::Decimal, Affinity::Number) => name,
        (ColumnType::Int | ColumnType::Float | ColumnType::Decimal, _) => {
            format!("CASE typeof({name}) WHEN 'text' THEN CAST({name} AS NUMERIC) ELSE {name} END")
        }
        (ColumnType::Bool, _) => format!(
            "CASE typeof({name}) WHEN 'text' THEN lower({name}) IN ('1', 'true', 't', 'yes', 'y', 'on') ELSE {name} END"
        ),
        (ColumnType::Date | ColumnType::Datetime, _) => {
            let (start, end) = (moments::JULIAN_START, moments::JULIAN_END);
            return [
                format!(
                    "CASE typeof({name}) WHEN 'text' THEN unixepoch({name}, 'subsec') WHEN 'real' THEN \
                     iif({name} >= {start:?} AND {name} < {end:?}, ({name} - 2440587.5) * 86400.0, {name}) ELSE {name} END"
                ),
                // the first key has only milliseconds, so the stored text decides between equal keys
                format!("{name} COLLATE BINARY"),
            ]
            .map(Expr::cust)
            .into();
        }
    };
    vec![Expr::cust(key)]
}

/// Checks that rows come in the order of the values in their sort columns. The dataset declares these columns.
pub(super) struct OrderCheck {
    /// The positions of the sort columns in a row, their names, and whether the largest value comes first.
    keys: Vec<(usize, String, bool)>,
    previous: Vec<Cell<'static>>,
}

impl OrderCheck {
    pub(super) const fn new(keys: Vec<(usize, String, bool)>) -> Self {
        Self { keys, previous: Vec::new() }
    }

    /// Checks that the next row does not sort before the previous row. `cell` returns the value of the next row at a
    /// position.
    ///
    /// # Errors
    ///
    /// Returns the error of `cell`, or [`DatasetError::Unsorted`] if the next row sorts before the previous row.
    pub(super) fn check<'a>(
        &mut self,
        mut cell: impl FnMut(usize) -> Result<Cell<'a>, DatasetError>,
    ) -> Result<(), DatasetError> {
        let mut row = Vec::with_capacity(self.keys.len());
        let mut is_decided = self.previous.is_empty();
        for (key, (at, name, descending)) in self.keys.iter().enumerate() {
            let value = cell(*at)?;
            if !is_decided {
                match placed(&self.previous[key], &value, *descending) {
                    Ordering::Less => is_decided = true,
                    Ordering::Equal => {}
                    Ordering::Greater => return Err(DatasetError::Unsorted(name.clone())),
                }
            }
            row.push(value.into_owned());
        }
        self.previous = row;
        Ok(())
    }
}

/// Compares two values by their positions in the sort order. NULL comes last, even in a descending order.
fn placed(left: &Cell<'_>, right: &Cell<'_>, descending: bool) -> Ordering {
    match (left.is_null(), right.is_null()) {
        (false, false) => {
            let order = left.compare(right).unwrap_or(Ordering::Equal);
            if descending { order.reverse() } else { order }
        }
        (left, right) => left.cmp(&right),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_before_its_predecessor_is_refused() {
        let check = |descending, values: &[Cell<'static>]| {
            let mut check = OrderCheck::new(vec![(0, "n".into(), descending)]);
            values.iter().try_for_each(|value| check.check(|_| Ok(value.clone())))
        };
        let ints =
            |values: &[i64]| values.iter().map(|n| Cell::Int(*n)).chain([Cell::Null, Cell::Null]).collect::<Vec<_>>();
        assert!(check(false, &ints(&[1, 1, 2])).is_ok() && check(true, &ints(&[2, 1, 1])).is_ok());
        assert!(matches!(check(false, &ints(&[2, 1])), Err(DatasetError::Unsorted(name)) if name == "n"));
        assert!(check(true, &ints(&[1, 2])).is_err());
        assert!(check(true, &[Cell::Null, Cell::Int(1)]).is_err());
    }
}
