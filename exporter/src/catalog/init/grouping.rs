//! Groups files into sets that may each be one dataset. A set has the files of partition folders such as `year=2026`,
//! or files whose names differ only in numbers.

use std::collections::BTreeMap;

use crate::dataset::FileKind;

/// The lengths of the groups of hexadecimal digits in a UUID.
const UUID_GROUPS: [usize; 5] = [8, 4, 4, 4, 12];
/// Names of files that do not describe the rows. The dataset gets the name of the file's folder instead.
const GENERIC_NAMES: [&str; 8] = ["", "chunk", "data", "export", "file", "output", "part", "table"];

/// A set of files that `catalog init` tries to offer as one dataset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    /// A pattern, relative to the listed folder, that matches exactly these files. For a single file, the pattern is
    /// its path.
    pub(super) pattern: String,
    /// The names that the dataset may get, in the order of preference.
    pub(super) names: Vec<String>,
    /// The paths of the files, relative to the listed folder, in ascending order.
    pub(super) files: Vec<String>,
    /// Whether the files are in partition folders such as `year=2026`. Such files are one dataset, even if their columns
    /// differ.
    pub(super) is_partitioned: bool,
}

impl Group {
    /// Returns a group of a single file. `folder` is the name of the listed folder.
    pub(super) fn single(path: &str, folder: &str) -> Self {
        let stem = stem(path);
        Self {
            pattern: path.to_owned(),
            names: names(path, stem, folder),
            files: vec![path.to_owned()],
            is_partitioned: false,
        }
    }
}

/// Groups files by their paths, which are relative to the listed folder. The paths must be sorted, separate folders by
/// `/`, and end with a known extension. `folder` is the name of the listed folder.
pub(super) fn group(paths: &[String], folder: &str) -> Vec<Group> {
    let mut partitioned: BTreeMap<String, Vec<&String>> = BTreeMap::new();
    let mut numbered: BTreeMap<String, Vec<&String>> = BTreeMap::new();
    for path in paths {
        match partition_pattern(path) {
            Some(pattern) => partitioned.entry(pattern).or_default().push(path),
            None => numbered.entry(number_pattern(path, false)).or_default().push(path),
        }
    }
    let mut groups = Vec::new();
    for (pattern, files) in partitioned {
        let root: Vec<_> = files[0].split('/').take_while(|part| !is_partition(part)).collect();
        let names = if root.is_empty() {
            vec![folder.to_owned()]
        } else {
            vec![root[root.len() - 1].to_owned(), root.join("_")]
        };
        groups.push(Group { pattern, names, files: files.into_iter().cloned().collect(), is_partitioned: true });
    }
    for (pattern, files) in numbered {
        if files.len() > 1
            && let Some(pattern) = exact_pattern(pattern, &files, paths)
        {
            let names = names(files[0], &without_numbers(stem(files[0])), folder);
            groups.push(Group { pattern, names, files: files.into_iter().cloned().collect(), is_partitioned: false });
        } else {
            groups.extend(files.into_iter().map(|path| Group::single(path, folder)));
        }
    }
    groups.sort_by(|a, b| a.files[0].cmp(&b.files[0]));
    groups
}

/// Whether the name of a folder has the form `key=value`, which Hive and Spark use for partitions.
fn is_partition(folder: &str) -> bool {
    folder.split_once('=').is_some_and(|(key, _)| !key.is_empty())
}

/// Returns a pattern for all files in the same partition folders, such as `sales/year=*/month=*/*.parquet`. Returns
/// None for a file that is not in a partition folder.
fn partition_pattern(path: &str) -> Option<String> {
    let (folders, file) = path.rsplit_once('/')?;
    if !folders.split('/').any(is_partition) {
        return None;
    }
    let folders = folders.split('/').map(|folder| match folder.split_once('=') {
        Some((key, _)) if !key.is_empty() => format!("{}=*", glob::Pattern::escape(key)),
        _ => glob::Pattern::escape(folder),
    });
    let extension = file.rsplit_once('.').map_or("", |(_, extension)| extension);
    Some(format!("{}/*.{extension}", folders.collect::<Vec<_>>().join("/")))
}

/// Returns a pattern for all files of the same folder whose names differ only in numbers and UUIDs, such as
/// `orders-[0-9]*.csv`. If `is_exact` is true, the pattern requires the same number of digits as in `path`, such as
/// `orders-[0-9][0-9].csv`.
fn number_pattern(path: &str, is_exact: bool) -> String {
    let (folder, file) = path.rsplit_once('/').map_or(("", path), |(folder, file)| (folder, file));
    let (stem, extension) = file.rsplit_once('.').unwrap_or((file, ""));
    let mut pattern = if folder.is_empty() { String::new() } else { glob::Pattern::escape(folder) + "/" };
    for token in tokens(stem) {
        match token {
            Token::Number(digits) if is_exact => pattern += &"[0-9]".repeat(digits.len()),
            Token::Number(_) => pattern += "[0-9]*",
            Token::Uuid(_) => pattern += &UUID_GROUPS.map(|length| "[0-9a-fA-F]".repeat(length)).join("-"),
            Token::Other(text) => pattern += &glob::Pattern::escape(text),
        }
    }
    format!("{pattern}.{extension}")
}

