//! Nobody inside is reached, whatever names, redirects and addresses say.
//!
//! The real binary runs in a network of its own, with a name server that changes its mind, addresses of all kinds on its
//! only interface, and a trap on each of them but the one that is meant. There the test runs once more, inside
//! ([`inside`]); this file starts that with `unshare`. Where no namespaces are to be had it says so. The same without
//! the binary, in any network, is a test of the transport.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::process::Command;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::harness::names::{Answers, Nameserver};
use crate::harness::{Gateway, SOURCE, Site, skipped, subscription, until};

/// Set for the test that runs inside.
const INSIDE: &str = "SWITCHHOOK_TEST_INSIDE";

/// The one address that may be connected to, as if it were somebody else's: the list of each endpoint names it.
const MEANT: &str = "93.184.216.34";
/// Looks public and is an address of this machine: refused without being listed.
const OWN: &str = "93.184.216.35";
/// Where nobody may connect to.
const TRAPS: [&str; 9] = [
    "127.0.0.1",
    "127.0.0.53",
    OWN,
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.169.254",
    "::1",
];

const NAMES: &[Answers] = &[
    ("honest.test", &[&[MEANT]]),
    ("rebound.test", &[&[MEANT], &["127.0.0.1"]]),
    ("rebound-own.test", &[&[MEANT], &[OWN]]),
    (
        "flipping.test",
        &[
            &["10.0.0.1"],
            &[MEANT],
            &["169.254.169.254"],
            &[MEANT],
            &["127.0.0.1"],
        ],
    ),
    ("mixed.test", &[&["127.0.0.1", MEANT, "10.0.0.1"]]),
    ("six-and-four.test", &[&["::1", MEANT]]),
    ("six.test", &[&["::1"]]),
    ("mapped.test", &[&["::ffff:127.0.0.1"]]),
    ("zero.test", &[&["0.0.0.0"]]),
    (
        "private.test",
        &[&["10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1"]],
    ),
    ("metadata.test", &[&["169.254.169.254"]]),
    ("own.test", &[&[OWN]]),
    ("chain.test", &[&["inner.test", "127.0.0.1"]]),
    (
        "late-chain.test",
        &[&["inner.test", MEANT], &["inner.test", "::1", "127.0.0.1"]],
    ),
];

/// What becomes of four deliveries by this name: how many arrive at the address that is meant.
const FATES: [(&str, usize); 14] = [
    ("honest", 4),
    ("rebound", 1),
    ("rebound-own", 1),
    ("flipping", 2),
    ("mixed", 4),
    ("six-and-four", 4),
    ("six", 0),
    ("mapped", 0),
    ("zero", 0),
    ("private", 0),
    ("metadata", 0),
    ("own", 0),
    ("chain", 0),
    ("late-chain", 1),
];

/// Deliveries by each name.
const ROUNDS: usize = 4;

#[test]
fn no_name_and_no_redirect_leads_the_gateway_inside() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    let resolv = file(
        "resolv.conf",
        "nameserver 127.0.0.1\noptions timeout:2 attempts:1\n",
    );
    let hosts = file("hosts", "127.0.0.1 localhost\n");
    let switch = file("nsswitch.conf", "hosts: files dns\n");
    let add = |ip: &str| format!("ip address add {ip}/32 dev lo");
    let mut steps = vec!["set -e".to_owned(), "ip link set lo up".to_owned()];
    let extra = TRAPS
        .iter()
        .copied()
        .filter(|ip| !ip.starts_with("127.") && *ip != "::1");
    steps.extend(extra.chain([MEANT]).map(add));
    for (from, to) in [
        (&resolv, "/etc/resolv.conf"),
        (&hosts, "/etc/hosts"),
        (&switch, "/etc/nsswitch.conf"),
    ] {
        // Where it is a link, what it leads to is what is read.
        steps.push(format!(
            "mount --bind {} \"$(readlink -f {to})\"",
            from.display()
        ));
    }
    steps.push("echo prepared".to_owned());
    steps.push("exec \"$0\" --exact ssrf::inside --nocapture".to_owned());
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "--net", "--", "sh", "-c"]);
    command
        .arg(steps.join("\n"))
        .arg(std::env::current_exe().unwrap());
    let ran = match command.env(INSIDE, "1").output() {
        Ok(ran) => ran,
        Err(why) => return skipped("names that turn inside", &why.to_string()),
    };
    let said = String::from_utf8_lossy(&ran.stdout);
    let told = String::from_utf8_lossy(&ran.stderr);
    if !said.contains("prepared") {
        return skipped("names that turn inside", told.trim());
    }
    assert!(ran.status.success(), "{said}\n{told}");
}

