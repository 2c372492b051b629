//! Credits as clients see them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{id::ExportId, time::Timestamp};

/// What a ledger entry is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EntryKind {
    /// Credits given: the opening balance, a nightly grant, or an operator's gift.
    Grant,
    /// One set aside for an export at its submit; its amount is negative.
    Hold,
    /// The hold became the price of a completed export; amount 0, as the hold already took it.
    Capture,
    /// The hold was given back.
    Release,
    /// An operator's correction.
    Adjustment,
}

impl EntryKind {
    /// The kind as it stands in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Grant => "grant",
            Self::Hold => "hold",
            Self::Capture => "capture",
            Self::Release => "release",
            Self::Adjustment => "adjustment",
        }
    }
}

/// One line of the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CreditEntry {
    /// What it is for.
    pub kind: EntryKind,
    /// Added to the balance; negative for a hold.
    pub amount: i64,
    /// The export concerned, if any.
    pub export_id: Option<ExportId>,
    /// For people.
    pub reason: String,
    /// When it was written.
    pub at: Timestamp,
}

/// The answer of `GET /v1/credits`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CreditsView {
    /// What can be spent now.
    pub balance: i64,
    /// What unfinished exports have set aside; not part of the balance.
    pub held: i64,
    /// When the next credit is granted.
    pub next_grant_at: Timestamp,
    /// The newest entries first.
    pub entries: Vec<CreditEntry>,
}

/// The short form in `session.ready`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CreditsSummary {
    /// What can be spent now.
    pub balance: i64,
    /// When the next credit is granted.
    pub next_grant_at: Timestamp,
}
