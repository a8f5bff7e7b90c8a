//! Promise: a secret is nowhere but where it is used: not in the data directory, not in the log, not in an answer.
//!
//! Secrets are planted on every road into the gateway, used, and looked for afterwards in everything that it left behind,
//! as they are, in hex and in base64 at every alignment. What is searched is searched for something that must be there as
//! well, so that a search that sees nothing fails.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use aho_corasick::AhoCorasick;
use data_encoding::{BASE64, BASE64URL, HEXLOWER, HEXUPPER};
use serde_json::json;

use crate::harness::receiver::Receiver;
use crate::harness::sender::{SECRET, body};
use crate::harness::{Gateway, SOURCE, Site, route, until};

/// The vault key, from a variable.
const VAULT_KEY: &str = "8f14e45fceea167a5a36dedd4bea2543c9f0f895fb98ab9159f51fd0297e236d";

const FILE_HEADER: &str = "planted-in-a-file-7d1c9b2e";
const FILE_LITERAL: &str = "planted-in-the-configuration-41aa07c3";
const IMPORTED: &str = "planted-in-the-old-directory-c55e91d0";
const API: &str = "planted-through-the-api-0b7f3a64";
const FIRST: &str = "planted-before-a-rotation-93e2d815";
const SECOND: &str = "planted-by-a-rotation-6c40fa7b";
const LITERAL: &str = "planted-in-an-endpoint-e8d2714f";
const OAUTH: &str = "planted-for-a-token-server-2fb6c093";
const VERIFY: &str = "planted-in-a-source-b190e7d4";

/// Every secret that was planted before the gateway ran.
const PLANTED: [&str; 11] = [
    SECRET,
    VAULT_KEY,
    FILE_HEADER,
    FILE_LITERAL,
    IMPORTED,
    API,
    FIRST,
    SECOND,
    LITERAL,
    OAUTH,
    VERIFY,
];

/// Something that is no secret and is everywhere.
const SEEN: &str = "seen-by-everyone";

/// Files larger than this are not searched.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// `secret` in every form in which it could lie around.
fn forms(secret: &str) -> Vec<Vec<u8>> {
    let text = forms_of(secret.as_bytes());
    // A key is written in hex and is bytes.
    let key = HEXLOWER.decode(secret.as_bytes());
    text.into_iter()
        .chain(key.iter().flat_map(|key| forms_of(key)))
        .collect()
}

fn forms_of(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = vec![
        bytes.to_vec(),
        HEXLOWER.encode(bytes).into_bytes(),
        HEXUPPER.encode(bytes).into_bytes(),
    ];
    // In the midst of a longer text base64 has one of three forms; its ends depend on what is around it.
    for before in 0..3 {
        let shifted = [&vec![b'x'; before][..], bytes].concat();
        for encoding in [BASE64, BASE64URL] {
            let text = encoding.encode(&shifted).into_bytes();
            forms.push(text[4..text.len() - 4].to_vec());
        }
    }
    forms
}

/// Which of `secrets` are in `bytes`.
fn found<'s>(bytes: &[u8], secrets: &[&'s str]) -> Vec<&'s str> {
    let forms = secrets
        .iter()
        .flat_map(|secret| forms(secret).into_iter().map(move |form| (*secret, form)));
    let (of, forms): (Vec<&str>, Vec<Vec<u8>>) = forms.unzip();
    let search = AhoCorasick::new(forms).unwrap();
    let mut found: Vec<_> = search
        .find_overlapping_iter(bytes)
        .map(|at| of[at.pattern().as_usize()])
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// Every file below `dir`.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else {
            assert!(
                fs::metadata(&path).unwrap().len() < FILE_BYTES_MAX,
                "{}",
                path.display()
            );
            all.push(path);
        }
    }
    all
}

/// Fails if one of `secrets` lies in a file of the data directory; `seen` must.
#[track_caller]
fn search_files(site: &Site, secrets: &[&str], seen: &str) {
    let mut is_seen = false;
    for path in files(&site.data()) {
        let bytes = fs::read(&path).unwrap();
        is_seen |= !found(&bytes, &[seen]).is_empty();
        let leaked = found(&bytes, secrets);
        assert!(leaked.is_empty(), "{leaked:?} in {}", path.display());
    }
    assert!(is_seen, "`{seen}` is not seen in the data directory");
}

/// Fails if one of `secrets` is in `text`.
#[track_caller]
fn search_text(what: &str, text: &[u8], secrets: &[&str]) {
    let leaked = found(text, secrets);
    assert!(
        leaked.is_empty(),
        "{leaked:?} in {what}:\n{}",
        String::from_utf8_lossy(text)
    );
}

