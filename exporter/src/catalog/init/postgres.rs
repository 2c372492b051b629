//! Finds the tables and views of a PostgreSQL database, and drafts a dataset for each.

use std::sync::Arc;

use futures::{StreamExt, stream};
use protocol::catalog::ColumnType;

use super::{
    InitError, InitOptions,
    draft::{Draft, DraftColumn, DraftRows, Found, NotOffered, SplitBy},
    names::{humanized, short_comment},
    sample::{SampleError, sample},
};
use crate::dataset::{
    DatasetInfo, PostgresRows, PostgresServer, Relation, RelationKind, Resolved, can_split, relations,
};

/// The maximum number of tables that are described and sampled at once.
const CONCURRENCY: usize = 4;
/// The default schema of PostgreSQL. The name of a dataset omits this schema.
const USUAL_SCHEMA: &str = "public";
/// The columns that are tried as the `split_by` key of a view, in the order of preference.
const VIEW_KEYS: [&str; 3] = ["id", "created_at", "updated_at"];

/// Returns the drafts of datasets for the tables and views that the options select.
///
/// # Errors
///
/// When the server can't be reached, or a schema of the options does not exist.
pub(super) async fn find(server: &Arc<PostgresServer>, options: &InitOptions) -> Result<Found, InitError> {
    let all = relations(server).await.map_err(InitError::Dataset)?;
    let has_schema = |name: &str| all.iter().any(|relation| relation.schema == name);
    if let Some(missing) = options.schemas.iter().find(|name| !has_schema(name)) {
        return Err(InitError::Source(format!("the database has no tables in a schema `{missing}`")));
    }
    let is_chosen = |relation: &&Relation| {
        let whole = format!("{}.{}", relation.schema, relation.name);
        (options.schemas.is_empty() || options.schemas.contains(&relation.schema))
            && options.selects(&[&relation.name, &whole])
    };
    let chosen: Vec<_> = all.iter().filter(is_chosen).collect();
    let drafting = chosen.iter().map(|relation| draft(server, relation, options));
    let drafted: Vec<_> = stream::iter(drafting).buffered(CONCURRENCY).collect().await;
    let mut found = Found::default();
    for (relation, drafted) in chosen.iter().zip(drafted) {
        match drafted {
            Ok(draft) => found.drafts.push(draft),
            Err(reason) => found.not_offered.push(NotOffered::new(subject(relation), reason)),
        }
    }
    Ok(found)
}

fn subject(relation: &Relation) -> String {
    let kind = match relation.kind {
        RelationKind::Table => "table",
        RelationKind::Partitioned => "partitioned table",
        RelationKind::View => "view",
        RelationKind::MaterializedView => "materialized view",
        RelationKind::ForeignTable => "foreign table",
    };
    format!("{kind} `{}.{}`", relation.schema, relation.name)
}

