//! The sections about the gateway itself: `[server]`, `[store]`, `[vault]` and `[secret.*]`.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use ipnet::IpNet;
use switchhook_core::plan::SLOTS_DEFAULT;

use super::codes;
use super::endpoint::{RANGES_MAX, range};
use super::listener::{self, TlsFiles};
use super::name::check_name;
use super::read::{Item, Report, Table};

/// Where the gateway listens and keeps its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Where events come in.
    pub ingest: SocketAddr,
    /// Where the API, the metrics and the health checks are.
    pub admin: SocketAddr,
    /// Directory of the store.
    pub data_dir: PathBuf,
    /// How long requests under way may take to end when the gateway stops, in milliseconds.
    pub shutdown_drain_ms: u64,
    /// Connections that a listener keeps open at once.
    pub max_connections: u32,
    /// Requests under way at once, over all endpoints.
    pub concurrency: usize,
    /// Names under which the API may be asked for, besides IP addresses and `localhost`.
    pub admin_hosts: Vec<String>,
    /// The certificate of the ingest listener, and of both where they share an address; `None` is plain HTTP.
    pub tls: Option<TlsFiles>,
    /// The certificate of the admin listener.
    pub admin_tls: Option<TlsFiles>,
    /// Ranges that endpoints made through `/api/v2` may lie in although they are private: no dialect has a word for it.
    pub dialect_allow_private: Vec<IpNet>,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            ingest: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            admin: SocketAddr::from((Ipv4Addr::LOCALHOST, 8081)),
            data_dir: PathBuf::from("./data"),
            shutdown_drain_ms: 20_000,
            max_connections: 2_048,
            concurrency: SLOTS_DEFAULT,
            admin_hosts: Vec::new(),
            tls: None,
            admin_tls: None,
            dialect_allow_private: Vec::new(),
        }
    }
}

/// Longest drain, in milliseconds: supervisors kill long before.
const SHUTDOWN_DRAIN_MAX_MS: u64 = 300_000;
/// Most connections: each may hold a body of several MiB.
const CONNECTIONS_MAX: u32 = 65_536;
/// Most requests under way at once: each holds a connection and a body.
const CONCURRENCY_MAX: u32 = 65_536;
/// Most secrets.
const SECRETS_MAX: usize = 10_000;

/// How sure a write must be before it is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// It is on disk.
    #[default]
    Fsync,
    /// The operating system has it: a power failure can lose acknowledged events.
    Os,
}

impl Durability {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fsync => "fsync",
            Self::Os => "os",
        }
    }
}

/// How the store works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Store {
    /// How sure a write must be before it is acknowledged.
    pub durability: Durability,
}

/// Where a secret's value is read from, at every use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretOrigin {
    /// The content of a file, without a line break at its end.
    File(PathBuf),
    /// An environment variable.
    Env(String),
}

/// Where the key of the vault is read from, once, when the gateway starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyOrigin {
    /// The content of a file.
    File(PathBuf),
    /// An environment variable.
    Env(String),
    /// A credential of this name that systemd gives the service.
    Credential(String),
}

/// What the secrets in the store are sealed with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Vault {
    /// The key that seals; `None`: one that the gateway makes in its data directory.
    pub key: Option<KeyOrigin>,
    /// Keys that sealed before: what they sealed is sealed anew at the start.
    pub previous: Vec<KeyOrigin>,
}

/// Most previous keys: one is usual, and a key goes once a start has taken it over.
const PREVIOUS_KEYS_MAX: usize = 8;

pub(super) fn vault(item: &Item<'_>, report: &mut Report) -> Option<Vault> {
    let table = report.table(item, &["key", "previous"])?;
    let key = table.or("key", None, |item| key_origin(item, report).map(Some));
    let previous = table.or("previous", Vec::new(), |item| {
        let items = report.list(item, 0..=PREVIOUS_KEYS_MAX)?;
        let origins: Vec<_> = items.iter().map(|item| key_origin(item, report)).collect();
        origins.into_iter().collect()
    });
    Some(Vault {
        key: key?,
        previous: previous?,
    })
}