/// Returns a pattern that matches all of `files`, and no other file of `paths`. Returns None if no such pattern exists.
fn exact_pattern(pattern: String, files: &[&String], paths: &[String]) -> Option<String> {
    let options = glob::MatchOptions { require_literal_separator: true, ..glob::MatchOptions::default() };
    let is_exact = |pattern: &String| {
        let Ok(pattern) = glob::Pattern::new(pattern) else { return false };
        let matched: Vec<_> = paths.iter().filter(|path| pattern.matches_with(path, options)).collect();
        matched == files
    };
    [pattern, number_pattern(files[0], true)].into_iter().find(is_exact)
}

/// A part of a file name: a number, a UUID or other text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    Number(&'a str),
    Uuid(&'a str),
    Other(&'a str),
}

fn tokens(stem: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = stem;
    while let Some(first) = rest.chars().next() {
        let length = if let Some(length) = uuid_at(rest) {
            tokens.push(Token::Uuid(&rest[..length]));
            length
        } else if first.is_ascii_digit() {
            let length = rest.bytes().take_while(u8::is_ascii_digit).count();
            tokens.push(Token::Number(&rest[..length]));
            length
        } else {
            // a UUID may begin in the middle, but not within a word
            let mut at_boundary = !first.is_alphanumeric();
            let end = rest.char_indices().skip(1).find(|(at, c)| {
                let begins = c.is_ascii_digit() || (at_boundary && uuid_at(&rest[*at..]).is_some());
                at_boundary = !c.is_alphanumeric();
                begins
            });
            let length = end.map_or(rest.len(), |(at, _)| at);
            tokens.push(Token::Other(&rest[..length]));
            length
        };
        rest = &rest[length..];
    }
    tokens
}

/// Returns the length of the UUID at the start of a text; None if the text does not start with a UUID.
fn uuid_at(text: &str) -> Option<usize> {
    let length = UUID_GROUPS.iter().sum::<usize>() + UUID_GROUPS.len() - 1;
    let candidate = text.get(..length)?;
    let groups: Vec<_> = candidate.split('-').collect();
    let is_uuid = groups.len() == UUID_GROUPS.len()
        && groups
            .iter()
            .zip(UUID_GROUPS)
            .all(|(group, length)| group.len() == length && group.bytes().all(|byte| byte.is_ascii_hexdigit()));
    is_uuid.then_some(length)
}

/// Returns a file name without its extension and its numbers. For example, `orders-2024-01` becomes `orders`.
fn without_numbers(stem: &str) -> String {
    let words = tokens(stem).into_iter().filter_map(|token| match token {
        Token::Other(text) => Some(text),
        _ => None,
    });
    let text = words.collect::<String>();
    let parts: Vec<_> = text.split(|c: char| !c.is_alphanumeric()).filter(|part| !part.is_empty()).collect();
    parts.join("_")
}

fn stem(path: &str) -> &str {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.rsplit_once('.').map_or(file, |(stem, _)| stem)
}

/// Returns the names that a dataset of this file may get: `name`, `name` with its folder, and `name` with the extension
/// of the file. A generic name such as `data` is replaced by the name of the folder.
fn names(path: &str, name: &str, folder: &str) -> Vec<String> {
    let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
    let last = parent.rsplit('/').next().filter(|last| !last.is_empty()).unwrap_or(folder);
    // programs such as Spark name the parts of a table `part-00000-…`
    let is_part = matches!(tokens(stem(path)).as_slice(), [Token::Other("part-" | "part_"), Token::Number(_), ..]);
    let is_generic = is_part || GENERIC_NAMES.contains(&name.to_ascii_lowercase().trim_end_matches(['-', '_', '.']));
    let name = if is_generic { last } else { name };
    let extension = path.rsplit_once('.').map_or("", |(_, extension)| extension);
    let in_folder = if is_generic || parent.is_empty() { name.to_owned() } else { format!("{last}_{name}") };
    let with_extension = format!("{in_folder}_{extension}");
    vec![name.to_owned(), in_folder, with_extension]
}

/// Returns the reason why `catalog init` can't offer a file; None if the extension of the file is known.
pub(super) fn unknown(path: &str) -> Option<String> {
    if FileKind::from_name(path).is_some() {
        return None;
    }
    let name = path.rsplit('/').next().unwrap_or(path).to_ascii_lowercase();
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    Some(match extension {
        "gz" | "zst" | "bz2" | "xz" | "lz4" | "zip" => "compressed files are not read: decompress it".into(),
        "json" => "one JSON document is no table: write it as NDJSON, one object on each line".into(),
        "db" | "sqlite" | "sqlite3" | "db3" => "give a SQLite file as a source of its own".into(),
        "xls" | "xlsx" | "ods" => "workbooks are not read: save its sheets as CSV".into(),
        "" => "it has no extension that tells its format".into(),
        other => format!("files with the extension `.{other}` are not read"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grouped(paths: &[&str]) -> Vec<(String, String, usize)> {
        let mut paths: Vec<_> = paths.iter().map(ToString::to_string).collect();
        paths.sort();
        let groups = group(&paths, "lake");
        groups.into_iter().map(|group| (group.names[0].clone(), group.pattern, group.files.len())).collect()
    }

    fn expected(groups: &[(&str, &str, usize)]) -> Vec<(String, String, usize)> {
        groups.iter().map(|(name, pattern, count)| ((*name).to_owned(), (*pattern).to_owned(), *count)).collect()
    }

    #[test]
    fn files_that_differ_in_numbers_are_one_group() {
        assert_eq!(
            grouped(&["orders-2024.csv", "orders-2025.csv", "people.csv", "orders-2024.parquet"]),
            expected(&[
                ("orders", "orders-[0-9]*.csv", 2),
                ("orders-2024", "orders-2024.parquet", 1),
                ("people", "people.csv", 1)
            ])
        );
        assert_eq!(
            grouped(&["a/log_1.ndjson", "a/log_10.ndjson", "b/log_1.ndjson"]),
            expected(&[("log", "a/log_[0-9]*.ndjson", 2), ("log_1", "b/log_1.ndjson", 1)])
        );
        let uuids = ["0199aaaa-0000-7000-8000-000000000001", "0199bbbb-0000-7000-8000-00000000000a"];
        let parts = uuids.map(|uuid| format!("sales/part-00000-{uuid}-c000.snappy.parquet"));
        let groups = grouped(&[&parts[0], &parts[1]]);
        assert_eq!((groups.len(), groups[0].0.as_str(), groups[0].2), (1, "sales", 2));
    }

    #[test]
    fn a_pattern_matches_no_file_of_another_group() {
        // `orders-[0-9]*-[0-9]*.csv` would match the file of the other group, too
        assert_eq!(
            grouped(&["orders-2024-01.csv", "orders-2024-02.csv", "orders-2024-items-03.csv"]),
            expected(&[
                ("orders", "orders-[0-9][0-9][0-9][0-9]-[0-9][0-9].csv", 2),
                ("orders-2024-items-03", "orders-2024-items-03.csv", 1)
            ])
        );
        // there is no pattern for numbers of different lengths beside such a file
        assert_eq!(grouped(&["o-1-1.csv", "o-1-22.csv", "o-1-x-3.csv"]).len(), 3);
        assert_eq!(grouped(&["a[1].csv", "a[2].csv"]), expected(&[("a", "a[[][0-9]*[]].csv", 2)]));
    }

    #[test]
    fn partition_folders_are_one_group() {
        let paths = [
            "sales/year=2024/month=1/part-0.parquet",
            "sales/year=2024/month=2/x.parquet",
            "sales/year=2025/month=1/part-0.parquet",
            "sales/readme.csv",
        ];
        assert_eq!(
            grouped(&paths),
            expected(&[("readme", "sales/readme.csv", 1), ("sales", "sales/year=*/month=*/*.parquet", 3)])
        );
        assert_eq!(grouped(&["day=1/a.csv"]), expected(&[("lake", "day=*/*.csv", 1)]));
    }

    #[test]
    fn a_generic_name_is_replaced_by_that_of_its_folder() {
        assert_eq!(
            grouped(&["sales/part-0.parquet", "sales/part-1.parquet", "data.csv"]),
            expected(&[("lake", "data.csv", 1), ("sales", "sales/part-[0-9]*.parquet", 2)])
        );
        assert_eq!(Group::single("a/b/c.csv", "lake").names, ["c", "b_c", "b_c_csv"]);
    }

    #[test]
    fn other_files_have_a_reason() {
        for (path, word) in [
            ("a.csv.gz", "decompress"),
            ("a.json", "NDJSON"),
            ("a.xlsx", "CSV"),
            ("a.db", "SQLite"),
            ("a.txt", "`.txt`"),
            ("Makefile", "no extension"),
        ] {
            assert!(unknown(path).unwrap().contains(word), "{path}");
        }
        assert_eq!(unknown("a/B.CSV"), None);
    }
}
