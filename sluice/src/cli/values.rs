//! Parses the values of options.

use std::time::Duration;

use platform::secret::Secret;
use serde_json::{Map, Value};

/// The longest duration that an option accepts, in seconds: 366 days. The lifetime of a token needs a limit, because a
/// token cannot be revoked before it expires.
const MAX_SECONDS: u64 = 366 * 24 * 60 * 60;

/// Parses the source of a catalog, such as the URL of a database. Wraps the source as a secret, because it may contain
/// a password.
pub(super) fn secret(text: &str) -> Result<Secret, String> {
    if text.is_empty() { Err("expected a source".to_owned()) } else { Ok(Secret::new(text)) }
}

/// Parses a signed number other than 0, such as `+3`.
pub(super) fn nonzero(text: &str) -> Result<i64, String> {
    let number = text.parse().map_err(|_| "expected a number such as +3 or -2".to_owned())?;
    if number == 0 { Err("expected a number other than 0".to_owned()) } else { Ok(number) }
}

/// Parses a duration such as `90s` or `1h`, from one second to 366 days.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let expected = || "expected a number with s, m, h or d, such as 90s or 1h".to_owned();
    let unit = text.chars().next_back().ok_or_else(expected)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 60 * 60,
        'd' => 24 * 60 * 60,
        _ => return Err(expected()),
    };
    let number: u64 = text[..text.len() - 1].parse().map_err(|_| expected())?;
    let total = number.checked_mul(seconds).filter(|total| (1..=MAX_SECONDS).contains(total));
    total.map(Duration::from_secs).ok_or_else(|| "expected between 1s and 366d".to_owned())
}

/// Parses the filter of an export, which is JSON.
pub(super) fn filter(text: &str) -> Result<Value, String> {
    protocol::json::parse_filter(text).map_err(|e| format!("not JSON: {e}"))
}

/// Parses an option whose value is a JSON object.
pub(super) fn object(text: &str) -> Result<Map<String, Value>, String> {
    match serde_json::from_str(text) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Err("expected a JSON object".to_owned()),
        Err(e) => Err(format!("not JSON: {e}")),
    }
}

/// Parses `NAME=VALUE`; a value that is not JSON is a text.
pub(super) fn parameter(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    if name.is_empty() {
        return Err("expected a name before `=`".to_owned());
    }
    Ok((name.to_owned(), serde_json::from_str(value).unwrap_or_else(|_| value.into())))
}