fn key_origin(item: &Item<'_>, report: &mut Report) -> Option<KeyOrigin> {
    const KEYS: [&str; 3] = ["file", "env", "credential"];
    let table = report.table(item, &KEYS)?;
    match table.one_of(&KEYS, report)? {
        ("file", item) => path(&item, report).map(KeyOrigin::File),
        ("env", item) => report
            .text(&item)
            .map(|text| KeyOrigin::Env(text.text.clone())),
        (_, item) => credential(&item, report).map(KeyOrigin::Credential),
    }
}

/// The name of a credential is the name of a file, and leads nowhere else.
fn credential(item: &Item<'_>, report: &mut Report) -> Option<String> {
    let text = &report.text(item)?.text;
    if text.starts_with('.') || text.contains(['/', '\0']) {
        let message = format!(
            "`{}` cannot be the name of a credential",
            super::read::shown(text)
        );
        let hint = "write the name that stands in `LoadCredential=` of the service".to_owned();
        report.add(codes::NAME, item, message, Some(hint));
        return None;
    }
    Some(text.clone())
}

pub(super) fn server(item: &Item<'_>, report: &mut Report) -> Option<Server> {
    let table = report.table(
        item,
        &[
            "ingest",
            "admin",
            "data_dir",
            "shutdown_drain",
            "max_connections",
            "concurrency",
            "admin_hosts",
            "tls",
            "admin_tls",
            "dialect_allow_private",
        ],
    )?;
    let default = Server::default();
    let ingest = table.or("ingest", default.ingest, |item| address(item, report));
    let admin = table.or("admin", default.admin, |item| address(item, report));
    let data_dir = table.or("data_dir", default.data_dir, |item| path(item, report));
    let drain = table.or("shutdown_drain", default.shutdown_drain_ms, |item| {
        report.duration(item, 0..=SHUTDOWN_DRAIN_MAX_MS)
    });
    let connections = table.or("max_connections", default.max_connections, |item| {
        report.integer(item, 1..=CONNECTIONS_MAX)
    });
    let concurrency = table.or("concurrency", default.concurrency, |item| {
        let slots = report.integer(item, 1..=CONCURRENCY_MAX)?;
        usize::try_from(slots).ok()
    });
    let allow = table.or("dialect_allow_private", Vec::new(), |item| {
        report.each(item, 0..=RANGES_MAX, range)
    });
    let tls = |key, report: &mut Report| {
        table.or(key, None, |item| listener::tls(item, report).map(Some))
    };
    let (tls, admin_tls) = (tls("tls", report), tls("admin_tls", report));
    let hosts = table.or("admin_hosts", Vec::new(), |item| {
        listener::hosts(item, report)
    });
    let ports = ingest.zip(admin);
    // Two ports 0 are two ports.
    let shared = ports.is_some_and(|(ingest, admin)| ingest == admin && admin.port() != 0);
    let certificate = if shared { &tls } else { &admin_tls };
    if shared {
        listener::check_shared(&table, report);
    }
    if let (Some(address), Some(None)) = (admin, certificate) {
        listener::check_open(&table, address, report);
    }
    Some(Server {
        ingest: ingest?,
        admin: admin?,
        data_dir: data_dir?,
        shutdown_drain_ms: drain?,
        max_connections: connections?,
        concurrency: concurrency?,
        admin_hosts: hosts?,
        tls: tls?,
        admin_tls: admin_tls?,
        dialect_allow_private: allow?,
    })
}

pub(super) fn store(item: &Item<'_>, report: &mut Report) -> Option<Store> {
    let table = report.table(item, &["durability"])?;
    let choices = [("fsync", Durability::Fsync), ("os", Durability::Os)];
    let durability = table.or("durability", Durability::Fsync, |item| {
        report.choice(item, &choices)
    });
    Some(Store {
        durability: durability?,
    })
}

