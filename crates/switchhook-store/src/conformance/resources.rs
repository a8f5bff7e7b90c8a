//! Resources with their versions, and tokens.

use switchhook_core::time::UnixMs;

use super::Fixture;
use crate::Batch;
use crate::batch::{Resource, ResourceChange, Token};

fn change(fixture: &Fixture, kind: &str, name: &str, body: Option<&str>, at_ms: u64) {
    let change = ResourceChange {
        kind: kind.into(),
        name: name.into(),
        body: body.map(Into::into),
        at: UnixMs(at_ms),
    };
    fixture.write(Batch {
        resources: vec![change],
        ..Batch::default()
    });
}

pub(super) fn versions_go_on_over_changes_and_deletes(fixture: &mut Fixture) {
    change(fixture, "source", "b", None, 1);
    change(fixture, "source", "b", Some("{}"), 2);
    change(fixture, "endpoint", "b", Some("{}"), 3);
    change(fixture, "source", "b", Some("{\"a\":1}"), 4);
    change(fixture, "source", "a", Some("{}"), 5);
    fixture.reopen();
    let resource = |kind: &str, name: &str, version, body: &str, at| Resource {
        kind: kind.into(),
        name: name.into(),
        version,
        body: body.into(),
        updated_at: UnixMs(at),
    };
    let found = fixture.store().resources().expect("they can be read");
    let endpoint = resource("endpoint", "b", 1, "{}", 3);
    let a = resource("source", "a", 1, "{}", 5);
    assert_eq!(
        found,
        [
            endpoint.clone(),
            a.clone(),
            resource("source", "b", 2, "{\"a\":1}", 4)
        ]
    );
    change(fixture, "source", "b", None, 6);
    change(fixture, "source", "b", None, 7);
    fixture.reopen();
    assert_eq!(
        fixture.store().resources().expect("they can be read"),
        [endpoint.clone(), a.clone()]
    );
    change(fixture, "source", "b", Some("{}"), 8);
    let found = fixture.store().resources().expect("they can be read");
    assert_eq!(found, [endpoint, a, resource("source", "b", 4, "{}", 8)]);
}

pub(super) fn tokens_are_kept(fixture: &mut Fixture) {
    let token = |byte, at| Token {
        hash: [byte; 32],
        name: "ci".into(),
        created_at: UnixMs(at),
    };
    fixture.write(Batch {
        tokens: vec![token(2, 1), token(1, 2)],
        ..Batch::default()
    });
    fixture.write(Batch {
        tokens: vec![token(3, 0), token(1, 2)],
        ..Batch::default()
    });
    fixture.reopen();
    let found = fixture.store().tokens().expect("they can be read");
    assert_eq!(found, [token(3, 0), token(2, 1), token(1, 2)]);
}
