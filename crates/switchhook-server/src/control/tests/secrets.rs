//! Secrets of the store: set, rotated, used and deleted through the API, and never shown.

use std::time::Duration;

use axum::body::Body;
use data_encoding::BASE64;
use http::Method;
use serde_json::{Value, json};
use switchhook_core::secret::Lookup as _;
use switchhook_core::time::UnixMs;
use switchhook_store::Batch;
use switchhook_store::batch::ResourceChange;
use switchhook_wire::config::{Kind, load_toml};

use super::{Answer, Api, CONFIG, SECRET, environment};
use crate::gateway::{Gateway, write};

/// Values that no answer may have.
const ONE: &str = "pl4nted-one";
const TWO: &str = "pl4nted-two";
const URI: &str = "/v1/secrets/shop";

fn source() -> Value {
    json!({"verify": {"scheme": "open-messaging", "secrets": ["{{secret:shop}}"]}})
}

fn set(value: &str) -> Value {
    json!({ "value": value })
}

impl Api {
    fn secret(&self, name: &str) -> Option<Vec<u8>> {
        let value = self.gateway().secrets.secret(name).ok()?;
        Some(value.expose().to_vec())
    }

    fn before(&self, name: &str) -> Option<Vec<u8>> {
        let value = self.gateway().secrets.previous(name)?;
        Some(value.expose().to_vec())
    }

    /// What the audit log says of secrets, the newest first.
    async fn told(&self) -> Vec<Value> {
        let audit = self.get("/v1/audit").await.json();
        let entries = audit["entities"].as_array().unwrap().iter();
        let entries =
            entries.filter(|entry| entry["action"].as_str().unwrap().starts_with("secret."));
        entries
            .map(|entry| json!([entry["action"], entry["object"], entry["detail"]["version"]]))
            .collect()
    }
}

#[tokio::test]
async fn a_secret_that_was_set_is_used_listed_and_never_shown() {
    let api = Api::start().await;
    let refused = api.put("/v1/sources/shop", source()).await;
    assert_eq!(
        (refused.status.as_u16(), &*refused.problem()),
        (422, "invalid-resource")
    );
    let hint = &refused.json()["errors"][0]["hint"];
    assert_eq!(hint, "set it with `switchhook secret set shop`");

    let made = api.put(URI, set(ONE)).await;
    assert_eq!(made.status, 201, "{}", made.text());
    assert_eq!(api.put("/v1/sources/shop", source()).await.status, 201);
    let sent = api.post("/v1/sources/shop/test-event", json!({})).await;
    assert_eq!(sent.status, 202, "{}", sent.text());

    let shown = api.get(URI).await;
    assert_eq!(shown.header("etag"), made.header("etag"));
    let view = shown.json();
    assert_eq!(
        json!([
            view["kind"],
            view["name"],
            view["version"],
            view["owner"],
            view["users"]
        ]),
        json!(["secret", "shop", 1, "api", ["source shop"]])
    );
    assert!(
        view["createdAt"].is_string() && view["ageMs"].is_u64() && view["overlapUntil"].is_null()
    );
    let list = api.get("/v1/secrets").await;
    let of = |n: usize| list.json()["entities"][n].clone();
    assert_eq!(of(0)["name"], "shop");
    assert_eq!(
        json!([
            of(1)["name"],
            of(1)["owner"],
            of(1)["place"],
            of(1)["users"]
        ]),
        json!(["web", "file", {"env": "WEB_SECRET"}, ["source web"]])
    );
    for answer in [made, shown, list, api.get("/v1/audit").await] {
        assert!(!answer.text().contains(ONE) && !answer.text().contains(SECRET));
    }
    let first = api.get("/v1/secrets?pageSize=1").await.json();
    let next = first["nextUri"].as_str().unwrap().to_owned();
    assert_eq!(api.get(&next).await.json()["entities"][0]["name"], "web");
}

