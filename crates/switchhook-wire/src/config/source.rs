//! `[source.NAME]`: a way in, from a preset and what differs from it.

use std::sync::Arc;

use switchhook_core::pointer::Pointer;
use switchhook_core::source::{
    BODY_BYTES_DEFAULT, BODY_BYTES_MAX, DEDUP_WINDOW_RANGE_MS, Dedup, DedupBy, KindRule, Source,
    Verify,
};

use super::codes;
use super::link::{Need, Target};
use super::node::Value;
use super::preset::{self, Preset};
use super::read::{Item, Report, Table};
use super::{masking, verify};

pub(super) const KEYS: [&str; 8] = [
    "preset",
    "verify",
    "type",
    "key",
    "dedup",
    "body_max",
    "keep_headers",
    "allow_unverified",
];
/// Most pointers of a key or dedup rule: each is a search in the body.
const POINTERS_MAX: usize = 16;
/// Most headers kept besides those that always are.
const KEEP_HEADERS_MAX: usize = 32;
/// Longest fixed event type, in bytes.
const KIND_BYTES_MAX: usize = 256;

/// A source, and whether its preset is one of Genesys Cloud.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    pub(super) source: Arc<Source>,
    pub(super) is_genesys: bool,
}

pub(super) fn read(
    name: &Arc<str>,
    item: &Item<'_>,
    report: &mut Report,
    needs: &mut Vec<Need>,
) -> Option<Draft> {
    let table = report.table(item, &KEYS)?;
    let preset = table.or("preset", Preset::default(), |item| {
        report.choice(item, &preset::ALL)
    });
    // The rest is checked all the same when the preset is unknown, against the plainest one.
    let known = preset.unwrap_or_default();
    let verify = read_verify(&table, preset, report, needs);
    let kind = match table.get("type") {
        Some(item) => kind_rule(&item, report),
        None => Pointer::parse(known.kind).ok().map(KindRule::Pointer),
    };
    let key = table.or("key", preset::pointers(known.key), |item| {
        report.each(item, 0..=POINTERS_MAX, |item, report| {
            report.parsed(item, codes::POINTER, Pointer::parse)
        })
    });
    let dedup = match table.get("dedup") {
        Some(item) => dedup(&item, known, report),
        None => Some(Dedup {
            by: known.identity(),
            window_ms: known.window_ms,
        }),
    };
    let body_max = table.or("body_max", BODY_BYTES_DEFAULT, |item| {
        report.size(item, 1..=BODY_BYTES_MAX)
    });
    let keep = table.or("keep_headers", Vec::new(), |item| {
        report.each(item, 0..=KEEP_HEADERS_MAX, kept_header)
    });
    if let (
        Some(Verify::Hmac { .. }),
        Some(Dedup {
            by: DedupBy::Off, ..
        }),
    ) = (&verify, &dedup)
    {
        let message =
            "the signature covers no time and dedup is off: a captured request can be sent again"
                .to_owned();
        report.add(
            codes::REPLAYABLE,
            &table.get("dedup").unwrap_or_else(|| item.clone()),
            message,
            None,
        );
    }
    let source = Source {
        name: Arc::clone(name),
        verify: verify?,
        kind: kind?,
        key: key?,
        dedup: dedup?,
        body_bytes_max: body_max?,
        keep_headers: keep?,
    };
    Some(Draft {
        source: Arc::new(source),
        is_genesys: known.is_genesys,
    })
}

fn read_verify(
    table: &Table<'_>,
    preset: Option<Preset>,
    report: &mut Report,
    needs: &mut Vec<Need>,
) -> Option<Verify> {
    let allowed = table.or("allow_unverified", false, |item| report.boolean(item))?;
    let Some(item) = table.get("verify") else {
        let hint = preset.map(verify::example);
        report.add(
            codes::MISSING,
            &table.item,
            "key `verify` is missing".to_owned(),
            hint,
        );
        return None;
    };
    let verify = verify::read(&item, preset.unwrap_or_default(), report, needs)?;
    if matches!(verify, Verify::None) && !allowed {
        needs.push(Need {
            spot: report.spot(&item),
            target: Target::LoopbackIngest,
        });
    }
    Some(verify)
}

fn kind_rule(item: &Item<'_>, report: &mut Report) -> Option<KindRule> {
    if let Value::Text(_) = item.node.value {
        return report
            .parsed(item, codes::POINTER, Pointer::parse)
            .map(KindRule::Pointer);
    }
    let table = report.table(item, &["header", "fixed"])?;
    match table.one_of(&["header", "fixed"], report)? {
        ("header", item) => verify::header_name(&item, report).map(KindRule::Header),
        (_, item) => {
            let text = &report.text(&item)?.text;
            if text.len() > KIND_BYTES_MAX {
                report.out_of_range(&item, format!("{} bytes", text.len()), 1, KIND_BYTES_MAX);
                return None;
            }
            Some(KindRule::Fixed(text.as_str().into()))
        }
    }
}

fn dedup(item: &Item<'_>, preset: Preset, report: &mut Report) -> Option<Dedup> {
    const RULES: [&str; 4] = ["id", "header", "content", "off"];
    let table = report.table(item, &["id", "header", "content", "off", "window"])?;
    let (low, high) = DEDUP_WINDOW_RANGE_MS;
    let window = table.or("window", preset.window_ms, |item| {
        report.duration(item, low..=high)
    });
    let by = if RULES.iter().all(|key| table.get(key).is_none()) {
        Some(preset.identity())
    } else {
        table
            .one_of(&RULES, report)
            .and_then(|(rule, item)| identity(rule, &item, report))
    };
    Some(Dedup {
        by: by?,
        window_ms: window?,
    })
}

fn identity(rule: &str, item: &Item<'_>, report: &mut Report) -> Option<DedupBy> {
    match rule {
        "id" if matches!(item.node.value, Value::Array(_)) => report
            .each(item, 1..=POINTERS_MAX, |item, report| {
                report.parsed(item, codes::POINTER, Pointer::parse)
            })
            .map(DedupBy::Pointers),
        "id" => report
            .parsed(item, codes::POINTER, Pointer::parse)
            .map(|pointer| DedupBy::Pointers(vec![pointer])),
        "header" => verify::header_name(item, report).map(DedupBy::Header),
        _ => {
            if !report.boolean(item)? {
                let hint = format!("remove `{rule}`");
                let message = format!("`{rule} = false` says nothing");
                report.add(codes::CHOICE, item, message, Some(hint));
                return None;
            }
            Some(if rule == "content" {
                DedupBy::Content
            } else {
                DedupBy::Off
            })
        }
    }
}

fn kept_header(item: &Item<'_>, report: &mut Report) -> Option<Arc<str>> {
    let name = verify::header_name(item, report)?;
    if masking::is_credential_name(&name) {
        let message = format!("header `{name}` carries credentials and is not kept");
        report.add(codes::KEPT_CREDENTIAL, item, message, None);
        return None;
    }
    Some(name)
}
