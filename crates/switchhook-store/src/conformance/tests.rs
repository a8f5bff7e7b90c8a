use std::path::Path;
use std::rc::Rc;

use tempfile::TempDir;

use super::{Fixture, run_all};
use crate::Store;
use crate::embedded::{Embedded, Options};
use crate::memory::Memory;

/// No ballast, and no regard for how full the disk of the test machine is.
pub(crate) fn options() -> Options {
    Options {
        ballast_bytes: 0,
        soft_free_bytes: 0,
        hard_free_bytes: 0,
        ..Options::default()
    }
}

fn open(dir: &Path) -> Box<dyn Store> {
    Box::new(Embedded::open(dir, options()).unwrap())
}

/// An embedded store that is closed and opened again between write and read.
pub(super) fn embedded() -> Fixture {
    embedded_in(Rc::new(tempfile::tempdir().unwrap()))
}

/// The same in this directory.
pub(super) fn embedded_in(dir: Rc<TempDir>) -> Fixture {
    let store = open(dir.path());
    Fixture::new(
        store,
        Box::new(move |store| {
            drop(store);
            open(dir.path())
        }),
    )
}

pub(super) fn memory() -> Fixture {
    Fixture::new(Box::new(Memory::new()), Box::new(|store| store))
}

#[test]
fn the_store_in_memory_keeps_every_promise() {
    run_all(&memory);
}

#[test]
fn the_embedded_store_keeps_every_promise() {
    run_all(&embedded);
}
