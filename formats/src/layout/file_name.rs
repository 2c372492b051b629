//! Builds the name under which a client saves a file.

use chrono_tz::Tz;
use protocol::{id::ExportId, time::Timestamp};

use super::{Pattern, PatternError};

/// The maximum length of a file name before its placeholders are filled, in bytes.
const MAX_LENGTH: usize = 128;
/// The date pattern of the placeholder `{requested_at}`. The placeholder `{requested_at:PATTERN}` selects another date
/// pattern.
const DEFAULT_PATTERN: &str = "yyyyMMddTHHmmss";

/// The number of characters that replace the placeholder `{id}`. They are the last characters of the export's
/// identifier, which are random.
const ID_LENGTH: usize = 6;

/// A file name with placeholders for the dataset, the template, the request time and the export, such as
/// `{dataset}-{requested_at}-{id}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileName {
    parts: Vec<Part>,
    time_zone: Option<Tz>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    Dataset,
    Template,
    RequestedAt(Option<Pattern>),
    Id,
}

/// Why a template's pattern of file names is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileNameError {
    /// The name is empty or exceeds the maximum length.
    #[error("a file name has 1 to {MAX_LENGTH} bytes")]
    Length,
    /// The name contains a character that some file systems refuse.
    #[error("`{0}` is not allowed in a file name: use letters, digits, spaces and - _ . ( )")]
    Character(char),
    /// A placeholder in the name has no closing brace.
    #[error("a `{{` is not closed")]
    Open,
    /// The name contains an unknown placeholder.
    #[error(
        "unknown placeholder `{{{0}}}`: there are {{dataset}}, {{template}}, {{id}}, {{requested_at}} and \
         {{requested_at:PATTERN}}"
    )]
    Unknown(String),
    /// The pattern of `{requested_at:PATTERN}` is invalid.
    #[error(transparent)]
    Pattern(#[from] PatternError),
}

impl Default for FileName {
    fn default() -> Self {
        let dash = || Part::Literal("-".into());
        // two exports within one second differ in their identifiers
        let parts = vec![Part::Dataset, dash(), Part::RequestedAt(None), dash(), Part::Id];
        Self { parts, time_zone: None }
    }
}

impl FileName {
    /// Parses a file name with placeholders. The file name states the request time in `time_zone`, or in UTC if
    /// `time_zone` is None.
    ///
    /// # Errors
    /// When the name is too long, has an unknown placeholder or an invalid pattern, or could contain a character that
    /// some file systems refuse.
    pub fn parse(text: &str, time_zone: Option<Tz>) -> Result<Self, FileNameError> {
        if text.is_empty() || text.len() > MAX_LENGTH {
            return Err(FileNameError::Length);
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            if first == '{' {
                let (placeholder, after) = rest[1..].split_once('}').ok_or(FileNameError::Open)?;
                parts.push(match placeholder.split_once(':') {
                    None if placeholder == "dataset" => Part::Dataset,
                    None if placeholder == "template" => Part::Template,
                    None if placeholder == "id" => Part::Id,
                    None if placeholder == "requested_at" => Part::RequestedAt(None),
                    Some(("requested_at", pattern)) => {
                        let pattern = Pattern::parse(pattern)?;
                        if let Some(byte) = b"/:".iter().find(|byte| pattern.can_write(&[**byte])) {
                            return Err(FileNameError::Character(char::from(*byte)));
                        }
                        Part::RequestedAt(Some(pattern.in_time_zone(time_zone)))
                    }
                    _ => return Err(FileNameError::Unknown(placeholder.to_owned())),
                });
                rest = after;
                continue;
            }
            let end = rest.find('{').unwrap_or(rest.len());
            let literal = &rest[..end];
            if let Some(bad) = literal.chars().find(|c| !c.is_alphanumeric() && !"-_.() ".contains(*c)) {
                return Err(FileNameError::Character(bad));
            }
            if parts.is_empty() && literal.starts_with(['.', ' ']) {
                return Err(FileNameError::Character(first));
            }
            parts.push(Part::Literal(literal.to_owned()));
            rest = &rest[end..];
        }
        Ok(Self { parts, time_zone })
    }

    /// Returns the name of the file of one export. Fills the placeholders, and appends a dot and `extension`, such as
    /// `csv.gz`.
    #[must_use]
    pub fn render(
        &self,
        id: ExportId,
        dataset: &str,
        template: &str,
        requested_at: Timestamp,
        extension: &str,
    ) -> String {
        let id = id.0.simple().to_string();
        let mut name = Vec::new();
        let at = requested_at.as_datetime();
        let (seconds, nanos) = (at.timestamp(), i64::from(at.timestamp_subsec_nanos()));
        for part in &self.parts {
            match part {
                Part::Literal(text) => name.extend_from_slice(text.as_bytes()),
                Part::Dataset => name.extend_from_slice(sanitized(dataset).as_bytes()),
                Part::Template => name.extend_from_slice(sanitized(template).as_bytes()),
                Part::Id => name.extend_from_slice(&id.as_bytes()[id.len() - ID_LENGTH..]),
                Part::RequestedAt(Some(pattern)) => pattern.write(&mut name, seconds, nanos),
                Part::RequestedAt(None) => {
                    if let Ok(pattern) = Pattern::parse(DEFAULT_PATTERN) {
                        pattern.in_time_zone(self.time_zone).write(&mut name, seconds, nanos);
                    }
                    if self.time_zone.is_none() {
                        name.push(b'Z');
                    }
                }
            }
        }
        format!("{}.{extension}", String::from_utf8_lossy(&name))
    }
}

/// Returns the name with `_` in place of each character that some file systems refuse.
fn sanitized(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at() -> Timestamp {
        serde_json::from_value(serde_json::json!("2026-11-22T23:26:01.123Z")).unwrap()
    }

    fn id() -> ExportId {
        serde_json::from_value(serde_json::json!("0199aaaa-0000-7000-8000-00000a0b0c0d")).unwrap()
    }

    #[test]
    fn placeholders_are_filled_and_a_name_cannot_leave_its_folder() {
        let berlin = Some(chrono_tz::Europe::Berlin);
        for (pattern, zone, expected) in [
            ("{dataset}-{requested_at}", None, "a_b-20261122T232601Z.csv.gz"),
            ("{id} {dataset}", None, "0b0c0d a_b.csv.gz"),
            ("{dataset}-{requested_at}", berlin, "a_b-20261123T002601.csv.gz"),
            ("Umsätze {requested_at:yyyy-MM-dd} ({template})", berlin, "Umsätze 2026-11-23 (finance).csv.gz"),
        ] {
            let name = FileName::parse(pattern, zone).unwrap();
            assert_eq!(name.render(id(), "a/b", "finance", at(), "csv.gz"), expected);
        }
        let default = |id| FileName::default().render(id, "flights", "default", at(), "csv");
        assert_eq!(default(id()), "flights-20261122T232601Z-0b0c0d.csv");
        assert_ne!(default(ExportId::generate()), default(ExportId::generate()));
    }

    #[test]
    fn names_that_a_file_system_refuses_are_invalid() {
        for (pattern, error) in [
            ("", FileNameError::Length),
            ("../x", FileNameError::Character('/')),
            (".hidden", FileNameError::Character('.')),
            ("a\u{0}", FileNameError::Character('\u{0}')),
            ("{dataset", FileNameError::Open),
            ("{tenant}", FileNameError::Unknown("tenant".into())),
            ("{requested_at:HH:mm}", FileNameError::Character(':')),
        ] {
            assert_eq!(FileName::parse(pattern, None), Err(error), "{pattern}");
        }
    }
}