/// Sets a secret of the store from standard input.
#[track_caller]
fn set(gateway: &Gateway, name: &str, value: &str) {
    gateway
        .cli_with(&["secret", "set", name], &format!("{value}\n"))
        .ok();
}

/// A configuration with secrets in it, and the old directory of secrets.
fn site(receiver: &Receiver) -> Site {
    let policy = "\n[policy.quick]\nfixed = { delay = \"100ms\" }\nmax_attempts = 2\n";
    let endpoint = route("filed", &receiver.at("filed"), "quick").replace(
        "headers = {",
        &format!(
            "headers = {{ x-filed = \"{{{{secret:filed}}}}\", x-api-token = \"{FILE_LITERAL}\","
        ),
    );
    let sections =
        "[vault]\nkey = { env = \"VAULT_KEY\" }\n[secret.filed]\nfile = \"{dir}/filed\"\n";
    let mut site = Site::new(&[sections, SOURCE, policy, &endpoint].concat());
    site.variables.push(("VAULT_KEY", VAULT_KEY));
    site.variables.push(("SWITCHHOOK_LOG", "trace"));
    site.write("filed", FILE_HEADER);
    fs::create_dir_all(site.data().join("secrets")).unwrap();
    fs::write(
        site.data().join("secrets/imported"),
        format!("{IMPORTED}\n"),
    )
    .unwrap();
    site
}

/// Plants secrets through the API, each where it is used.
fn plant(gateway: &Gateway, receiver: &Receiver) {
    set(gateway, "api", API);
    set(gateway, "rotated", FIRST);
    gateway
        .cli_with(&["secret", "rotate", "rotated", "--overlap", "1h"], SECOND)
        .ok();
    let endpoints = [
        (
            "with-api",
            json!({"auth": {"scheme": "bearer", "token": "{{secret:api}}"}}),
        ),
        (
            "with-rotated",
            json!({"sign": {"scheme": "standard-webhooks", "secret": "{{secret:rotated}}"}}),
        ),
        (
            "with-imported",
            json!({"auth": {"scheme": "basic", "username": "u", "password": "{{secret:imported}}"}}),
        ),
        (
            "with-literal",
            json!({"headers": {"Authorization": format!("Bearer {LITERAL}")}}),
        ),
        (
            "with-oauth",
            json!({"auth": {
                "scheme": "oauth2", "token_url": receiver.at("token"), "client_id": SEEN, "client_secret": OAUTH,
            }}),
        ),
    ];
    for (name, mut endpoint) in endpoints {
        endpoint["url"] = receiver.at(name).into();
        endpoint["allow_private"] = json!(["127.0.0.0/8"]);
        endpoint["breaker"] = false.into();
        gateway.tell(&format!("PUT /v1/endpoints/{name}"), &endpoint);
        let subscription = json!({"sources": ["web"], "endpoint": name, "policy": "quick"});
        gateway.tell(&format!("PUT /v1/subscriptions/{name}"), &subscription);
    }
    let source = json!({"verify": {"scheme": "bearer", "secrets": [VERIFY, "{{secret:api}}"]}});
    gateway.tell("PUT /v1/sources/api", &source);
}

/// Asks everything that can be asked and searches each answer.
#[track_caller]
fn search_answers(gateway: &Gateway, secrets: &[&str]) {
    let paths = gateway.get("/v1/openapi.json")["paths"].clone();
    let all = paths.as_object().unwrap().iter();
    let plain = all.filter(|(path, operations)| {
        operations.get("get").is_some() && !path.contains('{') && !path.ends_with("/stream")
    });
    let mut asked: Vec<String> = plain.map(|(path, _)| path.clone()).collect();
    assert!(asked.len() > 15, "{asked:?}");
    for kind in [
        "sources",
        "endpoints",
        "subscriptions",
        "policies",
        "secrets",
    ] {
        let found = gateway.all(&format!("/v1/{kind}"));
        let names = found
            .iter()
            .map(|one| one["name"].as_str().unwrap().to_owned());
        asked.extend(names.map(|name| format!("/v1/{kind}/{name}")));
    }
    for event in gateway.log() {
        let id = event["id"].as_str().unwrap().to_owned();
        for view in ["", "/timeline", "/explain"] {
            asked.push(format!("/v1/events/{id}{view}"));
        }
    }
    asked.extend(["/metrics", "/readyz?verbose=true", "/v1/audit?pageSize=500"].map(str::to_owned));
    let mut is_seen = false;
    for path in asked {
        let answer = gateway.ask(&format!("GET {path}"), b"");
        search_text(&path, format!("{:?}", answer.headers()).as_bytes(), secrets);
        search_text(&path, &answer.body, secrets);
        is_seen |= !found(&answer.body, &[SEEN]).is_empty();
    }
    assert!(is_seen, "`{SEEN}` is not seen in any answer");
    for args in [
        &["secret", "list"][..],
        &["export"],
        &["audit", "list"],
        &["endpoint", "list", "--json"],
    ] {
        let ended = gateway.cli(args);
        search_text(&args.join(" "), ended.stdout.as_bytes(), secrets);
        search_text(&args.join(" "), ended.stderr.as_bytes(), secrets);
    }
}

