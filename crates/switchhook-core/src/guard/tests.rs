use super::*;
use proptest::prelude::*;
use std::net::Ipv4Addr;

fn nets(texts: &[&str]) -> Vec<IpNet> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn address(text: &str, allow: &[&str]) -> Result<(), Blocked> {
    check_address(text.parse().unwrap(), &nets(allow))
}

fn url(text: &str, allow: &[&str]) -> Result<(), Blocked> {
    check_url(&Url::parse(text).unwrap(), &nets(allow))
}

/// First and last address of every range of SEC-11, and what hides such an address in another one.
const REFUSED: &[&str] = &[
    "0.0.0.1",
    "0.255.255.255",
    "10.0.0.0",
    "10.255.255.255",
    "100.64.0.0",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.255",
    "169.254.0.0",
    "169.254.169.254",
    "169.254.255.255",
    "172.16.0.0",
    "172.31.255.255",
    "192.0.0.0",
    "192.0.0.255",
    "192.0.2.0",
    "192.0.2.255",
    "192.88.99.0",
    "192.88.99.255",
    "192.168.0.0",
    "192.168.255.255",
    "198.18.0.0",
    "198.19.255.255",
    "198.51.100.0",
    "198.51.100.255",
    "203.0.113.0",
    "203.0.113.255",
    "240.0.0.0",
    "255.255.255.254",
    "168.63.129.16",
    "100.100.100.200",
    "::1",
    "::2",
    "::ffff:127.0.0.1",
    "::ffff:10.1.2.3",
    "::ffff:169.254.169.254",
    "::127.0.0.1",
    "::ffff:0:192.168.1.1",
    "64:ff9b::10.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::",
    "64:ff9b:1:ffff:ffff:ffff:ffff:ffff",
    "64:ff9b::1:0:0",
    "::1:0:0:0",
    "ff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "100::",
    "100::ffff:ffff:ffff:ffff",
    "2001::",
    "2001::1",
    "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff",
    "2001:db8::",
    "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
    "2002::",
    "2002:808:808::1",
    "2002:7f00:1::",
    "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "3fff::",
    "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff",
    "5f00::",
    "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "fc00::",
    "fd00:ec2::254",
    "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "fe80::1",
    "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "fec0::",
    "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "192.31.196.0",
    "192.31.196.255",
    "192.52.193.0",
    "192.52.193.255",
    "192.175.48.0",
    "192.175.48.255",
    "2620:4f:8000::",
    "2620:4f:8000:ffff:ffff:ffff:ffff:ffff",
    "100:0:0:1::",
    "100:0:0:1:ffff:ffff:ffff:ffff",
    "100:0:0:2::",
    "200::1",
    "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "4000::",
    "64:ff9b:0:1::808:808",
    "65::",
    "::8.8.8.8",
    "::ffff:0:8.8.8.8",
    "2606:4700::5efe:10.0.0.1",
    "2606:4700::200:5efe:127.0.0.1",
];

/// What no list can permit.
const NEVER: &[&str] = &[
    "0.0.0.0",
    "255.255.255.255",
    "224.0.0.0",
    "239.255.255.255",
    "::",
    "ff00::",
    "ff02::1",
    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "::ffff:0.0.0.0",
    "::ffff:224.0.0.1",
    "::ffff:255.255.255.255",
    "64:ff9b::224.0.0.1",
    "64:ff9b::",
    "::ffff:0:0.0.0.0",
];

/// Public, among them the direct neighbours of every range.
const PUBLIC: &[&str] = &[
    "1.0.0.0",
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "168.63.129.15",
    "168.63.129.17",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "191.255.255.255",
    "192.0.1.0",
    "192.0.3.0",
    "192.88.98.255",
    "192.88.100.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "198.51.99.255",
    "198.51.101.0",
    "203.0.112.255",
    "203.0.114.0",
    "223.255.255.255",
    "2001:200::",
    "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff",
    "2001:db9::",
    "2001:4860:4860::8888",
    "2003::",
    "2606:4700:4700::1111",
    "192.31.195.255",
    "192.31.197.0",
    "192.52.192.255",
    "192.52.194.0",
    "192.175.47.255",
    "192.175.49.0",
    "2000::",
    "2620:4f:7fff:ffff:ffff:ffff:ffff:ffff",
    "2620:4f:8001::",
    "3ffe::1",
    "3fff:1000::",
    "3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "2606:4700::5efe:808:808",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
];

#[test]
fn every_special_address_is_refused_unless_its_range_is_listed() {
    for text in REFUSED {
        assert!(
            matches!(address(text, &[]), Err(Blocked::Range { .. })),
            "{text}"
        );
        assert!(
            address(text, &["9.9.9.0/24", "2607::/16"]).is_err(),
            "{text}"
        );
        assert_eq!(address(text, &["0.0.0.0/0", "::/0"]), Ok(()), "{text}");
        assert_eq!(
            address(
                text,
                &[&format!(
                    "{text}/{}",
                    if text.contains(':') { 128 } else { 32 }
                )]
            ),
            Ok(())
        );
    }
}

#[test]
fn multicast_broadcast_and_unspecified_are_refused_whatever_is_listed() {
    for text in NEVER {
        assert!(
            matches!(
                address(text, &["0.0.0.0/0", "::/0"]),
                Err(Blocked::Never { .. })
            ),
            "{text}"
        );
    }
}

