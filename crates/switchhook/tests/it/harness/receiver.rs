//! A receiver in the test's process that writes down every request before it answers.
//!
//! It stands outside of the gateway, so its records survive whatever is done to it. Which answer a request gets is
//! a function of what arrived, so that a run can be repeated. It plays several endpoints by several paths. One thread
//! per connection; the gateway's concurrency bounds them.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use super::audit::Arrival;
use super::http::{Connection, Message};

/// How a request is answered: with which status. It may take its time.
pub(crate) type Behaviour = dyn Fn(&Arrival) -> u16 + Send + Sync;

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
        behaviour: impl Fn(&Arrival) -> u16 + Send + Sync + 'static,
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

    /// Another place of it: an endpoint of its own as far as the gateway knows.
    pub(crate) fn at(&self, path: &str) -> String {
        format!("http://{}/{path}", self.addr)
    }

    /// Answers differently from now on.
    pub(crate) fn behave(&self, behaviour: impl Fn(&Arrival) -> u16 + Send + Sync + 'static) {
        *self.shared.behaviour.lock().unwrap() = Arc::new(behaviour);
    }

    /// What has arrived so far.
    pub(crate) fn arrivals(&self) -> Vec<Arrival> {
        self.shared.arrivals.lock().unwrap().clone()
    }

    /// What has arrived so far at one of its places, see [`Receiver::at`].
    pub(crate) fn arrived_at(&self, path: &str) -> Vec<Arrival> {
        let mut arrivals = self.arrivals();
        arrivals.retain(|it| it.place() == path);
        arrivals
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
            let mut arrival = self.read(request);
            {
                let mut arrivals = self.arrivals.lock().unwrap();
                arrival.number = arrivals.len();
                arrivals.push(arrival.clone());
            }
            let index = arrival.number;
            self.arrived.notify_all();
            let behaviour = Arc::clone(&self.behaviour.lock().unwrap());
            let status = behaviour(&arrival);
            // Before the answer: what follows from it must not be recorded first.
            self.note(index, |arrival, arrived| {
                arrival.status = status;
                arrival.ended = Some(arrived);
            });
            connection.send(&format!("HTTP/1.1 {status} -"), &[], b"")?;
            let now_ms = self.now_ms();
            self.note(index, |arrival, _| arrival.answered_ms = Some(now_ms));
        }
        Ok(())
    }

    /// Changes one, knowing how many there are.
    fn note(&self, index: usize, change: impl FnOnce(&mut Arrival, usize)) {
        let mut arrivals = self.arrivals.lock().unwrap();
        let arrived = arrivals.len();
        change(&mut arrivals[index], arrived);
        drop(arrivals);
        self.arrived.notify_all();
    }

    fn read(&self, request: Message) -> Arrival {
        let body = request.json();
        let text = |name| body[name].as_str().unwrap_or_default().to_owned();
        let header = |name| request.header(name).unwrap_or_default().to_owned();
        Arrival {
            number: 0,
            subscription: header("x-integration-id"),
            delivery: header("x-delivery-id"),
            event: header("x-event-id"),
            id: text("id"),
            key: text("key"),
            attempt: header("x-delivery-attempt").parse().unwrap_or(0),
            run: header("x-run").parse().unwrap_or(0),
            at_ms: self.now_ms(),
            answered_ms: None,
            status: 0,
            ended: None,
            request: Arc::new(request),
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
