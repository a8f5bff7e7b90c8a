use serde_json::json;
use switchhook_wire::change::{Done, Planned, Tried};

use super::*;

const NOW: UnixMs = UnixMs(1_795_168_800_000);

fn planned(target: &str) -> Planned {
    Planned {
        base: "http://127.0.0.1/".into(),
        operation: "webhook.apply".into(),
        dialect: "webhooks".into(),
        target: target.into(),
        body: json!({"name": target}),
        is_masked: false,
        identity: format!("identity of {target}"),
        key: format!("key of {target}"),
    }
}

fn tried() -> Tried {
    Tried {
        number: 1,
        method: "POST".into(),
        path: "/api/v2/webhooks".into(),
    }
}

fn done() -> Done {
    Done {
        result: "created".into(),
        object: None,
        tries: 2,
        latency_ms: 10,
    }
}

fn failed() -> Failed {
    Failed {
        status: Some(503),
        error: "no".into(),
        is_certain: false,
        tries: 4,
        latency_ms: 30,
    }
}

fn dead(id: &str) -> DeadChange {
    DeadChange {
        at: text_of(NOW),
        id: id.into(),
        planned_at: text_of(NOW),
        change: planned(id),
        last: Some(tried()),
        failed: failed(),
    }
}

#[test]
fn the_journal_forgets_what_has_ended_and_keeps_what_is_open_and_the_counts() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.jsonl");
    let mut journal = Journal::open(path.clone()).unwrap();
    journal.planned("chg_open", planned("open"), NOW).unwrap();
    journal.tried("chg_open", tried(), NOW).unwrap();
    for at in 0..journal::CLOSED_MAX + 3 {
        let id = format!("chg_{at}");
        journal.planned(&id, planned(&id), NOW).unwrap();
        journal.done(&id, done(), NOW).unwrap();
    }
    let lines = fs::read_to_string(&path).unwrap().lines().count();
    assert_eq!(lines, 3 + 2 * 3, "totals, the open one, and three since");
    let again = Journal::open(path).unwrap();
    assert_eq!(again.totals(), journal.totals());
    assert_eq!(again.totals().succeeded, journal::CLOSED_MAX as u64 + 3);
    let open: Vec<_> = again.open_changes().collect();
    assert_eq!(
        (open.len(), &*open[0].id, &open[0].last, open[0].planned_at),
        (1, "chg_open", &Some(tried()), NOW)
    );
}

#[test]
fn a_line_that_a_crash_cut_is_left_out_and_the_next_one_stands_on_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.jsonl");
    Journal::open(path.clone())
        .unwrap()
        .planned("chg_1", planned("a"), NOW)
        .unwrap();
    let whole = fs::read_to_string(&path).unwrap();
    for cut in 1..whole.len() {
        fs::write(&path, format!("{whole}{}", whole.get(..cut).unwrap())).unwrap();
        let mut journal = Journal::open(path.clone()).unwrap();
        assert_eq!(journal.open_changes().count(), 1, "{cut}");
        journal.done("chg_1", done(), NOW).unwrap();
        assert_eq!(
            Journal::open(path.clone()).unwrap().totals().succeeded,
            1,
            "{cut}"
        );
    }
}

#[test]
fn a_damaged_line_is_told_with_its_number_and_nothing_is_begun() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("journal.jsonl"), "{\"at\":\"x\",\"id\":\"\",\"step\":\"totals\",\"total\":0,\"succeeded\":0,\"failed\":0,\"tries\":0,\"latencyMsSum\":0}\nrubbish\n").unwrap();
    let error = Changes::open(dir.path(), NOW).unwrap_err().to_string();
    assert!(error.contains("line 2 is damaged"), "{error}");
}

#[test]
fn a_crash_between_dead_letter_and_journal_is_mended() {
    let dir = tempfile::tempdir().unwrap();
    let mut changes = Changes::open(dir.path(), NOW).unwrap();
    changes.journal.planned("chg_1", planned("a"), NOW).unwrap();
    changes.letters.add(dead("chg_1")).unwrap();
    drop(changes);
    let changes = Changes::open(dir.path(), NOW).unwrap();
    assert_eq!(
        (changes.open_changes().count(), changes.dead().len()),
        (0, 1)
    );
    assert_eq!(changes.figures().totals.failed, 1);
}

#[test]
fn two_processes_do_not_work_in_one_directory() {
    let dir = tempfile::tempdir().unwrap();
    let first = Changes::open(dir.path(), NOW).unwrap();
    let error = Changes::open(dir.path(), NOW).unwrap_err().to_string();
    assert!(error.contains("another process"), "{error}");
    drop(first);
    assert!(Changes::open(dir.path(), NOW).is_ok());
}

#[test]
fn discarding_forgets_a_dead_change_or_ends_an_open_one_and_tells_when_there_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let mut changes = Changes::open(dir.path(), NOW).unwrap();
    changes.letters.add(dead("chg_1")).unwrap();
    changes.letters.add(dead("chg_2")).unwrap();
    changes.journal.planned("chg_3", planned("c"), NOW).unwrap();
    changes.discard("chg_1", NOW).unwrap();
    changes.discard("chg_3", NOW).unwrap();
    assert!(changes.discard("chg_4", NOW).is_err());
    drop(changes);
    let changes = Changes::open(dir.path(), NOW).unwrap();
    assert_eq!(
        (
            changes.dead().len(),
            &*changes.dead()[0].id,
            changes.open_changes().count()
        ),
        (1, "chg_2", 0)
    );
}

#[test]
fn nobody_but_the_owner_reads_the_files() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let mut changes = Changes::open(&state, NOW).unwrap();
    changes.letters.add(dead("chg_1")).unwrap();
    changes.letters.add(dead("chg_2")).unwrap();
    changes.letters.remove("chg_1").unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&state), 0o700);
    for file in fs::read_dir(&state).unwrap() {
        let path = file.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}
