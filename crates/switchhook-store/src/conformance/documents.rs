//! Documents: written over, deleted, expired, listed by room, and in the same commit as what they belong to.

use bytes::Bytes;
use switchhook_core::id::Offset;
use switchhook_core::time::UnixMs;

use super::Fixture;
use super::sample::{attempt, attempts, event, events};
use crate::batch::{
    AuditEntry, DOCUMENT_BYTES_MAX, Document, DocumentChange, ResourceChange, Retain, Room,
};
use crate::{Batch, Error};

fn put(room: Room, id: &str, body: &str, at_ms: u64) -> DocumentChange {
    DocumentChange {
        room,
        id: id.into(),
        body: Some(Bytes::copy_from_slice(body.as_bytes())),
        at: UnixMs(at_ms),
        expires_at: None,
    }
}

fn until(change: DocumentChange, expires_ms: u64) -> DocumentChange {
    DocumentChange {
        expires_at: Some(UnixMs(expires_ms)),
        ..change
    }
}

fn delete(room: Room, id: &str) -> DocumentChange {
    DocumentChange {
        body: None,
        ..put(room, id, "", 9)
    }
}

fn documents(documents: impl IntoIterator<Item = DocumentChange>) -> Batch {
    Batch {
        documents: documents.into_iter().collect(),
        ..Batch::default()
    }
}

fn written(change: DocumentChange) -> Document {
    Document {
        room: change.room,
        id: change.id,
        body: change.body.expect("it is not deleted"),
        updated_at: change.at,
        expires_at: change.expires_at,
    }
}

/// All ids of a room at `now_ms`.
fn ids(fixture: &Fixture, room: Room, now_ms: u64) -> Vec<String> {
    let found = fixture.store().documents(room, None, 99, UnixMs(now_ms));
    let found = found.expect("they can be read");
    found.iter().map(|found| found.id.to_string()).collect()
}

fn get(fixture: &Fixture, room: Room, id: &str, now_ms: u64) -> Option<Document> {
    let found = fixture.store().document(room, id, UnixMs(now_ms));
    found.expect("it can be read")
}

pub(super) fn a_document_reads_back_as_the_last_one_written(fixture: &mut Fixture) {
    let secret = Room::Secret;
    fixture.write(documents([put(secret, "crm", "first", 1)]));
    let second = until(put(secret, "crm", "second", 2), 50);
    fixture.write(documents([put(secret, "crm", "lost", 2), second.clone()]));
    fixture.reopen();
    assert_eq!(get(fixture, secret, "crm", 9), Some(written(second)));
    // What expires no more stays.
    let third = put(secret, "crm", "", 3);
    fixture.write(documents([third.clone()]));
    fixture.reopen();
    assert_eq!(get(fixture, secret, "crm", 99), Some(written(third)));
    fixture.write(documents([delete(secret, "crm"), delete(secret, "none")]));
    fixture.reopen();
    assert_eq!(get(fixture, secret, "crm", 9), None);
    assert_eq!(ids(fixture, secret, 9), [""; 0]);
}

pub(super) fn rooms_do_not_see_each_other(fixture: &mut Fixture) {
    let in_each = |body: &'static str| Room::ALL.map(|room| put(room, "same", body, 1));
    fixture.write(documents(in_each("old")));
    fixture.write(documents([put(Room::Config, "same", "new", 2)]));
    fixture.write(documents([delete(Room::Token, "same")]));
    fixture.reopen();
    for room in Room::ALL {
        let expected = match room {
            Room::Token => None,
            Room::Config => Some("new"),
            Room::Client | Room::Secret | Room::Answer | Room::Checkpoint | Room::Setting => {
                Some("old")
            }
        };
        let found = get(fixture, room, "same", 5);
        let body = found.as_ref().map(|found| &*found.body);
        assert_eq!(body, expected.map(str::as_bytes), "{room:?}");
        assert_eq!(ids(fixture, room, 5).len(), usize::from(found.is_some()));
    }
}

pub(super) fn pages_of_a_room_follow_each_other_by_id(fixture: &mut Fixture) {
    let names = ["b", "d", "", "a", "c", "ä", "B"];
    let room = Room::Client;
    fixture.write(documents(names.map(|id| put(room, id, id, 1))));
    fixture.write(documents([
        put(Room::Token, "c", "", 1),
        put(Room::Secret, "a", "", 1),
        until(put(room, "bb", "", 1), 4),
    ]));
    fixture.reopen();
    let mut sorted = names;
    sorted.sort_unstable();
    assert_eq!(ids(fixture, room, 4), sorted);
    let mut paged: Vec<String> = Vec::new();
    loop {
        let after = paged.last().map(String::as_str);
        let page = fixture.store().documents(room, after, 2, UnixMs(4));
        let page = page.expect("they can be read");
        if page.is_empty() {
            break;
        }
        assert!(page.len() <= 2);
        paged.extend(page.iter().map(|found| found.id.to_string()));
    }
    assert_eq!(paged, sorted);
}

