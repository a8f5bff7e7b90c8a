//! The configuration: one TOML file and the resources made through the API, checked as a whole.
//!
//! A text becomes a tree with positions (`node`), references to the environment are filled in its
//! strings (`interpolate`), readers turn sections into core's checked types (`read` and one file per
//! section), and names are linked into a plan (`declared`, `link`). Every problem is reported at once, with code,
//! line and hint (`problem`, [`codes`]). JSON bodies of the API take the same way, without positions.
//!
//! Nothing is read here: the text and the environment are arguments. Relative paths are relative to the
//! directory of the file, see [`Config::resolve_paths`]. Secret values are never in a problem, a snippet or
//! a shown body (`masking`).

mod about;
mod alerts;
mod audit;
mod auth;
mod changes;
pub mod codes;
mod declaration;
mod declared;
mod document;
mod endpoint;
mod gateway;
mod group;
mod interpolate;
mod kind;
mod limits;
mod link;
mod listener;
mod losses;
mod masking;
mod name;
mod node;
mod policy;
mod preset;
mod problem;
mod read;
mod remote;
mod retention;
mod secret;
mod shape;
mod sign;
mod source;
mod subscription;
pub mod test;
mod tls;
mod verify;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use switchhook_core::alert::watch::Thresholds;
use switchhook_core::plan::{Plan, SLOTS_DEFAULT};
use toml::de::DeTable;

pub use audit::Audit;
pub use changes::{changes, restart_needed};
pub use codes::Severity;
pub use declaration::{Declaration, DeclaredResource, check_declarations};
pub use declared::Declared;
pub use gateway::{Durability, KeyOrigin, SecretOrigin, Server, Store, Vault};
pub use interpolate::Env;
pub use kind::{ApiResource, Kind, Listed, Merged, Origin};
pub use listener::TlsFiles;
pub use losses::{Loss, LossKind, losses};
pub(crate) use masking::{MASK, masked};
pub(crate) use masking::{is_credential_name, is_credential_property, is_credential_text};
pub use name::{is_name, secrets_in};
pub use policy::{STANDARD, standard};
pub use problem::{Place, Problem, Snippet, render, render_all};
pub(crate) use read::nearest;
pub use remote::{DeclaredWebhook, Remote, RemotePlace, RemoteSecret, WebhookRetry};
pub use retention::Retention;
pub use test::Test;

use declared::Raw;
use document::{Document, Path as Steps};
use read::{Item, Report, Table};

use crate::api::Owner;

/// Largest configuration file, in bytes: thousands of resources, and still read in a moment.
pub const FILE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Every section and key at the top of the file.
const SECTIONS: [&str; 14] = [
    "version",
    "server",
    "store",
    "vault",
    "audit",
    "retention",
    "alerts",
    "secret",
    "source",
    "policy",
    "endpoint",
    "group",
    "subscription",
    "test",
];

/// A whole configuration, free of errors.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the gateway listens and keeps its data.
    pub server: Server,
    /// How the store works.
    pub store: Store,
    /// What the secrets in the store are sealed with.
    pub vault: Vault,
    /// Where checkpoints of the audit log go.
    pub audit: Audit,
    /// How long things stay.
    pub retention: Retention,
    /// From when on the gateway tells about itself.
    pub alerts: Thresholds,
    /// Where secrets are read from, by name.
    pub secrets: BTreeMap<Arc<str>, SecretOrigin>,
    /// The file's resources, ready to be joined by those of the API.
    pub declared: Declared,
    /// What the file's resources make by themselves.
    pub plan: Plan,
    /// The file's resources as written, and the built-in policy.
    pub resources: Vec<Listed>,
    /// What the file says about itself: `switchhook test` runs it.
    pub tests: Vec<Test>,
    /// What tells a part of the file from that of another version.
    marks: changes::Marks,
}

/// What came of reading a file.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration, unless a problem is an error.
    pub config: Option<Config>,
    /// Everything that is wrong, in the order of the file.
    pub problems: Vec<Problem>,
}

impl Config {
    /// Joins every relative path to `directory`, that of the configuration file.
    pub fn resolve_paths(&mut self, directory: &Path) {
        self.server.data_dir = directory.join(&self.server.data_dir);
        let listeners = self.server.tls.iter_mut().chain(&mut self.server.admin_tls);
        for path in listeners.flat_map(|TlsFiles { cert, key }| [cert, key]) {
            *path = directory.join(&*path);
        }
        for origin in self.secrets.values_mut() {
            if let SecretOrigin::File(path) = origin {
                *path = directory.join(&*path);
            }
        }
        for origin in self.vault.key.iter_mut().chain(&mut self.vault.previous) {
            if let KeyOrigin::File(path) = origin {
                *path = directory.join(&*path);
            }
        }
        if let Some(path) = &mut self.audit.checkpoint_file {
            *path = directory.join(&*path);
        }
        for test in &mut self.tests {
            if let test::Given::File(path) = &mut test.event {
                *path = directory.join(&*path);
            }
        }
    }

    /// The file's declaration of a resource: owner, file and line.
    #[must_use]
    pub fn origin(&self, kind: Kind, name: &str) -> Option<&Origin> {
        self.resources
            .iter()
            .find(|r| r.kind == kind && *r.name == *name)
            .map(|r| &r.origin)
    }
}

