//! The programs that Sluice and its tests need. Each file finds one program, fetches a pinned version, or says how to get it.

pub(crate) mod apt;
pub(crate) mod chromium;
pub(crate) mod debootstrap;
pub(crate) mod docker;
pub(crate) mod faketime;
pub(crate) mod libreoffice;
pub(crate) mod lint;
pub(crate) mod nats;
pub(crate) mod nextest;
pub(crate) mod node;
pub(crate) mod pgbouncer;
pub(crate) mod postgres;
pub(crate) mod promtool;
pub(crate) mod python;
pub(crate) mod seaweed;
pub(crate) mod tpchgen;
pub(crate) mod version;
pub(crate) mod wheel;
