//! Promise: the description of the management API is true, checked in, and breaks no client silently.
//!
//! `docs/reference/openapi.json` is what this program serves; `SWITCHHOOK_WRITE_OPENAPI=1` writes it anew.
//! `docs/reference/openapi-released.json` is that of the last release: what breaks its clients must stand in the
//! changelog, line by line.

use std::path::PathBuf;

use serde_json::Value;
use switchhook_wire::openapi::changes::breaking;

fn reference(name: &str) -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.join("docs/reference").join(name)
}

fn read(name: &str) -> Value {
    let text = std::fs::read_to_string(reference(name)).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn served() -> Value {
    switchhook_server::control::openapi().unwrap_or_else(|faults| panic!("{}", faults.join("\n")))
}

#[test]
fn every_route_is_described_and_the_description_is_checked_in() {
    let served = served();
    if std::env::var_os("SWITCHHOOK_WRITE_OPENAPI").is_some() {
        let text = serde_json::to_string_pretty(&served).unwrap() + "\n";
        std::fs::write(reference("openapi.json"), text).unwrap();
    }
    assert!(
        read("openapi.json") == served,
        "docs/reference/openapi.json is not what is served: run this test with SWITCHHOOK_WRITE_OPENAPI=1"
    );
}

#[test]
fn what_breaks_clients_of_the_last_release_stands_in_the_changelog() {
    let changelog = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../CHANGELOG.md");
    let changelog = std::fs::read_to_string(changelog).unwrap();
    let found = breaking(&read("openapi-released.json"), &served());
    let silent: Vec<&String> = found
        .iter()
        .filter(|line| !changelog.contains(*line))
        .collect();
    assert!(
        silent.is_empty(),
        "this breaks clients; take it back, or put each line into CHANGELOG.md: {silent:#?}"
    );
}

#[test]
fn an_undeclared_break_would_be_seen() {
    let mut changed = served();
    changed["paths"]["/v1/events"]
        .as_object_mut()
        .unwrap()
        .remove("get");
    assert_eq!(breaking(&served(), &changed), ["GET /v1/events: is gone"]);
}
