//! Resolves a template of the catalog file for a dataset: finds the dataset's columns that the template names, and
//! reports all faults of the template. The template is a [`TemplateSpec`], the `[[template]]` table of the file.

use std::fmt::Display;

use chrono_tz::Tz;
use polars::prelude::Expr;
use protocol::catalog::{Column, ColumnType};

use super::{
    TemplateError,
    expr::{self, Computed},
    spec::{ColumnSpec, Fault, SortSpec, TemplateSpec},
};
use crate::{
    format::named_column,
    layout::{
        COMPLETED_AT, ColumnStyle, FileName, Layout, LayoutColumn, Pattern, Profile, Projection, REQUESTED_AT, SortKey,
        Style, TemplateVersion, Timestamps,
    },
    value::decimal_key,
};

/// The largest number of digits after the decimal mark that a template may request for a column.
const MAX_DECIMALS: u8 = 20;

impl TemplateSpec {
    /// Checks this template against the columns of one dataset. The check cannot detect errors that depend on the
    /// values of rows.
    ///
    /// # Errors
    /// When the description has faults; the error lists all of them.
    pub fn validate(&self, dataset_columns: &[Column]) -> Result<(), Vec<Fault>> {
        resolve(self, dataset_columns, &[]).map(drop)
    }
}

/// A template whose columns and sort keys are resolved to columns of a dataset.
pub(super) struct Resolved {
    style: Style,
    timestamps: Timestamps,
    file_name: FileName,
    pub(super) columns: Vec<ResolvedColumn>,
    /// The sort keys, each with the dataset's columns that it reads.
    sort: Vec<(SortKey, Vec<String>)>,
}

/// One column of a template, with the expression that calculates its values.
pub(super) struct ResolvedColumn {
    /// The name of the column in requests and sort keys.
    pub(super) name: String,
    pub(super) layout_column: LayoutColumn,
    expr: Expr,
    /// The dataset's columns that the expression names; empty for a constant.
    pub(super) reads: Vec<String>,
    /// The dataset's columns that the pipeline must read. This equals `reads`, except for a constant: there it is the
    /// first column, because polars takes the number of rows from a column.
    inputs: Vec<String>,
    /// Whether the column is a column of the dataset; false for a calculated column.
    plain: bool,
}

impl Resolved {
    /// Returns the layout of the `requested` columns, in the order of `requested`. If `requested` is empty, returns the
    /// layout of all columns of the template.
    pub(super) fn layout(self, requested: &[String], template: TemplateVersion) -> Result<Layout, TemplateError> {
        let all = self.columns;
        let chosen: Vec<&ResolvedColumn> = if requested.is_empty() {
            all.iter().collect()
        } else {
            let mut chosen: Vec<&ResolvedColumn> = Vec::with_capacity(requested.len());
            for name in requested {
                let found = all.iter().find(|column| column.name == *name);
                let found = found.ok_or_else(|| TemplateError::NoColumn(name.clone()))?;
                if chosen.iter().any(|column| column.name == *name) {
                    return Err(TemplateError::Twice(name.clone()));
                }
                chosen.push(found);
            }
            chosen
        };
        let mut inputs: Vec<String> = Vec::new();
        let read =
            chosen.iter().flat_map(|column| &column.inputs).chain(self.sort.iter().flat_map(|(_, inputs)| inputs));
        for name in read {
            if !inputs.contains(name) {
                inputs.push(name.clone());
            }
        }
        let identity = chosen.iter().all(|column| column.plain)
            && inputs.len() == chosen.len()
            && chosen.iter().zip(&inputs).all(|(column, input)| column.layout_column.source.name == *input);
        let outputs = (!identity).then(|| chosen.iter().map(|column| column.expr.clone()).collect());
        let mut columns: Vec<LayoutColumn> = chosen.into_iter().map(|column| column.layout_column.clone()).collect();
        if self.timestamps == Timestamps::Columns {
            for name in [REQUESTED_AT, COMPLETED_AT] {
                let column = Column { nullable: false, ..Column::new(name, ColumnType::Datetime) };
                columns.push(LayoutColumn::plain(column));
            }
        }
        let projection = Projection::new(inputs, outputs, self.sort.into_iter().map(|(key, _)| key).collect());
        Ok(Layout {
            columns,
            timestamps: self.timestamps,
            style: self.style,
            projection,
            template,
            file_name: self.file_name,
        })
    }
}

