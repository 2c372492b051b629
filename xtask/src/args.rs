//! The command line, by hand: three commands with a few options each don't need a parser crate to be compiled first.

use std::path::PathBuf;

pub(crate) const HELP: &str = "\
cargo xtask: the one door for people and CI

  cargo xtask up [--port N] [--data-dir D] [--release]
      Fetches nats-server, builds the page and the binary, prepares the data and starts Sluice on this machine.
      --port N       the port of the page and the API on 127.0.0.1 (8080)
      --data-dir D   where databases, streams and files are kept (data/ in the checkout); a second start keeps them
      --release      an optimised build: slower to make, faster to run

  cargo xtask test [--full]
      Everything that CI checks: format, clippy, Rust tests, doc tests, the page's own tests, and a real browser.
      Installs what it needs, or says in one line what is missing.
      --full         also the heavy tests, on millions of generated rows, and `containers`

  cargo xtask lint-ops
      The part of `test` that looks at what runs Sluice: containers, NATS, Kubernetes, alerts, workflows, scripts, links.

  cargo xtask containers
      Builds the images, starts compose.yaml in a real engine and shows what it promises. With DOCKER_HOST in that engine;
      else, as root on Debian, in one of its own. The first build takes half an hour. `test --full` does this too.

  cargo xtask data --scale N [--data-dir D]
      Makes the datasets `lineitem` and `orders` (TPC-H); scale 1 is 6 million rows of lineitem, 0.01 is sixty thousand.

  cargo xtask bench [--runs N]
      Parquet to CSV beside polars, DuckDB, ClickHouse and pyarrow: best of N runs (3), with peak memory.
      Makes an optimised build first, which takes a while.

Exit code: 0 done, 1 a check failed, 2 something is missing or wrong: the one line after `error:` says what to do.";

/// What was asked for.
#[derive(Debug, PartialEq)]
pub(crate) enum Task {
    Help,
    Up(UpOptions),
    Data(DataOptions),
    Test(TestOptions),
    Bench(BenchOptions),
    LintOps,
    Containers,
}

#[derive(Debug, PartialEq)]
pub(crate) struct UpOptions {
    pub(crate) port: u16,
    /// Relative to where the command was started; `None` is `data/` in the checkout.
    pub(crate) data_dir: Option<PathBuf>,
    pub(crate) release: bool,
}

#[derive(Debug, PartialEq)]
pub(crate) struct DataOptions {
    pub(crate) scale: f64,
    pub(crate) data_dir: Option<PathBuf>,
}

#[derive(Debug, PartialEq)]
pub(crate) struct BenchOptions {
    /// The best of so many counts.
    pub(crate) runs: u32,
}

#[derive(Debug, PartialEq)]
pub(crate) struct TestOptions {
    pub(crate) full: bool,
}

const DEFAULT_PORT: u16 = 8080;
const DEFAULT_RUNS: u32 = 3;

/// Reads the words after `cargo xtask`.
///
/// # Errors
/// One sentence that names the word that isn't understood and what would be.
pub(crate) fn parse(words: impl IntoIterator<Item = String>) -> Result<Task, String> {
    let words: Vec<String> = words.into_iter().collect();
    if words.iter().any(|word| word == "--help" || word == "-h") {
        return Ok(Task::Help);
    }
    let Some((command, rest)) = words.split_first() else { return Ok(Task::Help) };
    let mut options = Options { command, words: rest.iter() };
    match command.as_str() {
        "help" => Ok(Task::Help),
        "up" => {
            let mut up = UpOptions { port: DEFAULT_PORT, data_dir: None, release: false };
            while let Some((name, inline)) = options.next_name() {
                match name {
                    "--port" => up.port = port(&options.value(name, inline)?)?,
                    "--data-dir" => up.data_dir = Some(options.value(name, inline)?.into()),
                    "--release" if inline.is_none() => up.release = true,
                    _ => return Err(options.unknown(name)),
                }
            }
            Ok(Task::Up(up))
        }
        "data" => {
            let (mut wanted, mut data_dir) = (None, None);
            while let Some((name, inline)) = options.next_name() {
                match name {
                    "--scale" => wanted = Some(scale(&options.value(name, inline)?)?),
                    "--data-dir" => data_dir = Some(options.value(name, inline)?.into()),
                    _ => return Err(options.unknown(name)),
                }
            }
            let scale = wanted.ok_or("`cargo xtask data` needs `--scale N`; 1 makes 6 million rows of lineitem")?;
            Ok(Task::Data(DataOptions { scale, data_dir }))
        }
        "test" => {
            let mut test = TestOptions { full: false };
            while let Some((name, inline)) = options.next_name() {
                match name {
                    "--full" if inline.is_none() => test.full = true,
                    _ => return Err(options.unknown(name)),
                }
            }
            Ok(Task::Test(test))
        }
        "lint-ops" => match options.next_name() {
            Some((name, _)) => Err(options.unknown(name)),
            None => Ok(Task::LintOps),
        },
        "containers" => match options.next_name() {
            Some((name, _)) => Err(options.unknown(name)),
            None => Ok(Task::Containers),
        },
        "bench" => {
            let mut bench = BenchOptions { runs: DEFAULT_RUNS };
            while let Some((name, inline)) = options.next_name() {
                match name {
                    "--runs" => bench.runs = runs(&options.value(name, inline)?)?,
                    _ => return Err(options.unknown(name)),
                }
            }
            Ok(Task::Bench(bench))
        }
        other => Err(format!(
            "`{other}` isn't a command of `cargo xtask`: it has `up`, `test`, `lint-ops`, `containers`, `data` and `bench` (see --help)"
        )),
    }
}

