//! Reads the lines of NDJSON files as JSON objects. The values of an object keep their exact JSON text from the file.

use std::{
    borrow::Cow,
    fmt,
    fs::File,
    io::{BufRead, BufReader, Read, Seek, SeekFrom},
};

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::super::{super::DatasetError, nesting, text_file};

/// The maximum length of a line, without the line feed or `\r\n` at its end, in bytes.
const LINE_BYTES: usize = 64 << 20;
/// The error for a line that is not a JSON object.
const NO_OBJECT: DatasetError = DatasetError::Garbled(
    "a line is no JSON object: NDJSON has one whole object on each line, without a list around the objects",
);
/// The error for a line whose bytes are not UTF-8.
const NOT_UTF8: DatasetError = DatasetError::Garbled("a line is not UTF-8: convert the file to UTF-8");
/// The error for a line that ends within a JSON object.
const CUT_OBJECT: DatasetError =
    DatasetError::Garbled("a JSON object does not end on its line: NDJSON has one whole object on each line");
/// The error for a line with a mistake in its JSON object.
const BROKEN_OBJECT: DatasetError =
    DatasetError::Garbled("a JSON object has a mistake, or something follows it on its line: correct the line");
/// The error for a line on which the name of a member has an escape that is half of a surrogate pair.
const HALF_SURROGATE_IN_NAME: DatasetError = DatasetError::Garbled(
    "the name of a member has half of a surrogate pair, which is no character: write both halves, or the character itself",
);
/// The beginnings of the messages with which the JSON parser refuses half of a surrogate pair. The parser refuses such
/// halves only in the names of members.
const HALVES: [&str; 2] = ["lone leading surrogate", "unexpected end of hex escape"];
/// The error for a value with an escape that is half of a surrogate pair (RFC 8259, section 8.2).
pub(super) const HALF_SURROGATE: DatasetError = DatasetError::Garbled(
    "a text has half of a surrogate pair, which is no character: write both halves, or the character itself",
);
/// The size of the read buffer, in bytes.
const READ_BUFFER: usize = 1 << 20;
/// The maximum length of a line end, in bytes: `\r\n` has two.
const LINE_END: u64 = 2;

/// Reads the lines of a file, and skips blank lines.
pub(super) struct Lines {
    reader: BufReader<File>,
    line: Vec<u8>,
    /// The number of lines that were read so far, including blank lines. This is also the number of the current line,
    /// from 1.
    pub(super) number: u64,
}

impl Lines {
    pub(super) fn of(mut file: File) -> Result<Self, DatasetError> {
        file.seek(SeekFrom::Start(text_file::start(&file)?))?;
        Ok(Self { reader: BufReader::with_capacity(READ_BUFFER, file), line: Vec::new(), number: 0 })
    }

    /// Reads the next line that is not blank, and calls `member` with the name and the value of each member of its JSON
    /// object. Returns false at the end of the file. An error states the number of the line.
    pub(super) fn next(
        &mut self,
        member: impl FnMut(&str, &RawValue) -> Result<(), DatasetError>,
    ) -> Result<bool, DatasetError> {
        loop {
            self.line.clear();
            let most = LINE_BYTES as u64 + LINE_END;
            let read = self.reader.by_ref().take(most).read_until(b'\n', &mut self.line)?;
            if read == 0 {
                return Ok(false);
            }
            self.number += 1;
            let line = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.len() > LINE_BYTES {
                return Err(DatasetError::Limit("a line has more than 64 MiB").at_line(self.number));
            }
            if !line.iter().all(u8::is_ascii_whitespace) {
                let read = nesting::check_line(line).and_then(|()| members(line, member));
                return read.map(|()| true).map_err(|e| e.at_line(self.number));
            }
        }
    }
}

/// Parses a line as a JSON object, and calls `member` with the name and the value of each of its members.
fn members(line: &[u8], member: impl FnMut(&str, &RawValue) -> Result<(), DatasetError>) -> Result<(), DatasetError> {
    let mut refused = None;
    let mut reader = serde_json::Deserializer::from_slice(line);
    let read = Members { member, refused: &mut refused }.deserialize(&mut reader).and_then(|()| reader.end());
    match (refused, read) {
        (Some(error), _) => Err(error),
        (None, Ok(())) => Ok(()),
        (None, Err(_)) if std::str::from_utf8(line).is_err() => Err(NOT_UTF8),
        (None, Err(_)) if !line.trim_ascii_start().starts_with(b"{") => Err(NO_OBJECT),
        (None, Err(e)) if e.is_eof() => Err(CUT_OBJECT),
        (None, Err(e)) if HALVES.iter().any(|half| e.to_string().starts_with(half)) => Err(HALF_SURROGATE_IN_NAME),
        (None, Err(_)) => Err(BROKEN_OBJECT),
    }
}

