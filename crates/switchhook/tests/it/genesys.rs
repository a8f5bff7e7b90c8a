//! Promise: webhooks are managed through the management API as its documents describe, by a client that survives.
//!
//! The client is the real binary, the API is the real gateway. Between them stands a [`Between`]: it keeps the address
//! while the gateway is started again, writes down what passes, and can hold an answer back.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::harness::http::{Connection, Message, ask_once};
use crate::harness::{Ended, Gateway, PROGRAM, Site, until};

const ALL_SCOPES: [&str; 2] = ["read", "write"];

/// An OAuth client of a gateway.
struct OAuth {
    id: String,
    secret: String,
}

impl OAuth {
    fn make(gateway: &Gateway, name: &str, scopes: &[&str]) -> Self {
        let made = gateway.tell("POST /v1/clients", &json!({"name": name, "scopes": scopes}));
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        Self {
            id: text("id"),
            secret: text("secret"),
        }
    }

    /// The command `genesys …` against `base`, with its state under `dir`.
    fn command(&self, base: &str, dir: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command
            .args(args)
            .args(["--base", base, "--json", "--state-dir"])
            .arg(dir.join("state"))
            .env_remove("GENESYSCLOUD_REGION")
            .env("GENESYSCLOUD_OAUTHCLIENT_ID", &self.id)
            .env("GENESYSCLOUD_OAUTHCLIENT_SECRET", &self.secret);
        command
    }

    fn run(&self, base: &str, dir: &Path, args: &[&str]) -> Ended {
        Ended::run(&mut self.command(base, dir, args), "")
    }

    fn run_with(&self, base: &str, dir: &Path, args: &[&str], input: &Value) -> Ended {
        Ended::run(&mut self.command(base, dir, args), &input.to_string())
    }
}

fn base(gateway: &Gateway) -> String {
    format!("http://{}", gateway.admin)
}

/// Stands between client and gateway.
struct Between {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    to: Mutex<SocketAddr>,
    seen: Mutex<Vec<Message>>,
    answers: Mutex<Vec<Message>>,
    /// Answers to `POST /api/v2/webhooks` are kept back.
    holds: AtomicBool,
}

impl Between {
    fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            to: Mutex::new(to),
            seen: Mutex::default(),
            answers: Mutex::default(),
            holds: AtomicBool::new(false),
        });
        let kept = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = Arc::clone(&kept);
                std::thread::spawn(move || {
                    Connection::new(stream?).and_then(|connection| shared.serve(connection))
                });
            }
        });
        Self { address, shared }
    }

    fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requests that make webhooks, with what came back.
    fn posts(&self) -> Vec<(Message, Message)> {
        let (seen, answers) = (
            self.shared.seen.lock().unwrap(),
            self.shared.answers.lock().unwrap(),
        );
        let both = seen.iter().cloned().zip(answers.iter().cloned());
        both.filter(|(seen, _)| seen.first_line.starts_with("POST /api/v2/webhooks "))
            .collect()
    }
}

impl Shared {
    fn serve(&self, mut connection: Connection) -> std::io::Result<()> {
        while let Some(request) = connection.read()? {
            let mut words = request.first_line.split(' ');
            let asked = format!("{} {}", words.next().unwrap(), words.next().unwrap());
            let kept = [
                "authorization",
                "content-type",
                "idempotency-key",
                "if-match",
            ];
            let headers: Vec<String> = request
                .headers()
                .iter()
                .filter(|(name, _)| kept.contains(&name.as_str()))
                .map(|(name, value)| format!("{name}: {value}"))
                .collect();
            let to = *self.to.lock().unwrap();
            let answer = ask_once(to, &asked, &headers, &request.body)?;
            {
                let mut seen = self.seen.lock().unwrap();
                self.answers.lock().unwrap().push(answer.clone());
                seen.push(request);
            }
            if asked == "POST /api/v2/webhooks" && self.holds.load(Ordering::Relaxed) {
                // Until the client goes away.
                connection.read().ok();
                return Ok(());
            }
            let kept = [
                "content-type",
                "etag",
                "idempotency-replayed",
                "inin-correlation-id",
                "retry-after",
            ];
            let headers: Vec<String> = answer
                .headers()
                .iter()
                .filter(|(name, _)| kept.contains(&name.as_str()))
                .map(|(name, value)| format!("{name}: {value}"))
                .collect();
            connection.send(
                &answer.first_line.replace("HTTP/1.0", "HTTP/1.1"),
                &headers,
                &answer.body,
            )?;
        }
        Ok(())
    }
}

/// A gateway with an OAuth client, and a directory for the changes of the command line.
struct Desk {
    _site: Site,
    gateway: Gateway,
    oauth: OAuth,
    dir: tempfile::TempDir,
}

