//! Which secrets have changed: so that deliveries held for a refused credential are tried at once.
//!
//! Every [`WATCH_INTERVAL`], and at once when other secrets are put in force, each secret is looked at the way every use
//! looks at it: one `stat`, and a read when the file is another one. What counts is the value, so a file that was merely
//! touched has not changed, and a second change within the granularity of time stamps is not missed. It does not matter
//! who wrote the file. A secret that cannot be read now has not changed; it has when it can be read again.
//!
//! Bounds: one look at a time, one list of names on its way, each name in it once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use switchhook_core::secret::{Lookup, Secret};
use tokio::sync::mpsc;

use super::Secrets;

/// How often to look. A thousand files take a few milliseconds, and someone who has just put a new token in place does
/// not wait longer for the next attempt than it takes to look for it.
pub const WATCH_INTERVAL: Duration = Duration::from_secs(2);

/// Sends the names of secrets that have changed since it was called. Ends when nobody listens any more.
///
/// The call itself reads all secrets once, which blocks on the disk.
pub fn watch(
    secrets: Arc<Secrets>,
    interval: Duration,
    changed: mpsc::Sender<Vec<Arc<str>>>,
) -> impl Future<Output = ()> + Send {
    let mut watcher = Watcher::new(Arc::clone(&secrets));
    async move {
        loop {
            tokio::select! {
                () = tokio::time::sleep(interval) => {}
                () = secrets.replaced.notified() => {}
                () = changed.closed() => return,
            }
            let look = move || (watcher.look(), watcher);
            let Ok((names, again)) = tokio::task::spawn_blocking(look).await else {
                // The runtime is going down.
                return;
            };
            watcher = again;
            if !names.is_empty() && changed.send(names).await.is_err() {
                return;
            }
        }
    }
}

/// Remembers what each secret was when it was last looked at; `None`: not to be had.
struct Watcher {
    secrets: Arc<Secrets>,
    seen: BTreeMap<Arc<str>, Option<Secret>>,
}

impl Watcher {
    fn new(secrets: Arc<Secrets>) -> Self {
        let seen = BTreeMap::new();
        let mut watcher = Self { secrets, seen };
        watcher.look();
        watcher
    }

    /// The names whose value is there now and was not at the last look, or was another. Blocks on the disk.
    fn look(&mut self) -> Vec<Arc<str>> {
        let names = self.secrets.names().into_iter();
        let now = names.map(|name| (Arc::clone(&name), self.secrets.secret(&name).ok()));
        let before = std::mem::replace(&mut self.seen, now.collect());
        let changed = self.seen.iter().filter(|(name, value)| {
            let was = before.get(*name).and_then(Option::as_ref);
            let value = value.as_ref().map(Secret::expose);
            value.is_some() && value != was.map(Secret::expose)
        });
        changed.map(|(name, _)| Arc::clone(name)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use tokio::time::timeout;

    use switchhook_core::secret::versions::Versions;
    use switchhook_core::time::UnixMs;

    use super::*;
    use crate::secrets::{Origin, kept};

    const LONG: Duration = Duration::from_secs(20);

    fn origins(dir: &Path, names: &[&str]) -> BTreeMap<Arc<str>, Origin> {
        let origin = |name: &&str| (Arc::from(*name), Origin::File(dir.join(name)));
        names.iter().map(origin).collect()
    }

    fn secrets(dir: &Path, names: &[&str]) -> Arc<Secrets> {
        Arc::new(Secrets::new(origins(dir, names), |_| None))
    }

    #[test]
    fn each_change_of_a_value_is_seen_once_and_nothing_else_is() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, value: &str| fs::write(dir.path().join(name), value).unwrap();
        write("crm", "one");
        write("web", "one");
        let mut watcher = Watcher::new(secrets(dir.path(), &["crm", "late", "web"]));
        assert!(watcher.look().is_empty());
        write("crm", "two");
        write("late", "here");
        // Written again, but the same.
        write("web", "one\n");
        assert_eq!(watcher.look(), ["crm", "late"].map(Arc::from));
        assert!(watcher.look().is_empty());
        fs::remove_file(dir.path().join("crm")).unwrap();
        assert!(watcher.look().is_empty());
        write("crm", "two");
        assert_eq!(watcher.look(), [Arc::from("crm")]);
    }

    #[test]
    fn a_new_value_in_the_store_is_a_change_and_the_end_of_an_overlap_is_none() {
        let vault = crate::secrets::vault::Vault::of_test();
        let name = Arc::from("web");
        let secrets = Secrets::new(BTreeMap::from([(name, Origin::Kept)]), |_| None);
        let secrets = Arc::new(secrets);
        let mut watcher = Watcher::new(Arc::clone(&secrets));
        let now = UnixMs(1);
        let keep = |versions: &Versions| {
            let document = kept::document(&vault, "web", versions, now).unwrap();
            secrets.adopt(&vault, &[document]).unwrap();
        };
        let value = |text: &str| Secret::new(text.into());
        keep(&secrets.set("web", value("one"), now).unwrap());
        assert_eq!(watcher.look(), [Arc::from("web")]);
        let rotated = secrets.rotate(&vault, "web", Some(value("two")), 10, now);
        let rotated = rotated.unwrap();
        keep(&rotated);
        assert_eq!(watcher.look(), [Arc::from("web")]);
        keep(&rotated.without_the_ended(UnixMs(11)).unwrap());
        assert!(watcher.look().is_empty());
    }

    #[tokio::test]
    async fn a_written_file_is_told_until_nobody_listens() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("web"), "one").unwrap();
        let (sender, mut changes) = mpsc::channel(1);
        let interval = Duration::from_millis(1);
        let watching = watch(secrets(dir.path(), &["web"]), interval, sender);
        fs::write(dir.path().join("web"), "two").unwrap();
        let watching = tokio::spawn(watching);
        let names = timeout(LONG, changes.recv()).await.unwrap();
        assert_eq!(names, Some(vec!["web".into()]));
        drop(changes);
        timeout(LONG, watching).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn secrets_put_in_force_are_looked_at_without_waiting() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["crm", "web"] {
            fs::write(dir.path().join(name), "one").unwrap();
        }
        let secrets = secrets(dir.path(), &["web"]);
        let (sender, mut changes) = mpsc::channel(1);
        let never = Duration::from_secs(3_600);
        let watching = watch(Arc::clone(&secrets), never, sender);
        secrets.replace(origins(dir.path(), &["crm", "web"]));
        tokio::spawn(watching);
        let names = timeout(LONG, changes.recv()).await.unwrap();
        assert_eq!(names, Some(vec!["crm".into()]));
    }
}
