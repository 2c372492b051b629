//! The JSON Schema of the settings, and the reference page that is generated from it.

use std::fmt::Write as _;

use platform::secret::with_exposed_secrets;
use schemars::schema_for;
use serde_json::Value;

use crate::settings::Settings;

/// The text of the reference page before the tables.
const HEAD: &str = "\
# Settings

This page is generated: `sluice config reference` prints it from the types of the settings. [operations.md](operations.md#configure) shows the settings that matter first.

Settings are read from four sources, of which a later one overrides an earlier one: the defaults below, `sluice.toml` in the folder of
`--data-dir`, the file of `--config`, and the environment. `SLUICE_GATEWAY__LISTEN` sets `listen` in `[gateway]`, and
`SLUICE_NATS__PASSWORD_FILE` names a file that holds `password` in `[nats]`. An unknown key is an error. `sluice config` prints the effective
settings with secrets hidden.

A duration is a text with a unit, such as `\"30s\"`, `\"1m 30s\"` or `\"24h\"`; a size is one such as `\"64 KiB\"` or `\"8 MiB\"`.

**In an editor.** `sluice config schema > sluice.schema.json` writes the JSON Schema of the settings. With this first line in `sluice.toml`,
editors that use taplo (Even Better TOML for VS Code, and others) complete, explain and check the settings:

```toml
#:schema ./sluice.schema.json
```

";

/// The text of the reference page after the tables.
const TRACES: &str = "\
## Traces

Traces are configured by the standard variables of OpenTelemetry, which are not settings: `OTEL_EXPORTER_OTLP_ENDPOINT` or
`OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` (without an endpoint no trace is sent), `OTEL_EXPORTER_OTLP_HEADERS` or `OTEL_EXPORTER_OTLP_TRACES_HEADERS`
(secret), `OTEL_EXPORTER_OTLP_TIMEOUT`, `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG`, `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`,
`OTEL_BSP_MAX_QUEUE_SIZE`, `OTEL_BSP_MAX_EXPORT_BATCH_SIZE` and `OTEL_BSP_SCHEDULE_DELAY`.
";

/// One TOML table of settings, as the page shows it.
#[derive(Debug, Default)]
struct Section {
    /// The dotted name of the table; empty for the top level.
    name: String,
    description: String,
    settings: Vec<Setting>,
}

/// One setting, as a row of its table on the page.
#[derive(Debug)]
struct Setting {
    name: String,
    default: String,
    kind: String,
    description: String,
}

/// Returns the JSON Schema of the settings, with their defaults.
#[must_use]
pub fn json_schema() -> Value {
    // expose the default values of secret settings, because the defaults are not secret
    with_exposed_secrets(|| schema_for!(Settings).to_value())
}

/// Returns the reference page in Markdown: a table for each section.
#[must_use]
pub fn markdown() -> String {
    let mut page = HEAD.to_owned();
    for section in sections(&json_schema()) {
        let title = if section.name.is_empty() { "Top level".to_owned() } else { format!("`[{}]`", section.name) };
        let _infallible = write!(page, "## {title}\n\n{}\n\n", section.description);
        page += "| setting | default | type | what it does |\n|---|---|---|---|\n";
        for Setting { name, default, kind, description } in &section.settings {
            let _infallible = writeln!(page, "| `{name}` | {default} | {kind} | {description} |");
        }
        page.push('\n');
    }
    page + TRACES
}

/// Returns the sections of a schema, in the order in which the Rust types of the settings declare them.
fn sections(schema: &Value) -> Vec<Section> {
    let mut sections = vec![];
    let description = "Settings of the whole installation.".to_owned();
    collect(schema, schema, String::new(), description, &mut sections);
    sections.retain(|section| !section.settings.is_empty());
    // a schema sorts its members by name, so take the order from TOML text, which keeps the order of the types
    let toml = toml::to_string(&Settings::default()).unwrap_or_default();
    let order = declared_order(&toml);
    let position = |name: &str| order.iter().position(|declared| declared == name).unwrap_or(order.len());
    sections.sort_by_key(|section| position(&section.name));
    for Section { name: section, settings, .. } in &mut sections {
        settings.sort_by_key(|setting| position(&dotted(section, &setting.name)));
    }
    sections
}

/// Returns the dotted names of the tables and settings in a TOML text, in the order of the text. The top level comes
/// first.
fn declared_order(toml: &str) -> Vec<String> {
    let mut names = vec![String::new()];
    let mut table = "";
    for line in toml.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            table = name;
            names.push(name.to_owned());
        } else if let Some((name, _)) = line.split_once(" = ") {
            names.push(dotted(table, name));
        }
    }
    names
}

fn dotted(table: &str, name: &str) -> String {
    if table.is_empty() { name.to_owned() } else { format!("{table}.{name}") }
}

fn collect(root: &Value, table: &Value, name: String, description: String, sections: &mut Vec<Section>) {
    let mut section = Section { name: name.clone(), description, settings: vec![] };
    let mut below = vec![];
    for (key, property) in table["properties"].as_object().into_iter().flatten() {
        let target = resolve(root, property);
        let description = cell(text(property, "description").or(text(target, "description")).unwrap_or_default());
        if target["properties"].is_object() {
            below.push((target, without_table_name(&description), dotted(&name, key)));
        } else {
            let (default, kind) = (default(&property["default"]), kind(root, property));
            section.settings.push(Setting { name: key.clone(), default, kind, description });
        }
    }
    sections.push(section);
    for (table, description, name) in below {
        collect(root, table, name, description, sections);
    }
}

