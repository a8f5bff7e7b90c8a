//! What a gateway has: its resources as they are shown, the names of its secrets, and who changed what.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use switchhook_wire::api::{AuditQuery, AuditView, ConfigView, PAGE_SIZE_MAX, ResourceView};
use switchhook_wire::config::Kind;

use crate::client::{Client, Error};
use crate::cmd::resource::LIST_MAX;

/// Most entries of the audit log that are looked through for who changed something.
const AUDIT_MAX: usize = 10_000;

/// See the module.
pub(in crate::cmd) struct Gateway {
    pub(in crate::cmd) resources: Vec<ResourceView>,
    pub(in crate::cmd) secrets: Vec<String>,
}

impl Gateway {
    /// Reads all of it.
    pub(in crate::cmd) async fn read(client: &Client) -> Result<Self, Error> {
        let query = json!({"pageSize": PAGE_SIZE_MAX});
        let mut resources: Vec<ResourceView> = Vec::new();
        for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Group) {
            let path = ["v1", kind.plural()];
            resources.extend(client.list::<ResourceView>(&path, &query, LIST_MAX).await?);
        }
        resources.extend(groups(client).await?);
        let listed: Vec<Value> = client.list(&["v1", "secrets"], &query, LIST_MAX).await?;
        let names = listed
            .iter()
            .filter_map(|secret| secret.get("name")?.as_str());
        Ok(Self {
            secrets: names.map(str::to_owned).collect(),
            resources,
        })
    }
}

/// Groups are listed as they work; their declarations are shown one by one.
async fn groups(client: &Client) -> Result<Vec<ResourceView>, Error> {
    let config: ConfigView = client.get(&["v1", "config"]).await?;
    let word = Kind::Group.name();
    let names = config.resources.into_iter().filter(|it| it.kind == word);
    let mut groups = Vec::new();
    for named in names.take(LIST_MAX) {
        let path = ["v1", Kind::Group.plural(), &named.name];
        match client.get(&path).await {
            Ok(view) => groups.push(view),
            // Deleted in between.
            Err(error) if error.status() == Some(404) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(groups)
}

/// The last entry of the audit log about each of `objects`, as far as the log is looked through.
pub(in crate::cmd) async fn last_changes(
    client: &Client,
    objects: &BTreeSet<String>,
) -> Result<BTreeMap<String, AuditView>, Error> {
    let mut found: BTreeMap<String, AuditView> = BTreeMap::new();
    let mut before = None;
    for _ in 0..AUDIT_MAX.div_ceil(PAGE_SIZE_MAX) {
        if found.len() == objects.len() {
            break;
        }
        let query = json!(AuditQuery {
            before,
            page_size: Some(PAGE_SIZE_MAX),
            ..AuditQuery::default()
        });
        let page: Vec<AuditView> = client.list(&["v1", "audit"], &query, PAGE_SIZE_MAX).await?;
        before = page
            .last()
            .map(|entry| entry.number)
            .filter(|number| *number > 1);
        for entry in page {
            if objects.contains(&entry.object) && entry.action.starts_with("resource.") {
                found.entry(entry.object.clone()).or_insert(entry);
            }
        }
        if before.is_none() {
            break;
        }
    }
    Ok(found)
}
