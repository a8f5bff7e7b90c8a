//! The address guard: where the gateway may connect to (`facts` SEC-9 to SEC-11).
//!
//! An endpoint's URL is judged when it is configured, and every address once more when a connection
//! is made, since a name can point somewhere else by then. Refused is all that the IANA special-purpose
//! registries set apart, and addresses that look public but belong to a cloud's inside. An address that
//! carries an IPv4 one (mapped, compatible, translated, NAT64) is judged by that one, so that no second
//! spelling of an address gets past.
//!
//! An endpoint's `allow_private` overrides ranges, never multicast, broadcast or the unspecified
//! address: nobody can mean these. Plain HTTP goes only to listed addresses. The addresses of the
//! machine's own interfaces are not known here; they fall under their ranges.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use url::{Host, Url};

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
    match special(judged) {
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

/// Whether an endpoint may have this URL. A name is not resolved here: its addresses are judged when
/// the connection is made, with [`check_plain_address`] for `http` and [`check_address`] for `https`.
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
        Host::Domain(_) => return Ok(()),
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

/// The address that counts: the IPv4 one that an IPv6 address carries, else itself.
fn judged(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => embedded_v4(v6).map_or(address, IpAddr::V4),
    }
}

/// The IPv4 address that packets to a mapped, compatible, translated or NAT64 address end at.
fn embedded_v4(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let (high, low) = match v6.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => return None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => (high, low),
        _ => return None,
    };
    Some(Ipv4Addr::from_bits(
        (u32::from(high) << 16) | u32::from(low),
    ))
}

/// What an address is that no endpoint can have.
fn never(address: IpAddr) -> Option<&'static str> {
    if address.is_multicast() {
        Some("a multicast address")
    } else if address.is_unspecified() {
        Some("the unspecified address")
    } else if address == IpAddr::V4(Ipv4Addr::BROADCAST) {
        Some("the broadcast address")
    } else {
        None
    }
}

/// What the special range is for that an address lies in.
fn special(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(v4) => SPECIAL_V4
            .iter()
            .find(|(net, _)| net.contains(&v4))
            .map(|(_, what)| *what),
        IpAddr::V6(v6) => SPECIAL_V6
            .iter()
            .find(|(net, _)| net.contains(&v6))
            .map(|(_, what)| *what),
    }
}

const fn v4(a: u8, b: u8, c: u8, d: u8, bits: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), bits)
}

/// The net whose first four groups are `groups`; the rest is 0.
const fn v6([a, b, c, d]: [u16; 4], bits: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0), bits)
}

/// IANA IPv4 special-purpose registry, and metadata services outside of it. The first hit names it.
const SPECIAL_V4: [(Ipv4Net, &str); 17] = [
    (v4(169, 254, 169, 254, 32), "a cloud metadata service"),
    (v4(168, 63, 129, 16, 32), "a cloud metadata service"),
    (v4(100, 100, 100, 200, 32), "a cloud metadata service"),
    (v4(0, 0, 0, 0, 8), "in the range of this network"),
    (v4(10, 0, 0, 0, 8), "in a private range"),
    (v4(100, 64, 0, 0, 10), "in the range of carrier-grade NAT"),
    (v4(127, 0, 0, 0, 8), "a loopback address"),
    (v4(169, 254, 0, 0, 16), "a link-local address"),
    (v4(172, 16, 0, 0, 12), "in a private range"),
    (v4(192, 0, 0, 0, 24), "in the range of IETF protocols"),
    (v4(192, 0, 2, 0, 24), "in a range for documentation"),
    (v4(192, 88, 99, 0, 24), "in the range of 6to4 relays"),
    (v4(192, 168, 0, 0, 16), "in a private range"),
    (v4(198, 18, 0, 0, 15), "in a range for benchmarks"),
    (v4(198, 51, 100, 0, 24), "in a range for documentation"),
    (v4(203, 0, 113, 0, 24), "in a range for documentation"),
    (v4(240, 0, 0, 0, 4), "in a reserved range"),
];

/// IANA IPv6 special-purpose registry, and metadata services. The first hit names it.
const SPECIAL_V6: [(Ipv6Net, &str); 14] = [
    (
        Ipv6Net::new_assert(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), 128),
        "a cloud metadata service",
    ),
    (
        Ipv6Net::new_assert(Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 1), 128),
        "a loopback address",
    ),
    (v6([0x64, 0xff9b, 1, 0], 48), "in the range of local NAT64"),
    (v6([0, 0, 0, 0], 8), "in a reserved range"),
    (v6([0x100, 0, 0, 0], 64), "in the discard range"),
    (v6([0x2001, 0, 0, 0], 32), "in the range of Teredo tunnels"),
    (v6([0x2001, 0, 0, 0], 23), "in the range of IETF protocols"),
    (
        v6([0x2001, 0xdb8, 0, 0], 32),
        "in a range for documentation",
    ),
    (v6([0x2002, 0, 0, 0], 16), "in the range of 6to4 tunnels"),
    (v6([0x3fff, 0, 0, 0], 20), "in a range for documentation"),
    (v6([0x5f00, 0, 0, 0], 16), "in the range of segment routing"),
    (v6([0xfc00, 0, 0, 0], 7), "in a private range"),
    (v6([0xfe80, 0, 0, 0], 10), "a link-local address"),
    (v6([0xfec0, 0, 0, 0], 10), "a site-local address"),
];

#[cfg(test)]
mod tests;
