//! `[endpoint.NAME]`: where deliveries go.
//!
//! What an endpoint gets is read in [`super::limits`], who we are to it in [`super::auth`] and
//! [`super::tls`], and what protects a body in [`super::sign`].

use std::collections::BTreeSet;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use switchhook_core::endpoint::{
    Auth, Endpoint, HeaderTemplate, Method, RESERVED_HEADER_PREFIXES, RESERVED_HEADERS,
    TIMEOUT_DEFAULT_MS, TIMEOUT_RANGE_MS, Tls,
};
use switchhook_core::guard;
use switchhook_core::template::Template;
use url::Url;

use super::link::{Need, Target};
use super::read::{Item, Report, Table, shown};
use super::sign::Signing;
use super::{auth, codes, limits, masking, sign, tls};

pub(super) const KEYS: [&str; 10] = [
    "url",
    "method",
    "headers",
    "content_type",
    "timeout",
    "allow_private",
    "sign",
    "encrypt",
    "auth",
    "tls",
];
/// Most headers of an endpoint: servers commonly take 100 in all.
const HEADERS_MAX: usize = 64;
/// Most ranges of `allow_private`: each is compared at every connection.
pub(super) const RANGES_MAX: usize = 64;

pub(super) fn read(
    name: &Arc<str>,
    item: &Item<'_>,
    report: &mut Report,
    needs: &mut Vec<Need>,
) -> Option<Endpoint> {
    let table = tls::strict_table(item, &[&KEYS[..], &limits::KEYS].concat(), report)?;
    let allow = table.or("allow_private", Vec::new(), |item| {
        report.each(item, 0..=RANGES_MAX, range)
    });
    // An unreadable range has been reported; whether a URL needs it cannot be said.
    let url = table
        .need("url", report)
        .and_then(|item| url(&item, allow.as_deref(), report));
    let methods = [("POST", Method::Post), ("PUT", Method::Put)];
    let method = table.or("method", Method::Post, |item| report.choice(item, &methods));
    let headers = table.or("headers", Vec::new(), |item| headers(item, report, needs));
    let content_type = table.or("content_type", None, |item| {
        content_type(item, report).map(Some)
    });
    let (low, high) = TIMEOUT_RANGE_MS;
    let timeout = table.or("timeout", TIMEOUT_DEFAULT_MS, |item| {
        report.duration(item, low..=high)
    });
    let limits = limits::read(&table, report);
    let signing = table.or("sign", Signing::default(), |item| {
        sign::signers(item, report, needs)
    });
    let seal = table.or("encrypt", None, |item| {
        sign::encryption(item, report, needs).map(Some)
    });
    let auth = table.or("auth", None, |item| {
        auth::read(item, allow.as_deref(), report, needs).map(Some)
    });
    let tls = table.or("tls", Tls::default(), |item| {
        tls::read(item, url.as_ref(), report, needs)
    });
    let auth_of = |auth: &Option<Auth>| auth.as_ref().map(auth::header);
    check_headers(
        &table,
        auth.as_ref().and_then(auth_of),
        signing.as_ref(),
        report,
    );
    let (limits, signing) = (limits?, signing?);
    Some(Endpoint {
        name: Arc::clone(name),
        url: url?,
        method: method?,
        headers: headers?,
        content_type: content_type?,
        timeout_ms: timeout?,
        concurrency: limits.concurrency,
        adaptive: limits.adaptive,
        rate: limits.rate,
        retry_budget: limits.retry_budget,
        breaker: limits.breaker,
        signers: signing.signers,
        seal: seal?,
        auth: auth?,
        tls: tls?,
        allow_private: allow?,
    })
}

/// Refuses a header that `auth` or `sign` sets too: which of them would be sent?
fn check_headers(
    table: &Table<'_>,
    auth: Option<HeaderName>,
    signing: Option<&Signing>,
    report: &mut Report,
) {
    let by_auth = auth.into_iter().map(|header| (header, "auth"));
    let signed = signing.map(|signing| signing.headers.clone());
    let by_sign = signed.into_iter().flatten().map(|header| (header, "sign"));
    let mut taken: Vec<(HeaderName, &str)> = Vec::new();
    for (header, by) in by_auth.chain(by_sign) {
        if let Some((_, other)) = taken.iter().find(|(known, _)| *known == header) {
            let message = format!("header `{header}` is set by `{other}` and by `{by}`");
            report.add(codes::HEADER_TAKEN, &table.item, message, None);
        }
        taken.push((header, by));
    }
    let written = table.get("headers");
    for field in written.iter().flat_map(|item| item.node.fields()) {
        let is_it =
            |(header, _): &&(HeaderName, &str)| field.key.eq_ignore_ascii_case(header.as_str());
        if let (Some((header, by)), Some(item)) = (taken.iter().find(is_it), &written) {
            let message = format!("header `{header}` is set by `{by}` as well");
            let hint = format!("keep one of them: `{by}`, or the header");
            report.add(codes::HEADER_TAKEN, &item.child(field), message, Some(hint));
        }
    }
}