#[test]
fn public_addresses_pass_without_a_list() {
    for text in PUBLIC {
        assert_eq!(address(text, &[]), Ok(()), "{text}");
    }
}

#[test]
fn an_address_in_ipv6_clothes_is_allowed_by_the_ipv4_range() {
    for text in [
        "::ffff:10.0.0.1",
        "64:ff9b::10.0.0.1",
        "::ffff:0:10.0.0.1",
        "::10.0.0.1",
    ] {
        assert_eq!(address(text, &["10.0.0.0/8"]), Ok(()), "{text}");
        assert!(address(text, &["11.0.0.0/8"]).is_err(), "{text}");
    }
}

#[test]
fn plain_http_reaches_only_listed_addresses() {
    let plain =
        |text: &str, allow: &[&str]| check_plain_address(text.parse().unwrap(), &nets(allow));
    assert_eq!(plain("127.0.0.1", &["127.0.0.0/8"]), Ok(()));
    assert_eq!(plain("8.8.8.8", &["8.8.8.0/24"]), Ok(()));
    assert_eq!(
        plain("8.8.8.8", &["127.0.0.0/8"]),
        Err(Blocked::Plain("8.8.8.8".parse().unwrap()))
    );
    assert!(matches!(
        plain("10.0.0.1", &["127.0.0.0/8"]),
        Err(Blocked::Range { .. })
    ));
}

#[test]
fn a_url_is_judged_by_scheme_port_user_fragment_and_literal_address() {
    const LOCAL: &[&str] = &["127.0.0.0/8", "::1/128"];
    let range = |text: &str| Blocked::Range {
        address: text.parse().unwrap(),
        what: "a loopback address",
    };
    for (text, allow, expected) in [
        ("https://example.com/hook", &[][..], Ok(())),
        ("https://example.com:443/", &[], Ok(())),
        ("https://example.com:8443/", &[], Ok(())),
        ("https://example.com:1024/", &[], Ok(())),
        ("https://example.com:65535/", &[], Ok(())),
        ("https://localhost/", LOCAL, Ok(())),
        ("https://localhost.example.com/", &[], Ok(())),
        ("https://8.8.8.8/", &[], Ok(())),
        ("https://example.com:1023/", LOCAL, Err(Blocked::Port(1023))),
        ("https://example.com:22/", &[], Err(Blocked::Port(22))),
        ("https://example.com:0/", LOCAL, Err(Blocked::Port(0))),
        ("https://example.com:80/", &[], Err(Blocked::Port(80))),
        ("https://example.com:80/", LOCAL, Ok(())),
        (
            "http://example.com/",
            &[],
            Err(Blocked::Scheme("http".into())),
        ),
        ("http://example.com/", LOCAL, Ok(())),
        ("http://127.0.0.1:9000/hook", LOCAL, Ok(())),
        ("http://[::1]:9000/hook", LOCAL, Ok(())),
        (
            "http://8.8.8.8/",
            LOCAL,
            Err(Blocked::Plain("8.8.8.8".parse().unwrap())),
        ),
        (
            "ftp://example.com/",
            LOCAL,
            Err(Blocked::Scheme("ftp".into())),
        ),
        (
            "file:///etc/passwd",
            LOCAL,
            Err(Blocked::Scheme("file".into())),
        ),
        (
            "gopher://127.0.0.1:6379/_",
            LOCAL,
            Err(Blocked::Scheme("gopher".into())),
        ),
        ("https://user@example.com/", &[], Err(Blocked::UserInfo)),
        ("https://:secret@example.com/", &[], Err(Blocked::UserInfo)),
        ("https://example.com/#part", &[], Err(Blocked::Fragment)),
        ("https://127.0.0.1/", &[], Err(range("127.0.0.1"))),
        ("https://127.1/", &[], Err(range("127.0.0.1"))),
        ("https://2130706433/", &[], Err(range("127.0.0.1"))),
        ("https://0x7f.0.0.1/", &[], Err(range("127.0.0.1"))),
        ("https://0177.0.0.1/", &[], Err(range("127.0.0.1"))),
        ("https://127。0。0。1/", &[], Err(range("127.0.0.1"))),
        ("https://[::1]/", &[], Err(range("::1"))),
        (
            "https://[::ffff:127.0.0.1]/",
            &[],
            Err(range("::ffff:127.0.0.1")),
        ),
        ("https://127.0.0.1/", LOCAL, Ok(())),
    ] {
        assert_eq!(url(text, allow), expected, "{text}");
    }
}

#[test]
fn no_error_repeats_the_credentials_of_a_url() {
    let told = url("https://user:hunter2@example.com/", &[])
        .unwrap_err()
        .to_string();
    assert!(!told.contains("hunter2"), "{told}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_spelling_of_an_ipv4_address_is_judged_alike(bits in any::<u32>(), private in any::<bool>()) {
        let v4 = Ipv4Addr::from_bits(if private { bits & 0x00ff_ffff | 0x0a00_0000 } else { bits });
        let plain = check_address(v4.into(), &[]).is_ok();
        let carriers = ["::ffff:", "64:ff9b::", "2606:4700::5efe:", "2606:4700::200:5efe:"];
        for text in carriers.map(|carrier| format!("{carrier}{v4}")) {
            prop_assert_eq!(address(&text, &[]).is_ok(), plain, "{}", text);
        }
        for text in ["::ffff:0:", "::"].map(|carrier| format!("{carrier}{v4}")) {
            prop_assert!(address(&text, &[]).is_err(), "{}", text);
        }
    }
}
