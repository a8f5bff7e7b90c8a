//! The address guard against forms that were made to get past it.
//!
//! `guard/forms.txt` says of each form what must become of it. Rules make more of them: every spelling of random
//! addresses of every special range.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a corpus that cannot be read must fail the test that reads it"
)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use proptest::prelude::*;
use switchhook_core::guard::{check_address, check_plain_address, parse_url};
use url::{Host, Url};

const FORMS: &str = include_str!("guard/forms.txt");

/// What must become of a form.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fate {
    Refused,
    Judged(Vec<IpAddr>),
    Passes(String, Vec<IpAddr>),
}

/// Every form with what must become of it.
fn forms() -> Vec<(String, Fate)> {
    let lines = FORMS.lines();
    let written = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    written.map(form).collect()
}

fn form(line: &str) -> (String, Fate) {
    let (fate, rest) = line.split_once(' ').expect("a fate and a text");
    let mut texts = serde_json::Deserializer::from_str(rest).into_iter::<String>();
    let text = texts.next().expect("a text").expect("a JSON string");
    let rest = rest.get(texts.byte_offset()..).expect("the rest").trim();
    let addresses = |list: &str| {
        let list = list.split(',');
        list.map(|text| text.parse().expect("an address")).collect()
    };
    let fate = match fate {
        "refused" if rest.is_empty() => Fate::Refused,
        "judged" => Fate::Judged(addresses(rest)),
        "passes" => {
            let (host, list) = rest.split_once(' ').expect("a host and addresses");
            Fate::Passes(host.to_owned(), addresses(list))
        }
        other => panic!("`{other}` is no fate, or has too much: {line}"),
    };
    (text, fate)
}

/// What becomes of a text whose host, if it is a name, has these addresses.
fn fate(text: &str, addresses: &[IpAddr]) -> Fate {
    let Ok(url) = parse_url(text, &[]) else {
        return Fate::Refused;
    };
    let own = match url.host().expect("a URL that passes has a host") {
        Host::Domain(_) => addresses.to_vec(),
        Host::Ipv4(address) => vec![IpAddr::V4(address)],
        Host::Ipv6(address) => vec![IpAddr::V6(address)],
    };
    if own
        .iter()
        .any(|address| check_address(*address, &[]).is_ok())
    {
        Fate::Passes(url.host_str().unwrap_or_default().to_owned(), own)
    } else {
        Fate::Judged(own)
    }
}

