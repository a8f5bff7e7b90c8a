//! A sender in the test's process that writes down what was acknowledged, and only that.
//!
//! Each of its connections has one event in hand and sends it, the same bytes again and again, until it is
//! acknowledged; then it takes the next. So an event whose answer was lost in a crash comes again under the
//! same id, as real senders do. Ids and bodies are a function of the seed.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use switchhook_core::secret::{Secret, SecretRef};
use switchhook_core::source::{Encoding, Verify};
use switchhook_core::time::UnixMs;
use switchhook_core::verify::prove;
use switchhook_sim::NoNames;

use super::Address;
use super::http::Connection;

/// The secret of every source in these tests.
pub(crate) const SECRET: &str = "a-secret-of-the-tests";

/// The header that signs `body` as Open Messaging does.
pub(crate) fn signature(body: &[u8]) -> String {
    let rule = Verify::Hmac {
        header: "x-hub-signature-256".into(),
        prefix: "sha256=".into(),
        encoding: Encoding::Base64,
        secrets: vec![SecretRef::Literal(Secret::new(SECRET.into()))],
    };
    let proof = prove(&rule, "", body, &NoNames, UnixMs(0)).unwrap();
    let (name, value) = &proof[0];
    format!("{name}: {}", value.to_str().unwrap())
}

/// Keys of the events of [`body`].
pub(crate) const KEYS: u32 = 40;

/// The event with this id. Its key follows from it: one of [`KEYS`].
pub(crate) fn body(id: &str) -> Vec<u8> {
    let sum: u32 = id
        .bytes()
        .fold(0, |sum, byte| sum.wrapping_mul(31) + u32::from(byte));
    keyed(id, &format!("k{}", sum % KEYS))
}

/// The event with this id and key.
pub(crate) fn keyed(id: &str, key: &str) -> Vec<u8> {
    format!(
        r#"{{"id":"{id}","type":"test.event","key":"{key}","text":"{}"}}"#,
        "x".repeat(200)
    )
    .into_bytes()
}

/// A running sender.
pub(crate) struct Sender {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    to: Address,
    seed: u64,
    next: AtomicU64,
    acked: Mutex<Vec<(String, String)>>,
    changed: Condvar,
    stopped: AtomicBool,
}

impl Sender {
    /// Starts to send to `/in/web` over `connections` connections.
    pub(crate) fn start(to: Address, seed: u64, connections: usize) -> Self {
        let shared = Arc::new(Shared {
            to,
            seed,
            next: AtomicU64::new(0),
            acked: Mutex::default(),
            changed: Condvar::new(),
            stopped: AtomicBool::new(false),
        });
        let threads = (0..connections).map(|_| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || shared.work())
        });
        Self {
            threads: threads.collect(),
            shared,
        }
    }

    /// Waits until `count` events have been acknowledged; fails the test after `patience`.
    #[track_caller]
    pub(crate) fn wait_for(&self, count: usize, patience: Duration) {
        let acked = self.shared.acked.lock().unwrap();
        let (acked, timeout) = self
            .shared
            .changed
            .wait_timeout_while(acked, patience, |acked| acked.len() < count)
            .unwrap();
        assert!(
            !timeout.timed_out(),
            "after {patience:?} only {} of {count} were acknowledged",
            acked.len()
        );
    }

    /// How many have been acknowledged so far.
    pub(crate) fn acked(&self) -> usize {
        self.shared.acked.lock().unwrap().len()
    }

    /// Takes no new event, gives up what is in hand, and tells what was acknowledged.
    pub(crate) fn stop(self) -> Vec<(String, String)> {
        self.shared.stopped.store(true, Ordering::Relaxed);
        self.shared.changed.notify_all();
        for thread in self.threads {
            thread.join().unwrap();
        }
        std::mem::take(&mut *self.shared.acked.lock().unwrap())
    }
}

impl Shared {
    fn work(&self) {
        let mut connection = None;
        while !self.stopped.load(Ordering::Relaxed) {
            let n = self.next.fetch_add(1, Ordering::Relaxed);
            let id = format!("{:x}-{n}", self.seed);
            while self.send(&mut connection, &id).is_err() {
                connection = None;
                if self.stopped.load(Ordering::Relaxed) {
                    return;
                }
                self.pause();
            }
        }
    }

    fn send(&self, connection: &mut Option<Connection>, id: &str) -> std::io::Result<()> {
        let body = body(id);
        let headers = ["host: gateway".to_owned(), signature(&body)];
        let open = match connection {
            Some(open) => open,
            None => connection.insert(Connection::open(self.to.get())?),
        };
        let answer = open.ask("POST /in/web HTTP/1.1", &headers, &body)?;
        match answer.json()["eventId"].as_str() {
            Some(event) if answer.status() == 202 => {
                self.acked
                    .lock()
                    .unwrap()
                    .push((id.to_owned(), event.to_owned()));
                self.changed.notify_all();
                Ok(())
            }
            _ => Err(std::io::Error::other(answer.first_line)),
        }
    }

    /// The gateway is gone or has refused: waits for somebody else's success, or a moment.
    fn pause(&self) {
        let acked = self.acked.lock().unwrap();
        drop(
            self.changed
                .wait_timeout(acked, Duration::from_millis(20))
                .unwrap(),
        );
    }
}
