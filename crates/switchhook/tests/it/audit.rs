//! Promise: who did what cannot be taken back unseen. Whoever edits the store by hand, and even writes it anew with its
//! hashes and checkpoints, is found by `switchhook audit verify` with a checkpoint that was kept elsewhere.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use rusqlite::{Connection, params};
use serde_json::{Value, json};
use switchhook_core::audit::checkpoint::{self, Checkpoint, NoteKey};
use switchhook_core::audit::{Entry, Hash, ORIGIN, link};
use switchhook_core::secret::{Lookup, Secret, SecretError, SecretRef};
use switchhook_core::sign::ed25519::SigningKey;
use switchhook_core::time::UnixMs;

use crate::harness::receiver::Receiver;
use crate::harness::sender::body;
use crate::harness::{Ended, Gateway, PROGRAM, SOURCE, Site, route, until};

/// Checkpoints go beside the configuration.
const CONFIG: &str = "\n[audit]\ncheckpoint_file = \"{dir}/checkpoints\"\ncheckpoint_every = ";

/// A port where nobody listens.
const NOWHERE: &str = "http://127.18.0.9:65001/hook";

fn site(every: &str) -> Site {
    let audit = format!("{CONFIG}\"{every}\"\n");
    Site::new(&(SOURCE.to_owned() + &route("crm", NOWHERE, "standard") + &audit))
}

/// How many entries there are.
fn entries(gateway: &Gateway) -> u64 {
    let newest = gateway.get("/v1/audit?pageSize=1");
    newest["entities"][0]["number"].as_u64().unwrap()
}

/// Two entries: a pause and its end.
fn act(gateway: &Gateway) {
    gateway.tell(
        "POST /v1/subscriptions/crm/pause",
        &json!({ "reason": "a" }),
    );
    gateway.tell("POST /v1/subscriptions/crm/resume", &json!({}));
}

fn stop(gateway: Gateway) {
    gateway.terminate();
    assert_eq!(gateway.wait().0, Some(0));
}

/// A stopped store of ten entries, the first two of which are of the start; what it was after six; and the checkpoints of both
/// and the key, as they were kept elsewhere.
struct Scene {
    site: Site,
    dir: tempfile::TempDir,
    data: PathBuf,
    old: PathBuf,
    checkpoints: PathBuf,
    key: String,
}

impl Scene {
    fn new() -> Self {
        // Checkpoints are made at the stops only.
        let site = site("1d");
        let dir = tempfile::tempdir().unwrap();
        let gateway = site.start();
        let key = gateway.get("/v1/audit/key")["key"]
            .as_str()
            .unwrap()
            .to_owned();
        act(&gateway);
        act(&gateway);
        stop(gateway);
        let old = copy(&site.data(), &dir.path().join("old"));
        let gateway = site.start();
        act(&gateway);
        act(&gateway);
        assert_eq!(entries(&gateway), 10);
        stop(gateway);
        let checkpoints = dir.path().join("checkpoints");
        fs::copy(site.config().with_file_name("checkpoints"), &checkpoints).unwrap();
        Self {
            data: copy(&site.data(), &dir.path().join("data")),
            old,
            checkpoints,
            key,
            dir,
            site,
        }
    }

    /// A copy of the store on which somebody has worked.
    fn attacked(&self, name: &str, attack: impl FnOnce(&Connection)) -> PathBuf {
        let data = copy(&self.data, &self.dir.path().join(name));
        let store = Connection::open(data.join("store.db")).unwrap();
        attack(&store);
        data
    }

    /// Verifies with what was kept elsewhere, and says what was found.
    #[track_caller]
    fn verify(&self, data: &Path) -> Vec<String> {
        let against = self.checkpoints.to_str().unwrap();
        codes(&verify(data, &["--against", against, "--key", &self.key]))
    }
}

/// A copy of what a data directory has of the store.
fn copy(data: &Path, to: &Path) -> PathBuf {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(data).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if name.starts_with("store.db") || name == "vault.key" {
            fs::copy(&path, to.join(name)).unwrap();
        }
    }
    to.into()
}

