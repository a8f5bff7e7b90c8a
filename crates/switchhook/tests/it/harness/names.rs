//! A name server on a real socket that answers as it is told, and something else the next time.
//!
//! It knows a list of answers for each name: the first question for addresses of a kind gets the first one, the second
//! the second, and from the last on it stays with that. An answer is a list of addresses and of names that it points on to. Every
//! time to live is 0. It is shared by the tests of the binary and those of the transport.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};

use simple_dns::rdata::{A, AAAA, CNAME, RData};
use simple_dns::{CLASS, Name, Packet, PacketFlag, QTYPE, RCODE, ResourceRecord, TYPE};

/// A name and its answers, the last of which stays.
pub(crate) type Answers = (&'static str, &'static [&'static [&'static str]]);

/// How often each name has been asked for.
type Asked = BTreeMap<String, usize>;

/// A running name server; it ends with the process.
pub(crate) struct Nameserver {
    /// Where it answers.
    pub(crate) addr: SocketAddr,
    asked: Arc<Mutex<Asked>>,
}

impl Nameserver {
    /// Starts one at `addr`.
    pub(crate) fn start(addr: &str, answers: &'static [Answers]) -> Self {
        let socket = UdpSocket::bind(addr).unwrap();
        let addr = socket.local_addr().unwrap();
        let asked = Arc::<Mutex<Asked>>::default();
        let counts = Arc::clone(&asked);
        std::thread::spawn(move || {
            let mut bytes = [0; 1_500];
            while let Ok((count, from)) = socket.recv_from(&mut bytes) {
                let Some(question) = bytes.get(..count) else {
                    continue;
                };
                if let Some(answer) = answer(question, answers, &counts) {
                    socket.send_to(&answer, from).ok();
                }
            }
        });
        Self { addr, asked }
    }

    /// How often addresses of IPv4 were asked for by this name.
    pub(crate) fn asked(&self, name: &str) -> usize {
        let asked = self.asked.lock().unwrap();
        asked.get(&format!("{name} v4")).copied().unwrap_or(0)
    }
}

fn answer(question: &[u8], answers: &[Answers], asked: &Mutex<Asked>) -> Option<Vec<u8>> {
    let query = Packet::parse(question).ok()?;
    let question = query.questions.first()?;
    let name = question.qname.to_string().to_ascii_lowercase();
    let is = |kind: TYPE| question.qtype == QTYPE::TYPE(kind);
    let wants_v6 = (is(TYPE::A) || is(TYPE::AAAA)).then(|| is(TYPE::AAAA));
    let mut reply = Packet::new_reply(query.id());
    reply.set_flags(PacketFlag::AUTHORITATIVE_ANSWER | PacketFlag::RECURSION_AVAILABLE);
    reply.questions.push(question.clone());
    match (answers.iter().find(|(known, _)| *known == name), wants_v6) {
        (Some((_, list)), Some(wants_v6)) => {
            let mut asked = asked.lock().unwrap();
            let count = asked
                .entry(format!("{name} {}", if wants_v6 { "v6" } else { "v4" }))
                .or_default();
            let chosen = list.get(*count).or(list.last()).copied();
            *count += 1;
            let mut owner = name;
            for item in chosen.unwrap_or_default() {
                owner = add(&mut reply, &owner, item, wants_v6);
            }
        }
        (Some(_), None) => {}
        (None, _) => *reply.rcode_mut() = RCODE::NameError,
    }
    reply.build_bytes_vec().ok()
}

/// Adds one item of an answer, if it is of the kind that was asked for. Whose the next one is.
fn add(reply: &mut Packet<'_>, owner: &str, item: &str, wants_v6: bool) -> String {
    let (data, next) = match item.parse() {
        Ok(IpAddr::V4(v4)) if !wants_v6 => {
            let address = v4.to_bits();
            (RData::A(A { address }), owner)
        }
        Ok(IpAddr::V6(v6)) if wants_v6 => {
            let address = v6.to_bits();
            (RData::AAAA(AAAA { address }), owner)
        }
        Ok(_) => return owner.to_owned(),
        Err(_) => {
            let target = Name::new(item).unwrap().into_owned();
            (RData::CNAME(CNAME(target)), item)
        }
    };
    let next = next.to_owned();
    let owner = Name::new(owner).unwrap().into_owned();
    let record = ResourceRecord::new(owner, CLASS::IN, 0, data).into_owned();
    reply.answers.push(record);
    next
}
