//! Reading event types and their filters. A type must be a pattern and stand in the list once; whether anybody knows it is
//! noted, since a webhook may keep one that it has.

use serde_json::Value as Json;
use switchhook_core::expression::Expression;
use switchhook_core::filter::TypePattern;
use switchhook_core::topic;

use super::{Object, Reader, shown};
use crate::dialect::EventFilter;
use crate::dialect::error::{Code, Fault};

/// An event type that nobody knows.
#[derive(Debug, Clone)]
pub(in crate::dialect) struct Strange {
    pub(in crate::dialect) kind: String,
    pub(in crate::dialect) fault: Fault,
}

impl Reader<'_> {
    /// Event types as a list of names.
    pub(in crate::dialect) fn event_types(
        &mut self,
        object: &Object<'_>,
        name: &str,
        items_max: usize,
    ) -> Option<Vec<String>> {
        let mut kinds: Vec<String> = Vec::new();
        for (field, item) in self.list(object, name, items_max)? {
            if let Some(kind) = self.event_type(item, field, &kinds) {
                kinds.push(kind);
            }
        }
        Some(kinds)
    }

    /// Event types with filters.
    pub(in crate::dialect) fn event_filters(
        &mut self,
        object: &Object<'_>,
        name: &str,
        items_max: usize,
    ) -> Option<Vec<EventFilter>> {
        let (mut kinds, mut events) = (Vec::new(), Vec::new());
        for (field, item) in self.list(object, name, items_max)? {
            let Some(entry) = self.object(item, &field, &["eventType", "filter"]) else {
                continue;
            };
            let kind = self
                .needed(&entry, "eventType", true)
                .and_then(|kind| self.event_type(kind, entry.at("eventType"), &kinds));
            let filter = self.filter(&entry);
            if let Some(kind) = kind {
                kinds.push(kind.clone());
                events.push(EventFilter { kind, filter });
            }
        }
        Some(events)
    }

    fn event_type(&mut self, json: &Json, field: String, known: &[String]) -> Option<String> {
        let text = self.text_of(json, field.clone(), usize::MAX)?;
        if known.iter().any(|kind| kind == text) {
            let detail = format!("`{}` is listed twice", shown(text));
            self.fault(field, Code::Value, detail, None);
            return None;
        }
        if let Err(error) = TypePattern::parse(text) {
            self.fault(field, Code::Value, error.to_string(), None);
            return None;
        }
        if !topic::is_known(text) {
            let nearest = topic::nearest(text).map(|id| format!("did you mean `{id}`?"));
            let list = || "`GET /api/v2/eventtypes` lists those that there are".to_owned();
            let fault = Fault {
                field,
                code: Code::Value,
                detail: format!("`{}` is no known event type", shown(text)),
                hint: Some(nearest.unwrap_or_else(list)),
            };
            self.strange.push(Strange {
                kind: text.to_owned(),
                fault,
            });
        }
        Some(text.to_owned())
    }

    fn filter(&mut self, entry: &Object<'_>) -> Option<String> {
        let text = self.text(entry, "filter", usize::MAX)?;
        if text.trim() == "true" {
            return None;
        }
        if let Err(error) = Expression::compile(text) {
            let detail = format!("{} (column {})", error.message, error.at.column);
            let hint = Some("`true` takes all events of the type".to_owned());
            self.fault(entry.at("filter"), Code::Value, detail, hint);
            return None;
        }
        Some(text.to_owned())
    }
}
