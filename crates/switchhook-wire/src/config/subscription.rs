//! `[subscription.NAME]`: what goes where, and how hard to try.

use std::sync::Arc;

use switchhook_core::filter::TypePattern;
use switchhook_core::subscription::{Start, Subscription};

use super::codes;
use super::declared::{Need, Target};
use super::policy::STANDARD;
use super::read::{Item, Report, shown};

const KEYS: [&str; 6] = ["sources", "types", "endpoint", "policy", "order", "start"];
/// Most sources of a subscription.
const SOURCES_MAX: usize = 100;
/// Most event types of a subscription: each is compared with every event. Genesys Cloud has about 300 topics.
const TYPES_MAX: usize = 1_000;

pub(super) fn read(
    name: &Arc<str>,
    item: &Item<'_>,
    report: &mut Report,
    needs: &mut Vec<Need>,
) -> Option<Subscription> {
    let table = report.table(item, &KEYS)?;
    let sources = table.need("sources", report).and_then(|item| {
        report.each(&item, 1..=SOURCES_MAX, |item, report| {
            reference(item, report, needs, Target::Source)
        })
    });
    let types = match table.get("types") {
        Some(item) => report.each(&item, 1..=TYPES_MAX, |item, report| {
            report.parsed(item, codes::EVENT_TYPE, TypePattern::parse)
        }),
        None => TypePattern::parse("*").ok().map(|all| vec![all]),
    };
    let endpoint = table
        .need("endpoint", report)
        .and_then(|item| reference(&item, report, needs, Target::Endpoint));
    let policy = match table.get("policy") {
        Some(item) => reference(&item, report, needs, Target::Policy),
        // The standard policy always exists.
        None => Some(STANDARD.into()),
    };
    let order = table.or("order", (), |item| order(item, report));
    let starts = [("now", Start::Now), ("earliest", Start::Earliest)];
    let start = table.or("start", Start::Now, |item| report.choice(item, &starts));
    order?;
    Some(Subscription {
        name: Arc::clone(name),
        sources: sources?,
        types: types?,
        endpoint: endpoint?,
        policy: policy?,
        start: start?,
    })
}

fn reference(
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

fn order(item: &Item<'_>, report: &mut Report) -> Option<()> {
    let text = &report.text(item)?.text;
    if text == "none" {
        return Some(());
    }
    let message = format!("order `{}` is not supported by this version", shown(text));
    let hint =
        "write `none`, or remove the key: deliveries of one key may overtake each other".to_owned();
    report.add(codes::NOT_SUPPORTED, item, message, Some(hint));
    None
}
