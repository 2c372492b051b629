//! `sluice backup`: makes backups by hand, lists them, and reads them whole.

use notifier::backup::{self, BackupConfig, Report, SettingsText, Source, Unlock};
use platform::{
    bus::Bus,
    clock::SystemClock,
    secret::{Secret, exposed, is_hidden},
    store::FileStore,
};

use super::{CommandError, migrate};
use crate::{
    cli::{BackupCommand, BackupOptions, Keys, Place, VerifyOptions},
    output::{self, grouped},
    settings::Settings,
    up::Alone,
};

/// Does what the options say. A data folder whose `sluice up` does not run gets its nats-server for as long as that
/// takes.
///
/// # Errors
/// When a setting can't work, something can't be reached, or a backup is damaged.
pub async fn run(options: &BackupOptions, place: &Place) -> Result<(), CommandError> {
    match &options.command {
        None => {
            let alone = match &place.data_dir {
                Some(dir) => Alone::unless_running(dir).await?,
                None => None,
            };
            let made = make(options, &place.load()?).await;
            if let Some(alone) = alone {
                alone.stop().await;
            }
            made
        }
        Some(BackupCommand::List) => list(options, &place.load()?).await,
        Some(BackupCommand::Verify(verify)) => check(options, verify, &place.load()?).await,
    }
}

/// The `[backup]` settings with the destination of the command line.
pub(super) fn config(settings: &Settings, to: Option<&String>) -> BackupConfig {
    let mut config = settings.backup.clone();
    if let Some(to) = to {
        config.to.clone_from(to);
    }
    config
}

/// What opens a backup: the files of the command line, or the passphrase of the settings.
pub(super) fn unlock(keys: &Keys, config: &BackupConfig) -> Unlock {
    let of_settings = Some(&config.passphrase_file).filter(|file| !file.is_empty()).map(Into::into);
    Unlock { identities: keys.identity.clone(), passphrase: keys.passphrase_file.clone().or(of_settings) }
}

async fn make(options: &BackupOptions, settings: &Settings) -> Result<(), CommandError> {
    let config = config(settings, options.to.as_ref());
    // before anything is connected to
    config.validate()?;
    config.destination()?;
    let db = platform::db::connect(&settings.database).await?;
    migrate::check(&db).await?;
    let source = Source {
        config,
        db,
        database: settings.database.clone(),
        bus: Bus::connect(&settings.nats, "sluice-backup").await.map_err(backup::BackupError::from)?,
        store: FileStore::open(&settings.store).map_err(backup::BackupError::from)?,
        clock: SystemClock::shared(),
        settings: text(settings)?,
    };
    // The schedule is about the place of the settings: what goes elsewhere is nobody's nightly backup.
    let report = if source.config.to == settings.backup.to {
        backup::by_hand(&source).await?
    } else {
        backup::aside(&source).await?
    };
    if options.json {
        output::print_json(&report)?
    } else {
        output::print(&told(&report))?
    }
    if report.contents.lost.is_empty() {
        return Ok(());
    }
    Err(CommandError::Lost(report.contents.lost.join(", ")))
}

fn told(report: &Report) -> String {
    let (manifest, contents) = (&report.manifest, &report.contents);
    let counts = &contents.counts;
    let parts: u64 = manifest.parts.iter().map(|part| part.size).sum();
    let mut lines = vec![
        format!("backup {} made in {:.1} s", manifest.id, report.took_ms as f64 / 1000.0),
        format!("  exports         {} ({} unfinished)", grouped(counts.exports), grouped(counts.unfinished)),
        format!("  ledger entries  {} of {} accounts", grouped(counts.ledger_entries), grouped(counts.accounts)),
        format!("  files           {} with {} bytes", grouped(counts.files), grouped(counts.bytes)),
        format!("  new objects     {} of {}", grouped(report.new_objects), grouped(counts.objects)),
        format!("  messages        {} outcomes, {} dead letters", grouped(counts.outcomes), grouped(counts.dead)),
        format!("  stored          {} bytes, and {} of files", grouped(parts), grouped(manifest.pool_bytes)),
        format!("  encrypted       {}", if manifest.encrypted { "yes" } else { "no" }),
    ];
    if !contents.secrets_left_out.is_empty() {
        lines.push(format!("  left out        the secrets {}", contents.secrets_left_out.join(", ")));
    }
    if contents.left_out > 0 {
        lines.push(format!("  left out        {} files that ended meanwhile", grouped(contents.left_out)));
    }
    for id in &report.pruned.backups {
        lines.push(format!("  deleted         {id}"));
    }
    if let Some(why) = &report.pruned.failed {
        lines.push(format!("  old backups can't be deleted: {why}"));
    }
    lines.join("\n")
}

