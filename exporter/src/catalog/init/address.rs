//! Parses the argument of `sluice catalog init`, which names the source: a database, a bucket, a URL, or files.

use std::{
    env, fmt, fs,
    io::Read,
    path::{Path, PathBuf},
};

use platform::secret::Secret;
use url::Url;

use super::InitError;

/// The first bytes of every SQLite file (<https://www.sqlite.org/fileformat.html>).
const SQLITE_MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// The text that replaces a password in printed URLs.
const PASSWORD: &str = "PASSWORD";
/// The parameters of a PostgreSQL URL that `catalog init` prints. It omits all other parameters, because they may hold
/// a secret.
const SHOWN_PARAMETERS: [&str; 2] = ["sslmode", "sslrootcert"];

/// The environment variable in which a parent process passes the URL of a database to `sluice catalog init`. Other
/// users of the machine can read the arguments of a process, so the URL is not an argument. The name does not begin
/// with `SLUICE_`, because variables with that prefix are settings.
pub const PASSED_URL: &str = "EXPORTER_SOURCE_URL";

/// The source of rows that the user of `sluice catalog init` names.
#[derive(Clone, Debug)]
pub enum Address {
    /// A PostgreSQL database, by its URL.
    Postgres(PostgresAddress),
    /// A SQLite file, by its absolute path.
    Sqlite(PathBuf),
    /// The objects of an S3 bucket whose keys begin with a prefix or match a pattern.
    Bucket {
        /// The name of the bucket.
        bucket: String,
        /// The prefix or pattern of the object keys; empty for all objects.
        prefix: String,
    },
    /// One file behind HTTP.
    Http(Url),
    /// Local files: the absolute path of a file or folder, or a pattern such as `/data/*.csv`.
    Files(PathBuf),
}

/// The URL of a PostgreSQL database, and the environment variable in which the catalog file expects the URL.
#[derive(Clone, Debug)]
pub struct PostgresAddress {
    /// The URL of the database, which may contain a password.
    pub url: Secret,
    /// The name of the environment variable that should have the URL.
    pub variable: String,
    /// Whether this environment variable of the current process has this URL as its value.
    pub is_set: bool,
    /// The URL without its password and other secrets, for printed texts.
    pub shown: String,
    /// The name of the database.
    pub database: String,
}

impl Address {
    /// Parses the argument that names the source. For `env:NAME`, takes the URL from the environment variable `NAME`.
    ///
    /// # Errors
    ///
    /// When the argument names no source that Sluice can read. The error never repeats a URL, which may hold a
    /// password.
    pub fn parse(text: &str) -> Result<Self, InitError> {
        if let Some(name) = text.strip_prefix("env:") {
            let url = env::var(name).map_err(|_| InitError::NoVariable(name.to_owned()))?;
            return if name == PASSED_URL && is_postgres(&url) {
                Self::parse(&url)
            } else if is_postgres(&url) {
                PostgresAddress::new(&url, Some(name)).map(Self::Postgres)
            } else {
                Err(InitError::Source(format!(
                    "the variable {name} has no URL of a PostgreSQL database; give other sources as they are"
                )))
            };
        }
        if is_postgres(text) {
            let known = env::vars_os()
                .find(|(name, value)| name != PASSED_URL && value == text)
                .and_then(|(name, _)| name.into_string().ok());
            return PostgresAddress::new(text, known.as_deref()).map(Self::Postgres);
        }
        if let Some(rest) = text.strip_prefix("s3://") {
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            if bucket.is_empty() || bucket.contains('@') {
                return Err(InitError::Source("expected s3://BUCKET/PREFIX without credentials".into()));
            }
            return Ok(Self::Bucket { bucket: bucket.to_owned(), prefix: prefix.trim_matches('/').to_owned() });
        }
        if text.starts_with("http://") || text.starts_with("https://") {
            return http(text).map(Self::Http);
        }
        let path = match text.split_once("://") {
            Some(("sqlite" | "file", path)) => path,
            Some((scheme, _)) => {
                return Err(InitError::Source(format!(
                    "`{scheme}://` is not read; sources are postgres://…, s3://…, http(s)://…, a SQLite file, and a folder or \
                     pattern of Parquet, CSV, NDJSON or Arrow files"
                )));
            }
            None => text.strip_prefix("sqlite:").unwrap_or(text),
        };
        local(Path::new(path))
    }

