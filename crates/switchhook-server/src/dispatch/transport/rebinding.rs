//! Names that change their minds, answered by a real name server; and traps that nobody may connect to.
//!
//! The stand-in for a public address is one of loopback that the endpoint's list names, with no other of its range.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, Question, TYPE};

use super::lab::{LONG, endpoint, no_secrets};
use super::*;
use crate::dispatch::guard::{Resolve, Resolving, Times};
use crate::dispatch::tls::Trust;

#[path = "../../../../switchhook/tests/it/harness/names.rs"]
mod names;

use names::{Answers, Nameserver};

/// The address that is meant, and others that a name may turn to.
const MEANT: &str = "127.9.9.9";

const NAMES: &[Answers] = &[
    ("honest.test", &[&[MEANT]]),
    ("rebound.test", &[&[MEANT], &["127.0.0.1"]]),
    ("flipping.test", &[&["127.0.0.1"], &[MEANT], &["127.0.0.1"]]),
    ("mixed.test", &[&["127.0.0.1", MEANT, "127.0.0.2"]]),
    ("last.test", &[&["127.0.0.1", "127.0.0.2", "::1", MEANT]]),
    ("six.test", &[&["::1"]]),
    ("six-and-four.test", &[&[MEANT, "::1"]]),
    ("mapped.test", &[&["::ffff:127.0.0.1"]]),
    ("compatible.test", &[&["::127.0.0.1"]]),
    ("zero.test", &[&["0.0.0.0", "::"]]),
    ("chain.test", &[&["inner.test", "127.0.0.1"]]),
    (
        "long-chain.test",
        &[&["a.test", "b.test", "127.0.0.1"], &["a.test", "::1"]],
    ),
    ("metadata.test", &[&["169.254.169.254", "fd00:ec2::254"]]),
    ("empty.test", &[&[]]),
];

/// Asks the name server for every connection, as a resolver without a cache does.
struct Wire(SocketAddr);

impl Resolve for Wire {
    fn resolve(&self, host: String, port: u16) -> Resolving {
        let server = self.0;
        Box::pin(async move {
            let found = tokio::task::spawn_blocking(move || look_up(server, &host)).await;
            let found = found.map_err(io::Error::other)??;
            Ok(found
                .into_iter()
                .map(|ip| SocketAddr::new(ip, port))
                .collect())
        })
    }
}

/// What a lookup of `name` by this server finds: every address that it says, chains followed as resolvers do.
fn look_up(server: SocketAddr, name: &str) -> io::Result<Vec<IpAddr>> {
    let mut found = Vec::new();
    for kind in [TYPE::A, TYPE::AAAA] {
        let mut query = Packet::new_query(7);
        let asked = Name::new(name).map_err(io::Error::other)?;
        let question = Question::new(asked, kind.into(), CLASS::IN.into(), false);
        query.questions.push(question);
        let socket = UdpSocket::bind(("127.0.0.1", 0))?;
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;
        let bytes = query.build_bytes_vec().map_err(io::Error::other)?;
        socket.send_to(&bytes, server)?;
        let mut bytes = [0; 1_500];
        let (count, _) = socket.recv_from(&mut bytes)?;
        let reply = bytes.get(..count).unwrap_or_default();
        let reply = Packet::parse(reply).map_err(io::Error::other)?;
        for record in &reply.answers {
            if let RData::A(a) = &record.rdata {
                found.push(IpAddr::V4(a.address.into()));
            }
            if let RData::AAAA(aaaa) = &record.rdata {
                found.push(IpAddr::V6(aaaa.address.into()));
            }
        }
    }
    Ok(found)
}

/// Listens where nobody may connect to, on the port of the endpoint.
struct Traps(Vec<TcpListener>);

impl Traps {
    fn set(port: u16) -> Self {
        let bind = |ip: &str| {
            let ip: IpAddr = ip.parse().unwrap();
            let trap = TcpListener::bind((ip, port)).unwrap();
            trap.set_nonblocking(true).unwrap();
            trap
        };
        let has_v6 = TcpListener::bind(("::1", 0)).is_ok();
        let addresses = ["127.0.0.1", "127.0.0.2", "::1"].into_iter();
        Self(
            addresses
                .filter(|ip| has_v6 || *ip != "::1")
                .map(bind)
                .collect(),
        )
    }

    /// Everybody who fell into one.
    fn caught(&self) -> Vec<SocketAddr> {
        let accepted = self.0.iter().filter_map(|trap| trap.accept().ok());
        accepted.map(|(_, from)| from).collect()
    }
}

/// An endpoint at [`MEANT`] that closes each connection after its answer, and how many requests it got.
fn meant() -> (u16, Arc<AtomicUsize>) {
    use std::io::{Read, Write};
    let listener = TcpListener::bind((MEANT, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let got = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&got);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            if stream.read(&mut [0; 4_096]).is_ok_and(|bytes| bytes > 0) {
                count.fetch_add(1, Ordering::Relaxed);
                let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                stream.write_all(answer.as_bytes()).ok();
            }
        }
    });
    (port, got)
}

#[tokio::test]
async fn whatever_a_name_turns_to_nothing_but_the_address_that_is_meant_is_connected_to() {
    let names = Nameserver::start("127.0.0.1:0", NAMES);
    let (port, got) = meant();
    let traps = Traps::set(port);
    let trust = Arc::new(Trust::of_system(&[]).unwrap());
    let own = Arc::new(ArcSwap::from_pointee(vec![]));
    let guard = Guard::new(Arc::new(Wire(names.addr)), trust, own, Times::default());
    let transport = Transport::new(guard, no_secrets());
    let mut sent = 0;
    // Results of three requests, each over a connection of its own: whether they were delivered.
    for (name, delivered) in [
        ("honest.test", [true, true, true]),
        ("rebound.test", [true, false, false]),
        ("flipping.test", [false, true, false]),
        ("mixed.test", [true, true, true]),
        ("last.test", [true, true, true]),
        ("six.test", [false; 3]),
        ("six-and-four.test", [true; 3]),
        ("mapped.test", [false; 3]),
        ("compatible.test", [false; 3]),
        ("zero.test", [false; 3]),
        ("chain.test", [false; 3]),
        ("long-chain.test", [false; 3]),
        ("metadata.test", [false; 3]),
        ("empty.test", [false; 3]),
    ] {
        let url = format!("http://{name}:{port}/hook");
        let endpoint = Arc::new(Endpoint {
            name: name.into(),
            ..endpoint(&url, &["127.9.9.9/32"])
        });
        for (n, delivered) in delivered.into_iter().enumerate() {
            let deadline = Instant::now() + LONG;
            let body = Bytes::from_static(b"{}");
            let send = transport.send(&endpoint, Method::POST, HeaderMap::new(), body, deadline);
            match send.await {
                Ok(answer) => assert!(delivered && answer.status == 200, "{name} {n}"),
                Err(fault) => {
                    let nothing_found = name == "empty.test";
                    let expected = if nothing_found {
                        Failure::Dns
                    } else {
                        Failure::Blocked
                    };
                    assert!(!delivered, "{name} {n}: {fault}");
                    assert_eq!(fault.failure, expected, "{name} {n}: {fault}");
                }
            }
            sent += usize::from(delivered);
            assert_eq!(
                names.asked(name),
                n + 1,
                "{name}: one lookup for each connection"
            );
        }
    }
    assert_eq!(got.load(Ordering::Relaxed), sent);
    assert_eq!(traps.caught(), []);
}
