//! Builds polars expressions that refer to a single column.

use polars::prelude::Expr;

/// Returns the expression of the column that has exactly this name. The function `col` of polars interprets `*`, and
/// names such as `^a.*$`, as patterns of several columns.
pub fn named_column(name: &str) -> Expr {
    Expr::Column(name.into())
}

#[cfg(test)]
mod tests {
    use polars::prelude::{IntoLazy, df};

    use super::*;

    #[test]
    fn a_name_that_polars_takes_as_a_pattern_names_one_column() {
        let frame = df!("*" => [1], "^a$" => [2], "^.*$" => [3], "a" => [4]).unwrap();
        for (name, value) in [("*", 1), ("^a$", 2), ("^.*$", 3), ("a", 4)] {
            let found = frame.clone().lazy().select([named_column(name)]).collect().unwrap();
            assert!(found.equals(&df!(name => [value]).unwrap()), "{name}: {found}");
        }
    }
}
