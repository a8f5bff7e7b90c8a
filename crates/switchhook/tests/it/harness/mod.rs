//! What every test here stands on: the real binary on a directory of its own, watched from outside.
//!
//! A [`Site`] is a directory with a configuration; [`Site::start`] runs a [`Gateway`] on it, again and again if the
//! test kills it. Ports are the system's choice and read from what the gateway says when it is ready, so tests
//! run beside each other. Nothing waits for a guess: [`until`] looks for a condition and has a deadline.

pub(crate) mod audit;
pub(crate) mod gateway;
pub(crate) mod http;
pub(crate) mod names;
pub(crate) mod ordeal;
pub(crate) mod order;
pub(crate) mod receiver;
pub(crate) mod sender;

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tempfile::TempDir;

pub(crate) use self::gateway::{Ended, Gateway};

/// The binary under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_switchhook");

/// How long a step may take that takes milliseconds on a quiet machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Says that a test did not run.
pub(crate) fn skipped(what: &str, why: &str) {
    say(&format!("skipped: {what}: {why}"));
}

/// Says something that must be seen although the test passes: it goes past the capture of the test runner.
pub(crate) fn say(words: &str) {
    let line = format!("{words}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

/// Waits until `look` finds something; fails the test after [`PATIENCE`].
#[track_caller]
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        pass(Duration::from_millis(10));
    }
}

/// Lets time pass, where time itself is what the test is about.
#[expect(
    clippy::disallowed_methods,
    reason = "the time between two looks, and the age of a process at its kill"
)]
pub(crate) fn pass(time: Duration) {
    std::thread::sleep(time);
}

/// A number from the environment, for tests whose length is set from outside.
pub(crate) fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .map_or(default, |text| text.parse().unwrap())
}

/// A source `web` that verifies, and knows an event by its id; and the number of the run, for [`route`].
pub(crate) const SOURCE: &str = r#"
[secret.web]
file = "{dir}/web"

[secret.run]
env = "RUN"

[source.web]
verify = { scheme = "open-messaging", secrets = ["{{secret:web}}"] }
dedup = { id = "/id" }
"#;

/// What makes [`SOURCE`], which must stand right before it, read the key of an event.
pub(crate) const KEY: &str = "key = [\"/key\"]\n";

/// The section of an endpoint that is told the number of the run, with these `lines` besides.
pub(crate) fn endpoint(name: &str, url: &str, lines: &str) -> String {
    format!(
        r#"
[endpoint.{name}]
url = "{url}"
allow_private = ["127.0.0.0/8"]
headers = {{ x-run = "{{{{secret:run}}}}" }}
{lines}
"#
    )
}

/// The section of a subscription that takes everything from `web`, with these `lines` besides.
pub(crate) fn subscription(name: &str, lines: &str) -> String {
    format!(
        r#"
[subscription.{name}]
sources = ["web"]
{lines}
"#
    )
}

/// An endpoint without a breaker, since the receivers here refuse on purpose, and a subscription of the same name that
/// brings it everything from `web`.
pub(crate) fn route(name: &str, url: &str, policy: &str) -> String {
    let to = format!("endpoint = \"{name}\"\npolicy = \"{policy}\"");
    endpoint(name, url, "breaker = false") + &subscription(name, &to)
}

/// Where the ingest listener of a site is now. It moves when the gateway is started again.
#[derive(Debug, Clone)]
pub(crate) struct Address(Arc<Mutex<SocketAddr>>);

impl Address {
    /// The address.
    pub(crate) fn get(&self) -> SocketAddr {
        *self.0.lock().unwrap()
    }
}

/// A directory with a configuration, for one gateway after the other.
pub(crate) struct Site {
    dir: TempDir,
    program: PathBuf,
    /// Additional variables for the gateway.
    pub(crate) variables: Vec<(&'static str, &'static str)>,
    /// Additional flags of `serve`.
    pub(crate) flags: Vec<&'static str>,
    ingest: Address,
    token: Mutex<Option<String>>,
    /// How often a gateway has been started here.
    runs: AtomicU64,
}

impl Site {
    /// A site whose configuration is `[server]` and `config`; its data is under `data`, or beside the configuration.
    /// `{dir}` in `config` becomes the site's own directory, in which the file `web` holds the secret.
    pub(crate) fn on(data: Option<&Path>, config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = data.unwrap_or(dir.path()).join("data");
        fs::write(dir.path().join("web"), sender::SECRET).unwrap();
        let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
        // Two addresses: one and the same would be one listener for both.
        let server = format!(
            "[server]\ningest = \"127.0.0.1:0\"\nadmin = \"127.0.0.2:0\"\ndata_dir = {data:?}\nshutdown_drain = \"5s\"\n\n{}",
            config.replace("{dir}", dir.path().to_str().unwrap())
        );
        fs::write(dir.path().join("switchhook.toml"), server).unwrap();
        Self {
            program: PROGRAM.into(),
            variables: Vec::new(),
            flags: Vec::new(),
            ingest: Address(Arc::new(Mutex::new(nowhere))),
            token: Mutex::default(),
            runs: AtomicU64::new(0),
            dir,
        }
    }

    /// A site with its data beside its configuration.
    pub(crate) fn new(config: &str) -> Self {
        Self::on(None, config)
    }

    /// Runs `program` instead of the binary of this build.
    pub(crate) fn with_program(mut self, program: impl Into<PathBuf>) -> Self {
        self.program = program.into();
        self
    }

    /// The configuration file.
    pub(crate) fn config(&self) -> PathBuf {
        self.dir.path().join("switchhook.toml")
    }

    /// The data directory, where it lies beside the configuration.
    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Sets something of the gateway itself: a line of `[server]`.
    pub(crate) fn set(&self, line: &str) {
        let config = fs::read_to_string(self.config()).unwrap();
        let config = config.replacen("[server]\n", &format!("[server]\n{line}\n"), 1);
        fs::write(self.config(), config).unwrap();
    }

    /// Replaces a part of the configuration, which must be there, in one step.
    #[track_caller]
    pub(crate) fn edit(&self, from: &str, to: &str) {
        let text = fs::read_to_string(self.config()).unwrap();
        assert!(text.contains(from), "`{from}` is not in:\n{text}");
        self.write("switchhook.toml", &text.replace(from, to));
    }

    /// Writes a file beside the configuration, in one step.
    pub(crate) fn write(&self, name: &str, content: &str) {
        let new = self.dir.path().join(format!("{name}.new"));
        fs::write(&new, content).unwrap();
        fs::rename(new, self.dir.path().join(name)).unwrap();
    }

    /// Where events go.
    pub(crate) fn ingest(&self) -> Address {
        self.ingest.clone()
    }

    /// Starts the gateway and waits until it is ready.
    #[track_caller]
    pub(crate) fn start(&self) -> Gateway {
        let mut gateway = self.spawn();
        let ready = gateway.await_ready();
        *self.ingest.0.lock().unwrap() = gateway.ingest;
        let mut token = self.token.lock().unwrap();
        if let Some(new) = ready["token"].as_str() {
            *token = Some(new.to_owned());
        }
        gateway.token.clone_from(&token);
        gateway
    }

    /// Starts the gateway and waits for nothing.
    pub(crate) fn spawn(&self) -> Gateway {
        let mut command = Command::new(&self.program);
        command.args(["serve", "--json", "-c"]).arg(self.config());
        command.args(&self.flags);
        command.envs(self.variables.iter().copied());
        command.env("RUN", self.runs.fetch_add(1, Ordering::Relaxed).to_string());
        Gateway::spawn(command)
    }
}