/// Collects the faults of a template, each with the path of the faulty option.
#[derive(Default)]
struct Faults(Vec<Fault>);

impl Faults {
    fn add(&mut self, path: impl Into<String>, detail: impl Display) {
        self.0.push(Fault { path: path.into(), detail: detail.to_string() });
    }

    /// Returns the value of `result`. If `result` is an error, records it as a fault at `path`, and returns None.
    fn record<T, E: Display>(&mut self, path: impl Into<String>, result: Result<T, E>) -> Option<T> {
        result.map_err(|e| self.add(path, e)).ok()
    }
}

/// Resolves the template `spec` against the columns of a dataset. The user may see the `visible` columns, but not the
/// `hidden` ones. The result omits columns and sort keys that read a hidden column, because even the order of the rows
/// would reveal hidden values. The omitted columns and keys are still checked for faults.
///
/// # Errors
/// When the description has faults; the error lists all of them.
pub(super) fn resolve(spec: &TemplateSpec, visible: &[Column], hidden: &[Column]) -> Result<Resolved, Vec<Fault>> {
    let all = [visible, hidden].concat();
    let (dataset, is_hidden) = (all.as_slice(), |name: &String| hidden.iter().any(|column| column.name == *name));
    let mut faults = Faults::default();
    let is_name = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    if !is_name(&spec.name) {
        faults.add("name", "a name has letters, digits, `-`, `_` and `.`");
    }
    let time_zone = spec.time_zone.as_ref().and_then(|name| {
        let zone = name
            .parse::<Tz>()
            .map_err(|_| format!("`{name}` is not a time zone: use an IANA name such as Europe/Berlin"));
        faults.record("time_zone", zone)
    });
    let style = style(spec, time_zone, &mut faults);
    let file_name = match &spec.file_name {
        Some(pattern) => faults.record("file_name", FileName::parse(pattern, time_zone)).unwrap_or_default(),
        None => FileName::default(),
    };
    let timestamps = spec.timestamps.unwrap_or(match spec.profile {
        Profile::Machine => Timestamps::Envelope,
        Profile::Spreadsheet => Timestamps::Rows,
    });
    for (index, column) in spec.columns.iter().enumerate() {
        if column.grouping == Some(char::from(style.decimal_mark)) {
            let detail = "the decimal mark can't stand between groups of digits: use another character for one of them";
            faults.add(format!("column[{index}].grouping"), detail);
        }
    }
    let mut columns = columns(spec, visible, dataset, &mut faults);
    let mut titles: Vec<&str> = columns.iter().map(|column| column.layout_column.title.as_str()).collect();
    if timestamps == Timestamps::Columns {
        titles.extend([REQUESTED_AT, COMPLETED_AT]);
    }
    for (index, title) in titles.iter().enumerate() {
        if titles[..index].contains(title) {
            faults.add("column", format!("two columns have the title `{title}`: change the label of one of them"));
        }
    }
    let sort = spec.sort.iter().enumerate();
    let sort = sort.filter_map(|(index, key)| sort_key(index, key, dataset, &columns, &mut faults)).collect();
    let mut sort: Vec<(SortKey, Vec<String>)> = sort;
    sort.retain(|(_, inputs)| !inputs.iter().any(is_hidden));
    columns.retain(|column| !column.inputs.iter().any(is_hidden));
    if faults.0.is_empty() { Ok(Resolved { style, timestamps, file_name, columns, sort }) } else { Err(faults.0) }
}

