//! Promise: a damaged store is not opened, not changed, and what to do is said.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::harness::sender::body;
use crate::harness::{Ended, PROGRAM, SOURCE, Site};

/// A site whose store holds some events, and the path of its database.
fn stored() -> (Site, std::path::PathBuf) {
    let site = Site::new(SOURCE);
    let gateway = site.start();
    for n in 0..50 {
        assert_eq!(gateway.send("web", &body(&format!("{n}"))).status(), 202);
    }
    gateway.terminate();
    assert_eq!(gateway.wait().0, Some(0));
    let database = site.data().join("store.db");
    (site, database)
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, &bytes).unwrap();
    bytes
}

#[test]
fn a_gateway_refuses_to_start_on_a_damaged_store() {
    type Damage = fn(&mut Vec<u8>);
    let table: [(&str, Damage); 4] = [
        ("a flipped bit in the header", |bytes| bytes[3] ^= 1),
        ("the first page zeroed", |bytes| bytes[..4_096].fill(0)),
        ("cut in the middle", |bytes| bytes.truncate(bytes.len() / 2)),
        ("another file", |bytes| {
            *bytes = b"not a database at all, but some words\n".repeat(500)
        }),
    ];
    for (what, damage) in table {
        let (site, database) = stored();
        let damaged = change(&database, damage);
        let (code, words) = site.spawn().wait();
        assert_eq!(code, Some(74), "{what}: {words}");
        assert!(
            words.contains("damaged") && words.contains("switchhook store restore"),
            "{what}: {words}"
        );
        assert!(
            words.contains(database.to_str().unwrap()),
            "{what}: {words}"
        );
        assert!(
            fs::read(&database).unwrap() == damaged,
            "{what}: the file was changed"
        );
    }
}

#[test]
fn damage_deep_inside_is_found_by_verify() {
    let (site, database) = stored();
    let verify = || {
        let mut command = Command::new(PROGRAM);
        Ended::run(
            command.args(["store", "verify", "--json"]).arg(site.data()),
            "",
        )
    };
    assert_eq!(verify().json()["events"], 50);
    change(&database, |bytes| {
        // Every page but the first loses its type, so whichever hold the log are hit.
        let page = usize::from(u16::from_be_bytes([bytes[16], bytes[17]]));
        (page..bytes.len())
            .step_by(page)
            .for_each(|at| bytes[at] ^= 0xff);
    });
    let found = verify();
    assert_eq!(found.code, Some(74), "{found:?}");
}
