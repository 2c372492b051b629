//! Finds nodes of a query plan that may give different results at two reads of the same snapshot.

use serde_json::Value;

use super::{Doubt, part};

/// The [`Doubt::reason`] for a `Limit` node of a query plan. The planner may add such a node although the statement
/// asks for no limit.
pub(super) const LIMIT: &str = "limit";
pub(super) const DISTINCT_ON: &str = "distinct on";
const CUSTOM: &str = "a scan of an extension";

/// Returns the reason why a plan node forbids splitting its statement into ranges; None if the node allows it. A node
/// forbids splitting if two reads of the same snapshot may give the node different results. `is_generic` is true if the
/// plan was made without the values of parameters.
pub(super) fn refused(node: &Value, is_generic: bool) -> Option<Doubt> {
    let reason = match node["Node Type"].as_str()? {
        "Limit" if !is_min_or_max(node) => LIMIT,
        "WindowAgg" => "over",
        "Sample Scan" => "tablesample",
        "Unique" if !is_distinct(node) => DISTINCT_ON,
        // a foreign server does not use the same snapshot
        "Foreign Scan" => "a foreign table",
        "Custom Scan" => CUSTOM,
        // the executor removed partitions by a value that is known only at run time, such as the current time; a
        // generic plan removes all partitions, because its parameters have no values yet
        _ if !is_generic && node["Subplans Removed"].as_u64().is_some_and(|removed| removed > 0) => {
            "a partition chosen by the time"
        }
        _ => return None,
    };
    Some(Doubt { reason: reason.to_owned(), is_written: ![LIMIT, DISTINCT_ON, CUSTOM].contains(&reason) })
}

/// Whether a `Limit` node only finds a minimum or maximum by an index. The result of such a node is always the same
/// value, even if several rows have this value.
fn is_min_or_max(limit: &Value) -> bool {
    let (Some([value]), Some([inner])) =
        (limit["Output"].as_array().map(Vec::as_slice), limit["Plans"].as_array().map(Vec::as_slice))
    else {
        return false;
    };
    let condition = value.as_str().map(|value| format!("({value} IS NOT NULL)"));
    let scans = ["Index Cond", "Filter"].map(|name| inner[name].as_str());
    condition.is_some_and(|condition| scans.into_iter().flatten().any(|text| text.contains(&condition)))
}

/// Recognizes a `Limit` node that only takes the first value of a column from an index scan. PostgreSQL 17 and later
/// find the minimum or maximum of a NOT NULL column in this way. Such a node does not forbid splitting the statement
/// into ranges, because all connections that share a snapshot find the same value. Returns the schema of the index, the
/// name of the index, and the column. Returns None for any other node.
pub(super) fn leading(node: &Value) -> Option<(String, String, String)> {
    let (Some([value]), Some([inner])) =
        (node["Output"].as_array().map(Vec::as_slice), node["Plans"].as_array().map(Vec::as_slice))
    else {
        return None;
    };
    let is_scan = matches!(inner["Node Type"].as_str()?, "Index Scan" | "Index Only Scan");
    if node["Node Type"] != "Limit" || !is_scan || inner["Output"] != node["Output"] || is_min_or_max(node) {
        return None;
    }
    let value = value.as_str()?;
    let column = value[part(value).1..].strip_prefix('.')?;
    let text = |name: &str| inner[name].as_str().map(str::to_owned);
    Some((text("Schema")?, text("Index Name")?, column.to_owned()))
}

/// Whether a `Unique` node compares all its output columns. If it does not, the node chooses one of the rows with equal
/// keys arbitrarily, so its result may differ between runs.
fn is_distinct(unique: &Value) -> bool {
    let texts = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let outputs = texts(&unique["Output"]);
    let keys = texts(&unique["Plans"][0]["Sort Key"]);
    let is_key = |output: &String| keys.iter().any(|key| key == output || key.starts_with(&format!("{output} ")));
    outputs.len() < 2 || outputs.iter().all(is_key)
}
