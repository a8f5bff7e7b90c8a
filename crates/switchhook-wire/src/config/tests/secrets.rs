//! What must never be shown.

use std::collections::BTreeSet;

use serde_json::json;

use super::*;

#[test]
fn the_secrets_that_a_body_mentions_are_found_wherever_they_are() {
    let body = json!({
        "verify": {"secrets": ["{{secret:web}}", "plain", "{{secret:../x}}"]},
        "headers": {"A": "Bearer {{secret:a}}{{secret:b}} {{eventId}} {{secret:open"},
    });
    assert_eq!(secrets_in(&body), BTreeSet::from(["a", "b", "web"]));
}

#[test]
fn no_secret_is_in_a_problem_a_shown_body_or_a_debug_print() {
    let text = r#"
        [secret]
        loose = "hunter2-a"
        [secret.b]
        value = "hunter2-b"
        [source.a]
        verify = { scheme = "hmac", secrets = ["hunter2-c", "{{x}}hunter2-d"], secret = "hunter2-e" }
        [endpoint.e]
        url = "https://user:hunter2-f@example.com/"
        headers = { Authorization = "Bearer hunter2-g", X-Api-Key = 'hunter2-h' }
        wrong = 1
        auth = { scheme = "api-key", key = "hunter2-i", header = "a b" }
        sign = { scheme = "genesys", secret = "hunter2-j", previous = "hunter2-k", wrong = 1 }
        encrypt = { secret = "hunter2-l", key_id = "" }
        tls = { client_key = "hunter2-m", ca = 1, verify = false }
        [endpoint.f]
        url = "https://example.com/"
        auth = { scheme = "oauth2", client_secret = "hunter2-n", token_url = "https://a:hunter2-o@example.com/", scope = 1 }
        [endpoint.g]
        url = "https://example.com/"
        auth = { scheme = "basic", username = "a:b", password = "hunter2-p" }
        sign = { scheme = "none", secret = "hunter2-q", previous = "hunter2-r" }
    "#;
    let loaded = load_text(text);
    let json = serde_json::to_string(&loaded.problems).unwrap();
    let all = format!("{}{json}{loaded:?}", render_all(&loaded.problems));
    assert!(!all.contains("hunter2"), "{all}");
    let broken = load_text("[source.a]\nverify = { secrets = [\"hunter2\", }\n");
    assert!(!format!("{}{broken:?}", render_all(&broken.problems)).contains("hunter2"));
    let config = good("[source.a]\nverify = { scheme = \"bearer\", secrets = [\"hunter2\"] }");
    assert!(!format!("{config:?}").contains("hunter2"));
    let config = good(
        "[endpoint.e]\nurl = \"https://example.com\"\nencrypt = { secret = \"hunter2\", key_id = \"k\" }\n\
         sign = { scheme = \"genesys\", secret = \"hunter2\", previous = \"hunter2\" }\n\
         auth = { scheme = \"api-key\", key = \"hunter2\" }\n\
         tls = { client_cert = \"PEM\", client_key = \"hunter2\" }",
    );
    assert!(!format!("{config:?}").contains("hunter2"));
}
