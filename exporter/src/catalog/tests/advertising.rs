//! Tests advertisements: exporters advertise to a real NATS server with its default limits, and the catalog of a
//! gateway reads the entries.

use std::time::Duration;

use async_nats::jetstream::stream::Config as StreamConfig;
use platform::{
    bus::Bus,
    catalog::{Catalog, CatalogGap, MAX_ENTRY_SIZE},
    clock::SystemClock,
    lifecycle::Lifecycle,
};
use protocol::subject;
use testkit::{eventually, nats::NatsServer};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::catalog::{entries::Entries, sizes::Room};

/// The JetStream stream of the bucket that holds the catalog.
const STREAM: &str = "KV_SLUICE_CATALOG";
const DATASETS: usize = 300;
const COLUMNS: usize = 100;

/// A running advertiser, and the catalog of a gateway that reads the entries of this advertiser.
struct Advertising {
    nats: NatsServer,
    bus: Bus,
    catalog: Catalog,
    replace: Replace,
    advertisement: Advertisement,
    running: JoinHandle<Result<(), std::convert::Infallible>>,
    stop: CancellationToken,
    life: Lifecycle,
}

impl Advertising {
    async fn start(datasets: Vec<Arc<dyn Dataset>>) -> Self {
        let nats = NatsServer::start().await;
        let bus = nats.bus().await;
        let (catalog, life) = (Catalog::default(), Lifecycle::new());
        catalog.watch(nats.bus().await.catalog().await.unwrap(), &life);
        let (replace, current) = Current::starting_with(registry(datasets));
        let (advertisement, stop) = (Advertisement::default(), CancellationToken::new());
        let advertiser = Advertiser {
            bus: bus.clone(),
            catalog: current,
            clock: SystemClock::shared(),
            instance: "one".into(),
            pool: "default".into(),
            slots: (2, 1),
            interval: Duration::from_millis(400),
            drain: crate::drain::Drain::default(),
            advertisement: advertisement.clone(),
        };
        let running = tokio::spawn(advertiser.run(stop.clone()));
        Self { nats, bus, catalog, replace, advertisement, running, stop, life }
    }

    /// Waits until the gateway offers exactly this number of datasets.
    async fn offers(&self, count: usize) {
        eventually("the datasets are offered", async || (self.catalog.offers(|_| true).len() == count).then_some(()))
            .await;
    }

    /// Waits until no exporter has a live heartbeat.
    async fn has_no_exporter(&self) {
        eventually("the heartbeats expire", async || {
            (self.catalog.check() == Err(CatalogGap::NoExporter)).then_some(())
        })
        .await;
    }

    /// Returns the revision of the bucket at which the entry of a dataset was last written; None if the bucket has no
    /// such entry.
    async fn written_at(&self, dataset: &str) -> Option<u64> {
        let bucket = self.bus.catalog().await.unwrap();
        let entry = bucket.entry(subject::catalog_dataset("one", dataset)).await.unwrap();
        entry.filter(|entry| entry.operation == async_nats::jetstream::kv::Operation::Put).map(|entry| entry.revision)
    }

    /// Sets the maximum size, in bytes, of a message that the bucket accepts; -1 for no limit.
    async fn limit_messages(&self, size: i32) {
        let mut stream = self.bus.jetstream().get_stream(STREAM).await.unwrap();
        let config = stream.info().await.unwrap().config.clone();
        self.bus.jetstream().update_stream(StreamConfig { max_message_size: size, ..config }).await.unwrap();
    }
}

impl Drop for Advertising {
    fn drop(&mut self) {
        self.stop.cancel();
        self.life.soft().cancel();
        self.life.hard().cancel();
    }
}

fn registry(datasets: Vec<Arc<dyn Dataset>>) -> Registry {
    Registry { datasets, ..Registry::built_in() }
}

