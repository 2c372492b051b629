//! Derives the names, titles and labels of datasets and columns from the names of tables, files and columns in the
//! source.

use std::collections::BTreeSet;

/// The maximum length of a dataset's name, in characters.
const MAX_NAME: usize = 64;
/// The maximum length, in characters, of a comment in the database that is used as a title or a label.
const MAX_LABEL: usize = 48;
/// Words that titles and labels write in capital letters, such as `ID`.
const ACRONYMS: [&str; 22] = [
    "api", "bic", "cpu", "csv", "eu", "gps", "html", "iban", "id", "ip", "isbn", "json", "pdf", "sku", "sql", "ssn",
    "ui", "url", "us", "utc", "uuid", "vat",
];

/// Returns the lower-case words of a name in snake case, camel case or with other separators: `orderItems2` and
/// `Order-items_2` have the words `order`, `items` and `2`.
pub(super) fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut word = String::new();
    let chars: Vec<char> = name.chars().collect();
    for (at, &c) in chars.iter().enumerate() {
        let previous = at.checked_sub(1).map(|at| chars[at]);
        let next = chars.get(at + 1);
        let begins = previous.is_some_and(|previous| {
            // `userID` has the words `user` and `id`; `URLPath` has `url` and `path`
            let after_lower = c.is_uppercase() && (previous.is_lowercase() || previous.is_numeric());
            let before_lower =
                c.is_uppercase() && previous.is_uppercase() && next.is_some_and(|next| next.is_lowercase());
            after_lower || before_lower || previous.is_numeric() != c.is_numeric()
        });
        if !c.is_alphanumeric() || begins {
            words.extend(Some(std::mem::take(&mut word)).filter(|word| !word.is_empty()));
        }
        if c.is_alphanumeric() {
            word.extend(c.to_lowercase());
        }
    }
    words.extend(Some(word).filter(|word| !word.is_empty()));
    words
}

/// Returns a name as people write it: `order_items` becomes `Order items`, `customerId` becomes `Customer ID`. Returns
/// the name itself if it has neither letters nor digits.
pub(super) fn humanized(name: &str) -> String {
    let words: Vec<_> = words(name)
        .into_iter()
        .map(|word| if ACRONYMS.contains(&word.as_str()) { word.to_uppercase() } else { word })
        .collect();
    let text = words.join(" ");
    let mut chars = text.chars();
    match chars.next() {
        None => name.to_owned(),
        Some(first) => first.to_uppercase().chain(chars).collect(),
    }
}

/// Returns a comment from the database if it fits as a title or a label: one line of at most [`MAX_LABEL`] characters.
pub(super) fn short_comment(comment: Option<&str>) -> Option<String> {
    let text = comment?.trim().trim_end_matches('.');
    let fits = !text.is_empty() && text.chars().count() <= MAX_LABEL && !text.contains(['\n', '\r']);
    fits.then(|| text.to_owned())
}

/// The names of all datasets in the catalog file, which a new dataset can't have.
#[derive(Clone, Debug, Default)]
pub(super) struct DatasetNames(BTreeSet<String>);

impl DatasetNames {
    pub(super) fn new(taken: impl IntoIterator<Item = String>) -> Self {
        Self(taken.into_iter().collect())
    }

    /// Returns the first name of `wanted` that no dataset has, and reserves it. If all names are in use, appends a
    /// number to the last one. Replaces characters that are invalid in the name of a dataset by `_`.
    pub(super) fn reserve(&mut self, wanted: &[String]) -> String {
        let allowed = |c: char| if c.is_ascii_alphanumeric() || "_-.".contains(c) { c } else { '_' };
        let name = |text: &str, suffix: &str| {
            let mut name: String = text.chars().take(MAX_NAME - suffix.len()).map(allowed).collect();
            if name.trim_matches(['_', '.', '-']).is_empty() {
                name = "dataset".into();
            }
            name + suffix
        };
        let mut candidates = wanted.iter().map(|text| name(text, ""));
        let last = wanted.last().map_or("dataset", String::as_str);
        let mut numbered = (2_u64..).map(|number| name(last, &format!("_{number}")));
        loop {
            let Some(candidate) = candidates.next().or_else(|| numbered.next()) else { return "dataset".into() };
            if self.0.insert(candidate.clone()) {
                return candidate;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_titles() {
        for (name, title) in [
            ("order_items", "Order items"),
            ("customerId", "Customer ID"),
            ("URLPath", "URL path"),
            ("userID", "User ID"),
            ("ORDERS", "Orders"),
            ("orders-2024", "Orders 2024"),
            ("sales.order lines", "Sales order lines"),
            ("straße", "Straße"),
            ("__", "__"),
            ("", ""),
        ] {
            assert_eq!(humanized(name), title);
        }
    }

    #[test]
    fn short_comments_become_labels_and_long_ones_do_not() {
        assert_eq!(short_comment(Some(" Net price. ")).as_deref(), Some("Net price"));
        for other in [None, Some(""), Some("two\nlines"), Some(&"x".repeat(49))] {
            assert_eq!(short_comment(other), None);
        }
    }

    #[test]
    fn names_of_datasets_are_valid_and_different() {
        let mut names = DatasetNames::new(["orders".to_owned()]);
        let mut reserve = |wanted: &[&str]| names.reserve(&wanted.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(reserve(&["orders", "orders_csv"]), "orders_csv");
        assert_eq!(reserve(&["orders"]), "orders_2");
        assert_eq!(reserve(&["Bestellungen für Käufer"]), "Bestellungen_f_r_K_ufer");
        assert_eq!(reserve(&["日本"]), "dataset");
        assert_eq!(reserve(&["日本"]), "dataset_2");
        let long = reserve(&[&"x".repeat(100)]);
        let longer = reserve(&[&"x".repeat(101)]);
        assert_eq!((long.len(), longer.len()), (64, 64));
        assert!(longer.ends_with("x_2"), "{longer}");
        for name in [long, longer] {
            assert!(crate::catalog::rules::is_name(&name));
        }
    }
}
