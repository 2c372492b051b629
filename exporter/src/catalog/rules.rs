//! What every dataset must keep to, whether it is written in TOML or in Rust.

use protocol::{access::Without, catalog::ColumnType, filter, params};

use serde_json::{Map, Value};

use crate::dataset::Dataset;

/// Checks names, parameters, row policy and column rules.
///
/// # Errors
/// What is wrong, and what would be right.
pub(crate) fn check(dataset: &dyn Dataset) -> Result<(), String> {
    if !is_name(dataset.name()) {
        return Err("a dataset's name has 1 to 64 letters, digits, `_`, `-` and `.`".into());
    }
    columns(dataset)?;
    for spec in dataset.params() {
        if let Some(fault) = spec.default.as_ref().and_then(|default| params::fault(spec, default)) {
            return Err(format!("the default of the parameter `{}` is none: {fault}", spec.name));
        }
    }
    policy(dataset)?;
    rules(dataset)
}

/// Whether a text can be a name in requests and scopes.
pub(crate) fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    (1..=64).contains(&name.len()) && name.chars().all(fits)
}

fn columns(dataset: &dyn Dataset) -> Result<(), String> {
    let columns = dataset.columns();
    if columns.is_empty() {
        return Err("it has no columns".into());
    }
    for (at, column) in columns.iter().enumerate() {
        if columns[..at].iter().any(|other| other.name == column.name) {
            return Err(format!("two columns are called `{}`", column.name));
        }
    }
    Ok(())
}

fn policy(dataset: &dyn Dataset) -> Result<(), String> {
    let tenants = dataset.tenant_columns();
    let missing = tenants.iter().find(|tenant| dataset.columns().iter().all(|column| column.name != **tenant));
    if let Some(tenant) = missing {
        return Err(format!("its tenant column `{tenant}` is none of its columns"));
    }
    let policy = match (dataset.row_policy(), tenants.first()) {
        (Some(policy), _) => policy,
        (None, None) => return Ok(()),
        (None, Some(tenant)) => {
            return Err(format!(
                "its column `{tenant}` says whose a row is, but no row policy holds the others back: add one such as \
                 row_policy = {{ {tenant} = {{ eq = {{ claim = \"tenant\" }} }} }}"
            ));
        }
    };
    filter::check_policy(policy, dataset.columns()).map_err(|faults| {
        let first = faults.first().map(|fault| format!("{}: {}", fault.pointer, fault.detail));
        format!("its row policy is none: {}", first.unwrap_or_default())
    })?;
    match tenants.iter().find(|tenant| !holds_to(policy, tenant)) {
        Some(tenant) => Err(format!(
            "its row policy does not ask for `{tenant}` in each row, compared with a claim of the caller's token, so that \
             other tenants' rows may pass"
        )),
        None => Ok(()),
    }
}

/// Whether every row that passes a policy, which is a good one, was asked about this column: with something of the
/// caller's, as a constant shows everybody one tenant's rows.
fn holds_to(policy: &Value, tenant: &str) -> bool {
    let Some(parts) = policy.as_object() else { return false };
    // what stands in one object holds together
    parts.iter().any(|(name, part)| match (name.as_str(), part) {
        ("and", Value::Array(parts)) => parts.iter().any(|part| holds_to(part, tenant)),
        ("or", Value::Array(parts)) => !parts.is_empty() && parts.iter().all(|part| holds_to(part, tenant)),
        (name, Value::Object(tests)) => name == tenant && is_the_callers(tests),
        _ => false,
    })
}

/// Whether a column is compared with a claim, or with a list that has one in it.
fn is_the_callers(tests: &Map<String, Value>) -> bool {
    let is_claim = |value: &Value| value.get("claim").is_some();
    tests.iter().any(|(operator, value)| match (operator.as_str(), value) {
        ("eq", value) => is_claim(value),
        ("in", Value::Array(values)) => values.iter().any(is_claim),
        ("in", value) => is_claim(value),
        _ => false,
    })
}

fn rules(dataset: &dyn Dataset) -> Result<(), String> {
    let access = dataset.access();
    for (at, rule) in access.columns.iter().enumerate() {
        let name = &rule.column;
        let Some(column) = dataset.columns().iter().find(|column| column.name == *name) else {
            return Err(format!("a rule names the column `{name}`, which it does not have"));
        };
        if access.columns[..at].iter().any(|other| other.column == *name) {
            return Err(format!("two rules name the column `{name}`"));
        }
        let texts_alone = matches!(rule.without, Without::Redacted | Without::LastFour);
        if texts_alone && column.kind != ColumnType::String {
            return Err(format!("only text can be masked in part, and `{name}` is none: use `null` or `hidden`"));
        }
        if rule.scope.is_empty() || rule.scope.contains(char::is_whitespace) {
            return Err(format!("the rule of `{name}` needs a scope without spaces"));
        }
    }
    let hidden = |name: &str| access.columns.iter().any(|r| r.column == name && r.without == Without::Hidden);
    if dataset.columns().iter().all(|column| hidden(&column.name)) {
        return Err("every column is hidden from those without a scope: ask for it with `scopes` instead".into());
    }
    Ok(())
}
