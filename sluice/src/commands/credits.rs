//! `sluice credits`: shows and changes accounts in the database, without a running service.

use std::time::Duration;

use chrono::{DateTime, Utc};
use entity::{
    credit_policy::CreditPolicy,
    ledger::{self, AccountDifference, Balance},
};
use platform::{
    bus::{Bus, BusError},
    clock,
};
use protocol::{credits::CreditEntry, envelope::TraceContext, id::Owner, subject};
use sea_orm::{DatabaseConnection, TransactionTrait};
use serde::Serialize;
use serde_json::json;

use super::CommandError;
use crate::{
    cli::{Account, AdjustOptions, AuditOptions, GrantOptions, ShowOptions},
    output, schema,
    settings::Settings,
};

/// The time limit for sending a message to the notifiers over NATS.
const NOTIFY_TIMEOUT: Duration = Duration::from_secs(3);

/// An account that differs from the ledger, as `--json` prints it.
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

impl From<&AccountDifference> for Difference {
    fn from(f: &AccountDifference) -> Self {
        Self {
            tenant: f.tenant.clone(),
            sub: f.user_id.clone(),
            balance: f.balance,
            held: f.held,
            ledger_balance: f.ledger_balance,
            ledger_held: f.ledger_held,
            unfinished: f.unfinished_price,
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

/// Adds credits to an account. A new account receives its initial balance first.
///
/// # Errors
/// When the `[credits]` settings are invalid, or the database can't be reached or isn't up to date.
pub async fn grant(options: &GrantOptions, settings: &Settings) -> Result<(), CommandError> {
    let db = connect(settings).await?;
    let owner = owner(&options.account);
    let credit_policy = settings.credit_policy()?;
    let now = clock::read_database(&db).await?;
    add(&db, &owner, &credit_policy, options.amount, &options.reason, now).await?;
    request_notifications(settings).await;
    print(&db, &options.account, &owner, &credit_policy, 1).await
}

/// Changes the balance of an account by a signed number of credits.
///
/// # Errors
/// When the balance would become negative, the `[credits]` settings are invalid, or the database can't be reached or
/// isn't up to date.
pub async fn adjust(options: &AdjustOptions, settings: &Settings) -> Result<(), CommandError> {
    let db = connect(settings).await?;
    let owner = owner(&options.account);
    let credit_policy = settings.credit_policy()?;
    let now = clock::read_database(&db).await?;
    correct(&db, &owner, &credit_policy, options.amount, &options.reason, now).await?;
    request_notifications(settings).await;
    print(&db, &options.account, &owner, &credit_policy, 1).await
}

/// Compares all accounts with the credit ledger. With `--rebuild`, corrects the accounts that differ.
///
/// # Errors
/// When an account still differs at the end of the command, or the database can't be reached or isn't up to date.
pub async fn audit(options: &AuditOptions, settings: &Settings) -> Result<(), CommandError> {
    let db = connect(settings).await?;
    let mut findings = if options.rebuild { ledger::rebuild(&db).await? } else { ledger::audit(&db).await? };
    if options.json {
        output::print_json(&findings.iter().map(Difference::from).collect::<Vec<_>>())?;
    } else {
        output::print(&report(&findings, options.rebuild))?;
    }
    if options.rebuild && !findings.is_empty() {
        request_notifications(settings).await;
        // a rebuild does not release the holds of ended exports, so accounts may still differ: audit again
        findings = ledger::audit(&db).await?;
    }
    if findings.is_empty() { Ok(()) } else { Err(CommandError::Audit(findings.len())) }
}

/// Prints an account and its newest entries.
///
/// # Errors
/// When the `[credits]` settings are invalid, or the database can't be reached or isn't up to date.
pub async fn show(options: &ShowOptions, settings: &Settings) -> Result<(), CommandError> {
    let db = connect(settings).await?;
    let credit_policy = settings.credit_policy()?;
    print(&db, &options.account, &owner(&options.account), &credit_policy, options.limit).await
}

async fn add(
    db: &DatabaseConnection,
    owner: &Owner,
    credit_policy: &CreditPolicy,
    amount: i64,
    reason: &str,
    now: DateTime<Utc>,
) -> Result<Balance, CommandError> {
    let transaction = db.begin().await?;
    ledger::open_and_accrue(&transaction, owner, credit_policy, now).await?;
    ledger::grant(&transaction, owner, amount, reason, now).await?;
    transaction.commit().await?;
    Ok(ledger::read(db, owner, credit_policy, now).await?)
}

async fn correct(
    db: &DatabaseConnection,
    owner: &Owner,
    credit_policy: &CreditPolicy,
    amount: i64,
    reason: &str,
    now: DateTime<Utc>,
) -> Result<Balance, CommandError> {
    let transaction = db.begin().await?;
    let Balance { balance, .. } = ledger::open_and_accrue(&transaction, owner, credit_policy, now).await?.balance;
    if !ledger::adjust(&transaction, owner, amount, reason, now).await? {
        return Err(CommandError::NegativeBalance { owner: owner.user.clone(), balance, amount });
    }
    transaction.commit().await?;
    Ok(ledger::read(db, owner, credit_policy, now).await?)
}

/// Asks a notifier to publish the new balances now. If this request fails, a notifier still publishes the balances at
/// its next poll.
async fn request_notifications(settings: &Settings) {
    let requested = tokio::time::timeout(NOTIFY_TIMEOUT, publish_hint(settings)).await;
    match requested {
        Ok(Ok(())) => {}
        Ok(Err(e)) => {
            output::note(&format!("failed to notify the notifiers ({e}); users see the new balance a little later"))
        }
        Err(_) => output::note(
            "failed to notify the notifiers (NATS does not answer); users see the new balance a little later",
        ),
    }
}

async fn publish_hint(settings: &Settings) -> Result<(), BusError> {
    let bus = Bus::join(&settings.nats, "sluice-credits", &[]).await?;
    let trace = TraceContext::generate().traceparent();
    bus.publish_lossy(subject::DELIVERY_SUBMITTED.to_owned(), &trace, &json!({})).await?;
    bus.flush().await
}

fn report(findings: &[AccountDifference], rebuilt: bool) -> String {
    if findings.is_empty() {
        return "all accounts equal the ledger".to_owned();
    }
    let lines = findings.iter().map(|f| {
        let corrected = if rebuilt { "; corrected" } else { "" };
        format!(
            "{} of {}: balance {}, held {}; by the ledger balance {}, held {}; unfinished exports cost {}{corrected}",
            f.user_id, f.tenant, f.balance, f.held, f.ledger_balance, f.ledger_held, f.unfinished_price
        )
    });
    lines.collect::<Vec<_>>().join("\n")
}

async fn print(
    db: &DatabaseConnection,
    account: &Account,
    owner: &Owner,
    credit_policy: &CreditPolicy,
    limit: u64,
) -> Result<(), CommandError> {
    let Balance { balance, held } = ledger::read(db, owner, credit_policy, clock::read_database(db).await?).await?;
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
    let mut lines = vec![format!("{} of {}: balance {}, held {}", view.sub, view.tenant, view.balance, view.held)];
    lines.extend(view.entries.iter().map(|entry| {
        let export = entry.export_id.map(|id| format!("  {id}")).unwrap_or_default();
        format!("{}  {:>+4}  {:<10}  {}{export}", entry.at, entry.amount, entry.kind.as_str(), entry.reason)
    }));
    lines.join("\n")
}

async fn connect(settings: &Settings) -> Result<DatabaseConnection, CommandError> {
    let db = platform::db::connect(&settings.database).await?;
    schema::check(&db).await?;
    Ok(db)
}

fn owner(account: &Account) -> Owner {
    Owner::new(&account.tenant, &account.sub)
}

#[cfg(test)]
mod tests {
    use entity::credit_policy::CreditsConfig;

    use platform::clock::{Clock, SystemClock};

    use super::*;

    #[tokio::test]
    async fn a_grant_opens_the_account_and_is_recorded_in_the_ledger() {
        let database = testkit::db::sqlite().await;
        let owner = Owner::new("acme", "alice");
        let now = SystemClock.now();
        let credit_policy = CreditPolicy::new(&CreditsConfig::default(), "UTC").unwrap();
        assert_eq!(add(&database.db, &owner, &credit_policy, 3, "sorry", now).await.unwrap().balance, 8);
        assert_eq!(add(&database.db, &owner, &credit_policy, 1, "again", now).await.unwrap().balance, 9);
        let entries = ledger::entries(&database.db, &owner, 10).await.unwrap();
        assert_eq!(entries.iter().map(|e| e.amount).sum::<i64>(), 9);
        let view = View { tenant: "acme".into(), sub: "alice".into(), balance: 9, held: 0, entries };
        assert!(text(&view).starts_with("alice of acme: balance 9, held 0\n"), "{}", text(&view));
    }

    #[tokio::test]
    async fn a_correction_below_zero_is_refused() {
        let database = testkit::db::sqlite().await;
        let owner = Owner::new("acme", "alice");
        let (db, now) = (&database.db, SystemClock.now());
        let credit_policy = CreditPolicy::new(&CreditsConfig::default(), "UTC").unwrap();
        let refused = correct(db, &owner, &credit_policy, -6, "too much", now).await.unwrap_err();
        assert!(refused.to_string().contains("alice has 5 credits, which can't be changed by -6"), "{refused}");
        assert_eq!(ledger::entries(db, &owner, 10).await.unwrap(), []);
        assert_eq!(correct(db, &owner, &credit_policy, -5, "a mistake", now).await.unwrap().balance, 0);
        assert_eq!(correct(db, &owner, &credit_policy, 2, "another", now).await.unwrap().balance, 2);
    }

    #[tokio::test]
    async fn an_audit_fails_until_the_account_is_corrected() {
        use sea_orm::ConnectionTrait;
        let database = testkit::db::sqlite().await;
        let nats = testkit::nats::NatsServer::start().await;
        let settings = Settings { database: database.config.clone(), nats: nats.config(), ..Settings::default() };
        let (options, rebuild) =
            (AuditOptions { rebuild: false, json: true }, AuditOptions { rebuild: true, json: false });
        let owner = Owner::new("acme", "alice");
        let credit_policy = CreditPolicy::new(&CreditsConfig::default(), "UTC").unwrap();
        let now = SystemClock.now();
        add(&database.db, &owner, &credit_policy, 3, "sorry", now).await.unwrap();
        audit(&options, &settings).await.unwrap();
        database.db.execute_unprepared("UPDATE credit_account SET balance = 99").await.unwrap();
        assert!(matches!(audit(&options, &settings).await, Err(CommandError::Audit(1))));
        // subscribe as a notifier does
        let bus = nats.bus().await;
        let mut hints = bus.subscribe(subject::DELIVERY_SUBMITTED.to_owned()).await.unwrap();
        bus.flush().await.unwrap();
        audit(&rebuild, &settings).await.unwrap();
        let received = tokio::time::timeout(testkit::DEADLINE, futures::StreamExt::next(&mut hints)).await;
        assert!(received.unwrap().is_some());
        audit(&options, &settings).await.unwrap();
        assert_eq!(ledger::read(&database.db, &owner, &credit_policy, now).await.unwrap().balance, 8);
    }
}