/// Reads the text of a configuration file called `file_name`; an empty text gives the defaults.
#[must_use]
pub fn load_toml(text: &str, file_name: &str, env: Env<'_>) -> Loaded {
    if text.len() > FILE_BYTES_MAX {
        let mut report = Report::new(Document::file(file_name, "", Vec::new()));
        let message = format!(
            "the file has {} bytes, at most {FILE_BYTES_MAX} are allowed",
            text.len()
        );
        let spot = report.document.spot(&None, &Steps::default());
        report.push(Problem::new(codes::TOO_LARGE, spot, message, None));
        return nothing(report);
    }
    let (table, errors) = DeTable::parse_recoverable(text);
    let raw = node::from_toml(&table);
    let mut report = Report::new(Document::file(file_name, text, masking::hidden_spans(&raw)));
    if errors.is_empty() {
        return load(&raw, env, report);
    }
    for error in errors {
        let mut spot = report.document.spot(&error.span(), &Steps::default());
        // What is not a value yet cannot be judged; better no line than a secret.
        spot.snippet = spot.snippet.filter(|line| !is_credential_name(&line.text));
        report.push(Problem::new(
            codes::SYNTAX,
            spot,
            error.message().replace('\n', ", "),
            None,
        ));
    }
    nothing(report)
}

/// No configuration, for what the report says.
fn nothing(report: Report) -> Loaded {
    Loaded {
        config: None,
        problems: report.finish(),
    }
}

fn load(raw: &node::Node, env: Env<'_>, mut report: Report) -> Loaded {
    let filled = interpolate::fill(&Item::top(raw), Some(env), &mut report);
    let Some(top) = report.table(&Item::top(&filled), &SECTIONS) else {
        return nothing(report);
    };
    check_version(&top, &mut report);
    let server = top.or("server", Server::default(), |item| {
        gateway::server(item, &mut report)
    });
    let store = top.or("store", Store::default(), |item| {
        gateway::store(item, &mut report)
    });
    let vault = top.or("vault", Vault::default(), |item| {
        gateway::vault(item, &mut report)
    });
    let audit = top.or("audit", Audit::default(), |item| {
        audit::read(item, &mut report)
    });
    let retention = top.or("retention", Retention::default(), |item| {
        retention::read(item, &mut report)
    });
    let alerts = top.or("alerts", alerts::USUAL, |item| {
        alerts::read(item, &mut report)
    });
    let secrets = top
        .get("secret")
        .map(|item| gateway::secrets(&item, &mut report))
        .unwrap_or_default();
    let mut declared = Declared {
        secrets: secrets.keys().cloned().collect(),
        // Without a readable address nothing is said about what may stand behind it.
        ingest_is_public: server
            .as_ref()
            .is_some_and(|server| !server.ingest.ip().is_loopback()),
        slots: server
            .as_ref()
            .map_or(SLOTS_DEFAULT, |server| server.concurrency),
        ..Declared::default()
    };
    for kind in Kind::ALL {
        read_section(kind, &top, raw, &mut declared, &mut report);
    }
    let tests = top.or("test", Vec::new(), |item| {
        test::read_all(item, &mut report, &mut declared.needs)
    });
    let Merged {
        plan,
        problems,
        resources,
    } = declared.clone().merged(report);
    let secrets = secrets
        .into_iter()
        .filter_map(|(name, origin)| Some((name, origin?)))
        .collect();
    // Whatever is missing was reported, so that there is no plan either.
    let config = plan.and_then(|plan| {
        Some(Config {
            server: server?,
            store: store?,
            vault: vault?,
            audit: audit?,
            retention: retention?,
            alerts: alerts?,
            secrets,
            declared,
            plan,
            resources,
            tests: tests?,
            marks: changes::marks(&filled),
        })
    });
    Loaded { config, problems }
}

fn check_version(top: &Table<'_>, report: &mut Report) {
    if let Some(item) = top.get("version")
        && let Some(version) = report.integer(&item, 0..=i64::MAX)
        && version != 1
    {
        let message = format!("version {version} is not supported, only 1 is");
        report.add(codes::VERSION, &item, message, None);
    }
}

fn read_section(
    kind: Kind,
    top: &Table<'_>,
    raw: &node::Node,
    declared: &mut Declared,
    report: &mut Report,
) {
    let Some(section) = top.get(kind.name()) else {
        return;
    };
    let Some(table) = report.open_table(&section) else {
        return;
    };
    // Filling references keeps the order, so that what was written stands beside what it means.
    let written = raw
        .field(kind.name())
        .map(node::Node::fields)
        .unwrap_or_default();
    for (field, written) in table.fields.iter().zip(written) {
        let defined_at = report.document.line(&field.key_span);
        declared.add(
            Raw {
                kind,
                name: &field.key,
                item: section.child(field),
                key_span: field.key_span.clone(),
                origin: Origin {
                    owner: Owner::File,
                    defined_at,
                },
                body: masked(&node::to_json(&written.node)),
            },
            report,
        );
    }
}

/// The keys that the reader of `kind` knows.
#[cfg(test)]
pub(crate) fn keys(kind: Kind) -> Vec<&'static str> {
    match kind {
        Kind::Source => source::KEYS.to_vec(),
        Kind::Policy => policy::KEYS.to_vec(),
        Kind::Endpoint => [&endpoint::KEYS[..], &limits::KEYS].concat(),
        Kind::Group => group::KEYS.to_vec(),
        Kind::Subscription => [&subscription::KEYS[..], &about::KEYS, &shape::KEYS].concat(),
    }
}

#[cfg(test)]
mod tests;
