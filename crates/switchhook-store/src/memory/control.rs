//! What the management API makes and keeps, and the breakers.

use std::collections::BTreeMap;
use std::sync::Arc;

use switchhook_core::audit::ORIGIN;
use switchhook_core::breaker;
use switchhook_core::time::UnixMs;

use crate::batch::{AuditEntry, JOBS_MAX, Job, Pause, PauseChange, Resource, ResourceChange};
use crate::query::Audited;

/// Everything that is neither an event nor of a delivery.
#[derive(Debug, Clone, Default)]
pub(super) struct Control {
    /// By kind and name; without a body once deleted, so that versions go on.
    resources: BTreeMap<(Arc<str>, Arc<str>), Slot>,
    breakers: BTreeMap<Arc<str>, breaker::Record>,
    pub(super) layouts: BTreeMap<Arc<str>, Arc<str>>,
    pub(super) pauses: BTreeMap<Arc<str>, Pause>,
    jobs: BTreeMap<Arc<str>, Job>,
    /// In the order of their numbers.
    audit: Vec<Audited>,
}

#[derive(Debug, Clone)]
struct Slot {
    version: u64,
    body: Option<Arc<str>>,
    managed_by: Option<Arc<str>>,
    updated_at: UnixMs,
}

impl Control {
    pub(super) fn change(&mut self, change: ResourceChange) {
        let key = (change.kind, change.name);
        let version = match self.resources.get(&key) {
            None if change.body.is_none() => return,
            None => 1,
            Some(slot) if slot.body.is_none() && change.body.is_none() => return,
            Some(slot) => slot.version + 1,
        };
        self.resources.insert(
            key,
            Slot {
                version,
                body: change.body,
                managed_by: change.managed_by,
                updated_at: change.at,
            },
        );
    }

    pub(super) fn save_breaker(&mut self, record: breaker::Record) {
        self.breakers.insert(record.endpoint.clone(), record);
    }

    pub(super) fn pause(&mut self, change: PauseChange) {
        match change.pause {
            Some(pause) => self.pauses.insert(change.subscription, pause),
            None => self.pauses.remove(&change.subscription),
        };
    }

    pub(super) fn save_jobs(&mut self, jobs: Vec<Job>) {
        self.jobs
            .extend(jobs.into_iter().map(|job| (job.id.clone(), job)));
        while self.jobs.len() > JOBS_MAX {
            let over = self.jobs.values().find(|job| job.is_over);
            let Some(first) = over.or(self.jobs.values().next()) else {
                break;
            };
            self.jobs.remove(&first.id.clone());
        }
    }

    pub(super) fn note(&mut self, entry: AuditEntry) {
        let (before, last) = self
            .audit
            .last()
            .map_or((ORIGIN, 0), |last| (last.hash, last.number));
        self.audit.push(Audited::after(&before, last + 1, entry));
    }

    pub(super) fn resources(&self) -> Vec<Resource> {
        self.resources
            .iter()
            .map(|((kind, name), slot)| Resource {
                kind: kind.clone(),
                name: name.clone(),
                version: slot.version,
                body: slot.body.clone(),
                managed_by: slot.managed_by.clone(),
                updated_at: slot.updated_at,
            })
            .collect()
    }

    pub(super) fn breakers(&self) -> Vec<breaker::Record> {
        self.breakers.values().cloned().collect()
    }

    pub(super) fn jobs(&self) -> Vec<Job> {
        self.jobs.values().rev().cloned().collect()
    }

    pub(super) fn audit(&self, before: Option<u64>, items: usize) -> Vec<Audited> {
        let found = self.audit.iter().rev();
        found
            .filter(|entry| before.is_none_or(|before| entry.number < before))
            .take(items)
            .cloned()
            .collect()
    }

    pub(super) fn audit_from(&self, from: u64, items: usize) -> Vec<Audited> {
        let found = self.audit.iter().filter(|entry| entry.number >= from);
        found.take(items).cloned().collect()
    }
}
