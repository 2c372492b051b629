//! Opens the page in the browser of the user who runs `sluice up --open`.

use std::{io, process::Stdio};

use tokio::process::Command;

use super::{
    data_dir::{DataDir, write_private},
    error::UpError,
};

/// The command that opens a file in the user's default program for this type of file.
const OPENER: &str = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };

/// Opens `link` in the browser. Other users of the machine can read the arguments of every process, so the argument is
/// not the link but a private file that redirects to the link.
///
/// # Errors
/// When the file can't be written, or no program can open it.
pub(super) async fn open(link: &str, dir: &DataDir) -> Result<(), UpError> {
    let file = dir.sign_in_page();
    write_private(&file, &redirect(link))?;
    let opener = Command::new(OPENER)
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .await
        .and_then(|status| if status.success() { Ok(()) } else { Err(io::Error::other(status.to_string())) });
    opener.map_err(|source| UpError::NoBrowser { program: OPENER, source })
}

fn redirect(link: &str) -> String {
    let link = link.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;");
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Sluice</title>\
         <meta http-equiv=\"refresh\" content=\"0; url={link}\"><p><a href=\"{link}\">Sign in</a></p></html>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_redirects_to_the_link_and_nowhere_else() {
        let page = redirect("http://127.0.0.1:8080/#sign-in=a\"><script>&");
        assert!(page.contains("content=\"0; url=http://127.0.0.1:8080/#sign-in=a&quot;>&lt;script>&amp;\""), "{page}");
        assert!(!page.contains("<script>"), "{page}");
    }
}