/// What runs in the network of its own; by itself it does nothing.
#[test]
fn inside() {
    if std::env::var_os(INSIDE).is_none() {
        return;
    }
    let names = Nameserver::start("127.0.0.1:53", NAMES);
    assert_eq!(names.addr.port(), 53);
    let meant = Meant::start();
    let traps = Traps::set(meant.port);
    let gateway = start(meant.port);
    for round in 1..=ROUNDS {
        for (name, _) in FATES {
            gateway.accept(
                json!({"id": format!("{name}-{round}"), "to": name})
                    .to_string()
                    .as_bytes(),
            );
        }
        // One round after the other: every delivery has a lookup of its own.
        let all = FATES.len() * round;
        until("all deliveries have ended", || {
            let arrived: usize = meant.by_host().values().sum();
            let (_, dead) = gateway.counts();
            (arrived + usize::try_from(dead).unwrap() >= all).then_some(())
        });
    }
    for (name, arrived) in FATES {
        let at = meant.by_host().get(name).copied().unwrap_or(0);
        assert_eq!(at, arrived, "{name}");
        assert!(names.asked(&format!("{name}.test")) >= ROUNDS, "{name}");
    }
    let letters = gateway.dead_letters();
    let blocked = letters
        .iter()
        .filter(|it| it["reason"] == "blocked")
        .count();
    let expected: usize = FATES.iter().map(|(_, arrived)| ROUNDS - arrived).sum();
    assert_eq!(blocked, expected, "{letters:?}");
    redirects_are_not_followed(&gateway, &meant);
    literals_are_refused(&gateway, meant.port);
    probes_reach_nobody(&gateway);
    assert_eq!(traps.caught(), Vec::<String>::new());
    // Were one connected to, it would be seen.
    let trap = format!("http://127.0.0.1:{}/", meant.port);
    let body = json!({"url": trap, "allow_private": ["127.0.0.1/32"], "timeout": "1s"});
    gateway.tell("PUT /v1/endpoints/control", &body);
    gateway.tell("POST /v1/endpoints/control/probe", &Value::Null);
    assert_eq!(traps.caught().len(), 1);
}

/// The gateway, with an endpoint and a subscription for each name.
fn start(port: u16) -> Gateway {
    let mut config = SOURCE.to_owned();
    config += "\n[policy.once]\nfixed = { delay = \"1s\" }\nmax_attempts = 1\n";
    for (name, _) in FATES {
        config += &format!(
            "\n[endpoint.{name}]\nurl = \"http://{name}.test:{port}/{name}\"\nallow_private = [\"{MEANT}/32\"]\nbreaker = false\n"
        );
        let lines = format!(
            "endpoint = \"{name}\"\npolicy = \"once\"\nwhen = \"event.data.to == '{name}'\""
        );
        config += &subscription(name, &lines);
    }
    let site = Box::leak(Box::new(Site::new(&config)));
    site.start()
}

/// Redirects to every trap: each is an answer, and no more than that.
fn redirects_are_not_followed(gateway: &Gateway, meant: &Meant) {
    let before = gateway.counts().1;
    for trap in TRAPS {
        let location = format!(
            "http://{}/",
            SocketAddr::new(trap.parse().unwrap(), meant.port)
        );
        *meant.redirect.lock().unwrap() = Some(location);
        let body = json!({"id": format!("redirect-{trap}"), "to": "honest"});
        gateway.accept(body.to_string().as_bytes());
        gateway.settle(crate::harness::PATIENCE);
    }
    *meant.redirect.lock().unwrap() = None;
    let after = gateway.counts().1;
    assert_eq!(usize::try_from(after - before).unwrap(), TRAPS.len());
}

