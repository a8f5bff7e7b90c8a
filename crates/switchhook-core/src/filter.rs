//! stub
/// stub
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypePattern(String);
/// stub
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TypePatternError(pub String);
impl TypePattern {
    /// stub
    /// # Errors
    /// stub
    pub fn parse(text: &str) -> Result<Self, TypePatternError> { Ok(Self(text.into())) }
    /// stub
    #[must_use]
    pub fn matches(&self, kind: &str) -> bool { self.0 == "*" || self.0 == kind }
}
