//! A template that a team wrote down.

use std::fmt::{Debug, Display};

use aws_lc_rs::digest::{SHA256, digest};
use chrono_tz::Tz;
use polars::prelude::{Expr, col};
use protocol::catalog::{Column, ColumnType, TemplateColumn};

use super::{
    FileName, Shape, Template, TemplateError,
    expr::{self, Computed},
    shape::SortKey,
    spec::{ColumnSpec, Fault, SortSpec, TemplateSpec},
};
use crate::{
    dataset::Dataset,
    format::{
        COMPLETED_AT, ColumnLook, Layout, LayoutColumn, MadeBy, Pattern, Profile, REQUESTED_AT, Style, Timestamps,
    },
};

/// Digits after the decimal mark at most.
const MOST_DECIMALS: u8 = 20;
/// Characters of the digest that stands for a version.
const VERSION_DIGITS: usize = 12;

/// A template made of its description.
#[derive(Clone, Debug)]
pub struct Declared {
    spec: TemplateSpec,
    title: String,
    version: String,
}

impl Declared {
    /// The template that a description says. Whether it suits a dataset is found by [`TemplateSpec::validate`].
    #[must_use]
    pub fn new(spec: TemplateSpec) -> Self {
        let title = spec.title.clone().unwrap_or_else(|| spec.name.clone());
        let version = spec.version.clone().unwrap_or_else(|| digest_of(&spec));
        Self { spec, title, version }
    }
}

/// A version that changes when anything in a description does.
pub(crate) fn digest_of(spec: &impl Debug) -> String {
    let mut text = hex::encode(digest(&SHA256, format!("{spec:?}").as_bytes()));
    text.truncate(VERSION_DIGITS);
    text
}

impl Template for Declared {
    fn name(&self) -> &str {
        &self.spec.name
    }

    fn title(&self) -> &str {
        &self.title
    }

    fn version(&self) -> &str {
        &self.version
    }

    fn fits(&self, dataset: &dyn Dataset) -> bool {
        let datasets = &self.spec.datasets;
        let meant = datasets.is_empty() || datasets.iter().any(|name| name == dataset.name());
        meant && resolve(&self.spec, dataset.columns(), dataset.hidden()).is_ok()
    }

    fn columns(&self, dataset: &dyn Dataset) -> Option<Vec<TemplateColumn>> {
        if self.spec.columns.is_empty() {
            return None;
        }
        let resolved = resolve(&self.spec, dataset.columns(), dataset.hidden()).ok()?;
        let columns = resolved.columns.into_iter().map(|made| TemplateColumn {
            column: Column { name: made.name, label: Some(made.column.title), ..made.column.source },
            reads: made.reads,
        });
        Some(columns.collect())
    }

    fn layout(&self, dataset: &dyn Dataset, wanted: &[String]) -> Result<Layout, TemplateError> {
        let resolved = resolve(&self.spec, dataset.columns(), dataset.hidden()).map_err(|faults| {
            let first = faults.into_iter().next();
            TemplateError::Unsuited(first.map_or_else(String::new, |fault| format!("{}: {}", fault.path, fault.detail)))
        })?;
        let made_by = MadeBy { template: self.spec.name.clone(), version: self.version.clone() };
        if resolved.columns.is_empty() {
            return Err(TemplateError::Unsuited("all of its columns are made of ones that are hidden".into()));
        }
        resolved.layout(wanted, made_by)
    }
}

/// A description brought together with the columns of a dataset.
pub(super) struct Resolved {
    style: Style,
    timestamps: Timestamps,
    file_name: FileName,
    columns: Vec<Made>,
    sort: Vec<(SortKey, Vec<String>)>,
}

/// One column of a file and how it is made.
struct Made {
    /// The name under which it is asked for and sorted by.
    name: String,
    column: LayoutColumn,
    expr: Expr,
    /// The dataset's columns that its values are made of; none for a constant.
    reads: Vec<String>,
    /// The dataset's columns that are needed for it.
    inputs: Vec<String>,
    /// Whether it is a column of the dataset as it is.
    plain: bool,
}

impl Resolved {
    /// The layout with the columns asked for, in that order; none means all.
    fn layout(self, wanted: &[String], made_by: MadeBy) -> Result<Layout, TemplateError> {
        let all = self.columns;
        let chosen: Vec<&Made> = if wanted.is_empty() {
            all.iter().collect()
        } else {
            let mut chosen: Vec<&Made> = Vec::with_capacity(wanted.len());
            for name in wanted {
                let found = all.iter().find(|made| made.name == *name);
                let found = found.ok_or_else(|| TemplateError::NoColumn(name.clone()))?;
                if chosen.iter().any(|made| made.name == *name) {
                    return Err(TemplateError::Twice(name.clone()));
                }
                chosen.push(found);
            }
            chosen
        };
        let mut inputs: Vec<String> = Vec::new();
        let read = chosen.iter().flat_map(|made| &made.inputs).chain(self.sort.iter().flat_map(|(_, inputs)| inputs));
        for name in read {
            if !inputs.contains(name) {
                inputs.push(name.clone());
            }
        }
        let untouched = chosen.iter().all(|made| made.plain)
            && inputs.len() == chosen.len()
            && chosen.iter().zip(&inputs).all(|(made, input)| made.column.source.name == *input);
        let outputs = (!untouched).then(|| chosen.iter().map(|made| made.expr.clone()).collect());
        let mut columns: Vec<LayoutColumn> = chosen.into_iter().map(|made| made.column.clone()).collect();
        if self.timestamps == Timestamps::Columns {
            for name in [REQUESTED_AT, COMPLETED_AT] {
                let column = Column { nullable: false, ..Column::new(name, ColumnType::Datetime) };
                columns.push(LayoutColumn::plain(column));
            }
        }
        let shape = Shape::new(inputs, outputs, self.sort.into_iter().map(|(key, _)| key).collect());
        Ok(Layout {
            columns,
            timestamps: self.timestamps,
            style: self.style,
            shape,
            made_by,
            file_name: self.file_name,
        })
    }
}

