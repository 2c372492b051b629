//! Tests which datasets are offered while heartbeats and entries arrive, change and expire.

use protocol::catalog::{DatasetInfo, DatasetRef};

use super::*;

const LIVE: Arrival = Arrival { stored_at: 0, is_repeated: false };

fn dataset(name: &str, title: &str) -> CatalogDataset {
    let info = DatasetInfo {
        name: name.into(),
        title: title.into(),
        description: String::new(),
        columns: vec![],
        params: serde_json::json!({}),
        templates: vec![],
        formats: vec![],
        compressions: vec![],
        formats_info: vec![],
        rows_estimate: None,
        credits: 1,
    };
    CatalogDataset { info, param_specs: vec![], retention_seconds: 60, access: Default::default(), total_rows: None }
}

fn named(dataset: &CatalogDataset) -> DatasetRef {
    let revision = DatasetEntry::encode(dataset).unwrap().revision;
    DatasetRef { name: dataset.info.name.clone(), revision, rows: Some(5), rows_hidden: false }
}

/// Returns a heartbeat of an exporter in a pool of the same name, written in this `second`. The second makes heartbeats
/// differ.
fn heartbeat(instance: &str, ttl_ms: u64, second: u32, datasets: &[&CatalogDataset]) -> ExporterHeartbeat {
    let at = format!("2026-11-22T00:00:{second:02}Z").parse::<chrono::DateTime<chrono::Utc>>().unwrap().into();
    ExporterHeartbeat {
        v: 1,
        instance: instance.into(),
        pool: instance.into(),
        at,
        ttl_ms,
        slots: 3,
        bulk_slots: 2,
        draining: false,
        datasets: datasets.iter().map(|dataset| named(dataset)).collect(),
    }
}

impl Catalog {
    fn entry(&self, instance: &str, dataset: &CatalogDataset) {
        let value = DatasetEntry::encode(dataset).unwrap().value;
        self.put_dataset((instance, &dataset.info.name), &value, LIVE).unwrap();
    }

    /// Returns the titles of all offered datasets.
    fn titles(&self) -> Vec<String> {
        self.offers(|_| true).into_values().map(|offer| offer.dataset.info.title).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn an_exporter_that_stops_its_heartbeats_expires_and_finds_its_entries_when_it_returns() {
    let (catalog, flights) = (Catalog::default(), dataset("flights", "Flights"));
    assert_eq!(catalog.check(), Err(CatalogGap::NeverFilled));
    for (instance, ttl_ms) in [("a", 1_000), ("b", 9_000)] {
        catalog.entry(instance, &flights);
        assert_eq!(catalog.put_heartbeat(heartbeat(instance, ttl_ms, 0, &[&flights]), LIVE), Completeness::Complete);
    }
    let offer = catalog.find("flights").unwrap();
    assert_eq!((offer.pool.as_str(), offer.dataset.total_rows), ("a", Some(5)));
    tokio::time::advance(Duration::from_secs(2)).await;
    assert_eq!(catalog.find("flights").unwrap().pool, "b");
    assert_eq!(catalog.slots("b", Lane::Bulk), 2);
    assert_eq!(catalog.slots("a", Lane::Interactive), 0);
    tokio::time::advance(Duration::from_secs(20)).await;
    assert_eq!((catalog.is_empty(), catalog.check()), (true, Err(CatalogGap::NoExporter)));
    // the exporters may still be running without being able to advertise, so an export is accepted and waits
    assert_eq!((catalog.find("flights").unwrap().pool.as_str(), catalog.dataset_count()), ("a", 0));
    assert_eq!(catalog.slots("a", Lane::Interactive), 0);
    // the exporter wrote its entries before the pause, and then wrote only its heartbeat again
    catalog.put_heartbeat(heartbeat("a", 1_000, 1, &[&flights]), LIVE);
    assert_eq!(catalog.find("flights").unwrap().pool, "a");
    for instance in ["a", "b"] {
        catalog.write(|state| state.remove_exporter(instance));
    }
    assert_eq!((catalog.is_empty(), catalog.find("flights")), (true, None));
}

#[tokio::test(start_paused = true)]
async fn a_changed_dataset_is_offered_as_before_until_the_heartbeat_names_its_new_entry() {
    let catalog = Catalog::default();
    let (old, new, other) = (dataset("sales", "Old"), dataset("sales", "New"), dataset("staff", "Staff"));
    // an entry without a heartbeat offers nothing
    catalog.entry("a", &old);
    catalog.entry("a", &other);
    assert_eq!(catalog.titles(), [""; 0]);
    catalog.put_heartbeat(heartbeat("a", 1_000, 0, &[&old, &other]), LIVE);
    assert_eq!(catalog.titles(), ["Old", "Staff"]);
    catalog.entry("a", &new);
    assert_eq!(catalog.titles(), ["Old", "Staff"]);
    catalog.put_heartbeat(heartbeat("a", 1_000, 1, &[&new, &other]), LIVE);
    assert_eq!(catalog.titles(), ["New", "Staff"]);
    // a heartbeat without the dataset withdraws it before its entry is deleted
    catalog.put_heartbeat(heartbeat("a", 1_000, 2, &[&other]), LIVE);
    assert_eq!(catalog.titles(), ["Staff"]);
    catalog.write(|state| state.remove_dataset("a", "sales"));
    assert_eq!(catalog.titles(), ["Staff"]);
}

#[tokio::test(start_paused = true)]
async fn a_partial_set_offers_what_has_arrived_and_is_reported() {
    let catalog = Catalog::default();
    let (sales, staff) = (dataset("sales", "Sales"), dataset("staff", "Staff"));
    catalog.entry("a", &sales);
    let incomplete = heartbeat("a", 1_000, 0, &[&sales, &staff]);
    assert_eq!(catalog.put_heartbeat(incomplete.clone(), LIVE), Completeness::Incomplete);
    assert_eq!(catalog.titles(), ["Sales"]);
    // an entry that can't be read counts as received
    assert!(catalog.put_dataset(("a", "staff"), b"damaged", LIVE).is_err());
    assert_eq!(catalog.put_heartbeat(incomplete, LIVE), Completeness::Incomplete);
    catalog.entry("a", &staff);
    assert_eq!(catalog.put_heartbeat(heartbeat("a", 1_000, 1, &[&sales, &staff]), LIVE), Completeness::Complete);
    assert_eq!(catalog.titles(), ["Sales", "Staff"]);
}

#[tokio::test(start_paused = true)]
async fn a_new_watch_does_not_revive_the_heartbeat_of_a_dead_exporter() {
    let catalog = Catalog::default();
    let (dead, alive) = (dataset("dead", "Dead"), dataset("alive", "Alive"));
    catalog.entry("a", &dead);
    catalog.put_heartbeat(heartbeat("a", 30_000, 0, &[&dead]), Arrival { stored_at: 1_000, is_repeated: true });
    catalog.entry("b", &alive);
    catalog.put_heartbeat(heartbeat("b", 30_000, 0, &[&alive]), Arrival { stored_at: 61_000, is_repeated: true });
    assert_eq!(catalog.titles(), ["Alive"]);
    // the same heartbeat, repeated by another watch, does not expire later
    tokio::time::advance(Duration::from_secs(20)).await;
    catalog.put_heartbeat(heartbeat("b", 30_000, 0, &[&alive]), Arrival { stored_at: 61_000, is_repeated: true });
    tokio::time::advance(Duration::from_secs(11)).await;
    assert!(catalog.is_empty());
}
