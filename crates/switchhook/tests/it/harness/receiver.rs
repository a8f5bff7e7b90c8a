//! A receiver in the test's process that writes down every request before it answers.
//!
//! It stands outside of the gateway, so its records survive whatever is done to it. Which answer a request gets is
//! a function of its id and attempt number, so that a run can be repeated. One thread per connection; the
//! gateway's concurrency bounds them.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use super::audit::Arrival;
use super::http::{Connection, Message};

/// How a request is answered: subscription, sender's id, attempt number → status. It may take its time.
pub(crate) type Behaviour = dyn Fn(&str, &str, u32) -> u16 + Send + Sync;

/// A running receiver.
pub(crate) struct Receiver {
    addr: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    arrivals: Mutex<Vec<Arrival>>,
    arrived: Condvar,
    behaviour: Mutex<Arc<Behaviour>>,
    start: Instant,
    ended: AtomicBool,
}

impl Receiver {
    /// Starts one that answers as `behaviour` says. Times are counted from `start`.
    pub(crate) fn start(
        start: Instant,
        behaviour: impl Fn(&str, &str, u32) -> u16 + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let shared = Arc::new(Shared {
            arrivals: Mutex::default(),
            arrived: Condvar::new(),
            behaviour: Mutex::new(Arc::new(behaviour)),
            start,
            ended: AtomicBool::new(false),
        });
        let receiver = Self {
            addr: listener.local_addr().unwrap(),
            shared: Arc::clone(&shared),
        };
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.ended.load(Ordering::Relaxed) {
                    return;
                }
                let shared = Arc::clone(&shared);
                // A connection that breaks is the gateway's death; what came whole has been recorded.
                std::thread::spawn(move || {
                    Connection::new(stream?).and_then(|it| shared.serve(it))
                });
            }
        });
        receiver
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook", self.addr)
    }

    /// Answers differently from now on.
    pub(crate) fn behave(
        &self,
        behaviour: impl Fn(&str, &str, u32) -> u16 + Send + Sync + 'static,
    ) {
        *self.shared.behaviour.lock().unwrap() = Arc::new(behaviour);
    }

    /// What has arrived so far.
    pub(crate) fn arrivals(&self) -> Vec<Arrival> {
        self.shared.arrivals.lock().unwrap().clone()
    }

    /// Waits until what has arrived is as wanted; fails the test after `patience`.
    #[track_caller]
    pub(crate) fn wait_until(&self, patience: Duration, wanted: impl Fn(&[Arrival]) -> bool) {
        let arrivals = self.shared.arrivals.lock().unwrap();
        let (arrivals, timeout) = self
            .shared
            .arrived
            .wait_timeout_while(arrivals, patience, |arrivals| !wanted(arrivals))
            .unwrap();
        assert!(
            !timeout.timed_out(),
            "after {patience:?} only this had arrived: {arrivals:?}"
        );
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts.
        std::net::TcpStream::connect(self.addr).ok();
    }
}

impl Shared {
    fn serve(&self, mut connection: Connection) -> std::io::Result<()> {
        while let Some(request) = connection.read()? {
            let arrival = self.read(&request);
            let (subscription, id, attempt) = (
                arrival.subscription.clone(),
                arrival.id.clone(),
                arrival.attempt,
            );
            let index = {
                let mut arrivals = self.arrivals.lock().unwrap();
                arrivals.push(arrival);
                arrivals.len() - 1
            };
            self.arrived.notify_all();
            let behaviour = Arc::clone(&self.behaviour.lock().unwrap());
            let status = behaviour(&subscription, &id, attempt);
            self.note(index, |arrival| arrival.status = status);
            connection.send(&format!("HTTP/1.1 {status} -"), &[], b"")?;
            let now_ms = self.now_ms();
            self.note(index, |arrival| arrival.answered_ms = Some(now_ms));
        }
        Ok(())
    }

    fn note(&self, index: usize, change: impl FnOnce(&mut Arrival)) {
        change(&mut self.arrivals.lock().unwrap()[index]);
        self.arrived.notify_all();
    }

    fn read(&self, request: &Message) -> Arrival {
        let header = |name| request.header(name).unwrap_or_default().to_owned();
        Arrival {
            subscription: header("x-integration-id"),
            delivery: header("x-delivery-id"),
            event: header("x-event-id"),
            id: request.json()["id"].as_str().unwrap_or_default().to_owned(),
            attempt: header("x-delivery-attempt").parse().unwrap_or(0),
            run: header("x-run").parse().unwrap_or(0),
            at_ms: self.now_ms(),
            answered_ms: None,
            status: 0,
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
