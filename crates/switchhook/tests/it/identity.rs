//! Promise: nobody gets in where they do not belong: tokens with scopes, OAuth clients, and listeners that prove who they are.

use std::net::SocketAddr;
use std::process::Command;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};

use crate::harness::gateway::Gateway;
use crate::harness::{Ended, PROGRAM, SOURCE, Site, http, until};

/// Runs a command against `gateway` with another token.
fn as_holder(gateway: &Gateway, token: &str, args: &[&str]) -> Ended {
    let mut command = Command::new(PROGRAM);
    command.args(args).env("SWITCHHOOK_TOKEN", token);
    command.env("SWITCHHOOK_SERVER", format!("http://{}", gateway.admin));
    Ended::run(&mut command, "")
}

fn text<'v>(value: &'v Value, member: &str) -> &'v str {
    value[member].as_str().unwrap()
}

#[test]
fn a_token_made_on_the_command_line_does_what_its_scope_says_until_it_is_revoked() {
    let site = Site::new(SOURCE);
    let gateway = site.start();
    let create = [
        "token",
        "create",
        "ci",
        "--scope",
        "read",
        "--expires",
        "90d",
    ];
    let made = gateway.cli(&create);
    let token = made.ok().stdout.lines().nth(1).unwrap().to_owned();
    assert!(token.starts_with("shk_"), "{made:?}");
    // The secret is data; words about it are not.
    assert!(!made.stderr.contains("shk_"), "{made:?}");

    as_holder(&gateway, &token, &["source", "list"]).ok();
    let pause = [
        "source",
        "set",
        "other",
        "--preset",
        "open-messaging",
        "--secret",
        "web",
    ];
    let denied = as_holder(&gateway, &token, &pause);
    assert_eq!(denied.code, Some(6), "{denied:?}");
    assert!(denied.stderr.contains("`write`"), "{denied:?}");
    let denied = as_holder(&gateway, &token, &["token", "list"]);
    assert!(
        denied.code == Some(6) && denied.stderr.contains("`admin`"),
        "{denied:?}"
    );

    let listed = gateway.cli(&["token", "list"]);
    assert!(listed.ok().stdout.contains("ci") && !listed.stdout.contains("shk_"));
    let again = gateway.cli(&create);
    assert!(
        again.code == Some(5) && again.stderr.contains("`ci`"),
        "{again:?}"
    );
    gateway.cli(&["token", "revoke", "ci", "--yes"]).ok();
    let revoked = as_holder(&gateway, &token, &["source", "list"]);
    assert_eq!(revoked.code, Some(6), "{revoked:?}");

    let last = gateway.cli(&["token", "revoke", "first", "--yes"]);
    assert!(
        last.code == Some(5) && last.stderr.contains("last token"),
        "{last:?}"
    );
}

#[test]
fn tokens_clients_and_their_last_use_outlive_a_restart() {
    let site = Site::new(SOURCE);
    let gateway = site.start();
    let create = [
        "client",
        "create",
        "crm",
        "--scope",
        "webhook:read",
        "--json",
    ];
    let client = gateway.cli(&create).json();
    let (id, secret) = (text(&client, "id"), text(&client, "secret"));
    let access = grant(gateway.admin, id, secret);
    let access = text(&access, "access_token");
    as_holder(&gateway, access, &["source", "list"]).ok();
    gateway.terminate();
    gateway.wait();

    let gateway = site.start();
    as_holder(&gateway, access, &["source", "list"]).ok();
    let list = || gateway.cli(&["client", "list", "--json"]).json();
    let all = list();
    assert_eq!(
        (&all[0]["accessTokens"], text(&all[0], "name")),
        (&json!(1), "crm")
    );
    assert!(all[0]["lastUsedAt"].is_string(), "{all}");
    assert!(!all.to_string().contains("shs_"));

    let rotated = gateway
        .cli(&["client", "rotate", "crm", "--overlap", "0s", "--json"])
        .json();
    assert_eq!(
        text(&grant(gateway.admin, id, secret), "error"),
        "invalid_client"
    );
    grant(gateway.admin, id, text(&rotated, "secret"))["access_token"]
        .as_str()
        .unwrap();
    gateway.cli(&["client", "delete", "crm", "--yes"]).ok();
    let gone = as_holder(&gateway, access, &["source", "list"]);
    assert_eq!(gone.code, Some(6), "{gone:?}");
    let words = gateway.words();
    assert!(
        !words.contains(access) && !words.contains(secret),
        "{words}"
    );
}