/// Every secret by name, those with problems included: a name that exists is not unknown as well.
pub(super) fn secrets(
    item: &Item<'_>,
    report: &mut Report,
) -> BTreeMap<Arc<str>, Option<SecretOrigin>> {
    let Some(Table { fields, .. }) = report.open_table(item) else {
        return BTreeMap::new();
    };
    if fields.len() > SECRETS_MAX {
        let message = format!(
            "{} secrets are too many, at most {SECRETS_MAX} are allowed",
            fields.len()
        );
        report.add(codes::TOO_MANY, item, message, None);
        return BTreeMap::new();
    }
    let mut secrets = BTreeMap::new();
    for field in fields {
        check_name(&field.key, &item.child(field), &field.key_span, report);
        secrets.insert(
            Arc::from(field.key.as_str()),
            secret(&item.child(field), report),
        );
    }
    secrets
}

fn secret(item: &Item<'_>, report: &mut Report) -> Option<SecretOrigin> {
    let table = report.table(item, &["file", "env"])?;
    match table.one_of(&["file", "env"], report)? {
        ("file", item) => path(&item, report).map(SecretOrigin::File),
        (_, item) => report
            .text(&item)
            .map(|text| SecretOrigin::Env(text.text.clone())),
    }
}

fn address(item: &Item<'_>, report: &mut Report) -> Option<SocketAddr> {
    let text = &report.text(item)?.text;
    let parsed = text.parse().ok();
    if parsed.is_none() {
        let message = format!(
            "`{}` is not an address to listen on",
            super::read::shown(text)
        );
        let hint = "write an IP address and a port, for example `127.0.0.1:8080`".to_owned();
        report.add(codes::ADDRESS, item, message, Some(hint));
    }
    parsed
}

pub(super) fn path(item: &Item<'_>, report: &mut Report) -> Option<PathBuf> {
    report.text(item).map(|text| PathBuf::from(&text.text))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::load_toml;

    fn read(keys: &str) -> Result<Vault, Vec<(&'static str, String)>> {
        let loaded = load_toml(&format!("[vault]\n{keys}"), "f", &|_| None);
        let told = |problem: super::super::Problem| (problem.code, problem.place.path);
        loaded
            .config
            .map(|mut config| {
                config.resolve_paths(Path::new("/etc/switchhook"));
                config.vault
            })
            .ok_or_else(|| loaded.problems.into_iter().map(told).collect())
    }

    #[test]
    fn the_vault_has_a_key_and_those_before_it() {
        assert_eq!(read(""), Ok(Vault::default()));
        let keys =
            "key = { credential = \"vault\" }\nprevious = [{ file = \"old\" }, { env = \"KEY\" }]";
        let previous = vec![
            KeyOrigin::File("/etc/switchhook/old".into()),
            KeyOrigin::Env("KEY".into()),
        ];
        let vault = Vault {
            key: Some(KeyOrigin::Credential("vault".into())),
            previous,
        };
        assert_eq!(read(keys), Ok(vault));
    }

    #[test]
    fn a_key_has_one_origin_and_a_credential_leads_nowhere_else() {
        let refused = |keys: &str| read(keys).unwrap_err();
        for key in ["{}", "{ file = \"a\", env = \"B\" }"] {
            let key = format!("key = {key}");
            assert_eq!(refused(&key), [("SH0110", "vault.key".to_owned())], "{key}");
        }
        for name in ["../passwd", ".hidden", "a/b"] {
            let key = format!("previous = [{{ credential = \"{name}\" }}]");
            let path = "vault.previous[0].credential".to_owned();
            assert_eq!(refused(&key), [("SH0109", path)], "{name}");
        }
        let many = format!("previous = [{}]", "{ env = \"A\" },".repeat(9));
        assert_eq!(refused(&many)[0].1, "vault.previous");
    }
}