#[tokio::test]
async fn what_exists_is_set_and_deleted_only_with_its_tag_and_audited_with_its_version() {
    let api = Api::start().await;
    let tag = api.put(URI, set(ONE)).await.header("etag").to_owned();
    let bare =
        |method, body: Value| api.send(api.request(method, URI, Body::from(body.to_string())));
    for refused in [
        bare(Method::PUT, set(TWO)).await,
        bare(Method::DELETE, Value::Null).await,
    ] {
        assert_eq!(
            (refused.status.as_u16(), refused.header("etag")),
            (428, &*tag)
        );
    }
    assert_eq!(api.secret("shop").unwrap(), ONE.as_bytes());
    assert_eq!(api.put(URI, set(TWO)).await.status, 200);
    let stale = api.put_with(URI, ("if-match", &tag), &set(ONE)).await;
    assert_eq!(
        (stale.status.as_u16(), &*stale.problem()),
        (412, "precondition-failed")
    );
    let again = api.put_with(URI, ("if-none-match", "*"), &set(ONE)).await;
    assert_eq!(again.status, 412);
    assert_eq!(api.secret("shop").unwrap(), TWO.as_bytes());

    assert_eq!(api.delete(URI).await.status, 204);
    assert_eq!(
        (api.get(URI).await.status.as_u16(), api.secret("shop")),
        (404, None)
    );
    assert_eq!(
        api.told().await,
        [
            json!(["secret.delete", "secret/shop", 2]),
            json!(["secret.set", "secret/shop", 2]),
            json!(["secret.set", "secret/shop", 1]),
        ]
    );
}

#[tokio::test]
async fn while_a_secret_rotates_both_values_count_and_one_that_is_set_counts_alone() {
    let api = Api::start().await;
    api.put(URI, set(ONE)).await;
    let uri = format!("{URI}/rotate");
    let rotated = api.post(&uri, json!({"value": TWO, "overlap": "1h"})).await;
    assert_eq!(rotated.status, 200, "{}", rotated.text());
    assert_eq!(rotated.json()["version"], 2);
    let (from, until) = (
        &rotated.json()["createdAt"],
        &rotated.json()["overlapUntil"],
    );
    assert!(until.as_str().unwrap() > from.as_str().unwrap());
    assert_eq!(api.secret("shop").unwrap(), TWO.as_bytes());
    assert_eq!(api.before("shop").unwrap(), ONE.as_bytes());

    let same = api.post(&uri, json!({"value": TWO})).await;
    assert_eq!(
        (same.status.as_u16(), same.text().contains(TWO)),
        (400, false)
    );
    assert_eq!(
        api.post("/v1/secrets/none/rotate", json!({})).await.status,
        404
    );
    let long = api.post(&uri, json!({"overlap": "31d"})).await;
    assert_eq!(long.json()["errors"][0]["pointer"], "/overlap");

    api.put(URI, set("three")).await;
    assert_eq!(api.before("shop"), None);
    let told = api.told().await;
    assert_eq!(told[1], json!(["secret.rotate", "secret/shop", 2]));
}

#[tokio::test]
async fn a_rotation_without_a_value_makes_a_random_one_of_the_same_sort() {
    let api = Api::start().await;
    let uri = format!("{URI}/rotate");
    for (first, prefix) in [
        ("whsec_b25l", "whsec_"),
        ("whsk_b25l", "whsk_"),
        ("plain", ""),
    ] {
        api.put(URI, set(first)).await;
        let rotated = api.post(&uri, json!({})).await;
        let value = String::from_utf8(api.secret("shop").unwrap()).unwrap();
        let base64 = value.strip_prefix(prefix).unwrap().as_bytes();
        assert_eq!(BASE64.decode(base64).unwrap().len(), 32);
        assert!(!rotated.text().contains(&value));
    }
    let bytes = json!({"base64": "AP8="});
    api.post(&uri, bytes).await;
    assert_eq!(api.secret("shop").unwrap(), [0, 255]);
}

