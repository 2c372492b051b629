//! What a server's own types say beyond the eight that columns have.
//!
//! Filters compare texts byte by byte, which by a cast and the collation `C` is right for every type but served by no index.
//! Where the column is a text or uuid itself, plain equality says the same, and ordinary indexes serve it.

use std::collections::HashMap;

use sea_orm::sea_query::{Alias, Expr, ExprTrait};

/// What a column is in the server, as far as that matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dataset) enum Native {
    /// `text` or `varchar` under a collation for which only the same bytes are equal.
    Text,
    /// `uuid`.
    Uuid,
    /// `real`, whose values are shown with the fewest digits that tell them apart, and not as the double nearest to them.
    Real,
}

/// Columns of which something is known, by name; nothing about any column by default, which is always right.
#[derive(Clone, Debug, Default)]
pub(in crate::dataset) struct Natives(HashMap<String, Native>);

impl Natives {
    /// What is known of a column.
    pub(in crate::dataset) fn of(&self, column: &str) -> Option<Native> {
        self.0.get(column).copied()
    }

    /// Those alone that let no other rows pass should they not be true any more.
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

/// The values as a column of this kind takes them for plain equality; None where that would not say the same as comparing
/// texts. A text that is no uuid as the server writes them equals none of them.
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

/// Whether it is the one way in which PostgreSQL writes some uuid.
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
    fn only_what_the_server_would_write_is_compared_as_a_uuid() {
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
