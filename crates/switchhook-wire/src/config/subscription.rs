//! `[subscription.NAME]`: what goes where, in which order, and how hard to try.
//!
//! The order that an unwritten `order` stands for, and whether it fits the target, is judged when sources
//! and groups are known, in [`super::link`].

use std::sync::Arc;

use switchhook_core::filter::TypePattern;
use switchhook_core::id::Offset;
use switchhook_core::subscription::{self as core, ALL_SOURCES};
use switchhook_core::subscription::{OnExhausted, Order, Start, Subscription, Target as To};

use super::link::{Need, Target};
use super::node::Value;
use super::policy::STANDARD;
use super::problem::Spot;
use super::read::{Item, Report, Table};
use super::{about, codes, shape};
use crate::api::time;

pub(super) const KEYS: [&str; 9] = [
    "enabled",
    "sources",
    "types",
    "endpoint",
    "group",
    "policy",
    "order",
    "on_exhausted",
    "start",
];
/// Most sources of a subscription.
const SOURCES_MAX: usize = 100;
/// Most event types of a subscription: each is compared with every event. Genesys Cloud has about 300 topics.
const TYPES_MAX: usize = 1_000;

/// A subscription as it was written. Its order is decided when its sources are known.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    /// With the order that was written, or none.
    pub(super) subscription: Arc<Subscription>,
    /// The order that was written.
    pub(super) order: Option<Order>,
    /// It takes every type.
    pub(super) takes_all: bool,
    pub(super) spots: Spots,
}

/// Where what is judged later stands; the whole subscription where it was not written.
#[derive(Debug, Clone)]
pub(super) struct Spots {
    pub(super) types: Spot,
    pub(super) order: Spot,
    pub(super) on_exhausted: Spot,
}

pub(super) fn read(
    name: &Arc<str>,
    item: &Item<'_>,
    report: &mut Report,
    needs: &mut Vec<Need>,
) -> Option<Draft> {
    let table = report.table(item, &[&KEYS[..], &about::KEYS, &shape::KEYS].concat())?;
    let told = about::check(&table, report);
    let enabled = table.or("enabled", true, |item| report.boolean(item));
    let sources = table.need("sources", report).and_then(|item| {
        report.each(&item, 1..=SOURCES_MAX, |item, report| {
            source(item, report, needs)
        })
    });
    let types = match table.get("types") {
        Some(item) => report.each(&item, 0..=TYPES_MAX, |item, report| {
            report.parsed(item, codes::EVENT_TYPE, TypePattern::parse)
        }),
        None => TypePattern::parse("*").ok().map(|all| vec![all]),
    };
    let target = target(&table, report, needs);
    let policy = match table.get("policy") {
        Some(item) => reference(&item, report, needs, Target::Policy),
        // The standard policy always exists.
        None => Some(STANDARD.into()),
    };
    let orders = [
        ("none", Order::None),
        ("key", Order::Key),
        ("strict", Order::Strict),
    ];
    let order = table.or("order", None, |item| report.choice(item, &orders).map(Some));
    let ends = [("skip", OnExhausted::Skip), ("halt", OnExhausted::Halt)];
    let on_exhausted = table.or("on_exhausted", OnExhausted::Skip, |item| {
        report.choice(item, &ends)
    });
    let start = table.or("start", Start::Now, |item| start(item, report));
    let filter = shape::filter(&table, types.as_deref(), report);
    let shape = shape::shape(&table, report);
    let (filter, shape, types, order) = (filter?, shape?, types?, order?);
    told?;
    let spot = |key| report.spot(table.get(key).as_ref().unwrap_or(item));
    Some(Draft {
        spots: Spots {
            types: spot("types"),
            order: spot("order"),
            on_exhausted: spot("on_exhausted"),
        },
        takes_all: types.iter().any(|pattern| pattern.to_string() == "*"),
        order,
        subscription: Arc::new(Subscription {
            name: Arc::clone(name),
            id: core::id(name),
            enabled: enabled?,
            sources: sources?,
            types,
            filters: filter.by_type,
            criteria: filter.criteria,
            when: filter.when,
            transform: shape.transform,
            format: shape.format,
            target: target?,
            policy: policy?,
            order: order.unwrap_or(Order::None),
            on_exhausted: on_exhausted?,
            start: start?,
        }),
    })
}

fn target(table: &Table<'_>, report: &mut Report, needs: &mut Vec<Need>) -> Option<To> {
    match table.one_of(&["endpoint", "group"], report)? {
        ("endpoint", item) => reference(&item, report, needs, Target::Endpoint).map(To::Endpoint),
        (_, item) => reference(&item, report, needs, Target::Group).map(To::Group),
    }
}

/// The name of a source, or the sign for all of them.
fn source(item: &Item<'_>, report: &mut Report, needs: &mut Vec<Need>) -> Option<Arc<str>> {
    if matches!(&item.node.value, Value::Text(text) if text.text == ALL_SOURCES) {
        return Some(ALL_SOURCES.into());
    }
    reference(item, report, needs, Target::Source)
}

/// The name of something that must exist.
pub(super) fn reference(
    item: &Item<'_>,
    report: &mut Report,
    needs: &mut Vec<Need>,
    target: impl Fn(Arc<str>) -> Target,
) -> Option<Arc<str>> {
    let name: Arc<str> = report.text(item)?.text.as_str().into();
    needs.push(Need {
        spot: report.spot(item),
        target: target(Arc::clone(&name)),
    });
    Some(name)
}

fn start(item: &Item<'_>, report: &mut Report) -> Option<Start> {
    if let Value::Text(_) = item.node.value {
        let places = [("now", Start::Now), ("earliest", Start::Earliest)];
        return report.choice(item, &places);
    }
    let table = report.table(item, &["offset", "time"])?;
    match table.one_of(&["offset", "time"], report)? {
        ("offset", item) => {
            let offset: i64 = report.integer(&item, 1..=i64::MAX)?;
            u64::try_from(offset)
                .ok()
                .map(|offset| Start::At(Offset(offset)))
        }
        (_, item) => report
            .parsed(&item, codes::TIME, time::parse)
            .map(Start::Since),
    }
}
