//! Going back and the pin, with a file that is in memory.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use switchhook_wire::config::{Loaded, load_toml};

use super::{ConfigFile, Cue, Refused, Wish, hash};
use crate::gateway::{Gateway, Running, Start};

const FILE: &str = "switchhook.toml";

/// A file that somebody edits.
#[derive(Clone)]
struct Edited {
    text: Arc<Mutex<String>>,
    data: std::path::PathBuf,
}

impl Edited {
    fn say(&self, text: &str) {
        *self.text.lock().unwrap_or_else(PoisonError::into_inner) = text.to_owned();
    }

    async fn start(&self) -> Running {
        let text = self.read().unwrap();
        let config = self.check(&text).config.unwrap();
        let start = Start::new(config, |_| None).with_file(Arc::new(self.clone()), text, false);
        Gateway::start_with(start).await.unwrap()
    }
}

impl ConfigFile for Edited {
    fn name(&self) -> String {
        FILE.to_owned()
    }

    fn read(&self) -> Result<String, String> {
        Ok(self
            .text
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone())
    }

    fn check(&self, text: &str) -> Loaded {
        let mut loaded = load_toml(text, FILE, &|_| None);
        if let Some(config) = &mut loaded.config {
            config.server.data_dir.clone_from(&self.data);
        }
        loaded
    }
}

/// A file whose only endpoint is `name`.
fn file_with(name: &str) -> String {
    let listen = "[server]\ningest = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n";
    format!("{listen}[endpoint.{name}]\nurl = \"https://example.com/hook\"\n")
}

fn wish() -> Wish {
    Wish {
        actor: "ops".into(),
        force: false,
        dry_run: false,
    }
}

/// The second of two versions is in force.
async fn twice(dir: &tempfile::TempDir) -> (Edited, Running) {
    let file = Edited {
        text: Arc::new(Mutex::new(file_with("a"))),
        data: dir.path().join("data"),
    };
    let running = file.start().await;
    file.say(&file_with("b"));
    running.gateway().reload_file(Cue::Signal).await.unwrap();
    (file, running)
}

/// Who un-pinned what.
fn unpinned(running: &Running) -> Vec<(String, String)> {
    let found = running.gateway().store.audit(None, 100).unwrap();
    let found = found.into_iter().map(|it| it.entry);
    let found = found.filter(|entry| &*entry.action == "config.unpin");
    found
        .map(|entry| (entry.actor.to_string(), entry.object.to_string()))
        .collect()
}

#[tokio::test]
async fn a_rollback_pins_out_the_text_that_was_last_read_even_if_it_was_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (file, running) = twice(&dir).await;
    let refused = file_with("c") + "ulr = 1\n";
    file.say(&refused);
    assert!(running.gateway().reload_file(Cue::Signal).await.is_err());
    let done = running.gateway().roll_back(&wish(), Some(1)).await.unwrap();
    assert_eq!(done.pinned.unwrap().file_hash, hash(&refused));
    // The file was not touched since: it does not count, and its mistake is nobody's concern.
    let again = running.gateway().reload(&wish()).await;
    assert!(matches!(again, Err(Refused::Pinned(_))), "{again:?}");
}

#[tokio::test]
async fn a_pin_that_ends_since_the_file_has_its_text_is_in_the_audit_log() {
    let dir = tempfile::tempdir().unwrap();
    let (file, running) = twice(&dir).await;
    let gateway = running.gateway();
    gateway.roll_back(&wish(), Some(1)).await.unwrap();
    assert_eq!(unpinned(&running), []);
    file.say(&file_with("a"));
    assert!(!gateway.reload(&wish()).await.unwrap().changed);
    let by_reload = ("ops".to_owned(), "config/3".to_owned());
    assert_eq!(unpinned(&running), std::slice::from_ref(&by_reload));

    // The same at a start.
    file.say(&file_with("b"));
    gateway.reload(&wish()).await.unwrap();
    gateway.roll_back(&wish(), Some(1)).await.unwrap();
    running.stop(Duration::from_secs(10)).await.unwrap();
    file.say(&file_with("a"));
    let running = file.start().await;
    assert!(running.gateway().reloads.standing().pin.is_none());
    let by_start = ("start".to_owned(), "config/5".to_owned());
    let mut found = unpinned(&running);
    found.sort();
    assert_eq!(found, [by_reload, by_start]);
}
