use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use switchhook_store::Batch;
use switchhook_store::batch::DocumentChange;
use switchhook_store::embedded::{Embedded, Options};
use switchhook_wire::config::load_toml;

use super::*;
use crate::gateway::write;

const NOW: UnixMs = UnixMs(1_767_225_600_000);
/// What the variables hold that the tests name.
const OLD: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const NEW: &str = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";

fn environment(variable: &str) -> Option<String> {
    let value = match variable {
        "OLD" => OLD,
        "NEW" => NEW,
        "TYPED" => "correct horse battery staple, ok",
        _ => return None,
    };
    Some(value.to_owned())
}

fn config(dir: &Path, text: &str) -> Config {
    let loaded = load_toml(text, "switchhook.toml", &|_| None);
    let mut config = loaded
        .config
        .unwrap_or_else(|| panic!("{:?}", loaded.problems));
    config.server.data_dir = dir.to_owned();
    config.resolve_paths(dir);
    config
}

fn store(dir: &Path) -> Arc<dyn Store> {
    Arc::new(Embedded::open(dir, Options::default()).unwrap())
}

async fn start(store: &Arc<dyn Store>, dir: &Path, text: &str) -> Result<Vault, StartError> {
    at_start(&config(dir, text), environment, store, NOW).await
}

fn key_file(dir: &Path) -> std::path::PathBuf {
    dir.join("vault.key")
}

fn change(vault: &Vault, room: Room, id: &str, plain: &str) -> DocumentChange {
    DocumentChange {
        room,
        id: id.into(),
        body: Some(vault.seal(room, id, plain.as_bytes()).unwrap()),
        at: UnixMs(7),
        expires_at: Some(NOW.plus_ms(1_000)),
    }
}

#[test]
fn what_is_sealed_opens_and_no_two_records_are_alike() {
    let vault = Vault::of_test();
    let [one, two] = [(); 2].map(|()| vault.seal(Room::Answer, "a", b"hidden").unwrap());
    assert_ne!(one, two);
    assert_eq!(vault.open("answer", "a", &one).unwrap().expose(), b"hidden");
    assert!(vault.open(Room::Secret, "a", &one).is_err());
    assert!(vault.open(Room::Answer, "b", &one).is_err());
    let shown = format!("{vault:?}");
    assert!(
        shown.contains(&vault.key_id().unwrap().to_string()),
        "{shown}"
    );
}

#[tokio::test]
async fn the_first_start_makes_a_key_that_only_its_owner_reads_and_the_next_ones_keep_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let first = start(&store, dir.path(), "").await.unwrap();
    let written = fs::read(key_file(dir.path())).unwrap();
    let mode = fs::metadata(key_file(dir.path()))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!((written.len(), mode & 0o777), (65, 0o400));
    let sealed = first.seal("resource", "a", b"hidden").unwrap();

    let second = start(&store, dir.path(), "").await.unwrap();
    assert_eq!(
        second.open("resource", "a", &sealed).unwrap().expose(),
        b"hidden"
    );
    assert_eq!(fs::read(key_file(dir.path())).unwrap(), written);
    let names = fs::read_dir(dir.path()).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(names.filter(|name| name.starts_with("vault")).count(), 1);
}

#[tokio::test]
async fn a_store_whose_key_is_gone_does_not_start_and_gets_no_other_one() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    start(&store, dir.path(), "").await.unwrap();
    let key = fs::read(key_file(dir.path())).unwrap();
    fs::remove_file(key_file(dir.path())).unwrap();
    let error = start(&store, dir.path(), "").await.unwrap_err().to_string();
    assert!(
        error.contains("their key is gone") && error.contains("vault.key"),
        "{error}"
    );
    assert!(!key_file(dir.path()).exists());

    fs::write(key_file(dir.path()), key).unwrap();
    start(&store, dir.path(), "").await.unwrap();
}

#[tokio::test]
async fn a_wrong_key_is_refused_before_anything_is_changed_and_the_right_one_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let old = start(&store, dir.path(), "[vault]\nkey = { env = \"OLD\" }")
        .await
        .unwrap();
    let documents = vec![change(&old, Room::Secret, "web", "hidden")];
    write(
        &*store,
        Batch {
            documents,
            ..Batch::default()
        },
    )
    .await
    .unwrap();
    let before = store.documents(Room::Secret, None, 10, NOW).unwrap();

    let error = start(&store, dir.path(), "[vault]\nkey = { env = \"NEW\" }")
        .await
        .unwrap_err();
    let error = error.to_string();
    assert!(
        error.contains(&old.key_id().unwrap().to_string()),
        "{error}"
    );
    assert!(
        error.contains("`vault.previous`") && !error.contains("hidden"),
        "{error}"
    );
    assert_eq!(
        store.documents(Room::Secret, None, 10, NOW).unwrap(),
        before
    );
}

