//! stub
use std::sync::Arc;
use crate::event::Event;
use crate::id::DeliveryId;
use crate::secret::Lookup;
/// A parsed header template.
#[derive(Debug, Clone)]
pub struct Template(String);
/// stub
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TemplateError(pub String);
/// What a template is filled from.
pub struct Values<'a> {
    /// The event that is sent.
    pub event: &'a Event,
    /// Its delivery id.
    pub delivery: DeliveryId,
    /// 1, 2, …
    pub attempt: u16,
    /// Where secrets come from.
    pub secrets: &'a dyn Lookup,
}
impl Template {
    /// stub
    /// # Errors
    /// stub
    pub fn parse(text: &str) -> Result<Self, TemplateError> { Ok(Self(text.into())) }
    /// The names of the secrets it mentions.
    pub fn secrets(&self) -> impl Iterator<Item = &Arc<str>> { std::iter::empty() }
    /// stub
    /// # Errors
    /// stub
    pub fn fill(&self, values: &Values<'_>) -> Result<http::HeaderValue, TemplateError> {
        let _ = values;
        Err(TemplateError(self.0.clone()))
    }
}
