//! One process of the binary: started, watched, asked, ended.
//!
//! Everything is seen from outside: its exit code, its lines on stderr and stdout, and its answers on both
//! listeners. [`Ended`] is a command that has run to its end.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::http::{self, Message};
use super::{PATIENCE, PROGRAM, pass, sender, until};

/// A gateway process. It is killed when this is dropped.
pub(crate) struct Gateway {
    child: Child,
    words: Arc<Lines>,
    data: Arc<Lines>,
    /// Where events come in.
    pub(crate) ingest: SocketAddr,
    /// Where the API is.
    pub(crate) admin: SocketAddr,
    /// The API token.
    pub(crate) token: Option<String>,
}

impl Gateway {
    /// Runs `command`, which must be a `serve --json`.
    pub(crate) fn spawn(mut command: Command) -> Self {
        command
            .env_remove("SWITCHHOOK_TOKEN")
            .env_remove("SWITCHHOOK_SERVER");
        // A site may want to see more than is usual.
        if command.get_envs().all(|(name, _)| name != "SWITCHHOOK_LOG") {
            command.env_remove("SWITCHHOOK_LOG");
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
        Self {
            words: Lines::read(child.stderr.take().unwrap()),
            data: Lines::read(child.stdout.take().unwrap()),
            child,
            ingest: nowhere,
            admin: nowhere,
            token: None,
        }
    }

    /// Waits until it says READY and where it listens; returns the latter.
    #[track_caller]
    pub(crate) fn await_ready(&mut self) -> Value {
        let said = self.words.wait_for(|line| line.starts_with("READY "));
        let Some(line) = said.and_then(|_| self.data.wait_for(|line| line.contains("\"ready\"")))
        else {
            panic!(
                "the gateway ended or was not ready within {PATIENCE:?}:\n{}",
                self.words.text()
            );
        };
        let ready: Value = serde_json::from_str(&line).unwrap();
        let address = |name: &str| {
            ready[name]
                .as_str()
                .unwrap()
                .trim_start_matches("http://")
                .trim_start_matches("https://")
                .parse()
                .unwrap()
        };
        (self.ingest, self.admin) = (address("ingest"), address("admin"));
        self.token = ready["token"].as_str().map(str::to_owned);
        ready
    }

    /// What it has written to stderr so far.
    pub(crate) fn words(&self) -> String {
        self.words.text()
    }

    /// Ends it as a crash does.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        self.signal("-TERM");
    }

    /// Sends SIGHUP: it is to read its configuration again.
    pub(crate) fn hang_up(&self) {
        self.signal("-HUP");
    }

    fn signal(&self, name: &str) {
        let killed = Command::new("kill")
            .arg(name)
            .arg(self.child.id().to_string())
            .status()
            .unwrap();
        assert!(killed.success());
    }

    /// Waits for its end: the exit code, and what it wrote to stderr.
    #[track_caller]
    pub(crate) fn wait(mut self) -> (Option<i32>, String) {
        let status = until("the end of the gateway", || self.child.try_wait().unwrap());
        self.words.wait_for(|_| false);
        (status.code(), self.words.text())
    }

    /// Asks the API.
    #[track_caller]
    pub(crate) fn ask(&self, method_and_path: &str, body: &[u8]) -> Message {
        let token = self.token.as_deref().unwrap_or_default();
        let headers = [
            format!("authorization: Bearer {token}"),
            "content-type: application/json".to_owned(),
        ];
        http::ask_once(self.admin, method_and_path, &headers, body).unwrap()
    }

    /// Reads `path` of the API.
    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Value {
        let answer = self.ask(&format!("GET {path}"), b"");
        assert_eq!(
            answer.status(),
            200,
            "{path}: {}",
            String::from_utf8_lossy(&answer.body)
        );
        answer.json()
    }

    /// Every entity of a list, over all its pages.
    #[track_caller]
    pub(crate) fn all(&self, path: &str) -> Vec<Value> {
        let (mut found, mut next) = (Vec::new(), Some(path.to_owned()));
        while let Some(path) = next {
            let mut page = self.get(&path);
            next = page["nextUri"].as_str().map(str::to_owned);
            found.append(page["entities"].as_array_mut().unwrap());
        }
        found
    }

    /// Every event that came in through `web`, in the order of the log. The gateway's own stand between them.
    #[track_caller]
    pub(crate) fn log(&self) -> Vec<Value> {
        let mut events = self.all("/v1/events?source=web&pageSize=500");
        events.reverse();
        events
    }

    /// Has the API do something; fails the test unless it was done.
    #[track_caller]
    pub(crate) fn tell(&self, method_and_path: &str, body: &Value) -> Value {
        let answer = self.ask(method_and_path, body.to_string().as_bytes());
        assert!(
            (200..300).contains(&answer.status()),
            "{method_and_path} {body}: {answer:?}"
        );
        answer.json()
    }

    /// How an endpoint stands.
    #[track_caller]
    pub(crate) fn breaker(&self, endpoint: &str) -> Value {
        let all = self.all("/v1/breakers");
        let found = all.into_iter().find(|it| it["endpoint"] == endpoint);
        found.unwrap_or_else(|| panic!("no breaker of `{endpoint}` is shown"))
    }

