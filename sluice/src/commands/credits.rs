//! `sluice credits`: what an operator does to an account, straight in the database.

use std::time::Duration;

use chrono::{DateTime, Utc};
use entity::{
    ledger::{self, Balance, Finding},
    terms::Terms,
};
use platform::{
    bus::{Bus, BusError},
    clock::{Clock, SystemClock},
};
use protocol::{credits::CreditEntry, envelope::TraceContext, id::Owner, subject};
use sea_orm::{DatabaseConnection, TransactionTrait};
use serde::Serialize;
use serde_json::json;

use super::{CommandError, migrate};
use crate::{
    cli::{Account, AdjustOptions, AuditOptions, GrantOptions, ShowOptions},
    output,
    settings::Settings,
};

/// How long NATS may take to hear that there is something to tell.
const HINT: Duration = Duration::from_secs(3);

/// An account that does not add up, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Difference {
    tenant: String,
    sub: String,
    balance: i64,
    held: i64,
    ledger_balance: i64,
    ledger_held: i64,
    unfinished: i64,
}

impl From<&Finding> for Difference {
    fn from(f: &Finding) -> Self {
        Self {
            tenant: f.tenant.clone(),
            sub: f.user_id.clone(),
            balance: f.balance,
            held: f.held,
            ledger_balance: f.ledger_balance,
            ledger_held: f.ledger_held,
            unfinished: f.unfinished,
        }
    }
}

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
    tell(settings).await;
    print(&db, &options.account, &owner, &terms, 1).await
}

/// Corrects a balance.
///
/// # Errors
/// When it would leave less than nothing, or the database can't be reached or isn't up to date.
pub async fn adjust(options: &AdjustOptions, settings: &Settings) -> Result<(), CommandError> {
    let db = connect(settings).await?;
    let owner = owner(&options.account);
    let terms = Terms::try_from(&settings.credits)?;
    correct(&db, &owner, &terms, options.amount, &options.reason, SystemClock.now()).await?;
    tell(settings).await;
    print(&db, &options.account, &owner, &terms, 1).await
}

/// Compares all accounts with the ledger, and mends those that differ if asked to.
///
/// # Errors
/// When one differs and was not mended, or the database can't be reached or isn't up to date.
pub async fn audit(options: &AuditOptions, settings: &Settings) -> Result<(), CommandError> {
    let db = connect(settings).await?;
    let mut findings = if options.rebuild { ledger::rebuild(&db).await? } else { ledger::audit(&db).await? };
    if options.json {
        output::print_json(&findings.iter().map(Difference::from).collect::<Vec<_>>())?;
    } else {
        output::print(&report(&findings, options.rebuild))?;
    }
    if options.rebuild && !findings.is_empty() {
        tell(settings).await;
        // holds that belong to no unfinished export are more than a wrong sum
        findings = ledger::audit(&db).await?;
    }
    if findings.is_empty() { Ok(()) } else { Err(CommandError::Audit(findings.len())) }
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

async fn correct(
    db: &DatabaseConnection,
    owner: &Owner,
    terms: &Terms,
    amount: i64,
    reason: &str,
    now: DateTime<Utc>,
) -> Result<Balance, CommandError> {
    let transaction = db.begin().await?;
    let Balance { balance, .. } = ledger::reckon(&transaction, owner, terms, now).await?;
    if !ledger::adjust(&transaction, owner, amount, reason, now).await? {
        return Err(CommandError::BelowNothing { owner: owner.user.clone(), balance, amount });
    }
    transaction.commit().await?;
    Ok(ledger::read(db, owner, terms, now).await?)
}

/// Lets a notifier tell the owners at once. It finds the news by itself a little later, so nothing depends on this.
async fn tell(settings: &Settings) {
    let told = tokio::time::timeout(HINT, hint(settings)).await;
    match told {
        Ok(Ok(())) => {}
        Ok(Err(e)) => output::note(&format!("notifiers were not woken, and tell the owner a little later: {e}")),
        Err(_) => output::note("notifiers were not woken, and tell the owner a little later: NATS does not answer"),
    }
}

async fn hint(settings: &Settings) -> Result<(), BusError> {
    let bus = Bus::join(&settings.nats, "sluice-credits", &[]).await?;
    let trace = TraceContext::generate().traceparent();
    bus.publish_lossy(subject::DELIVERY_SUBMITTED.to_owned(), &trace, &json!({})).await?;
    bus.flush().await
}

fn report(findings: &[Finding], rebuilt: bool) -> String {
    if findings.is_empty() {
        return "all accounts are what the ledger says".to_owned();
    }
    let lines = findings.iter().map(|f| {
        let mended = if rebuilt { "; set to what the ledger says" } else { "" };
        format!(
            "{} of {}: {} to spend and {} held; the ledger says {} and {}, unfinished exports cost {}{mended}",
            f.user_id, f.tenant, f.balance, f.held, f.ledger_balance, f.ledger_held, f.unfinished
        )
    });
    lines.collect::<Vec<_>>().join("\n")
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

    #[tokio::test]
    async fn a_correction_below_nothing_changes_nothing() {
        let database = testkit::db::sqlite().await;
        let owner = Owner::new("acme", "alice");
        let (db, now) = (&database.db, SystemClock.now());
        let terms = Terms::try_from(&CreditsConfig::default()).unwrap();
        let refused = correct(db, &owner, &terms, -6, "too much", now).await.unwrap_err();
        assert!(refused.to_string().contains("alice has 5 to spend, which can't be changed by -6"), "{refused}");
        assert_eq!(ledger::entries(db, &owner, 10).await.unwrap(), []);
        assert_eq!(correct(db, &owner, &terms, -5, "a mistake", now).await.unwrap().balance, 0);
        assert_eq!(correct(db, &owner, &terms, 2, "another", now).await.unwrap().balance, 2);
    }

    #[tokio::test]
    async fn an_audit_fails_until_the_account_is_mended() {
        use sea_orm::ConnectionTrait;
        let database = testkit::db::sqlite().await;
        let nats = testkit::nats::NatsServer::start().await;
        let settings = Settings { database: database.config.clone(), nats: nats.config(), ..Settings::default() };
        let (options, rebuild) =
            (AuditOptions { rebuild: false, json: true }, AuditOptions { rebuild: true, json: false });
        let owner = Owner::new("acme", "alice");
        let terms = Terms::try_from(&CreditsConfig::default()).unwrap();
        let now = SystemClock.now();
        add(&database.db, &owner, &terms, 3, "sorry", now).await.unwrap();
        audit(&options, &settings).await.unwrap();
        database.db.execute_unprepared("UPDATE credit_account SET balance = 99").await.unwrap();
        assert!(matches!(audit(&options, &settings).await, Err(CommandError::Audit(1))));
        // notifiers hear of it
        let bus = nats.bus().await;
        let mut hints = bus.subscribe(subject::DELIVERY_SUBMITTED.to_owned()).await.unwrap();
        bus.flush().await.unwrap();
        audit(&rebuild, &settings).await.unwrap();
        let heard = tokio::time::timeout(testkit::DEADLINE, futures::StreamExt::next(&mut hints)).await;
        assert!(heard.unwrap().is_some());
        audit(&options, &settings).await.unwrap();
        assert_eq!(ledger::read(&database.db, &owner, &terms, now).await.unwrap().balance, 8);
    }
}
