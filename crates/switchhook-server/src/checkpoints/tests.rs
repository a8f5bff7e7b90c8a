//! What a checkpoint knows, and what becomes of one that the file does not take.

use std::fs;

use switchhook_core::audit::checkpoint::{NoteKey, Trust};
use switchhook_store::batch::AuditEntry;
use switchhook_store::memory::Memory;

use super::*;

const NOW: UnixMs = UnixMs(1_785_000_000_000);

struct Log {
    store: Arc<dyn Store>,
    vault: Vault,
    settings: config::Audit,
}

impl Log {
    fn new(file: Option<std::path::PathBuf>) -> Self {
        Self {
            store: Arc::new(Memory::new()),
            vault: Vault::of_test(),
            settings: config::Audit {
                checkpoint_file: file,
                checkpoint_every_ms: 60_000,
            },
        }
    }

    async fn open(&self) -> Checkpoints {
        Checkpoints::open(&self.settings, &self.vault, &self.store, NOW)
            .await
            .unwrap()
    }

    async fn add(&self, entries: usize) {
        let entry = AuditEntry {
            at: NOW,
            actor: "ada".into(),
            action: "resource.put".into(),
            object: "endpoint/crm".into(),
            detail: "{}".into(),
        };
        let batch = Batch {
            audit: vec![entry; entries],
            ..Batch::default()
        };
        write(&*self.store, batch).await.unwrap();
    }

    fn kept(&self) -> Vec<String> {
        let kept = self.store.documents(Room::Checkpoint, None, 99_999, NOW);
        let kept = kept.unwrap().into_iter();
        kept.map(|it| String::from_utf8(it.body.to_vec()).unwrap())
            .collect()
    }
}

#[tokio::test]
async fn the_key_is_made_once_and_lies_sealed_in_the_store() {
    let log = Log::new(None);
    let first = log.open().await.key().clone();
    let name = format!("switchhook/{}", first.store);
    assert_eq!(first.key.parse::<NoteKey>().unwrap().name(), name);
    assert_eq!(*log.open().await.key(), first);
    let settings = log.store.documents(Room::Setting, None, 99, NOW).unwrap();
    assert_eq!(settings.len(), 2);
    for setting in settings {
        let text = String::from_utf8_lossy(&setting.body).into_owned();
        assert!(!text.contains("whsk_"), "{text}");
    }
    assert_ne!(Log::new(None).open().await.key().key, first.key);
}

#[tokio::test]
async fn a_checkpoint_is_made_at_once_after_a_hundred_entries_and_knows_the_end_of_the_log() {
    let log = Log::new(None);
    let checkpoints = log.open().await;
    let mut waits = Waits::Nothing;
    log.add(99).await;
    checkpoints.look(&log.store, &mut waits, NOW).await.unwrap();
    assert_eq!(log.kept(), [""; 0]);
    log.add(1).await;
    checkpoints.look(&log.store, &mut waits, NOW).await.unwrap();
    let kept = log.kept();
    let note = checkpoint::parse(&kept[0]).unwrap();
    let key: NoteKey = checkpoints.key().key.parse().unwrap();
    assert_eq!(note.trust(&[key]), Trust::Signed);
    assert_eq!(note.checkpoint.entries, 100);
    let head = log.store.audit(None, 1).unwrap().remove(0);
    assert_eq!(note.checkpoint.head, head.hash);
    checkpoints.look(&log.store, &mut waits, NOW).await.unwrap();
    assert_eq!(log.kept().len(), 1, "nothing was done since");
}

#[tokio::test]
async fn what_the_start_finds_without_a_checkpoint_gets_one_without_waiting() {
    let log = Log::new(None);
    log.add(1).await;
    let checkpoints = log.open().await;
    let mut waits = Waits::Long;
    checkpoints.look(&log.store, &mut waits, NOW).await.unwrap();
    assert_eq!(log.kept().len(), 1);
}

#[tokio::test]
async fn a_checkpoint_that_the_file_could_not_take_comes_with_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("away/checkpoints");
    let log = Log::new(Some(path.clone()));
    let checkpoints = log.open().await;
    log.add(1).await;
    checkpoints
        .look(&log.store, &mut Waits::Long, NOW)
        .await
        .unwrap();
    assert_eq!(log.kept().len(), 1, "the store has it all the same");
    fs::create_dir(dir.path().join("away")).unwrap();
    log.add(1).await;
    checkpoints
        .look(&log.store, &mut Waits::Long, NOW)
        .await
        .unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), log.kept().join("\n"));
    // A restart knows what the file has got.
    let again = log.open().await;
    again.file.as_ref().unwrap().begin(&log.store, NOW).await;
    assert_eq!(fs::read_to_string(&path).unwrap(), log.kept().join("\n"));
}

#[tokio::test]
async fn another_file_gets_every_checkpoint_that_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::new(Some(dir.path().join("one")));
    log.add(1).await;
    log.open()
        .await
        .look(&log.store, &mut Waits::Long, NOW)
        .await
        .unwrap();
    log.settings.checkpoint_file = Some(dir.path().join("two"));
    let checkpoints = log.open().await;
    checkpoints
        .file
        .as_ref()
        .unwrap()
        .begin(&log.store, NOW)
        .await;
    let [one, two] = ["one", "two"].map(|name| fs::read(dir.path().join(name)).unwrap());
    assert!(one == two && !one.is_empty());
}

#[tokio::test]
async fn the_store_keeps_a_bounded_number_of_checkpoints() {
    let log = Log::new(None);
    let documents = (1..=due::KEPT_MAX as u64).map(|n| document(n, Some("x".into()), NOW));
    let batch = Batch {
        documents: documents.collect(),
        ..Batch::default()
    };
    write(&*log.store, batch).await.unwrap();
    log.add(due::KEPT_MAX + 1).await;
    let checkpoints = log.open().await;
    checkpoints
        .look(&log.store, &mut Waits::Long, NOW)
        .await
        .unwrap();
    assert_eq!(log.kept().len(), due::KEPT_MAX * 3 / 4 + 1);
    assert_eq!(
        *checkpoints.kept.lock().await,
        numbers(&*log.store, NOW).unwrap()
    );
}
