//! The printed result of a storm.

use std::collections::BTreeMap;

use serde_json::json;

use crate::{args::Options, faults::Fault, journal::Journal};

/// One line about the storm so far.
pub(crate) fn progress(journal: &Journal) -> String {
    let by_kind = by_kind(journal);
    let faults: Vec<_> = by_kind.iter().map(|(fault, count)| format!("{count} {fault}")).collect();
    let records = journal.records();
    let accepted = records.iter().filter(|record| record.id.is_some()).count();
    let (checked, resumed) = {
        let counts = journal.counts();
        (counts.files_checked, counts.resumed)
    };
    format!(
        "{:5} s: {}; {} requests, {accepted} accepted, {checked} files checked, {resumed} resumed, {} broken promises",
        journal.started().elapsed().as_secs(),
        faults.join(", "),
        records.len(),
        journal.violations().len(),
    )
}

/// The result of a storm, by the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Kept,
    /// A promise is broken.
    Broken,
    /// No promise is broken, but the machine can't make a kind of fault that the options don't leave out.
    Incomplete,
}

/// Prints the result, with every broken promise.
pub(crate) fn print(journal: &Journal, options: &Options) -> Verdict {
    let violations = journal.violations();
    if options.json {
        print_json(journal, options);
    } else {
        print_text(journal, options);
    }
    for violation in &violations {
        let export = violation.export.map(|id| format!("export {id}: ")).unwrap_or_default();
        eprintln!("BROKEN {}: {export}{}", violation.promise, violation.detail);
    }
    if !violations.is_empty() {
        journal.keep_logs();
        eprintln!("the logs are in {}; the seed was {}", journal.logs().display(), options.seed);
        return Verdict::Broken;
    }
    let counts = journal.counts();
    let missing: Vec<_> = counts.left_out.iter().filter(|(fault, _)| !options.without.contains(fault)).collect();
    for (fault, reason) in &missing {
        eprintln!("LEFT OUT {fault}: {reason}; `--allow-missing` or `--without {fault}` accepts that");
    }
    if missing.is_empty() || options.allow_missing { Verdict::Kept } else { Verdict::Incomplete }
}

fn by_kind(journal: &Journal) -> BTreeMap<Fault, u64> {
    let mut kinds = BTreeMap::new();
    for ((fault, _), count) in &journal.counts().faults {
        *kinds.entry(*fault).or_default() += count;
    }
    kinds
}

fn print_text(journal: &Journal, options: &Options) {
    let kinds = by_kind(journal);
    let counts = journal.counts();
    println!("\nstorm over {}, {} s, seed {}", options.backend.title(), options.duration.as_secs(), options.seed);
    println!("  faults");
    for (fault, count) in &kinds {
        let of_kind = counts.faults.iter().filter(|((kind, _), _)| kind == fault);
        let targets: Vec<_> = of_kind.map(|((_, target), count)| format!("{target} {count}")).collect();
        println!("    {count:5} {fault}: {}", targets.join(", "));
    }
    for (fault, reason) in &counts.left_out {
        println!("          {fault}: left out, {reason}");
    }
    let table = |title: &str, rows: &BTreeMap<String, u64>| {
        println!("  {title}");
        for (name, count) in rows {
            println!("    {count:5} {name}");
        }
    };
    table("exports", &counts.outcomes);
    table("refused or lost answers, each repeated", &counts.refusals);
    table("services that ended by themselves, each started again", &counts.ended);
    println!("  {} files compared, {} transfers resumed", counts.files_checked, counts.resumed);
    let violations = journal.violations();
    println!("  {} broken promises", violations.len());
}

fn print_json(journal: &Journal, options: &Options) {
    let violations: Vec<_> = journal
        .violations()
        .into_iter()
        .map(|v| json!({"promise": v.promise, "export": v.export, "detail": v.detail}))
        .collect();
    let kinds: BTreeMap<_, _> = by_kind(journal).into_iter().map(|(fault, count)| (fault.to_string(), count)).collect();
    let counts = journal.counts();
    let faults: BTreeMap<_, _> =
        counts.faults.iter().map(|((fault, target), count)| (format!("{fault} {target}"), count)).collect();
    let left_out: BTreeMap<_, _> = counts.left_out.iter().map(|(fault, why)| (fault.to_string(), why)).collect();
    let result = json!({
        "backend": options.backend.title(), "seconds": options.duration.as_secs(), "seed": options.seed,
        "faults": kinds, "faults_by_target": faults, "left_out": left_out, "exports": counts.outcomes,
        "refusals": counts.refusals, "ended": counts.ended, "files_compared": counts.files_checked,
        "resumed": counts.resumed, "violations": violations,
    });
    println!("{result}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args;

    fn verdict(words: &str, promise_is_broken: bool) -> Verdict {
        let logs = tempfile::tempdir().unwrap();
        let logs = ["--logs".to_owned(), logs.path().display().to_string()];
        let options = args::parse(logs.into_iter().chain(words.split_whitespace().map(str::to_owned))).unwrap();
        let journal = Journal::new(&options);
        journal.counts().left_out.insert(Fault::FullDisk, "this machine permits no mounts".to_owned());
        if promise_is_broken {
            journal.violated("none lost", None, "an export");
        }
        print(&journal, &options)
    }

    #[test]
    fn a_storm_without_a_kind_of_fault_succeeds_only_if_that_is_accepted() {
        assert_eq!(verdict("", false), Verdict::Incomplete);
        assert_eq!(verdict("--without kill", false), Verdict::Incomplete);
        assert_eq!(verdict("--without full-disk", false), Verdict::Kept);
        assert_eq!(verdict("--allow-missing", false), Verdict::Kept);
        assert_eq!(verdict("--allow-missing", true), Verdict::Broken);
    }
}
