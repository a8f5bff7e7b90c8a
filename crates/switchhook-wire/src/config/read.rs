//! Reading a tree: one reader per type of value, and a report that collects every problem on the way.
//!
//! A reader returns `None` when it has reported a problem, and reading goes on beside it. Nothing stops at
//! the first fault. The report is bounded: [`PROBLEMS_MAX`] errors and as many warnings are kept, the rest
//! are counted, so that no number of warnings can hide an error.

use std::fmt::Display;
use std::ops::RangeInclusive;

use serde_json::Value as Json;

use super::codes::{self, Code};
use super::document::{Document, Path, Step};
use super::node::{self, Field, Node, Text, Value};
use super::problem::{Problem, Spot};
use crate::{duration, size};

/// Most errors, and most warnings, kept of one configuration: more than anyone reads at once.
pub(super) const PROBLEMS_MAX: usize = 500;
/// Longest value that a message repeats, in characters.
const SHOWN_CHARS_MAX: usize = 60;

/// A value with the way to it.
#[derive(Debug, Clone)]
pub(super) struct Item<'n> {
    pub(super) node: &'n Node,
    pub(super) path: Path,
}

impl<'n> Item<'n> {
    pub(super) fn top(node: &'n Node) -> Self {
        Self {
            node,
            path: Path::default(),
        }
    }

    pub(super) fn child(&self, field: &'n Field) -> Self {
        Item {
            node: &field.node,
            path: self.path.with(Step::Key(field.key.clone())),
        }
    }

    pub(super) fn element(&self, index: usize, node: &'n Node) -> Self {
        Item {
            node,
            path: self.path.with(Step::Index(index)),
        }
    }
}

/// A table whose keys have been checked.
#[derive(Debug, Clone)]
pub(super) struct Table<'n> {
    pub(super) item: Item<'n>,
    pub(super) fields: &'n [Field],
}

