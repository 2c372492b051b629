//! Compares the columns of a source with its columns at the last load of the catalog.
//!
//! The columns of a table may be added, dropped or changed while the exporter runs. The dataset then no longer fits the
//! table. The next export detects this and fails, the exporter loads the catalog again, and the next attempt at the
//! export reads the new columns.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use protocol::catalog::{Column, ColumnType};

use super::super::{DatasetError, DatasetInfo};

/// The columns of a source at the last load of the catalog.
#[derive(Clone, Debug)]
pub(crate) struct KnownColumns {
    columns: Arc<[Column]>,
    /// Whether the dataset offers all columns of its source, because the catalog file declares none.
    offers_all: bool,
    /// Whether a change of the columns matters only if timestamps got or lost a time zone.
    only_zones: bool,
    /// Whether [`Self::check`] has found that the source no longer fits the dataset.
    outdated: Arc<AtomicBool>,
}

impl KnownColumns {
    /// Creates the record of a source's columns at a load of the catalog. `offers_all` is true if the dataset offers
    /// all of them.
    pub(crate) fn new(columns: &[Column], offers_all: bool) -> Self {
        Self { columns: columns.into(), offers_all, only_zones: false, outdated: Arc::default() }
    }

    /// Records the columns of timestamps of a query with parameters at a load of the catalog. The types of its other
    /// columns may depend on the values of the parameters. Returns None if the query has no column of timestamps.
    pub(crate) fn of_zones(columns: &[Column]) -> Option<Self> {
        let has_moments = columns.iter().any(|column| column.kind == ColumnType::Datetime);
        has_moments.then(|| Self { only_zones: true, ..Self::new(columns, false) })
    }

    /// Whether [`Self::check`] has found, since the catalog was loaded, that the source no longer fits the dataset.
    pub(in crate::dataset) fn are_outdated(&self) -> bool {
        self.outdated.load(Relaxed)
    }

    /// Checks that the `current` columns of the source still fit the dataset that `info` describes. A change of a
    /// column that the dataset does not offer is no error. After [`Self::of_zones`], the only error is a column whose
    /// timestamps got or lost a time zone, because a cast to the type at the load would drop or add one.
    ///
    /// # Errors
    /// [`DatasetError::Altered`] if the source no longer has an offered column, or has it with another type.
    /// [`DatasetError::NewColumn`] if the source has a new column and the dataset offers all columns.
    pub(in crate::dataset) fn check(&self, info: &DatasetInfo, current: &[Column]) -> Result<(), DatasetError> {
        let found = self.difference(info, current);
        if found.is_some() {
            self.outdated.store(true, Relaxed);
        }
        found.map_or(Ok(()), Err)
    }

    fn difference(&self, info: &DatasetInfo, current: &[Column]) -> Option<DatasetError> {
        let find = |columns: &[Column], name: &str| {
            columns.iter().find(|column| column.name == name).map(|column| (column.kind, column.local))
        };
        let offered = info.columns.iter().map(|column| &column.name);
        let mut offered = offered.filter(|name| find(&self.columns, name).is_some());
        let is_altered = |name: &str| match (find(&self.columns, name), find(current, name)) {
            (Some((before, was_local)), Some((now, is_local))) if self.only_zones => {
                (before, now) == (ColumnType::Datetime, ColumnType::Datetime) && was_local != is_local
            }
            (_, _) if self.only_zones => false,
            (before, now) => before != now,
        };
        if let Some(altered) = offered.find(|name| is_altered(name)) {
            return Some(DatasetError::Altered(altered.clone()));
        }
        let new = current.iter().find(|column| find(&self.columns, &column.name).is_none());
        new.filter(|_| self.offers_all).map(|column| DatasetError::NewColumn(column.name.clone()))
    }
}

#[cfg(test)]
mod tests {
    use protocol::catalog::ColumnType::{Datetime, Int, String};

    use super::*;

    fn columns(columns: &[(&str, ColumnType)]) -> Vec<Column> {
        columns.iter().map(|(name, kind)| Column::new(*name, *kind)).collect()
    }

    #[test]
    fn a_difference_that_changes_the_export_is_found() {
        let at_load = columns(&[("id", Int), ("name", String)]);
        let all = DatasetInfo::new("d", at_load.clone());
        let one = DatasetInfo::new("d", columns(&[("id", Int)]));
        for (current, of_all, of_one) in [
            (&[("id", Int), ("name", String)][..], None, None),
            (&[("name", String), ("id", Int)], None, None),
            (&[("id", Int), ("name", String), ("late", Int)], Some("new column `late`"), None),
            (&[("id", Int)], Some("column `name`"), None),
            (&[("id", String), ("name", String)], Some("column `id`"), Some("column `id`")),
            (&[("name", String)], Some("column `id`"), Some("column `id`")),
        ] {
            for (info, offers_all, expected) in [(&all, true, of_all), (&one, false, of_one)] {
                let known = KnownColumns::new(&at_load, offers_all);
                let error = known.check(info, &columns(current)).err();
                let text = error.as_ref().map(ToString::to_string);
                assert_eq!(text.is_some(), expected.is_some(), "{current:?}: {text:?}");
                assert!(text.unwrap_or_default().contains(expected.unwrap_or_default()), "{current:?}");
                assert!(error.is_none_or(|error| error.is_transient()), "{current:?}");
                assert_eq!(known.are_outdated(), expected.is_some(), "{current:?}");
            }
        }
    }

    #[test]
    fn a_query_with_parameters_may_change_all_but_its_time_zones() {
        let typed = |columns_of: &[(&str, ColumnType, bool)]| -> Vec<Column> {
            columns_of.iter().map(|(name, kind, local)| Column::new(*name, *kind).typed(*kind, *local)).collect()
        };
        let at_load = typed(&[("at", Datetime, true), ("n", Int, false)]);
        let info = DatasetInfo::new("d", at_load.clone());
        for (current, is_refused) in [
            (&[("at", Datetime, true), ("n", String, false), ("late", Int, false)][..], false),
            (&[("at", String, false)], false),
            (&[], false),
            (&[("at", Datetime, false), ("n", Int, false)], true),
        ] {
            let known = KnownColumns::of_zones(&at_load).unwrap();
            let error = known.check(&info, &typed(current)).err();
            assert_eq!(error.is_some(), is_refused, "{current:?}: {error:?}");
            assert_eq!(known.are_outdated(), is_refused, "{current:?}");
            assert!(error.is_none_or(|error| error.to_string().contains("column `at`")), "{current:?}");
        }
        assert!(KnownColumns::of_zones(&typed(&[("n", Int, false)])).is_none());
    }
}
