//! Advertises datasets as an exporter does, and reads what an exporter has advertised.

use platform::{
    bus::Bus,
    catalog::{DatasetEntry, decode_dataset, decode_heartbeat, encode_heartbeat},
};
use protocol::{
    catalog::{CatalogDataset, DatasetRef, ExporterHeartbeat},
    subject,
};

/// Writes the entries of these datasets, and then the heartbeat, which names them with their estimated rows.
///
/// # Panics
/// When NATS does not store an entry.
pub async fn advertise(bus: &Bus, mut heartbeat: ExporterHeartbeat, datasets: &[CatalogDataset]) {
    let bucket = bus.catalog().await.expect("the bucket exists");
    for dataset in datasets {
        let entry = DatasetEntry::encode(dataset).expect("a dataset can be encoded");
        let key = subject::catalog_dataset(&heartbeat.instance, &dataset.info.name);
        bucket.put(key, entry.value).await.expect("NATS stores the entry");
        heartbeat.datasets.push(DatasetRef {
            name: dataset.info.name.clone(),
            revision: entry.revision,
            rows: dataset.total_rows.or(dataset.info.rows_estimate),
            rows_hidden: false,
        });
    }
    let value = encode_heartbeat(&heartbeat).expect("a heartbeat can be encoded");
    bucket.put(subject::catalog_exporter(&heartbeat.instance), value).await.expect("NATS stores the heartbeat");
}

/// The heartbeat of an exporter and the datasets that it names, with their estimated rows; None while one is missing.
pub async fn advertised(bus: &Bus, instance: &str) -> Option<(ExporterHeartbeat, Vec<CatalogDataset>)> {
    let bucket = bus.catalog().await.ok()?;
    let heartbeat = decode_heartbeat(&bucket.get(subject::catalog_exporter(instance)).await.ok()??).ok()?;
    let mut datasets = Vec::new();
    for named in &heartbeat.datasets {
        let value = bucket.get(subject::catalog_dataset(instance, &named.name)).await.ok()??;
        datasets.push(named.with_rows(decode_dataset(&value).ok()?));
    }
    Some((heartbeat, datasets))
}
