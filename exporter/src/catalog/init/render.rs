//! Writes drafts of datasets as the text of a catalog file. Comments state the reason of each guess.

use std::{collections::BTreeSet, fmt::Write};

use protocol::access::ColumnMask;

use super::{
    super::checks::name_of,
    address::Address,
    draft::{Draft, DraftColumn, DraftRows, NotOffered},
    names::{humanized, short_comment},
    tenant::Tenant,
};

/// The maximum width of comment lines in the catalog file, in characters.
const WIDTH: usize = 118;
/// The maximum length, in characters, of a comment in the database that is copied above a column.
const MAX_COMMENT: usize = 300;

/// Returns the comment at the top of a new catalog file.
pub(super) fn head(address: &Address) -> String {
    let mut out = String::new();
    comment(
        &mut out,
        "",
        &format!(
            "Written by `sluice catalog init` for {address}. Each guess has a comment with its reason: keep it, change it or \
             remove it. docs/catalog.md explains the keys, and `sluice catalog check` checks this file."
        ),
    );
    out
}

/// Returns the text of the table `[source.NAME]`. The text is empty for local files, which need no source.
pub(super) fn source(address: &Address, name: &str, environment: &S3Environment) -> String {
    let mut out = String::new();
    let key = |out: &mut String, key: &str, value: &str| {
        let _ = writeln!(out, "{key} = {}", quoted(value));
    };
    if !matches!(address, Address::Files(_)) {
        let _ = writeln!(out, "\n[source.{name}]");
    }
    match address {
        Address::Files(_) => {}
        Address::Postgres(postgres) => {
            key(&mut out, "kind", "postgres");
            comment(
                &mut out,
                "",
                "The URL may hold a password, and comes from this environment variable of the exporter.",
            );
            let _ = writeln!(out, "url = {{ env = {} }}", quoted(&postgres.variable));
        }
        Address::Sqlite(path) => {
            key(&mut out, "kind", "sqlite");
            key(&mut out, "path", &path.to_string_lossy());
        }
        Address::Bucket { bucket, .. } => {
            key(&mut out, "kind", "s3");
            key(&mut out, "bucket", bucket);
            if let Some(endpoint) = &environment.endpoint {
                key(&mut out, "endpoint", endpoint);
                if endpoint.starts_with("http://") {
                    let _ = writeln!(out, "allow_http = true");
                }
            }
            if let Some(region) = &environment.region {
                key(&mut out, "region", region);
            }
            comment(
                &mut out,
                "",
                "Credentials come from the environment or the machine of the exporter; or name them with `access_key_id` and \
                 `secret_access_key`.",
            );
        }
        Address::Http(url) => {
            key(&mut out, "kind", "http");
            key(&mut out, "base", url.join(".").as_ref().unwrap_or(url).as_str());
        }
    }
    out
}

/// The S3 settings in the environment variables of this process. These settings are not secret.
#[derive(Clone, Debug, Default)]
pub(super) struct S3Environment {
    pub(super) endpoint: Option<String>,
    pub(super) region: Option<String>,
}

