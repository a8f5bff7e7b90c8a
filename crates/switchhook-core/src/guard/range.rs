//! What an address is for: which one counts, and the ranges that are set apart.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

/// The address that counts: the IPv4 one that an IPv6 address carries, else itself.
pub(super) fn judged(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => carried(v6).map_or(address, |(v4, _)| IpAddr::V4(v4)),
    }
}

/// How an IPv6 address carries an IPv4 one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Carrier {
    /// Mapped, or by the well-known prefix of NAT64: packets end at the IPv4 address, and it alone counts.
    Plain,
    /// Compatible or translated: nobody reaches anything public that way.
    Outdated,
    /// In the interface identifier of an ISATAP tunnel: both count.
    Tunnel,
}

/// The IPv4 address that packets to an IPv6 one may end at.
fn carried(v6: Ipv6Addr) -> Option<(Ipv4Addr, Carrier)> {
    let (high, low, carrier) = match v6.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => return None,
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            (high, low, Carrier::Plain)
        }
        [0, 0, 0, 0, 0, 0, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] => {
            (high, low, Carrier::Outdated)
        }
        // The bit 0x200 says whether the IPv4 address is one of a kind (RFC 5214, 6.1).
        [_, _, _, _, 0 | 0x200, 0x5efe, high, low] => (high, low, Carrier::Tunnel),
        _ => return None,
    };
    let bits = (u32::from(high) << 16) | u32::from(low);
    Some((Ipv4Addr::from_bits(bits), carrier))
}

/// What an address is that no endpoint can have.
pub(super) fn never(address: IpAddr) -> Option<&'static str> {
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

/// What is special about an address.
pub(super) fn special(address: IpAddr) -> Option<&'static str> {
    let v6 = match address {
        IpAddr::V4(v4) => return special_v4(v4),
        IpAddr::V6(v6) => v6,
    };
    match carried(v6) {
        Some((v4, Carrier::Plain)) => special_v4(v4),
        Some((v4, Carrier::Outdated)) => {
            Some(special_v4(v4).unwrap_or("an IPv4 address in a form that is out of use"))
        }
        Some((v4, Carrier::Tunnel)) => special_v6(v6).or_else(|| special_v4(v4)),
        None => special_v6(v6),
    }
}

fn special_v4(address: Ipv4Addr) -> Option<&'static str> {
    let hit = SPECIAL_V4.iter().find(|(net, _)| net.contains(&address));
    hit.map(|(_, what)| *what)
}

fn special_v6(address: Ipv6Addr) -> Option<&'static str> {
    let hit = SPECIAL_V6.iter().find(|(net, _)| net.contains(&address));
    let outside = || (!GLOBAL_V6.contains(&address)).then_some("outside of what is public");
    hit.map(|(_, what)| *what).or_else(outside)
}

const fn v4(a: u8, b: u8, c: u8, d: u8, bits: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), bits)
}

/// The net whose first four groups are `groups`; the rest is 0.
const fn v6([a, b, c, d]: [u16; 4], bits: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0), bits)
}

/// The only range of IPv6 from which addresses are given to anyone (IANA: Global Unicast). What is outside of it and has
/// no name below is used by overlays, if at all: 200::/7, for example, is a private network of its own.
const GLOBAL_V6: Ipv6Net = v6([0x2000, 0, 0, 0], 3);

/// IANA IPv4 special-purpose registry, and metadata services outside of it. The first hit names it.
const SPECIAL_V4: [(Ipv4Net, &str); 20] = [
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
    (v4(192, 31, 196, 0, 24), "in the range of DNS sinks (AS112)"),
    (v4(192, 52, 193, 0, 24), "in the range of multicast relays"),
    (v4(192, 88, 99, 0, 24), "in the range of 6to4 relays"),
    (v4(192, 168, 0, 0, 16), "in a private range"),
    (v4(192, 175, 48, 0, 24), "in the range of DNS sinks (AS112)"),
    (v4(198, 18, 0, 0, 15), "in a range for benchmarks"),
    (v4(198, 51, 100, 0, 24), "in a range for documentation"),
    (v4(203, 0, 113, 0, 24), "in a range for documentation"),
    (v4(240, 0, 0, 0, 4), "in a reserved range"),
];

/// IANA IPv6 special-purpose registry, and metadata services. The first hit names it.
const SPECIAL_V6: [(Ipv6Net, &str); 16] = [
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
    (v6([0x100, 0, 0, 1], 64), "in the range of dummy prefixes"),
    (v6([0x2001, 0, 0, 0], 32), "in the range of Teredo tunnels"),
    (v6([0x2001, 0, 0, 0], 23), "in the range of IETF protocols"),
    (
        v6([0x2001, 0xdb8, 0, 0], 32),
        "in a range for documentation",
    ),
    (v6([0x2002, 0, 0, 0], 16), "in the range of 6to4 tunnels"),
    (
        v6([0x2620, 0x4f, 0x8000, 0], 48),
        "in the range of DNS sinks (AS112)",
    ),
    (v6([0x3fff, 0, 0, 0], 20), "in a range for documentation"),
    (v6([0x5f00, 0, 0, 0], 16), "in the range of segment routing"),
    (v6([0xfc00, 0, 0, 0], 7), "in a private range"),
    (v6([0xfe80, 0, 0, 0], 10), "a link-local address"),
    (v6([0xfec0, 0, 0, 0], 10), "a site-local address"),
];
