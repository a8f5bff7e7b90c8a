//! `tls` of an endpoint: what its certificate must be like, and which one we show.
//!
//! Verification cannot be switched off: whatever is written to that end is refused by name, not as a
//! misspelt key.

use data_encoding::BASE64;
use switchhook_core::endpoint::Tls;
use url::Url;

use super::codes;
use super::link::Need;
use super::problem::Problem;
use super::read::{Item, Report, Table, shown};
use super::secret::{public, secret};

const KEYS: [&str; 4] = ["ca", "client_cert", "client_key", "pins"];
/// What keys that would weaken TLS have in their names.
const WEAKENING: [&str; 6] = [
    "verif",
    "insecure",
    "invalid",
    "danger",
    "unsafe",
    "self_signed",
];
/// Most pins: the current key, the next, and those of a few authorities.
const PINS_MAX: usize = 16;
/// What stands before the digest of a pin.
const PIN_PREFIX: &str = "sha256/";

/// The `tls` table of an endpoint at `url`.
pub(super) fn read(
    item: &Item<'_>,
    url: Option<&Url>,
    report: &mut Report,
    needs: &mut Vec<Need>,
) -> Option<Tls> {
    let table = strict_table(item, &KEYS, report)?;
    if url.is_some_and(|url| url.scheme() == "http") && !table.fields.is_empty() {
        let message = "the endpoint is plain http, so nothing of `tls` would hold".to_owned();
        let hint = "use an `https` url, or remove `tls`".to_owned();
        report.add(codes::TLS_ON_HTTP, item, message, Some(hint));
        return None;
    }
    let ca = table.or("ca", None, |item| public(item, report, needs).map(Some));
    let client = match (table.get("client_cert"), table.get("client_key")) {
        (None, None) => Some(None),
        (Some(_), None) => table.need("client_key", report).and(None),
        (None, Some(_)) => table.need("client_cert", report).and(None),
        (Some(chain), Some(key)) => {
            let chain = public(&chain, report, needs);
            let key = secret(&key, report, needs);
            chain.zip(key).map(Some)
        }
    };
    let pins = table.or("pins", Vec::new(), |item| {
        report.each(item, 1..=PINS_MAX, pin)
    });
    Some(Tls {
        ca: ca?,
        client: client?,
        pins: pins?,
    })
}

/// The table `item`, where a key that would switch verification off is a problem of its own, and any other
/// that is not `known` the usual one.
pub(super) fn strict_table<'n>(
    item: &Item<'n>,
    known: &[&str],
    report: &mut Report,
) -> Option<Table<'n>> {
    let opened = report.open_table(item)?;
    let mut judged = known.to_vec();
    for field in opened.fields {
        let key = field.key.to_ascii_lowercase().replace('-', "_");
        let weakens = WEAKENING.iter().any(|word| key.contains(word));
        if weakens && !known.contains(&field.key.as_str()) {
            let path = item.child(field).path;
            let spot = report.document.spot(&field.key_span, &path);
            let message = format!(
                "`{}`: the verification of certificates cannot be switched off",
                shown(&field.key)
            );
            let hint =
                "to trust an authority of your own, write `tls = { ca = \"{{secret:NAME}}\" }`";
            report.push(Problem::new(
                codes::VERIFICATION,
                spot,
                message,
                Some(hint.to_owned()),
            ));
            judged.push(&field.key);
        }
    }
    report.table(item, &judged)
}

fn pin(item: &Item<'_>, report: &mut Report) -> Option<[u8; 32]> {
    let text = &report.text(item)?.text;
    let digest = text
        .strip_prefix(PIN_PREFIX)
        .and_then(|digest| BASE64.decode(digest.as_bytes()).ok())
        .and_then(|bytes| bytes.try_into().ok());
    if digest.is_none() {
        let message = format!("`{}` is not a pin", shown(text));
        let hint =
            "write `sha256/` and the base64 of the SHA-256 of the public key (44 characters)";
        report.add(codes::PIN, item, message, Some(hint.to_owned()));
    }
    digest
}