#[test]
fn every_hostile_form_is_refused_and_every_honest_one_passes() {
    let forms = forms();
    let wrong: Vec<String> = forms
        .iter()
        .filter_map(|(text, expected)| {
            let addresses: &[IpAddr] = match expected {
                Fate::Refused => &[],
                Fate::Judged(addresses) | Fate::Passes(_, addresses) => addresses,
            };
            let found = fate(text, addresses);
            (found != *expected).then(|| format!("{text:?}: {found:?}, not {expected:?}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn there_are_at_least_700_hostile_forms_and_no_two_are_alike() {
    let mut forms = forms();
    let is_hostile = |form: &&(String, Fate)| !matches!(form.1, Fate::Passes(..));
    assert!(forms.iter().filter(is_hostile).count() >= 700);
    let count = forms.len();
    forms.sort_by(|(one, _), (other, _)| one.cmp(other));
    forms.dedup_by(|(one, _), (other, _)| one == other);
    assert_eq!(forms.len(), count);
}

/// A form must not get past by `http` either, whatever else is permitted.
#[test]
fn no_form_gets_further_with_an_allow_list_that_names_something_else() {
    let allow: [IpNet; 2] = ["203.0.113.77/32", "2001:db8:77::/64"].map(|net| net.parse().unwrap());
    for (text, expected) in forms() {
        if matches!(expected, Fate::Passes(..)) {
            continue;
        }
        for text in [text.clone(), text.replacen("https", "http", 1)] {
            let Ok(url) = parse_url(&text, &allow) else {
                continue;
            };
            let addresses = match (&expected, url.host()) {
                (Fate::Judged(addresses), Some(Host::Domain(_))) => addresses.clone(),
                // A port that only counts with a list, or a scheme: what it leads to is not special.
                (_, Some(Host::Domain("example.com"))) => continue,
                (_, host) => panic!("{text:?} passes to {host:?}"),
            };
            for address in addresses {
                assert!(check_plain_address(address, &allow).is_err(), "{text:?}");
            }
        }
    }
}

/// Host of what is connected to and host of what is shown are the same: the text is parsed once.
#[test]
fn what_passes_means_the_same_when_it_is_parsed_again() {
    for (text, expected) in forms() {
        if let Fate::Passes(host, _) = expected {
            let url = parse_url(&text, &[]).unwrap();
            let again = Url::parse(url.as_str()).unwrap();
            assert_eq!(again.host_str(), Some(&*host), "{text:?}");
            assert_eq!(again, url);
        }
    }
}

const SPECIAL_V4: [&str; 16] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "168.63.129.16/32",
];
const SPECIAL_V6: [&str; 17] = [
    "::/8",
    "64:ff9b:1::/48",
    "100::/8",
    "200::/7",
    "2001::/23",
    "2001:db8::/32",
    "2002::/16",
    "2620:4f:8000::/48",
    "3fff::/20",
    "4000::/2",
    "5f00::/16",
    "8000::/1",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
    "fd00:ec2::254/128",
];

/// The address of a net with these bits in its host part.
fn within(net: IpNet, bits: u128) -> IpAddr {
    match net {
        IpNet::V4(net) => {
            let host = u32::try_from(bits & u128::from(u32::MAX)).unwrap();
            IpAddr::V4(Ipv4Addr::from_bits(
                net.network().to_bits() | (host & net.hostmask().to_bits()),
            ))
        }
        IpNet::V6(net) => IpAddr::V6(Ipv6Addr::from_bits(
            net.network().to_bits() | (bits & net.hostmask().to_bits()),
        )),
    }
}

/// Every spelling of an IPv4 address that some program takes for it.
fn spellings(address: Ipv4Addr) -> Vec<String> {
    let [a, b, c, d] = address.octets();
    let bits = address.to_bits();
    let (low_24, low_16) = (bits & 0x00ff_ffff, bits & 0xffff);
    let mut texts = vec![
        address.to_string(),
        format!("{address}."),
        bits.to_string(),
        format!("{bits:#x}"),
        format!("0{bits:o}"),
        format!("{a:#x}.{b:#x}.{c:#x}.{d:#x}"),
        format!("0{a:o}.0{b:o}.0{c:o}.0{d:o}"),
        format!("{a:#x}.0{b:o}.{c}.{d:#x}"),
        format!("{a}.{low_24}"),
        format!("{a}.{b}.{low_16}"),
        format!("{a:#x}.{low_24:#x}"),
        format!("0{a:o}.{b}.0{low_16:o}"),
        address.to_string().replace('.', "\u{3002}"),
        address.to_string().replace('.', "%2e"),
    ];
    let wide = |digit: char| digit.to_digit(10).and_then(|n| char::from_u32(0xff10 + n));
    texts.push(
        address
            .to_string()
            .chars()
            .map(|c| wide(c).unwrap_or(c))
            .collect(),
    );
    for carrier in [
        "::ffff:",
        "::",
        "::ffff:0:",
        "64:ff9b::",
        "64:ff9b:1::",
        "2606:4700::5efe:",
    ] {
        texts.push(format!("[{carrier}{address}]"));
    }
    texts.push(format!("[2002:{:x}:{:x}::1]", bits >> 16, low_16));
    texts
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_spelling_of_any_special_ipv4_address_passes(at in 0..SPECIAL_V4.len(), bits in any::<u128>()) {
        let net: Ipv4Net = SPECIAL_V4[at].parse().unwrap();
        let IpAddr::V4(address) = within(IpNet::V4(net), bits) else { unreachable!() };
        for text in spellings(address) {
            let text = format!("https://{text}/");
            prop_assert_eq!(fate(&text, &[]), Fate::Refused, "{}", text);
        }
    }

    #[test]
    fn no_special_ipv6_address_passes_but_for_those_that_carry_a_public_one(at in 0..SPECIAL_V6.len(), bits in any::<u128>()) {
        let net: Ipv6Net = SPECIAL_V6[at].parse().unwrap();
        let IpAddr::V6(address) = within(IpNet::V6(net), bits) else { unreachable!() };
        let carries = address.to_ipv4_mapped().is_some() || address.to_string().starts_with("64:ff9b::");
        prop_assume!(!carries);
        let text = format!("https://[{address}]/");
        prop_assert_eq!(fate(&text, &[]), Fate::Refused, "{}", text);
    }

    #[test]
    fn whatever_the_text_nothing_panics_and_what_passes_is_not_special(text in "\\PC{0,40}") {
        for text in [text.clone(), format!("https://{text}"), format!("https://{text}/"), format!("https://a{text}")] {
            if let Ok(url) = parse_url(&text, &[]) {
                match url.host() {
                    Some(Host::Ipv4(address)) => prop_assert!(check_address(address.into(), &[]).is_ok()),
                    Some(Host::Ipv6(address)) => prop_assert!(check_address(address.into(), &[]).is_ok()),
                    Some(Host::Domain(_)) => {}
                    None => prop_assert!(false, "{} has no host", text),
                }
            }
        }
    }
}
