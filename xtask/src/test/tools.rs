//! The programs that tests start, and the environment that names them.

use std::env;
use std::path::PathBuf;

use crate::layout::Layout;
use crate::steps::Steps;
use crate::tools::python::{self, Packages};
use crate::tools::{chromium, nats, pgbouncer, postgres, promtool, seaweed};
use crate::{lint_ops, web};

/// The programs that tests start, fetched while cargo compiles.
pub(super) struct Tools {
    pub(super) rust: Option<RustTools>,
    pub(super) web: Option<WebTools>,
}

pub(super) struct RustTools {
    nats: PathBuf,
    postgres: PathBuf,
    newest_postgres: PathBuf,
    pgbouncer: PathBuf,
    weed: PathBuf,
    python: PathBuf,
    promtool: PathBuf,
}

pub(super) struct WebTools {
    pub(super) nats: PathBuf,
    pub(super) chromium: PathBuf,
}

impl Tools {
    /// Fetches the programs, checks and builds the page, and checks `ops/`, with the slow checks if `slow` is true.
    pub(super) fn prepare(layout: &Layout, steps: &mut Steps, slow: bool) -> Self {
        let nats = steps.run_parallel("nats-server", || nats::server(layout));
        let packages = steps.run_parallel("page: packages", || web::install(layout).map(drop));
        let postgres = steps.run_parallel("PostgreSQL", || postgres::bin(layout));
        let newest_postgres = steps.run_parallel("newest PostgreSQL", || postgres::newest_bin(layout));
        let pgbouncer = steps.run_parallel("PgBouncer", || pgbouncer::program(layout));
        let weed = steps.run_parallel("SeaweedFS", || seaweed::weed(layout));
        let python = steps.run_parallel("Python readers", || python::environment(layout, Packages::Readers));
        let promtool = steps.run_parallel("promtool", || promtool::program(layout));
        let chromium = steps.run_parallel("Chromium", || chromium::browser(layout));
        let mut page = None;
        if packages.is_some() {
            for (name, script) in [("page: lint", "lint"), ("page: types", "typecheck"), ("page: unit tests", "test")] {
                steps.run_parallel(name, || web::script(layout, script));
            }
            page = steps.run_parallel("page: build", || web::build(layout).map(drop));
        }
        lint_ops::check(layout, steps, nats.as_deref(), promtool.as_deref(), slow);
        let web = page.and(nats.clone().zip(chromium)).map(|(nats, chromium)| WebTools { nats, chromium });
        let servers = postgres.zip(newest_postgres);
        let rust = match (packages, nats, servers, pgbouncer, weed, python, promtool) {
            (Some(()), Some(nats), Some(servers), Some(pgbouncer), Some(weed), Some(python), Some(promtool)) => {
                let (postgres, newest_postgres) = servers;
                Some(RustTools { nats, postgres, newest_postgres, pgbouncer, weed, python, promtool })
            }
            _ => None,
        };
        Self { rust, web }
    }
}

/// The environment of the Rust tests: paths of programs and data.
pub(super) fn rust_env(layout: &Layout, tools: &RustTools) -> Vec<(&'static str, PathBuf)> {
    vec![
        ("SLUICE_NATS_SERVER", tools.nats.clone()),
        (postgres::NAMED_BY, tools.postgres.clone()),
        (postgres::NEWEST_NAMED_BY, tools.newest_postgres.clone()),
        (postgres::TEMPLATES_NAMED_BY, layout.own().join("postgres-templates")),
        ("SLUICE_PGBOUNCER", tools.pgbouncer.clone()),
        ("SLUICE_WEED", tools.weed.clone()),
        ("SLUICE_PYTHON", tools.python.clone()),
        ("SLUICE_PROMTOOL", tools.promtool.clone()),
        ("SLUICE_FLIGHTS", layout.packaged_flights()),
        ("SLUICE_BIN", layout.sluice(false)),
        ("SLUICE_WEB_DIR", layout.page()),
        ("NO_PROXY", no_proxy().into()),
    ]
}

/// The machine's NO_PROXY and the loopback addresses, where the tests' servers listen.
pub(crate) fn no_proxy() -> String {
    let named = ["NO_PROXY", "no_proxy"].into_iter().find_map(|name| env::var(name).ok()).unwrap_or_default();
    let loopback = ["127.0.0.1", "localhost"].map(str::to_owned);
    named.split(',').filter(|host| !host.is_empty()).map(str::to_owned).chain(loopback).collect::<Vec<_>>().join(",")
}