/// Sends requests that are refused, with a secret in each, and searches the refusals.
fn search_refusals(gateway: &Gateway) {
    let refused = [
        ("PUT /v1/secrets/new", format!("\"{API}\"")),
        ("PUT /v1/secrets/new", format!("{{\"value\": [\"{API}\"]}}")),
        ("PUT /v1/secrets/new", format!("{{\"{API}\": 1}}")),
        ("PUT /v1/secrets/new", format!("{{\"value\": \"{API}")),
        (
            "POST /v1/secrets/rotated/rotate",
            format!("{{\"value\": \"{SECOND}\"}}"),
        ),
        ("PUT /v1/secrets/filed", format!("{{\"value\": \"{API}\"}}")),
        (
            "PUT /v1/endpoints/new",
            json!({"url": "http://127.0.0.1/", "headers": {"Authorization": LITERAL}}).to_string(),
        ),
        (
            "PUT /v1/endpoints/with-literal",
            json!({"headers": {"Authorization": LITERAL}}).to_string(),
        ),
        (
            "PUT /v1/sources/new",
            json!({"verify": {"scheme": "bearer", "secrets": [VERIFY], "wrong": 1}}).to_string(),
        ),
    ];
    for (request, body) in refused {
        let answer = gateway.ask(request, body.as_bytes());
        assert!(
            (400..500).contains(&answer.status()),
            "{request} {body}: {answer:?}"
        );
        search_text(request, &answer.body, &PLANTED);
    }
    let answer = gateway.post(
        "/in/api",
        &[format!("authorization: Bearer {LITERAL}")],
        b"{}",
    );
    assert_eq!(answer.status(), 401);
    search_text("/in/api", &answer.body, &PLANTED);
}

/// Waits until `count` requests have come to `path`, and gives the headers of the last.
#[track_caller]
fn arrived(receiver: &Receiver, path: &str, count: usize) -> Vec<(String, String)> {
    until(path, || {
        let here = receiver.arrived_at(path);
        (here.len() >= count).then(|| here[here.len() - 1].request.headers().to_vec())
    })
}

/// The header `name` of the last of `count` requests to `path`.
#[track_caller]
fn header(receiver: &Receiver, path: &str, count: usize, name: &str) -> String {
    let headers = arrived(receiver, path, count);
    let found = headers.into_iter().find(|(known, _)| known == name);
    found.unwrap_or_else(|| panic!("{path} has no {name}")).1
}

/// What was planted is used: what is looked for was really there.
#[track_caller]
fn is_used(receiver: &Receiver, times: usize) {
    let of = |path: &str, name: &str| header(receiver, path, times, name);
    assert_eq!(of("filed", "x-filed"), FILE_HEADER);
    assert_eq!(of("with-api", "authorization"), format!("Bearer {API}"));
    let basic = BASE64.encode(format!("u:{IMPORTED}").as_bytes());
    assert_eq!(
        of("with-imported", "authorization"),
        format!("Basic {basic}")
    );
    let signatures = of("with-rotated", "webhook-signature");
    assert_eq!(signatures.split(' ').count(), 2, "{signatures}");
    assert_eq!(
        of("with-literal", "authorization"),
        format!("Bearer {LITERAL}")
    );
    arrived(receiver, "token", 1);
}

/// Makes a token and a client; what they prove themselves with.
fn callers(gateway: &Gateway) -> [String; 2] {
    let made = |path: &str, member: &str| {
        let asked = json!({"name": path.replace('/', "-"), "scopes": ["read"]});
        let made = gateway.tell(&format!("POST {path}"), &asked);
        made[member].as_str().unwrap().to_owned()
    };
    [made("/v1/tokens", "token"), made("/v1/clients", "secret")]
}

/// Sends an event to a source whose secret is [`VERIFY`].
#[track_caller]
fn send(gateway: &Gateway, path: &str) {
    let proof = format!("authorization: Bearer {VERIFY}");
    let sent = gateway.post(path, &[proof], b"{\"type\": \"t\"}");
    assert_eq!(sent.status(), 202, "{sent:?}");
}

