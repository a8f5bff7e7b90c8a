//! Where a request may come from: `Host` and `Origin`, against web pages that use the browser of somebody inside.
//!
//! A page can give its own name the address of this machine (DNS rebinding); then the browser's requests to it reach us,
//! and the same-origin rule does not help. They carry the page's name in `Host`. So a name must be one that the
//! configuration knows (`[server] admin_hosts`); an IP address and `localhost` cannot be rebound. A page on another origin is
//! refused by its `Origin`. Requests without these headers are no browser's. `/livez` and `/readyz` tell nothing and are
//! asked by probes under any name; they are exempt from the first rule.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{HOST, ORIGIN};
use http::uri::Authority;
use http::{HeaderMap, Uri};
use switchhook_wire::problem::{self, Kind};

use crate::control::Control;
use crate::control::answer::{Answer, Refusal};

/// Paths that may be asked for under any name.
const EXEMPT: [&str; 2] = ["/livez", "/readyz"];

/// Lets a request through that was meant for this gateway and does not come from a foreign page.
pub(crate) async fn layer(
    State(control): State<Arc<Control>>,
    request: Request,
    next: Next,
) -> Response {
    let names = &control.gateway.config.server.admin_hosts;
    match check(request.uri(), request.headers(), names) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

fn check(uri: &Uri, headers: &HeaderMap, names: &[String]) -> Answer<()> {
    let host = host(uri, headers)?;
    if let Some(host) = &host
        && !EXEMPT.contains(&uri.path())
        && !is_ours(host.host(), names)
    {
        return Err(foreign(host.host()));
    }
    let Some(origin) = headers.get(ORIGIN) else {
        return Ok(());
    };
    let origin = origin
        .to_str()
        .ok()
        .and_then(|text| text.parse::<Uri>().ok());
    let origin = origin.as_ref().and_then(|origin| {
        let default = match origin.scheme_str() {
            Some("http") => 80,
            Some("https") => 443,
            _ => return None,
        };
        Some((origin.authority()?, default))
    });
    let allowed = origin.is_some_and(|(authority, default)| {
        let is_same = host.as_ref().is_some_and(|host| {
            let port = |of: &Authority| of.port_u16().unwrap_or(default);
            host.host().eq_ignore_ascii_case(authority.host()) && port(host) == port(authority)
        });
        is_same || is_among(authority.host(), names)
    });
    if allowed {
        return Ok(());
    }
    let detail = "the request comes from a page of another origin";
    let hint = "name its host in `[server] admin_hosts` if it is yours";
    Err(problem::Body::new(Kind::Forbidden, detail)
        .with_hint(hint)
        .into())
}

/// For whom the request was meant, in HTTP/2 by its URI.
fn host(uri: &Uri, headers: &HeaderMap) -> Answer<Option<Authority>> {
    let mut given = headers.get_all(HOST).iter();
    let (first, second) = (given.next(), given.next());
    let malformed = || Refusal::new(Kind::InvalidRequest, "the `Host` header is malformed");
    let header = match (first, second) {
        (None, _) => None,
        (Some(host), None) => {
            let host = Authority::try_from(host.as_bytes()).map_err(|_| malformed())?;
            Some(host).filter(|host| !host.as_str().contains('@'))
        }
        (Some(_), Some(_)) => return Err(malformed()),
    };
    match (uri.authority(), header) {
        (Some(authority), Some(header)) if *authority != header => Err(malformed()),
        (Some(authority), _) => Ok(Some(authority.clone())),
        (None, None) if first.is_some() => Err(malformed()),
        (None, header) => Ok(header),
    }
}

/// Whether no page can have this name, or the configuration knows it.
fn is_ours(host: &str, names: &[String]) -> bool {
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let is_address = match bare {
        Some(bare) => bare.parse::<Ipv6Addr>().is_ok(),
        None => host.parse::<Ipv4Addr>().is_ok(),
    };
    is_address || host.eq_ignore_ascii_case("localhost") || is_among(host, names)
}

fn is_among(host: &str, names: &[String]) -> bool {
    names.iter().any(|name| name.eq_ignore_ascii_case(host))
}

fn foreign(host: &str) -> Refusal {
    let shown: String = host.chars().take(80).collect();
    let detail =
        format!("the request was meant for `{shown}`, which is not a name of this gateway");
    problem::Body::new(Kind::HostRefused, detail)
        .with_hint("ask by IP address, or name the host in `[server] admin_hosts`")
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(uri: &str, host: Option<&str>, origin: Option<&str>) -> u16 {
        let pairs = [(HOST, host), (ORIGIN, origin)];
        let headers = pairs
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?.parse().unwrap())));
        let names = ["gateway.example".to_owned()];
        match check(&uri.parse().unwrap(), &headers.collect(), &names) {
            Ok(()) => 200,
            Err(refusal) => refusal.body().status,
        }
    }

    #[test]
    fn a_name_that_a_page_could_have_is_refused_and_addresses_are_not() {
        for (host, expected) in [
            ("127.0.0.1:8081", 200),
            ("10.1.2.3", 200),
            ("[::1]:8081", 200),
            ("localhost:8081", 200),
            ("LOCALHOST", 200),
            ("gateway.example", 200),
            ("Gateway.Example:443", 200),
            ("evil.example", 421),
            ("localhost.evil.example", 421),
            ("127.0.0.1.evil.example", 421),
            ("gateway.example.evil.example", 421),
            ("2130706433", 421),
            ("0x7f.1", 421),
            ("user@127.0.0.1", 400),
            ("", 400),
        ] {
            assert_eq!(status("/v1/version", Some(host), None), expected, "{host}");
            assert_eq!(status("/metrics", Some(host), None), expected, "{host}");
        }
        assert_eq!(status("/v1/version", None, None), 200);
        assert_eq!(status("/livez", Some("evil.example"), None), 200);
        assert_eq!(status("/readyz?verbose", Some("evil.example"), None), 200);
    }

    #[test]
    fn in_http2_the_name_is_that_of_the_uri_and_a_header_cannot_differ() {
        assert_eq!(status("https://evil.example/v1/version", None, None), 421);
        assert_eq!(status("https://127.0.0.1/v1/version", None, None), 200);
        let (uri, host) = ("https://127.0.0.1/v1/version", Some("evil.example"));
        assert_eq!(status(uri, host, None), 400);
    }

    #[test]
    fn a_page_of_another_origin_is_refused() {
        let here = Some("127.0.0.1:8081");
        for (origin, expected) in [
            ("http://127.0.0.1:8081", 200),
            ("https://127.0.0.1:8081", 200),
            ("http://127.0.0.1:3000", 403),
            ("http://127.0.0.1", 403),
            ("http://localhost:8081", 403),
            ("https://gateway.example", 200),
            ("https://evil.example", 403),
            ("null", 403),
            ("file://", 403),
            ("", 403),
        ] {
            assert_eq!(
                status("/v1/version", here, Some(origin)),
                expected,
                "{origin}"
            );
        }
        let named = Some("localhost");
        assert_eq!(status("/", named, Some("http://localhost")), 200);
        assert_eq!(status("/", named, Some("http://localhost:80")), 200);
        assert_eq!(status("/", None, Some("http://localhost")), 403);
    }
}