/// Returns the definition that a schema refers to, or the schema itself.
fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let name = schema["$ref"].as_str().and_then(|reference| reference.strip_prefix("#/$defs/"));
    name.map_or(schema, |name| &root["$defs"][name])
}

fn text<'a>(schema: &'a Value, member: &str) -> Option<&'a str> {
    schema[member].as_str()
}

/// Removes a leading `` `[table]`: `` and starts the rest with a capital letter.
fn without_table_name(description: &str) -> String {
    let rest =
        description.strip_prefix("`[").and_then(|rest| rest.split_once("]`: ")).map_or(description, |(_, rest)| rest);
    let mut chars = rest.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// Joins the lines of a text, and escapes the text for a cell of a table.
fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

/// Returns a default value in TOML.
fn default(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        value => format!("`{}`", cell(&value.to_string())),
    }
}

/// Returns the type of a setting in words.
fn kind(root: &Value, property: &Value) -> String {
    match property["$ref"].as_str().and_then(|reference| reference.strip_prefix("#/$defs/")) {
        Some("Duration") => return "duration".into(),
        Some("ByteSize") => return "size".into(),
        Some("Secret") => return "text, secret".into(),
        _ => {}
    }
    let schema = resolve(root, property);
    let choices = schema["oneOf"].as_array().or(schema["enum"].as_array());
    if let Some(choices) = choices {
        let values = choices.iter().map(|choice| choice.get("const").unwrap_or(choice).to_string());
        return values.map(|value| format!("`{value}`")).collect::<Vec<_>>().join(", ");
    }
    if let Some(variants) = schema["anyOf"].as_array() {
        let variant = variants.iter().find(|variant| variant["type"] != "null");
        return variant.map_or_else(String::new, |variant| format!("{}, optional", kind(root, variant)));
    }
    let names = match &schema["type"] {
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        name => name.as_str().into_iter().collect::<Vec<_>>(),
    };
    let optional = if names.contains(&"null") { ", optional" } else { "" };
    let name = match names.iter().find(|name| **name != "null") {
        Some(&"string") => "text".to_owned(),
        Some(&"integer") => "integer".to_owned(),
        Some(&"number") => "number".to_owned(),
        Some(&"boolean") => "`true` or `false`".to_owned(),
        Some(&"array") => format!("list of {}", elements(root, &schema["items"])),
        Some(&"object") => format!("table of {}", elements(root, &schema["additionalProperties"])),
        _ => "any".to_owned(),
    };
    name + optional
}

/// Returns the type of the elements of a list or table, in the plural.
fn elements(root: &Value, items: &Value) -> String {
    let members = resolve(root, items)["properties"].as_object();
    match members {
        Some(members) => {
            let names: Vec<_> = members.keys().map(|name| format!("`{name}`")).collect();
            format!("tables with {}", names.join(", "))
        }
        None => kind(root, items) + "s",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The maximum number of settings. Users do not read a long page. Before you raise the number, consider a constant
    /// or a value that is derived from another setting.
    const MAX_SETTINGS: usize = 102;

    fn all() -> Vec<Section> {
        sections(&json_schema())
    }

    #[test]
    fn the_number_of_settings_stays_small() {
        let count: usize = all().iter().map(|section| section.settings.len()).sum();
        assert!(count <= MAX_SETTINGS, "{count} settings: decide whether each needs to be one");
    }

    #[test]
    fn every_setting_has_a_description_and_a_type() {
        for section in all() {
            assert!(!section.description.is_empty(), "[{}]", section.name);
            for setting in section.settings {
                let name = format!("{}.{}", section.name, setting.name);
                assert!(setting.description.split(' ').count() > 3, "{name}: {}", setting.description);
                assert!(!setting.kind.is_empty() && setting.kind != "any", "{name}: {}", setting.kind);
                for unit in ["_ms", "_s", "_seconds", "_bytes"] {
                    assert!(!name.ends_with(unit), "{name}: the value carries the unit");
                }
            }
        }
    }

    #[test]
    fn the_reference_names_units_and_defaults() {
        let page = markdown();
        for row in [
            "| `shutdown_grace` | `\"20s\"` | duration |",
            "| `schedule_time_zone` | `\"UTC\"` | text |",
            "| `password` | `\"\"` | text, secret |",
            "| `max_message_size` | `\"256 KiB\"` | size |",
        ] {
            assert!(page.contains(row), "{row}\n{page}");
        }
        assert!(page.contains("## `[gateway.identity.local]`\n"), "{page}");
    }

    #[test]
    fn the_page_in_the_documentation_is_the_generated_one() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/settings.md");
        let page = std::fs::read_to_string(file).unwrap_or_default();
        assert!(
            page == markdown(),
            "docs/settings.md is not the generated page: run `cargo run -p sluice -- config reference > docs/settings.md`"
        );
    }
}
