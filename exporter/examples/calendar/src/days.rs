//! A dataset that computes its rows: the days of the year in the parameter `year`, and whether each is a working day.

use chrono::{Datelike, NaiveDate};
use exporter::dataset::{Dataset, DatasetError, DatasetInfo, OpenedQuery, Query, apply_query};
use protocol::catalog::{Column, ColumnType};
use protocol::params::{ParamSpec, ParamType};

pub(crate) struct Calendar(DatasetInfo);

impl Calendar {
    pub(crate) fn new() -> Self {
        let columns = vec![Column::new("day", ColumnType::Date), Column::new("working", ColumnType::Bool)];
        let year = ParamSpec { default: Some(2026.into()), ..ParamSpec::new("year", ParamType::Int) };
        Self(DatasetInfo { params: vec![year], ..DatasetInfo::new("calendar", columns) })
    }
}

#[async_trait::async_trait]
impl Dataset for Calendar {
    fn info(&self) -> &DatasetInfo {
        &self.0
    }

    async fn open(&self, query: &Query) -> Result<OpenedQuery, DatasetError> {
        let first = query.params.get("year").and_then(|y| NaiveDate::from_yo_opt(y.as_i64()?.try_into().ok()?, 1));
        let first = first.filter(|day| (1..=9999).contains(&day.year())).ok_or(DatasetError::Param("year".into()))?;
        let days: Vec<_> = first.iter_days().take_while(|day| day.year() == first.year()).collect();
        let working: Vec<_> = days.iter().map(|day| day.weekday().num_days_from_monday() < 5).collect();
        let frame = polars::df!("day" => days, "working" => working)?;
        apply_query(query, &frame.schema().clone(), Box::pin(futures::stream::iter([Ok(frame)])))
    }
}
