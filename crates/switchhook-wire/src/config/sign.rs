//! `sign` and `encrypt` of an endpoint: how what we send is signed and sealed.

use std::sync::Arc;

use http::HeaderName;
use switchhook_core::seal;
use switchhook_core::secret::SecretRef;
use switchhook_core::sign::{GENESYS_HEADER, Scheme, Signer};

use super::codes;
use super::endpoint::header_name;
use super::link::Need;
use super::node::Value;
use super::read::{Item, Report, Table, shown};
use super::secret::secret;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    V1,
    V1a,
    Genesys,
}

/// Every scheme by name, with the keys it takes besides `scheme`.
const SCHEMES: [(&str, Kind, &[&str]); 3] = [
    ("standard-webhooks", Kind::V1, &["secret", "previous"]),
    (
        "standard-webhooks-ed25519",
        Kind::V1a,
        &["secret", "previous"],
    ),
    ("genesys", Kind::Genesys, &["secret", "previous", "header"]),
];
/// Most signatures of an endpoint: each scheme, and one more header while receivers move from one to another.
const SIGNERS_MAX: usize = 4;
/// Longest id of an encryption key, in bytes.
const KEY_ID_BYTES_MAX: usize = 64;

/// The signers of an endpoint, and the headers that they set besides those that nobody else may set.
#[derive(Default)]
pub(super) struct Signing {
    pub(super) signers: Vec<Signer>,
    pub(super) headers: Vec<HeaderName>,
}

/// One signer, or a list of them.
pub(super) fn signers(
    item: &Item<'_>,
    report: &mut Report,
    needs: &mut Vec<Need>,
) -> Option<Signing> {
    let items = if let Value::Array(_) = item.node.value {
        report.list(item, 1..=SIGNERS_MAX)?
    } else {
        vec![item.clone()]
    };
    let (mut signing, mut schemes, all) = (Signing::default(), Vec::new(), items.len());
    for item in items {
        let Some((scheme, signer)) = signer(&item, report, needs) else {
            continue;
        };
        if schemes.contains(&scheme) {
            let message = "the same signature is made twice".to_owned();
            let hint = "to change a secret, write the old one as `previous`".to_owned();
            report.add(codes::TWICE, &item, message, Some(hint));
            continue;
        }
        if let Scheme::Genesys { header } = &scheme
            && *header != GENESYS_HEADER
        {
            let previous = HeaderName::try_from(format!("{header}-previous"));
            signing.headers.push(header.clone());
            signing.headers.extend(previous);
        }
        schemes.push(scheme);
        signing.signers.push(signer);
    }
    (signing.signers.len() == all).then_some(signing)
}

fn signer(item: &Item<'_>, report: &mut Report, needs: &mut Vec<Need>) -> Option<(Scheme, Signer)> {
    let (table, kind) = report.scheme(item, &SCHEMES)?;
    let current = table
        .need("secret", report)
        .and_then(|item| secret(&item, report, needs));
    let previous = table.or("previous", None, |item| {
        secret(item, report, needs).map(Some)
    });
    let header = table.or("header", GENESYS_HEADER, |item| {
        let text = &report.text(item)?.text;
        if text.eq_ignore_ascii_case(GENESYS_HEADER.as_str()) {
            return Some(GENESYS_HEADER);
        }
        header_name(text, item, report)
    });
    let scheme = match kind {
        Kind::V1 => Scheme::StandardV1,
        Kind::V1a => Scheme::StandardV1a,
        Kind::Genesys => Scheme::Genesys { header: header? },
    };
    let secrets: Vec<SecretRef> = std::iter::once(current?).chain(previous?).collect();
    let signer = Signer::new(&scheme, &secrets)
        .map_err(|error| report.add(codes::HEADER, item, error.to_string(), None))
        .ok()?;
    Some((scheme, signer))
}

/// The `encrypt` table.
pub(super) fn encryption(
    item: &Item<'_>,
    report: &mut Report,
    needs: &mut Vec<Need>,
) -> Option<seal::Settings> {
    let table = report.table(item, &["secret", "key_id", "compat"])?;
    let secret = table
        .need("secret", report)
        .and_then(|item| secret(&item, report, needs));
    let key_id = key_id(&table, secret.as_ref(), report);
    let scheme = table.or("compat", seal::Scheme::Standard, |item| {
        let scheme = report.choice(item, &[("seed-002", seal::Scheme::Seed002)])?;
        let message = "`seed-002` encrypts with one fixed salt and authenticates no delivery id";
        let hint = "for receivers that exist already; for new ones remove `compat`".to_owned();
        report.add(codes::WEAK_ENCRYPTION, item, message.to_owned(), Some(hint));
        Some(scheme)
    });
    Some(seal::Settings {
        scheme: scheme?,
        key_id: key_id?,
        secret: secret?,
    })
}

/// The id of the key: the name of its secret, unless it is written.
fn key_id(table: &Table<'_>, secret: Option<&SecretRef>, report: &mut Report) -> Option<Arc<str>> {
    if let Some(item) = table.get("key_id") {
        let text = &report.text(&item)?.text;
        let visible = text.bytes().all(|b| b.is_ascii_graphic());
        if visible && text.len() <= KEY_ID_BYTES_MAX {
            return Some(text.as_str().into());
        }
        let message = format!("`{}` cannot be the id of a key", shown(text));
        let hint = format!("use 1 to {KEY_ID_BYTES_MAX} visible ASCII characters");
        report.add(codes::OUT_OF_RANGE, &item, message, Some(hint));
        return None;
    }
    let name = secret?.name();
    if name.is_none() {
        let hint = "name the secret with `{{secret:NAME}}`, or write `key_id`".to_owned();
        let message = "key `key_id` is missing".to_owned();
        report.add(codes::MISSING, &table.item, message, Some(hint));
    }
    name.cloned()
}