/// Faults as they are found.
#[derive(Default)]
struct Faults(Vec<Fault>);

impl Faults {
    fn add(&mut self, path: impl Into<String>, detail: impl Display) {
        self.0.push(Fault { path: path.into(), detail: detail.to_string() });
    }

    /// The value, or None and a fault.
    fn note<T, E: Display>(&mut self, path: impl Into<String>, result: Result<T, E>) -> Option<T> {
        result.map_err(|e| self.add(path, e)).ok()
    }
}

/// Brings a description together with the columns of a dataset. What reads hidden ones is checked, and then left out:
/// columns, and keys of the order too, as an order tells much about what it is by.
///
/// # Errors
/// All faults.
pub(super) fn resolve(spec: &TemplateSpec, seen: &[Column], hidden: &[Column]) -> Result<Resolved, Vec<Fault>> {
    let all = [seen, hidden].concat();
    let (dataset, is_hidden) = (all.as_slice(), |name: &String| hidden.iter().any(|column| column.name == *name));
    let mut faults = Faults::default();
    let word = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    if !word(&spec.name) {
        faults.add("name", "a name has letters, digits, `-`, `_` and `.`");
    }
    let zone = spec.time_zone.as_ref().and_then(|name| {
        let zone = name.parse::<Tz>().map_err(|_| format!("`{name}` is no time zone; write one such as Europe/Berlin"));
        faults.note("time_zone", zone)
    });
    let style = style(spec, zone, &mut faults);
    let file_name = match &spec.file_name {
        Some(pattern) => faults.note("file_name", FileName::parse(pattern, zone)).unwrap_or_default(),
        None => FileName::default(),
    };
    let timestamps = spec.timestamps.unwrap_or(match spec.profile {
        Profile::Machine => Timestamps::Envelope,
        Profile::Spreadsheet => Timestamps::Rows,
    });
    let mut columns = columns(spec, seen, dataset, &mut faults);
    let mut titles: Vec<&str> = columns.iter().map(|made| made.column.title.as_str()).collect();
    if timestamps == Timestamps::Columns {
        titles.extend([REQUESTED_AT, COMPLETED_AT]);
    }
    for (index, title) in titles.iter().enumerate() {
        if titles[..index].contains(title) {
            faults.add("column", format!("two columns are called `{title}`; give one of them another label"));
        }
    }
    let sort = spec.sort.iter().enumerate();
    let sort = sort.filter_map(|(index, key)| sort_key(index, key, dataset, &columns, &mut faults)).collect();
    let mut sort: Vec<(SortKey, Vec<String>)> = sort;
    sort.retain(|(_, inputs)| !inputs.iter().any(is_hidden));
    columns.retain(|made| !made.inputs.iter().any(is_hidden));
    if faults.0.is_empty() { Ok(Resolved { style, timestamps, file_name, columns, sort }) } else { Err(faults.0) }
}