/// Returns a dataset with this number of columns. Each column has a label of `label` characters, which compresses
/// badly.
fn wide(fixture: &Fixture, name: &str, columns: usize, label: usize) -> Arc<dyn Dataset> {
    let columns = (0..columns).map(|n| {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA512, format!("{name}{n}").as_bytes());
        let text: String = hex::encode(digest.as_ref()).chars().cycle().take(label).collect();
        Column { label: Some(text), ..Column::new(format!("column_{n}"), ColumnType::String) }
    });
    let info = DatasetInfo { title: format!("Title of {name}"), ..DatasetInfo::new(name, columns.collect()) };
    Arc::new(SqlRows::new(fixture.database.clone(), Source::table("menus"), info))
}

fn many(fixture: &Fixture) -> Vec<Arc<dyn Dataset>> {
    (0..DATASETS).map(|n| wide(fixture, &format!("dataset.{n}"), COLUMNS, 100)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catalog_of_300_datasets_with_100_columns_is_offered_whole_and_only_changes_are_written() {
    let fixture = Fixture::new().await;
    let mut datasets = many(&fixture);
    let size: usize = {
        let (registry, mut room) = (registry(datasets.clone()), Room::new(MAX_ENTRY_SIZE));
        datasets.iter().map(|one| room.take(&registry.describe(one.info())).unwrap().json_size).sum()
    };
    assert!(size > 3_000_000, "{size} bytes");
    let advertising = Advertising::start(datasets.clone()).await;
    assert_eq!(advertising.bus.client().max_payload(), 1024 * 1024);
    advertising.offers(DATASETS).await;
    for (name, offer) in advertising.catalog.offers(|_| true) {
        let declared = datasets.iter().find(|one| one.info().name == name).unwrap();
        assert_eq!(offer.dataset.info.columns, declared.info().columns);
    }
    eventually("the exporter is ready", async || advertising.advertisement.check().ok()).await;

    // one dataset changes, one is removed and one is added; the others are not written again
    let unchanged = advertising.written_at("dataset.5").await;
    let changed = advertising.written_at("dataset.0").await;
    datasets[0] = wide(&fixture, "dataset.0", 3, 10);
    datasets[1] = wide(&fixture, "added", 2, 10);
    advertising.replace.send_replace(registry(datasets).into());
    eventually("the new datasets are offered", async || {
        let offers = advertising.catalog.offers(|_| true);
        let is_new = offers.get("dataset.0").is_some_and(|offer| offer.dataset.info.columns.len() == 3);
        (is_new && offers.contains_key("added") && !offers.contains_key("dataset.1")).then_some(())
    })
    .await;
    assert_eq!(advertising.catalog.offers(|_| true).len(), DATASETS);
    eventually("the entry of the removed dataset is deleted", async || {
        advertising.written_at("dataset.1").await.is_none().then_some(())
    })
    .await;
    assert!(unchanged.is_some() && advertising.written_at("dataset.5").await == unchanged);
    assert!(advertising.written_at("dataset.0").await > changed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dataset_beyond_the_bound_is_reported_and_the_others_are_offered() {
    let fixture = Fixture::new().await;
    let datasets = vec![wide(&fixture, "small", 3, 10), wide(&fixture, "huge", 9_000, 128), wide(&fixture, "b", 3, 10)];
    let advertising = Advertising::start(datasets).await;
    advertising.offers(2).await;
    assert!(advertising.catalog.find("huge").is_none() && advertising.catalog.find("b").is_some());
    let reason = eventually("the failure is reported", async || {
        advertising.advertisement.check().err().filter(|reason| *reason != NotAdvertised::Pending)
    })
    .await
    .to_string();
    let expected = format!("at most {MAX_ENTRY_SIZE} fit into one message of NATS: declare only the columns");
    assert!(reason.starts_with("dataset `huge` can't be advertised: its description of 9000 columns"), "{reason}");
    assert!(reason.contains(&expected), "{reason}");
    // without the dataset the exporter is ready
    let rest = vec![wide(&fixture, "small", 3, 10)];
    advertising.replace.send_replace(registry(rest).into());
    eventually("the exporter is ready", async || advertising.advertisement.check().ok()).await;
    advertising.offers(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exporter_whose_entries_nats_refuses_says_why_until_nats_takes_them() {
    let fixture = Fixture::new().await;
    let advertising = Advertising::start(vec![wide(&fixture, "small", 3, 10)]).await;
    advertising.offers(1).await;
    advertising.limit_messages(10).await;
    let reason = eventually("the refusal is reported", async || {
        advertising.advertisement.check().err().map(|reason| reason.to_string())
    })
    .await;
    assert!(reason.contains("SLUICE_CATALOG: ") && reason.contains("NATS did not store the heartbeat"), "{reason}");
    advertising.has_no_exporter().await;
    advertising.limit_messages(-1).await;
    advertising.offers(1).await;
    eventually("the exporter is ready", async || advertising.advertisement.check().ok()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_datasets_of_a_dead_exporter_stay_and_those_of_a_stopped_one_are_deleted() {
    let fixture = Fixture::new().await;
    for dies in [true, false] {
        let mut advertising = Advertising::start(vec![wide(&fixture, "a", 3, 10), wide(&fixture, "b", 3, 10)]).await;
        assert_eq!(advertising.catalog.check(), Err(CatalogGap::NeverFilled));
        advertising.offers(2).await;
        assert_eq!(advertising.catalog.check(), Ok(()));
        if dies {
            advertising.running.abort();
        } else {
            advertising.stop.cancel();
            (&mut advertising.running).await.unwrap().unwrap();
        }
        advertising.has_no_exporter().await;
        advertising.offers(if dies { 2 } else { 0 }).await;
        assert_eq!(advertising.written_at("a").await.is_some(), dies, "the bucket deletes the entry by its age");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_datasets_are_written_and_read_again_after_nats_has_lost_its_data() {
    let fixture = Fixture::new().await;
    let mut advertising = Advertising::start(many(&fixture)).await;
    advertising.offers(DATASETS).await;
    // a watch that continues at its old sequence number would skip the first entries of the new bucket
    advertising.nats.kill();
    advertising.has_no_exporter().await;
    advertising.nats.restart_empty().await;
    eventually("the datasets are advertised again", async || advertising.catalog.check().ok()).await;
    advertising.offers(DATASETS).await;
    eventually("the exporter is ready", async || advertising.advertisement.check().ok()).await;
}

#[tokio::test]
async fn an_unchanged_entry_is_written_again_only_before_the_bucket_deletes_it() {
    let nats = NatsServer::start().await;
    let (bus, fixture) = (nats.bus().await, Fixture::new().await);
    let mut stream = bus.jetstream().get_stream(STREAM).await.unwrap();
    let config = stream.info().await.unwrap().config.clone();
    let last_sequence = async || bus.jetstream().get_stream(STREAM).await.unwrap().cached_info().state.last_sequence;
    let mut entries = Entries::new("one".into());
    entries.replace(&registry(vec![wide(&fixture, "sales", 3, 10)]), MAX_ENTRY_SIZE);
    for _ in 0..3 {
        entries.write(&bus.catalog().await.unwrap()).await.unwrap();
        assert_eq!(last_sequence().await, 1);
    }
    let max_age = Duration::from_millis(100);
    let short = StreamConfig { max_age, duplicate_window: max_age, ..config };
    bus.jetstream().update_stream(short).await.unwrap();
    let deadline = tokio::time::Instant::now() + testkit::DEADLINE;
    while last_sequence().await < 4 {
        assert!(tokio::time::Instant::now() < deadline, "the entry is not written again");
        entries.write(&bus.catalog().await.unwrap()).await.unwrap();
    }
}

#[tokio::test]
async fn a_file_with_a_dataset_beyond_the_bound_is_refused_in_words_and_its_other_datasets_load() {
    let fixture = Fixture::new().await;
    let header: Vec<_> = (0..400).map(|n| format!("c{n}")).collect();
    std::fs::write(fixture.path("wide.csv"), header.join(",") + "\n" + &vec!["1"; 400].join(",") + "\n").unwrap();
    std::fs::write(fixture.path("small.csv"), "a,b\n1,x\n").unwrap();
    let text =
        "[[dataset]]\nname = \"small\"\nfiles = \"small.csv\"\n\n[[dataset]]\nname = \"wide\"\nfiles = \"wide.csv\"\n";
    std::fs::write(fixture.path("catalog.toml"), text).unwrap();
    let path = fixture.path("catalog.toml");
    let base = Registry::built_in();
    // a server whose messages are small
    let context = LoadContext { max_entry_size: 1_000, ..fixture.context() };
    let loaded = load(&path, &context, &base).await.unwrap();
    assert_eq!(loaded.datasets.iter().map(|one| one.info().name.as_str()).collect::<Vec<_>>(), ["small"]);
    assert_eq!(loaded.unavailable.len(), 1);
    let faults = loaded.as_written(&path).err().unwrap().faults;
    assert_eq!((faults.len(), faults[0].line, faults[0].what.as_str()), (1, Some(6), "dataset wide"));
    assert!(faults[0].detail.starts_with("its description of 400 columns has "), "{faults:?}");
    assert!(faults[0].detail.contains("and at most 1000 fit into one message of NATS"), "{faults:?}");
    assert_eq!(load(&path, &fixture.context(), &base).await.unwrap().datasets.len(), 2);

    // a reload refuses the file, and all earlier datasets stay
    let (replace, current) = Current::starting_with(base.clone());
    let mut reloader = Reloader {
        path,
        context,
        base,
        replace,
        interval: Duration::from_secs(3),
        fingerprint: None,
        has_unavailable: false,
    };
    assert!(!reloader.reload(true, true).await);
    assert_eq!((current.current().datasets.len(), reloader.has_unavailable), (0, false));
    // at the start of an exporter, the other datasets are offered
    assert!(reloader.reload(true, false).await);
    assert_eq!((current.current().datasets.len(), reloader.has_unavailable), (1, true));
}

#[tokio::test]
async fn a_refused_registry_leaves_the_state_of_the_last_valid_one() {
    let fixture = Fixture::new().await;
    let path = fixture.path("catalog.toml");
    std::fs::write(&path, "[[dataset]]\nname = \"gone\"\nfiles = \"gone.csv\"\n").unwrap();
    // the dataset in Rust has a tenant column and no row policy
    let columns = vec![Column::new("tenant_id", ColumnType::String)];
    let unsafe_one =
        SqlRows::new(fixture.database.clone(), Source::table("menus"), DatasetInfo::new("unsafe", columns));
    let base = registry(vec![Arc::new(unsafe_one)]);
    let (replace, _current) = Current::starting_with(Registry::built_in());
    let context = fixture.context();
    let mut reloader = Reloader {
        path,
        context,
        base,
        replace,
        interval: Duration::from_secs(3),
        fingerprint: None,
        has_unavailable: false,
    };
    assert!(!reloader.reload(true, false).await);
    assert!(!reloader.has_unavailable);
}

#[tokio::test]
async fn a_mistyped_table_of_a_sqlite_file_is_a_fault_of_a_new_file() {
    let fixture = Fixture::new().await;
    let text = "[source.d]\nkind = \"sqlite\"\npath = \"demo.db\"\n\n[[dataset]]\nname = \"m\"\nfrom = \"d\"\ntable = \"menuz\"\n";
    let faults = fixture.faults(text).await;
    assert_eq!(faults, [(Some(5), "its source has no table `menuz`: correct the name in `table`".to_owned())]);
    // an exporter that starts offers the other datasets
    assert_eq!(fixture.load(text).await.unwrap().unavailable.len(), 1);
}
