//! Jobs and pauses.

use std::collections::BTreeMap;

use switchhook_core::time::UnixMs;

use super::Fixture;
use crate::Batch;
use crate::batch::{JOBS_MAX, Job, Pause, PauseChange};

fn job(n: usize, is_over: bool, body: &str) -> Job {
    Job {
        id: format!("job_{n:08}").into(),
        is_over,
        body: body.into(),
        updated_at: UnixMs(5),
    }
}

fn jobs(jobs: impl IntoIterator<Item = Job>) -> Batch {
    Batch {
        jobs: jobs.into_iter().collect(),
        ..Batch::default()
    }
}

pub(super) fn a_job_is_written_over_the_one_with_its_id(fixture: &mut Fixture) {
    fixture.write(jobs([
        job(1, false, "{}"),
        job(3, false, "{}"),
        job(2, false, "{}"),
    ]));
    fixture.write(jobs([job(3, true, "{\"done\":7}")]));
    fixture.reopen();
    let expected = [
        job(3, true, "{\"done\":7}"),
        job(2, false, "{}"),
        job(1, false, "{}"),
    ];
    assert_eq!(fixture.store().jobs().expect("they can be read"), expected);
}

pub(super) fn of_too_many_jobs_the_oldest_that_are_over_go(fixture: &mut Fixture) {
    fixture.write(jobs((0..JOBS_MAX).map(|n| job(n, n == 4 || n == 2, "{}"))));
    fixture.write(jobs([
        job(JOBS_MAX, false, "{}"),
        job(JOBS_MAX + 1, true, "{}"),
    ]));
    fixture.reopen();
    let left = |fixture: &Fixture| {
        let left = fixture.store().jobs().expect("they can be read");
        assert_eq!(left.len(), JOBS_MAX);
        let is_there = |n| left.iter().any(|left| left.id == job(n, true, "").id);
        [0, 2, 4, JOBS_MAX, JOBS_MAX + 1].map(is_there)
    };
    assert_eq!(left(fixture), [true, false, false, true, true]);
    // When none of the old ones is over, the new one that is goes, and then the oldest of all.
    fixture.write(jobs([
        job(JOBS_MAX + 2, false, "{}"),
        job(JOBS_MAX + 3, false, "{}"),
    ]));
    assert_eq!(left(fixture), [false, false, false, true, false]);
}

pub(super) fn a_pause_stays_until_it_is_taken_back(fixture: &mut Fixture) {
    let change = |name: &str, pause| PauseChange {
        subscription: name.into(),
        pause,
    };
    let pause = |at_ms| Pause {
        at: UnixMs(at_ms),
        reason: (at_ms > 1).then(|| "maintenance".into()),
    };
    let write = |pauses| Batch {
        pauses,
        ..Batch::default()
    };
    fixture.write(write(vec![
        change("a", Some(pause(1))),
        change("b", Some(pause(2))),
        change("c", None),
    ]));
    fixture.write(write(vec![change("a", Some(pause(3))), change("b", None)]));
    fixture.reopen();
    let expected = BTreeMap::from([("a".into(), pause(3))]);
    assert_eq!(
        fixture.store().pauses().expect("they can be read"),
        expected
    );
}