async fn list(options: &BackupOptions, settings: &Settings) -> Result<(), CommandError> {
    let found = backup::list(&config(settings, options.to.as_ref()).destination()?).await?;
    if options.json {
        return Ok(output::print_json(&found)?);
    }
    let lines = found.iter().map(|found| match &found.manifest {
        None => format!("{}  not whole", found.id),
        Some(manifest) => {
            let parts: u64 = manifest.parts.iter().map(|part| part.size).sum();
            let lock = if manifest.encrypted { "encrypted" } else { "plain" };
            let (parts, pool) = (grouped(parts), grouped(manifest.pool_bytes));
            format!("{}  {lock:9}  {parts:>16} bytes  {pool:>16} of files", found.id)
        }
    });
    Ok(output::print(&lines.collect::<Vec<_>>().join("\n"))?)
}

async fn check(options: &BackupOptions, verify: &VerifyOptions, settings: &Settings) -> Result<(), CommandError> {
    let config = config(settings, options.to.as_ref());
    let unlock = unlock(&verify.keys, &config);
    let opens = !unlock.identities.is_empty() || unlock.passphrase.is_some();
    let destination = config.destination()?;
    let verified = backup::verify(&destination, &config, &verify.id, opens.then_some(&unlock)).await?;
    if options.json {
        return Ok(output::print_json(&verified)?);
    }
    let (parts, objects, bytes) = (verified.parts, grouped(verified.objects), grouped(verified.bytes));
    Ok(output::print(&format!(
        "{} is whole: {parts} parts and {objects} objects of files, {bytes} bytes",
        verified.id
    ))?)
}

/// The effective settings as a backup keeps them.
///
/// # Errors
/// When they can't be written as TOML.
pub fn text(settings: &Settings) -> Result<SettingsText, toml::ser::Error> {
    let mut hidden = toml::Value::try_from(settings)?;
    let mut secrets = vec![];
    take_hidden(&mut hidden, "", &mut secrets);
    Ok(SettingsText {
        without_secrets: toml::to_string(&hidden)?,
        with_secrets: Secret::new(exposed(|| toml::to_string(settings))?),
        secrets,
    })
}

/// Takes hidden secrets out of a table, and notes their names.
fn take_hidden(value: &mut toml::Value, name: &str, secrets: &mut Vec<String>) {
    let dotted = |key: &str| if name.is_empty() { key.to_owned() } else { format!("{name}.{key}") };
    match value {
        toml::Value::Table(table) => {
            table.retain(|key, value| {
                let hidden = value.as_str().is_some_and(is_hidden);
                if hidden {
                    secrets.push(dotted(key));
                }
                !hidden
            });
            for (key, value) in table.iter_mut() {
                take_hidden(value, &dotted(key), secrets);
            }
        }
        toml::Value::Array(values) => {
            for (n, value) in values.iter_mut().enumerate() {
                take_hidden(value, &dotted(&n.to_string()), secrets);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use platform::config::load_layers;

    use super::*;

    #[test]
    fn secrets_are_left_out_and_named_and_kept_where_they_may_be() {
        let mut settings = Settings::default();
        settings.nats.password = Secret::new("hunter2");
        settings.gateway.identity.local.secret = Secret::new("hunter3");
        settings.backup.keep_daily = 9;
        let text = text(&settings).unwrap();
        assert!(!text.without_secrets.contains("hunter") && !text.without_secrets.contains("***"));
        let mut named = text.secrets.clone();
        named.sort();
        assert_eq!(named, ["database.url", "gateway.identity.local.secret", "nats.password"]);
        for (toml, password) in [(text.without_secrets.as_str(), ""), (text.with_secrets.expose(), "hunter2")] {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), toml).unwrap();
            let again: Settings = load_layers([file.path()]).unwrap();
            assert_eq!((again.nats.password.expose(), again.backup.keep_daily), (password, 9));
        }
    }
}