/// Describes and samples one table or view, and returns its draft.
///
/// # Errors
///
/// The reason why the table or view can't be offered.
async fn draft(server: &Arc<PostgresServer>, relation: &Relation, options: &InitOptions) -> Result<Draft, String> {
    let whole = format!("{}.{}", relation.schema, relation.name);
    if !relation.extension.is_empty() {
        return Err(format!("it belongs to the extension `{}`", relation.extension));
    }
    if !relation.is_reachable {
        return Err(format!("the database user may not use the schema: GRANT USAGE ON SCHEMA \"{}\"", relation.schema));
    }
    if !relation.is_readable {
        return Err(format!("the database user has no right to read it: GRANT SELECT ON {}", relation.quoted()));
    }
    if !relation.is_populated {
        return Err(format!("it has no data yet: REFRESH MATERIALIZED VIEW {}", relation.quoted()));
    }
    let resolved = PostgresRows::resolve(server, relation.source()).await.map_err(|e| e.user_message())?;
    let Resolved { source, columns, unreadable, text_meanings } = resolved;
    let columns: Vec<_> = columns.into_iter().filter(|column| !unreadable.contains(&column.name)).collect();
    if columns.is_empty() {
        return Err("it has no columns".into());
    }
    // a `table` with a dot would name a table of another schema
    let has_dot = relation.schema.contains('.') || relation.name.contains('.');
    let rows = if has_dot {
        DraftRows::Query(format!("SELECT * FROM {}", relation.quoted()))
    } else {
        DraftRows::Table(whole.clone())
    };
    let name_alone = relation.schema == USUAL_SCHEMA || options.schemas.len() == 1;
    let names = if name_alone { vec![relation.name.clone(), whole] } else { vec![whole] };
    let comment = Some(relation.comment.trim()).filter(|comment| !comment.is_empty());
    let title = short_comment(comment);
    let described = DatasetInfo::new("sample", columns.clone());
    let rows_of = PostgresRows::new(Arc::clone(server), source, described);
    let mut draft = Draft {
        names,
        subject: subject(relation),
        description: comment.filter(|_| title.is_none()).map(str::to_owned),
        title: title.unwrap_or_else(|| humanized(&relation.name)),
        rows,
        remarks: remarks(relation, &unreadable),
        columns: columns
            .iter()
            .map(|column| DraftColumn {
                comment: relation.column_comments.get(&column.name).cloned(),
                meaning: text_meanings.get(&column.name).copied(),
                ..DraftColumn::of(column)
            })
            .collect(),
        split_by: None,
    };
    match sample(&rows_of).await {
        Ok(values) => draft.guess(&values),
        Err(SampleError::Slow) => draft.guess_by_names(),
        Err(SampleError::Failed(e)) => return Err(format!("its rows can't be read: {}", e.user_message())),
    }
    draft.split_by = split_by(server, relation, &rows_of, &draft.columns).await;
    Ok(draft)
}

fn remarks(relation: &Relation, unreadable: &[String]) -> Vec<String> {
    let mut remarks = Vec::new();
    if relation.kind == RelationKind::Partitioned {
        remarks
            .push(format!("Its {} partitions are read through it, and are no datasets of their own.", relation.parts));
    } else if relation.parts > 0 {
        remarks.push(format!("It has the rows of {} tables that inherit from it, too.", relation.parts));
    }
    if relation.has_row_security {
        remarks.push("It has row security: only rows that the database user of Sluice may see are exported.".into());
    }
    if !unreadable.is_empty() {
        let names: Vec<_> = unreadable.iter().map(|name| format!("`{name}`")).collect();
        remarks.push(format!("Not offered: {}, which the database user has no right to read.", names.join(", ")));
    }
    remarks
}

/// Returns a guess for the key `split_by` of a view or a partitioned table, whose values split the rows into ranges for
/// several connections. The guess is one of `columns` that seems to have no personal data. Returns None for other
/// tables, because the exporter reads them by ranges of disk pages, and if no column is suitable.
async fn split_by(
    server: &PostgresServer,
    relation: &Relation,
    rows: &PostgresRows,
    columns: &[DraftColumn],
) -> Option<SplitBy> {
    let is_free = |name: &str| columns.iter().any(|column| column.name == name && column.guess.is_none());
    let (column, reason, applies) = match relation.kind {
        RelationKind::Partitioned if is_free(&relation.key) => {
            let reason = format!(
                "Guess: several connections read ranges of `{}`, the first column of its primary key or of another index.",
                relation.key
            );
            (relation.key.clone(), reason, true)
        }
        RelationKind::View => {
            let by_name = VIEW_KEYS.iter().copied().find(|name| is_free(name));
            let by_type = || {
                let whole = |column: &&DraftColumn| column.kind == ColumnType::Int && column.name.ends_with("_id");
                columns.iter().find(whole).map(|column| column.name.as_str())
            };
            let column = by_name.or_else(by_type).filter(|name| is_free(name))?;
            let reason = format!(
                "No guess: if the view is large and finds rows by `{column}` without computing all others, remove the `#` \
                 below, so that several connections read ranges of it."
            );
            (column.to_owned(), reason, false)
        }
        _ => return None,
    };
    match can_split(server, rows, &column).await {
        Ok(true) => Some(SplitBy { column, reason, applies }),
        _ => None,
    }
}
