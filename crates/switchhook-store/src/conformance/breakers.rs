//! Breakers: the last record of each endpoint is kept.

use switchhook_core::breaker::{Cause, Record, State};
use switchhook_core::delivery::Records;
use switchhook_core::time::UnixMs;

use super::Fixture;
use super::sample::records;

pub(super) fn the_last_record_of_each_endpoint_is_kept(fixture: &mut Fixture) {
    let record = |endpoint: &str, state| Record {
        endpoint: endpoint.into(),
        state,
        cause: None,
        since: UnixMs(10),
        until: None,
        failed_probes: 0,
        reason: None,
        pause_until: UnixMs(0),
    };
    let open = |cause| Record {
        cause: Some(cause),
        until: Some(UnixMs(99)),
        failed_probes: 3,
        reason: Some("503 five times".into()),
        pause_until: UnixMs(50),
        ..record("crm", State::Open)
    };
    let write = |breakers| {
        records(Records {
            breakers,
            ..Records::default()
        })
    };
    fixture.write(write(vec![
        open(Cause::Failures),
        record("erp", State::Closed),
    ]));
    fixture.write(write(vec![
        record("erp", State::HalfOpen),
        open(Cause::Gone),
    ]));
    fixture.reopen();
    let found = fixture.store().breakers().expect("they can be read");
    assert_eq!(found, [open(Cause::Gone), record("erp", State::HalfOpen)]);
}
