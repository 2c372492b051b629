//! Checks the rules that every dataset must follow. The rules apply to datasets in a catalog file and to datasets in
//! Rust code.

use protocol::{access::ColumnMask, catalog::ColumnType, filter, params};
use serde_json::{Map, Value};

use crate::dataset::{DatasetInfo, TextMeaning};

/// Checks the name, the columns, the parameters, the row policy and the column rules of a dataset.
///
/// # Errors
/// The text of the first fault, with a hint for its correction.
pub(crate) fn check(dataset: &DatasetInfo) -> Result<(), String> {
    if !is_name(&dataset.name) {
        return Err("a dataset's name has 1 to 64 letters, digits, `_`, `-` and `.`".into());
    }
    columns(dataset)?;
    for spec in &dataset.params {
        if let Some(fault) = spec.default.as_ref().and_then(|default| params::value_error(spec, default)) {
            return Err(format!("the default of the parameter `{}` is invalid: {fault}", spec.name));
        }
    }
    policy(dataset)?;
    rules(dataset)
}

/// Whether a text is a valid name of a dataset or template: 1 to 64 ASCII letters, digits, `_`, `-` and `.`.
pub(crate) fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    (1..=64).contains(&name.len()) && name.chars().all(fits)
}

fn columns(dataset: &DatasetInfo) -> Result<(), String> {
    let columns = &dataset.columns;
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

fn policy(dataset: &DatasetInfo) -> Result<(), String> {
    let tenants = dataset.tenant_columns();
    let missing = tenants.iter().find(|tenant| dataset.columns.iter().all(|column| column.name != **tenant));
    if let Some(tenant) = missing {
        return Err(format!(
            "its tenant column `{tenant}` is none of its columns: correct `tenant_column`, or offer the column"
        ));
    }
    let policy = match (&dataset.row_policy, tenants.first()) {
        (Some(policy), _) => policy,
        (None, None) => return Ok(()),
        (None, Some(tenant)) => {
            return Err(format!(
                "its column `{tenant}` names the tenant of a row, but there is no row policy: add one such as \
                 row_policy = {{ {tenant} = {{ eq = {{ claim = \"tenant\" }} }} }}"
            ));
        }
    };
    filter::check_policy(policy, &dataset.columns).map_err(|faults| {
        let first = faults.first().map(|fault| format!("{}: {}", fault.pointer, fault.detail));
        format!("its row policy is invalid: {}", first.unwrap_or_default())
    })?;
    if let Some(tenant) = tenants.iter().find(|tenant| !always_tests(policy, tenant)) {
        return Err(format!(
            "its row policy does not compare `{tenant}` with a claim of the caller's token in each row, so that rows of \
             other tenants may pass"
        ));
    }
    tenants.iter().try_for_each(|tenant| can_name_tenants(dataset, tenant))
}

/// Checks that values of a tenant column can equal a claim that names a tenant.
fn can_name_tenants(dataset: &DatasetInfo, tenant: &str) -> Result<(), String> {
    let Some(column) = dataset.column(tenant) else { return Ok(()) };
    let found = match (column.kind, dataset.text_meanings.get(tenant)) {
        (ColumnType::Bool, _) => "truth values",
        (ColumnType::Date | ColumnType::Datetime | ColumnType::Time, _) => "dates or times",
        (ColumnType::String, Some(TextMeaning::Notation)) => "bytes, JSON or other composed values",
        _ => return Ok(()),
    };
    Err(format!(
        "its row policy compares the tenant column `{tenant}` with a claim, but the column has {found}, which no claim equals: \
         name another column in `tenant_column`, or select the tenant as text or as a whole number in a `query`"
    ))
}

/// Whether a row can pass the row policy only if the value of its column `tenant` is in a claim of the caller's token.
/// A comparison with a constant does not suffice, because every caller could then see the rows of that tenant.
fn always_tests(policy: &Value, tenant: &str) -> bool {
    let Some(parts) = policy.as_object() else { return false };
    // all members of an object must hold, so one that tests the tenant suffices
    parts.iter().any(|(name, part)| match (name.as_str(), part) {
        ("and", Value::Array(parts)) => parts.iter().any(|part| always_tests(part, tenant)),
        ("or", Value::Array(parts)) => !parts.is_empty() && parts.iter().all(|part| always_tests(part, tenant)),
        (name, Value::Object(tests)) => name == tenant && tests_a_claim(tests),
        _ => false,
    })
}

/// Whether one of `tests`, the comparisons that a policy makes with one column, requires the value of a claim. Such a
/// comparison is true only if the column equals a claim, or is in a list of claims or in a claim that is a list.
fn tests_a_claim(tests: &Map<String, Value>) -> bool {
    let is_claim = |value: &Value| value.get("claim").is_some();
    tests.iter().any(|(operator, value)| match (operator.as_str(), value) {
        ("eq", value) => is_claim(value),
        ("in", Value::Array(values)) => !values.is_empty() && values.iter().all(is_claim),
        ("in", value) => is_claim(value),
        _ => false,
    })
}

fn rules(dataset: &DatasetInfo) -> Result<(), String> {
    let access = &dataset.access;
    for (at, rule) in access.columns.iter().enumerate() {
        let name = &rule.column;
        let Some(column) = dataset.columns.iter().find(|column| column.name == *name) else {
            return Err(format!("a rule names the column `{name}`, which it does not have"));
        };
        if access.columns[..at].iter().any(|other| other.column == *name) {
            return Err(format!("two rules name the column `{name}`"));
        }
        let needs_text = matches!(rule.mask, ColumnMask::Redacted | ColumnMask::LastFour);
        if needs_text && column.kind != ColumnType::String {
            return Err(format!("only text can be redacted, and `{name}` is no text: use the mask `null` or `hidden`"));
        }
        if rule.scope.is_empty() || rule.scope.contains(char::is_whitespace) {
            return Err(format!("the rule of `{name}` needs a scope without spaces"));
        }
    }
    let hidden = |name: &str| access.columns.iter().any(|r| r.column == name && r.mask == ColumnMask::Hidden);
    if dataset.columns.iter().all(|column| hidden(&column.name)) {
        return Err(
            "every column is hidden from callers without a scope: require the scope with `scopes` instead".into()
        );
    }
    Ok(())
}
