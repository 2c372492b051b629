//! Guesses which column names the tenant of a row.

use protocol::catalog::ColumnType;

use super::{draft::DraftColumn, names::words};
use crate::dataset::{TENANT_COLUMNS, TextMeaning};

/// The usual names of tenant columns, in snake case and in the order of preference. The first of these columns that a
/// table has becomes its tenant column.
pub(super) const TENANT_NAMES: [&str; 9] = [
    "tenant_id",
    "tenant",
    "org_id",
    "organization_id",
    "organisation_id",
    "account_id",
    "workspace_id",
    "company_id",
    "customer_account_id",
];

/// The tenant column of a dataset, and the reasons for this guess.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tenant {
    /// The column that the row policy compares with the tenant claim; None if no column names a tenant.
    pub(super) column: Option<String>,
    /// Sentences for the operator about why this column was chosen, and why other columns were not chosen.
    pub(super) reasons: Vec<String>,
}

/// Finds the tenant column among the columns of a table or file. `claim` is the claim that names the tenant of a
/// caller.
///
/// # Errors
///
/// The reason why the dataset can't be offered: a column is called `tenant` or `tenant_id`, but its values have a type
/// that can't equal a claim.
pub(super) fn find(columns: &[DraftColumn], claim: &str) -> Result<Tenant, String> {
    let place = |column: &&DraftColumn| {
        let name = words(&column.name).join("_");
        TENANT_NAMES.iter().position(|known| *known == name)
    };
    let mut named: Vec<_> = columns.iter().filter_map(|column| Some((place(&column)?, column))).collect();
    named.sort_by_key(|(place, _)| *place);
    let mut tenant = Tenant::default();
    for (_, column) in named {
        if let Some(found) = unfit(column) {
            let reason = format!(
                "the column `{}` has the name of a tenant column, but {found}, which no claim equals",
                column.name
            );
            if TENANT_COLUMNS.contains(&column.name.as_str()) && tenant.column.is_none() {
                return Err(format!(
                    "{reason}: offer it with a `query` that selects the tenant as text or whole number"
                ));
            }
            tenant.reasons.push(format!("No guess: {reason}."));
            continue;
        }
        match &tenant.column {
            None => {
                tenant.column = Some(column.name.clone());
                tenant.reasons.extend(reasons(column, claim));
            }
            Some(chosen) => tenant.reasons.push(format!(
                "No guess: `{}` may name a tenant, too, and is not compared, because `{chosen}` is.",
                column.name
            )),
        }
    }
    Ok(tenant)
}

/// Returns the reason why the values of a column can't equal a claim, such as `has truth values`. Returns None if they
/// can.
const fn unfit(column: &DraftColumn) -> Option<&'static str> {
    match (column.kind, column.meaning) {
        (ColumnType::Bool, _) => Some("has truth values"),
        (ColumnType::Date | ColumnType::Datetime | ColumnType::Time, _) => Some("has dates or times"),
        (ColumnType::String, Some(TextMeaning::Notation)) => Some("has bytes, JSON or other composed values"),
        _ => None,
    }
}

fn reasons(column: &DraftColumn, claim: &str) -> Vec<String> {
    let name = &column.name;
    let values = match (column.kind, column.meaning) {
        (ColumnType::Int | ColumnType::Decimal | ColumnType::Float, _) => {
            "a claim such as \"42\" equals its number 42; a claim that is no number is refused"
        }
        (_, Some(TextMeaning::Uuid)) => "a claim equals its UUIDs in any case",
        (_, Some(TextMeaning::Padded)) => "it is of the type char(n): a claim needs the same spaces at its end",
        _ => "a claim equals its texts character by character",
    };
    vec![
        format!(
            "Guess: by its name, `{name}` is the tenant of a row. Callers export the rows where it equals the claim"
        ),
        format!("`{claim}` of their token ({values})."),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, kind: ColumnType, meaning: Option<TextMeaning>) -> DraftColumn {
        DraftColumn { meaning, ..DraftColumn::new(name, kind) }
    }

    #[test]
    fn tenant_columns_are_recognised_by_a_small_list_of_names() {
        for (names, expected) in [
            (&["id", "org_id"][..], Some("org_id")),
            (&["account_id", "tenant_id"], Some("tenant_id")),
            (&["tenantId"], Some("tenantId")),
            (&["TENANT"], Some("TENANT")),
            (&["id", "customer_id", "client_id", "tenants"], None),
        ] {
            let columns: Vec<_> = names.iter().map(|name| column(name, ColumnType::Int, None)).collect();
            let found = find(&columns, "org").unwrap();
            assert_eq!(found.column.as_deref(), expected, "{names:?}");
            assert_eq!(found.reasons.is_empty(), expected.is_none());
            assert!(expected.is_none() || found.reasons.join(" ").contains("the claim `org` of their token"));
        }
        let both = ["tenant_id", "account_id"].map(|name| column(name, ColumnType::String, None));
        let reasons = find(&both, "tenant").unwrap().reasons.join("\n");
        assert!(reasons.contains("`account_id` may name a tenant, too"), "{reasons}");
    }

    #[test]
    fn a_column_that_no_claim_can_equal_is_never_compared() {
        for (kind, meaning) in
            [(ColumnType::Bool, None), (ColumnType::Datetime, None), (ColumnType::String, Some(TextMeaning::Notation))]
        {
            let other = find(&[column("org_id", kind, meaning)], "tenant").unwrap();
            assert_eq!(other.column, None);
            assert!(other.reasons[0].contains("which no claim equals"), "{:?}", other.reasons);
            let refused = find(&[column("tenant", kind, meaning)], "tenant").unwrap_err();
            assert!(refused.contains("`tenant`") && refused.contains("`query`"), "{refused}");
        }
        let uuid = find(&[column("org_id", ColumnType::String, Some(TextMeaning::Uuid))], "tenant").unwrap();
        assert!(uuid.reasons.join(" ").contains("in any case"));
    }
}
