//! Each form of a script, and what it does.

use super::*;

/// The statuses answered at the given times, 0 for anything that is no answer.
fn statuses(script: &str, at: impl IntoIterator<Item = (u64, u64)>) -> Vec<u16> {
    let mut behaviour: Behaviour = script.parse().unwrap();
    let reply = |(now_ms, entropy)| match behaviour.next(now_ms, entropy) {
        Reply::Answer { status, .. } => status,
        Reply::BlackHole | Reply::ResetBefore | Reply::ResetAfter | Reply::Huge => 0,
    };
    at.into_iter().map(reply).collect()
}

#[test]
fn every_known_form_reads_and_its_text_reads_back_as_the_same() {
    for form in FORMS {
        let behaviour: Behaviour = form.parse().unwrap_or_else(|e| panic!("{form}: {e}"));
        assert_eq!(behaviour.to_string().parse(), Ok(behaviour), "{form}");
    }
}

#[test]
fn a_form_that_is_not_known_is_refused_with_the_reason_and_the_known_forms() {
    let cases = [
        ("", "`` is not known"),
        ("okay", "`okay` is not known"),
        ("huge:1", "takes no value"),
        ("slow", "needs a value"),
        ("ok:12", "is no time"),
        ("ok:2h", "is no time"),
        ("slow:61m", "is no time"),
        ("slow:99999999999999999999s", "is no time"),
        ("status:600", "no status"),
        ("status:99", "no status"),
        ("sequence:", "no status"),
        ("sequence:503,,200", "no status"),
        ("fail:101%", "no share"),
        ("fail:50", "no share"),
        ("outage:5s", "<down>/<every>"),
        ("outage:10s/5s", "does not fit"),
        ("outage:0s/0s", "does not fit"),
        ("rate-limit:429/3s", "<status>/<retry-after>/<percent>"),
        ("rate-limit:429/1500ms/20%", "whole seconds"),
        ("redirect:/a\nb", "cannot stand in a header"),
        ("redirect:", "`redirect` needs a place"),
    ];
    for (text, reason) in cases {
        let error = text.parse::<Behaviour>().unwrap_err().to_string();
        assert!(error.contains(reason), "{text}: {error}");
        assert!(error.contains("sequence:503,503,200"), "{text}: {error}");
    }
    let long = format!("sequence:{}", vec!["200"; SEQUENCE_LEN_MAX + 1].join(","));
    assert!(
        long.parse::<Behaviour>()
            .unwrap_err()
            .what
            .contains("more than 200")
    );
}

#[test]
fn a_sequence_goes_through_its_statuses_once_and_stays_at_the_last() {
    assert_eq!(
        statuses("sequence:503,429,200", [(0, 0); 5]),
        [503, 429, 200, 200, 200]
    );
}

#[test]
fn an_outage_covers_the_first_part_of_every_period() {
    let times = [0, 4_999, 5_000, 9_999, 10_000, 15_000].map(|now_ms| (now_ms, 0));
    assert_eq!(
        statuses("outage:5s/10s", times),
        [503, 503, 200, 200, 503, 200]
    );
}

#[test]
fn a_failing_share_is_met_over_many_requests_and_exact_at_its_ends() {
    let mut entropy = crate::entropy::Entropy::new(3);
    let mut run = |script| {
        let bits: Vec<_> = (0..10_000).map(|_| (0, entropy.draw())).collect();
        statuses(script, bits)
            .iter()
            .filter(|status| **status != 200)
            .count()
    };
    assert_eq!(run("fail:0%"), 0);
    assert_eq!(run("fail:100%"), 10_000);
    assert!((4_800..5_200).contains(&run("fail:50%")));
    assert!((1_850..2_150).contains(&run("rate-limit:429/3s/20%")));
}

#[test]
fn a_rate_limit_names_its_seconds_and_a_slow_answer_its_time() {
    let mut limited: Behaviour = "rate-limit:429/3s/100%".parse().unwrap();
    let reply = Reply::Answer {
        status: 429,
        after_ms: 0,
        retry_after_s: Some(3),
        location: None,
    };
    assert_eq!(limited.next(0, 0), reply);
    let mut slow: Behaviour = "slow:2s".parse().unwrap();
    let reply = Reply::Answer {
        status: 200,
        after_ms: 2000,
        retry_after_s: None,
        location: None,
    };
    assert_eq!(slow.next(0, 0), reply);
}
