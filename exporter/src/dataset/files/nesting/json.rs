//! Checks how deeply JSON text is nested, without parsing the text.

use super::MAX_DEPTH;
use crate::dataset::DatasetError;

/// Checks how deeply the members of the JSON object `text` are nested. Accepts invalid JSON whose brackets are not
/// nested too deeply, because the parser that reads the text afterwards reports the fault.
///
/// # Errors
/// When a member has more than [`MAX_DEPTH`] levels of lists and objects.
pub(in super::super) fn check_line(text: &[u8]) -> Result<(), DatasetError> {
    // the outermost object is not a level of its members
    let (mut depth, mut member) = (0_usize, 0..0);
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => {
                let end = end_of_string(text, at);
                if depth == 1 {
                    member = at + 1..end;
                }
                at = end;
            }
            b'[' | b'{' => {
                depth += 1;
                if depth > MAX_DEPTH + 1 {
                    let column = String::from_utf8_lossy(&text[member]).into_owned();
                    return Err(DatasetError::TooDeep { column, depth: depth - 1 });
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    Ok(())
}

/// Returns the index of the quote that closes the string whose opening quote is at `begin`. Returns the length of the
/// text if the string is not closed.
fn end_of_string(text: &[u8], begin: usize) -> usize {
    let mut at = begin + 1;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => return at,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(depth: usize) -> String {
        format!("{{\"n\": 1, \"deep\": {}\"]}}{}, \"after\": [1]}}", "[".repeat(depth), "]".repeat(depth))
    }

    #[test]
    fn only_brackets_outside_of_strings_count() {
        assert!(check_line(nested(MAX_DEPTH).replace("\"]}", "\"]}\"").as_bytes()).is_ok());
        let error = check_line(nested(MAX_DEPTH + 1).as_bytes()).unwrap_err();
        let DatasetError::TooDeep { column, depth: 33 } = &error else { panic!("{error:?}") };
        assert_eq!(column, "deep");
        let text = format!("{{\"text\": \"{}\\\"{}\"}}", "[".repeat(40), "{".repeat(40));
        assert!(check_line(text.as_bytes()).is_ok());
        // a text that ends within a string, or after a backslash
        for broken in ["{\"a", "{\"a\\", "[[", "}}}}"] {
            assert!(check_line(broken.as_bytes()).is_ok(), "{broken}");
        }
    }
}
