//! Finds the paths to other modules of the same crate in the text of a Rust file.

use super::rust_tokens::{is_name, tokens};

/// One path of a file, from `crate`, `self`, `super` or a child module.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mention {
    /// The names of the path; a glob ends before its `*`.
    pub(super) path: Vec<String>,
    /// Whether the path is of a `pub use` item.
    pub(super) is_export: bool,
}

/// Returns the paths to modules of the same crate in the text of a file with the child modules `children`. Leaves out
/// inline modules of tests.
pub(super) fn mentions(text: &str, children: &[&str]) -> Vec<Mention> {
    let tokens: Vec<&str> = tokens(text).into_iter().map(|(_, token)| token).collect();
    let is_local = |name: &str| ["crate", "self", "super"].contains(&name) || children.contains(&name);
    let (mut found, mut at, mut visibility) = (Vec::new(), 0, false);
    while at < tokens.len() {
        if tokens[at..].starts_with(&["#", "[", "cfg", "(", "test", ")", "]", "mod"])
            && tokens.get(at + 9) == Some(&"{")
        {
            at = end_of_block(&tokens, at + 9);
            continue;
        }
        match tokens[at] {
            "pub" => {
                visibility = true;
                at += 1;
                if tokens.get(at) == Some(&"(") {
                    at += tokens[at..].iter().position(|token| *token == ")").map_or(0, |close| close + 1);
                }
                continue;
            }
            "use" => {
                let mut paths = Vec::new();
                at = use_tree(&tokens, at + 1, &[], &mut paths);
                let local = paths.into_iter().filter(|path| path.first().is_some_and(|name| is_local(name)));
                found.extend(local.map(|path| Mention { path: owned(&path), is_export: visibility }));
            }
            name if is_local(name)
                && tokens.get(at + 1) == Some(&"::")
                && at.checked_sub(1).is_none_or(|before| tokens[before] != "::") =>
            {
                let mut path = vec![name];
                at += 1;
                while tokens.get(at) == Some(&"::") && tokens.get(at + 1).is_some_and(|next| is_name(next)) {
                    path.push(tokens[at + 1]);
                    at += 2;
                }
                found.push(Mention { path: owned(&path), is_export: false });
            }
            _ => at += 1,
        }
        visibility = false;
    }
    found
}

fn owned(path: &[&str]) -> Vec<String> {
    path.iter().map(|name| (*name).to_owned()).collect()
}

/// Reads the tree of a `use` item from the token `at` on, and adds its paths below `prefix` to `paths`. Returns the
/// index of the token after the tree.
fn use_tree<'a>(tokens: &[&'a str], mut at: usize, prefix: &[&'a str], paths: &mut Vec<Vec<&'a str>>) -> usize {
    let mut path = prefix.to_vec();
    while let Some(&token) = tokens.get(at) {
        at += 1;
        match token {
            "::" => {}
            "*" => break,
            "as" => {
                at += 1;
                break;
            }
            "{" => {
                while tokens.get(at).is_some_and(|token| *token != "}") {
                    let before = at;
                    at = use_tree(tokens, at, &path, paths);
                    // a token that no tree has, such as `;`, is skipped
                    if tokens.get(at) == Some(&",") || at == before {
                        at += 1;
                    }
                }
                return at + 1;
            }
            // `a::{self, b}` names `a`
            "self" if !path.is_empty() => {}
            name if is_name(name) => path.push(name),
            _ => {
                at -= 1;
                break;
            }
        }
    }
    paths.push(path);
    // a token that no tree has would be read again and again
    if tokens.get(at).is_some_and(|token| ![",", "}", ";"].contains(token)) { at + 1 } else { at }
}

/// The place after the block whose brace opens at `at`.
fn end_of_block(tokens: &[&str], at: usize) -> usize {
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate().skip(at) {
        match *token {
            "{" => depth += 1,
            "}" => depth = depth.saturating_sub(1),
            _ => continue,
        }
        if depth == 0 {
            return index + 1;
        }
    }
    tokens.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(text: &str) -> Vec<String> {
        let found = mentions(text, &["child"]);
        found
            .iter()
            .map(|mention| format!("{}{}", if mention.is_export { "pub " } else { "" }, mention.path.join("::")))
            .collect()
    }

    #[test]
    fn paths_of_use_items_and_of_code_are_found() {
        let text = "use crate::{a, b::{self, C as D, e::*}, f};\nuse std::fmt;\npub(crate) use self::child::Thing;\n\
                    fn g<'a>(x: &'a super::X) { child::run('\\'', \"crate::no\", r#\"use crate::no;\"#) } // crate::no\n";
        let expected = [
            "crate::a",
            "crate::b",
            "crate::b::C",
            "crate::b::e",
            "crate::f",
            "pub self::child::Thing",
            "super::X",
            "child::run",
        ];
        assert_eq!(paths(text), expected);
    }

    #[test]
    fn inline_tests_are_left_out_and_what_follows_is_not() {
        let text = "#[cfg(test)]\nmod tests {\n    use super::*;\n    fn f() { crate::a::b(); }\n}\nuse crate::c;\n";
        assert_eq!(paths(text), ["crate::c"]);
    }
}