/// The profile with what the description changes.
fn style(spec: &TemplateSpec, zone: Option<Tz>, faults: &mut Faults) -> Style {
    let text = &spec.text;
    let mut style = Style { time_zone: zone, ..Style::of(spec.profile) };
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
            other => faults.add("text.decimal_mark", format!("`{other}` is no decimal mark: use . or ,")),
        }
    }
    if let Some(null) = &text.null {
        if null.len() > 32 || null.contains(['"', '\n', '\r', ',', ';', '|', '\t', '#']) {
            faults.add("text.null", "what stands for NULL has at most 32 bytes, no quote, delimiter, # or line end");
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

/// The columns of the file: those described, or all of the dataset that are seen.
fn columns(spec: &TemplateSpec, seen: &[Column], dataset: &[Column], faults: &mut Faults) -> Vec<Made> {
    if spec.columns.is_empty() {
        let plain = |column: &Column| ColumnSpec { source: Some(column.name.clone()), ..ColumnSpec::default() };
        let all: Vec<_> = seen.iter().map(plain).collect();
        return all.iter().enumerate().filter_map(|(i, one)| made(i, one, spec, dataset, faults)).collect();
    }
    let mut columns: Vec<Made> = Vec::with_capacity(spec.columns.len());
    for (index, column) in spec.columns.iter().enumerate() {
        let Some(made) = made(index, column, spec, dataset, faults) else { continue };
        if columns.iter().any(|other| other.name == made.name) {
            faults.add(format!("column[{index}]"), format!("`{}` is there twice; give one another `name`", made.name));
        }
        columns.push(made);
    }
    columns
}

fn made(
    index: usize,
    spec: &ColumnSpec,
    template: &TemplateSpec,
    dataset: &[Column],
    faults: &mut Faults,
) -> Option<Made> {
    let at = |field: &str| format!("column[{index}].{field}");
    let (source, computed) = match (&spec.source, &spec.value, &spec.name) {
        (Some(source), None, _) => {
            let found = dataset.iter().find(|column| column.name == *source);
            let found = found.ok_or_else(|| format!("this dataset has no column `{source}`"));
            (faults.note(at("source"), found)?.clone(), None)
        }
        (None, Some(value), Some(name)) => {
            let computed = faults.note(at("value"), expr::compile(value, dataset))?;
            (Column::new(name.clone(), computed.kind), Some(computed))
        }
        (None, Some(_), None) => return faults.note(at("name"), Err("a calculated column needs a `name`")),
        (Some(_), Some(_), _) => {
            return faults.note(at("value"), Err("a column has a `source` or a `value`, not both"));
        }
        (None, None, _) => return faults.note(at("source"), Err("a column has a `source` or a `value`")),
    };
    let look = look(spec, source.kind, &at, faults);
    let own = || match template.profile {
        Profile::Spreadsheet => source.label.clone().unwrap_or_else(|| source.name.clone()),
        Profile::Machine => source.name.clone(),
    };
    let title = spec.label.clone().unwrap_or_else(own);
    let name = spec.name.clone().unwrap_or_else(|| source.name.clone());
    let plain = computed.is_none();
    let Computed { expr, columns, .. } = computed.unwrap_or_else(|| Computed {
        expr: col(source.name.as_str()),
        kind: source.kind,
        columns: vec![source.name.clone()],
    });
    // a constant still needs a column, which says how many rows there are
    let first = || dataset.iter().take(1).map(|c| c.name.clone()).collect();
    let inputs = if columns.is_empty() { first() } else { columns.clone() };
    Some(Made { name, column: LayoutColumn { source, title, look }, expr, reads: columns, inputs, plain })
}

/// How values are written, if their type can be written so.
fn look(spec: &ColumnSpec, kind: ColumnType, at: &dyn Fn(&str) -> String, faults: &mut Faults) -> ColumnLook {
    let number = matches!(kind, ColumnType::Int | ColumnType::Float | ColumnType::Decimal);
    if let Some(decimals) = spec.decimals {
        if !number {
            faults.add(at("decimals"), "only numbers have decimals");
        } else if decimals > MOST_DECIMALS {
            faults.add(at("decimals"), format!("at most {MOST_DECIMALS}"));
        }
    }
    if let Some(mark) = spec.grouping {
        if !number {
            faults.add(at("grouping"), "only numbers have groups of digits");
        } else if !",. '_\u{a0}\u{202f}\u{2019}".contains(mark) {
            faults.add(at("grouping"), format!("`{mark}` does not stand between digits: use , . ' _ or a space"));
        }
    }
    if spec.words.is_some() && kind != ColumnType::Bool {
        faults.add(at("words"), "only true and false have words");
    }
    if let Some([yes, no]) = &spec.words
        && (yes == no || yes.is_empty() || no.is_empty())
    {
        faults.add(at("words"), "give two different words, for true and for false");
    }
    let pattern = spec.pattern.as_ref().and_then(|text| faults.note(at("pattern"), Pattern::parse(text)));
    if let Some(pattern) = &pattern {
        let fits = match kind {
            ColumnType::Date => !pattern.has_time(),
            ColumnType::Time => !pattern.has_date() && !pattern.has_offset(),
            ColumnType::Datetime => true,
            _ => false,
        };
        if !fits {
            faults.add(at("pattern"), format!("`{pattern}` has parts that this column does not have"));
        }
    }
    let words = spec.words.clone().map(|[yes, no]| (yes, no));
    ColumnLook { decimals: spec.decimals, grouping: spec.grouping, pattern, words }
}

fn sort_key(
    index: usize,
    key: &SortSpec,
    dataset: &[Column],
    columns: &[Made],
    faults: &mut Faults,
) -> Option<(SortKey, Vec<String>)> {
    let sort = |value: &Expr, inputs: Vec<String>| {
        Some((SortKey { value: value.clone(), descending: key.descending }, inputs))
    };
    if let Some(made) = columns.iter().find(|made| made.name == key.column) {
        return sort(&made.expr, made.inputs.clone());
    }
    if dataset.iter().any(|column| column.name == key.column) {
        return sort(&col(key.column.as_str()), vec![key.column.clone()]);
    }
    let detail = format!("neither the dataset nor this template has a column `{}`", key.column);
    faults.add(format!("sort[{index}].column"), detail);
    None
}
