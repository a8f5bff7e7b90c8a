//! Resources with their versions, and the files that declare them.

use switchhook_core::time::UnixMs;

use super::Fixture;
use crate::Batch;
use crate::batch::{Resource, ResourceChange};

fn change(fixture: &Fixture, kind: &str, name: &str, body: Option<&str>, at_ms: u64) {
    change_by(fixture, (kind, name), body, None, at_ms);
}

fn change_by(
    fixture: &Fixture,
    (kind, name): (&str, &str),
    body: Option<&str>,
    managed_by: Option<&str>,
    at_ms: u64,
) {
    let change = ResourceChange {
        kind: kind.into(),
        name: name.into(),
        body: body.map(Into::into),
        managed_by: managed_by.map(Into::into),
        at: UnixMs(at_ms),
    };
    fixture.write(Batch {
        resources: vec![change],
        ..Batch::default()
    });
}

fn resource(kind: &str, name: &str, version: u64, body: Option<&str>, at_ms: u64) -> Resource {
    Resource {
        kind: kind.into(),
        name: name.into(),
        version,
        body: body.map(Into::into),
        managed_by: None,
        updated_at: UnixMs(at_ms),
    }
}

fn found(fixture: &Fixture) -> Vec<Resource> {
    fixture.store().resources().expect("they can be read")
}

pub(super) fn versions_go_on_over_changes_and_deletes(fixture: &mut Fixture) {
    change(fixture, "source", "b", None, 1);
    assert_eq!(found(fixture), [], "it was never there");
    change(fixture, "source", "b", Some("{}"), 2);
    change(fixture, "endpoint", "b", Some("{}"), 3);
    change(fixture, "source", "b", Some("{\"a\":1}"), 4);
    change(fixture, "source", "a", Some("{}"), 5);
    fixture.reopen();
    let endpoint = resource("endpoint", "b", 1, Some("{}"), 3);
    let a = resource("source", "a", 1, Some("{}"), 5);
    let b = |version, body, at_ms| resource("source", "b", version, body, at_ms);
    let expected = [endpoint.clone(), a.clone(), b(2, Some("{\"a\":1}"), 4)];
    assert_eq!(found(fixture), expected);
    // A second delete changes nothing.
    change(fixture, "source", "b", None, 6);
    change(fixture, "source", "b", None, 7);
    fixture.reopen();
    let expected = [endpoint.clone(), a.clone(), b(3, None, 6)];
    assert_eq!(found(fixture), expected);
    change(fixture, "source", "b", Some("{}"), 8);
    assert_eq!(found(fixture), [endpoint, a, b(4, Some("{}"), 8)]);
}

pub(super) fn a_resource_is_managed_by_what_its_last_change_says(fixture: &mut Fixture) {
    let web = ("source", "web");
    for (body, managed_by) in [
        (Some("{}"), None),
        (Some("{}"), Some("team.toml")),
        (Some("{\"a\":1}"), Some("other.toml")),
        (None, Some("other.toml")),
        (Some("{}"), None),
    ] {
        change_by(fixture, web, body, managed_by, 1);
        fixture.reopen();
        let rows = found(fixture);
        assert_eq!(rows.len(), 1);
        let row = rows.first().expect("there is one resource");
        assert_eq!(
            row.managed_by.as_deref(),
            managed_by,
            "version {}",
            row.version
        );
        assert_eq!(row.body.as_deref(), body, "version {}", row.version);
    }
}
