//! Writes values as text if the catalog has no column type for them. Such values are bytes, durations, lists and
//! records.

use polars::prelude::{AnyValue, DataType, TimeUnit};
use uuid::Uuid;

use crate::value::{json, text};

const SECONDS_PER_DAY: u64 = 86_400;

/// Whether [`write`] supports all values of a type.
pub(super) fn is_supported(dtype: &DataType) -> bool {
    match dtype {
        DataType::List(inner) | DataType::Array(inner, _) => is_supported(inner),
        DataType::Struct(fields) => fields.iter().all(|field| is_supported(&field.dtype)),
        DataType::Unknown(_) => false,
        _ => true,
    }
}

/// Appends a value to `out` as text. Writes bytes in hexadecimal, a duration in ISO 8601, and any other value as JSON.
pub(super) fn write(out: &mut Vec<u8>, value: &AnyValue<'_>) {
    match value {
        AnyValue::Binary(bytes) => binary(out, bytes),
        AnyValue::BinaryOwned(bytes) => binary(out, bytes),
        AnyValue::Duration(value, unit) => duration(out, *value, *unit),
        other => json(out, other),
    }
}

/// Appends a value of 16 bytes to `out`, as the text of a UUID in lower case (RFC 9562, section 4). Appends any other
/// value as [`write`] does.
pub(super) fn uuid(out: &mut Vec<u8>, value: &AnyValue<'_>) {
    let bytes = match value {
        AnyValue::Binary(bytes) => Uuid::from_slice(bytes).ok(),
        AnyValue::BinaryOwned(bytes) => Uuid::from_slice(bytes).ok(),
        _ => None,
    };
    match bytes {
        Some(uuid) => out.extend_from_slice(uuid.hyphenated().encode_lower(&mut Uuid::encode_buffer()).as_bytes()),
        None => write(out, value),
    }
}

/// Appends bytes to `out` in the hexadecimal format of PostgreSQL's `bytea`, such as `\x00ff`.
fn binary(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(b"\\x");
    out.extend_from_slice(hex::encode(bytes).as_bytes());
}

/// Appends a duration to `out` in the format of ISO 8601 and of `dayTimeDuration` in XML Schema, such as `P1DT2H`. The
/// duration is `value` times `unit`.
fn duration(out: &mut Vec<u8>, value: i64, unit: TimeUnit) {
    let per_second = match unit {
        TimeUnit::Milliseconds => 1_000,
        TimeUnit::Microseconds => 1_000_000,
        TimeUnit::Nanoseconds => 1_000_000_000,
    };
    if value < 0 {
        out.push(b'-');
    }
    let positive = value.unsigned_abs();
    let (seconds, part) = (positive / per_second, positive % per_second);
    out.push(b'P');
    let (days, of_day) = (seconds / SECONDS_PER_DAY, seconds % SECONDS_PER_DAY);
    if days > 0 {
        text::int(out, days);
        out.push(b'D');
    }
    if of_day == 0 && part == 0 {
        if days == 0 {
            out.extend_from_slice(b"T0S");
        }
        return;
    }
    out.push(b'T');
    for (count, letter) in [(of_day / 3600, b'H'), (of_day / 60 % 60, b'M')] {
        if count > 0 {
            text::int(out, count);
            out.push(letter);
        }
    }
    if of_day % 60 > 0 || part > 0 {
        text::int(out, of_day % 60);
        if part > 0 {
            // the fraction without trailing zeros
            let digits = (per_second + part).to_string();
            out.push(b'.');
            out.extend_from_slice(digits[1..].trim_end_matches('0').as_bytes());
        }
        out.push(b'S');
    }
}

/// Appends a value as JSON, in the same form as in exported NDJSON files. A value without a JSON type, such as a date,
/// becomes a string.
fn json(out: &mut Vec<u8>, value: &AnyValue<'_>) {
    match value {
        AnyValue::Null => out.extend_from_slice(b"null"),
        AnyValue::Boolean(value) => text::boolean(out, *value),
        AnyValue::String(text) => json::string(out, text),
        AnyValue::StringOwned(text) => json::string(out, text),
        AnyValue::Int8(value) => text::int(out, *value),
        AnyValue::Int16(value) => text::int(out, *value),
        AnyValue::Int32(value) => text::int(out, *value),
        AnyValue::Int64(value) => text::int(out, *value),
        AnyValue::UInt8(value) => text::int(out, *value),
        AnyValue::UInt16(value) => text::int(out, *value),
        AnyValue::UInt32(value) => text::int(out, *value),
        AnyValue::UInt64(value) => text::int(out, *value),
        AnyValue::Float32(value) if value.is_finite() => text::float(out, *value),
        AnyValue::Float64(value) if value.is_finite() => text::float(out, *value),
        AnyValue::List(values) | AnyValue::Array(values, _) => {
            out.push(b'[');
            for (at, value) in values.rechunk().iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                json(out, &value);
            }
            out.push(b']');
        }
        AnyValue::Struct(_, _, fields) => {
            record(out, fields.iter().map(|field| field.name.as_str()), value._iter_struct_av());
        }
        AnyValue::StructOwned(record_of) => {
            record(out, record_of.1.iter().map(|field| field.name.as_str()), record_of.0.iter().cloned());
        }
        other => {
            out.push(b'"');
            lexical(out, other);
            out.push(b'"');
        }
    }
}

fn record<'a>(out: &mut Vec<u8>, names: impl Iterator<Item = &'a str>, values: impl Iterator<Item = AnyValue<'a>>) {
    out.push(b'{');
    for (at, (name, value)) in names.zip(values).enumerate() {
        if at > 0 {
            out.push(b',');
        }
        json::string(out, name);
        out.push(b':');
        json(out, &value);
    }
    out.push(b'}');
}

/// Appends a value without a JSON type, such as a date, as the content of a JSON string. The content is escaped, but
/// has no quotes around it.
fn lexical(out: &mut Vec<u8>, value: &AnyValue<'_>) {
    match value {
        AnyValue::Float32(value) => text::float(out, *value),
        AnyValue::Float64(value) => text::float(out, *value),
        AnyValue::Date(days) => text::date(out, i64::from(*days)),
        AnyValue::Datetime(value, unit, None) | AnyValue::DatetimeOwned(value, unit, None) => {
            text::local_datetime(out, *value, *unit);
        }
        AnyValue::Datetime(value, unit, Some(_)) => text::datetime(out, *value, *unit),
        AnyValue::DatetimeOwned(value, unit, Some(_)) => text::datetime(out, *value, *unit),
        AnyValue::Time(nanos) => text::time(out, *nanos),
        AnyValue::Decimal(value, _, scale) => text::decimal(out, *value, *scale),
        AnyValue::Int128(value) => text::int(out, *value),
        AnyValue::Duration(value, unit) => duration(out, *value, *unit),
        AnyValue::Binary(_) | AnyValue::BinaryOwned(_) => {
            // JSON escapes the backslash before the hexadecimal digits
            out.push(b'\\');
            write(out, value);
        }
        // names of categories may have any character
        other => {
            let mut quoted = Vec::new();
            json::string(&mut quoted, &other.str_value());
            out.extend_from_slice(&quoted[1..quoted.len() - 1]);
        }
    }
}
