//! The `verify` table of a source: scheme by scheme, each with its own keys.

use std::sync::Arc;

use http::HeaderName;
use switchhook_core::secret::SecretRef;
use switchhook_core::source::{Encoding, Verify};

use super::codes;
use super::link::Need;
use super::preset::Preset;
use super::read::{Item, Report, Table, nearest, shown};
use super::secret::secret;

/// Default tolerance of a signed timestamp and its range, in milliseconds (Standard Webhooks: five minutes).
const TOLERANCE_DEFAULT_MS: u64 = 300_000;
const TOLERANCE_RANGE_MS: std::ops::RangeInclusive<u64> = 1_000..=3_600_000;
/// Most secrets of one source: one in use, a few that rotate. Each costs a digest per request.
const SECRETS_MAX: usize = 16;
/// Longest text before a digest or token, in bytes.
const PREFIX_BYTES_MAX: usize = 64;

#[derive(Clone, Copy)]
enum Scheme {
    GenesysSignature,
    OpenMessaging,
    StandardWebhooks,
    Hmac,
    Bearer,
    ApiKey,
    Basic,
    None,
}

/// Every scheme by name, with the keys it takes besides `scheme`.
const SCHEMES: [(&str, Scheme, &[&str]); 8] = [
    ("genesys-signature", Scheme::GenesysSignature, &["secrets"]),
    ("open-messaging", Scheme::OpenMessaging, &["secrets"]),
    (
        "standard-webhooks",
        Scheme::StandardWebhooks,
        &["secrets", "tolerance"],
    ),
    (
        "hmac",
        Scheme::Hmac,
        &["secrets", "header", "encoding", "prefix"],
    ),
    ("bearer", Scheme::Bearer, &["secrets"]),
    ("api-key", Scheme::ApiKey, &["secrets", "header"]),
    ("basic", Scheme::Basic, &["secrets", "user"]),
    ("none", Scheme::None, &[]),
];

pub(super) fn read(
    item: &Item<'_>,
    preset: Preset,
    report: &mut Report,
    needs: &mut Vec<Need>,
) -> Option<Verify> {
    let opened = report.open_table(item)?;
    let name = match (opened.get("scheme"), preset.scheme) {
        (Some(item), _) => report.choice(&item, &SCHEMES.map(|(name, _, _)| (name, name))),
        (None, Some(scheme)) => Some(scheme),
        (None, None) => opened.need("scheme", report).and(None),
    };
    let Some((_, scheme, keys)) = SCHEMES.iter().find(|(known, _, _)| Some(*known) == name) else {
        // What the other keys mean is not known, but secrets are always the same.
        if let Some(item) = opened.get("secrets") {
            secrets(&item, report, needs);
        }
        return None;
    };
    let mut known = vec!["scheme"];
    known.extend(*keys);
    let table = report.table(item, &known)?;
    let mut reader = Reader {
        table,
        report,
        needs,
    };
    reader.read(*scheme)
}

struct Reader<'n, 'r> {
    table: Table<'n>,
    report: &'r mut Report,
    needs: &'r mut Vec<Need>,
}

impl Reader<'_, '_> {
    fn read(&mut self, scheme: Scheme) -> Option<Verify> {
        let secrets = if matches!(scheme, Scheme::None) {
            Some(Vec::new())
        } else {
            self.secrets()
        };
        match scheme {
            Scheme::GenesysSignature => {
                Some(hmac("x-genesys-signature", "", Encoding::Hex, secrets?))
            }
            Scheme::OpenMessaging => Some(hmac(
                "x-hub-signature-256",
                "sha256=",
                Encoding::Base64,
                secrets?,
            )),
            Scheme::Hmac => self.hmac(secrets),
            Scheme::StandardWebhooks => {
                let tolerance = self.table.or("tolerance", TOLERANCE_DEFAULT_MS, |item| {
                    self.report.duration(item, TOLERANCE_RANGE_MS)
                });
                Some(Verify::StandardWebhooks {
                    secrets: secrets?,
                    tolerance_ms: tolerance?,
                })
            }
            Scheme::Bearer => Some(Verify::Token {
                header: "authorization".into(),
                prefix: "Bearer ".into(),
                secrets: secrets?,
            }),
            Scheme::ApiKey => {
                let header = self.table.or("header", "x-api-key".into(), |item| {
                    header_name(item, self.report)
                });
                Some(Verify::Token {
                    header: header?,
                    prefix: "".into(),
                    secrets: secrets?,
                })
            }
            Scheme::Basic => {
                let user = self.table.need("user", self.report);
                let user = user.and_then(|item| self.report.text(&item));
                Some(Verify::Basic {
                    user: user?.text.as_str().into(),
                    passwords: secrets?,
                })
            }
            Scheme::None => Some(Verify::None),
        }
    }

    fn hmac(&mut self, secrets: Option<Vec<SecretRef>>) -> Option<Verify> {
        let header = self
            .table
            .need("header", self.report)
            .and_then(|item| header_name(&item, self.report));
        let encodings = [("hex", Encoding::Hex), ("base64", Encoding::Base64)];
        let encoding = self.table.or("encoding", Encoding::Hex, |item| {
            self.report.choice(item, &encodings)
        });
        let prefix = self.table.or("prefix", Arc::from(""), |item| {
            let text = &self.report.text(item)?.text;
            if text.len() > PREFIX_BYTES_MAX {
                self.report.out_of_range(
                    item,
                    format!("{} bytes", text.len()),
                    0,
                    PREFIX_BYTES_MAX,
                );
                return None;
            }
            Some(Arc::from(text.as_str()))
        });
        Some(Verify::Hmac {
            header: header?,
            prefix: prefix?,
            encoding: encoding?,
            secrets: secrets?,
        })
    }

    fn secrets(&mut self) -> Option<Vec<SecretRef>> {
        let item = self.table.need("secrets", self.report)?;
        secrets(&item, self.report, self.needs)
    }
}

fn secrets(item: &Item<'_>, report: &mut Report, needs: &mut Vec<Need>) -> Option<Vec<SecretRef>> {
    report.each(item, 1..=SECRETS_MAX, |item, report| {
        secret(item, report, needs)
    })
}

fn hmac(header: &str, prefix: &str, encoding: Encoding, secrets: Vec<SecretRef>) -> Verify {
    Verify::Hmac {
        header: header.into(),
        prefix: prefix.into(),
        encoding,
        secrets,
    }
}

/// A header name, in lower case.
pub(super) fn header_name(item: &Item<'_>, report: &mut Report) -> Option<Arc<str>> {
    let text = &report.text(item)?.text;
    let name = HeaderName::from_bytes(text.as_bytes()).ok();
    if name.is_none() {
        let message = format!("`{}` is not a header name", shown(text));
        report.add(
            codes::HEADER,
            item,
            message,
            Some("use letters, digits and `-`".to_owned()),
        );
    }
    name.map(|name| name.as_str().into())
}

/// What to write where `verify` is missing.
pub(super) fn example(preset: Preset) -> String {
    let scheme = preset.scheme.map_or_else(
        || nearest("", &SCHEMES.map(|(name, _, _)| name)),
        |_| "the preset knows the scheme".to_owned(),
    );
    format!("write `verify = {{ scheme = \"…\", secrets = [\"{{{{secret:NAME}}}}\"] }}`; {scheme}")
}