#[test]
fn no_planted_secret_is_left_behind_in_files_the_log_or_an_answer() {
    let receiver = Receiver::start(Instant::now(), |arrival| match arrival.place() {
        "with-literal" => 401,
        "filed" => 500,
        _ => 200,
    });
    let site = site(&receiver);
    let gateway = site.start();
    assert!(!site.data().join("secrets").exists(), "it is still there");
    plant(&gateway, &receiver);
    let made = callers(&gateway);
    let first = gateway.token.clone().unwrap();
    let made = made.iter().chain([&first]).map(String::as_str);
    let secrets: Vec<&str> = PLANTED.into_iter().chain(made).collect();

    gateway.accept(&body(SEEN));
    send(&gateway, "/in/api");
    is_used(&receiver, 1);
    search_refusals(&gateway);
    search_answers(&gateway, &secrets);
    let words = gateway.words();
    gateway.kill();
    // The first token is said once, as it must be.
    let words = words.replace(&first, "");
    assert!(words.contains("with-literal"), "{words}");
    search_text("the log", words.as_bytes(), &secrets);
    search_files(&site, &secrets, SEEN);

    let gateway = site.start();
    gateway.accept(&body("after-the-kill"));
    arrived(&receiver, "with-api", 2);
    is_used(&receiver, 1);
    search_answers(&gateway, &secrets);
    search_text("the log", gateway.words().as_bytes(), &secrets);
    drop(gateway);
    search_files(&site, &secrets, SEEN);
}

/// A site whose gateway has made its key, with a secret of the store and a resource with one written out.
fn with_a_made_key(receiver: &Receiver) -> Site {
    let site = Site::new("");
    let gateway = site.start();
    set(&gateway, "api", API);
    let endpoint = json!({
        "url": receiver.at("with-api"), "allow_private": ["127.0.0.0/8"],
        "headers": {"Authorization": "Bearer {{secret:api}}", "X-Api-Key": LITERAL},
    });
    gateway.tell("PUT /v1/endpoints/with-api", &endpoint);
    let source = json!({"verify": {"scheme": "bearer", "secrets": [VERIFY]}});
    gateway.tell("PUT /v1/sources/web", &source);
    let subscription = json!({"sources": ["web"], "endpoint": "with-api"});
    gateway.tell("PUT /v1/subscriptions/with-api", &subscription);
    let words = gateway.words();
    assert!(
        words.contains("the vault key lies beside the data"),
        "{words}"
    );
    gateway.kill();
    site
}

/// Appends `[vault]` with this `key` to the configuration.
fn configure(site: &Site, key: &str) {
    let config = fs::read_to_string(site.config()).unwrap();
    let config = format!("{config}\n[vault]\nkey = {key}\n");
    site.write("switchhook.toml", &config);
}

#[test]
fn another_vault_key_takes_over_every_secret_and_the_one_before_is_no_longer_needed() {
    const DONE: &str = "sealed with the current vault key";
    let receiver = Receiver::start(Instant::now(), |_| 200);
    let site = with_a_made_key(&receiver);
    let made = site.data().join("vault.key");
    let mode = fs::metadata(&made).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o400);

    site.write("key", &format!("{VAULT_KEY}\n"));
    configure(&site, "{ file = \"key\" }");
    let words = site.start().words();
    assert!(words.contains(DONE), "{words}");
    fs::remove_file(&made).unwrap();

    let gateway = site.start();
    assert!(!gateway.words().contains(DONE), "{}", gateway.words());
    send(&gateway, "/in/web");
    let of = |name: &str| header(&receiver, "with-api", 1, name);
    assert_eq!(of("authorization"), format!("Bearer {API}"));
    assert_eq!(of("x-api-key"), LITERAL);
}

#[test]
fn a_store_is_not_opened_without_its_key_and_no_other_one_is_made() {
    let receiver = Receiver::start(Instant::now(), |_| 200);
    let mut site = with_a_made_key(&receiver);
    let made = site.data().join("vault.key");
    let away = site.data().with_file_name("taken-away");
    fs::rename(&made, &away).unwrap();
    let (code, words) = site.spawn().wait();
    assert_eq!(code, Some(3), "{words}");
    assert!(
        words.contains("their key is gone") && !made.exists(),
        "{words}"
    );

    configure(&site, "{ env = \"VAULT_KEY\" }");
    site.variables.push(("VAULT_KEY", VAULT_KEY));
    let (code, words) = site.spawn().wait();
    assert_eq!(code, Some(3), "{words}");
    assert!(words.contains("is sealed with the vault key"), "{words}");
    assert!(words.contains("`vault.previous`"), "{words}");

    fs::rename(&away, &made).unwrap();
    site.start();
}

#[test]
fn a_search_finds_a_secret_in_every_form() {
    for text in [
        format!("x{API}y"),
        HEXLOWER.encode(API.as_bytes()),
        format!("Basic {}", BASE64.encode(format!("u:{API}").as_bytes())),
        format!("a{}", BASE64URL.encode(format!("us{API}!").as_bytes())),
    ] {
        assert_eq!(found(text.as_bytes(), &PLANTED), [API], "{text}");
    }
}