/// What the command says of a stopped store; its exit code says the same.
#[track_caller]
fn verify(data: &Path, args: &[&str]) -> Value {
    let mut command = Command::new(PROGRAM);
    command.args(["audit", "verify", "--json", "--data-dir"]);
    said(&Ended::run(command.arg(data).args(args), ""))
}

#[track_caller]
fn said(ended: &Ended) -> Value {
    let said: Value = serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{ended:?}"));
    let expected = if said["intact"] == true { 0 } else { 1 };
    assert_eq!(ended.code, Some(expected), "{ended:?}");
    assert_eq!(codes(&said).is_empty(), said["intact"] == true, "{said}");
    said
}

/// The findings, each kind once.
fn codes(said: &Value) -> Vec<String> {
    let findings = said["findings"].as_array().unwrap().iter();
    let mut codes: Vec<String> = findings
        .map(|found| found["code"].as_str().unwrap().to_owned())
        .collect();
    codes.sort();
    codes.dedup();
    codes
}

fn run(store: &Connection, sql: &str) {
    store.execute_batch(sql).unwrap();
}

/// Writes all hashes anew, as they should be for what is there.
fn rechain(store: &Connection) {
    let mut before = ORIGIN;
    let count: i64 = store
        .query_row("SELECT count(*) FROM audit", [], |row| row.get(0))
        .unwrap();
    for number in 1..=count {
        let sql = "SELECT actor, action, object, detail, at FROM audit WHERE number = ?1";
        let hash = store.query_row(sql, params![number], |row| {
            let [actor, action, object, detail] =
                [0, 1, 2, 3].map(|at| row.get::<_, String>(at).unwrap());
            let entry = Entry {
                number: number.unsigned_abs(),
                at: UnixMs(row.get::<_, i64>(4)?.unsigned_abs()),
                actor: &actor,
                action: &action,
                object: &object,
                detail: &detail,
            };
            Ok(link(&before, &entry))
        });
        before = hash.unwrap();
        let sql = "UPDATE audit SET hash = ?2 WHERE number = ?1";
        store.execute(sql, params![number, before]).unwrap();
    }
}

struct NoLookup;

impl Lookup for NoLookup {
    fn secret(&self, name: &str) -> Result<Secret, SecretError> {
        Err(SecretError {
            name: name.into(),
            reason: "there are none".into(),
        })
    }
}

