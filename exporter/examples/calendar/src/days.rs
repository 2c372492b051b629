//! The days of some years: rows that no table holds.

use async_trait::async_trait;
use chrono::{Datelike, Days, NaiveDate, Weekday};
use exporter::dataset::{Dataset, DatasetError, Frames, Guess, Query, sift};
use futures::{StreamExt, stream};
use polars::prelude::{Column as PolarsColumn, DataFrame, DataType, PolarsError};
use protocol::{
    catalog::{Column, ColumnType},
    params::{ParamSpec, ParamType},
};
use serde_json::json;

/// The first year of a calendar.
const YEAR: &str = "year";
/// How many years it has.
const YEARS: &str = "years";
/// Calendars longer than this are of no use to anybody.
const MOST_YEARS: i64 = 1_000;

/// Each day with its weekday, its ISO week, and whether people work on it.
pub(crate) struct Calendar {
    columns: [Column; 4],
    params: [ParamSpec; 2],
}

impl Calendar {
    pub(crate) fn new() -> Self {
        let column = |name: &str, kind| Column { nullable: false, ..Column::new(name, kind) };
        let number = |name: &str, description: &str, default: i64| ParamSpec {
            name: name.into(),
            kind: ParamType::Int,
            description: description.into(),
            default: Some(json!(default)),
            max_items: None,
        };
        Self {
            columns: [
                column("day", ColumnType::Date),
                column("weekday", ColumnType::String),
                column("iso_week", ColumnType::Int),
                column("working", ColumnType::Bool),
            ],
            params: [number(YEAR, "The first year", 2026), number(YEARS, "How many years", 1)],
        }
    }

    /// The years that a query asks for.
    fn years(query: &Query) -> Result<std::ops::Range<i32>, DatasetError> {
        let number = |name: &str| query.params.get(name).and_then(|value| value.as_i64());
        let wrong = |name: &str| DatasetError::Param(name.to_owned());
        let first = number(YEAR).filter(|year| (1..=9_000).contains(year)).ok_or_else(|| wrong(YEAR))? as i32;
        let count = number(YEARS).filter(|years| (1..=MOST_YEARS).contains(years)).ok_or_else(|| wrong(YEARS))? as i32;
        Ok(first..first + count)
    }
}

/// All days of a year as a frame with all columns.
fn days_of(year: i32) -> Result<DataFrame, PolarsError> {
    let first = NaiveDate::from_yo_opt(year, 1).unwrap_or_default();
    let days: Vec<_> = (0..366).map(|n| first + Days::new(n)).filter(|day| day.year() == year).collect();
    let since_1970 = |day: &NaiveDate| day.signed_duration_since(NaiveDate::default()).num_days() as i32;
    let works = |day: &NaiveDate| !matches!(day.weekday(), Weekday::Sat | Weekday::Sun);
    DataFrame::new_infer_height(vec![
        PolarsColumn::new("day".into(), days.iter().map(since_1970).collect::<Vec<_>>()).cast(&DataType::Date)?,
        PolarsColumn::new("weekday".into(), days.iter().map(|day| day.weekday().to_string()).collect::<Vec<_>>()),
        PolarsColumn::new(
            "iso_week".into(),
            days.iter().map(|day| i64::from(day.iso_week().week())).collect::<Vec<_>>(),
        ),
        PolarsColumn::new("working".into(), days.iter().map(works).collect::<Vec<_>>()),
    ])
}

#[async_trait]
impl Dataset for Calendar {
    fn name(&self) -> &str {
        "calendar"
    }

    fn title(&self) -> &str {
        "Calendar"
    }

    fn description(&self) -> &str {
        "The days of some years, and whether people work on them"
    }

    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn params(&self) -> &[ParamSpec] {
        &self.params
    }

    async fn rows_estimate(&self) -> Option<u64> {
        Some(365)
    }

    /// To count is to make them all: there is no shorter way, so that progress has no total.
    async fn count(&self, _: &Query) -> Result<Option<u64>, DatasetError> {
        Ok(None)
    }

    async fn guess(&self, query: &Query) -> Result<Option<Guess>, DatasetError> {
        let days = Self::years(query)?.len() as u64 * 365;
        Ok(query.filter.is_all().then_some(Guess { rows: days, exact: false }))
    }

    /// A year at a time, and the next one only when somebody takes it.
    async fn open(&self, query: &Query) -> Result<Frames, DatasetError> {
        let years = Self::years(query)?;
        let schema = days_of(years.start)?.schema().as_ref().clone();
        let frames = stream::iter(years).map(|year| Ok(days_of(year)?)).boxed();
        sift(frames, &schema, query)
    }
}