pub(super) fn an_expired_document_is_gone_and_taken_away_in_steps(fixture: &mut Fixture) {
    let room = Room::Answer;
    let ids_of = ["a", "b", "c", "d"];
    fixture.write(documents(
        (1..)
            .zip(ids_of)
            .map(|(n, id)| until(put(room, id, id, 1), n * 10)),
    ));
    fixture.write(documents([put(room, "e", "stays", 1)]));
    fixture.reopen();
    assert_eq!(ids(fixture, room, 19), ["b", "c", "d", "e"]);
    assert_eq!(ids(fixture, room, 20), ["c", "d", "e"]);
    assert_eq!(get(fixture, room, "b", 20), None);
    assert!(get(fixture, room, "b", 19).is_some());
    let step = |now_ms| {
        let retain = Retain {
            events_before: UnixMs(0),
            keep_from: Offset(1),
            attempts_before: UnixMs(0),
            dead_before: UnixMs(0),
            now: UnixMs(now_ms),
            items: 2,
            pages: 0,
        };
        let batch = Batch {
            retain: Some(retain),
            ..Batch::default()
        };
        let done = fixture.write(batch).retained;
        (done.documents, done.more)
    };
    assert_eq!(step(9), (0, false));
    assert_eq!(step(35), (2, true));
    // The earliest went first: at an earlier time these are gone, the others not.
    assert_eq!(ids(fixture, room, 0), ["c", "d", "e"]);
    assert_eq!(step(35), (1, false));
    assert_eq!(step(u64::MAX), (1, false));
    assert_eq!(step(u64::MAX), (0, false));
    assert_eq!(ids(fixture, room, 0), ["e"]);
}

pub(super) fn a_batch_with_too_large_a_document_is_refused_whole(fixture: &mut Fixture) {
    let room = Room::Config;
    let large = |bytes| DocumentChange {
        body: Some(vec![7; bytes].into()),
        ..put(room, "large", "", 1)
    };
    let batch = documents([put(room, "small", "", 1), large(DOCUMENT_BYTES_MAX + 1)]);
    let refused = fixture.submit(batch).expect_err("it must be refused");
    assert!(matches!(refused, Error::Refused(_)), "{refused}");
    let why = refused.to_string();
    let limit = DOCUMENT_BYTES_MAX.to_string();
    assert!(why.contains("`large`") && why.contains(&limit), "{why}");
    assert_eq!(ids(fixture, room, 1), [""; 0]);
    fixture.write(documents([large(DOCUMENT_BYTES_MAX)]));
    fixture.reopen();
    let found = get(fixture, room, "large", 1).expect("it is there");
    assert_eq!(found.body.len(), DOCUMENT_BYTES_MAX);
}

pub(super) fn a_change_its_secret_its_answer_and_its_audit_entry_are_one(fixture: &mut Fixture) {
    let change = |conflict: bool| Batch {
        // One identity, two bodies: the whole batch is refused.
        events: if conflict {
            let other = crate::batch::NewEvent {
                body: "other".into(),
                ..event(1)
            };
            vec![event(1), other]
        } else {
            vec![event(1)]
        },
        refuse_conflicts: true,
        resources: vec![ResourceChange {
            kind: "endpoint".into(),
            name: "crm".into(),
            body: Some("{}".into()),
            managed_by: None,
            at: UnixMs(1),
        }],
        documents: vec![
            put(Room::Secret, "crm", "sealed", 1),
            until(put(Room::Answer, "key", "201", 1), 100),
        ],
        audit: vec![AuditEntry {
            at: UnixMs(1),
            actor: "ada".into(),
            action: "resource.put".into(),
            object: "endpoint/crm".into(),
            detail: "{}".into(),
        }],
        ..Batch::default()
    };
    let counts = |fixture: &Fixture| {
        let store = fixture.store();
        [
            store.resources().expect("they can be read").len(),
            ids(fixture, Room::Secret, 1).len(),
            ids(fixture, Room::Answer, 1).len(),
            store.audit_from(1, 9).expect("it can be read").len(),
        ]
    };
    assert!(fixture.write(change(true)).conflict.is_some());
    fixture.reopen();
    assert_eq!(counts(fixture), [0; 4]);
    fixture.write(change(false));
    fixture.reopen();
    assert_eq!(counts(fixture), [1; 4]);
    // Nothing of it has to do with deliveries.
    fixture.write(events([event(2)]));
    fixture.write(attempts([attempt("a", 1, 1)]));
    assert_eq!(counts(fixture), [1; 4]);
}