    /// Returns a name for the table `[source.NAME]` of the catalog file. The name is empty for local files, because the
    /// catalog file has no such table for them.
    pub(super) fn source_name(&self) -> String {
        let raw = match self {
            Self::Postgres(address) => address.database.clone(),
            Self::Sqlite(path) => stem(path),
            Self::Bucket { bucket, .. } => bucket.clone(),
            Self::Http(url) => url.host_str().unwrap_or_default().to_owned(),
            Self::Files(_) => return String::new(),
        };
        let key = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
        let name = raw.chars().map(key).collect::<String>().trim_matches('_').to_owned();
        if name.is_empty() { "source".into() } else { name }
    }
}

impl fmt::Display for Address {
    /// Writes the address of the source without any secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Postgres(address) => write!(f, "the PostgreSQL database `{}`", address.database),
            Self::Sqlite(path) => write!(f, "the SQLite file {}", path.display()),
            Self::Bucket { bucket, prefix } if prefix.is_empty() => write!(f, "the bucket s3://{bucket}"),
            Self::Bucket { bucket, prefix } => write!(f, "the objects s3://{bucket}/{prefix}"),
            Self::Http(url) => write!(f, "{url}"),
            Self::Files(path) => write!(f, "the files of {}", path.display()),
        }
    }
}

impl PostgresAddress {
    fn new(url: &str, variable: Option<&str>) -> Result<Self, InitError> {
        let invalid =
            || InitError::Source("this is no URL of a PostgreSQL server: postgres://USER:PASSWORD@HOST/DB".into());
        let mut parsed = Url::parse(url).map_err(|_| invalid())?;
        let query = |name: &str| parsed.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
        let in_path = percent_decoded(parsed.path().trim_matches('/'));
        // without a database in the URL, the server uses the name of the user
        let named = [in_path, query("dbname").unwrap_or_default(), percent_decoded(parsed.username())];
        let database = named.into_iter().find(|name| !name.is_empty()).unwrap_or_else(|| "postgres".into());
        if parsed.password().is_some() {
            parsed.set_password(Some(PASSWORD)).map_err(|()| invalid())?;
        }
        let kept: Vec<(String, String)> = parsed
            .query_pairs()
            .filter(|(key, _)| SHOWN_PARAMETERS.contains(&key.as_ref()))
            .map(|(key, value)| (key.into_owned(), value.into_owned()))
            .collect();
        parsed.set_query(None);
        if !kept.is_empty() {
            parsed.query_pairs_mut().extend_pairs(kept);
        }
        parsed.set_fragment(None);
        Ok(Self {
            url: Secret::new(url),
            is_set: variable.is_some(),
            variable: variable.map_or_else(|| variable_of(&database), str::to_owned),
            shown: parsed.to_string(),
            database,
        })
    }
}

/// Returns the name of the environment variable for the URL of a database, such as `SHOP_DATABASE_URL`.
fn variable_of(database: &str) -> String {
    let upper = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    let name: String = database.chars().map(upper).collect();
    // variables that begin with SLUICE_ are settings, and a name can't begin with a digit
    let is_reserved = name.starts_with("SLUICE_") || name.starts_with(|c: char| c.is_ascii_digit());
    format!("{}{name}_DATABASE_URL", if is_reserved || name == "SLUICE" { "SOURCE_" } else { "" })
}

fn is_postgres(text: &str) -> bool {
    text.starts_with("postgres://") || text.starts_with("postgresql://")
}

fn percent_decoded(text: &str) -> String {
    url::form_urlencoded::parse(format!("x={}", text.replace('+', "%2B")).as_bytes())
        .next()
        .map_or_else(String::new, |(_, value)| value.into_owned())
}

fn http(text: &str) -> Result<Url, InitError> {
    let url = Url::parse(text).map_err(|_| InitError::Source("this is no URL of a file".into()))?;
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
        return Err(InitError::Source(
            "the URL holds a user, a password or parameters, which may be secrets and can't be written into a catalog file: \
             write the source by hand, with `bearer` (docs/catalog.md)"
                .into(),
        ));
    }
    Ok(url)
}

