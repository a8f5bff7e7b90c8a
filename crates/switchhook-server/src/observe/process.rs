//! What the kernel says about this process. Figures that a system does not offer are left out.

use std::fs;

use switchhook_core::time::UnixMs;

/// Clock ticks a second in `/proc`: `USER_HZ`, 100 on every architecture we build for.
const TICKS_PER_SECOND: f64 = 100.0;

/// See the module.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Process {
    pub(super) started_at_s: f64,
    pub(super) cpu_s: Option<f64>,
    pub(super) resident_bytes: Option<u64>,
    pub(super) threads: Option<u64>,
    pub(super) open_fds: Option<u64>,
    pub(super) max_fds: Option<u64>,
}

impl Process {
    /// Reads it. A few files of `/proc`, which never wait for a disk.
    pub(super) fn read(started_at: UnixMs) -> Self {
        let text =
            |file: &str| fs::read_to_string(format!("/proc/self/{file}")).unwrap_or_default();
        let status = text("status");
        Self {
            started_at_s: started_at.0 as f64 / 1_000.0,
            cpu_s: cpu_s(&text("stat")),
            resident_bytes: field(&status, "VmRSS:")
                .map(|kilobytes| kilobytes.saturating_mul(1_024)),
            threads: field(&status, "Threads:"),
            open_fds: fs::read_dir("/proc/self/fd")
                .ok()
                .map(|files| files.count() as u64),
            max_fds: field(&text("limits"), "Max open files"),
        }
    }
}

/// The number that follows `name` in its line.
fn field(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// User and system time out of `/proc/self/stat`: fields 14 and 15. The second may hold spaces, in parentheses.
fn cpu_s(stat: &str) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut ticks = rest.split_whitespace().skip(11).map(str::parse::<u64>);
    let (user, system) = (ticks.next()?.ok()?, ticks.next()?.ok()?);
    Some(user.saturating_add(system) as f64 / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_found_where_the_kernel_writes_them() {
        let stat = "4711 (a) b) S 1 4711 4711 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 9 0";
        assert_eq!(cpu_s(stat), Some(3.0));
        assert_eq!(
            field("Name:\tx\nVmRSS:\t   29000 kB\n", "VmRSS:"),
            Some(29_000)
        );
        let limits = "Limit Soft Hard Units\nMax open files            1024                 524288               files";
        assert_eq!(field(limits, "Max open files"), Some(1_024));
        assert_eq!((cpu_s(""), field("", "VmRSS:")), (None, None));
    }

    #[test]
    fn this_process_has_memory_and_threads() {
        let process = Process::read(UnixMs(1_500));
        assert_eq!(process.started_at_s.to_string(), "1.5");
        assert!(process.resident_bytes.is_some_and(|bytes| bytes > 100_000));
        assert!(process.threads.is_some_and(|threads| threads >= 1));
    }
}
