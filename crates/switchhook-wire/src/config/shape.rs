//! What a subscription takes of its sources (`filters`, `when`, `match_criteria`) and what it makes of a body (`map`,
//! `body`, `preset`, `format`).
//!
//! Everything is compiled here, once. What the compilers say is reported in their words, at the line of the
//! file where the fault is.

use std::collections::BTreeMap;

use switchhook_core::criteria::Criterion;
use switchhook_core::envelope::{Format, Mode};
use switchhook_core::expression::Expression;
use switchhook_core::filter::TypePattern;
use switchhook_core::transform::preset::Preset;
use switchhook_core::transform::{MapRule, Transform};

use super::codes;
use super::node::Value;
use super::read::{Item, Report, Table, nearest, shown};

/// Keys of a subscription that are read here.
pub(super) const KEYS: [&str; 8] = [
    "filters",
    "when",
    "match_criteria",
    "matchCriteria",
    "map",
    "body",
    "preset",
    "format",
];
/// Most criteria of a subscription: each is a search in the body.
const CRITERIA_MAX: usize = 64;
/// Most fields of a map: each is a search in the body.
const FIELDS_MAX: usize = 256;

/// What else must hold of an event.
pub(super) struct Filter {
    /// By the place of the type in the list of types.
    pub(super) by_type: BTreeMap<usize, Expression>,
    pub(super) criteria: Vec<Criterion>,
    pub(super) when: Option<Expression>,
}

/// What is sent.
pub(super) struct Shape {
    pub(super) transform: Transform,
    pub(super) format: Format,
}

/// `types` are those that the subscription takes, if they could be read.
pub(super) fn filter(
    table: &Table<'_>,
    types: Option<&[TypePattern]>,
    report: &mut Report,
) -> Option<Filter> {
    let by_type = table.or("filters", BTreeMap::new(), |item| {
        by_type(item, types, report)
    });
    let spellings = ["match_criteria", "matchCriteria"];
    let criteria = match table.spelt(&spellings, report) {
        Some(item) => report.each(&item, 0..=CRITERIA_MAX, criterion),
        None => Some(Vec::new()),
    };
    let when = table.or("when", None, |item| expression(item, report).map(Some));
    Some(Filter {
        by_type: by_type?,
        criteria: criteria?,
        when: when?,
    })
}

/// The filters of types, by the places where their type stands. There are at most as many as types.
fn by_type(
    item: &Item<'_>,
    types: Option<&[TypePattern]>,
    report: &mut Report,
) -> Option<BTreeMap<usize, Expression>> {
    let table = report.open_table(item)?;
    let listed: Option<Vec<String>> =
        types.map(|types| types.iter().map(ToString::to_string).collect());
    let mut filters = BTreeMap::new();
    let mut is_good = true;
    for field in table.fields {
        let item = item.child(field);
        let filter = expression(&item, report);
        is_good &= filter.is_some();
        let Some(listed) = &listed else { continue };
        let places = listed.iter().enumerate();
        let places = places.filter(|(_, listed)| **listed == field.key);
        let before = filters.len();
        filters.extend(places.filter_map(|(at, _)| Some((at, filter.clone()?))));
        let is_listed = filters.len() > before || listed.contains(&field.key);
        if !is_listed {
            let message = format!("type `{}` is none of `types`", shown(&field.key));
            let known: Vec<&str> = listed.iter().map(String::as_str).collect();
            report.add(
                codes::FILTER_TYPE,
                &item,
                message,
                Some(hint(&field.key, &known)),
            );
        }
        is_good &= is_listed;
    }
    is_good.then_some(filters)
}

/// All types of a long list would help nobody.
fn hint(kind: &str, listed: &[&str]) -> String {
    match nearest(kind, listed) {
        near if near.starts_with("did") || (1..=10).contains(&listed.len()) => near,
        _ => "add the type to `types`, or remove its filter".to_owned(),
    }
}

