//! What differs between two versions of the configuration file, by name and without values, and what of it a running
//! gateway cannot take over.
//!
//! Every part of a file leaves a mark: each resource and secret by itself, every other section as a whole. Marks are made
//! of what is meant, with references filled in, so that a line that moved or a comment is no change, and a literal secret
//! that changed is one although it is never shown. Marks stay in memory.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::kind::Kind;
use super::node::{self, Node};
use super::{Config, Server, Store};
use crate::api::{ConfigChange, ConfigChangeKind};

/// The marks of a file, by `endpoint/crm` or `retention`.
pub(super) type Marks = BTreeMap<String, u64>;

/// The marks of a file whose references are filled in.
pub(super) fn marks(filled: &Node) -> Marks {
    let mut marks = Marks::new();
    for section in filled.fields() {
        let is_by_name = section.key == "secret" || Kind::from_section(&section.key).is_some();
        if is_by_name {
            for field in section.node.fields() {
                marks.insert(format!("{}/{}", section.key, field.key), mark(&field.node));
            }
        } else {
            marks.insert(section.key.clone(), mark(&section.node));
        }
    }
    marks
}

fn mark(node: &Node) -> u64 {
    let mut hasher = DefaultHasher::new();
    node::to_json(node).to_string().hash(&mut hasher);
    hasher.finish()
}

/// Everything that is made, changed or deleted by going from `old` to `new`, by name.
#[must_use]
pub fn changes(old: &Config, new: &Config) -> Vec<ConfigChange> {
    between(&old.marks, &new.marks)
}

fn between(old: &Marks, new: &Marks) -> Vec<ConfigChange> {
    let mut names: Vec<&String> = old.keys().chain(new.keys()).collect();
    names.sort();
    names.dedup();
    let change = |name: &String| {
        let kind = match (old.get(name), new.get(name)) {
            (None, Some(_)) => ConfigChangeKind::Created,
            (Some(_), None) => ConfigChangeKind::Deleted,
            (Some(was), Some(is)) if was != is => ConfigChangeKind::Changed,
            (Some(_), Some(_)) | (None, None) => return None,
        };
        Some(ConfigChange {
            object: name.clone(),
            change: kind,
        })
    };
    names.into_iter().filter_map(change).collect()
}

/// The settings of `new` that differ from those a gateway was `started` with and count only after a restart.
#[must_use]
pub fn restart_needed(started: &Config, new: &Config) -> Vec<&'static str> {
    let Server {
        ingest,
        admin,
        data_dir,
        shutdown_drain_ms,
        max_connections,
        // Part of the plan: it counts at once.
        concurrency: _,
        admin_hosts,
        tls,
        admin_tls,
        dialect_allow_private,
    } = &started.server;
    let Store { durability } = &started.store;
    let settings = [
        ("server.ingest", *ingest == new.server.ingest),
        ("server.admin", *admin == new.server.admin),
        ("server.data_dir", *data_dir == new.server.data_dir),
        (
            "server.shutdown_drain",
            *shutdown_drain_ms == new.server.shutdown_drain_ms,
        ),
        (
            "server.max_connections",
            *max_connections == new.server.max_connections,
        ),
        ("server.admin_hosts", *admin_hosts == new.server.admin_hosts),
        // What is in the files counts at once; which files they are does not.
        ("server.tls", *tls == new.server.tls),
        ("server.admin_tls", *admin_tls == new.server.admin_tls),
        (
            "server.dialect_allow_private",
            *dialect_allow_private == new.server.dialect_allow_private,
        ),
        ("store.durability", *durability == new.store.durability),
        ("vault", started.vault == new.vault),
        ("audit", started.audit == new.audit),
    ];
    let differing = settings.into_iter().filter(|(_, is_same)| !is_same);
    differing.map(|(name, _)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load_toml;

    const BASE: &str = r#"
[server]
ingest = "127.0.0.1:1"
[retention]
events = "7d"
[source.web]
verify = { scheme = "open-messaging", secrets = ["one"] }
[endpoint.crm]
url = "https://crm.example.com/"
[subscription.a]
sources = ["web"]
endpoint = "crm"
"#;

    fn load(text: &str) -> Config {
        let loaded = load_toml(text, "f", &|_| None);
        loaded
            .config
            .unwrap_or_else(|| panic!("{:?}", loaded.problems))
    }

    fn changed(from: &str, to: &str) -> Vec<(String, ConfigChangeKind)> {
        let found = changes(&load(BASE), &load(&BASE.replace(from, to)));
        found.into_iter().map(|c| (c.object, c.change)).collect()
    }

    #[test]
    fn what_is_made_changed_and_deleted_is_named_without_its_value() {
        let (made, deleted, differs) = (
            ConfigChangeKind::Created,
            ConfigChangeKind::Deleted,
            ConfigChangeKind::Changed,
        );
        assert_eq!(changed("\"7d\"", "\"8d\""), [("retention".into(), differs)]);
        assert_eq!(
            changed("subscription.a", "subscription.b"),
            [
                ("subscription/a".into(), deleted),
                ("subscription/b".into(), made)
            ]
        );
        assert_eq!(
            changed("crm.example.com", "crm2.example.com"),
            [("endpoint/crm".into(), differs)]
        );
    }

    #[test]
    fn a_literal_secret_that_changed_is_a_change_and_a_line_that_moved_is_none() {
        assert_eq!(
            changed("\"one\"", "\"two\""),
            [("source/web".into(), ConfigChangeKind::Changed)]
        );
        assert_eq!(changed("[endpoint.crm]", "\n# moved\n[endpoint.crm]"), []);
    }

    #[test]
    fn what_only_a_restart_takes_over_is_named() {
        let started = load(BASE);
        for (from, to, expected) in [
            ("\"7d\"", "\"8d\"", vec![]),
            ("127.0.0.1:1", "127.0.0.1:2", vec!["server.ingest"]),
            (
                "ingest = \"127.0.0.1:1\"",
                "ingest = \"127.0.0.1:1\"\nconcurrency = 7",
                vec![],
            ),
            (
                "[retention]",
                "[store]\ndurability = \"os\"\n[retention]",
                vec!["store.durability"],
            ),
        ] {
            let new = load(&BASE.replace(from, to));
            assert_eq!(restart_needed(&started, &new), expected, "{to}");
        }
    }
}