#[tokio::test]
async fn a_repeated_rotation_with_its_key_is_one_and_a_dry_one_is_none() {
    let api = Api::start().await;
    let uri = format!("{URI}/rotate");
    api.put(URI, set(ONE)).await;
    let dry = api.post(&format!("{uri}?dryRun=true"), set(TWO)).await;
    assert_eq!(
        (dry.status.as_u16(), &dry.json()["version"]),
        (200, &json!(2))
    );
    assert_eq!(api.secret("shop").unwrap(), ONE.as_bytes());

    let key = [("idempotency-key", "k1")];
    let nothing = json!({});
    let rotate = || api.with_headers(Method::POST, &uri, &key, &nothing);
    let (first, value) = (rotate().await, api.secret("shop"));
    let second = rotate().await;
    assert_eq!(second.header("idempotency-replayed"), "true");
    assert_eq!((second.text(), api.secret("shop")), (first.text(), value));
}

#[tokio::test]
async fn a_secret_in_use_is_deleted_by_force_alone_and_stops_only_what_uses_it() {
    let api = Api::start().await;
    api.put(URI, set(ONE)).await;
    assert_eq!(api.put("/v1/sources/shop", source()).await.status, 201);
    let refused = api.delete(URI).await;
    assert_eq!(
        (refused.status.as_u16(), &*refused.problem()),
        (409, "in-use")
    );
    assert!(refused.text().contains("source shop"), "{}", refused.text());
    assert_eq!(api.delete(&format!("{URI}?force=true")).await.status, 204);

    let other = json!({"url": "https://example.com/hook"});
    assert_eq!(api.put("/v1/endpoints/wfm", other).await.status, 201);
    assert_eq!(api.put("/v1/sources/shop", source()).await.status, 422);
    let sent = api.post("/v1/sources/shop/test-event", json!({})).await;
    assert_eq!(sent.status, 503, "{}", sent.text());
    api.put(URI, set(TWO)).await;
    let sent = api.post("/v1/sources/shop/test-event", json!({})).await;
    assert_eq!(sent.status, 202, "{}", sent.text());
}

#[tokio::test]
async fn a_secret_of_the_file_is_changed_there() {
    let api = Api::start().await;
    let refusals: [Answer; 3] = [
        api.put("/v1/secrets/web", set(ONE)).await,
        api.post("/v1/secrets/web/rotate", json!({})).await,
        api.delete("/v1/secrets/web").await,
    ];
    for refused in refusals {
        assert_eq!(
            (refused.status.as_u16(), &*refused.problem()),
            (409, "owned-by-file")
        );
        assert!(
            refused.text().contains("the variable WEB_SECRET"),
            "{}",
            refused.text()
        );
    }
    assert_eq!(api.secret("web").unwrap(), SECRET.as_bytes());
}

#[tokio::test]
async fn a_body_that_cannot_be_read_is_refused_without_a_word_of_it() {
    let api = Api::start().await;
    for (body, code) in [
        ("\"pl4nted\"", "invalid-request"),
        ("{\"value\": [\"pl4nted\"]}", "invalid-request"),
        ("{\"pl4nted\": 1}", "invalid-request"),
        (
            "{\"value\": \"a\", \"base64\": \"pl4nted\"}",
            "invalid-request",
        ),
        ("{\"base64\": \"pl4nted\"}", "invalid-request"),
        ("{\"value\": \"pl4nted", "not-json"),
        ("pl4nted", "not-json"),
        ("{}", "invalid-request"),
        ("", "invalid-request"),
    ] {
        for (method, uri) in [
            (Method::PUT, URI.to_owned()),
            (Method::POST, format!("{URI}/rotate")),
        ] {
            let refused = api.send(api.request(method, &uri, Body::from(body))).await;
            assert!(!refused.text().contains("pl4nted"), "{}", refused.text());
            if uri == URI {
                assert_eq!(refused.problem(), code, "{body}");
            } else {
                assert!(refused.status.is_client_error(), "{body}");
            }
        }
    }
    let named = api.put("/v1/secrets/Shop", set(ONE)).await;
    assert_eq!(
        (named.status.as_u16(), &*named.problem()),
        (422, "invalid-resource")
    );
}