/// Passes each member of a JSON object to the callback `member`.
struct Members<'a, F> {
    member: F,
    /// The error that `member` has returned. It is stored here because the JSON parser can't return a [`DatasetError`].
    refused: &'a mut Option<DatasetError>,
}

impl<'de, F: FnMut(&str, &RawValue) -> Result<(), DatasetError>> DeserializeSeed<'de> for Members<'_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, F: FnMut(&str, &RawValue) -> Result<(), DatasetError>> Visitor<'de> for Members<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key_seed(Name)? {
            let value: &RawValue = map.next_value()?;
            if let Err(error) = (self.member)(&name, value) {
                *self.refused = Some(error);
                return Err(A::Error::custom("refused"));
            }
        }
        Ok(())
    }
}

/// Deserializes the name of a member of a JSON object. Copies the name only if it has escapes.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn lines(bytes: &[u8]) -> Lines {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        Lines::of(file).unwrap()
    }

    fn read(text: &str) -> Result<Vec<String>, DatasetError> {
        let (mut lines, mut found) = (lines(text.as_bytes()), Vec::new());
        let mut member = |name: &str, value: &RawValue| {
            found.push(format!("{name}={}", value.get()));
            Ok(())
        };
        while lines.next(&mut member)? {}
        Ok(found)
    }

    #[test]
    fn values_keep_their_text_and_their_order() {
        let text = "\u{feff}{\"b\": {\"z\": 1.10,  \"a\": \"x  y\"}, \"a\" : 12E4 }\r\n\n  \n{\"\\u0062\": [1, -0]}";
        assert_eq!(read(text).unwrap(), ["b={\"z\": 1.10,  \"a\": \"x  y\"}", "a=12E4", "b=[1, -0]"]);
        // a deeply nested value does not overflow the stack
        let deep = |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
        assert_eq!(read(&deep(32)).unwrap()[0].len(), 66);
        let error = read(&deep(100_000)).unwrap_err().to_string();
        assert!(error.contains("line 1: column `a` is nested"), "{error}");
    }

    #[test]
    fn a_line_that_is_no_object_is_named() {
        for (text, line, cause) in [
            ("{\"a\":1}\n\n{\"a\":", 3, "does not end on its line"),
            ("{\n\"a\": 1}", 1, "does not end on its line"),
            ("[1]\n", 1, "no JSON object"),
            ("{\"a\":1}\n{\"a\":1} x", 2, "mistake"),
            ("{\"a\":1}\n{\"a\":1}{\"a\":2}", 2, "mistake"),
            ("{\"a\":01}", 1, "mistake"),
            ("{\"a\":NaN}", 1, "mistake"),
            ("null", 1, "no JSON object"),
            ("{\"a\":1}\n{\"\\ud800\":1}", 2, "the name of a member has half of a surrogate pair"),
            ("{\"\\ud800x\":1}", 1, "the name of a member has half of a surrogate pair"),
            ("{\"\\ud800\\u0041\":1}", 1, "the name of a member has half of a surrogate pair"),
            ("{\"\\udc00\":1}", 1, "the name of a member has half of a surrogate pair"),
            ("{\"\\ud8\":1}", 1, "mistake"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.starts_with(&format!("line {line}: ")) && error.contains(cause), "{error}");
        }
    }

    #[test]
    fn slow_a_line_of_exactly_the_bound_is_read() {
        let of = |length: usize, end: &str| {
            let mut line = b"{\"a\":1".to_vec();
            line.resize(length - 1, b' ');
            line.push(b'}');
            line.extend_from_slice(end.as_bytes());
            line.extend_from_slice(b"{\"a\":2}");
            let (mut lines, mut found) = (lines(&line), 0);
            while lines.next(|_, _| Ok(()))? {
                found += 1;
            }
            Ok::<_, DatasetError>(found)
        };
        for end in ["\n", "\r\n"] {
            assert_eq!(of(LINE_BYTES, end).unwrap(), 2);
            let error = of(LINE_BYTES + 1, end).unwrap_err().to_string();
            assert!(error.starts_with("line 1: ") && error.contains("64 MiB"), "{error}");
        }
    }
}