struct Options<'a> {
    command: &'a str,
    words: std::slice::Iter<'a, String>,
}

impl<'a> Options<'a> {
    /// The next option, and what stands behind its `=` if it has one.
    fn next_name(&mut self) -> Option<(&'a str, Option<&'a str>)> {
        let word = self.words.next()?;
        Some(match word.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (word, None),
        })
    }

    fn value(&mut self, name: &str, inline: Option<&str>) -> Result<String, String> {
        let value = inline.map(str::to_owned).or_else(|| self.words.next().cloned());
        value.filter(|value| !value.is_empty()).ok_or_else(|| format!("`{name}` needs a value (see --help)"))
    }

    fn unknown(&self, name: &str) -> String {
        format!("`cargo xtask {}` doesn't take `{name}` (see --help)", self.command)
    }
}

fn port(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(format!("`--port {text}` isn't a port: give a number from 1 to 65535")),
    }
}

fn runs(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(runs @ 1..=100) => Ok(runs),
        _ => Err(format!("`--runs {text}` isn't a number of runs: give one from 1 to 100")),
    }
}

fn scale(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(scale) if scale.is_finite() && scale > 0.0 => Ok(scale),
        _ => Err(format!("`--scale {text}` isn't a scale: give a number above 0, such as 0.01 or 1")),
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
        let expected = UpOptions { port: 8080, data_dir: None, release: false };
        assert_eq!(parsed("up"), Ok(Task::Up(expected)));
    }

    #[test]
    fn options_take_their_value_after_a_space_or_an_equals_sign() {
        let expected = || Ok(Task::Up(UpOptions { port: 9000, data_dir: Some("d".into()), release: true }));
        assert_eq!(parsed("up --port 9000 --data-dir d --release"), expected());
        assert_eq!(parsed("up --release --data-dir=d --port=9000"), expected());
    }

    #[test]
    fn data_needs_a_scale() {
        assert_eq!(parsed("data --scale 0.01"), Ok(Task::Data(DataOptions { scale: 0.01, data_dir: None })));
        assert!(parsed("data").unwrap_err().contains("--scale"));
    }

    #[test]
    fn test_takes_full() {
        assert_eq!(parsed("test"), Ok(Task::Test(TestOptions { full: false })));
        assert_eq!(parsed("test --full"), Ok(Task::Test(TestOptions { full: true })));
    }

    #[test]
    fn bench_takes_its_runs() {
        assert_eq!(parsed("bench"), Ok(Task::Bench(BenchOptions { runs: 3 })));
        assert_eq!(parsed("bench --runs=5"), Ok(Task::Bench(BenchOptions { runs: 5 })));
        assert!(parsed("bench --runs 0").unwrap_err().contains("--runs 0"));
    }

    #[test]
    fn lint_ops_takes_nothing() {
        assert_eq!(parsed("lint-ops"), Ok(Task::LintOps));
        assert!(parsed("lint-ops --fix").unwrap_err().contains("--fix"));
    }

    #[test]
    fn containers_takes_nothing() {
        assert_eq!(parsed("containers"), Ok(Task::Containers));
        assert!(parsed("containers --port 1").unwrap_err().contains("--port"));
    }

    #[test]
    fn help_wins_over_everything() {
        for line in ["", "help", "--help", "up --help", "data -h", "nonsense --help"] {
            assert_eq!(parsed(line), Ok(Task::Help), "{line:?}");
        }
    }

    #[test]
    fn what_is_not_understood_is_named() {
        let lines = [
            ("dance", "`dance`"),
            ("up --colour", "`--colour`"),
            ("up 8080", "`8080`"),
            ("up --release=yes", "`--release`"),
            ("up --port", "`--port`"),
            ("up --port=", "`--port`"),
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