/// Takes all checkpoints away, and signs the log as it is with a key of the attacker's own.
fn sign_again(store: &Connection) {
    let sql = "SELECT body FROM document WHERE room = 7 AND id = 'audit'";
    let known: Vec<u8> = store.query_row(sql, [], |row| row.get(0)).unwrap();
    let known: Value = serde_json::from_slice(&known).unwrap();
    let id = known["store"].as_str().unwrap();
    let (entries, head): (i64, Hash) = store
        .query_row(
            "SELECT number, hash FROM audit ORDER BY number DESC LIMIT 1",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .unwrap();
    let seed = format!("whsk_{}", data_encoding::BASE64.encode(&[7; 32]));
    let literal = SecretRef::Literal(Secret::new(seed.into()));
    let key = SigningKey::read(&literal, &NoLookup).unwrap();
    let (name, at) = (format!("switchhook/{id}"), Some(UnixMs(1_785_000_000_000)));
    let note = Checkpoint {
        store: id.into(),
        entries: entries.unsigned_abs(),
        head,
        at,
    };
    let note = checkpoint::sign(&note, &name, &key).unwrap();
    run(store, "DELETE FROM document WHERE room = 6");
    let sql = "INSERT INTO document (room, id, updated_at, body) VALUES (6, ?1, 1, ?2)";
    let id_of_note = format!("{entries:020}");
    store
        .execute(sql, params![id_of_note, note.as_bytes()])
        .unwrap();
    let public = NoteKey::new(&name, key.public_key()).unwrap().to_string();
    let shown = json!({ "store": id, "key": public }).to_string();
    let sql = "UPDATE document SET body = ?1 WHERE room = 7 AND id = 'audit'";
    store.execute(sql, params![shown.as_bytes()]).unwrap();
}

#[test]
fn an_honest_log_verifies_and_a_checkpoint_from_outside_proves_all_of_it() {
    let scene = Scene::new();
    let against = ["--against", scene.checkpoints.to_str().unwrap()];
    let said = verify(&scene.data, &against);
    assert_eq!(said["intact"], true, "{said}");
    assert_eq!(
        (&said["entries"], &said["provedUpTo"], &said["unproved"]),
        (&json!(10), &json!(10), &Value::Null),
        "{said}"
    );
    assert_eq!(
        (&said["checkpointsInside"], &said["checkpointsOutside"]),
        (&json!(2), &json!(2)),
        "{said}"
    );
    assert_eq!(said["keysFrom"], "store");
    assert_eq!(scene.verify(&scene.data), [""; 0]);
    // Without a checkpoint from outside it says what it cannot know.
    let alone = verify(&scene.data, &[]);
    assert_eq!(alone["intact"], true, "{alone}");
    assert!(
        alone["unproved"].as_str().unwrap().contains("rolled back"),
        "{alone}"
    );
}

/// Works on a stopped store.
type Attack = fn(&Connection);

/// What somebody does to the store, and what is found then by who has the checkpoints and the key elsewhere.
const ATTACKS: [(&str, Attack, &[&str]); 7] = [
    (
        "edit",
        |store| run(store, "UPDATE audit SET actor = 'nobody' WHERE number = 3"),
        &["broken"],
    ),
    (
        "delete",
        |store| run(store, "DELETE FROM audit WHERE number = 3"),
        &["broken", "missing"],
    ),
    (
        "swap",
        |store| {
            run(
                store,
                "UPDATE audit SET number = 99 WHERE number = 3;
                 UPDATE audit SET number = 3 WHERE number = 4;
                 UPDATE audit SET number = 4 WHERE number = 99",
            );
        },
        &["broken"],
    ),
    (
        "insert",
        |store| {
            run(
                store,
                "UPDATE audit SET number = -(number + 1) WHERE number > 2;
                 UPDATE audit SET number = -number WHERE number < 0;
                 INSERT INTO audit SELECT 3, 'mal', action, object, detail, at, hash FROM audit WHERE number = 2",
            );
        },
        &["broken", "rewritten"],
    ),
    (
        "re-chain",
        |store| {
            run(store, "UPDATE audit SET actor = 'nobody' WHERE number = 3");
            rechain(store);
        },
        &["rewritten"],
    ),
    (
        "truncate",
        |store| run(store, "DELETE FROM audit WHERE number > 7"),
        &["truncated"],
    ),
    (
        "truncate and sign again",
        |store| {
            run(store, "DELETE FROM audit WHERE number > 7");
            sign_again(store);
        },
        &["other-key", "truncated", "unknown-key"],
    ),
];

#[test]
fn every_attack_on_a_stopped_store_is_found_and_named() {
    let scene = Scene::new();
    for (what, attack, expected) in ATTACKS {
        let data = scene.attacked(what, attack);
        assert_eq!(scene.verify(&data), expected, "{what}");
    }
    // The last one again, by somebody who kept the checkpoints and not the key.
    let data = scene.dir.path().join("truncate and sign again");
    assert_eq!(
        codes(&verify(&data, &[])),
        [""; 0],
        "by itself it looks well"
    );
    let said = verify(&data, &["--against", scene.checkpoints.to_str().unwrap()]);
    assert_eq!(codes(&said), ["unknown-key"]);
}

#[test]
fn a_store_that_was_rolled_back_is_found_also_when_the_gateway_has_gone_on_with_it() {
    let scene = Scene::new();
    assert_eq!(
        codes(&verify(&scene.old, &[])),
        [""; 0],
        "a whole old store"
    );
    assert_eq!(scene.verify(&scene.old), ["truncated"]);
    // The gateway goes on with it, and signs with its own key what comes then.
    let (old, data) = (scene.old.join("store.db"), scene.site.data());
    fs::copy(old, data.join("store.db")).unwrap();
    let gateway = scene.site.start();
    for _ in 0..3 {
        act(&gateway);
    }
    assert_eq!(entries(&gateway), 12);
    stop(gateway);
    assert_eq!(
        codes(&verify(&data, &[])),
        [""; 0],
        "rolled back and gone on"
    );
    assert_eq!(scene.verify(&data), ["rewritten"]);
}

#[test]
fn the_running_gateway_is_verified_as_its_own_store_and_its_export_are() {
    let site = site("1s");
    let gateway = site.start();
    act(&gateway);
    act(&gateway);
    let checkpoints = site.config().with_file_name("checkpoints");
    let all = entries(&gateway);
    let newest = format!("\n{all}\n");
    until("the checkpoint", || {
        let text = fs::read_to_string(&checkpoints).unwrap();
        text.contains(&newest).then_some(())
    });
    let against = ["--against", checkpoints.to_str().unwrap()];
    let cli = |args: &[&str]| gateway.cli(&[&["audit"], args].concat());
    let seen = said(&cli(&[&["verify", "--json"], &against[..]].concat()));
    assert_eq!(
        (&seen["intact"], &seen["entries"], &seen["keysFrom"]),
        (&json!(true), &json!(all), &json!("gateway")),
        "{seen}"
    );
    let words = cli(&["verify"]);
    assert!(words.ok().stdout.contains("--against"), "{words:?}");
    assert!(words.stdout.contains("trusted since no other"), "{words:?}");

    let listed = cli(&["list", "--json", "--action", "subscription.pause"]).json();
    assert_eq!(listed.as_array().unwrap().len(), 2, "{listed}");
    assert_eq!(listed[0]["hash"].as_str().unwrap().len(), 64);
    let tailed = cli(&["tail", "--last", "3", "--limit", "3"]);
    let lines = tailed.ok().stdout.lines();
    let numbers: Vec<u64> = lines
        .map(|line| line.split(' ').next().unwrap().parse().unwrap())
        .collect();
    assert_eq!(numbers, [all - 2, all - 1, all]);

    let export = site.config().with_file_name("audit.jsonl");
    let export = export.to_str().unwrap();
    cli(&["export", "-o", export]).ok();
    assert_eq!(cli(&["export", "-o", export]).code, Some(5), "it is there");
    let verify_export = || {
        let mut command = Command::new(PROGRAM);
        let key = seen["keys"][0].as_str().unwrap();
        let args = ["audit", "verify", "--json", "--file", export, "--key", key];
        said(&Ended::run(command.args(args).args(against), ""))
    };
    assert_eq!(verify_export()["intact"], true);
    let text = fs::read_to_string(export).unwrap();
    fs::write(export, text.replacen("first", "nobody", 1)).unwrap();
    assert_eq!(codes(&verify_export()), ["broken"]);

    // Somebody works on the store while the gateway is down.
    stop(gateway);
    let store = Connection::open(site.data().join("store.db")).unwrap();
    run(&store, "DELETE FROM audit WHERE number > 2");
    drop(store);
    let gateway = site.start();
    let found = gateway.cli(&[&["audit", "verify", "--json"], &against[..]].concat());
    assert_eq!(codes(&said(&found)), ["truncated"]);
    assert!(
        gateway
            .words()
            .contains("not the one that its newest checkpoint knew"),
        "{}",
        gateway.words()
    );
}

#[test]
fn every_attempt_is_on_record_with_its_delivery_url_result_latency_and_time() {
    let receiver = Receiver::start(Instant::now(), |_| 503);
    let config = SOURCE.to_owned()
        + &route("crm", &receiver.at("crm"), "standard")
        + &route("gone", NOWHERE, "standard");
    let site = Site::new(&config);
    let gateway = site.start();
    let event = gateway.accept(&body("a"));
    let attempts = until("both attempts", || {
        Some(gateway.all("/v1/attempts")).filter(|all| all.len() >= 2)
    });
    let of = |endpoint: &str| {
        attempts
            .iter()
            .find(|it| it["endpoint"] == endpoint)
            .unwrap()
    };
    let (refused, failed) = (of("crm"), of("gone"));
    assert_eq!(
        (&refused["status"], &refused["url"], &failed["url"]),
        (&json!(503), &json!(receiver.at("crm")), &json!(NOWHERE)),
        "{attempts:?}"
    );
    assert_eq!(failed["error"], "connect", "{failed}");
    for attempt in [refused, failed] {
        assert_eq!(attempt["event"], *event, "{attempt}");
        assert!(attempt["delivery"].as_str().unwrap().starts_with("dlv_"));
        assert!(attempt["durationMs"].is_u64() && attempt["at"].is_string());
    }
}
