//! `sluice restore`: restores a backup into an empty installation.

use std::io::{BufRead, IsTerminal};

use ::backup::{BackupError, RestorePlan, Restored, Target, Verified};
use platform::{
    bus::Bus,
    clock::{Clock, SystemClock},
};

use super::{
    CommandError,
    backup::{backup_config, key_files},
};
use crate::{
    cli::{RestoreOptions, SettingsFiles},
    output::{self, grouped},
    settings::Settings,
    up::StandaloneNats,
};

/// Restores a backup. For a data folder, starts the nats-server of the folder for the duration of the restore.
///
/// # Errors
/// When the backup is damaged, the target isn't empty, or the restored data differs from the backup.
pub async fn run(options: &RestoreOptions, files: &SettingsFiles) -> Result<(), CommandError> {
    // this fails if `sluice up` runs on the folder
    let nats = match &files.data_dir {
        Some(dir) => Some(StandaloneNats::start(dir).await?),
        None => None,
    };
    let restored = restore(options, &files.load()?).await;
    if let Some(nats) = nats {
        nats.stop().await;
    }
    restored
}

async fn restore(options: &RestoreOptions, settings: &Settings) -> Result<(), CommandError> {
    let config = backup_config(settings, Some(&options.from));
    let key_files = key_files(&options.keys, &config);
    if !options.yes {
        confirm(options, settings).await?;
    }
    let bus = Bus::connect(&settings.nats, "sluice-restore").await.map_err(BackupError::from)?;
    let target = Target::new(&settings.database, &settings.store, bus)?;
    let now = SystemClock.now();
    let plan = RestorePlan { config, id: options.id.clone(), key_files, restart: options.force, now };
    let restored = ::backup::restore(&plan, &target).await?;
    if options.json {
        output::print_json(&restored)?
    } else {
        output::print(&summary(&restored))?
    }
    Ok(())
}

/// Asks the user for confirmation on the terminal.
async fn confirm(options: &RestoreOptions, settings: &Settings) -> Result<(), CommandError> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(CommandError::NotConfirmed);
    }
    let config = backup_config(settings, Some(&options.from));
    let Verified { id, bytes, .. } = ::backup::verify(&config.open_destination()?, &config, &options.id, None).await?;
    output::note(&format!(
        "{id} is complete ({} bytes). Restore it into the database, the streams and the file store {}? [y/N]",
        grouped(bytes),
        settings.store.url
    ));
    let answer = tokio::task::spawn_blocking(move || {
        let mut line = String::new();
        stdin.lock().read_line(&mut line).map(|_| line)
    });
    let answer = answer.await.map_err(|e| CommandError::Print(std::io::Error::other(e)))??;
    if matches!(answer.trim(), "y" | "Y" | "yes") { Ok(()) } else { Err(CommandError::NotConfirmed) }
}

fn summary(restored: &Restored) -> String {
    let counts = &restored.contents.counts;
    let balances = match restored.unbalanced {
        0 => "equal to the ledger".to_owned(),
        n => format!("{n} differ from the ledger, as in the backup: run sluice credits audit --rebuild"),
    };
    let mut lines = vec![
        format!("restored {}, a snapshot of {}", restored.id, restored.contents.snapshot_at),
        format!("  exports         {} (as many as in the backup)", grouped(counts.exports)),
        format!(
            "  ledger entries  {} of {} accounts; {balances}",
            grouped(counts.ledger_entries),
            grouped(counts.accounts)
        ),
        format!(
            "  files           {}: {} objects read back",
            grouped(counts.files),
            grouped(restored.objects_verified)
        ),
        format!(
            "  messages        {} outcomes, {} dead letters",
            grouped(counts.outcomes),
            grouped(counts.dead_letters)
        ),
        format!("  continue once the services run: {} queued, {} running", restored.queued, restored.resumed),
    ];
    if restored.dropped_outcomes > 0 {
        lines.push(format!("  {} exports run again, as their files are not in the backup", restored.dropped_outcomes));
    }
    if restored.expired > 0 {
        lines.push(format!("  {} files are not in the backup; their exports expire now", grouped(restored.expired)));
    }
    if restored.migrations_applied > 0 {
        lines.push(format!("  {} migrations were applied", restored.migrations_applied));
    }
    if !restored.contents.omitted_secrets.is_empty() {
        lines.push(format!("  secrets that its settings omit: {}", restored.contents.omitted_secrets.join(", ")));
    }
    lines.join("\n")
}
