//! The notifier: takes outcomes, settles credits, writes user events, grants file bytes and owns the clock.
//!
//! The rooms, in the order in which an export passes them:
//! - `dispatch`: committed exports become jobs in fair turns, whether or not anybody told of them.
//! - `delivery`: gateways ask for short-lived URLs of segments and fetch the bytes from them, also while the export
//!   still runs.
//! - `intake`: outcomes from the exporters and wishes from the gateways, each until it is settled or put aside.
//! - `settle`: one transaction moves the export and its credits; then its owner is told.
//! - `ops`: operators see exports, end them, and give dead ones another chance.
//! - `gauges`: looks at what nobody counts.
//! - `schedule`: what happens by the clock, such as deleting files whose time is over.
//!
//! Any number of notifiers may run: every change is a conditional update, every durable message has an id that the
//! stream knows again, and a grant names the notifier that minted it.

mod app;
mod backoff;
pub mod backup;
mod config;
mod delivery;
mod dispatch;
mod error;
mod gauges;
mod intake;
mod lease;
mod ops;
mod schedule;
mod settle;
mod waiting;

pub use app::{App, Deps, start};
pub use config::NotifierConfig;
pub use error::NotifierError;

/// The queue group, durable consumer and dead-letter source of all notifiers.
const GROUP: &str = "notifier";