fn local(path: &Path) -> Result<Address, InitError> {
    let unreadable = |e: std::io::Error| InitError::Source(format!("{}: {e}", path.display()));
    let absolute = std::path::absolute(path).map_err(unreadable)?;
    if absolute.is_file() {
        let mut magic = Vec::new();
        let file = fs::File::open(&absolute).map_err(unreadable)?;
        file.take(SQLITE_MAGIC.len() as u64).read_to_end(&mut magic).map_err(unreadable)?;
        let is_sqlite = magic == SQLITE_MAGIC;
        return Ok(if is_sqlite { Address::Sqlite(absolute) } else { Address::Files(absolute) });
    }
    if absolute.is_dir() || absolute.to_string_lossy().contains(['*', '?', '[']) {
        return Ok(Address::Files(absolute));
    }
    Err(InitError::Source(format!("there is no file or folder {}", path.display())))
}

/// Returns the name of a file without its extension.
pub(super) fn stem(path: &Path) -> String {
    path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn postgres(url: &str) -> PostgresAddress {
        match Address::parse(url).unwrap() {
            Address::Postgres(address) => address,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_url_of_postgres_is_shown_without_its_secrets() {
        for (url, variable, shown) in [
            (
                "postgres://app:s3cr3t@db.example.com:5433/shop?sslmode=require&options=-c%20x%3Ds3cr3t",
                "SHOP_DATABASE_URL",
                "postgres://app:PASSWORD@db.example.com:5433/shop?sslmode=require",
            ),
            ("postgresql://localhost/my-shop%202", "MY_SHOP_2_DATABASE_URL", "postgresql://localhost/my-shop%202"),
            ("postgres://app@localhost", "APP_DATABASE_URL", "postgres://app@localhost"),
            ("postgres://localhost/sluice_x", "SOURCE_SLUICE_X_DATABASE_URL", "postgres://localhost/sluice_x"),
            ("postgres://localhost/2024", "SOURCE_2024_DATABASE_URL", "postgres://localhost/2024"),
            ("postgres:///shop?host=%2Ftmp&password=s3cr3t#s3cr3t", "SHOP_DATABASE_URL", "postgres:///shop"),
        ] {
            let address = postgres(url);
            assert_eq!((address.variable.as_str(), address.shown.as_str(), address.is_set), (variable, shown, false));
            let texts = format!("{:?} {}", address, Address::Postgres(address.clone()));
            assert!(!texts.contains("s3cr3t"), "{texts}");
        }
    }

    #[test]
    fn a_source_that_is_not_read_is_refused_without_its_text() {
        for (text, word) in [
            ("mysql://root:s3cr3t@localhost/shop", "`mysql://` is not read"),
            ("https://user:s3cr3t@example.com/a.csv", "secrets"),
            ("https://example.com/a.csv?token=s3cr3t", "secrets"),
            ("s3://key:s3cr3t@bucket/a", "without credentials"),
            ("postgres://app:s3cr3t@local host/shop", "no URL of a PostgreSQL server"),
            ("env:SURELY_UNSET_s3cr3t_NOT", "is not set"),
            ("/nowhere/at/all", "no file or folder"),
        ] {
            let error = Address::parse(text).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
            assert!(!error.contains("s3cr3t") || text.starts_with("env:"), "{error}");
        }
    }

    #[test]
    fn files_are_told_apart_by_their_content() {
        let dir = tempfile::tempdir().unwrap();
        let (sqlite, csv) = (dir.path().join("shop.data"), dir.path().join("shop.db"));
        fs::write(&sqlite, [SQLITE_MAGIC.as_slice(), &[0; 84]].concat()).unwrap();
        fs::write(&csv, "a,b\n1,2\n").unwrap();
        assert!(matches!(Address::parse(sqlite.to_str().unwrap()).unwrap(), Address::Sqlite(path) if path == sqlite));
        assert!(matches!(Address::parse(csv.to_str().unwrap()).unwrap(), Address::Files(_)));
        assert!(matches!(Address::parse(dir.path().to_str().unwrap()).unwrap(), Address::Files(_)));
        let names = [Address::Sqlite(sqlite), Address::Files(csv)].map(|address| address.source_name());
        assert_eq!(names, ["shop", ""]);
    }
}
