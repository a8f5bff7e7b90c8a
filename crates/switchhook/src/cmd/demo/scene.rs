//! The scene of the demo: a gateway's configuration, three receivers, and a contact centre that sends.
//!
//! Every subscription takes from both sources, so each accepted event makes one delivery for each of
//! [`PARTS`]. The delays are short, so that retries and breakers can be watched. Rates are matched to the receivers: the
//! pauses that `bi` asks for leave room for about 30 deliveries a second.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;

use http::Uri;
use switchhook_core::secret::{Secret, SecretRef};
use switchhook_core::source::{Encoding, Verify};
use switchhook_sim::endpoint::{Behaviour, BehaviourError, Lab, Receiver, RunningLab};
use switchhook_sim::sender::{Floor, Mix, Sending, Source, Way};
use switchhook_wire::config::Config;
use uuid::Uuid;

use crate::config;
use crate::exit::{Code, Failure};

/// Where the demo listens if nobody else does; the CLI looks there for the API.
pub(super) const PORT_DEFAULT: u16 = 8081;

/// Conversations open at a time: several, and few enough to recognise.
const CONVERSATIONS: usize = 8;

/// Events in hand at a time.
const CONNECTIONS: usize = 4;

/// A receiver, its subscription, and how it behaves.
#[derive(Debug)]
pub(super) struct Part {
    /// Name of receiver and endpoint.
    pub(super) endpoint: &'static str,
    /// Name of the subscription.
    pub(super) subscription: &'static str,
    /// How the receiver answers.
    pub(super) behaviour: &'static str,
    /// The same for people.
    pub(super) words: &'static str,
}

/// Everyone who takes part.
pub(super) const PARTS: [Part; 3] = [
    Part {
        endpoint: "crm",
        subscription: "all-to-crm",
        behaviour: "ok:12ms",
        words: "200 after 12 ms",
    },
    Part {
        endpoint: "wfm",
        subscription: "all-to-wfm",
        behaviour: "outage:3s/20s",
        words: "503 for 3 of every 20 s",
    },
    Part {
        endpoint: "bi",
        subscription: "all-to-bi",
        behaviour: "rate-limit:429/3s/1%",
        words: "429 with Retry-After: 3 now and then",
    },
];

/// The port to use: the one named, the default one, or any that is free.
pub(super) fn port(named: Option<u16>) -> u16 {
    let free = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    named.unwrap_or(if free(PORT_DEFAULT) { PORT_DEFAULT } else { 0 })
}

/// A secret that nobody else has.
pub(super) fn secret() -> Vec<u8> {
    // Two ids: 148 random bits.
    format!("{}{}", Uuid::now_v7().simple(), Uuid::now_v7().simple()).into_bytes()
}

/// Starts the receivers.
pub(super) async fn lab() -> Result<RunningLab, Failure> {
    let receivers = PARTS.iter().map(|part| {
        let behaviour: Behaviour = part.behaviour.parse()?;
        Ok(Receiver {
            name: part.endpoint.into(),
            behaviour,
        })
    });
    let receivers = receivers
        .collect::<Result<_, BehaviourError>>()
        .map_err(|error| Failure::unexpected("a receiver's script cannot be read", error))?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let started = Lab::new(receivers).start(address).await;
    started.map_err(|error| Failure::unexpected("the receivers cannot be started", error))
}

/// The gateway's configuration, made in the way users make theirs.
pub(super) fn config(
    dir: &Path,
    port: u16,
    secret: &[u8],
    lab: &RunningLab,
) -> Result<Config, Failure> {
    let write = |name: &str, bytes: &[u8]| -> io::Result<()> { fs::write(dir.join(name), bytes) };
    write("secret", secret)
        .and_then(|()| write("switchhook.toml", toml(port, lab).as_bytes()))
        .map_err(|error| Failure::unexpected("the temporary directory cannot be written", error))?;
    config::load(
        Some(dir.join("switchhook.toml")),
        crate::output::Output::new(false, true, true),
    )
}

fn toml(port: u16, lab: &RunningLab) -> String {
    let mut text = format!(
        r#"[server]
ingest = "127.0.0.1:{port}"
admin = "127.0.0.1:{port}"
data_dir = "./data"
shutdown_drain = "5s"

[secret.demo]
file = "./secret"

[source.messages]
preset = "open-messaging"
verify = {{ secrets = ["{{{{secret:demo}}}}"] }}

[source.bus]
preset = "eventbridge"
verify = {{ scheme = "api-key", secrets = ["{{{{secret:demo}}}}"] }}

[policy.quick]
matrix = {{ delays = ["500ms", "1s", "2s", "4s"] }}
"#
    );
    for part in &PARTS {
        text.push_str(&format!(
            r#"
[endpoint.{endpoint}]
url = "{url}"
allow_private = ["127.0.0.0/8"]
breaker = {{ open = "1s", open_max = "2s" }}

[subscription.{subscription}]
sources = ["messages", "bus"]
endpoint = "{endpoint}"
policy = "quick"
"#,
            endpoint = part.endpoint,
            url = lab.url(part.endpoint),
            subscription = part.subscription,
        ));
    }
    text
}

/// Starts to send to the gateway at `ingest`.
pub(super) fn source(
    ingest: SocketAddr,
    secret: &[u8],
    rate_per_s: f64,
    seed: u64,
) -> Result<Sending, Failure> {
    let secrets = || vec![SecretRef::Literal(Secret::new(secret.to_vec()))];
    let url = |name: &str| -> Result<Uri, Failure> {
        format!("http://{ingest}/in/{name}")
            .parse()
            .map_err(|error| Failure::new(Code::Unexpected, format!("{error}")))
    };
    let messages = Verify::Hmac {
        header: "x-hub-signature-256".into(),
        prefix: "sha256=".into(),
        encoding: Encoding::Base64,
        secrets: secrets(),
    };
    let bus = Verify::Token {
        header: "x-api-key".into(),
        prefix: "".into(),
        secrets: secrets(),
    };
    let way = |hint: &str, url, proof| Way {
        hint: hint.to_owned(),
        url,
        proof,
    };
    let mut floor = Floor::new(seed, Mix::Both, CONVERSATIONS);
    let source = Source {
        ways: vec![
            way("open-messaging", url("messages")?, messages),
            way("eventbridge", url("bus")?, bus),
        ],
        next: Box::new(move |now| floor.next(now)),
        rate_per_s: Some(rate_per_s),
        connections: CONNECTIONS,
        keep_ids: true,
    };
    source
        .start()
        .map_err(|error| Failure::unexpected("the source cannot be started", error))
}
