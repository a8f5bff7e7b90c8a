//! The token request of OAuth 2.0 client credentials (RFC 6749, 4.4), and its answers.
//!
//! Id and secret come by HTTP Basic or in the form, not both. The form is read as RFC 6749 has it: unknown parameters
//! are ignored, a parameter that is given twice is refused. Nothing here shows a secret.

use std::fmt;

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use switchhook_core::secret::Secret;
use url::form_urlencoded;

/// The only grant there is.
pub const CLIENT_CREDENTIALS: &str = "client_credentials";
/// Largest form, in bytes: an id, a secret and a list of scopes.
pub const FORM_BYTES_MAX: usize = 16 * 1024;

/// Who asks for a token, and what for.
pub struct Request {
    /// Id of the client.
    pub client_id: String,
    /// Its secret.
    pub client_secret: Secret,
    /// The scopes asked for; empty asks for all that the client has.
    pub scopes: Vec<String>,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("client_id", &self.client_id)
            .field("scopes", &self.scopes)
            .finish_non_exhaustive()
    }
}

/// A token.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// To be sent as `Authorization: Bearer`.
    pub access_token: String,
    /// Always `bearer`.
    pub token_type: String,
    /// Seconds that it is good for.
    pub expires_in: u64,
    /// What it allows, with spaces between.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("expires_in", &self.expires_in)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

/// Why there is no token (RFC 6749, 5.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// One of the codes of the RFC.
    pub error: String,
    /// In words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_description: Option<String>,
}

impl Refusal {
    fn new(error: &str, description: impl Into<String>) -> Self {
        Self {
            error: error.to_owned(),
            error_description: Some(description.into()),
        }
    }

    /// The client is unknown or its secret is another one: nobody learns which.
    #[must_use]
    pub fn invalid_client() -> Self {
        Self::new(
            "invalid_client",
            "client authentication failed: unknown client, or a wrong secret",
        )
    }

    /// The client may not have what it asks for.
    #[must_use]
    pub fn invalid_scope(description: impl Into<String>) -> Self {
        Self::new("invalid_scope", description)
    }

    /// The request cannot be understood.
    #[must_use]
    pub fn invalid_request(description: impl Into<String>) -> Self {
        Self::new("invalid_request", description)
    }

    /// The status that goes with it.
    #[must_use]
    pub fn status(&self) -> u16 {
        if self.error == "invalid_client" {
            401
        } else {
            400
        }
    }
}

/// Reads a request: the value of `Authorization`, if there is one, and the form.
///
/// # Errors
/// What is to be answered.
pub fn read(authorization: Option<&str>, form: &[u8]) -> Result<Request, Refusal> {
    let mut fields = Fields::of(form)?;
    let grant = fields.take("grant_type");
    let (id, secret) = (fields.take("client_id"), fields.take("client_secret"));
    let scopes = fields.take("scope").unwrap_or_default();
    match grant.as_deref() {
        Some(CLIENT_CREDENTIALS) => {}
        Some(other) => {
            let other: String = other.chars().take(40).collect();
            return Err(Refusal::new(
                "unsupported_grant_type",
                format!("grant type `{other}` is not known here, only `{CLIENT_CREDENTIALS}` is"),
            ));
        }
        None => {
            return Err(Refusal::invalid_request(format!(
                "`grant_type` is missing: send `grant_type={CLIENT_CREDENTIALS}` as a form"
            )));
        }
    }
    let (client_id, client_secret) = match authorization {
        Some(header) => {
            if secret.is_some() {
                return Err(Refusal::invalid_request(
                    "the client is named in the header and in the form: use one of them",
                ));
            }
            let (basic_id, secret) = basic(header).ok_or_else(Refusal::invalid_client)?;
            if id.is_some_and(|id| id != basic_id) {
                return Err(Refusal::invalid_request(
                    "`client_id` is another one than in the header",
                ));
            }
            (basic_id, secret)
        }
        None => id.zip(secret).ok_or_else(Refusal::invalid_client)?,
    };
    Ok(Request {
        client_id,
        client_secret: Secret::new(client_secret.into_bytes()),
        scopes: scopes.split_ascii_whitespace().map(str::to_owned).collect(),
    })
}

