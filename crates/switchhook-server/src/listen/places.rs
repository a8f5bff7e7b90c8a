//! How many connections there may be at once: in all, and from one address.

use std::collections::HashMap;
use std::collections::hash_map;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts connections. Holds one entry per address that has a connection, so it is bounded by `max`.
pub(super) struct Places {
    max: usize,
    per_ip_max: usize,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    by_ip: HashMap<IpAddr, usize>,
}

/// The right to one connection; given back when dropped.
pub(super) struct Place {
    places: Arc<Places>,
    ip: IpAddr,
}

impl Places {
    pub(super) fn new(max: usize, per_ip_max: usize) -> Self {
        Self {
            max,
            per_ip_max,
            taken: Mutex::default(),
        }
    }

    /// A place for a connection from `ip`, unless there are too many.
    pub(super) fn take(self: &Arc<Self>, ip: IpAddr) -> Option<Place> {
        let ip = ip.to_canonical();
        let mut taken = self.lock();
        if taken.all >= self.max {
            return None;
        }
        let from_ip = taken.by_ip.entry(ip).or_default();
        if *from_ip >= self.per_ip_max && !ip.is_loopback() {
            return None;
        }
        *from_ip += 1;
        taken.all += 1;
        Some(Place {
            places: Arc::clone(self),
            ip,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        taken.all = taken.all.saturating_sub(1);
        if let hash_map::Entry::Occupied(mut from_ip) = taken.by_ip.entry(self.ip) {
            *from_ip.get_mut() -= 1;
            if *from_ip.get() == 0 {
                from_ip.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_place_is_free_again_when_its_connection_ends() {
        let places = Arc::new(Places::new(3, 2));
        let first = places.take(ip("192.0.2.1")).unwrap();
        let _second = places.take(ip("::ffff:192.0.2.1")).unwrap();
        assert!(
            places.take(ip("192.0.2.1")).is_none(),
            "two from one address, however it is written"
        );
        let _third = places.take(ip("192.0.2.2")).unwrap();
        assert!(places.take(ip("192.0.2.3")).is_none(), "three in all");
        drop(first);
        let again = places.take(ip("192.0.2.1"));
        assert!(again.is_some());
    }

    #[test]
    fn loopback_has_no_limit_of_its_own_and_nothing_is_left_behind() {
        let places = Arc::new(Places::new(10, 1));
        let held: Vec<_> = (0..10).map(|_| places.take(ip("127.0.0.1"))).collect();
        assert!(held.iter().all(Option::is_some));
        assert!(places.take(ip("127.0.0.1")).is_none());
        drop(held);
        assert!(places.lock().by_ip.is_empty());
        assert_eq!(places.lock().all, 0);
    }
}
