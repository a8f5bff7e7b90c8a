use std::os::unix::fs::symlink;

use switchhook_store::batch::Room;
use switchhook_store::embedded::{Embedded, Options};
use switchhook_wire::config::load_toml;

use super::*;
use crate::gateway::write;

const NOW: UnixMs = UnixMs(1_767_225_600_000);

/// A data directory with a store, the old directory of secrets in it, and a configuration.
struct Site {
    dir: tempfile::TempDir,
    config: Config,
    store: Arc<dyn Store>,
    vault: Vault,
}

impl Site {
    fn new(text: &str, files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = load_toml(text, "switchhook.toml", &|_| None)
            .config
            .unwrap();
        config.server.data_dir = dir.path().to_owned();
        config.resolve_paths(dir.path());
        fs::create_dir(dir.path().join("secrets")).unwrap();
        for (name, value) in files {
            fs::write(dir.path().join("secrets").join(name), value).unwrap();
        }
        let store = Arc::new(Embedded::open(dir.path(), Options::default()).unwrap());
        let vault = Vault::of_test();
        Self {
            dir,
            config,
            store,
            vault,
        }
    }

    async fn start(&self) -> BTreeMap<String, String> {
        let kept = at_start(&self.config, &self.vault, &self.store, NOW);
        let text = |versions: &Versions| versions.current().expose().to_vec();
        kept.await
            .unwrap()
            .iter()
            .map(|(name, versions)| (name.to_string(), String::from_utf8(text(versions)).unwrap()))
            .collect()
    }

    fn left(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir.path().join("secrets"));
        let entries = entries.into_iter().flatten();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

fn pairs(of: &[(&str, &str)]) -> BTreeMap<String, String> {
    of.iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

#[tokio::test]
async fn files_move_into_the_store_sealed_and_are_removed_with_their_directory() {
    let site = Site::new("", &[("web", "hidden-web\n"), ("crm.2", "hidden-crm")]);
    let expected = pairs(&[("crm.2", "hidden-crm"), ("web", "hidden-web")]);
    assert_eq!(site.start().await, expected);
    assert!(!site.dir.path().join("secrets").exists());
    for document in site.store.documents(Room::Secret, None, 10, NOW).unwrap() {
        assert!(!document.body.windows(6).any(|part| part == b"hidden"));
    }
    let audited = site.store.audit(None, 10).unwrap();
    let objects: Vec<_> = audited.iter().map(|one| &*one.entry.object).collect();
    assert_eq!(objects, ["secret/web", "secret/crm.2"]);
    // The next start finds them in the store.
    assert_eq!(site.start().await, expected);
    assert_eq!(site.store.audit(None, 10).unwrap().len(), 2);
}

#[tokio::test]
async fn what_the_configuration_reads_or_what_is_no_secret_stays_where_it_is() {
    let text = "[vault]\nkey = { file = \"secrets/key\" }\n[secret.web]\nfile = \"secrets/web-1\"";
    let large = "x".repeat(switchhook_core::secret::versions::VALUE_BYTES_MAX + 1);
    let files = [
        ("web-1", "a"),
        ("key", "b"),
        ("Upper", "c"),
        ("empty", ""),
        ("large", &large),
    ];
    let site = Site::new(text, &files);
    fs::create_dir(site.dir.path().join("secrets/folder")).unwrap();
    symlink("nothing", site.dir.path().join("secrets/dangling")).unwrap();
    assert_eq!(site.start().await, pairs(&[]));
    assert_eq!(
        site.left(),
        [
            "Upper", "dangling", "empty", "folder", "key", "large", "web-1"
        ]
    );
}

#[tokio::test]
async fn what_the_store_has_counts_and_only_a_file_with_the_same_value_goes() {
    let site = Site::new("", &[("same", "one\n"), ("other", "two")]);
    let document = |name: &str| {
        let versions = Versions::set(None, Secret::new(b"one".to_vec()), NOW).unwrap();
        kept::document(&site.vault, name, &versions, NOW).unwrap()
    };
    let documents = vec![document("same"), document("other")];
    write(
        &*site.store,
        Batch {
            documents,
            ..Batch::default()
        },
    )
    .await
    .unwrap();
    assert_eq!(
        site.start().await,
        pairs(&[("other", "one"), ("same", "one")])
    );
    assert_eq!(site.left(), ["other"]);
}
