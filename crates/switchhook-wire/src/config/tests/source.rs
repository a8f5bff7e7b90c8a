//! Sources and policies.

use switchhook_core::retry::{Jitter, Schedule};
use switchhook_core::source::{DedupBy, Encoding, Verify};

use super::*;

#[test]
fn a_preset_knows_what_its_sender_does() {
    let text = r#"
        [secret.s]
        env = "S"
        [source.om]
        preset = "open-messaging"
        verify = { secrets = ["{{secret:s}}"] }
        [source.eb]
        preset = "eventbridge"
        verify = { scheme = "api-key", secrets = ["{{secret:s}}"] }
        dedup = { window = "6d" }
        [source.sw]
        preset = "standard-webhooks"
        verify = { secrets = ["{{secret:s}}"] }
        [source.gc]
        preset = "genesys"
        verify = { secrets = ["{{secret:s}}"] }
    "#;
    let plan = good(text).plan;
    assert!(
        matches!(&plan.sources["om"].verify, Verify::Hmac { prefix, .. } if &**prefix == "sha256=")
    );
    assert!(matches!(&plan.sources["om"].dedup.by, DedupBy::Pointers(all) if all.len() == 2));
    let eb = &plan.sources["eb"];
    assert!(matches!(&eb.verify, Verify::Token { header, .. } if &**header == "x-api-key"));
    assert_eq!((eb.key.len(), eb.dedup.window_ms), (4, 6 * 86_400_000));
    let sw = &plan.sources["sw"];
    assert!(matches!(
        &sw.verify,
        Verify::StandardWebhooks {
            tolerance_ms: 300_000,
            ..
        }
    ));
    assert!(matches!(&sw.dedup.by, DedupBy::Header(name) if &**name == "webhook-id"));
    assert!(matches!(
        &plan.sources["gc"].verify,
        Verify::Hmac {
            encoding: Encoding::Hex,
            ..
        }
    ));
}

#[test]
fn a_key_of_another_scheme_is_refused_and_eventbridge_must_name_its_scheme() {
    let text = "[source.a]\nverify = { scheme = \"none\", header = \"x\" }";
    assert_eq!(codes_of(&load_text(text).problems), ["SH0104"]);
    let text = "[source.a]\npreset = \"eventbridge\"\nverify = { secrets = [\"${env:X:-a}\"] }";
    assert_eq!(codes_of(&load_text(text).problems), ["SH0102"]);
}

#[test]
fn every_schedule_and_jitter_can_be_written() {
    let text = r#"
        [policy.a]
        linear = { initial = "1s", step = "2s", max = "1m30s" }
        jitter = "decorrelated"
        retry_after_max = "1h"
        [[policy.a.rule]]
        on = [408, "5xx", "500-503", "timeout", "*"]
        do = "hold"
        [policy.b]
        matrix = { delays = ["0s", "15s"] }
        jitter = { plus-minus = 0.15 }
        [policy.c]
        exponential = { initial = "250ms", factor = 3, max = "1d" }
        jitter = "full"
        max_age = "7d"
        long = true
    "#;
    let plan = good(text).plan;
    let (a, b, c) = (
        &plan.policies["a"],
        &plan.policies["b"],
        &plan.policies["c"],
    );
    assert_eq!(
        a.schedule,
        Schedule::Linear {
            initial_ms: 1_000,
            step_ms: 2_000,
            max_ms: 90_000
        }
    );
    assert_eq!(
        (a.jitter, a.rules[0].on.len(), a.retry_after_max_ms),
        (Jitter::Decorrelated, 5, 3_600_000)
    );
    assert_eq!((b.jitter, b.max_attempts), (Jitter::PlusMinus(0.15), 3));
    assert_eq!(
        c.schedule,
        Schedule::Exponential {
            initial_ms: 250,
            factor: 3.0,
            max_ms: 86_400_000
        }
    );
    assert_eq!(c.max_age_ms, 7 * 86_400_000);
}

#[test]
fn a_schedule_that_does_not_fit_names_the_last_attempt_that_does() {
    let text = "[policy.p]\nfixed = { delay = \"10h\" }\njitter = \"none\"\nmax_attempts = 9";
    let problems = load_text(text).problems;
    assert_eq!(
        problems[0].message,
        "9 attempts can take 3d8h, longer than max_age 1d"
    );
    assert_eq!(
        problems[0].hint.as_deref(),
        Some("attempt 3 (after at most 20h) is the last that surely fits")
    );
}

#[test]
fn unverified_sources_need_loopback_or_a_written_word() {
    let source = "[source.a]\nverify = { scheme = \"none\" }\n";
    assert_eq!(codes_of(&load_text(source).problems), [""; 0]);
    let public = format!("{source}allow_unverified = true\n[server]\ningest = \"[::]:80\"");
    assert_eq!(codes_of(&load_text(&public).problems), [""; 0]);
}
