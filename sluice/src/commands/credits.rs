//! `sluice credits`: what an operator does to an account, straight in the database.

use chrono::{DateTime, Utc};
use entity::{
    ledger::{self, Balance},
    terms::Terms,
};
use platform::clock::{Clock, SystemClock};
use protocol::{credits::CreditEntry, id::Owner};
use sea_orm::{DatabaseConnection, TransactionTrait};
use serde::Serialize;

use super::{CommandError, migrate};
use crate::{
    cli::{Account, GrantOptions, ShowOptions},
    output,
    settings::Settings,
};

#[derive(Debug, Serialize)]
struct View {
    tenant: String,
    sub: String,
    balance: i64,
    held: i64,
    entries: Vec<CreditEntry>,
}

/// Adds credits. A new account gets its opening balance first, as it would at its first sign of life.
///
/// # Errors
/// When the database can't be reached or isn't up to date.
pub async fn grant(options: &GrantOptions, settings: &Settings) -> Result<(), CommandError> {
    let db = connect(settings).await?;
    let owner = owner(&options.account);
    let terms = Terms::try_from(&settings.credits)?;
    add(&db, &owner, &terms, options.amount, &options.reason, SystemClock.now()).await?;
    print(&db, &options.account, &owner, &terms, 1).await
}

/// Prints an account.
///
/// # Errors
/// When the database can't be reached or isn't up to date.
pub async fn show(options: &ShowOptions, settings: &Settings) -> Result<(), CommandError> {
    let db = connect(settings).await?;
    let terms = Terms::try_from(&settings.credits)?;
    print(&db, &options.account, &owner(&options.account), &terms, options.limit).await
}

async fn add(
    db: &DatabaseConnection,
    owner: &Owner,
    terms: &Terms,
    amount: i64,
    reason: &str,
    now: DateTime<Utc>,
) -> Result<Balance, CommandError> {
    let transaction = db.begin().await?;
    ledger::reckon(&transaction, owner, terms, now).await?;
    ledger::grant(&transaction, owner, amount, reason, now).await?;
    transaction.commit().await?;
    Ok(ledger::read(db, owner, terms, now).await?)
}

async fn print(
    db: &DatabaseConnection,
    account: &Account,
    owner: &Owner,
    terms: &Terms,
    limit: u64,
) -> Result<(), CommandError> {
    let Balance { balance, held } = ledger::read(db, owner, terms, SystemClock.now()).await?;
    let entries = ledger::entries(db, owner, limit).await?;
    let view = View { tenant: owner.tenant.clone(), sub: owner.user.clone(), balance, held, entries };
    if account.json {
        output::print_json(&view)?;
    } else {
        output::print(&text(&view))?;
    }
    Ok(())
}

fn text(view: &View) -> String {
    let mut lines = vec![format!("{} of {}: {} to spend, {} held", view.sub, view.tenant, view.balance, view.held)];
    lines.extend(view.entries.iter().map(|entry| {
        let export = entry.export_id.map(|id| format!("  {id}")).unwrap_or_default();
        format!("{}  {:>+4}  {:<10}  {}{export}", entry.at, entry.amount, entry.kind.as_str(), entry.reason)
    }));
    lines.join("\n")
}

async fn connect(settings: &Settings) -> Result<DatabaseConnection, CommandError> {
    let db = platform::db::connect(&settings.database).await?;
    migrate::check(&db).await?;
    Ok(db)
}

fn owner(account: &Account) -> Owner {
    Owner::new(&account.tenant, &account.sub)
}

#[cfg(test)]
mod tests {
    use entity::terms::CreditsConfig;

    use super::*;

    #[tokio::test]
    async fn a_grant_opens_the_account_and_stands_in_the_ledger() {
        let database = testkit::db::sqlite().await;
        let owner = Owner::new("acme", "alice");
        let now = SystemClock.now();
        let terms = Terms::try_from(&CreditsConfig::default()).unwrap();
        assert_eq!(add(&database.db, &owner, &terms, 3, "sorry", now).await.unwrap().balance, 8);
        assert_eq!(add(&database.db, &owner, &terms, 1, "again", now).await.unwrap().balance, 9);
        let entries = ledger::entries(&database.db, &owner, 10).await.unwrap();
        assert_eq!(entries.iter().map(|e| e.amount).sum::<i64>(), 9);
        let view = View { tenant: "acme".into(), sub: "alice".into(), balance: 9, held: 0, entries };
        assert!(text(&view).starts_with("alice of acme: 9 to spend, 0 held\n"), "{}", text(&view));
    }
}
