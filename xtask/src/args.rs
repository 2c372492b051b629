//! The command line of `cargo xtask`.

use std::path::PathBuf;
use std::str::FromStr;

use lexopt::{Arg, Parser, ValueExt as _};

pub(crate) const HELP: &str = "\
cargo xtask: builds, starts, checks and measures Sluice

  cargo xtask up [SOURCE] [--port N] [--data-dir D] [--release] [--open]
      Fetches nats-server, builds the page and the binary, loads the demo data and starts Sluice on this machine.
      SOURCE         offer this database, folder or bucket, in place of the demo: see `sluice up --help`
      --port N       the port of the page and the API on 127.0.0.1 (default 8080)
      --data-dir D   the folder of databases, streams and files (default data/ in the checkout); a second start keeps it
      --release      build with optimisations: a slower build, a faster program
      --catalog F    offer the datasets of this catalog file, in place of the demo
      --open         open the page in a browser, signed in by a one-time link

  cargo xtask test [--slow] [--full] [--under-load]
      Runs what CI checks at each change: format, clippy, Rust tests, doc tests, the page's tests, and a real browser.
      Installs what it needs, or says in one line what is missing.
      --slow         also run the slow tests, which CI runs before each merge, and the tests of the Python client, which
                     need Python 3.10 and a newer one
      --full         also run the slow tests, the heavy tests on millions of rows, three minutes of `storm`, the tests
                     under load, the browser over a slow and jittering network, `schemathesis` and `containers`
      --under-load   run all tests three times while two other processes keep both cores busy

  cargo xtask storm [--minutes N] [--seed S]
      Runs two gateways, three exporters and two notifiers under load, half of the time over SQLite and a folder, half over
      PostgreSQL and S3. Kills and freezes services and servers, fills disks, turns clocks, and cuts lines, all at random.
      Then checks that no export is lost, doubled, stuck or failed, each byte of each file, the ledger and the store.
      --minutes N    how long faults happen (default 3)
      --seed S       the seed of all choices (default a new one, which is printed)
      --without F    leave out a kind of fault: kill, freeze, full-disk, wrong-clock or cut-line; may be repeated
      --allow-missing
                     succeed though the machine can't make a kind of fault, which otherwise fails: full disks need the
                     right to mount, wrong clocks need libfaketime
      --json         print the numbers of each half as one line of JSON

  cargo xtask lint-ops
      Runs the part of `test` that checks containers, NATS, Kubernetes, alerts, workflows, scripts, links, words, comments
      and circles of files.

  cargo xtask containers
      Builds the images, starts compose.yaml in a real engine and checks it. Uses the engine of DOCKER_HOST; without
      one, as root on Debian, it starts an engine. The first build takes half an hour. `test --full` includes it.

  cargo xtask data --scale N [--data-dir D]
      Generates the datasets `lineitem` and `orders` (TPC-H) and adds them to the demo catalog. Scale 1 is 6 million
      rows of lineitem, 0.01 is sixty thousand. A running Sluice offers them within seconds.

  cargo xtask bench [--runs N]
      Measures Parquet to CSV beside polars, DuckDB, ClickHouse and pyarrow: the best of N runs (default 3), with peak
      memory. Makes a release build first, which takes about 25 minutes.

  cargo xtask schemathesis
      Starts Sluice and sends 5,000 generated requests by its OpenAPI document (schemathesis, all checks): valid ones,
      invalid ones, and sequences. `test --full` includes it.

  cargo xtask corpora FOLDER
      Exports each Parquet, Arrow, CSV and NDJSON file below FOLDER, such as a copy of apache/parquet-testing, compares
      every value with pyarrow, Python and DuckDB, and counts the files that are right, wrong, refused or end the process.

  cargo xtask loaders
      Loads real exports with pandas, DuckDB, Spark, PostgreSQL, Node, R, Go, LibreOffice and others, compares every cell
      with the truth, and writes the table of docs/loading.md. Installs what it runs.

Exit codes: 0 done, 1 a check failed, 2 something is missing or wrong, and the line after `error:` says what to do.";

/// A command with its options.
#[derive(Debug, PartialEq)]
pub(crate) enum Task {
    Help,
    Up(UpOptions),
    Data(DataOptions),
    Test(TestOptions),
    Bench(BenchOptions),
    Storm(StormOptions),
    LintOps,
    Containers,
    Loaders,
    Schemathesis,
    /// The folder of foreign files.
    Corpora(PathBuf),
}

#[derive(Debug, PartialEq)]
pub(crate) struct UpOptions {
    pub(crate) port: u16,
    /// Relative to the working directory; `None` is `data/` in the checkout.
    pub(crate) data_dir: Option<PathBuf>,
    pub(crate) release: bool,
    /// The catalog file to offer; `None` is the source or the demo.
    pub(crate) catalog: Option<PathBuf>,
    /// The source to offer, as `sluice up` takes it; `None` is the catalog file or the demo.
    pub(crate) source: Option<String>,
    /// Whether to open the page in a browser.
    pub(crate) open: bool,
}

