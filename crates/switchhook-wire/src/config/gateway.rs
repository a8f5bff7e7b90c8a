//! The sections about the gateway itself: `[server]`, `[store]` and `[secret.*]`.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use switchhook_core::plan::SLOTS_DEFAULT;

use super::codes;
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
    Some(Server {
        ingest: ingest?,
        admin: admin?,
        data_dir: data_dir?,
        shutdown_drain_ms: drain?,
        max_connections: connections?,
        concurrency: concurrency?,
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

fn path(item: &Item<'_>, report: &mut Report) -> Option<PathBuf> {
    report.text(item).map(|text| PathBuf::from(&text.text))
}