    /// Sends an event that must be taken; its id.
    #[track_caller]
    pub(crate) fn accept(&self, body: &[u8]) -> String {
        let answer = self.send("web", body);
        assert_eq!(answer.status(), 202, "{answer:?}");
        answer.json()["eventId"].as_str().unwrap().to_owned()
    }

    /// Sends an event to a source, signed.
    #[track_caller]
    pub(crate) fn send(&self, source: &str, body: &[u8]) -> Message {
        self.post(&format!("/in/{source}"), &[sender::signature(body)], body)
    }

    /// Posts to ingest.
    #[track_caller]
    pub(crate) fn post(&self, path: &str, headers: &[String], body: &[u8]) -> Message {
        http::ask_once(self.ingest, &format!("POST {path}"), headers, body).unwrap()
    }

    /// How many deliveries wait and how many are dead, as the store has it.
    #[track_caller]
    pub(crate) fn counts(&self) -> (u64, u64) {
        let status = self.get("/v1/store/status");
        let dead = status["dead"]
            .as_array()
            .unwrap()
            .iter()
            .map(|dead| dead["count"].as_u64().unwrap());
        (status["waiting"].as_u64().unwrap(), dead.sum())
    }

    /// Waits until nothing is to be done: every event looked at, no delivery waiting or under way.
    #[track_caller]
    pub(crate) fn settle(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        let mut quiet = 0;
        // A result may be on its way to the disk when nothing else is; a commit later it is there.
        while quiet < 3 {
            let totals = self.get("/v1/stats")["totals"].clone();
            let (waiting, _) = self.counts();
            let idle = waiting == 0 && totals["inFlight"] == 0 && totals["lag"] == 0;
            quiet = if idle { quiet + 1 } else { 0 };
            assert!(
                Instant::now() < deadline,
                "after {patience:?} {waiting} wait: {totals}"
            );
            pass(Duration::from_millis(50));
        }
    }

    /// Dead letters, one object each.
    #[track_caller]
    pub(crate) fn dead_letters(&self) -> Vec<Value> {
        let answer = self.ask("GET /v1/deadLetters:export", b"");
        assert_eq!(answer.status(), 200);
        let text = String::from_utf8(answer.body).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// Subscription and event id of every dead letter.
    #[track_caller]
    pub(crate) fn held(&self) -> BTreeSet<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let letters = self.dead_letters();
        letters
            .iter()
            .map(|it| (text(&it["subscription"]), text(&it["event"]["id"])))
            .collect()
    }

    /// Runs a command against this gateway.
    pub(crate) fn cli(&self, args: &[&str]) -> Ended {
        self.cli_with(args, "")
    }

    /// Runs a command against this gateway, with `input` as its standard input.
    pub(crate) fn cli_with(&self, args: &[&str], input: &str) -> Ended {
        let mut command = Command::new(PROGRAM);
        command
            .args(args)
            .env("SWITCHHOOK_SERVER", format!("http://{}", self.admin));
        command.env(
            "SWITCHHOOK_TOKEN",
            self.token.as_deref().unwrap_or_default(),
        );
        Ended::run(&mut command, input)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// Runs a command to its end. `input` must fit into a pipe.
    pub(crate) fn run(command: &mut Command, input: &str) -> Self {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A command that reads nothing may have ended already.
        child.stdin.take().unwrap().write_all(input.as_bytes()).ok();
        let Output {
            status,
            stdout,
            stderr,
        } = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self {
            code: status.code(),
            stdout: text(stdout),
            stderr: text(stderr),
        }
    }

    /// Its result as JSON; fails the test unless it succeeded.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.ok().stdout).unwrap()
    }

    /// Fails the test unless it succeeded.
    #[track_caller]
    pub(crate) fn ok(&self) -> &Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }
}

/// The lines of a stream, read by a thread so that its writer never waits.
struct Lines {
    inner: Mutex<(Vec<String>, bool)>,
    changed: Condvar,
}

impl Lines {
    fn read(stream: impl Read + Send + 'static) -> Arc<Self> {
        let lines = Arc::new(Self {
            inner: Mutex::default(),
            changed: Condvar::new(),
        });
        let shared = Arc::clone(&lines);
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                shared.inner.lock().unwrap().0.push(line);
                shared.changed.notify_all();
            }
            shared.inner.lock().unwrap().1 = true;
            shared.changed.notify_all();
        });
        lines
    }

    /// The first line that is wanted; `None` if the stream ends without one, or after [`PATIENCE`].
    fn wait_for(&self, wanted: impl Fn(&str) -> bool) -> Option<String> {
        let inner = self.inner.lock().unwrap();
        let find = |lines: &[String]| lines.iter().find(|line| wanted(line)).cloned();
        let waiting = |inner: &mut (Vec<String>, bool)| !inner.1 && find(&inner.0).is_none();
        let (inner, _) = self
            .changed
            .wait_timeout_while(inner, PATIENCE, waiting)
            .unwrap();
        find(&inner.0)
    }

    fn text(&self) -> String {
        self.inner.lock().unwrap().0.join("\n")
    }
}
