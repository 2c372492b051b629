//! The credits of a user in REST answers and in session messages.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{id::ExportId, time::Timestamp};

/// The kind of a ledger entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EntryKind {
    /// An increase: the initial balance, a daily grant, or a grant by an operator.
    Grant,
    /// The price of a new export, reserved at the request. The amount is negative.
    Hold,
    /// The hold of a completed export became final. The amount is 0, because the hold already reduced the balance.
    Capture,
    /// The hold of a failed or canceled export was returned.
    Release,
    /// A correction of the balance by an operator.
    Adjustment,
}

impl EntryKind {
    /// The text of the kind in the database.
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

/// One entry of the credit ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CreditEntry {
    /// The kind of the entry.
    pub kind: EntryKind,
    /// The amount added to the balance; negative for a hold.
    pub amount: i64,
    /// The export that caused the entry, if any.
    pub export_id: Option<ExportId>,
    /// The reason for the entry, for users.
    pub reason: String,
    /// The time at which the entry was added.
    pub at: Timestamp,
}

/// The answer of `GET /v1/credits`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CreditsView {
    /// The credits that the user can spend.
    pub balance: i64,
    /// The credits that unfinished exports hold; `balance` does not include them.
    pub held: i64,
    /// The time of the next daily grant.
    pub next_grant_at: Timestamp,
    /// The latest ledger entries, newest first.
    pub entries: Vec<CreditEntry>,
}

/// The credits of the caller in `session.ready`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CreditsSummary {
    /// The credits that the user can spend.
    pub balance: i64,
    /// The time of the next daily grant.
    pub next_grant_at: Timestamp,
}
