//! `sluice restore`: a backup into an empty installation.

use std::io::{BufRead, IsTerminal};

use notifier::backup::{self, BackupError, RestorePlan, Restored, Target, Verified};
use platform::{
    bus::Bus,
    clock::{Clock, SystemClock},
};

use super::{
    CommandError,
    backup::{config, unlock},
};
use crate::{
    cli::{Place, RestoreOptions},
    output::{self, grouped},
    settings::Settings,
    up::Alone,
};

/// Restores. Into a data folder of `sluice up`, it needs nothing but the folder.
///
/// # Errors
/// When the backup is damaged, the target isn't empty, or what was restored isn't what the backup held.
pub async fn run(options: &RestoreOptions, place: &Place) -> Result<(), CommandError> {
    // claims the folder: its services must not run
    let alone = match &place.data_dir {
        Some(dir) => Some(Alone::start(dir).await?),
        None => None,
    };
    let restored = restore(options, &place.load()?).await;
    if let Some(alone) = alone {
        alone.stop().await;
    }
    restored
}

async fn restore(options: &RestoreOptions, settings: &Settings) -> Result<(), CommandError> {
    let config = config(settings, Some(&options.from));
    let unlock = unlock(&options.keys, &config);
    if !options.yes {
        ask(options, settings).await?;
    }
    let bus = Bus::connect(&settings.nats, "sluice-restore").await.map_err(BackupError::from)?;
    let target = Target::new(&settings.database, &settings.store, bus)?;
    let now = SystemClock.now();
    let plan = RestorePlan { config, id: options.id.clone(), unlock, again: options.force, now };
    let restored = backup::restore(&plan, &target).await?;
    if options.json {
        output::print_json(&restored)?
    } else {
        output::print(&told(&restored))?
    }
    Ok(())
}

/// Asks a person whether this is what they want.
async fn ask(options: &RestoreOptions, settings: &Settings) -> Result<(), CommandError> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(CommandError::NotAsked);
    }
    let config = config(settings, Some(&options.from));
    let Verified { id, bytes, .. } = backup::verify(&config.destination()?, &config, &options.id, None).await?;
    output::note(&format!(
        "{id} is whole ({} bytes). It will be restored into the database, the streams and the file store {}. Go on? [y/N]",
        grouped(bytes),
        settings.store.url
    ));
    let answer = tokio::task::spawn_blocking(move || {
        let mut line = String::new();
        stdin.lock().read_line(&mut line).map(|_| line)
    });
    let answer = answer.await.map_err(|e| CommandError::Print(std::io::Error::other(e)))??;
    if matches!(answer.trim(), "y" | "Y" | "yes") { Ok(()) } else { Err(CommandError::NotAsked) }
}

fn told(restored: &Restored) -> String {
    let counts = &restored.contents.counts;
    let sound = match restored.unbalanced {
        0 => "they add up".to_owned(),
        n => format!("{n} do not add up, and did not in the backup: see sluice credits audit --rebuild"),
    };
    let mut lines = vec![
        format!("restored {}, taken at {}", restored.id, restored.contents.taken_at),
        format!("  exports         {} (as many as the backup held)", grouped(counts.exports)),
        format!(
            "  ledger entries  {} of {} accounts; {sound}",
            grouped(counts.ledger_entries),
            grouped(counts.accounts)
        ),
        format!("  files           {}: {} objects read back", grouped(counts.files), grouped(restored.objects_proven)),
        format!("  messages        {} outcomes, {} dead letters", grouped(counts.outcomes), grouped(counts.dead)),
        format!(
            "  go on by themselves once the services run: {} waiting, {} running",
            restored.queued, restored.revived
        ),
    ];
    if restored.redone > 0 {
        lines.push(format!("  {} outcomes are made again, as their files are not in the backup", restored.redone));
    }
    if restored.expired > 0 {
        lines.push(format!("  {} files are not in the backup; they expire now", grouped(restored.expired)));
    }
    if restored.steps_applied > 0 {
        lines.push(format!("  {} steps of the schema were applied", restored.steps_applied));
    }
    if !restored.contents.secrets_left_out.is_empty() {
        lines.push(format!("  not in its settings: {}", restored.contents.secrets_left_out.join(", ")));
    }
    lines.join("\n")
}
