//! Defines the native types of PostgreSQL columns that change the SQL of a filter. A native type is the type of a
//! column in PostgreSQL.
//!
//! Filters compare texts byte by byte. Casting a column to text with the collation `C` gives this comparison for every
//! type, but cannot use an ordinary index. If the native type is text or uuid, a comparison by `=` without that cast
//! gives the same result and can use an index. Values of a `real` column are compared by their shortest decimal text,
//! as files show them.

use std::collections::HashMap;

use sea_orm::sea_query::{Alias, Expr, ExprTrait};

/// A native type of a PostgreSQL column that changes the SQL of a filter on the column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dataset) enum Native {
    /// `text` or `varchar` with a deterministic collation. Two values of this type are equal only if their bytes are
    /// equal.
    Text,
    /// The type `uuid`. Only a text in the canonical form of a uuid can equal a value of this type.
    Uuid,
    /// The type `real`. Filters compare its values by their shortest decimal text.
    Real,
}

/// The known native types of columns, by the name of the column. If the native type of a text or uuid column is
/// unknown, a filter is slower but still correct. If the native type of a `real` column is unknown, a filter compares
/// exact values instead of shortest texts.
#[derive(Clone, Debug, Default)]
pub(in crate::dataset) struct Natives(HashMap<String, Native>);

impl Natives {
    /// Returns the native type of a column; None if the type is unknown, or does not change the SQL of a filter.
    pub(in crate::dataset) fn of(&self, column: &str) -> Option<Native> {
        self.0.get(column).copied()
    }

    /// Returns only the native types of `real` columns. The caller uses this method if the type or collation of a
    /// column may change before the statement runs. A filter on a text or uuid column that relies on an old native type
    /// could select wrong rows.
    pub(in crate::dataset) fn reals(mut self) -> Self {
        self.0.retain(|_, native| *native == Native::Real);
        self
    }
}

impl FromIterator<(String, Native)> for Natives {
    fn from_iter<I: IntoIterator<Item = (String, Native)>>(known: I) -> Self {
        Self(known.into_iter().collect())
    }
}

/// Converts the texts of a filter to SQL values that `=` can compare with a column of this native type, without a cast
/// of the column. For a uuid column, omits every text that is not the canonical form of a uuid, because no value of the
/// column equals such a text. Returns None if the native type is unknown or `real`, or if all texts were omitted. The
/// caller then compares the column by its text.
pub(super) fn plain<'a>(native: Option<Native>, texts: impl Iterator<Item = &'a str>) -> Option<Vec<Expr>> {
    let values: Vec<_> = match native? {
        Native::Text => texts.map(Expr::val).collect(),
        Native::Uuid => {
            let written = texts.filter(|text| is_uuid(text));
            written.map(|text| Expr::val(text).cast_as(Alias::new("uuid"))).collect()
        }
        Native::Real => return None,
    };
    (!values.is_empty()).then_some(values)
}

/// Whether a text is the canonical form of a uuid, as PostgreSQL writes it.
fn is_uuid(text: &str) -> bool {
    let place = |(at, byte): (usize, u8)| match at {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
    };
    text.len() == 36 && text.bytes().enumerate().all(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_canonical_uuids_are_compared_as_uuids() {
        let known = "0199aaaa-0000-7000-8000-000000000002";
        for (text, is) in [
            (known, true),
            ("0199AAAA-0000-7000-8000-000000000002", false),
            ("{0199aaaa-0000-7000-8000-000000000002}", false),
            ("0199aaaa00007000800000000000000200000", false),
            ("", false),
        ] {
            assert_eq!(is_uuid(text), is, "{text}");
        }
        let some = |native, texts: &[&str]| plain(native, texts.iter().copied()).map(|values| values.len());
        assert_eq!(some(Some(Native::Uuid), &[known, "x"]), Some(1));
        assert_eq!(some(Some(Native::Uuid), &["x"]), None);
        assert_eq!(some(Some(Native::Text), &["x", ""]), Some(2));
        assert_eq!((some(Some(Native::Real), &["1"]), some(None, &["x"])), (None, None));
    }
}