#[tokio::test]
async fn a_rotated_key_seals_everything_anew_once_and_the_old_one_can_go() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let old = start(&store, dir.path(), "[vault]\nkey = { env = \"OLD\" }")
        .await
        .unwrap();
    let mut documents: Vec<_> = (0..20)
        .map(|n| {
            change(
                &old,
                Room::Answer,
                &format!("a{n:02}"),
                &format!("hidden {n}"),
            )
        })
        .collect();
    documents.extend([
        change(&old, Room::Secret, "web", "hidden"),
        change(&old, Room::Config, "1", "hidden"),
        change(&old, Room::Setting, "sealed", "hidden"),
        DocumentChange {
            body: Some(Bytes::from_static(b"{\"plain\": true}")),
            ..change(&old, Room::Setting, "plain", "")
        },
    ]);
    write(
        &*store,
        Batch {
            documents,
            ..Batch::default()
        },
    )
    .await
    .unwrap();

    let both = "[vault]\nkey = { env = \"NEW\" }\nprevious = [{ env = \"OLD\" }]";
    start(&store, dir.path(), both).await.unwrap();
    let only = start(&store, dir.path(), "[vault]\nkey = { env = \"NEW\" }")
        .await
        .unwrap();
    let open = |room: Room, id: &str| {
        let document = store.document(room, id, NOW).unwrap().unwrap();
        let times = (document.updated_at, document.expires_at);
        assert_eq!(times, (UnixMs(7), Some(NOW.plus_ms(1_000))));
        let opened = only.open(room, id, &document.body).unwrap();
        String::from_utf8(opened.expose().to_vec()).unwrap()
    };
    for n in 0..20 {
        assert_eq!(
            open(Room::Answer, &format!("a{n:02}")),
            format!("hidden {n}")
        );
    }
    for (room, id) in [
        (Room::Secret, "web"),
        (Room::Config, "1"),
        (Room::Setting, "sealed"),
    ] {
        assert_eq!(open(room, id), "hidden");
    }
    let plain = store
        .document(Room::Setting, "plain", NOW)
        .unwrap()
        .unwrap();
    assert_eq!(&*plain.body, b"{\"plain\": true}");
}

#[tokio::test]
async fn a_made_key_counts_as_a_previous_one_once_another_is_configured() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let made = start(&store, dir.path(), "").await.unwrap();
    let documents = vec![change(&made, Room::Secret, "web", "hidden")];
    write(
        &*store,
        Batch {
            documents,
            ..Batch::default()
        },
    )
    .await
    .unwrap();
    let configured = "[vault]\nkey = { env = \"NEW\" }";
    start(&store, dir.path(), configured).await.unwrap();
    fs::remove_file(key_file(dir.path())).unwrap();
    let vault = start(&store, dir.path(), configured).await.unwrap();
    let document = store.document(Room::Secret, "web", NOW).unwrap().unwrap();
    assert_eq!(
        vault
            .open(Room::Secret, "web", &document.body)
            .unwrap()
            .expose(),
        b"hidden"
    );
}

#[tokio::test]
async fn a_key_comes_from_a_file_or_a_credential_as_well() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    fs::write(dir.path().join("key"), format!("{OLD}\n")).unwrap();
    let of_env = start(&store, dir.path(), "[vault]\nkey = { env = \"OLD\" }")
        .await
        .unwrap();
    let of_file = start(&store, dir.path(), "[vault]\nkey = { file = \"key\" }")
        .await
        .unwrap();
    assert_eq!(of_env.key_id(), of_file.key_id());
    assert!(!key_file(dir.path()).exists());

    let settings = config(dir.path(), "[vault]\nkey = { credential = \"key\" }").vault;
    let missing = keys::read(&settings, dir.path(), environment, true).unwrap_err();
    assert!(
        missing.to_string().contains("CREDENTIALS_DIRECTORY"),
        "{missing}"
    );
}

#[tokio::test]
async fn what_is_no_key_is_refused_with_its_place_and_without_its_value() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    fs::write(dir.path().join("short"), "abc").unwrap();
    for (origin, expected) in [
        (
            "{ env = \"TYPED\" }",
            "environment variable TYPED is no vault key",
        ),
        (
            "{ env = \"MISSING\" }",
            "environment variable MISSING is not set",
        ),
        ("{ file = \"short\" }", "it has 3 bytes"),
        ("{ file = \"missing\" }", "cannot be read from"),
        ("{ file = \".\" }", "it is not a regular file"),
    ] {
        let error = start(&store, dir.path(), &format!("[vault]\nkey = {origin}")).await;
        let error = error.unwrap_err().to_string();
        assert!(
            error.contains(expected) && !error.contains("horse"),
            "{error}"
        );
    }
    assert!(!key_file(dir.path()).exists());
}
