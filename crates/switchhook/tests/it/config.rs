//! Promise: a configuration with mistakes is refused as a whole, and every mistake is named at once.

use std::process::Command;

use crate::harness::{Ended, PROGRAM, SOURCE, Site};

const MISTAKES: &str = r#"
[endpoint.crm]
url = "http://127.0.0.1:9000/hook"
tiemout = "10s"

[policy.slow]
fixed = { delay = "soon" }
max_attempts = 1000

[subscription.a]
sources = ["nobody"]
types = ["*"]
endpoint = "nowhere"
"#;

#[test]
fn every_mistake_is_named_and_nothing_starts() {
    let site = Site::new(&(SOURCE.to_owned() + MISTAKES));
    let config = site.config();
    let check = Ended::run(Command::new(PROGRAM).arg("check").arg(&config), "");
    let (code, words) = site.spawn().wait();
    for (code, words) in [(check.code, check.stdout + &check.stderr), (code, words)] {
        assert_eq!(code, Some(3), "{words}");
        // A private address, a misspelt key, a delay, a number, two references.
        for named in ["SH0120", "tiemout", "soon", "1000", "nobody", "nowhere"] {
            assert!(words.contains(named), "`{named}` is not named in:\n{words}");
        }
        assert!(
            words.contains("switchhook.toml:"),
            "a place is shown:\n{words}"
        );
    }
    assert!(!site.data().exists(), "nothing was made");
}
