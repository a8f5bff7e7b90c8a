//! Who we are to an endpoint: the one header that proves it.
//!
//! A configured header of the same name gives way to it. The value is looked up at every attempt, is marked so that
//! nothing prints it, and is remembered in bare form, so that it can be blotted out of what the endpoint answers.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use data_encoding::BASE64;
use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue};
use ipnet::IpNet;
use switchhook_core::delivery::Failure;
use switchhook_core::endpoint::Auth;
use switchhook_core::secret::{Secret, SecretRef};
use tokio::time::Instant;

use super::guard::Fault;
use super::token::{Lease, Token, Tokens};
use crate::secrets::Secrets;

/// A header that proves who we are.
pub(super) struct Proof {
    /// Its name.
    pub(super) header: HeaderName,
    /// Its value, marked as sensitive.
    pub(super) value: HeaderValue,
    /// What in it must not be shown.
    pub(super) bare: Secret,
    /// The token in it, if the endpoint may have forgotten it since it was fetched.
    pub(super) aged: Option<Arc<Token>>,
}

/// The proof that `auth` asks for. `refused` is the token that the endpoint has just refused.
///
/// # Errors
/// When a secret or a token is not to be had before `deadline`, or cannot stand in a header.
pub(super) async fn prove(
    auth: &Auth,
    allow: &[IpNet],
    secrets: &Secrets,
    tokens: &Tokens,
    refused: Option<&Arc<Token>>,
    deadline: Instant,
) -> Result<Proof, Fault> {
    let read = |secret: &SecretRef| secret.resolve(secrets).map_err(Fault::of_secret);
    match auth {
        Auth::Basic { username, password } => {
            let pair = [username.as_bytes(), b":", read(password)?.expose()].concat();
            Proof::new(
                AUTHORIZATION,
                "Basic ",
                BASE64.encode(&pair).into_bytes(),
                password,
            )
        }
        Auth::Bearer(token) => Proof::new(
            AUTHORIZATION,
            "Bearer ",
            read(token)?.expose().to_vec(),
            token,
        ),
        Auth::ApiKey { header, key } => {
            Proof::new(header.clone(), "", read(key)?.expose().to_vec(), key)
        }
        Auth::ClientCredentials(client) => {
            let times = (Instant::now(), deadline);
            let Lease { token, is_fresh } =
                tokens.lease(client, allow, secrets, refused, times).await?;
            Ok(Proof {
                header: AUTHORIZATION,
                value: token.header.clone(),
                bare: token.text.clone(),
                aged: (!is_fresh).then_some(token),
            })
        }
    }
}

impl Proof {
    fn new(
        header: HeaderName,
        scheme: &str,
        bare: Vec<u8>,
        from: &SecretRef,
    ) -> Result<Self, Fault> {
        let called = match from.name() {
            Some(name) => format!("secret `{name}`"),
            None => format!("the credential for `{header}`"),
        };
        let text = String::from_utf8_lossy(&bare);
        Ok(Self {
            value: hidden(&format!("{scheme}{text}"), &called)?,
            header,
            bare: Secret::new(bare),
            aged: None,
        })
    }
}

/// A header value that nothing prints. `called` is what people call its content.
///
/// # Errors
/// When it holds anything but visible ASCII and spaces.
pub(super) fn hidden(text: &str, called: &str) -> Result<HeaderValue, Fault> {
    let mut value = HeaderValue::from_str(text).map_err(|_| {
        let text = format!(
            "{called} holds characters that a header cannot carry: only visible ASCII and spaces may be sent"
        );
        Fault::new(Failure::Secret, text)
    })?;
    value.set_sensitive(true);
    Ok(value)
}
