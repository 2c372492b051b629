//! Checks of Prometheus' configuration, alert rules and their tests, and of dashboards.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::{Context, files};
use crate::run::Run;

const FOLDER: &str = "ops/prometheus";
/// The alert rules for Prometheus.
const RULES: &str = "ops/prometheus/alerts.yaml";
/// The alert rules for the Prometheus operator.
const KUBERNETES_RULES: &str = "ops/kubernetes/components/monitoring/prometheusrule.yaml";
const UPDATE: &str = "UPDATE_CONTRACT";

/// Runs promtool on each file, by the kind that its first member shows.
pub(super) fn prometheus(context: &Context<'_>) -> Result<()> {
    let found = files::below(&context.root().join(FOLDER), |path| files::has_extension(path, &["yaml", "yml"]))?;
    let (mut configs, mut rules, mut tests) = (Vec::new(), Vec::new(), Vec::new());
    for path in found {
        let text = files::text(&path)?;
        match kind(&text) {
            Some(Kind::Config) => configs.push(path),
            Some(Kind::Rules) => rules.push(path),
            Some(Kind::Tests) => tests.push(path),
            None => bail!("{} is nothing that Prometheus reads", context.short(&path)),
        }
    }
    if configs.is_empty() || rules.is_empty() || tests.is_empty() {
        bail!("{FOLDER} has no configuration, no rules or no tests of them")
    }
    let promtool = |what: &[&str], files: &[PathBuf]| {
        let name = format!("promtool {}", what.join(" "));
        // Paths in a configuration are relative to its folder.
        Run::new(name, &context.promtool)
            .dir(&context.root().join(FOLDER))
            .args(what)
            .args(files)
            .quiet(&context.log("promtool"))
    };
    promtool(&["check", "rules"], &rules)?;
    // Files that it names, such as passwords, exist only where Prometheus runs.
    promtool(&["check", "config", "--syntax-only"], &configs)?;
    promtool(&["test", "rules"], &tests)
}

#[derive(Debug, PartialEq)]
enum Kind {
    Config,
    Rules,
    Tests,
}

fn kind(text: &str) -> Option<Kind> {
    let top = |name: &str| text.lines().any(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(':')));
    if top("scrape_configs") {
        Some(Kind::Config)
    } else if top("groups") {
        Some(Kind::Rules)
    } else {
        (top("tests") && top("rule_files")).then_some(Kind::Tests)
    }
}

/// Checks that the operator's copy equals the rules.
pub(super) fn kubernetes_rules(context: &Context<'_>) -> Result<()> {
    let rules = files::text(&context.root().join(RULES))?;
    let path = context.root().join(KUBERNETES_RULES);
    let wanted = wrapped(&rules)?;
    if env::var_os(UPDATE).is_some() {
        return fs::write(&path, wanted).with_context(|| format!("{} can't be written", path.display()));
    }
    if files::text(&path)? != wanted {
        bail!("{KUBERNETES_RULES} differs from {RULES}: {UPDATE}=1 cargo xtask lint-ops writes it again")
    }
    Ok(())
}

/// A `PrometheusRule` with these rules, indented by two more spaces.
fn wrapped(rules: &str) -> Result<String> {
    let start = rules.find("\ngroups:").map(|at| at + 1).or_else(|| rules.starts_with("groups:").then_some(0));
    let start = start.with_context(|| format!("{RULES} has no `groups:`"))?;
    let indented = rules[start..].lines().map(|line| match line.trim_end() {
        "" => "\n".to_owned(),
        line => format!("  {line}\n"),
    });
    Ok(format!(
        "# Generated from {RULES}; `{UPDATE}=1 cargo xtask lint-ops` writes it again.\n\
         apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata:\n  name: sluice\nspec:\n{}",
        indented.collect::<String>()
    ))
}

/// Checks that Grafana can import each dashboard: JSON with a title, a stable id and panels.
pub(super) fn dashboards(context: &Context<'_>) -> Result<()> {
    let found = files::below(&context.root().join("ops/grafana"), |path| files::has_extension(path, &["json"]))?;
    if found.is_empty() {
        bail!("there is no dashboard in ops/grafana")
    }
    let check = "import json, sys\n\
                 for path in sys.argv[1:]:\n    \
                     print(path)\n    \
                     board = json.load(open(path, encoding='utf-8'))\n    \
                     assert board['title'] and board['uid'] and board['panels'], 'a title, a uid and panels'\n    \
                     ids = [panel['id'] for panel in board['panels']]\n    \
                     assert len(ids) == len(set(ids)), 'ids of panels stand twice'\n    \
                     assert board.get('id') is None, 'the id is the database row of one Grafana'\n";
    Run::new("reading dashboards", context.linters.checker("python"))
        .arg("-c")
        .arg(check)
        .args(found.iter().map(|path: &PathBuf| -> &Path { path }))
        .quiet(&context.log("dashboards"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_prometheus_are_told_apart() {
        assert_eq!(kind("# c\nglobal: {}\nscrape_configs: []\nrule_files: []\n"), Some(Kind::Config));
        assert_eq!(kind("groups:\n- name: a\n"), Some(Kind::Rules));
        assert_eq!(kind("rule_files: [a]\ntests:\n"), Some(Kind::Tests));
        assert_eq!(kind("other: 1\n  groups: 2"), None);
    }

    #[test]
    fn rules_are_wrapped_without_a_change() -> Result<()> {
        let text = wrapped("# about\ngroups:\n  - name: a\n\n    rules: []\n")?;
        assert!(text.ends_with("spec:\n  groups:\n    - name: a\n\n      rules: []\n"), "{text}");
        assert!(wrapped("nothing").is_err());
        Ok(())
    }
}
