//! The one block that a person reads: where it is, how to sign in, and two lines that work as printed.

use std::{env, path::Path};

use super::data_dir::DataDir;
use crate::output::shell_word;

pub(super) fn text(url: &str, dir: &DataDir) -> String {
    let program = env::current_exe().map_or_else(|_| "sluice".to_owned(), |path| shortest(&path));
    let dataset = dir.datasets().join("flights.parquet").is_file().then_some("flights");
    lines(url, &shell_word(&program), &shell_word(&dir.named().display().to_string()), dataset.is_some())
}

/// A path as it is, or from the current folder where that is shorter.
fn shortest(path: &Path) -> String {
    let here = env::current_dir().ok();
    let relative = here.as_deref().and_then(|here| path.strip_prefix(here).ok());
    match relative {
        // a bare name would be looked up on the PATH
        Some(relative) if relative.components().count() > 1 => relative.display().to_string(),
        Some(relative) => format!("./{}", relative.display()),
        None => path.display().to_string(),
    }
}

fn lines(url: &str, program: &str, dir: &str, flights: bool) -> String {
    let export = if flights {
        format!(r#"{program} export flights --data-dir {dir} --filter '{{"origin":{{"eq":"SEA"}}}}' -o sea.csv"#)
    } else {
        format!(
            r#"{program} export menu_category_counts --data-dir {dir} --param 'muscles=["muscle1","muscle2"]' -o counts.csv"#
        )
    };
    let token = format!("{program} token --data-dir {dir} --sub alice --tenant acme --scope 'export:*'");
    format!(
        "\n  Sluice is ready.\n\n\
         \x20 open      {url}\n\
         \x20 sign in   pick one of alice and bob (acme), carol and dave (globex); no password, this machine only\n\
         \x20 REST      curl -H \"Authorization: Bearer $({token})\" {url}/v1/datasets\n\
         \x20 export    {export}\n\
         \x20 stop      Ctrl-C; the data stays in {dir}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_can_be_copied() {
        let block = lines("http://127.0.0.1:8080", "target/debug/sluice", "data", true);
        assert!(block.contains(
            "curl -H \"Authorization: Bearer $(target/debug/sluice token --data-dir data --sub alice --tenant acme \
             --scope 'export:*')\" http://127.0.0.1:8080/v1/datasets\n"
        ));
        assert!(block.contains(
            "target/debug/sluice export flights --data-dir data --filter '{\"origin\":{\"eq\":\"SEA\"}}' -o sea.csv\n"
        ));
    }
}
