//! Checks that a caller may still read an export. The caller's scopes may have changed since the gateway accepted the
//! export.

use entity::export;
use platform::catalog::{Catalog, Offer};
use protocol::{access::scopes_of, problem::Slug};

use crate::{
    auth::Caller,
    error::{Outcome, Refusal},
};

/// Checks that the caller still has the scopes that the export needs. These are `export:<dataset>`, the scopes of the
/// dataset, and the scopes of the columns that the export shows unmasked because the owner had those scopes. If no
/// exporter offers the dataset, the gateway does not know its rules and checks only `export:<dataset>`.
///
/// # Errors
/// `forbidden`, with the name of the missing scope.
pub(crate) fn require_readable(catalog: &Catalog, caller: &Caller, row: &export::Model) -> Outcome<()> {
    let name = &row.dataset;
    let lacks = |scope: &str| {
        let detail = format!("Your token no longer has the scope `{scope}`, which exports of `{name}` need.");
        Err(Refusal::new(Slug::Forbidden, detail))
    };
    if !caller.may_export(name) {
        return lacks(&format!("export:{name}"));
    }
    let Some(Offer { dataset, .. }) = catalog.find(name) else { return Ok(()) };
    if let Some(scope) = dataset.access.scopes.iter().find(|scope| !caller.scopes.contains(scope)) {
        return lacks(scope);
    }
    let before = row.claims.as_object().map(scopes_of).unwrap_or_default();
    let columns = entity::view::columns(row)?;
    let template = dataset.info.templates.iter().find(|template| template.name == row.template);
    let shows = |column: &String| match template {
        Some(template) if !columns.is_empty() => match &template.columns {
            None => columns.contains(column),
            Some(own) => columns.iter().any(|name| {
                // a column that the template no longer has may have shown anything
                let known = own.iter().find(|one| one.column.name == *name);
                known.is_none_or(|one| one.reads.contains(column))
            }),
        },
        _ => true,
    };
    let narrowed = dataset
        .access
        .columns
        .iter()
        .find(|rule| before.contains(&rule.scope) && !caller.scopes.contains(&rule.scope) && shows(&rule.column));
    narrowed.map_or(Ok(()), |rule| lacks(&rule.scope))
}
