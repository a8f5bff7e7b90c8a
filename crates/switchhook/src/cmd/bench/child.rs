//! A process of the bench: started from this very program, watched through `/proc`, killed by its handle.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use super::broken;
use crate::exit::Failure;

/// How long a process may take to say that it is ready.
const READY_WITHIN: Duration = Duration::from_secs(20);

/// Clock ticks a second in `/proc`: the kernel shows 100 to every program, whatever it counts itself.
const TICKS_PER_S: f64 = 100.0;

/// Lines of a process's stderr that are shown when it fails.
const LAST_LINES: usize = 10;

/// A process that runs. It is killed when this is dropped.
pub(super) struct Child {
    name: &'static str,
    process: tokio::process::Child,
    ready: Value,
    pid: u32,
    log: PathBuf,
}

/// What a process has used since it started.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Usage {
    /// Seconds on a CPU, in user and kernel together.
    pub(super) cpu_s: f64,
    /// The most memory that it ever had resident.
    pub(super) peak_bytes: u64,
}

impl Usage {
    /// The CPU time since `before`; the peak stays that of the whole life.
    pub(super) fn since(self, before: Self) -> Self {
        Self {
            cpu_s: self.cpu_s - before.cpu_s,
            ..self
        }
    }
}

impl Child {
    /// Starts this program with `line`, and waits for the line of JSON that says that it is ready.
    pub(super) async fn start(
        name: &'static str,
        line: &[&str],
        dir: &Path,
    ) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| broken(name, &format!("cannot be started: {error}"));
        let program = std::env::current_exe().map_err(failed)?;
        let log = dir.join(format!("{name}.log"));
        let mut process = Command::new(program)
            .args(line)
            .env("SWITCHHOOK_LOG", "error")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).map_err(failed)?)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let (stdout, pid) = (process.stdout.take(), process.id());
        let (Some(stdout), Some(pid)) = (stdout, pid) else {
            return Err(broken(name, "ended at once"));
        };
        let mut lines = BufReader::new(stdout).lines();
        let first = tokio::time::timeout(READY_WITHIN, lines.next_line()).await;
        let first = first.ok().and_then(Result::ok).flatten();
        let ready = first.and_then(|line| serde_json::from_str(&line).ok());
        match ready {
            Some(ready) => Ok(Self {
                name,
                process,
                ready,
                pid,
                log,
            }),
            None => Err(broken(name, "did not become ready").hint(last_lines(&log))),
        }
    }

    /// What it is called.
    pub(super) const fn name(&self) -> &'static str {
        self.name
    }

    /// An address that it said when it became ready, under `member`.
    pub(super) fn addr(&self, member: &str) -> Result<SocketAddr, Failure> {
        let text = self
            .ready
            .get(member)
            .and_then(Value::as_str)
            .unwrap_or_default();
        let addr = text
            .strip_prefix("http://")
            .and_then(|addr| addr.parse().ok());
        addr.ok_or_else(|| broken(self.name, &format!("gave no address: {}", self.ready)))
    }

    /// What it has used so far.
    pub(super) fn usage(&self) -> Result<Usage, Failure> {
        let read = |file: &str| {
            fs::read_to_string(format!("/proc/{}/{file}", self.pid))
                .map_err(|_| broken(self.name, "has ended").hint(last_lines(&self.log)))
        };
        usage(&read("stat")?, &read("status")?)
            .ok_or_else(|| broken(self.name, "cannot be watched: /proc has another form"))
    }

    /// Kills it and waits for its end.
    pub(super) async fn stop(mut self) {
        // It may have ended by itself; either way it is gone then.
        self.process.kill().await.ok();
    }
}

/// CPU time and peak memory, from the text of `/proc/PID/stat` and `/proc/PID/status`.
fn usage(stat: &str, status: &str) -> Option<Usage> {
    // The second field is the program's name in parentheses, and may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    let cpu_s = (ticks()? + ticks()?) / TICKS_PER_S;
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = peak.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(Usage {
        cpu_s,
        peak_bytes: kib * 1024,
    })
}

fn last_lines(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().rev().take(LAST_LINES).collect();
    let lines: Vec<_> = lines.into_iter().rev().collect();
    format!("it said:\n{}", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_read_whatever_the_program_is_called() {
        let stat = "42 (a ) b) S 1 42 42 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 8 0 100 1 2";
        let status = "Name:\ta\nVmPeak:\t  999 kB\nVmHWM:\t    2048 kB\n";
        let expected = Usage {
            cpu_s: 3.0,
            peak_bytes: 2 * 1024 * 1024,
        };
        assert_eq!(usage(stat, status), Some(expected));
        assert_eq!(usage("", ""), None);
    }
}