/// Returns the style of the files, whose timestamps have the time zone `time_zone`. Options that the template sets in
/// `[template.text]` replace the defaults of the template's profile. Records invalid options in `faults`.
fn style(spec: &TemplateSpec, time_zone: Option<Tz>, faults: &mut Faults) -> Style {
    let text = &spec.text;
    let mut style = Style { time_zone, ..Style::of(spec.profile) };
    if let Some(delimiter) = text.delimiter {
        match delimiter {
            ',' | ';' | '|' | '\t' => style.delimiter = u8::try_from(delimiter).ok(),
            other => faults.add("text.delimiter", format!("`{other}` does not separate fields: use , ; | or TAB")),
        }
    }
    if let Some(mark) = text.decimal_mark {
        match mark {
            '.' => style.decimal_mark = b'.',
            ',' => style.decimal_mark = b',',
            other => faults.add("text.decimal_mark", format!("`{other}` is not a decimal mark: use . or ,")),
        }
    }
    if let Some(null) = &text.null {
        if null.len() > 32 || null.contains(['"', '\n', '\r', ',', ';', '|', '\t', '#']) {
            faults.add("text.null", "the text for NULL has at most 32 bytes, no quote, delimiter, # or line end");
        }
        style.null.clone_from(null);
    }
    style.bom = text.bom.unwrap_or(style.bom);
    style.quoting = text.quoting.unwrap_or(style.quoting);
    style.line_end = text.line_end.unwrap_or(style.line_end);
    style.digits_as_text = text.digits_as_text.unwrap_or(style.digits_as_text);
    style.formula_guard = text.formula_guard.unwrap_or(style.formula_guard);
    style
}

/// Resolves the columns that the template `spec` lists. If it lists no columns, resolves all `visible` columns, which
/// the user may see. `dataset` has the visible and the hidden columns of the dataset.
fn columns(spec: &TemplateSpec, visible: &[Column], dataset: &[Column], faults: &mut Faults) -> Vec<ResolvedColumn> {
    if spec.columns.is_empty() {
        let plain = |column: &Column| ColumnSpec { source: Some(column.name.clone()), ..ColumnSpec::default() };
        let all: Vec<_> = visible.iter().map(plain).collect();
        return all.iter().enumerate().filter_map(|(i, one)| resolved_column(i, one, spec, dataset, faults)).collect();
    }
    let mut columns: Vec<ResolvedColumn> = Vec::with_capacity(spec.columns.len());
    for (index, column) in spec.columns.iter().enumerate() {
        let Some(resolved) = resolved_column(index, column, spec, dataset, faults) else { continue };
        if columns.iter().any(|other| other.name == resolved.name) {
            faults.add(
                format!("column[{index}]"),
                format!("the name `{}` is used twice: change one `name`", resolved.name),
            );
        }
        columns.push(resolved);
    }
    columns
}

/// Resolves `spec`, the column at `index` of the template, to columns of the dataset, `dataset`. Records the faults of
/// this column in `faults`. Returns None if a fault makes a result impossible.
fn resolved_column(
    index: usize,
    spec: &ColumnSpec,
    template: &TemplateSpec,
    dataset: &[Column],
    faults: &mut Faults,
) -> Option<ResolvedColumn> {
    let at = |field: &str| format!("column[{index}].{field}");
    let (source, computed) = match (&spec.source, &spec.value, &spec.name) {
        (Some(source), None, _) => {
            let found = dataset.iter().find(|column| column.name == *source);
            let found = found.ok_or_else(|| format!("this dataset has no column `{source}`"));
            (faults.record(at("source"), found)?.clone(), None)
        }
        (None, Some(value), Some(name)) => {
            let computed = faults.record(at("value"), expr::compile(value, dataset))?;
            (Column::new(name.clone(), computed.kind).typed(computed.kind, computed.local), Some(computed))
        }
        (None, Some(_), None) => return faults.record(at("name"), Err("a calculated column needs a `name`")),
        (Some(_), Some(_), _) => {
            return faults.record(at("value"), Err("a column has a `source` or a `value`, not both"));
        }
        (None, None, _) => return faults.record(at("source"), Err("a column has a `source` or a `value`")),
    };
    let style = column_style(spec, &source, &at, faults);
    let name = spec.name.clone().unwrap_or_else(|| source.name.clone());
    let source_label = source.label.clone().filter(|_| template.profile == Profile::Spreadsheet);
    let title = spec.label.clone().or(source_label).unwrap_or_else(|| name.clone());
    let plain = computed.is_none();
    let Computed { expr, columns, .. } = computed.unwrap_or_else(|| Computed {
        expr: named_column(&source.name),
        kind: source.kind,
        local: source.local,
        columns: vec![source.name.clone()],
    });
    // polars takes the number of rows from an input column, so a constant needs one
    let first = || dataset.iter().take(1).map(|c| c.name.clone()).collect();
    let inputs = if columns.is_empty() { first() } else { columns.clone() };
    Some(ResolvedColumn {
        name,
        layout_column: LayoutColumn { source, title, style },
        expr,
        reads: columns,
        inputs,
        plain,
    })
}

