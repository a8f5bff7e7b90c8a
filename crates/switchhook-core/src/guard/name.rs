//! Hosts that are names: what may be one, and which mean one address wherever they are asked for.
//!
//! The URL standard takes hosts like `{{x}}`, `$(id)` or `..` for names. What no lookup can find is refused, so that none
//! of it comes to a resolver. A name with one meaning is judged as its address, without a lookup: that refuses early what
//! the connection would refuse, and also where the resolver of this machine says something else.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::{Blocked, check_address, special};

const METADATA: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254));
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const HERE_V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// The names, and all names below them: RFC 6761 for `localhost`, the hosts files of common systems, and the metadata
/// services of clouds.
const NAMES: [(&str, IpAddr); 11] = [
    ("localhost", HERE),
    ("localhost.localdomain", HERE),
    ("localhost4", HERE),
    ("localhost6", HERE_V6),
    ("ip6-localhost", HERE_V6),
    ("ip6-loopback", HERE_V6),
    ("metadata.google.internal", METADATA),
    ("metadata.goog", METADATA),
    ("metadata.azure.internal", METADATA),
    ("instance-data", METADATA),
    ("instance-data.ec2.internal", METADATA),
];

/// Longest name and longest label, in bytes (RFC 1035).
const NAME_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

/// Judges a host that is a name, in lower case as `url` gives it.
pub(super) fn check(host: &str, allow: &[IpNet]) -> Result<(), Blocked> {
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.len() > NAME_BYTES_MAX || !host.split('.').all(is_label) {
        return Err(Blocked::Host);
    }
    let means = |known: &str| {
        host.strip_suffix(known)
            .is_some_and(|below| below.is_empty() || below.ends_with('.'))
    };
    let Some((name, address)) = NAMES.into_iter().find(|(known, _)| means(known)) else {
        return Ok(());
    };
    // Whoever lists either loopback means the machine, whatever its resolver puts first.
    let is_listed = |address| check_address(address, allow).is_ok();
    if is_listed(address) || (address.is_loopback() && (is_listed(HERE) || is_listed(HERE_V6))) {
        return Ok(());
    }
    let what = special(address).unwrap_or("refused");
    Err(Blocked::Name {
        name,
        address,
        what,
    })
}

/// Whether it may stand between the dots of a name. Underscores are no letters of host names, and are met all the same.
fn is_label(label: &str) -> bool {
    let is_letter = |letter: u8| letter.is_ascii_alphanumeric() || matches!(letter, b'-' | b'_');
    (1..=LABEL_BYTES_MAX).contains(&label.len())
        && label.bytes().all(is_letter)
        && !label.starts_with('-')
        && !label.ends_with('-')
}