impl<'n> Table<'n> {
    /// The value of `key`, if it is set.
    pub(super) fn get(&self, key: &str) -> Option<Item<'n>> {
        self.fields
            .iter()
            .find(|field| field.key == key)
            .map(|field| self.item.child(field))
    }

    /// The value of `key`, which must be set.
    pub(super) fn need(&self, key: &str, report: &mut Report) -> Option<Item<'n>> {
        let found = self.get(key);
        if found.is_none() {
            report.add(
                codes::MISSING,
                &self.item,
                format!("key `{key}` is missing"),
                None,
            );
        }
        found
    }

    /// The value of `key` as `read` takes it, or `default` when it is not set.
    pub(super) fn or<T>(
        &self,
        key: &str,
        default: T,
        read: impl FnOnce(&Item<'n>) -> Option<T>,
    ) -> Option<T> {
        self.get(key).map_or(Some(default), |item| read(&item))
    }

    /// The one of `keys` that is set; a problem if there is none or more than one.
    pub(super) fn one_of(
        &self,
        keys: &[&'static str],
        report: &mut Report,
    ) -> Option<(&'static str, Item<'n>)> {
        let mut set = keys
            .iter()
            .filter_map(|key| self.get(key).map(|item| (*key, item)));
        let first = set.next();
        let more = set.count();
        if first.is_none() || more > 0 {
            let (all, n) = (listed(keys), usize::from(first.is_some()) + more);
            let message = format!("exactly one of {all} must be set, found {n}");
            report.add(codes::EXACTLY_ONE, &self.item, message, None);
            return None;
        }
        first
    }

    /// The value of a key that has several spellings, if it is set; a problem if it is set more than once.
    pub(super) fn spelt(&self, keys: &[&'static str], report: &mut Report) -> Option<Item<'n>> {
        let is_set = keys.iter().any(|key| self.get(key).is_some());
        is_set
            .then(|| self.one_of(keys, report))?
            .map(|(_, item)| item)
    }
}

/// Everything that was found wrong, and what positions refer to.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) document: Document,
    problems: Vec<Problem>,
    dropped: usize,
}

impl Report {
    pub(super) fn new(document: Document) -> Self {
        Self {
            document,
            ..Self::default()
        }
    }

    /// Adds a problem of the value `item`.
    pub(super) fn add(
        &mut self,
        code: &Code,
        item: &Item<'_>,
        message: String,
        hint: Option<String>,
    ) {
        let spot = self.spot(item);
        self.push(Problem::new(code, spot, message, hint));
    }

    /// Adds a problem within the string `item`, at this line and column of its text, from 1.
    pub(super) fn add_within(
        &mut self,
        code: &Code,
        item: &Item<'_>,
        (line, column): (usize, usize),
        message: String,
    ) {
        let span = self.document.within(&item.node.span, line, column);
        let spot = self.document.spot(&span, &item.path);
        self.push(Problem::new(code, spot, message, None));
    }

    /// Adds a problem that stands elsewhere.
    pub(super) fn push(&mut self, problem: Problem) {
        let severity = problem.severity;
        let alike = self
            .problems
            .iter()
            .filter(|kept| kept.severity == severity);
        if alike.count() < PROBLEMS_MAX {
            self.problems.push(problem);
        } else {
            self.dropped += 1;
        }
    }

    pub(super) fn spot(&self, item: &Item<'_>) -> Spot {
        self.document.spot(&item.node.span, &item.path)
    }

    /// Everything that was found, in the order of the file.
    pub(super) fn finish(mut self) -> Vec<Problem> {
        self.problems
            .sort_by_key(|problem| (problem.place.line, problem.place.column));
        if self.dropped > 0 {
            let message = format!("{} more problems are not shown", self.dropped);
            let spot = self.document.spot(&None, &Path::default());
            self.problems
                .push(Problem::new(codes::MORE, spot, message, None));
        }
        self.problems
    }

    fn wrong_type(&mut self, item: &Item<'_>, wanted: &str) {
        if item.node.value == Value::Unfilled {
            return;
        }
        let message = format!("expected {wanted}, found {}", item.node.value.type_name());
        self.add(codes::WRONG_TYPE, item, message, None);
    }

    /// The table `item`; keys that are not `known` are problems.
    pub(super) fn table<'n>(&mut self, item: &Item<'n>, known: &[&str]) -> Option<Table<'n>> {
        let table = self.open_table(item)?;
        for field in table
            .fields
            .iter()
            .filter(|field| !known.contains(&field.key.as_str()))
        {
            let spot = self.document.spot(&field.key_span, &item.child(field).path);
            let message = format!("unknown key `{}`", shown(&field.key));
            self.push(Problem::new(
                codes::UNKNOWN_KEY,
                spot,
                message,
                Some(nearest(&field.key, known)),
            ));
        }
        Some(table)
    }

    /// The table `item`, whose keys are names that the user chose.
    pub(super) fn open_table<'n>(&mut self, item: &Item<'n>) -> Option<Table<'n>> {
        let Value::Table(fields) = &item.node.value else {
            self.wrong_type(item, "a table");
            return None;
        };
        Some(Table {
            item: item.clone(),
            fields,
        })
    }

    /// The table `item` and what its `scheme` chooses; keys that the choice does not take are problems.
    pub(super) fn scheme<'n, T: Copy>(
        &mut self,
        item: &Item<'n>,
        choices: &[(&str, T, &[&str])],
    ) -> Option<(Table<'n>, T)> {
        let scheme = self.open_table(item)?.need("scheme", self)?;
        let names: Vec<_> = choices.iter().map(|choice| (choice.0, choice)).collect();
        let (_, value, keys) = self.choice(&scheme, &names)?;
        let mut known = vec!["scheme"];
        known.extend(*keys);
        Some((self.table(item, &known)?, *value))
    }

    /// The elements of a list of `range` many.
    pub(super) fn list<'n>(
        &mut self,
        item: &Item<'n>,
        range: RangeInclusive<usize>,
    ) -> Option<Vec<Item<'n>>> {
        let Value::Array(nodes) = &item.node.value else {
            self.wrong_type(item, "a list");
            return None;
        };
        if nodes.len() < *range.start() {
            let message = format!(
                "the list is empty, at least {} must stand in it",
                range.start()
            );
            self.add(codes::EMPTY, item, message, None);
            return None;
        }
        if nodes.len() > *range.end() {
            let message = format!(
                "{} entries are too many, at most {} are allowed",
                nodes.len(),
                range.end()
            );
            self.add(codes::TOO_MANY, item, message, None);
            return None;
        }
        Some(
            nodes
                .iter()
                .enumerate()
                .map(|(i, node)| item.element(i, node))
                .collect(),
        )
    }

    /// Each element of a list as `read` takes it.
    pub(super) fn each<'n, T>(
        &mut self,
        item: &Item<'n>,
        range: RangeInclusive<usize>,
        mut read: impl FnMut(&Item<'n>, &mut Self) -> Option<T>,
    ) -> Option<Vec<T>> {
        let items = self.list(item, range)?;
        let all = items.len();
        let values: Vec<T> = items.iter().filter_map(|item| read(item, self)).collect();
        (values.len() == all).then_some(values)
    }

    /// The string `item`, which must not be empty.
    pub(super) fn text<'n>(&mut self, item: &Item<'n>) -> Option<&'n Text> {
        let Value::Text(text) = &item.node.value else {
            self.wrong_type(item, "a string");
            return None;
        };
        if text.text.is_empty() {
            self.add(codes::EMPTY, item, "the value is empty".to_owned(), None);
            return None;
        }
        Some(text)
    }

    /// The string `item` as `parse` takes it; its error becomes a problem with this code.
    pub(super) fn parsed<T, E: Display>(
        &mut self,
        item: &Item<'_>,
        code: &Code,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.text(item)?;
        parse(&text.text)
            .map_err(|error| self.add(code, item, error.to_string(), None))
            .ok()
    }

    /// What can be switched on and off with a word, or written out as a table.
    pub(super) fn switch<T>(
        &mut self,
        item: &Item<'_>,
        on: T,
        read: impl FnOnce(&Item<'_>, &mut Self) -> Option<T>,
    ) -> Option<Option<T>> {
        if let Value::Table(_) = item.node.value {
            return read(item, self).map(Some);
        }
        self.boolean(item).map(|is_on| is_on.then_some(on))
    }

    /// The value `item` as JSON, whatever it is.
    pub(super) fn json(&mut self, item: &Item<'_>) -> Option<Json> {
        if let Some(what) = item.node.no_json() {
            let message = format!("{what} cannot stand here, write it as a string");
            self.add(codes::WRONG_TYPE, item, message, None);
            return None;
        }
        (item.node.value != Value::Unfilled).then(|| node::to_json(item.node))
    }

    pub(super) fn boolean(&mut self, item: &Item<'_>) -> Option<bool> {
        let value = &item.node.value;
        let read = if let Value::Bool(value) = value {
            Some(*value)
        } else {
            value.filled_in()
        };
        if read.is_none() {
            self.wrong_type(item, "true or false");
        }
        read
    }

    /// The integer `item`, within `range`.
    pub(super) fn integer<T: TryFrom<i64> + Copy + Display + PartialOrd>(
        &mut self,
        item: &Item<'_>,
        range: RangeInclusive<T>,
    ) -> Option<T> {
        let value = &item.node.value;
        let number = if let Value::Integer(number) = value {
            Some(*number)
        } else {
            value.filled_in()
        };
        let Some(number) = number else {
            self.wrong_type(item, "an integer");
            return None;
        };
        let value = T::try_from(number)
            .ok()
            .filter(|value| range.contains(value));
        if value.is_none() {
            self.out_of_range(item, number, range.start(), range.end());
        }
        value
    }

    /// The number `item`, whole or not, within `range`.
    pub(super) fn number(&mut self, item: &Item<'_>, range: RangeInclusive<f64>) -> Option<f64> {
        let value = &item.node.value;
        let number = if let Value::Float(number) = value {
            Some(*number)
        } else if let Value::Integer(number) = value {
            i32::try_from(*number).ok().map(f64::from)
        } else {
            value.filled_in()
        };
        let Some(number) = number else {
            self.wrong_type(item, "a number");
            return None;
        };
        if !range.contains(&number) {
            self.out_of_range(item, number, range.start(), range.end());
            return None;
        }
        Some(number)
    }

    /// The duration `item`, in milliseconds, within `range`.
    pub(super) fn duration(&mut self, item: &Item<'_>, range: RangeInclusive<u64>) -> Option<u64> {
        if let Value::Integer(number) = item.node.value {
            let message = format!("`{number}` has no unit");
            let hint = format!("write `\"{number}s\"`, or another of ms, s, m, h, d");
            self.add(codes::DURATION, item, message, Some(hint));
            return None;
        }
        let ms = self.parsed(item, codes::DURATION, duration::parse)?;
        if !range.contains(&ms) {
            let [value, low, high] = [ms, *range.start(), *range.end()].map(duration::format);
            self.out_of_range(item, value, low, high);
            return None;
        }
        Some(ms)
    }

    /// The size `item`, in bytes, within `range`.
    pub(super) fn size(&mut self, item: &Item<'_>, range: RangeInclusive<usize>) -> Option<usize> {
        if let Value::Integer(number) = item.node.value {
            let message = format!("`{number}` has no unit");
            let hint = format!("write `\"{number}B\"`, or another of KB, KiB, MB, MiB");
            self.add(codes::SIZE, item, message, Some(hint));
            return None;
        }
        let bytes = self.parsed(item, codes::SIZE, size::parse)?;
        let value = usize::try_from(bytes)
            .ok()
            .filter(|value| range.contains(value));
        if value.is_none() {
            self.out_of_range(
                item,
                size::format(bytes),
                format!("{} bytes", range.start()),
                format!("{} bytes", range.end()),
            );
        }
        value
    }

    /// The one of `choices` that the string `item` names.
    pub(super) fn choice<T: Copy>(&mut self, item: &Item<'_>, choices: &[(&str, T)]) -> Option<T> {
        let text = &self.text(item)?.text;
        let found = choices.iter().find(|(name, _)| name == text);
        if found.is_none() {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            let message = format!("`{}` does not exist here", shown(text));
            self.add(codes::CHOICE, item, message, Some(nearest(text, &names)));
        }
        found.map(|(_, value)| *value)
    }

    pub(super) fn out_of_range(
        &mut self,
        item: &Item<'_>,
        value: impl Display,
        low: impl Display,
        high: impl Display,
    ) {
        let message = format!("{value} is outside the limits {low} to {high}");
        self.add(codes::OUT_OF_RANGE, item, message, None);
    }
}

/// `text` cut to a length that a message can carry, without control characters.
pub(super) fn shown(text: &str) -> String {
    text.chars()
        .take(SHOWN_CHARS_MAX)
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

/// `` `a`, `b` and `c` ``
pub(super) fn listed(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}

/// A hint: the nearest of `known`, or all of them.
pub(crate) fn nearest(wrong: &str, known: &[&str]) -> String {
    let best = known
        .iter()
        .map(|name| (strsim::damerau_levenshtein(&shown(wrong), name), *name))
        .min()
        .filter(|(distance, name)| *distance <= 1 + name.len() / 4);
    match best {
        Some((_, name)) => format!("did you mean `{name}`?"),
        None if known.is_empty() => "nothing can stand here".to_owned(),
        None => format!("known are {}", listed(known)),
    }
}
