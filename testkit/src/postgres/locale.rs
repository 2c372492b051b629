//! Starts a PostgreSQL server with a locale in which money is not written as in the locale `C`.

use std::{
    env,
    fmt::Write as _,
    fs,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

use super::{FAST, Postgres, Server, cluster, folder_of, programs, unprivileged};

/// The source of the locale. It has only the category that PostgreSQL reads for values of the type `money`.
const EURO: &str = r#"LC_MONETARY
int_curr_symbol "EUR "
currency_symbol "<U20AC>"
mon_decimal_point ","
mon_thousands_sep "."
mon_grouping 3;3
positive_sign ""
negative_sign "-"
int_frac_digits 2
frac_digits 2
p_cs_precedes 0
p_sep_by_space 1
n_cs_precedes 0
n_sep_by_space 1
p_sign_posn 1
n_sign_posn 1
END LC_MONETARY
"#;

impl Postgres {
    /// The name of the locale of [`Self::start_with_euros`], for the setting `lc_monetary`. It writes 1234.5 as
    /// `1.234,50 €`.
    pub const EURO_LOCALE: &str = "euro";

    /// Starts a server that has the locale [`Self::EURO_LOCALE`] besides those of this machine.
    ///
    /// # Panics
    /// When PostgreSQL is not installed or does not start, or `localedef` of the C library makes no locale.
    pub async fn start_with_euros() -> Self {
        match tokio::task::spawn_blocking(Server::start_with_euros).await {
            Ok(server) => Self { server: Arc::new(server) },
            Err(e) => std::panic::resume_unwind(e.into_panic()),
        }
    }
}

impl Server {
    fn start_with_euros() -> Self {
        let user = unprivileged();
        let dir = folder_of(user.as_ref(), &env::temp_dir());
        let (data, locales) = (dir.path().join("data"), dir.path().join("locales"));
        cluster::create(&programs(), user.as_ref(), &data);
        compile(dir.path(), &locales);
        Self::launched(data, Some(dir), None, &FAST, Some(locales))
    }
}

/// Compiles the locale into the folder `locales`. `scratch` is a folder for the source files.
fn compile(scratch: &Path, locales: &Path) {
    let (source, charmap) = (scratch.join("euro"), scratch.join("charmap"));
    fs::create_dir(locales).expect("the temporary folder is writable");
    fs::write(&source, EURO).expect("the temporary folder is writable");
    fs::write(&charmap, characters()).expect("the temporary folder is writable");
    // the machine may lack the sources of other locales, so the other categories are incomplete, which is a warning
    let mut localedef = Command::new("localedef");
    localedef.arg("-c").arg("-i").arg(&source).arg("-f").arg(&charmap).arg(locales.join(Postgres::EURO_LOCALE));
    let output = localedef.stdin(Stdio::null()).output().unwrap_or_else(|e| panic!("can't start localedef: {e}"));
    let made = locales.join(Postgres::EURO_LOCALE).join("LC_MONETARY");
    assert!(made.is_file(), "localedef made no locale:\n{}", String::from_utf8_lossy(&output.stderr));
}

/// Returns the character map of the locale: ASCII and the euro sign in UTF-8.
fn characters() -> String {
    let mut map = "<code_set_name> UTF-8\n<mb_cur_max> 3\n<comment_char> %\n<escape_char> /\nCHARMAP\n".to_owned();
    for byte in 0..128 {
        writeln!(map, "<U{byte:04X}> /x{byte:02x} X").expect("a String takes all text");
    }
    map + "<U20AC> /xe2/x82/xac EURO\nEND CHARMAP\n"
}