#[tokio::test]
async fn secrets_and_their_overlap_are_there_after_a_restart() {
    let api = Api::start().await;
    api.put(URI, set(ONE)).await;
    api.post(&format!("{URI}/rotate"), set(TWO)).await;
    let Api { running, dir, .. } = api;
    running.stop(Duration::from_secs(10)).await.unwrap();

    let mut config = load_toml(CONFIG, "switchhook.toml", &environment)
        .config
        .unwrap();
    config.server.data_dir = dir.path().join("data");
    let again = Gateway::start(config, environment).await.unwrap();
    let secrets = &again.gateway().secrets;
    assert_eq!(secrets.secret("shop").unwrap().expose(), TWO.as_bytes());
    assert_eq!(secrets.previous("shop").unwrap().expose(), ONE.as_bytes());
}

#[tokio::test]
async fn what_an_older_version_wrote_in_clear_is_sealed_at_the_next_start_and_works_on() {
    let api = Api::start().await;
    let store = api.gateway().store.clone();
    let body =
        json!({"url": "https://example.com/hook", "headers": {"X-Api-Key": ONE, "X-Team": "blue"}});
    let plain = json!({"url": "https://example.com/hook"});
    for (name, body) in [("old", &body), ("plain", &plain)] {
        let row = ResourceChange {
            kind: "endpoint".into(),
            name: name.into(),
            body: Some(body.to_string().into()),
            managed_by: Some("prod".into()),
            at: UnixMs(1_700_000_000_000),
        };
        let resources = vec![row];
        let batch = Batch {
            resources,
            ..Batch::default()
        };
        write(&*store, batch).await.unwrap();
    }
    drop(store);
    let Api { running, dir, .. } = api;
    running.stop(Duration::from_secs(10)).await.unwrap();

    // The first start seals it, and the second finds nothing to do.
    for _ in 0..2 {
        let mut config = load_toml(CONFIG, "switchhook.toml", &environment)
            .config
            .unwrap();
        config.server.data_dir = dir.path().join("data");
        let again = Gateway::start(config, environment).await.unwrap();
        let rows = again.gateway().store.resources().unwrap();
        let row = |name: &str| rows.iter().find(|row| *row.name == *name).unwrap();
        let (old, untouched) = (row("old"), row("plain"));
        assert!(old.body.as_deref().unwrap().starts_with("sealed:"));
        assert_eq!((old.version, untouched.version), (2, 1));
        assert_eq!(old.managed_by.as_deref(), Some("prod"));
        assert_eq!(untouched.body.as_deref(), Some(&*plain.to_string()));
        {
            let resources = again.gateway().resources.lock().await;
            let listed = resources.listed(Kind::Endpoint, "old").unwrap();
            assert_eq!(resources.view(listed).version, 2);
            assert_eq!(resources.body(Kind::Endpoint, "old"), Some(&body));
        }
        again.stop(Duration::from_secs(10)).await.unwrap();
    }
}

#[tokio::test]
async fn a_value_before_is_erased_from_the_store_once_its_overlap_has_ended() {
    let api = Api::start().await;
    api.put(URI, set(ONE)).await;
    api.post(
        &format!("{URI}/rotate"),
        json!({"value": TWO, "overlap": "1ms"}),
    )
    .await;
    let gateway = api.gateway();
    let kept = || gateway.secrets.kept("shop").unwrap();
    let end = kept().overlap_until().unwrap();
    while gateway.clock.now() < end {
        tokio::task::yield_now().await;
    }
    assert_eq!(api.before("shop"), None);
    crate::secrets::kept::forget_ended(gateway).await.unwrap();
    assert_eq!((kept().number(), kept().overlap_until()), (2, None));
    let now = gateway.clock.now();
    let room = switchhook_store::batch::Room::Secret;
    let document = gateway.store.document(room, "shop", now).unwrap().unwrap();
    let opened = gateway.vault.open(room, "shop", &document.body).unwrap();
    assert!(
        !opened
            .expose()
            .windows(ONE.len())
            .any(|part| part == ONE.as_bytes())
    );
}