#[derive(Debug, PartialEq)]
pub(crate) struct DataOptions {
    pub(crate) scale: f64,
    /// Relative to the working directory; `None` is `data/` in the checkout.
    pub(crate) data_dir: Option<PathBuf>,
}

#[derive(Debug, PartialEq)]
pub(crate) struct BenchOptions {
    /// The number of runs of which the best counts.
    pub(crate) runs: u32,
}

#[derive(Debug, PartialEq)]
pub(crate) struct StormOptions {
    /// How long faults happen, in both halves together.
    pub(crate) minutes: u32,
    /// The seed of all choices; `None` is a new one.
    pub(crate) seed: Option<u64>,
    /// Print the numbers as JSON.
    pub(crate) json: bool,
    /// The kinds of faults that don't happen.
    pub(crate) without: Vec<String>,
    /// Whether the storm also succeeds when the machine can't make a kind of fault.
    pub(crate) allow_missing: bool,
}

impl Default for StormOptions {
    fn default() -> Self {
        Self { minutes: DEFAULT_STORM_MINUTES, seed: None, json: false, without: vec![], allow_missing: false }
    }
}

#[derive(Debug, Default, PartialEq)]
pub(crate) struct TestOptions {
    pub(crate) slow: bool,
    pub(crate) full: bool,
    pub(crate) under_load: bool,
}

const DEFAULT_PORT: u16 = 8080;
const DEFAULT_RUNS: u32 = 3;
const DEFAULT_STORM_MINUTES: u32 = 3;

/// Reads the words after `cargo xtask`.
///
/// # Errors
/// One sentence that names the word that is wrong and what is allowed.
pub(crate) fn parse(words: impl IntoIterator<Item = String>) -> Result<Task, String> {
    let words: Vec<String> = words.into_iter().collect();
    if words.iter().any(|word| word == "--help" || word == "-h") {
        return Ok(Task::Help);
    }
    let mut parser = Parser::from_args(words);
    let command = match parser.next().map_err(describe)? {
        None => return Ok(Task::Help),
        Some(Arg::Value(command)) => command.string().map_err(describe)?,
        Some(other) => return Err(unknown("", &other)),
    };
    match command.as_str() {
        "help" => Ok(Task::Help),
        "up" => up(&mut parser).map(Task::Up),
        "data" => data(&mut parser).map(Task::Data),
        "test" => test(&mut parser).map(Task::Test),
        "bench" => bench(&mut parser).map(Task::Bench),
        "storm" => storm(&mut parser).map(Task::Storm),
        "lint-ops" => no_options("lint-ops", &mut parser).map(|()| Task::LintOps),
        "containers" => no_options("containers", &mut parser).map(|()| Task::Containers),
        "loaders" => no_options("loaders", &mut parser).map(|()| Task::Loaders),
        "schemathesis" => no_options("schemathesis", &mut parser).map(|()| Task::Schemathesis),
        "corpora" => folder("corpora", &mut parser).map(Task::Corpora),
        other => Err(format!(
            "`{other}` isn't a command of `cargo xtask`: it has `up`, `test`, `storm`, `lint-ops`, `containers`, `corpora`, `loaders`, `schemathesis`, `data` and `bench` (see --help)"
        )),
    }
}

fn up(parser: &mut Parser) -> Result<UpOptions, String> {
    let mut up =
        UpOptions { port: DEFAULT_PORT, data_dir: None, release: false, catalog: None, source: None, open: false };
    while let Some(arg) = parser.next().map_err(describe)? {
        match arg {
            Arg::Long("port") => {
                up.port = value(parser, "--port", "a port: give a number from 1 to 65535", |port: &u16| *port > 0)?;
            }
            Arg::Long("data-dir") => up.data_dir = Some(path(parser, "--data-dir")?),
            Arg::Long("release") => up.release = true,
            Arg::Long("open") => up.open = true,
            Arg::Long("catalog") => up.catalog = Some(path(parser, "--catalog")?),
            Arg::Value(source) if up.source.is_none() => {
                up.source = Some(source.string().map_err(|_| "the source is no UTF-8".to_owned())?);
            }
            other => return Err(unknown("up", &other)),
        }
    }
    if up.source.is_some() && up.catalog.is_some() {
        return Err("`cargo xtask up` takes a source or `--catalog`, not both".to_owned());
    }
    Ok(up)
}