impl S3Environment {
    /// Returns the S3 settings from the environment variables of this process. These are the variables that the clients
    /// of AWS read.
    pub(super) fn read() -> Self {
        let first =
            |names: [&str; 2]| names.iter().find_map(|name| std::env::var(name).ok()).filter(|text| !text.is_empty());
        Self {
            endpoint: first(["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]),
            region: first(["AWS_REGION", "AWS_DEFAULT_REGION"]),
        }
    }
}

/// Returns the text of the table `[[dataset]]` for a draft. `name` is the name of the dataset, and `from` the name of
/// its source. `claim` is the claim that names the tenant of a caller.
pub(super) fn dataset(draft: &Draft, name: &str, from: Option<&str>, tenant: &Tenant, claim: &str) -> String {
    let mut out = "\n".to_owned();
    comment(&mut out, "", &format!("{}.", capitalized(&draft.subject)));
    for remark in &draft.remarks {
        comment(&mut out, "", remark);
    }
    let _ = writeln!(out, "[[dataset]]");
    let key = |out: &mut String, key: &str, value: &str| {
        let _ = writeln!(out, "{key} = {}", quoted(value));
    };
    key(&mut out, "name", name);
    key(&mut out, "title", &draft.title);
    if let Some(description) = &draft.description {
        key(&mut out, "description", description);
    }
    if let Some(from) = from {
        key(&mut out, "from", from);
    }
    match &draft.rows {
        DraftRows::Table(table) => key(&mut out, "table", table),
        DraftRows::Query(query) => key(&mut out, "query", query),
        DraftRows::Files { files, delimiter } => {
            key(&mut out, "files", files);
            if let Some(delimiter) = delimiter {
                key(&mut out, "delimiter", &delimiter.to_string());
            }
        }
    }
    if let Some(split) = &draft.split_by {
        comment(&mut out, "", &split.reason);
        let _ = writeln!(out, "{}split_by = {}", if split.applies { "" } else { "# " }, quoted(&split.column));
    }
    comment(&mut out, "", &tenant.reasons.join(" "));
    if let Some(column) = &tenant.column {
        let _ = writeln!(out, "tenant_column = {}", quoted(column));
        let _ = writeln!(out, "row_policy = {{ {} = {{ eq = {{ claim = {} }} }} }}", bare_key(column), quoted(claim));
    }
    columns(&mut out, &draft.columns);
    out
}

fn columns(out: &mut String, columns: &[DraftColumn]) {
    let _ = writeln!(out, "column = [");
    let mut labels: BTreeSet<String> = columns.iter().map(|column| column.name.clone()).collect();
    for column in columns {
        let label = short_comment(column.comment.as_deref()).unwrap_or_else(|| humanized(&column.name));
        // two columns of a workbook can't have one title
        let label = Some(label).filter(|label| *label == column.name || labels.insert(label.clone()));
        if short_comment(column.comment.as_deref()).is_none()
            && let Some(text) = &column.comment
        {
            comment(out, "  ", &text.chars().take(MAX_COMMENT).collect::<String>());
        }
        if let Some(remark) = &column.remark {
            comment(out, "  ", remark);
        }
        let plain = members(column, label.as_deref());
        let Some(guess) = &column.guess else {
            let _ = writeln!(out, "  {{ {plain} }},");
            continue;
        };
        let mask = match guess.kind.mask(column.kind) {
            ColumnMask::Hidden => "hidden",
            ColumnMask::Null => "null",
            ColumnMask::Redacted => "redacted",
            ColumnMask::LastFour => "last_four",
        };
        let masked = format!("{plain}, scope = {}, mask = {}", quoted(guess.kind.scope()), quoted(mask));
        if guess.applies {
            let verb = if mask == "hidden" { "don't see the column" } else { "see the mask" };
            let scope = guess.kind.scope();
            comment(out, "  ", &format!("Guess: {}. Callers without the scope `{scope}` {verb}.", guess.reason));
            let _ = writeln!(out, "  {{ {masked} }},");
        } else {
            comment(
                out,
                "  ",
                &format!("No guess: {}. To hide the values, replace the line below by this one:", guess.reason),
            );
            let _ = writeln!(out, "  # {{ {masked} }},");
            let _ = writeln!(out, "  {{ {plain} }},");
        }
    }
    let _ = writeln!(out, "]");
}

/// Returns the keys and values of a column's inline table, without the braces. `label` is the label of the column in
/// files; None if the table needs no `label`.
fn members(column: &DraftColumn, label: Option<&str>) -> String {
    let mut out = format!("name = {}", quoted(&column.name));
    if column.declares_type {
        let _ = write!(out, ", type = {}", quoted(name_of(column.kind)));
        if column.local {
            out += ", local = true";
        }
    }
    if let Some(label) = label {
        let _ = write!(out, ", label = {}", quoted(label));
    }
    out
}

/// Returns the comment that lists the tables or files that the catalog file does not offer. The text is empty if there
/// are none.
pub(super) fn not_offered(parts: &[NotOffered]) -> String {
    let mut out = String::new();
    if !parts.is_empty() {
        out.push('\n');
    }
    for part in parts {
        comment(&mut out, "", &not_offered_line(part));
    }
    out
}

fn not_offered_line(part: &NotOffered) -> String {
    format!("Not offered: {}: {}.", part.what, part.reason.trim_end_matches('.'))
}

/// Whether the text of a catalog file has the comment about a table or file that the file does not offer.
pub(super) fn has_not_offered(text: &str, part: &NotOffered) -> bool {
    let mut expected = String::new();
    comment(&mut expected, "", &not_offered_line(part));
    text.contains(&expected)
}

/// Appends a comment to `out`, in lines of at most [`WIDTH`] characters. Replaces control characters by spaces, so that
/// a text of the source, such as a line break in a name, can't end the comment.
fn comment(out: &mut String, indent: &str, text: &str) {
    let mut line = String::new();
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let mut flush = |line: &mut String| {
        if !line.is_empty() {
            let _ = writeln!(out, "{indent}# {line}");
            line.clear();
        }
    };
    for word in clean.split_whitespace() {
        if !line.is_empty() && line.chars().count() + word.chars().count() >= WIDTH {
            flush(&mut line);
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line += word;
    }
    flush(&mut line);
}

/// Returns a text as a TOML string in quotes.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// Returns a text as a TOML key, in quotes if TOML requires quotes.
fn bare_key(text: &str) -> String {
    let is_bare = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    if is_bare {
        return text.to_owned();
    }
    // a JSON string is a string of TOML, too, but for one control character that JSON does not escape
    serde_json::Value::String(text.to_owned()).to_string().replace('\u{7f}', "\\u007F")
}

fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
