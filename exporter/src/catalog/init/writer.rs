//! Writes drafts of datasets into the text of a catalog file, and loads the text to find datasets that an exporter
//! would refuse.

use std::path::Path;

use super::{
    super::{load::load_text, source::LoadContext},
    InitError, InitOptions,
    address::Address,
    draft::{Draft, DraftColumn, DraftRows, Found, NotOffered},
    existing::Existing,
    names::DatasetNames,
    render::{self, S3Environment},
    report::{InitDataset, InitReport, NewColumns, Variable, Written},
    tenant::{self, Tenant},
};
use crate::Registry;

/// The maximum number of times that the text is written again. Each time leaves out the datasets that an exporter would
/// refuse.
const MAX_CORRECTIONS: usize = 5;

/// A draft with the final name of its dataset and with its tenant column.
struct Ready {
    draft: Draft,
    tenant: Tenant,
    name: String,
}

/// Writes drafts of datasets into the text of a new or an existing catalog file.
pub(super) struct Writer<'a> {
    pub(super) address: Address,
    pub(super) options: &'a InitOptions,
    pub(super) context: LoadContext,
    pub(super) path: &'a Path,
    pub(super) existing: Option<Existing>,
    /// The name of the source that the existing file already has for the address; None if the file has none.
    pub(super) known: Option<String>,
}

impl Writer<'_> {
    /// Writes the drafts in `found`. Leaves out datasets that an exporter would refuse, and lists them in the report.
    ///
    /// # Errors
    ///
    /// When no dataset can be offered, or the exporter refuses another part of the file.
    pub(super) async fn write(self, found: Found) -> Result<Written, InitError> {
        let mut report = InitReport { not_offered: found.not_offered, ..InitReport::default() };
        let source = self.known.clone().unwrap_or_else(|| self.new_source());
        let from = Some(source.as_str()).filter(|name| !name.is_empty());
        let mut ready = self.ready(found.drafts, from, &mut report);
        if let Address::Postgres(postgres) = &self.address {
            let (name, is_set, example) = (postgres.variable.clone(), postgres.is_set, postgres.shown.clone());
            report.variable = Some(Variable { name, is_set, example });
        }
        for _ in 0..MAX_CORRECTIONS {
            if ready.is_empty() && self.existing.is_none() {
                return Err(InitError::Nothing(report.not_offered));
            }
            let text = self.text(&ready, &report, &source, from);
            let refused = self.refused(&text, &ready).await?;
            if refused.is_empty() {
                report.datasets = ready.iter().map(Ready::report).collect();
                return Ok(Written { text, report });
            }
            ready.retain(|one| match refused.iter().find(|(name, _)| *name == one.name) {
                None => true,
                Some((_, reason)) => {
                    report.not_offered.push(NotOffered::new(one.draft.subject.clone(), reason.clone()));
                    false
                }
            });
        }
        Err(InitError::Nothing(report.not_offered))
    }

    /// Returns a name for a new source. No source of the existing file has this name.
    fn new_source(&self) -> String {
        let name = self.address.source_name();
        let is_free = |name: &String| self.existing.as_ref().is_none_or(|existing| !existing.has_source(name));
        if name.is_empty() || is_free(&name) {
            return name;
        }
        (2_u64..).map(|number| format!("{name}_{number}")).find(is_free).unwrap_or(name)
    }

    /// Selects the drafts that the existing file does not have yet, and finds the name and the tenant column of each.
    /// `from` is the name of the drafts' source in the existing file. Adds drafts that can't be offered, and new
    /// columns of existing datasets, to `report`.
    fn ready(&self, drafts: Vec<Draft>, from: Option<&str>, report: &mut InitReport) -> Vec<Ready> {
        let taken = self.existing.as_ref().map(|existing| existing.dataset_names().collect::<Vec<_>>());
        report.kept = taken.as_ref().map_or(0, Vec::len);
        let mut names = DatasetNames::new(taken.unwrap_or_default());
        let mut ready = Vec::new();
        for draft in drafts {
            if let Some(existing) = &self.existing
                && existing.has(&draft, from, &self.context)
            {
                let new = existing.new_columns(&draft, from);
                report.new_columns.extend(new.map(|(dataset, columns)| NewColumns { dataset, columns }));
                continue;
            }
            match tenant::find(&draft.columns, &self.options.tenant_claim) {
                Ok(tenant) => ready.push(Ready { name: names.reserve(&draft.names), draft, tenant }),
                Err(reason) => report.not_offered.push(NotOffered::new(draft.subject, reason)),
            }
        }
        ready
    }

    fn text(&self, ready: &[Ready], report: &InitReport, source: &str, from: Option<&str>) -> String {
        let is_new = |part: &&NotOffered| {
            self.existing.as_ref().is_none_or(|existing| !render::has_not_offered(existing.text(), part))
        };
        let not_offered: Vec<_> = report.not_offered.iter().filter(is_new).cloned().collect();
        let mut text = match &self.existing {
            None => render::head(&self.address),
            Some(existing) => {
                let mut text = existing.text().to_owned();
                if (!ready.is_empty() || !not_offered.is_empty()) && !text.is_empty() && !text.ends_with('\n') {
                    text.push('\n');
                }
                text
            }
        };
        if self.known.is_none() && !ready.is_empty() {
            text += &render::source(&self.address, source, &S3Environment::read());
        }
        for one in ready {
            text += &render::dataset(&one.draft, &one.name, from, &one.tenant, &self.options.tenant_claim);
        }
        text + &render::not_offered(&not_offered)
    }

    /// Loads `text`, the text of the catalog file, as an exporter would. Returns the names of those datasets of `ready`
    /// that the exporter refuses or can't read, each with the reason.
    ///
    /// # Errors
    /// When the exporter refuses another part of the file.
    async fn refused(&self, text: &str, ready: &[Ready]) -> Result<Vec<(String, String)>, InitError> {
        let is_new = |name: &str| ready.iter().any(|one| one.name == name);
        let loaded = match load_text(self.path, text, &self.context, &Registry::built_in()).await {
            Ok(loaded) => loaded,
            Err(faults) => {
                let of_new = faults.faults.iter().map(|fault| {
                    let name = fault.what.strip_prefix("dataset ").filter(|name| is_new(name))?;
                    Some((name.to_owned(), fault.detail.clone()))
                });
                return of_new.collect::<Option<Vec<_>>>().ok_or(InitError::Existing(faults));
            }
        };
        let differing = loaded
            .differing
            .iter()
            .filter_map(|fault| Some((fault.what.strip_prefix("dataset ")?.to_owned(), fault.detail.clone())));
        let refused = differing.chain(loaded.unavailable.iter().cloned());
        Ok(refused.filter(|(name, _)| is_new(name)).collect())
    }
}

impl Ready {
    fn report(&self) -> InitDataset {
        let is_masked = |column: &&DraftColumn| column.guess.as_ref().is_some_and(|guess| guess.applies);
        InitDataset {
            name: self.name.clone(),
            of: match &self.draft.rows {
                DraftRows::Files { files, .. } => format!("files `{files}`"),
                DraftRows::Table(_) | DraftRows::Query(_) => self.draft.subject.clone(),
            },
            columns: self.draft.columns.len(),
            tenant_column: self.tenant.column.clone(),
            masked: self.draft.columns.iter().filter(is_masked).map(|column| column.name.clone()).collect(),
        }
    }
}
