//! A dataset that computes its rows: the days of some years.

use std::ops::Range;

use async_trait::async_trait;
use chrono::{Datelike, Days, NaiveDate, Weekday};
use exporter::dataset::{Dataset, DatasetError, DatasetInfo, OpenedQuery, Query, apply_query};
use futures::{StreamExt, stream};
use polars::prelude::{Column as PolarsColumn, DataFrame, DataType, PolarsError};
use protocol::{
    catalog::{Column, ColumnType},
    params::{ParamSpec, ParamType},
};
use serde_json::json;

/// Each day with its weekday, its ISO week, and whether it is a working day.
pub(crate) struct Calendar(DatasetInfo);

impl Calendar {
    pub(crate) fn new() -> Self {
        use ColumnType::{Bool, Date, Int, String};
        let columns = [("day", Date), ("weekday", String), ("iso_week", Int), ("working", Bool)];
        let columns = columns.map(|(name, kind)| Column::new(name, kind)).to_vec();
        let year = ParamSpec { default: Some(json!(2026)), ..ParamSpec::new("year", ParamType::Int) };
        let years = ParamSpec { default: Some(json!(1)), ..ParamSpec::new("years", ParamType::Int) };
        Self(DatasetInfo {
            title: "Calendar".into(),
            params: vec![year, years],
            ..DatasetInfo::new("calendar", columns)
        })
    }
}

#[async_trait]
impl Dataset for Calendar {
    fn info(&self) -> &DatasetInfo {
        &self.0
    }

    /// Computes one frame for each year when the exporter needs it.
    async fn open(&self, query: &Query) -> Result<OpenedQuery, DatasetError> {
        let years = years(query)?;
        let schema = days_of(years.start)?.schema().as_ref().clone();
        let frames = stream::iter(years).map(|year| Ok(days_of(year)?)).boxed();
        apply_query(frames, &schema, query)
    }
}

/// The years of a query, at most 1,000.
fn years(query: &Query) -> Result<Range<i32>, DatasetError> {
    let number = |name: &str, max: i64| {
        let number = query.params.get(name).and_then(|value| value.as_i64());
        number.filter(|number| (1..=max).contains(number)).ok_or_else(|| DatasetError::Param(name.to_owned()))
    };
    let first = number("year", 9_000)? as i32;
    Ok(first..first + number("years", 1_000)? as i32)
}

/// All days of a year, in a frame with all columns.
fn days_of(year: i32) -> Result<DataFrame, PolarsError> {
    let first = NaiveDate::from_yo_opt(year, 1).unwrap_or_default();
    let days: Vec<_> = (0..366).map(|n| first + Days::new(n)).filter(|day| day.year() == year).collect();
    let since_1970 = |day: &NaiveDate| day.signed_duration_since(NaiveDate::default()).num_days() as i32;
    let is_working = |day: &NaiveDate| !matches!(day.weekday(), Weekday::Sat | Weekday::Sun);
    let weekdays: Vec<_> = days.iter().map(|day| day.weekday().to_string()).collect();
    let weeks: Vec<_> = days.iter().map(|day| i64::from(day.iso_week().week())).collect();
    DataFrame::new_infer_height(vec![
        PolarsColumn::new("day".into(), days.iter().map(since_1970).collect::<Vec<_>>()).cast(&DataType::Date)?,
        PolarsColumn::new("weekday".into(), weekdays),
        PolarsColumn::new("iso_week".into(), weeks),
        PolarsColumn::new("working".into(), days.iter().map(is_working).collect::<Vec<_>>()),
    ])
}
