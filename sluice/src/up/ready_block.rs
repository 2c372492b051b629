//! The ready block, which `sluice up` prints when all services are ready. The block contains the address, the users,
//! and commands to copy.

use std::{env, path::Path, time::Duration};

use gateway::{auth::local, config::LocalSignIn};
use platform::clock::{Clock, SystemClock};
use protocol::catalog::{DatasetInfo, DatasetList};
use tokio::time::{Instant, sleep};

use super::{data_dir::DataDir, settings_file::LOCAL_USERS};
use crate::{output::shell_word, settings::Settings, sign_in_link};

/// The lifetime of the token with which `sluice up` lists the datasets.
const TOKEN_TTL: Duration = Duration::from_secs(60);
/// The time for which `sluice up` waits until the gateway knows the datasets of the exporter.
const CATALOG_TIMEOUT: Duration = Duration::from_secs(5);
/// The interval at which `sluice up` lists the datasets until the gateway knows them.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// The example export that the block prints.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Example {
    /// An offered dataset, and the options of its export.
    Export { dataset: String, options: String },
    /// The installation has no catalog and offers no dataset.
    NoDataset,
    /// The installation has a catalog, but no dataset of the catalog can be read.
    NoneReadable,
    /// The datasets are unknown, or each dataset has required parameters, so the block prints no example.
    Unknown,
}

/// Returns the ready block for a gateway at `url` that is ready.
pub(super) async fn text(url: &str, dir: &DataDir, settings: &Settings, http: &reqwest::Client) -> String {
    let program = env::current_exe().map_or_else(|_| "sluice".to_owned(), |path| shortest(&path));
    let has_catalog = !settings.exporter.catalog.as_os_str().is_empty();
    let example = example(list_datasets(url, settings, http, has_catalog).await.as_deref(), has_catalog);
    if example == Example::NoDataset {
        tracing::info!("no datasets: name a source with `sluice up SOURCE` (docs/catalog.md)");
    }
    let page = (!settings.gateway.web_dir.is_empty()).then(|| page_address(url, settings));
    lines(url, &shell_word(&program), &shell_word(&dir.named().display().to_string()), &example, page.as_deref())
}

/// Returns the address of the page. If the page requires a sign-in link, the address is a new one-time link.
pub(super) fn page_address(url: &str, settings: &Settings) -> String {
    let local = &settings.gateway.identity.local;
    let link = if local.sign_in == LocalSignIn::Link { sign_in_link::create(url, local).ok() } else { None };
    link.unwrap_or_else(|| url.to_owned())
}

/// Returns the datasets that the gateway offers. Returns `None` if the request fails, for example because the settings
/// have no local identity.
async fn list_datasets(
    url: &str,
    settings: &Settings,
    http: &reqwest::Client,
    has_catalog: bool,
) -> Option<Vec<DatasetInfo>> {
    let identity = &settings.gateway.identity;
    let (user, _, tenant) = LOCAL_USERS[0];
    let (token, _) = local::sign(identity, tenant, user, "export:*", TOKEN_TTL, SystemClock.now()).ok()?;
    let give_up = Instant::now() + CATALOG_TIMEOUT;
    loop {
        let answer = http.get(format!("{url}/v1/datasets")).bearer_auth(&token).send().await.ok()?;
        let list: DatasetList = answer.error_for_status().ok()?.json().await.ok()?;
        // the exporter's advertisement may arrive after the gateway is ready
        if !list.items.is_empty() || !has_catalog || Instant::now() >= give_up {
            return Some(list.items);
        }
        sleep(POLL_INTERVAL).await;
    }
}

fn example(datasets: Option<&[DatasetInfo]>, has_catalog: bool) -> Example {
    match datasets {
        Some([]) if !has_catalog => Example::NoDataset,
        Some([]) => Example::NoneReadable,
        None => Example::Unknown,
        Some(datasets) if datasets.iter().any(|dataset| dataset.name == "flights") => Example::Export {
            dataset: "flights".into(),
            options: r#"--filter '{"origin":{"eq":"SEA"}}' -o sea.csv"#.into(),
        },
        Some(datasets) => {
            let needs_none = |dataset: &&DatasetInfo| {
                dataset.params["required"].as_array().is_none_or(|required| required.is_empty())
            };
            // under a row policy, the number of rows is unknown, and the user of the command may see none of them
            let has_rows = |dataset: &&DatasetInfo| needs_none(dataset) && dataset.rows_estimate.is_some();
            let usable = datasets.iter().find(has_rows).or_else(|| datasets.iter().find(needs_none));
            usable.map_or(Example::Unknown, |dataset| Example::Export {
                dataset: shell_word(&dataset.name),
                options: format!("-o {}", shell_word(&format!("{}.csv", dataset.name))),
            })
        }
    }
}

