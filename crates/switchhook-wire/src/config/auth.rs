//! `auth` of an endpoint: who we are to it.

use std::sync::Arc;

use http::HeaderName;
use ipnet::IpNet;
use switchhook_core::endpoint::{Auth, ClientCredentials};

use super::codes;
use super::endpoint::{header_name, url};
use super::link::Need;
use super::read::{Item, Report, Table};
use super::secret::secret;

#[derive(Clone, Copy)]
enum Scheme {
    Basic,
    Bearer,
    ApiKey,
    OAuth2,
}

/// Every scheme by name, with the keys it takes besides `scheme`.
const SCHEMES: [(&str, Scheme, &[&str]); 4] = [
    ("basic", Scheme::Basic, &["username", "password"]),
    ("bearer", Scheme::Bearer, &["token"]),
    ("api-key", Scheme::ApiKey, &["header", "key"]),
    (
        "oauth2",
        Scheme::OAuth2,
        &[
            "token_url",
            "client_id",
            "client_secret",
            "scope",
            "audience",
            "in_body",
        ],
    ),
];
/// Header of an API key when none is named.
const API_KEY_HEADER: HeaderName = HeaderName::from_static("x-api-key");

/// The `auth` table. Its `token_url` may be where `allow` says, like the URL of the endpoint.
pub(super) fn read(
    item: &Item<'_>,
    allow: Option<&[IpNet]>,
    report: &mut Report,
    needs: &mut Vec<Need>,
) -> Option<Auth> {
    let (table, scheme) = report.scheme(item, &SCHEMES)?;
    let mut need_secret = |key: &str, report: &mut Report| {
        let item = table.need(key, report)?;
        secret(&item, report, needs)
    };
    match scheme {
        Scheme::Basic => {
            let username = need_username(&table, report);
            let password = need_secret("password", report);
            Some(Auth::Basic {
                username: username?,
                password: password?,
            })
        }
        Scheme::Bearer => need_secret("token", report).map(Auth::Bearer),
        Scheme::ApiKey => {
            let key = need_secret("key", report);
            let header = table.or("header", API_KEY_HEADER, |item| {
                let text = &report.text(item)?.text;
                header_name(text, item, report)
            });
            Some(Auth::ApiKey {
                header: header?,
                key: key?,
            })
        }
        Scheme::OAuth2 => {
            let client_secret = need_secret("client_secret", report);
            let token_url = table
                .need("token_url", report)
                .and_then(|item| url(&item, allow, report));
            let client_id = table
                .need("client_id", report)
                .and_then(|item| text(&item, report));
            let scope = table.or("scope", None, |item| text(item, report).map(Some));
            let audience = table.or("audience", None, |item| text(item, report).map(Some));
            let in_body = table.or("in_body", false, |item| report.boolean(item));
            Some(Auth::ClientCredentials(Arc::new(ClientCredentials {
                token_url: token_url?,
                client_id: client_id?,
                client_secret: client_secret?,
                scope: scope?,
                audience: audience?,
                in_body: in_body?,
            })))
        }
    }
}

/// The header that `auth` sets.
pub(super) fn header(auth: &Auth) -> HeaderName {
    match auth {
        Auth::Basic { .. } | Auth::Bearer(_) | Auth::ClientCredentials(_) => {
            http::header::AUTHORIZATION
        }
        Auth::ApiKey { header, .. } => header.clone(),
    }
}

fn need_username(table: &Table<'_>, report: &mut Report) -> Option<Arc<str>> {
    let item = table.need("username", report)?;
    let name = text(&item, report)?;
    if name.contains(|c: char| c == ':' || c.is_control()) {
        let message = "a user name of basic authentication cannot hold `:` or control characters";
        report.add(codes::HEADER, &item, message.to_owned(), None);
        return None;
    }
    Some(name)
}

fn text(item: &Item<'_>, report: &mut Report) -> Option<Arc<str>> {
    report.text(item).map(|text| text.text.as_str().into())
}