fn criterion(item: &Item<'_>, report: &mut Report) -> Option<Criterion> {
    let keys = ["jsonPath", "json_path", "operator", "value", "values"];
    let table = report.table(item, &keys)?;
    let path = match table.spelt(&["jsonPath", "json_path"], report) {
        None => table.need("jsonPath", report).and(None),
        Some(item) => report.text(&item),
    };
    let operator = table
        .need("operator", report)
        .and_then(|item| report.text(&item));
    let value = table.or("value", None, |item| report.json(item).map(Some));
    let values = table.or("values", None, |item| {
        let values = report.each(item, 0..=usize::MAX, |item, report| report.json(item));
        values.map(Some)
    });
    Criterion::compile(&path?.text, &operator?.text, value?, values?)
        .map_err(|error| report.add(codes::CRITERION, item, error.to_string(), None))
        .ok()
}

pub(super) fn shape(table: &Table<'_>, report: &mut Report) -> Option<Shape> {
    const MAKERS: [&str; 3] = ["map", "body", "preset"];
    let is_made = MAKERS.iter().any(|key| table.get(key).is_some());
    let transform = if is_made {
        let maker = table.one_of(&MAKERS, report);
        maker.and_then(|(maker, item)| transform(maker, &item, report))
    } else {
        Some(Transform::None)
    };
    let formats = [
        ("raw", Format::Raw),
        ("envelope", Format::Envelope),
        ("cloudevents", Format::CloudEvents(Mode::Structured)),
        ("cloudevents-binary", Format::CloudEvents(Mode::Binary)),
    ];
    let format = table.or("format", Format::Raw, |item| report.choice(item, &formats));
    Some(Shape {
        transform: transform?,
        format: format?,
    })
}

fn transform(maker: &str, item: &Item<'_>, report: &mut Report) -> Option<Transform> {
    match maker {
        "map" => map(item, report),
        "body" => expression(item, report).map(Transform::Body),
        _ => {
            let presets = Preset::ALL.map(|preset| (preset.name(), preset));
            report.choice(item, &presets).map(Transform::Preset)
        }
    }
}

fn map(item: &Item<'_>, report: &mut Report) -> Option<Transform> {
    let fields = report.open_table(item)?.fields;
    if fields.is_empty() {
        report.add(codes::EMPTY, item, "the map is empty".to_owned(), None);
        return None;
    }
    if fields.len() > FIELDS_MAX {
        let n = fields.len();
        let message = format!("{n} fields are too many, at most {FIELDS_MAX} are allowed");
        report.add(codes::TOO_MANY, item, message, None);
        return None;
    }
    let rules: Vec<MapRule> = fields
        .iter()
        .filter_map(|field| rule(&field.key, &item.child(field), report))
        .collect();
    if rules.len() < fields.len() {
        return None;
    }
    Transform::map(rules)
        .map_err(|error| report.add(codes::MAPPING, item, error.to_string(), None))
        .ok()
}

/// One field: the path it is copied from, or a table with that path and what to do where it leads nowhere.
fn rule(out: &str, item: &Item<'_>, report: &mut Report) -> Option<MapRule> {
    let (path, default, required) = if let Value::Table(_) = item.node.value {
        let table = report.table(item, &["path", "default", "required"])?;
        let path = table
            .need("path", report)
            .and_then(|item| report.text(&item));
        let default = table.or("default", None, |item| report.json(item).map(Some));
        let required = table.or("required", false, |item| report.boolean(item));
        (path?, default?, required?)
    } else {
        (report.text(item)?, None, false)
    };
    MapRule::compile(out, &path.text, default, required)
        .map_err(|error| report.add(codes::MAPPING, item, error.to_string(), None))
        .ok()
}

fn expression(item: &Item<'_>, report: &mut Report) -> Option<Expression> {
    let text = &report.text(item)?.text;
    let error = match Expression::compile(text) {
        Ok(expression) => return Some(expression),
        Err(error) => error,
    };
    let at = (usize::from(error.at.line), usize::from(error.at.column));
    report.add_within(codes::EXPRESSION, item, at, error.message);
    None
}
