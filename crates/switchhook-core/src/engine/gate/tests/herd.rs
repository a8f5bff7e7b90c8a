//! The herd of `facts` finding 5: 10,000 deliveries wait, the endpoint was down for an hour and bears 50
//! requests in a second. Only gates, lanes that line up as the engine's do, and virtual time.

use std::collections::BTreeMap;

use super::*;

const MESSAGES: u64 = 10_000;
const LANES: u64 = 3;
const BACK_AT: UnixMs = UnixMs(3_600_000);
const CAPACITY: u64 = 50;
const IDEAL_MS: u64 = MESSAGES * 1_000 / CAPACITY;
const ATTEMPTS_MAX: u16 = 16;

/// What an endpoint does with more than it bears.
#[derive(Debug, Clone, Copy)]
enum Receiver {
    /// Lets it wait: one request after the other, 20 ms each.
    Queues { free_at: u64 },
    /// Answers 503 to all beyond 50 in each second; others after so many milliseconds.
    Refuses {
        takes_ms: u64,
        second: u64,
        taken: u64,
    },
}

impl Receiver {
    /// What comes back for a request that arrives at `now`, and when.
    fn answer(&mut self, now: u64) -> (OutcomeKind, u64) {
        if now < BACK_AT.0 {
            return (REFUSED, now + 3);
        }
        match self {
            Self::Queues { free_at } => {
                *free_at = now.max(*free_at) + 1_000 / CAPACITY;
                (OutcomeKind::Status(200), *free_at)
            }
            Self::Refuses {
                takes_ms,
                second,
                taken,
            } => {
                if *second != now / 1_000 {
                    (*second, *taken) = (now / 1_000, 0);
                }
                *taken += 1;
                let status = if *taken > CAPACITY { 503 } else { 200 };
                (OutcomeKind::Status(status), now + *takes_ms)
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Message {
    offset: u64,
    lane: u64,
    counted: u16,
}

/// What was seen.
#[derive(Debug, Default)]
struct Seen {
    /// When each request arrived.
    calls: Vec<u64>,
    delivered: u64,
    exhausted: u64,
    drained_at: u64,
    /// When the first probe after the endpoint was back went out.
    probed_at: Option<u64>,
    /// Order in which lanes had their requests.
    lanes: Vec<u64>,
}

struct World {
    gates: Gates,
    gate: GateId,
    receiver: Receiver,
    now: u64,
    /// What each lane has to send, and whether it stands in line.
    lanes: BTreeMap<u64, (VecDeque<Message>, bool)>,
    runnable: VecDeque<u64>,
    /// Ends of requests: by time, in the order of their start.
    under_way: BTreeMap<(u64, u64), (Message, OutcomeKind, bool, u64)>,
    due: BTreeMap<(u64, u64), Message>,
    timers: BTreeSet<u64>,
    seed: u64,
    seen: Seen,
}

impl World {
    fn new(endpoint: Endpoint, receiver: Receiver) -> Self {
        let (gates, gate) = gates(endpoint, None, UnixMs(0));
        let mut lanes: BTreeMap<u64, (VecDeque<Message>, bool)> = BTreeMap::new();
        for offset in 0..MESSAGES {
            let lane = offset % LANES;
            let message = Message {
                offset,
                lane,
                counted: 0,
            };
            lanes.entry(lane).or_default().0.push_back(message);
        }
        Self {
            gates,
            gate,
            receiver,
            now: 0,
            runnable: lanes.keys().copied().collect(),
            lanes,
            under_way: BTreeMap::new(),
            due: BTreeMap::new(),
            timers: BTreeSet::new(),
            seed: 7,
            seen: Seen::default(),
        }
    }

    fn random(&mut self) -> u64 {
        self.seed = self
            .seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        self.seed >> 33
    }

    fn run(mut self) -> Seen {
        loop {
            while let Some(lane) = self.runnable.pop_front() {
                self.serve(lane);
            }
            let ends = self.under_way.keys().next().map(|(at, _)| *at);
            let due = self.due.keys().next().map(|(at, _)| *at);
            let timer = self.timers.first().copied();
            let Some(next) = [ends, due, timer].into_iter().flatten().min() else {
                return self.seen;
            };
            assert!(
                next < 4 * BACK_AT.0,
                "it does not end: {:?}",
                self.seen.delivered
            );
            self.now = self.now.max(next);
            self.happen();
        }
    }

    fn happen(&mut self) {
        while let Some(entry) = self
            .under_way
            .first_entry()
            .filter(|e| e.key().0 <= self.now)
        {
            let (message, kind, probe, at) = entry.remove();
            self.end(message, kind, probe, at);
        }
        while let Some(entry) = self.due.first_entry().filter(|e| e.key().0 <= self.now) {
            let message = entry.remove();
            self.lanes
                .get_mut(&message.lane)
                .unwrap()
                .0
                .push_back(message);
            self.wake(message.lane);
        }
        while self.timers.first().is_some_and(|at| *at <= self.now) {
            self.timers.pop_first();
            for lane in self.gates.take_waiters(self.gate) {
                self.let_in(lane);
            }
        }
    }

    fn serve(&mut self, lane: u64) {
        while let Some(&message) = self.lanes[&lane].0.front() {
            let retry = message.counted > 0;
            match self.gates.admit(self.gate, retry, UnixMs(self.now)) {
                Admission::Yes(permit) => {
                    self.lanes.get_mut(&lane).unwrap().0.pop_front();
                    self.start(message, permit.probe);
                    if self.gates.has_waiters(self.gate) {
                        return self.wake(lane);
                    }
                }
                Admission::Full => return self.line_up(lane),
                Admission::NotBefore(at) => {
                    assert!(at.0 > self.now, "told to come back in the past");
                    self.timers.insert(at.0);
                    return self.line_up(lane);
                }
                never @ (Admission::RetryNotBefore(_) | Admission::Shut | Admission::Gone) => {
                    panic!("{never:?}")
                }
            }
        }
        if let Some(waiter) = self.gates.pass_on(self.gate, UnixMs(self.now)) {
            self.let_in(waiter);
        }
    }

    fn start(&mut self, message: Message, probe: bool) {
        let (kind, end) = self.receiver.answer(self.now);
        self.seen.calls.push(self.now);
        self.seen.lanes.push(message.lane);
        if probe && self.now >= BACK_AT.0 && self.seen.probed_at.is_none() {
            self.seen.probed_at = Some(self.now);
        }
        self.under_way
            .insert((end, message.offset), (message, kind, probe, self.now));
    }

    fn end(&mut self, mut message: Message, kind: OutcomeKind, probe: bool, at: u64) {
        let took_ms = u32::try_from(self.now - at).unwrap();
        let outcome = outcome(kind, UnixMs(at), took_ms);
        let entropy = self.random();
        let ended = Ended {
            probe,
            entropy,
            ..ended(&outcome, message.offset)
        };
        let left = self.gates.leave(self.gate, &ended, UnixMs(self.now));
        if let Some(waiter) = left.waiter {
            self.let_in(waiter);
        }
        if kind == OutcomeKind::Status(200) {
            self.seen.delivered += 1;
            self.seen.drained_at = self.now;
        } else {
            message.counted += u16::from(!probe);
            if message.counted >= ATTEMPTS_MAX {
                self.seen.exhausted += 1;
            } else {
                // 1 s to 15 min, doubling, and up to a quarter more.
                let ms = (1_000_u64 << message.counted.min(12)).min(900_000);
                let ms = ms + ms * (self.random() % 250) / 1_000;
                self.due.insert((self.now + ms, message.offset), message);
            }
        }
        self.wake(message.lane);
    }

    fn line_up(&mut self, lane: u64) {
        let at_gate = &mut self.lanes.get_mut(&lane).unwrap().1;
        if !std::mem::replace(at_gate, true) {
            self.gates.wait(self.gate, LaneId(lane));
        }
    }

    fn let_in(&mut self, lane: LaneId) {
        self.lanes.get_mut(&lane.0).unwrap().1 = false;
        self.wake(lane.0);
    }

    fn wake(&mut self, lane: u64) {
        if !self.runnable.contains(&lane) {
            self.runnable.push_back(lane);
        }
    }
}

/// Most requests in any second, wherever it begins.
fn peak(calls: &[u64]) -> usize {
    let mut peak = 0;
    let mut from = 0;
    for (to, at) in calls.iter().enumerate() {
        while calls[from] + 1_000 <= *at {
            from += 1;
        }
        peak = peak.max(to + 1 - from);
    }
    peak
}

fn judge(concurrency: u16, receiver: Receiver) -> Seen {
    let name = format!("{receiver:?}, {concurrency} at once");
    let seen = World::new(endpoint(concurrency), receiver).run();
    let after: Vec<u64> = seen
        .calls
        .iter()
        .copied()
        .filter(|at| *at >= BACK_AT.0)
        .collect();
    let before = seen.calls.len() - after.len();
    let probed_at = seen.probed_at.unwrap();
    let drained_ms = seen.drained_at - probed_at;
    assert_eq!((seen.delivered, seen.exhausted), (MESSAGES, 0), "{name}");
    assert!(
        before < 100,
        "{name}: {before} calls to an endpoint that is down"
    );
    assert!(
        probed_at - BACK_AT.0 <= 360_000,
        "{name}: the longest open time"
    );
    assert!(
        peak(&after) as u64 * 10 <= CAPACITY * 12,
        "{name}: {}",
        peak(&after)
    );
    assert!(drained_ms * 10 <= IDEAL_MS * 13, "{name}: {drained_ms}");
    seen
}

#[test]
fn ten_thousand_that_wait_do_not_fall_upon_an_endpoint_that_queues() {
    for concurrency in [2, 5, 10] {
        judge(concurrency, Receiver::Queues { free_at: 0 });
    }
}

#[test]
fn ten_thousand_that_wait_do_not_fall_upon_an_endpoint_that_refuses_what_is_too_much() {
    for (concurrency, takes_ms) in [(5, 20), (64, 20), (64, 200), (20, 100), (64, 500)] {
        let receiver = Receiver::Refuses {
            takes_ms,
            second: 0,
            taken: 0,
        };
        judge(concurrency, receiver);
    }
}

#[test]
fn a_paced_gate_lets_its_lanes_in_by_turns() {
    let seen = judge(5, Receiver::Queues { free_at: 0 });
    let tail = &seen.lanes[200..5_000];
    for lane in 0..LANES {
        let share = tail.iter().filter(|other| **other == lane).count();
        assert!(
            (1_500..=1_700).contains(&share),
            "lane {lane}: {share} of {}",
            tail.len()
        );
    }
}
