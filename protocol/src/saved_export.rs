//! Saved exports: named export requests that a user runs again, and may share with the tenant.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    export::{Export, ExportRequest, Status},
    id::ExportId,
    time::Timestamp,
};

/// The id of a saved export: a UUIDv7, so that ids sort by the time of creation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct SavedExportId(pub Uuid);

impl SavedExportId {
    /// A new id from the current time and random bits.
    #[must_use]
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }
}

impl fmt::Display for SavedExportId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

impl fmt::Debug for SavedExportId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for SavedExportId {
    type Err = uuid::Error;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Uuid::parse_str(s).map(Self)
    }
}

/// The users who see a saved export and may run it. Only its owner may change or delete it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Visibility {
    /// Only the owner sees it.
    #[default]
    Private,
    /// Every user of the owner's tenant who may export the dataset. Each runs the request with their own rights and
    /// credits.
    Tenant,
}

impl Visibility {
    /// The text of the visibility in messages and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Tenant => "tenant",
        }
    }

    /// The visibility with this text; None for any other text.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Private, Self::Tenant].into_iter().find(|visibility| visibility.as_str() == name)
    }
}

/// A destination that receives the file of each run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeliveryTarget {
    /// The name of a destination of the installation.
    pub destination: String,
    /// The path at the destination; the pattern of the destination when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// The schedule in the body of `POST /v1/saved-exports`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScheduleRequest {
    /// The moments of the runs, as five fields of cron: minute, hour, day of the month, month, day of the week.
    pub cron: String,
    /// The IANA name of the time zone of `cron`.
    pub zone: String,
    /// Whether the schedule runs; true when absent. True ends a pause.
    #[serde(default = "is_enabled")]
    pub enabled: bool,
    /// Whether a run ends as `unchanged`, without a file and without cost, when its rows are those of the last run;
    /// false when absent.
    #[serde(default)]
    pub only_if_changed: bool,
}

fn is_enabled() -> bool {
    true
}

/// The schedule of a saved export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Schedule {
    /// The moments of the runs, as five fields of cron.
    pub cron: String,
    /// The IANA name of the time zone of `cron`.
    pub zone: String,
    /// Whether the schedule runs. False while it is paused.
    pub enabled: bool,
    /// Whether a run ends as `unchanged` when its rows are those of the last run.
    pub only_if_changed: bool,
    /// The next moment; null while the schedule does not run.
    pub next_run_at: Option<Timestamp>,
    /// Why Sluice paused the schedule; null for a schedule that is not paused.
    pub paused_reason: Option<String>,
}

/// The answer of `GET /v1/schedules/preview`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SchedulePreview {
    /// The next five moments, fewer if the expression has fewer.
    pub moments: Vec<Timestamp>,
    /// The mean number of runs a week.
    pub runs_per_week: f64,
    /// The number of credits that the caller gains in a week.
    pub credits_per_week: u64,
}

/// The body of `POST /v1/saved-exports`. `PATCH /v1/saved-exports/{id}` changes these members by a merge patch
/// (RFC 7396).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SavedExportRequest {
    /// A name for people, 1 to 100 characters. Names need not be unique.
    pub name: String,
    /// The export request of each run, as in `POST /v1/exports`. Moments relative to now, such as `now-1d/d`, are
    /// resolved at each run.
    pub request: ExportRequest,
    /// The users who see the saved export; `private` when absent.
    #[serde(default)]
    pub visibility: Visibility,
    /// The moments at which the owner's exports start by themselves; none when absent or null.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<ScheduleRequest>,
    /// The destinations that receive the file of each run; none when absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deliver_to: Vec<DeliveryTarget>,
    /// The ways in which the owner is notified of each run; those of the owner's preferences when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify: Option<Vec<String>>,
}

/// Links of a saved export, relative to the gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SavedExportLinks {
    /// The link of the saved export.
    #[serde(rename = "self")]
    pub this: String,
    /// The link of its runs.
    pub runs: String,
}

impl SavedExportLinks {
    /// The links of the saved export with this id.
    #[must_use]
    pub fn for_saved_export(id: SavedExportId) -> Self {
        Self { this: format!("/v1/saved-exports/{id}"), runs: format!("/v1/saved-exports/{id}/runs") }
    }
}

/// The caller's newest run of a saved export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LastRun {
    /// The id of the export.
    pub export_id: ExportId,
    /// The current status of the export.
    pub status: Status,
    /// The time at which the export was requested.
    pub requested_at: Timestamp,
    /// The moment of the schedule for which the export ran; null for a run that a user started.
    pub scheduled_for: Option<Timestamp>,
}

/// A saved export in the answers of a gateway.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SavedExport {
    /// The id of the saved export.
    pub id: SavedExportId,
    /// The name of the saved export.
    pub name: String,
    /// The export request of each run, as its owner wrote it.
    pub request: ExportRequest,
    /// The users who see the saved export.
    pub visibility: Visibility,
    /// The schedule; null for a saved export that runs by hand only.
    pub schedule: Option<Schedule>,
    /// The destinations that receive the file of each run.
    pub deliver_to: Vec<DeliveryTarget>,
    /// The ways in which the owner is notified of each run; null for those of the owner's preferences.
    pub notify: Option<Vec<String>>,
    /// The `sub` of the user who owns the saved export.
    pub owner: String,
    /// The number of the version, starting at 1. Each change by the owner increases it by one.
    pub version: u64,
    /// The time at which the saved export was created.
    pub created_at: Timestamp,
    /// The time of the last change by the owner.
    pub updated_at: Timestamp,
    /// The caller's newest run; null before the first one.
    pub last_run: Option<LastRun>,
    /// The links of the saved export.
    pub links: SavedExportLinks,
}

impl SavedExport {
    /// The members that the owner may change.
    #[must_use]
    pub fn editable(&self) -> SavedExportRequest {
        SavedExportRequest {
            name: self.name.clone(),
            request: self.request.clone(),
            visibility: self.visibility,
            schedule: self.schedule.as_ref().map(|schedule| ScheduleRequest {
                cron: schedule.cron.clone(),
                zone: schedule.zone.clone(),
                enabled: schedule.enabled,
                only_if_changed: schedule.only_if_changed,
            }),
            deliver_to: self.deliver_to.clone(),
            notify: self.notify.clone(),
        }
    }
}

/// The answer of `GET /v1/saved-exports`: a page of saved exports, newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SavedExportPage {
    /// The saved exports of this page, at most `limit`.
    pub items: Vec<SavedExport>,
    /// The `cursor` of the next page; null on the last page.
    pub next_cursor: Option<String>,
}

/// One run of a saved export: an export like any other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SavedExportRun {
    /// The export that the run started.
    #[serde(flatten)]
    pub export: Export,
    /// The moment of the schedule for which the export ran; null for a run that a user started.
    pub scheduled_for: Option<Timestamp>,
}

/// The answer of `GET /v1/saved-exports/{id}/runs`: a page of the caller's runs, newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SavedExportRunPage {
    /// The runs of this page, at most `limit`.
    pub items: Vec<SavedExportRun>,
    /// The newest moments of the schedule that passed without a run, because no notifier ran, newest first and at most
    /// 100. Empty on every page but the first.
    pub missed: Vec<Timestamp>,
    /// The `cursor` of the next page; null on the last page.
    pub next_cursor: Option<String>,
}