impl Desk {
    fn new(name: &str) -> Self {
        let site = Site::new("");
        let gateway = site.start();
        Self {
            oauth: OAuth::make(&gateway, name, &ALL_SCOPES),
            dir: tempfile::tempdir().unwrap(),
            gateway,
            _site: site,
        }
    }

    fn run(&self, args: &[&str]) -> Ended {
        self.oauth.run(&base(&self.gateway), self.dir.path(), args)
    }

    fn run_with(&self, args: &[&str], input: &Value) -> Ended {
        self.oauth
            .run_with(&base(&self.gateway), self.dir.path(), args, input)
    }

    /// Applies one webhook by flags.
    fn apply(&self, name: &str, url: &str, types: &str) -> Ended {
        let flags = ["--name", name, "--url", url, "--event-type", types];
        self.run(&[&APPLY[..], &flags].concat())
    }
}

const APPLY: [&str; 4] = ["genesys", "webhooks", "apply", "--no-probe"];
const URL: &str = "https://pipeline.example.com/hook";

#[test]
fn the_client_says_who_it_is_what_it_may_read_and_which_event_types_there_are() {
    let desk = Desk::new("seeds");
    let who = desk.run(&["genesys", "whoami"]).json();
    let allowed = json!("allowed");
    assert_eq!(
        (&who["reads"]["webhooks"], &who["reads"]["eventTypes"]),
        (&allowed, &allowed)
    );
    assert!(who["rate"]["allowed"].as_u64().unwrap() > 0, "{who}");
    let status = desk.run(&["genesys", "token", "status", "--token-style", "form"]);
    assert!(
        !status.ok().stdout.contains(&desk.oauth.secret),
        "{status:?}"
    );
    let types = desk
        .run(&["genesys", "event-types", "--filter", "routing.queue"])
        .json();
    let has = |kind: &str| types.as_array().unwrap().iter().any(|it| it["id"] == kind);
    assert!(has("routing.queue.conversation.created"), "{types}");
}

#[test]
fn a_webhook_made_in_one_dialect_is_changed_in_another_and_its_policy_in_a_third() {
    let desk = Desk::new("seeds");
    let made = desk
        .apply(
            "analytics",
            URL,
            "routing.queue.conversation.created,call:created",
        )
        .json();
    assert_eq!(made["results"][0]["result"], "created", "{made}");
    let id = made["results"][0]["id"].as_str().unwrap();
    let same = desk
        .apply(
            "analytics",
            URL,
            "routing.queue.conversation.created,call:created",
        )
        .json();
    assert_eq!(same["results"][0]["result"], "unchanged", "{same}");

    let change = json!({"name": "analytics", "address": URL,
        "eventFilters": [{"eventType": "call:created", "filter": "true"}], "customProperties": {"owner": "crm"}});
    let updated = desk
        .run_with(
            &[&APPLY[..], &["--dialect", "lifecycle", "-f", "-"]].concat(),
            &change,
        )
        .json();
    assert_eq!(updated["results"][0]["result"], "updated", "{updated}");
    let shown = desk
        .run(&["genesys", "webhooks", "get", "analytics"])
        .json();
    assert_eq!(
        (&shown["id"], &shown["eventTypes"]),
        (&json!(id), &json!(["call:created"]))
    );
    let shown = desk
        .run(&["genesys", "webhooks", "get", id, "--dialect", "lifecycle"])
        .json();
    assert_eq!(shown["customProperties"]["owner"], "crm");
}

#[test]
fn a_policy_is_set_by_its_delays_and_every_change_is_counted() {
    let desk = Desk::new("policies");
    let made = desk.apply("analytics", URL, "call:created").json();
    let id = made["results"][0]["id"].as_str().unwrap();

    let set = desk
        .run(&[
            "genesys",
            "policy",
            "set",
            "analytics",
            "--delays",
            "5s,15s,45s,135s,405s",
        ])
        .json();
    assert_eq!(set["results"][0]["result"], "set", "{set}");
    let policy = desk
        .gateway
        .get(&format!("/api/v2/notifications/webhooks/{id}"));
    assert_eq!(
        policy["retryPolicy"],
        json!({"maxAttempts": 5, "retryDuration": 605})
    );
    let flat = desk
        .run(&["genesys", "webhooks", "get", id, "--flat"])
        .json();
    assert_eq!((&flat["id"], &flat["url"]), (&json!(id), &json!(URL)));
    assert_eq!(
        desk.run(&["genesys", "webhooks", "logs", "analytics"])
            .json(),
        json!([])
    );

    desk.run(&["genesys", "webhooks", "delete", "analytics", "--yes"])
        .ok();
    assert_eq!(desk.run(&["genesys", "webhooks", "list"]).json(), json!([]));
    let stats = desk.run(&["changes", "stats"]).json();
    assert_eq!(
        (&stats["total"], &stats["failed"]),
        (&json!(3), &json!(0)),
        "{stats}"
    );
}

