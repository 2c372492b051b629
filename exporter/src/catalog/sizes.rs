//! Enforces the limits of an exporter's advertisement: the size of each entry, and the number and total size of all
//! datasets. The entry of a dataset is a JSON description, which is compressed before NATS stores it.

use platform::catalog::{DatasetEntry, MAX_CATALOG_SIZE, MAX_DATASET_SIZE, MAX_DATASETS};
use protocol::catalog::CatalogDataset;

use super::advertisement::{AdvertiseError, Excess};

/// Counts the datasets that one exporter advertises and adds up their sizes. Refuses a dataset that exceeds a limit.
#[derive(Clone, Debug)]
pub(super) struct Room {
    /// The maximum size of a compressed entry, in bytes.
    max_entry_size: usize,
    datasets: usize,
    /// The total size of all accepted entries before compression, in bytes.
    size: usize,
}

impl Room {
    /// Creates a [`Room`] that has not counted any dataset yet. A compressed entry may have up to `max_entry_size`
    /// bytes.
    pub(super) fn new(max_entry_size: usize) -> Self {
        Self { max_entry_size, datasets: 0, size: 0 }
    }

    /// Encodes and returns the entry of a dataset, and counts the dataset and its size.
    ///
    /// # Errors
    /// When the dataset exceeds a limit. Such a dataset is not counted.
    pub(super) fn take(&mut self, dataset: &CatalogDataset) -> Result<DatasetEntry, AdvertiseError> {
        let name = || dataset.info.name.clone();
        let entry =
            DatasetEntry::encode(dataset).map_err(|source| AdvertiseError::Dataset { dataset: name(), source })?;
        let (size, columns) = (self.size + entry.json_size, dataset.info.columns.len());
        let excess = if entry.json_size > MAX_DATASET_SIZE {
            Some(Excess::Description { size: entry.json_size, columns })
        } else if entry.value.len() > self.max_entry_size {
            Some(Excess::Entry { size: entry.value.len(), max: self.max_entry_size, columns })
        } else if self.datasets >= MAX_DATASETS {
            Some(Excess::Datasets)
        } else if size > MAX_CATALOG_SIZE {
            Some(Excess::Catalog { size })
        } else {
            None
        };
        if let Some(excess) = excess {
            return Err(AdvertiseError::TooLarge { dataset: name(), excess });
        }
        (self.datasets, self.size) = (self.datasets + 1, size);
        Ok(entry)
    }
}

#[cfg(test)]
mod tests {
    use platform::catalog::MAX_ENTRY_SIZE;
    use protocol::catalog::{Column, ColumnType};

    use super::*;
    use crate::{Registry, dataset::DatasetInfo};

    /// Returns a description of a dataset with this number of columns, whose labels have this number of characters.
    fn described(columns: usize, label: usize) -> CatalogDataset {
        let text = "x".repeat(label);
        let columns = (0..columns).map(|n| Column {
            label: Some(format!("{n}{text}")),
            ..Column::new(format!("column_{n}"), ColumnType::String)
        });
        Registry::built_in().describe(&DatasetInfo::new("wide", columns.collect()))
    }

    fn excess(room: &mut Room, dataset: &CatalogDataset) -> Option<Excess> {
        match room.take(dataset) {
            Ok(_) => None,
            Err(AdvertiseError::TooLarge { excess, .. }) => Some(excess),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn each_bound_refuses_the_dataset_that_exceeds_it_and_takes_a_smaller_one_afterwards() {
        let mut room = Room::new(2_000);
        assert_eq!(excess(&mut room, &described(10, 10)), None);
        assert!(matches!(
            excess(&mut room, &described(5_000, 10)),
            Some(Excess::Entry { max: 2_000, columns: 5_000, .. })
        ));
        let mut room = Room::new(MAX_ENTRY_SIZE);
        let description = excess(&mut room, &described(10, 1_000_000));
        assert!(matches!(description, Some(Excess::Description { columns: 10, .. })), "{description:?}");
        // four descriptions of 7 MB fit into the catalog, and a fifth does not
        let large = described(7, 1_000_000);
        let all: Vec<_> = (0..5).map(|_| excess(&mut room, &large).is_none()).collect();
        assert_eq!(all, [true, true, true, true, false]);
        assert_eq!(excess(&mut room, &described(10, 10)), None);
        let (mut room, small) = (Room::new(MAX_ENTRY_SIZE), described(1, 1));
        assert!((0..MAX_DATASETS).all(|_| excess(&mut room, &small).is_none()));
        assert_eq!(excess(&mut room, &small), Some(Excess::Datasets));
    }
}