/// What `/oauth/token` answers.
fn grant(admin: SocketAddr, id: &str, secret: &str) -> Value {
    let form = format!("grant_type=client_credentials&client_id={id}&client_secret={secret}");
    let headers = ["content-type: application/x-www-form-urlencoded".to_owned()];
    http::ask_once(admin, "POST /oauth/token", &headers, form.as_bytes())
        .unwrap()
        .json()
}

/// An authority.
struct Authority {
    params: CertificateParams,
    key: KeyPair,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self {
            params,
            key: KeyPair::generate().unwrap(),
        }
    }

    fn pem(&self) -> String {
        self.params.self_signed(&self.key).unwrap().pem()
    }

    /// A certificate for the addresses of a site, and its key.
    fn issue(&self) -> (String, String) {
        let names = ["127.0.0.1", "127.0.0.2"].map(str::to_owned);
        let params = CertificateParams::new(names).unwrap();
        let key = KeyPair::generate().unwrap();
        let issuer = Issuer::from_params(&self.params, &self.key);
        let certificate = params.signed_by(&key, &issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}

#[test]
fn listeners_speak_tls_and_change_over_to_a_renewed_certificate() {
    let (old, new) = (Authority::new(), Authority::new());
    let site = Site::new(SOURCE);
    let write = |(cert, key): (String, String)| {
        site.write("cert.pem", &cert);
        site.write("key.pem", &key);
    };
    site.write("old.pem", &old.pem());
    site.write("new.pem", &new.pem());
    write(old.issue());
    site.set("tls = { cert = \"cert.pem\", key = \"key.pem\" }");
    site.set("admin_tls = { cert = \"cert.pem\", key = \"key.pem\" }");
    let gateway = site.start();
    let is_trusted = |ca: Option<&str>| {
        let mut command = Command::new(PROGRAM);
        command.args([
            "token",
            "list",
            "--server",
            &format!("https://{}", gateway.admin),
        ]);
        command.env("SWITCHHOOK_TOKEN", gateway.token.as_deref().unwrap());
        if let Some(ca) = ca {
            command.arg("--ca").arg(site.config().with_file_name(ca));
        }
        let ended = Ended::run(&mut command, "");
        assert!(matches!(ended.code, Some(0 | 7)), "{ended:?}");
        ended.code == Some(0)
    };
    assert!(is_trusted(Some("old.pem")) && !is_trusted(Some("new.pem")) && !is_trusted(None));
    // Nothing is said in plain text.
    let plain = http::ask_once(gateway.admin, "GET /livez", &[], b"");
    assert!(plain.is_err(), "{plain:?}");

    site.write("key.pem", "no key");
    until("a word about the key", || {
        gateway.words().contains("stays in force").then_some(())
    });
    assert!(is_trusted(Some("old.pem")));
    write(new.issue());
    until("the renewed certificate", || {
        is_trusted(Some("new.pem")).then_some(())
    });
    assert!(!is_trusted(Some("old.pem")));
    gateway.terminate();
    let (code, words) = gateway.wait();
    assert_eq!(code, Some(0), "{words}");
}

#[test]
fn a_certificate_that_cannot_be_used_stops_the_start() {
    let site = Site::new(SOURCE);
    site.set("admin_tls = { cert = \"cert.pem\", key = \"key.pem\" }");
    let (code, words) = site.spawn().wait();
    assert!(
        code == Some(3) && words.contains("cert.pem"),
        "{code:?} {words}"
    );
}