#[test]
fn a_signing_secret_reaches_the_gateway_and_stands_in_no_file_and_no_answer() {
    let desk = Desk::new("signed");
    let body = json!({"name": "signed", "address": URL, "eventFilters": [{"eventType": "call:created", "filter": "true"}],
        "customProperties": {"webhook.signature.secret": "planted-s3cret"}});
    let made = desk.run_with(
        &[&APPLY[..], &["--dialect", "lifecycle", "-f", "-"]].concat(),
        &body,
    );
    let id = made.json()["results"][0]["id"].as_str().unwrap().to_owned();
    let shown = desk.run(&["genesys", "webhooks", "get", &id, "--dialect", "lifecycle"]);
    assert!(
        shown.json()["customProperties"]["webhook.signature.secret"].is_string(),
        "{shown:?}"
    );
    for text in [&made.stdout, &made.stderr, &shown.stdout] {
        assert!(
            !text.contains("planted-s3cret") && !text.contains(&desk.oauth.secret),
            "{text}"
        );
    }
    for file in std::fs::read_dir(desk.dir.path().join("state")).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        assert!(!text.contains("planted-s3cret") && !text.contains(&desk.oauth.secret));
    }
}

#[test]
fn an_apply_that_is_killed_before_its_answer_came_goes_on_with_the_same_key_over_a_restart_of_both()
{
    let site = Site::new("");
    let mut gateway = site.start();
    let (oauth, dir) = (
        OAuth::make(&gateway, "survivor", &ALL_SCOPES),
        tempfile::tempdir().unwrap(),
    );
    let between = Between::start(gateway.admin);
    let args = [
        "genesys",
        "webhooks",
        "apply",
        "--no-probe",
        "--name",
        "analytics",
        "--url",
        "https://pipeline.example.com/hook",
        "--event-type",
        "call:created",
    ];
    between.shared.holds.store(true, Ordering::Relaxed);
    let mut command = oauth.command(&between.base(), dir.path(), &args);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    until("the gateway has answered", || {
        (between.posts().len() == 1).then_some(())
    });
    child.kill().unwrap();
    child.wait().unwrap();
    gateway.kill();
    gateway = site.start();
    *between.shared.to.lock().unwrap() = gateway.admin;
    between.shared.holds.store(false, Ordering::Relaxed);

    let open = oauth
        .run(&between.base(), dir.path(), &["changes", "list"])
        .json();
    assert_eq!(open["open"].as_array().unwrap().len(), 1, "{open}");
    let made = oauth.run(&between.base(), dir.path(), &args).json();
    let result = &made["results"][0];
    assert_eq!(
        (&result["resumed"], &result["replayed"], &result["result"]),
        (&json!(true), &json!(true), &json!("created")),
        "{made}"
    );
    let posts = between.posts();
    let key = |at: usize| posts[at].0.header("idempotency-key").unwrap().to_owned();
    assert_eq!((posts.len(), key(0) == key(1)), (2, true));
    assert_eq!(posts[0].1.json()["id"], result["id"]);
    let there = oauth
        .run(
            &between.base(),
            dir.path(),
            &["genesys", "webhooks", "list"],
        )
        .json();
    assert_eq!(there.as_array().unwrap().len(), 1, "{there}");
    let left = oauth
        .run(&between.base(), dir.path(), &["changes", "list"])
        .json();
    assert_eq!((&left["open"], &left["dead"]), (&json!([]), &json!([])));
}

#[test]
fn more_than_fifteen_event_types_become_several_webhooks_over_the_pool() {
    let site = Site::new("");
    let gateway = site.start();
    let (oauth, dir, base) = (
        OAuth::make(&gateway, "pool", &ALL_SCOPES),
        tempfile::tempdir().unwrap(),
        base(&gateway),
    );
    let all = oauth
        .run(&base, dir.path(), &["genesys", "event-types"])
        .json();
    let types: Vec<&str> = all
        .as_array()
        .unwrap()
        .iter()
        .take(20)
        .map(|kind| kind["id"].as_str().unwrap())
        .collect();
    let types = types.join(",");
    let apply = [
        "genesys",
        "webhooks",
        "apply",
        "--no-probe",
        "--name",
        "wide",
        "--event-type",
        &types,
    ];
    let refused = oauth.run(
        &base,
        dir.path(),
        &[&apply[..], &["--url", "https://one.example.com/"]].concat(),
    );
    assert_eq!(refused.code, Some(3), "{refused:?}");
    assert!(refused.stderr.contains("--pool"), "{refused:?}");
    let pool = [
        "--pool",
        "https://one.example.com/",
        "--pool",
        "https://two.example.com/",
    ];
    let made = oauth
        .run(&base, dir.path(), &[&apply[..], &pool].concat())
        .json();
    assert_eq!(made["results"].as_array().unwrap().len(), 2, "{made}");
    for (name, url) in [
        ("wide-1", "https://one.example.com/"),
        ("wide-2", "https://two.example.com/"),
    ] {
        let shown = oauth
            .run(&base, dir.path(), &["genesys", "webhooks", "get", name])
            .json();
        assert_eq!(
            (
                shown["endpoint"].as_str(),
                shown["eventTypes"].as_array().unwrap().len()
            ),
            (Some(url), 10)
        );
    }
}