fn content_type(item: &Item<'_>, report: &mut Report) -> Option<Arc<str>> {
    let text = &report.text(item)?.text;
    if HeaderValue::from_str(text).is_err() {
        let message = format!("`{}` is not a content type", shown(text));
        report.add(codes::HEADER, item, message, None);
        return None;
    }
    Some(text.as_str().into())
}

/// The URL, which may hold credentials that do not belong there: only the guard's words are shown.
pub(super) fn url(item: &Item<'_>, allow: Option<&[IpNet]>, report: &mut Report) -> Option<Url> {
    // Ranges that cannot be read have been reported, and what they would permit is not reported again.
    let any = [IpNet::V4(Ipv4Net::default()), IpNet::V6(Ipv6Net::default())];
    let url = report.parsed(item, codes::URL, |text| {
        guard::parse_url(text, allow.unwrap_or(&any))
    })?;
    allow.is_some().then_some(url)
}

pub(super) fn range(item: &Item<'_>, report: &mut Report) -> Option<IpNet> {
    let text = &report.text(item)?.text;
    let net = text.parse::<IpNet>().ok();
    if net.is_none() {
        let message = format!("`{}` is not an address range", shown(text));
        report.add(
            codes::CIDR,
            item,
            message,
            Some("write for example `10.20.0.0/16`".to_owned()),
        );
    }
    net
}

fn headers(
    item: &Item<'_>,
    report: &mut Report,
    needs: &mut Vec<Need>,
) -> Option<Vec<HeaderTemplate>> {
    let table = report.open_table(item)?;
    if table.fields.len() > HEADERS_MAX {
        let message = format!(
            "{} headers are too many, at most {HEADERS_MAX} are allowed",
            table.fields.len()
        );
        report.add(codes::TOO_MANY, item, message, None);
        return None;
    }
    let mut seen = BTreeSet::new();
    let mut headers = Vec::new();
    for field in table.fields {
        let child = item.child(field);
        let name = header_name(&field.key, &child, report);
        if name
            .as_ref()
            .is_some_and(|name| !seen.insert(name.as_str().to_owned()))
        {
            let message = format!(
                "header `{}` is set twice, in different case",
                shown(&field.key)
            );
            report.add(codes::HEADER, &child, message, None);
        }
        let value = template(&field.key, &child, report, needs);
        headers.extend(
            name.zip(value)
                .map(|(name, value)| HeaderTemplate { name, value }),
        );
    }
    (headers.len() == table.fields.len()).then_some(headers)
}

/// A header that an endpoint may set.
pub(super) fn header_name(text: &str, item: &Item<'_>, report: &mut Report) -> Option<HeaderName> {
    let Ok(name) = HeaderName::from_bytes(text.as_bytes()) else {
        let message = format!("`{}` is not a header name", shown(text));
        report.add(
            codes::HEADER,
            item,
            message,
            Some("use letters, digits and `-`".to_owned()),
        );
        return None;
    };
    let lower = name.as_str();
    let hint = if lower == "content-type" {
        "use the key `content_type` of the endpoint"
    } else if RESERVED_HEADERS.contains(&lower)
        || RESERVED_HEADER_PREFIXES
            .iter()
            .any(|p| lower.starts_with(p))
    {
        "the gateway or the transport sets it; use another name"
    } else {
        return Some(name);
    };
    report.add(
        codes::HEADER_RESERVED,
        item,
        format!("header `{lower}` may not be set"),
        Some(hint.to_owned()),
    );
    None
}

fn template(
    name: &str,
    item: &Item<'_>,
    report: &mut Report,
    needs: &mut Vec<Need>,
) -> Option<Template> {
    let text = report.text(item)?;
    let template = report.parsed(item, codes::HEADER, Template::parse)?;
    for secret in template.secrets() {
        needs.push(Need {
            spot: report.spot(item),
            target: Target::Secret(Arc::clone(secret)),
        });
    }
    if masking::refuse_mask(&text.text, item, report) {
        return None;
    }
    let looks_secret = masking::is_credential_name(name) || masking::is_credential_text(&text.text);
    if looks_secret && !text.from_env && !text.text.contains("{{") {
        let message = format!(
            "header `{}` looks like a credential written out",
            shown(name)
        );
        report.add(
            codes::PLAINTEXT_CREDENTIAL,
            item,
            message,
            Some("write `{{secret:name}}`".to_owned()),
        );
    }
    Some(template)
}
