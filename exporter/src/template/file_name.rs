//! The name that a file is saved under.

use chrono_tz::Tz;
use protocol::time::Timestamp;

use crate::format::{Pattern, PatternError};

/// The longest pattern, bytes.
const LONGEST: usize = 128;
/// The time of a request, where a pattern asks for no other form.
const MOMENT: &str = "yyyyMMddTHHmmss";

/// A name with places for the dataset, the template and the time of the request: `{dataset}-{requested_at}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileName {
    parts: Vec<Part>,
    zone: Option<Tz>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    Dataset,
    Template,
    RequestedAt(Option<Pattern>),
}

/// What is wrong with a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileNameError {
    /// It is empty or too long.
    #[error("a file name has 1 to {LONGEST} bytes")]
    Length,
    /// A character that some file systems don't take.
    #[error("`{0}` can't stand in a file name: use letters, digits, spaces and - _ . ( )")]
    Character(char),
    /// A brace without its other.
    #[error("a `{{` is not closed")]
    Open,
    /// No such place.
    #[error(
        "`{{{0}}}` means nothing here: there are {{dataset}}, {{template}}, {{requested_at}} and {{requested_at:PATTERN}}"
    )]
    Unknown(String),
    /// The pattern of a time.
    #[error(transparent)]
    Pattern(#[from] PatternError),
}

impl Default for FileName {
    fn default() -> Self {
        let parts = vec![Part::Dataset, Part::Literal("-".into()), Part::RequestedAt(None)];
        Self { parts, zone: None }
    }
}

impl FileName {
    /// Reads a pattern; times are those of `zone`, or UTC.
    ///
    /// # Errors
    /// When it could make a name that some file system does not take.
    pub fn parse(text: &str, zone: Option<Tz>) -> Result<Self, FileNameError> {
        if text.is_empty() || text.len() > LONGEST {
            return Err(FileNameError::Length);
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            if first == '{' {
                let (place, behind) = rest[1..].split_once('}').ok_or(FileNameError::Open)?;
                parts.push(match place.split_once(':') {
                    None if place == "dataset" => Part::Dataset,
                    None if place == "template" => Part::Template,
                    None if place == "requested_at" => Part::RequestedAt(None),
                    Some(("requested_at", pattern)) => {
                        let pattern = Pattern::parse(pattern)?;
                        if let Some(byte) = b"/:".iter().find(|byte| pattern.holds(&[**byte])) {
                            return Err(FileNameError::Character(char::from(*byte)));
                        }
                        Part::RequestedAt(Some(pattern.in_zone(zone)))
                    }
                    _ => return Err(FileNameError::Unknown(place.to_owned())),
                });
                rest = behind;
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
        Ok(Self { parts, zone })
    }

    /// The name of one file, with its extension.
    #[must_use]
    pub fn render(&self, dataset: &str, template: &str, requested_at: Timestamp, extension: &str) -> String {
        let mut name = Vec::new();
        let at = requested_at.as_datetime();
        let (seconds, nanos) = (at.timestamp(), i64::from(at.timestamp_subsec_nanos()));
        for part in &self.parts {
            match part {
                Part::Literal(text) => name.extend_from_slice(text.as_bytes()),
                Part::Dataset => name.extend_from_slice(safe(dataset).as_bytes()),
                Part::Template => name.extend_from_slice(safe(template).as_bytes()),
                Part::RequestedAt(Some(pattern)) => pattern.write(&mut name, seconds, nanos),
                Part::RequestedAt(None) => {
                    if let Ok(pattern) = Pattern::parse(MOMENT) {
                        pattern.in_zone(self.zone).write(&mut name, seconds, nanos);
                    }
                    if self.zone.is_none() {
                        name.push(b'Z');
                    }
                }
            }
        }
        format!("{}.{extension}", String::from_utf8_lossy(&name))
    }
}

/// Only what every file system takes.
fn safe(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at() -> Timestamp {
        serde_json::from_value(serde_json::json!("2026-11-22T23:26:01.123Z")).unwrap()
    }

    #[test]
    fn places_are_filled_and_nothing_leaves_the_folder() {
        let berlin = Some(chrono_tz::Europe::Berlin);
        for (pattern, zone, expected) in [
            ("{dataset}-{requested_at}", None, "a_b-20261122T232601Z.csv.gz"),
            ("{dataset}-{requested_at}", berlin, "a_b-20261123T002601.csv.gz"),
            ("Umsätze {requested_at:yyyy-MM-dd} ({template})", berlin, "Umsätze 2026-11-23 (finance).csv.gz"),
        ] {
            let name = FileName::parse(pattern, zone).unwrap();
            assert_eq!(name.render("a/b", "finance", at(), "csv.gz"), expected);
        }
        assert_eq!(FileName::default().render("flights", "default", at(), "csv"), "flights-20261122T232601Z.csv");
    }

    #[test]
    fn what_a_file_system_would_not_take_is_refused() {
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