/// Id and secret of `Basic …`. Ids and secrets of ours need no percent-encoding; where it is used it is undone, as the
/// RFC asks.
fn basic(header: &str) -> Option<(String, String)> {
    let (scheme, value) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let bytes = BASE64.decode(value.trim().as_bytes()).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (id, secret) = text.split_once(':')?;
    Some((plain(id), plain(secret)))
}

fn plain(text: &str) -> String {
    let pair = format!("x={text}");
    let mut pairs = form_urlencoded::parse(pair.as_bytes());
    match pairs.next() {
        // A `&` would have ended it: it stands there as it is.
        Some((_, value)) if text.contains('%') && pairs.next().is_none() => value.into_owned(),
        Some(_) | None => text.to_owned(),
    }
}

struct Fields(Vec<(String, String)>);

impl Fields {
    fn of(form: &[u8]) -> Result<Self, Refusal> {
        let fields: Vec<(String, String)> = form_urlencoded::parse(form).into_owned().collect();
        for name in ["grant_type", "client_id", "client_secret", "scope"] {
            if fields.iter().filter(|(key, _)| key == name).count() > 1 {
                return Err(Refusal::invalid_request(format!("`{name}` is given twice")));
            }
        }
        Ok(Self(fields))
    }

    fn take(&mut self, name: &str) -> Option<String> {
        let (_, value) = self.0.iter_mut().find(|(key, _)| key == name)?;
        Some(std::mem::take(value)).filter(|value| !value.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(id: &str, secret: &str) -> String {
        format!(
            "Basic {}",
            BASE64.encode(format!("{id}:{secret}").as_bytes())
        )
    }

    fn secret(request: &Request) -> String {
        String::from_utf8(request.client_secret.expose().to_vec()).unwrap()
    }

    #[test]
    fn both_ways_to_name_a_client_are_read() {
        let form = b"grant_type=client_credentials&client_id=c1&client_secret=s%2B1&scope=webhook:read+webhook:write";
        let request = read(None, form).unwrap();
        assert_eq!(
            (request.client_id.as_str(), secret(&request).as_str()),
            ("c1", "s+1")
        );
        assert_eq!(request.scopes, ["webhook:read", "webhook:write"]);
        let request = read(Some(&header("c1", "a:b")), b"grant_type=client_credentials").unwrap();
        assert_eq!(
            (request.client_id.as_str(), secret(&request).as_str()),
            ("c1", "a:b")
        );
        assert!(request.scopes.is_empty());
        let encoded = read(
            Some(&header("c%2F1", "s%20")),
            b"grant_type=client_credentials",
        )
        .unwrap();
        assert_eq!(
            (encoded.client_id.as_str(), secret(&encoded).as_str()),
            ("c/1", "s ")
        );
    }

    #[test]
    fn what_is_no_client_and_what_is_no_grant_are_told_apart() {
        let error = |authorization: Option<&str>, form: &[u8]| {
            let refusal = read(authorization, form).unwrap_err();
            (refusal.error.clone(), refusal.status())
        };
        let client = ("invalid_client".to_owned(), 401);
        let grant = b"grant_type=client_credentials";
        assert_eq!(error(None, grant), client);
        assert_eq!(error(Some("Bearer x"), grant), client);
        assert_eq!(error(Some("Basic !!"), grant), client);
        assert_eq!(
            error(None, b"grant_type=password&username=a"),
            ("unsupported_grant_type".to_owned(), 400)
        );
        let request = ("invalid_request".to_owned(), 400);
        assert_eq!(error(None, b""), request);
        assert_eq!(error(None, b"grant_type=a&grant_type=b"), request);
        let form = b"grant_type=client_credentials&client_id=c&client_secret=s";
        assert_eq!(error(Some(&header("c", "s")), form), request);
    }

    #[test]
    fn nothing_shows_a_secret() {
        let request = read(
            Some(&header("c1", "t0psecret")),
            b"grant_type=client_credentials",
        );
        assert!(!format!("{request:?}").contains("t0psecret"));
        let token = Token {
            access_token: "t0psecret".into(),
            token_type: "bearer".into(),
            expires_in: 60,
            scope: None,
        };
        assert!(!format!("{token:?}").contains("t0psecret"));
    }
}
