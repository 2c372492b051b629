//! `sluice backup`: creates, lists and verifies backups.

use ::backup::{BackupConfig, BackupError, KeyFiles, Report, Source};
use platform::{bus::Bus, clock::DatabaseClock, store::FileStore};

use super::CommandError;
use crate::{
    cli::{BackupCommand, BackupOptions, Keys, SettingsFiles, VerifyOptions},
    output::{self, grouped},
    schema,
    settings::Settings,
    settings_text::settings_text,
    up::StandaloneNats,
};

/// Runs the subcommand, or creates a backup if there is no subcommand. A backup of a data folder needs the nats-server
/// of the folder. If no `sluice up` runs on the folder, starts this server for the duration of the backup.
///
/// # Errors
/// When a setting is invalid, a server can't be reached, a backup is damaged, or the file store has lost objects.
pub async fn run(options: &BackupOptions, files: &SettingsFiles) -> Result<(), CommandError> {
    match &options.command {
        None => {
            let nats = match &files.data_dir {
                Some(dir) => StandaloneNats::start_unless_running(dir).await?,
                None => None,
            };
            let created = create(options, &files.load()?).await;
            if let Some(nats) = nats {
                nats.stop().await;
            }
            created
        }
        Some(BackupCommand::List) => list(options, &files.load()?).await,
        Some(BackupCommand::Verify(of_backup)) => verify(options, of_backup, &files.load()?).await,
    }
}

/// Returns the `[backup]` settings with the destination of the command line.
pub(super) fn backup_config(settings: &Settings, destination: Option<&String>) -> BackupConfig {
    let mut config = settings.backup.clone();
    if let Some(destination) = destination {
        config.destination.clone_from(destination);
    }
    config
}

/// Returns the keys that decrypt a backup: the identities and the passphrase file of the command line. If the command
/// line names no passphrase file, uses the passphrase file of the settings.
pub(super) fn key_files(keys: &Keys, config: &BackupConfig) -> KeyFiles {
    let configured = Some(&config.passphrase_file).filter(|file| !file.is_empty()).map(Into::into);
    KeyFiles { identities: keys.identity.clone(), passphrase: keys.passphrase_file.clone().or(configured) }
}

async fn create(options: &BackupOptions, settings: &Settings) -> Result<(), CommandError> {
    let config = backup_config(settings, options.to.as_ref());
    // report invalid settings before connecting
    config.validate()?;
    config.open_destination()?;
    let db = platform::db::connect(&settings.database).await?;
    schema::check(&db).await?;
    let clock = DatabaseClock::follow(&db).await;
    let source = Source {
        config,
        db,
        database: settings.database.clone(),
        bus: Bus::connect(&settings.nats, "sluice-backup").await.map_err(BackupError::from)?,
        store: FileStore::open(&settings.store).map_err(BackupError::from)?,
        clock,
        settings: settings_text(settings)?,
    };
    // only a backup to the configured destination is recorded as a run of the scheduled job
    let report = if source.config.destination == settings.backup.destination {
        notifier::run_backup_job(&source).await?
    } else {
        notifier::run_ad_hoc_backup(&source).await?
    };
    if options.json {
        output::print_json(&report)?
    } else {
        output::print(&summary(&report))?
    }
    if report.contents.lost_objects.is_empty() {
        return Ok(());
    }
    Err(CommandError::LostObjects(report.contents.lost_objects.join(", ")))
}

fn summary(report: &Report) -> String {
    let (manifest, contents) = (&report.manifest, &report.contents);
    let counts = &contents.counts;
    let parts: u64 = manifest.parts.iter().map(|part| part.size).sum();
    let mut lines = vec![
        format!("backup {} created in {:.1} s", manifest.id, report.duration_ms as f64 / 1000.0),
        format!("  exports         {} ({} unfinished)", grouped(counts.exports), grouped(counts.unfinished)),
        format!("  ledger entries  {} of {} accounts", grouped(counts.ledger_entries), grouped(counts.accounts)),
        format!("  files           {} with {} bytes", grouped(counts.files), grouped(counts.bytes)),
        format!("  new objects     {} of {}", grouped(report.new_objects), grouped(counts.objects)),
        format!(
            "  messages        {} outcomes, {} dead letters",
            grouped(counts.outcomes),
            grouped(counts.dead_letters)
        ),
        format!("  stored          {} bytes, and {} of files", grouped(parts), grouped(manifest.pool_bytes)),
        format!("  encrypted       {}", if manifest.encrypted { "yes" } else { "no" }),
    ];
    if !contents.omitted_secrets.is_empty() {
        lines.push(format!("  omitted         the secrets {}", contents.omitted_secrets.join(", ")));
    }
    if contents.ended_exports > 0 {
        let ended = grouped(contents.ended_exports);
        lines.push(format!("  omitted         the files of {ended} exports that ended during the backup"));
    }
    for id in &report.pruned.backups {
        lines.push(format!("  deleted         {id}"));
    }
    if let Some(error) = &report.pruned.error {
        lines.push(format!("  failed to delete old backups: {error}"));
    }
    lines.join("\n")
}

async fn list(options: &BackupOptions, settings: &Settings) -> Result<(), CommandError> {
    let listed = ::backup::list(&backup_config(settings, options.to.as_ref()).open_destination()?).await?;
    if options.json {
        return Ok(output::print_json(&listed)?);
    }
    let lines = listed.iter().map(|listed| match &listed.manifest {
        None => format!("{}  incomplete", listed.id),
        Some(manifest) => {
            let parts: u64 = manifest.parts.iter().map(|part| part.size).sum();
            let encryption = if manifest.encrypted { "encrypted" } else { "plain" };
            let (parts, pool) = (grouped(parts), grouped(manifest.pool_bytes));
            format!("{}  {encryption:9}  {parts:>16} bytes  {pool:>16} of files", listed.id)
        }
    });
    Ok(output::print(&lines.collect::<Vec<_>>().join("\n"))?)
}

async fn verify(options: &BackupOptions, of_backup: &VerifyOptions, settings: &Settings) -> Result<(), CommandError> {
    let config = backup_config(settings, options.to.as_ref());
    let key_files = key_files(&of_backup.keys, &config);
    let has_key = !key_files.identities.is_empty() || key_files.passphrase.is_some();
    let destination = config.open_destination()?;
    let verified = ::backup::verify(&destination, &config, &of_backup.id, has_key.then_some(&key_files)).await?;
    if options.json {
        return Ok(output::print_json(&verified)?);
    }
    let (parts, objects, bytes) = (verified.parts, grouped(verified.objects), grouped(verified.bytes));
    Ok(output::print(&format!(
        "{} is complete and undamaged: {parts} parts and {objects} objects of files, {bytes} bytes",
        verified.id
    ))?)
}
