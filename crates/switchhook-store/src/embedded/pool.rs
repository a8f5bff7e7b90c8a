//! Connections that are lent to whoever reads. Who finds none waits.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::read::Reader;

/// Readers that are free.
#[derive(Default)]
pub(super) struct Pool {
    free: Mutex<Vec<Reader>>,
    returned: Condvar,
}

impl Pool {
    pub(super) fn with<T>(&self, read: impl FnOnce(&mut Reader) -> T) -> T {
        let mut free = self.lock();
        let reader = loop {
            match free.pop() {
                Some(reader) => break reader,
                None => {
                    free = self
                        .returned
                        .wait(free)
                        .unwrap_or_else(PoisonError::into_inner)
                }
            }
        };
        drop(free);
        let mut lent = Lent {
            reader: Some(reader),
            pool: self,
        };
        // There is one until it is given back on drop.
        let Some(reader) = &mut lent.reader else {
            unreachable!("a lent reader is there")
        };
        read(reader)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Vec<Reader>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives a reader back, also when the read panics.
struct Lent<'a> {
    reader: Option<Reader>,
    pool: &'a Pool,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if let Some(reader) = self.reader.take() {
            self.pool.lock().push(reader);
            self.pool.returned.notify_one();
        }
    }
}
