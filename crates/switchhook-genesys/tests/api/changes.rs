//! Promise: a change is made once, with one key, whatever happens on the way; and what failed is not forgotten.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use switchhook_core::time::UnixMs;
use switchhook_genesys::change::{Changes, Operation, Wish};
use switchhook_genesys::dialect::Dialect;
use switchhook_genesys::refusal::Error;
use switchhook_genesys::webhook::Effect;
use tempfile::TempDir;

use crate::lab::{Does, Lab, START_MS, Seen};

const ID: &str = "0b9f0f6e-0000-4000-8000-000000000001";
const NOW: UnixMs = UnixMs(START_MS);

fn body() -> Value {
    json!({"name": "analytics", "endpoint": "https://pipeline.example.com/hook", "eventTypes": ["routing.queue.conversation.created"]})
}

fn wish(body: Value) -> Wish {
    Wish {
        operation: Operation::Apply,
        dialect: Dialect::Webhooks,
        target: "analytics".into(),
        body,
    }
}

fn open(dir: &TempDir) -> Changes {
    Changes::open(dir.path(), NOW).unwrap()
}

fn jsonl(dir: &Path, name: &str) -> Vec<Value> {
    let text = fs::read_to_string(dir.join(name)).unwrap_or_default();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn steps(dir: &TempDir) -> Vec<String> {
    jsonl(dir.path(), "journal.jsonl")
        .iter()
        .map(|line| line["step"].as_str().unwrap().to_owned())
        .collect()
}

/// A small API with one list of webhooks, tags, and answers that it remembers by key. `mishap` comes before it, with the
/// number of requests so far that change something.
#[derive(Default)]
struct Api {
    there: Vec<(Value, u64)>,
    answers: Vec<(String, Does)>,
    writes: usize,
}

impl Api {
    fn answer(
        &mut self,
        seen: &Seen,
        mishap: &mut dyn FnMut(usize, &mut Self) -> Option<Does>,
    ) -> Does {
        if seen.method == "GET" {
            return self.read(&seen.target);
        }
        self.writes += 1;
        let key = seen.header("idempotency-key").to_owned();
        if let Some((_, answer)) = self.answers.iter().find(|(known, _)| *known == key) {
            let Does::Answers(status, mut headers, body) = answer.clone() else {
                panic!()
            };
            headers.push(("idempotency-replayed", "true".into()));
            return Does::Answers(status, headers, body);
        }
        let number = self.writes;
        let before = mishap(number, self);
        // A cut connection is one after the change was made.
        if let Some(Does::Answers(..)) = before {
            return before.unwrap();
        }
        let answer = self.write(seen);
        if let Does::Answers(200..=299, ..) = &answer {
            self.answers.push((key, answer.clone()));
        }
        before.unwrap_or(answer)
    }

    fn read(&self, target: &str) -> Does {
        match target
            .split('?')
            .next()
            .unwrap()
            .rsplit('/')
            .next()
            .unwrap()
        {
            "webhooks" => {
                let entities: Vec<_> = self.there.iter().map(|(body, _)| body.clone()).collect();
                Does::json(200, json!({"entities": entities, "pageCount": 1}))
            }
            id => match self.there.iter().find(|(body, _)| body["id"] == id) {
                Some((body, version)) => Does::tagged(body.clone(), &format!("\"{version}\"")),
                None => Does::refuses(404),
            },
        }
    }

    fn write(&mut self, seen: &Seen) -> Does {
        let mut body = seen.json();
        if seen.method == "POST" {
            if self
                .there
                .iter()
                .any(|(there, _)| there["name"] == body["name"])
            {
                return Does::refuses(409);
            }
            body["id"] = ID.into();
            self.there.push((body.clone(), 1));
            return Does::Answers(201, vec![("etag", "\"1\"".into())], body.to_string());
        }
        let id = seen.target.rsplit('/').next().unwrap().to_owned();
        let Some((there, version)) = self
            .there
            .iter_mut()
            .find(|(there, _)| there["id"] == id.as_str())
        else {
            return Does::refuses(404);
        };
        if seen.header("if-match") != format!("\"{version}\"") {
            return Does::refuses(412);
        }
        if seen.method == "DELETE" {
            self.there.clear();
            return Does::Answers(204, vec![], String::new());
        }
        body["id"] = id.into();
        (*there, *version) = (body.clone(), *version + 1);
        Does::tagged(body, &format!("\"{version}\""))
    }
}

type Shared = Arc<Mutex<Api>>;

async fn lab(
    mut mishap: impl FnMut(usize, &mut Api) -> Option<Does> + Send + 'static,
) -> (Lab, Shared) {
    let api = Shared::default();
    let kept = api.clone();
    let lab = Lab::new(move |seen| kept.lock().unwrap().answer(seen, &mut mishap)).await;
    (lab, api)
}

fn keys(lab: &Lab) -> Vec<String> {
    let asked = lab.asked();
    asked
        .iter()
        .filter(|seen| seen.method != "GET")
        .map(|seen| seen.header("idempotency-key").to_owned())
        .collect()
}

#[tokio::test]
async fn a_webhook_is_created_then_found_unchanged_then_updated_with_its_tag_then_deleted() {
    let (lab, api) = lab(|_, _| None).await;
    let (client, _) = lab.client();
    let dir = tempfile::tempdir().unwrap();
    let mut changes = open(&dir);
    let made = changes.make(&client, &wish(body())).await.unwrap();
    assert_eq!(
        (made.effect, made.object.as_deref()),
        (Effect::Created, Some(ID))
    );
    let same = changes.make(&client, &wish(body())).await.unwrap();
    assert_eq!(same.effect, Effect::Unchanged);
    let other = json!({"name": "analytics", "endpoint": "https://pipeline.example.com/hook", "state": "disabled"});
    let updated = changes.make(&client, &wish(other)).await.unwrap();
    assert_eq!(
        (updated.effect, updated.etag.as_deref()),
        (Effect::Updated, Some("\"2\""))
    );
    assert_eq!(
        api.lock().unwrap().there[0].0["eventTypes"],
        body()["eventTypes"],
        "kept"
    );
    let put = lab
        .asked()
        .into_iter()
        .find(|seen| seen.method == "PUT")
        .unwrap();
    assert_eq!(put.header("if-match"), "\"1\"");
    let delete = Wish {
        operation: Operation::Delete,
        body: Value::Null,
        ..wish(Value::Null)
    };
    assert_eq!(
        changes.make(&client, &delete).await.unwrap().effect,
        Effect::Deleted
    );
    assert_eq!(keys(&lab).len(), 3);
    let figures = changes.figures();
    assert_eq!((figures.totals.total, figures.totals.failed), (4, 0));
    assert!((figures.success_rate - 100.0).abs() < f64::EPSILON);
    assert_eq!(steps(&dir)[..3], ["planned", "tried", "done"]);
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_with_the_same_key_and_the_webhook_is_there_once() {
    let (lab, api) = lab(|number, _| (number == 1).then_some(Does::Cuts)).await;
    let (client, _) = lab.client();
    let dir = tempfile::tempdir().unwrap();
    let made = open(&dir).make(&client, &wish(body())).await.unwrap();
    assert!(made.is_replayed && made.effect == Effect::Created);
    let keys = keys(&lab);
    assert_eq!((keys.len(), keys[0] == keys[1]), (2, true));
    assert_eq!(api.lock().unwrap().there.len(), 1);
}

#[tokio::test]
async fn a_change_that_was_cut_off_goes_on_after_a_restart_with_its_key() {
    let (lab, api) = lab(|_, _| None).await;
    let (client, _) = lab.client();
    let dir = tempfile::tempdir().unwrap();
    open(&dir).make(&client, &wish(body())).await.unwrap();
    // As a process leaves it that was killed while it waited for the answer.
    let journal = dir.path().join("journal.jsonl");
    let text = fs::read_to_string(&journal).unwrap();
    let kept: Vec<&str> = text
        .lines()
        .filter(|line| !line.contains("\"done\""))
        .collect();
    fs::write(&journal, kept.join("\n") + "\n{\"at\":\"2026-11-2").unwrap();
    let mut changes = open(&dir);
    assert_eq!(changes.open_changes().count(), 1);
    let made = changes.make(&client, &wish(body())).await.unwrap();
    assert!(made.is_resumed && made.is_replayed, "{made:?}");
    let keys = keys(&lab);
    assert_eq!((keys.len(), keys[0] == keys[1]), (2, true));
    assert_eq!(
        (
            api.lock().unwrap().there.len(),
            changes.open_changes().count()
        ),
        (1, 0)
    );
}

#[tokio::test]
async fn another_change_of_the_same_webhook_has_another_key() {
    let (lab, _) = lab(|_, _| None).await;
    let (client, _) = lab.client();
    let dir = tempfile::tempdir().unwrap();
    let mut changes = open(&dir);
    changes.make(&client, &wish(body())).await.unwrap();
    for state in ["disabled", "enabled", "disabled"] {
        let mut other = body();
        other["state"] = state.into();
        assert_eq!(
            changes.make(&client, &wish(other)).await.unwrap().effect,
            Effect::Updated
        );
    }
    let mut keys = keys(&lab);
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 4);
}

#[tokio::test]
async fn a_412_reads_again_and_what_somebody_else_changed_in_between_stays() {
    let (lab, api) = lab(|number, api| {
        if (2..4).contains(&number) {
            let (there, version) = &mut api.there[0];
            there["description"] = format!("by another, {number}").into();
            *version += 1;
        }
        None
    })
    .await;
    let (client, around) = lab.client();
    let dir = tempfile::tempdir().unwrap();
    let mut changes = open(&dir);
    changes.make(&client, &wish(body())).await.unwrap();
    let mut other = body();
    other["state"] = "disabled".into();
    assert_eq!(
        changes.make(&client, &wish(other)).await.unwrap().effect,
        Effect::Updated
    );
    assert!(around.waits().is_empty());
    let there = api.lock().unwrap().there[0].0.clone();
    assert_eq!(
        (there["state"].as_str(), there["description"].as_str()),
        (Some("disabled"), Some("by another, 3"))
    );
    assert_eq!(
        lab.asked()
            .iter()
            .filter(|seen| seen.method == "PUT")
            .count(),
        3
    );
}

#[tokio::test]
async fn a_412_that_never_ends_is_a_conflict_after_three_readings() {
    let (lab, api) = lab(|number, _| (number > 1).then(|| Does::refuses(412))).await;
    let (client, _) = lab.client();
    let dir = tempfile::tempdir().unwrap();
    let mut changes = open(&dir);
    changes.make(&client, &wish(body())).await.unwrap();
    let mut other = body();
    other["state"] = "disabled".into();
    let error = changes.make(&client, &wish(other)).await.unwrap_err();
    assert_eq!(error.status(), Some(412));
    assert_eq!(
        lab.asked()
            .iter()
            .filter(|seen| seen.method == "PUT")
            .count(),
        4
    );
    let dead = &changes.dead()[0];
    assert!(dead.failed.is_certain && dead.failed.status == Some(412));
    assert_eq!(api.lock().unwrap().there[0].1, 1, "nothing was changed");
}

#[tokio::test]
async fn a_409_on_create_becomes_an_update_of_what_is_there() {
    let (lab, api) = lab(|number, api| {
        if number == 1 {
            let mut there = body();
            (there["id"], there["endpoint"]) = (ID.into(), "https://other.example/".into());
            api.there.push((there, 5));
        }
        None
    })
    .await;
    let (client, _) = lab.client();
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(
        open(&dir)
            .make(&client, &wish(body()))
            .await
            .unwrap()
            .effect,
        Effect::Updated
    );
    assert_eq!(
        api.lock().unwrap().there[0].0["endpoint"],
        body()["endpoint"]
    );
}

#[tokio::test]
async fn what_failed_for_good_is_a_dead_letter_and_can_be_made_again() {
    let (lab, api) = lab(|number, _| (number <= 4).then(|| Does::refuses(503))).await;
    let (client, around) = lab.client();
    let dir = tempfile::tempdir().unwrap();
    let mut changes = open(&dir);
    let error = changes.make(&client, &wish(body())).await.unwrap_err();
    assert_eq!(
        (error.status(), around.waits()),
        (Some(503), vec![1_000, 2_000, 4_000])
    );
    drop(changes);
    let mut changes = open(&dir);
    let dead = changes.dead()[0].clone();
    assert_eq!(
        (dead.failed.status, dead.failed.is_certain),
        (Some(503), false)
    );
    assert_eq!(
        (dead.change.body.clone(), changes.open_changes().count()),
        (body(), 0)
    );
    assert_eq!(jsonl(dir.path(), "dead.jsonl").len(), 1);
    let made = changes.again(&client, &dead.id).await.unwrap();
    assert_eq!(
        (made.effect, made.id.as_str()),
        (Effect::Created, dead.id.as_str())
    );
    let keys = keys(&lab);
    assert!(
        keys.iter().all(|key| *key == keys[0]),
        "it may have been in force: the same key"
    );
    assert!(changes.dead().is_empty() && jsonl(dir.path(), "dead.jsonl").is_empty());
    assert_eq!(api.lock().unwrap().there.len(), 1);
    let totals = changes.figures().totals;
    assert_eq!((totals.total, totals.succeeded, totals.failed), (2, 1, 1));
}

#[tokio::test]
async fn another_client_ends_a_dead_change_with_a_key_of_its_own() {
    let (lab, _) = lab(|number, _| match number {
        1..=4 => Some(Does::refuses(503)),
        5 => Some(Does::refuses(403)),
        _ => None,
    })
    .await;
    let (client, _) = lab.client();
    let dir = tempfile::tempdir().unwrap();
    let mut changes = open(&dir);
    changes.make(&client, &wish(body())).await.unwrap_err();
    let dead = changes.dead()[0].clone();
    let other = lab.other_client();
    changes.again(&other, &dead.id).await.unwrap_err();
    let still = changes.dead()[0].clone();
    assert_eq!(
        (&still.change.key, &still.last, still.failed.is_certain),
        (&dead.change.key, &dead.last, false),
        "a refusal of another client says nothing about the first one's request"
    );
    let made = changes.again(&other, &dead.id).await.unwrap();
    assert_eq!(
        (made.effect, &made.id, made.is_resumed),
        (Effect::Created, &dead.id, true)
    );
    let keys = keys(&lab);
    assert!(keys[4..].iter().all(|key| *key != keys[0]), "{keys:?}");
    drop(changes);
    let changes = open(&dir);
    assert!(changes.dead().is_empty() && changes.open_changes().next().is_none());
    let totals = changes.figures().totals;
    assert_eq!((totals.total, totals.succeeded, totals.failed), (3, 1, 2));
    assert_eq!(steps(&dir).last().map(String::as_str), Some("done"));
}

#[tokio::test]
async fn a_webhook_that_is_not_there_is_said_to_be_missing_without_an_invented_answer() {
    let (lab, _) = lab(|_, _| None).await;
    let (client, _) = lab.client();
    let error = switchhook_genesys::webhook::get(&client, Dialect::Webhooks, "nosuch").await;
    let error = error.unwrap_err();
    assert_eq!(
        (error.to_string().as_str(), error.status()),
        ("there is no webhook with the name or id `nosuch`", None)
    );
}

#[tokio::test]
async fn what_was_refused_gets_a_new_key_when_it_is_made_again() {
    let (lab, _) = lab(|number, _| (number == 1).then(|| Does::refuses(422))).await;
    let (client, _) = lab.client();
    let dir = tempfile::tempdir().unwrap();
    let mut changes = open(&dir);
    changes.make(&client, &wish(body())).await.unwrap_err();
    let dead = changes.dead()[0].clone();
    assert!(dead.failed.is_certain);
    changes.again(&client, &dead.id).await.unwrap();
    let keys = keys(&lab);
    assert_ne!(keys[0], keys[1]);
}

#[tokio::test]
async fn a_key_that_no_server_remembers_any_more_is_not_used_again() {
    let (lab, _) = lab(|number, _| (number <= 4).then(|| Does::refuses(503))).await;
    let (client, around) = lab.client();
    let dir = tempfile::tempdir().unwrap();
    let mut changes = open(&dir);
    changes.make(&client, &wish(body())).await.unwrap_err();
    around.pass(24 * 3_600_000);
    changes.make(&client, &wish(body())).await.unwrap();
    let keys = keys(&lab);
    assert_ne!(keys[0], keys[4]);
}

#[tokio::test]
async fn a_secret_of_a_body_is_sent_and_never_written_down() {
    let (lab, _) = lab(|_, _| Some(Does::refuses(503))).await;
    let (client, _) = lab.client();
    let dir = tempfile::tempdir().unwrap();
    let mut changes = open(&dir);
    let signed = Wish {
        dialect: Dialect::Lifecycle,
        body: json!({"name": "analytics", "address": "https://a.example/", "eventFilters": [],
            "customProperties": {"webhook.signature.secret": "planted-s3cret"}}),
        ..wish(Value::Null)
    };
    changes.make(&client, &signed).await.unwrap_err();
    let sent = lab
        .asked()
        .into_iter()
        .find(|seen| seen.method == "POST")
        .unwrap();
    assert!(String::from_utf8_lossy(&sent.body).contains("planted-s3cret"));
    let dead = changes.dead()[0].clone();
    assert!(dead.change.is_masked);
    let error = changes.again(&client, &dead.id).await.unwrap_err();
    assert!(
        matches!(error, Error::Journal(_)) && error.to_string().contains("apply it again"),
        "{error}"
    );
    for file in fs::read_dir(dir.path()).unwrap() {
        let path = file.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        assert!(
            !text.contains("planted-s3cret") && !text.contains(crate::lab::SECRET),
            "{}",
            path.display()
        );
    }
}

#[tokio::test]
async fn every_request_and_every_end_is_audited_with_its_latency() {
    let (lab, _) = lab(|number, _| (number == 1).then(|| Does::refuses(503))).await;
    let (client, _) = lab.client();
    let dir = tempfile::tempdir().unwrap();
    let made = open(&dir).make(&client, &wish(body())).await.unwrap();
    let lines = jsonl(dir.path(), "audit.jsonl");
    let shown: Vec<_> = lines
        .iter()
        .map(|line| {
            assert!(
                line["latencyMs"].is_u64() && line["change"] == made.id.as_str(),
                "{line}"
            );
            (
                line["number"].as_u64().unwrap(),
                line["method"].as_str().unwrap(),
                line["status"].as_u64(),
                line["outcome"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            (1, "GET", Some(200), "answered"),
            (2, "POST", Some(503), "answered"),
            (3, "POST", Some(201), "answered"),
            (0, "", None, "done"),
        ]
    );
    assert_eq!(lines[1]["correlationId"], "cor-1");
}

#[tokio::test]
async fn a_policy_is_set_once_with_its_tag_and_five_repeats() {
    let mut tries = 0;
    let lab = Lab::new(move |seen| {
        if seen.method == "GET" {
            return Does::tagged(
                json!({"id": ID, "retryPolicy": {"maxAttempts": 8, "retryDuration": 60}}),
                "\"4\"",
            );
        }
        tries += 1;
        if tries <= 5 {
            Does::refuses(429)
        } else {
            Does::json(200, seen.json())
        }
    })
    .await;
    let (client, around) = lab.client();
    let dir = tempfile::tempdir().unwrap();
    let policy = Wish {
        operation: Operation::SetPolicy,
        target: ID.into(),
        body: json!({"retryPolicy": {"maxAttempts": 5, "retryDuration": 605}}),
        ..wish(Value::Null)
    };
    let made = open(&dir).make(&client, &policy).await.unwrap();
    assert_eq!((made.effect, around.waits().len()), (Effect::Set, 5));
    let put = lab
        .asked()
        .into_iter()
        .rfind(|seen| seen.method == "PUT")
        .unwrap();
    assert_eq!(
        put.line(),
        format!("PUT /api/v2/notifications/webhooks/{ID}")
    );
    assert_eq!(
        (put.header("if-match"), put.json()),
        ("\"4\"", policy.body.clone())
    );
    let keys = keys(&lab);
    assert!(keys.len() == 6 && keys.iter().all(|key| *key == keys[0]));
}

#[tokio::test]
async fn the_event_types_of_an_integration_are_bound_after_it_and_only_those_missing() {
    let mut bound: Vec<Value> = Vec::new();
    let mut there = false;
    let lab = Lab::new(move |seen| match (seen.method.as_str(), seen.target.split('?').next().unwrap()) {
        ("GET", "/api/v2/integrations") => {
            let entities = if there { vec![json!({"id": ID, "name": "analytics"})] } else { vec![] };
            Does::json(200, json!({"entities": entities, "pageCount": 1}))
        }
        ("POST", "/api/v2/integrations") => {
            there = true;
            Does::json(201, json!({"id": ID}))
        }
        ("GET", path) if path.ends_with("/eventbindings") => Does::json(200, json!({"events": bound})),
        ("POST", _) => {
            bound.extend(seen.json()["events"].as_array().unwrap().clone());
            Does::json(200, json!({"events": bound}))
        }
        ("GET", _) => Does::json(200, json!({"id": ID, "name": "analytics", "type": "webhook", "settings": {"url": "https://a.example/"}})),
        _ => Does::refuses(500),
    })
    .await;
    let (client, _) = lab.client();
    let dir = tempfile::tempdir().unwrap();
    let mut changes = open(&dir);
    let of = |events: Value| Wish {
        dialect: Dialect::Integrations,
        body: json!({"name": "analytics", "type": "webhook", "settings": {"url": "https://a.example/"}, "events": events}),
        ..wish(Value::Null)
    };
    let first = changes
        .make(&client, &of(json!(["routing.queue.member.update"])))
        .await
        .unwrap();
    let second = changes
        .make(
            &client,
            &of(json!(["routing.queue.member.update", "message.create"])),
        )
        .await
        .unwrap();
    assert_eq!(
        (first.effect, second.effect),
        (Effect::Created, Effect::Updated)
    );
    let posts: Vec<_> = lab
        .asked()
        .into_iter()
        .filter(|seen| seen.method == "POST")
        .collect();
    assert!(posts[0].json().get("events").is_none());
    assert_eq!(
        posts[1].json(),
        json!({"events": ["routing.queue.member.update"]})
    );
    assert_eq!(posts[2].json(), json!({"events": ["message.create"]}));
    assert_ne!(
        posts[0].header("idempotency-key"),
        posts[1].header("idempotency-key")
    );
}

#[tokio::test]
async fn two_webhooks_of_one_name_are_told_apart_by_their_url_or_not_touched() {
    let (lab, api) = lab(|_, _| None).await;
    for (at, url) in ["https://one.example/", "https://two.example/"]
        .into_iter()
        .enumerate()
    {
        let there = json!({"id": format!("id-{at}"), "name": "analytics", "endpoint": url, "eventTypes": ["a"]});
        api.lock().unwrap().there.push((there, 1));
    }
    let (client, _) = lab.client();
    let dir = tempfile::tempdir().unwrap();
    let mut changes = open(&dir);
    let to = |url: &str| wish(json!({"name": "analytics", "endpoint": url, "state": "disabled"}));
    assert_eq!(
        changes
            .make(&client, &to("https://two.example/"))
            .await
            .unwrap()
            .object
            .as_deref(),
        Some("id-1")
    );
    let error = changes
        .make(&client, &to("https://three.example/"))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, Error::Ambiguous { ids, .. } if ids.len() == 2),
        "{error}"
    );
}