fn data(parser: &mut Parser) -> Result<DataOptions, String> {
    let (mut scale, mut data_dir) = (None, None);
    while let Some(arg) = parser.next().map_err(describe)? {
        match arg {
            Arg::Long("scale") => {
                let allowed = |scale: &f64| scale.is_finite() && *scale > 0.0;
                scale = Some(value(parser, "--scale", "a scale: give a number above 0, such as 0.01 or 1", allowed)?);
            }
            Arg::Long("data-dir") => data_dir = Some(path(parser, "--data-dir")?),
            other => return Err(unknown("data", &other)),
        }
    }
    let scale = scale.ok_or("`cargo xtask data` needs `--scale N`; 1 makes 6 million rows of lineitem")?;
    Ok(DataOptions { scale, data_dir })
}

fn test(parser: &mut Parser) -> Result<TestOptions, String> {
    let mut test = TestOptions::default();
    while let Some(arg) = parser.next().map_err(describe)? {
        match arg {
            Arg::Long("slow") => test.slow = true,
            Arg::Long("full") => test.full = true,
            Arg::Long("under-load") => test.under_load = true,
            other => return Err(unknown("test", &other)),
        }
    }
    Ok(test)
}

fn bench(parser: &mut Parser) -> Result<BenchOptions, String> {
    let mut bench = BenchOptions { runs: DEFAULT_RUNS };
    while let Some(arg) = parser.next().map_err(describe)? {
        match arg {
            Arg::Long("runs") => {
                let allowed = |runs: &u32| (1..=100).contains(runs);
                bench.runs = value(parser, "--runs", "a number of runs: give one from 1 to 100", allowed)?;
            }
            other => return Err(unknown("bench", &other)),
        }
    }
    Ok(bench)
}

fn storm(parser: &mut Parser) -> Result<StormOptions, String> {
    let mut storm = StormOptions::default();
    while let Some(arg) = parser.next().map_err(describe)? {
        match arg {
            Arg::Long("minutes") => {
                let allowed = |minutes: &u32| (1..=24 * 60).contains(minutes);
                storm.minutes = value(parser, "--minutes", "a duration: give minutes from 1 to 1440", allowed)?;
            }
            Arg::Long("seed") => storm.seed = Some(value(parser, "--seed", "a seed: give a whole number", |_| true)?),
            Arg::Long("without") => storm.without.push(text(parser, "--without")?),
            Arg::Long("allow-missing") => storm.allow_missing = true,
            Arg::Long("json") => storm.json = true,
            other => return Err(unknown("storm", &other)),
        }
    }
    Ok(storm)
}

fn no_options(command: &str, parser: &mut Parser) -> Result<(), String> {
    parser.next().map_err(describe)?.map_or(Ok(()), |arg| Err(unknown(command, &arg)))
}

/// Reads the folder that is the only word after a command.
fn folder(command: &str, parser: &mut Parser) -> Result<PathBuf, String> {
    match parser.next().map_err(describe)? {
        Some(Arg::Value(folder)) => no_options(command, parser).map(|()| folder.into()),
        Some(other) => Err(unknown(command, &other)),
        None => Err(format!("`cargo xtask {command}` needs a folder")),
    }
}

/// The value of an option, read and checked; `expected` ends the sentence "`--port 0` isn't …".
fn value<T: FromStr>(
    parser: &mut Parser,
    option: &str,
    expected: &str,
    allowed: impl FnOnce(&T) -> bool,
) -> Result<T, String> {
    let text = text(parser, option)?;
    text.parse().ok().filter(allowed).ok_or_else(|| format!("`{option} {text}` isn't {expected}"))
}

fn path(parser: &mut Parser, option: &str) -> Result<PathBuf, String> {
    text(parser, option).map(PathBuf::from)
}

fn text(parser: &mut Parser, option: &str) -> Result<String, String> {
    let text = parser.value().and_then(|value| value.string()).unwrap_or_default();
    if text.is_empty() { Err(format!("`{option}` needs a value (see --help)")) } else { Ok(text) }
}

fn unknown(command: &str, arg: &Arg<'_>) -> String {
    let word = match arg {
        Arg::Long(name) => format!("--{name}"),
        Arg::Short(name) => format!("-{name}"),
        Arg::Value(value) => value.to_string_lossy().into_owned(),
    };
    format!("`cargo xtask {command}` doesn't take `{word}` (see --help)").replace(" ` ", "` ")
}

