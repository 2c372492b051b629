//! How many menus of each category train one of the given muscles.
//!
//! A menu that trains several of them counts once. The counting is the database's work.

use async_trait::async_trait;
use protocol::{
    catalog::{Column, ColumnType},
    params::{ParamSpec, ParamType},
};
use sea_orm::{
    DatabaseConnection,
    sea_query::{Alias, Expr, ExprTrait, Func, Order, Query as Sql, SelectStatement},
};

use super::{
    Dataset, DatasetError, Frames, Query,
    sql::{self, OrderBy, Source},
};

const MUSCLES: &str = "muscles";
const CATEGORY: &str = "category";
const COUNT: &str = "count";
/// Most first; among equals by name.
const ORDER: &OrderBy<'static> = &[(COUNT, Order::Desc), (CATEGORY, Order::Asc)];

/// Counts of menus by category.
#[derive(Clone, Debug)]
pub struct MenuCategoryCounts {
    db: DatabaseConnection,
    columns: [Column; 2],
    params: [ParamSpec; 1],
}

impl MenuCategoryCounts {
    /// Counts in this database.
    #[must_use]
    pub fn new(db: DatabaseConnection) -> Self {
        let muscles = ParamSpec {
            name: MUSCLES.into(),
            kind: ParamType::Strings,
            description: "Names of muscles; a menu counts when it trains at least one of them".into(),
            default: None,
            max_items: Some(100),
        };
        let count = Column { nullable: false, ..Column::new(COUNT, ColumnType::Int) };
        Self { db, columns: [Column::new(CATEGORY, ColumnType::String), count], params: [muscles] }
    }

    fn source(query: &Query) -> Result<Source, DatasetError> {
        let given = query.params.get(MUSCLES).and_then(|value| value.as_array());
        let muscles = given
            .and_then(|names| names.iter().map(|name| name.as_str()).collect::<Option<Vec<_>>>())
            .ok_or_else(|| DatasetError::Param(MUSCLES.into()))?;
        Ok(Source::Select(Box::new(counts(&muscles))))
    }
}

/// `SELECT category, COUNT(DISTINCT menus.id) … WHERE muscles.name IN (…) GROUP BY category`
fn counts(muscles: &[&str]) -> SelectStatement {
    let [menus, pairs, names] = ["menus", "muscle_menus", "muscles"].map(Alias::new);
    let [id, category] = ["id", CATEGORY].map(|name| (menus.clone(), Alias::new(name)));
    let [menu_id, muscle_id] = ["menu_id", "muscle_id"].map(|name| (pairs.clone(), Alias::new(name)));
    Sql::select()
        .expr_as(Expr::col(category.clone()), Alias::new(CATEGORY))
        .expr_as(Func::count_distinct(Expr::col(id.clone())), Alias::new(COUNT))
        .from(menus.clone())
        .inner_join(pairs, Expr::col(menu_id).equals(id))
        .inner_join(names.clone(), Expr::col((names.clone(), Alias::new("id"))).equals(muscle_id))
        .and_where(Expr::col((names, Alias::new("name"))).is_in(muscles.iter().copied()))
        .group_by_col(category)
        .take()
}

#[async_trait]
impl Dataset for MenuCategoryCounts {
    fn name(&self) -> &str {
        "menu_category_counts"
    }

    fn title(&self) -> &str {
        "Menus by category"
    }

    fn description(&self) -> &str {
        "How many different menus of each category train one of the given muscles"
    }

    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn params(&self) -> &[ParamSpec] {
        &self.params
    }

    /// There are as many rows as categories, which are few.
    async fn rows_estimate(&self) -> Option<u64> {
        Some(10)
    }

    async fn count(&self, query: &Query) -> Result<Option<u64>, DatasetError> {
        sql::count(&self.db, &Self::source(query)?, &self.columns, query).await.map(Some)
    }

    async fn open(&self, query: &Query) -> Result<Frames, DatasetError> {
        sql::open(&self.db, Self::source(query)?, &self.columns, ORDER, query)
    }
}