#[test]
fn what_is_wrong_before_anything_is_sent_ends_with_3_and_leaves_nothing() {
    let desk = Desk::new("all");
    let unknown = desk.apply("a", URL, "call:creatd");
    assert_eq!(unknown.code, Some(3));
    assert!(
        unknown.stderr.contains("did you mean `call:created`"),
        "{unknown:?}"
    );
    let limits = ["--max-attempts", "101", "--retry-duration", "5"];
    let policy = desk.run(&[&["genesys", "policy", "set", "a"][..], &limits].concat());
    assert_eq!(policy.code, Some(3), "{policy:?}");
    assert_eq!(
        desk.run(&["genesys", "webhooks", "get", "nobody"]).code,
        Some(4)
    );
    assert_eq!(desk.run(&["changes", "list"]).json()["dead"], json!([]));
}

#[test]
fn what_the_gateway_refuses_is_kept_until_it_is_discarded() {
    let desk = Desk::new("all");
    let inside = desk.apply("a", "https://10.0.0.1/", "call:created");
    assert_eq!(inside.code, Some(3), "{inside:?}");
    let dead = desk.run(&["changes", "list"]).json()["dead"].clone();
    assert_eq!(
        (&dead[0]["status"], &dead[0]["isCertain"]),
        (&json!(422), &json!(true)),
        "{dead}"
    );
    let id = dead[0]["id"].as_str().unwrap();
    assert_eq!(
        desk.run(&["changes", "retry", id]).code,
        Some(3),
        "it is refused again"
    );
    desk.run(&["changes", "discard", id, "--yes"]).ok();
    assert_eq!(desk.run(&["changes", "retry", id]).code, Some(4));
}

#[test]
fn a_retry_is_for_the_api_of_its_change_and_a_state_directory_that_is_not_there_is_not_made() {
    let desk = Desk::new("all");
    let missing = desk.dir.path().join("none");
    for command in ["list", "stats"] {
        let ended = desk
            .oauth
            .run(&base(&desk.gateway), &missing, &["changes", command]);
        assert!(
            ended.ok().stderr.contains("no state directory"),
            "{ended:?}"
        );
    }
    assert!(!missing.exists());

    assert_eq!(
        desk.apply("a", "https://10.0.0.1/", "call:created").code,
        Some(3)
    );
    let dead = desk.run(&["changes", "list"]).json()["dead"].clone();
    let id = dead[0]["id"].as_str().unwrap();
    let retry = ["changes", "retry", id, "--yes"];
    let elsewhere = desk
        .oauth
        .run("http://127.0.0.1:9", desk.dir.path(), &retry);
    assert_eq!(elsewhere.code, Some(2), "{elsewhere:?}");
    assert_eq!(desk.run(&retry).code, Some(3));
    let absent = desk.run(&["genesys", "webhooks", "get", "nosuch"]);
    assert_eq!(absent.code, Some(4), "{absent:?}");
    assert!(
        absent
            .stderr
            .contains("there is no webhook with the name or id"),
        "{absent:?}"
    );
}

#[test]
fn a_missing_scope_a_wrong_secret_and_no_gateway_are_told_apart() {
    let mut desk = Desk::new("all");
    let all = std::mem::replace(
        &mut desk.oauth,
        OAuth::make(&desk.gateway, "reader", &["read"]),
    );
    let denied = desk.apply("a", URL, "call:created");
    assert_eq!(denied.code, Some(6), "{denied:?}");
    assert!(
        denied.stderr.contains("write"),
        "the scope is named: {denied:?}"
    );
    desk.oauth = OAuth {
        secret: "not-the-s3cret".into(),
        ..all
    };
    let denied = desk.run(&["genesys", "whoami"]);
    assert_eq!(denied.code, Some(6));
    assert!(!denied.stderr.contains("not-the-s3cret"), "{denied:?}");
    let (
        base,
        Desk {
            gateway,
            oauth,
            dir,
            ..
        },
    ) = (base(&desk.gateway), desk);
    drop(gateway);
    let gone = oauth.run(&base, dir.path(), &["genesys", "whoami", "--timeout", "2s"]);
    assert_eq!(gone.code, Some(7), "{gone:?}");
}