/// No trap is taken as a URL, whatever its list names besides.
fn literals_are_refused(gateway: &Gateway, port: u16) {
    for trap in TRAPS.iter().filter(|trap| **trap != OWN) {
        let at = SocketAddr::new(trap.parse().unwrap(), port);
        for scheme in ["http", "https"] {
            let body = json!({"url": format!("{scheme}://{at}/"), "allow_private": [format!("{MEANT}/32")]});
            let body = body.to_string();
            let refused = gateway.ask("PUT /v1/endpoints/literal", body.as_bytes());
            assert_eq!(refused.status(), 422, "{at}: {refused:?}");
        }
    }
    // What it is can only be seen once it is connected to.
    let body = json!({"url": format!("https://{OWN}:{port}/")});
    gateway.tell("PUT /v1/endpoints/own-literal", &body);
    let probe = gateway.tell("POST /v1/endpoints/own-literal/probe", &Value::Null);
    assert_eq!(probe["error"], "blocked", "{probe}");
}

/// A probe goes through the same guard.
fn probes_reach_nobody(gateway: &Gateway) {
    for (name, _) in FATES.iter().filter(|(_, arrived)| *arrived == 0) {
        let probe = gateway.tell(&format!("POST /v1/endpoints/{name}/probe"), &Value::Null);
        assert_eq!(probe["error"], "blocked", "{name}: {probe}");
        assert_eq!(probe["address"], Value::Null, "{name}: {probe}");
    }
}

/// The receiver that is meant: it closes each connection after its answer, so that every delivery makes a new one.
struct Meant {
    port: u16,
    paths: Arc<Mutex<Vec<String>>>,
    redirect: Arc<Mutex<Option<String>>>,
}

impl Meant {
    fn start() -> Self {
        let listener = TcpListener::bind((MEANT, 0)).unwrap();
        let meant = Self {
            port: listener.local_addr().unwrap().port(),
            paths: Arc::default(),
            redirect: Arc::default(),
        };
        let (paths, redirect) = (Arc::clone(&meant.paths), Arc::clone(&meant.redirect));
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let mut bytes = [0; 8_192];
                let Ok(count) = stream.read(&mut bytes) else {
                    continue;
                };
                let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
                let path = text.split(' ').nth(1).unwrap_or_default();
                let answer = match &*redirect.lock().unwrap() {
                    Some(to) => format!("HTTP/1.1 307 -\r\nlocation: {to}\r\n"),
                    None => {
                        paths
                            .lock()
                            .unwrap()
                            .push(path.trim_start_matches('/').to_owned());
                        "HTTP/1.1 200 -\r\n".to_owned()
                    }
                };
                let rest = "content-length: 0\r\nconnection: close\r\n\r\n";
                stream.write_all((answer + rest).as_bytes()).ok();
            }
        });
        meant
    }

    /// Requests by the name of the endpoint.
    fn by_host(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for path in &*self.paths.lock().unwrap() {
            *counts.entry(path.clone()).or_default() += 1;
        }
        counts
    }
}

/// Listeners on every address that must not be reached, on the port of the receiver and on those of services that are
/// worth reaching.
struct Traps(Vec<TcpListener>);

impl Traps {
    fn set(port: u16) -> Self {
        let mut traps = Vec::new();
        for ip in TRAPS {
            let ip: IpAddr = ip.parse().unwrap();
            for port in [port, 80, 443] {
                let trap = TcpListener::bind((ip, port)).unwrap();
                trap.set_nonblocking(true).unwrap();
                traps.push(trap);
            }
        }
        Self(traps)
    }

    /// Everybody who fell into one, and where.
    fn caught(&self) -> Vec<String> {
        let of = |trap: &TcpListener| {
            let (_, from) = trap.accept().ok()?;
            Some(format!("{from} at {}", trap.local_addr().ok()?))
        };
        self.0.iter().filter_map(of).collect()
    }
}
