//! Gives each column of a CSV file a unique name.

use std::collections::HashSet;

/// The column names of a CSV file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::dataset::files) struct Header {
    /// The name of each column, in the order of the file. No two columns have the same name.
    pub(in crate::dataset::files) names: Vec<String>,
    /// A note for operators about each column whose name differs from its title in the file.
    pub(in crate::dataset::files) notes: Vec<String>,
}

impl Header {
    /// Returns a unique name for each title of a header. A repeated title gets a number, as in `a_2`. A column with an
    /// empty title is named by its position, counted from 1, as in `column_3`.
    pub(super) fn of<'a>(titles: impl Iterator<Item = &'a str> + Clone) -> Self {
        let mut taken: HashSet<String> = titles.clone().filter(|title| !title.is_empty()).map(str::to_owned).collect();
        let mut found = HashSet::new();
        let mut header = Self::default();
        for (index, title) in titles.enumerate() {
            let position = index + 1;
            if !title.is_empty() && found.insert(title) {
                header.names.push(title.to_owned());
                continue;
            }
            let base = if title.is_empty() { format!("column_{position}") } else { title.to_owned() };
            let first = if title.is_empty() { 1 } else { 2 };
            let name = (first..)
                .map(|number| if number == 1 { base.clone() } else { format!("{base}_{number}") })
                .find(|name| !taken.contains(name))
                .unwrap_or(base);
            taken.insert(name.clone());
            header.notes.push(if title.is_empty() {
                format!("column {position} has no name, and is offered as `{name}`")
            } else {
                format!("column {position} is a further `{title}`, and is offered as `{name}`")
            });
            header.names.push(name);
        }
        header
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_column_has_a_name_of_its_own() {
        for (titles, names) in [
            (&["a", "b"][..], &["a", "b"][..]),
            (&["a", "a", "a"], &["a", "a_2", "a_3"]),
            (&["a", "a_2", "a"], &["a", "a_2", "a_3"]),
            (&["a", "a", "a_2", "a_2"], &["a", "a_3", "a_2", "a_2_2"]),
            (&["", "x", ""], &["column_1", "x", "column_3"]),
            (&["", "column_1"], &["column_1_2", "column_1"]),
            (&["a", "A", " a"], &["a", "A", " a"]),
            (&[""], &["column_1"]),
        ] {
            let header = Header::of(titles.iter().copied());
            assert_eq!(header.names, names);
            let renamed = titles.iter().zip(names).filter(|(title, name)| title != name).count();
            assert_eq!(header.notes.len(), renamed, "{:?}", header.notes);
        }
    }
}