/// Returns a path relative to the current folder if the path is below this folder; otherwise returns the path
/// unchanged.
fn shortest(path: &Path) -> String {
    let here = env::current_dir().ok();
    let relative = here.as_deref().and_then(|here| path.strip_prefix(here).ok());
    match relative {
        // without a slash, a shell would search the PATH for the name
        Some(relative) if relative.components().count() > 1 => relative.display().to_string(),
        Some(relative) => format!("./{}", relative.display()),
        None => path.display().to_string(),
    }
}

fn lines(url: &str, program: &str, dir: &str, example: &Example, page: Option<&str>) -> String {
    let token = format!("{program} token --data-dir {dir} --sub alice --tenant acme --scope 'export:*'");
    let next = match example {
        Example::Export { dataset, options } => {
            format!("\x20 export    {program} export {dataset} --data-dir {dir} {options}\n")
        }
        Example::NoDataset => format!(
            "\x20 next      there is no dataset yet: start again with a database, a folder of files or a bucket (docs/catalog.md)\n\
             \x20           {program} up postgres://USER:PASSWORD@HOST/DB --data-dir {dir}\n\
             \x20           To try the demo, run `cargo xtask up` in Sluice's repository.\n"
        ),
        Example::NoneReadable => "\x20 next      no dataset of the catalog can be read: see the warnings above; an exporter tries again every \
                                  few seconds\n"
            .into(),
        Example::Unknown => String::new(),
    };
    let page = match page {
        Some(page) if page != url => format!(
            "\x20 open      {page}\n\
             \x20           This link works once, and signs only your browser in. Another one: {program} sign-in-link --data-dir {dir}\n\
             \x20 sign in   pick one of alice and bob (acme), carol and dave (globex); no password\n"
        ),
        Some(page) => format!("\x20 open      {page}\n"),
        None => format!(
            "\x20 API       {url}\n\
             \x20 page      none: name the folder of the built page in SLUICE_WEB_DIR and start again\n"
        ),
    };
    format!(
        "\n  Sluice is ready.\n\n\
         {page}\
         \x20 REST      curl -H \"Authorization: Bearer $({token})\" {url}/v1/datasets\n\
         {next}\
         \x20 stop      Ctrl-C; the data stays in {dir}\n"
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn dataset(name: &str, params: serde_json::Value) -> DatasetInfo {
        serde_json::from_value(json!({
            "name": name, "title": "", "description": "", "columns": [], "params": params, "templates": [],
            "formats": [], "compressions": [], "formats_info": [], "rows_estimate": null, "credits": 1,
        }))
        .unwrap()
    }

    #[test]
    fn the_printed_commands_can_be_copied() {
        let datasets = [dataset("menus", json!({})), dataset("flights", json!({}))];
        let example = example(Some(&datasets), true);
        let page = "http://127.0.0.1:8080/#sign-in=code";
        let block = lines("http://127.0.0.1:8080", "target/debug/sluice", "data", &example, Some(page));
        assert!(block.contains(&format!("open      {page}\n")), "{block}");
        assert!(block.contains("target/debug/sluice sign-in-link --data-dir data\n"), "{block}");
        assert!(block.contains(
            "curl -H \"Authorization: Bearer $(target/debug/sluice token --data-dir data --sub alice --tenant acme \
             --scope 'export:*')\" http://127.0.0.1:8080/v1/datasets\n"
        ));
        assert!(block.contains(
            "target/debug/sluice export flights --data-dir data --filter '{\"origin\":{\"eq\":\"SEA\"}}' -o sea.csv\n"
        ));
    }

    #[test]
    fn the_example_uses_a_dataset_that_is_offered_and_needs_no_parameter() {
        let with_parameter = dataset("counts", json!({"type": "object", "required": ["muscles"]}));
        let offered = [with_parameter.clone(), dataset("my orders", json!({"type": "object"}))];
        let expected = Example::Export { dataset: "'my orders'".into(), options: "-o 'my orders.csv'".into() };
        assert_eq!(example(Some(&offered), true), expected);
        // under a row policy, the user of the command may see no row, and the number of rows is unknown
        let hidden = dataset("hidden", json!({}));
        let counted = DatasetInfo { rows_estimate: Some(1), ..dataset("counted", json!({})) };
        let Example::Export { dataset: name, .. } = example(Some(&[hidden, counted]), true) else {
            panic!("an example")
        };
        assert_eq!(name, "counted");
        assert_eq!(example(Some(&[with_parameter]), true), Example::Unknown);
        assert_eq!(example(None, false), Example::Unknown);
        assert_eq!(example(Some(&[]), true), Example::NoneReadable);
    }

    #[test]
    fn an_installation_without_a_dataset_or_page_names_the_next_step() {
        assert_eq!(example(Some(&[]), false), Example::NoDataset);
        let block = lines("http://127.0.0.1:8080", "sluice", "data", &Example::NoDataset, None);
        assert!(block.contains("sluice up postgres://USER:PASSWORD@HOST/DB --data-dir data\n"), "{block}");
        assert!(!block.contains("sluice export"), "{block}");
        assert!(block.contains("SLUICE_WEB_DIR") && !block.contains("open"), "{block}");
    }
}