/// Resolves the style of a column. Records a fault for each option that does not fit the type of the column. `at`
/// returns the path of an option, for the fault.
fn column_style(spec: &ColumnSpec, source: &Column, at: &dyn Fn(&str) -> String, faults: &mut Faults) -> ColumnStyle {
    let kind = source.kind;
    let number = matches!(kind, ColumnType::Int | ColumnType::Float | ColumnType::Decimal);
    if let Some(decimals) = spec.decimals {
        if !number {
            faults.add(at("decimals"), "only numbers have decimals");
        } else if decimals > MAX_DECIMALS {
            faults.add(at("decimals"), format!("at most {MAX_DECIMALS}"));
        }
    }
    if let Some(mark) = spec.grouping {
        if !number {
            faults.add(at("grouping"), "only numbers have grouping");
        } else if !",. '_\u{a0}\u{202f}\u{2019}".contains(mark) {
            faults.add(at("grouping"), format!("`{mark}` is not allowed between digits: use , . ' _ or a space"));
        }
    }
    if spec.words.is_some() && kind != ColumnType::Bool {
        faults.add(at("words"), "only boolean columns have words");
    }
    if let Some([yes, no]) = &spec.words
        && (yes == no || yes.is_empty() || no.is_empty())
    {
        faults.add(at("words"), "give two different words, for true and for false");
    }
    let pattern = spec.pattern.as_ref().and_then(|text| faults.record(at("pattern"), Pattern::parse(text)));
    if let Some(pattern) = &pattern {
        let fits = match kind {
            ColumnType::Date => !pattern.has_time(),
            ColumnType::Time => !pattern.has_date() && !pattern.has_offset(),
            ColumnType::Datetime => !(source.local && pattern.has_offset()),
            _ => false,
        };
        if !fits {
            faults.add(at("pattern"), format!("`{pattern}` has parts that this column does not have"));
        }
    }
    let words = spec.words.clone().map(|[yes, no]| (yes, no));
    ColumnStyle { decimals: spec.decimals, grouping: spec.grouping, pattern, words }
}

/// Resolves the sort key at `index` of the template. Returns the key, and the names of the dataset's columns that it
/// reads. Returns None if the key names an unknown column.
fn sort_key(
    index: usize,
    key: &SortSpec,
    dataset: &[Column],
    columns: &[ResolvedColumn],
    faults: &mut Faults,
) -> Option<(SortKey, Vec<String>)> {
    let sort = |value: Expr, kind: ColumnType, inputs: Vec<String>| {
        // decimals in text columns would sort by their characters instead of by value
        let value = if kind == ColumnType::Decimal { decimal_key::sortable(value) } else { value };
        Some((SortKey { value, descending: key.descending }, inputs))
    };
    if let Some(column) = columns.iter().find(|column| column.name == key.column) {
        return sort(column.expr.clone(), column.layout_column.source.kind, column.inputs.clone());
    }
    if let Some(column) = dataset.iter().find(|column| column.name == key.column) {
        return sort(named_column(&key.column), column.kind, vec![key.column.clone()]);
    }
    let detail = format!("neither the dataset nor this template has a column `{}`", key.column);
    faults.add(format!("sort[{index}].column"), detail);
    None
}
