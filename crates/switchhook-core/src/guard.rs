//! The address guard: where the gateway may connect to (`facts` SEC-9 to SEC-11).
//!
//! An endpoint's URL is judged when it is configured, and every address once more when a connection
//! is made, since a name can point somewhere else by then. Refused is all that the IANA special-purpose
//! registries set apart, all of IPv6 that is given to nobody, and addresses that look public but belong to a cloud's
//! inside. An address that carries an IPv4 one (mapped, compatible, translated, NAT64, ISATAP) is judged by that one,
//! so that no second spelling of an address gets past.
//!
//! A URL comes in as text, through [`parse_url`] and nothing else. A text that programs read differently is refused,
//! whatever it would mean to us: somebody else, who checks or shows it, might see another host in it.
//!
//! An endpoint's `allow_private` overrides ranges, never multicast, broadcast or the unspecified
//! address: nobody can mean these. Plain HTTP goes only to listed addresses. The addresses of the
//! machine's own interfaces are not known here; whoever connects looks at them.
//!
//! * `range`: what an address is for. `spelling`: what a text may look like. `name`: names that mean one address everywhere.
//!
//! What must be refused, some 1,500 forms, is in `tests/guard/` of this crate; `tests/guard.rs` claims each.

mod name;
mod range;
mod spelling;

use std::net::IpAddr;

use ipnet::IpNet;
use url::{Host, Url};

use range::{judged, never, special};
pub use spelling::Spelling;

/// Why an address or URL is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Blocked {
    /// In a range that is not public.
    #[error("address {address} is {what}; list it in `allow_private` if it is meant")]
    Range {
        /// The address.
        address: IpAddr,
        /// What its range is for.
        what: &'static str,
    },
    /// Nothing that anyone could listen on.
    #[error("address {address} is {what}, which no endpoint can have")]
    Never {
        /// The address.
        address: IpAddr,
        /// What it is instead.
        what: &'static str,
    },
    /// Plain HTTP to an address that is not listed.
    #[error("plain http to {0} is refused; use https, or list the address in `allow_private`")]
    Plain(IpAddr),
    /// A scheme other than `https`, or `http` without an allow-list.
    #[error(
        "scheme `{0}` is refused: use https (http only to addresses listed in `allow_private`)"
    )]
    Scheme(String),
    /// A port below 1024 that is not for the web.
    #[error("port {0} is refused: use 443, 8443 or any from 1024 (80 only with `allow_private`)")]
    Port(u16),
    /// `user:password@` in the URL.
    #[error(
        "the url holds user information; put credentials into a header with `{{{{secret:name}}}}`"
    )]
    UserInfo,
    /// `#…` in the URL.
    #[error("the url holds a fragment (`#…`), which is never sent; remove it")]
    Fragment,
    /// No host in the URL.
    #[error("the url has no host")]
    NoHost,
    /// A host that no lookup can find.
    #[error(
        "the host is not a name: labels of letters, digits and hyphens, with dots between them"
    )]
    Host,
    /// Not a URL at all.
    #[error("not a URL: {0}")]
    NoUrl(url::ParseError),
    /// Programs do not agree on what it means.
    #[error("the url holds {0}, which not all programs read alike; {hint}", hint = .0.hint())]
    Spelling(Spelling),
    /// A name that means a refused address everywhere.
    #[error("`{name}` is {address}, {what}; list it in `allow_private` if it is meant")]
    Name {
        /// The name.
        name: &'static str,
        /// Its address.
        address: IpAddr,
        /// What the range of that is for.
        what: &'static str,
    },
}

/// The URL that a text means, if an endpoint may have it: the one way in for every URL.
///
/// # Errors
/// When the text is no URL, programs read it differently, or the URL is refused by [`check_url`].
pub fn parse_url(text: &str, allow: &[IpNet]) -> Result<Url, Blocked> {
    spelling::check_text(text)?;
    let url = Url::parse(text).map_err(Blocked::NoUrl)?;
    spelling::check_host(text, &url)?;
    check_url(&url, allow)?;
    Ok(url)
}

/// Whether a connection to `address` may be made.
///
/// # Errors
/// When it is in a forbidden range that `allow` does not list, or is no address to connect to at all.
pub fn check_address(address: IpAddr, allow: &[IpNet]) -> Result<(), Blocked> {
    let judged = judged(address);
    if let Some(what) = never(judged) {
        return Err(Blocked::Never { address, what });
    }
    match special(address) {
        Some(what) if !is_listed(address, judged, allow) => Err(Blocked::Range { address, what }),
        Some(_) | None => Ok(()),
    }
}

/// Whether a connection without TLS may be made to `address`: only where `allow` lists it.
///
/// # Errors
/// As [`check_address`], and when the address is public but not listed.
pub fn check_plain_address(address: IpAddr, allow: &[IpNet]) -> Result<(), Blocked> {
    check_address(address, allow)?;
    if is_listed(address, judged(address), allow) {
        Ok(())
    } else {
        Err(Blocked::Plain(address))
    }
}

/// Whether an endpoint may have this URL. A name is not resolved here, but where it means one address everywhere: its
/// addresses are judged when the connection is made, with [`check_plain_address`] for `http` and [`check_address`] for
/// `https`.
///
/// # Errors
/// When scheme, port, user information, fragment or a literal address is refused.
pub fn check_url(url: &Url, allow: &[IpNet]) -> Result<(), Blocked> {
    let plain = match url.scheme() {
        "https" => false,
        "http" if !allow.is_empty() => true,
        other => return Err(Blocked::Scheme(other.into())),
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Blocked::UserInfo);
    }
    if url.fragment().is_some() {
        return Err(Blocked::Fragment);
    }
    match url.port_or_known_default().unwrap_or(0) {
        443 | 1024.. => {}
        80 if !allow.is_empty() => {}
        other => return Err(Blocked::Port(other)),
    }
    let address = match url.host().ok_or(Blocked::NoHost)? {
        Host::Domain(name) => return name::check(name, allow),
        Host::Ipv4(v4) => IpAddr::V4(v4),
        Host::Ipv6(v6) => IpAddr::V6(v6),
    };
    if plain {
        check_plain_address(address, allow)
    } else {
        check_address(address, allow)
    }
}

/// Whether `allow` has the address, in either spelling.
fn is_listed(address: IpAddr, judged: IpAddr, allow: &[IpNet]) -> bool {
    allow
        .iter()
        .any(|net| net.contains(&address) || net.contains(&judged))
}

#[cfg(test)]
mod tests;