/// A fault that lexopt finds by itself, such as a value for an option that takes none.
fn describe(error: lexopt::Error) -> String {
    match error {
        lexopt::Error::UnexpectedValue { option, value } => {
            format!("`{option}` takes no value, but was given `{}` (see --help)", value.to_string_lossy())
        }
        other => format!("{other} (see --help)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Task, String> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn up_has_defaults() {
        let expected =
            UpOptions { port: 8080, data_dir: None, release: false, catalog: None, source: None, open: false };
        assert_eq!(parsed("up"), Ok(Task::Up(expected)));
    }

    #[test]
    fn options_take_their_value_after_a_space_or_an_equals_sign() {
        let (data_dir, catalog) = (Some("d".into()), Some("c.toml".into()));
        let expected =
            Ok(Task::Up(UpOptions { port: 9000, data_dir, release: true, catalog, source: None, open: true }));
        assert_eq!(parsed("up --port 9000 --data-dir d --release --catalog c.toml --open"), expected);
        assert_eq!(parsed("up --open --catalog=c.toml --release --data-dir=d --port=9000"), expected);
    }

    #[test]
    fn up_takes_one_source() {
        let Ok(Task::Up(up)) = parsed("up postgres://localhost/shop --port 9000") else { panic!("up takes a source") };
        assert_eq!((up.source.as_deref(), up.port), (Some("postgres://localhost/shop"), 9000));
        assert!(parsed("up shop.db --catalog c.toml").unwrap_err().contains("not both"));
    }

    #[test]
    fn data_needs_a_scale() {
        assert_eq!(parsed("data --scale 0.01"), Ok(Task::Data(DataOptions { scale: 0.01, data_dir: None })));
        assert!(parsed("data").unwrap_err().contains("--scale"));
    }

    #[test]
    fn corpora_needs_one_folder() {
        assert_eq!(parsed("corpora files"), Ok(Task::Corpora("files".into())));
        assert!(parsed("corpora").unwrap_err().contains("folder"));
        assert!(parsed("corpora a b").unwrap_err().contains("`b`"));
    }

    #[test]
    fn test_takes_slow_full_and_under_load() {
        let none = TestOptions::default;
        assert_eq!(parsed("test"), Ok(Task::Test(none())));
        assert_eq!(parsed("test --slow"), Ok(Task::Test(TestOptions { slow: true, ..none() })));
        assert_eq!(parsed("test --full"), Ok(Task::Test(TestOptions { full: true, ..none() })));
        assert_eq!(parsed("test --under-load"), Ok(Task::Test(TestOptions { under_load: true, ..none() })));
    }

    #[test]
    fn bench_takes_its_runs() {
        assert_eq!(parsed("bench"), Ok(Task::Bench(BenchOptions { runs: 3 })));
        assert_eq!(parsed("bench --runs=5"), Ok(Task::Bench(BenchOptions { runs: 5 })));
        assert!(parsed("bench --runs 0").unwrap_err().contains("--runs 0"));
    }

    #[test]
    fn storm_takes_minutes_and_a_seed() {
        assert_eq!(parsed("storm"), Ok(Task::Storm(StormOptions::default())));
        let without = vec!["kill".to_owned(), "freeze".to_owned()];
        let expected = StormOptions { minutes: 60, seed: Some(7), json: true, without, allow_missing: true };
        assert_eq!(
            parsed("storm --minutes 60 --seed 7 --json --without kill --without freeze --allow-missing"),
            Ok(Task::Storm(expected))
        );
        assert!(parsed("storm --minutes 0").unwrap_err().contains("--minutes 0"));
    }

    #[test]
    fn commands_without_options_refuse_options() {
        assert_eq!(parsed("lint-ops"), Ok(Task::LintOps));
        assert!(parsed("lint-ops --fix").unwrap_err().contains("--fix"));
        assert_eq!(parsed("containers"), Ok(Task::Containers));
        assert_eq!(parsed("loaders"), Ok(Task::Loaders));
        assert_eq!(parsed("schemathesis"), Ok(Task::Schemathesis));
        assert!(parsed("containers --port 1").unwrap_err().contains("--port"));
    }

    #[test]
    fn help_wins_over_everything() {
        for line in ["", "help", "--help", "up --help", "data -h", "nonsense --help"] {
            assert_eq!(parsed(line), Ok(Task::Help), "{line:?}");
        }
    }

    #[test]
    fn a_wrong_word_is_named_in_one_line() {
        let lines = [
            ("dance", "`dance`"),
            ("--dance", "`--dance`"),
            ("up --colour", "`--colour`"),
            ("up shop.db 8080", "`8080`"),
            ("up --release=yes", "`--release`"),
            ("up --port", "`--port`"),
            ("up --port=", "`--port`"),
            ("up --catalog", "`--catalog`"),
            ("up --port 0", "`--port 0`"),
            ("up --port 70000", "`--port 70000`"),
            ("data --scale -1", "`--scale -1`"),
            ("data --scale nan", "`--scale nan`"),
            ("test --release", "`--release`"),
        ];
        for (line, named) in lines {
            let problem = parsed(line).expect_err(line);
            assert!(problem.contains(named), "{line:?}: {problem}");
            assert_eq!(problem.lines().count(), 1);
        }
    }
}
