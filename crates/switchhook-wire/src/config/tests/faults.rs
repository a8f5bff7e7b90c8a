//! Every code, and the bounds on what is read.

use std::collections::BTreeSet;

use super::*;

/// One text for each code, with the codes that it gives.
const FAULTS: &[Fault] = &[
    ("[server\n", &["SH0101"]),
    ("[source.a]\n", &["SH0102"]),
    ("[server]\nmax_connections = true", &["SH0103"]),
    ("[server]\nmax_connections = \"8\"", &["SH0103"]),
    ("source = 1", &["SH0103"]),
    ("[sources.a]\n", &["SH0104"]),
    ("[server]\nmax_connections = 0", &["SH0105"]),
    ("[server]\nshutdown_drain = \"6m\"", &["SH0105"]),
    (
        "[policy.p]\nfixed = { delay = \"1s\" }\nmax_attempts = 101",
        &["SH0105"],
    ),
    (
        "[policy.p]\nfixed = { delay = \"1s\" }\nmax_age = \"2d\"",
        &["SH0105"],
    ),
    (
        "[policy.p]\nexponential = { initial = \"1m\", max = \"1s\" }",
        &["SH0105"],
    ),
    ("[policy.p]\nfixed = { delay = \"0s\" }", &["SH0105"]),
    ("[server]\nshutdown_drain = 20", &["SH0106"]),
    ("[server]\nshutdown_drain = \"20\"", &["SH0106"]),
    (
        "[source.a]\nverify = { scheme = \"none\" }\nbody_max = \"5 MB\"",
        &["SH0107"],
    ),
    ("[store]\ndurability = \"maybe\"", &["SH0108"]),
    ("[server]\nconcurrency = 65537", &["SH0105"]),
    (
        "[server]\nadmin_hosts = [\"https://x\", \"x:1\", \"*.x\", \"10.0.0.1\"]",
        &["SH0139"; 4],
    ),
    ("[server]\ntls = { cert = \"a\" }", &["SH0102"]),
    (
        "[server]\nadmin_tls = { cert = \"a\", key = \"b\", ca = \"c\" }",
        &["SH0104"],
    ),
    (
        "[server]\ningest = \"127.0.0.1:1\"\nadmin = \"127.0.0.1:1\"\nadmin_tls = { cert = \"a\", key = \"b\" }",
        &["SH0129"],
    ),
    ("[server]\nadmin = \"0.0.0.0:1\"", &["SH0311"]),
    (
        "[server]\nadmin = \"0.0.0.0:1\"\ntls = { cert = \"a\", key = \"b\" }",
        &["SH0311"],
    ),
    ("[retention]\nevents = \"59m\"", &["SH0105"]),
    ("[retention]\ndead = \"3651d\"", &["SH0106"]),
    ("[retention]\nbytes = \"1MiB\"", &["SH0105"]),
    ("[retention]\nevent = \"7d\"", &["SH0104"]),
    ("[alerts]\nlag = 0", &["SH0105"]),
    ("[alerts]\nlag = true", &["SH0103"]),
    ("[alerts]\ndisk = 85", &["SH0105"]),
    ("[alerts]\nbacklog_age = \"never\"", &["SH0106"]),
    ("[secret.A]\nenv = \"A\"", &["SH0109"]),
    ("[policy.\"a b\"]\nfixed = { delay = \"1s\" }", &["SH0109"]),
    ("[secret.a]\n", &["SH0110"]),
    ("[secret.a]\nenv = \"A\"\nfile = \"a\"", &["SH0110"]),
    ("version = 2", &["SH0112"]),
    (
        "[subscription.s]\nsources = []\nendpoint = \"e\"\n[endpoint.e]\nurl = \"https://example.com\"",
        &["SH0113"],
    ),
    ("[server]\ndata_dir = \"\"", &["SH0113"]),
    (
        "[source.a]\nverify = { scheme = \"none\" }\nkey = [\"a\"]",
        &["SH0114"],
    ),
    (
        "[subscription.s]\nsources = [\"switchhook\"]\ntypes = [\"a*b\"]\nendpoint = \"e\"\n\
         [endpoint.e]\nurl = \"https://example.com\"",
        &["SH0115"],
    ),
    ("[server]\nadmin = \"8081\"", &["SH0116"]),
    (
        "[policy.p]\nfixed = { delay = \"10h\" }\nmax_attempts = 9",
        &["SH0117"],
    ),
    (
        "[endpoint.e]\nurl = \"https://example.com\"\nheaders = { \"a b\" = \"c\" }",
        &["SH0118"],
    ),
    (
        "[endpoint.e]\nurl = \"https://example.com\"\nheaders = { A = \"c\", a = \"d\" }",
        &["SH0118"],
    ),
    (
        "[endpoint.e]\nurl = \"https://example.com\"\nheaders = { A = \"{{nothing}}\" }",
        &["SH0118"],
    ),
    (
        "[endpoint.e]\nurl = \"https://example.com\"\nheaders = { Host = \"c\" }",
        &["SH0119"],
    ),
    (
        "[endpoint.e]\nurl = \"https://example.com\"\nheaders = { webhook-id = \"c\" }",
        &["SH0119"],
    ),
    (
        "[endpoint.e]\nurl = \"https://example.com\"\nheaders = { Content-Type = \"c\" }",
        &["SH0119"],
    ),
    ("[endpoint.e]\nurl = \"example.com\"", &["SH0120"]),
    ("[endpoint.e]\nurl = \"http://127.0.0.1/\"", &["SH0120"]),
    (
        "[endpoint.e]\nurl = \"https://example.com\"\nallow_private = [\"10.0.0.0/33\"]",
        &["SH0121"],
    ),
    (
        "[policy.p]\nfixed = { delay = \"1s\" }\n[[policy.p.rule]]\non = [\"6xx\"]\ndo = \"retry\"",
        &["SH0122"],
    ),
    (
        "[subscription.s]\nsources = [\"a\"]\nendpoint = \"e\"\npolicy = \"p\"",
        &["SH0201", "SH0201", "SH0201"],
    ),
    (
        "[source.a]\nverify = { scheme = \"bearer\", secrets = [\"{{secret:x}}\"] }",
        &["SH0202"],
    ),
    (
        "[endpoint.e]\nurl = \"https://example.com\"\nheaders = { A = \"{{secret:x}}\" }",
        &["SH0202"],
    ),
    ("[server]\nmax_connections = \"${env:X}\"", &["SH0203"]),
    ("[server]\ndata_dir = \"${X}\"", &["SH0204"]),
    (
        "[source.a]\nverify = { scheme = \"bearer\", secrets = [\"a{{secret:x}}\"] }",
        &["SH0204"],
    ),
    (
        "[source.switchhook]\nverify = { scheme = \"none\" }",
        &["SH0206"],
    ),
    (
        "[endpoint.e]\nurl = \"https://example.com\"\nheaders = { Authorization = \"Bearer x\" }",
        &["SH0301"],
    ),
    (
        "[source.a]\nverify = { scheme = \"bearer\", secrets = [\"abc\"] }",
        &["SH0302"],
    ),
    (
        "[secret.s]\nenv = \"S\"\n[source.a]\nverify = { scheme = \"genesys-signature\", secrets = [\"{{secret:s}}\"] }\n\
         dedup = { off = true }",
        &["SH0303"],
    ),
    (
        "[server]\ningest = \"0.0.0.0:8080\"\n[source.a]\nverify = { scheme = \"none\" }",
        &["SH0304"],
    ),
    (
        "[source.a]\nverify = { scheme = \"none\" }\nkeep_headers = [\"Authorization\"]",
        &["SH0305"],
    ),
    (
        "[source.a]\nverify = { scheme = \"bearer\", secrets = [\"***\"] }",
        &["SH0306"],
    ),
    (
        "[endpoint.e]\nurl = \"https://a.example\"\nheaders = { Authorization = \"***\" }",
        &["SH0306"],
    ),
];

/// Every fault of every section: what each table says, added to a section that is right without it.
fn faults() -> Vec<(String, &'static [&'static str])> {
    let plain = FAULTS
        .iter()
        .map(|(text, codes)| ((*text).to_owned(), *codes));
    let tables: [(&str, &[Fault]); 4] = [
        (endpoint::BEFORE, endpoint::FAULTS),
        (subscription::BEFORE, subscription::FAULTS),
        (group::BEFORE, group::FAULTS),
        (trial::BEFORE, trial::FAULTS),
    ];
    let added = tables.iter().flat_map(|(before, faults)| {
        let with = move |(text, codes): &Fault| (format!("{before}{text}"), *codes);
        faults.iter().map(with)
    });
    plain.chain(added).collect()
}

#[test]
fn each_fault_gives_its_code_and_nothing_else() {
    for (text, want) in faults() {
        let loaded = load_text(&text);
        assert_eq!(
            codes_of(&loaded.problems),
            *want,
            "{text}\n{}",
            render_all(&loaded.problems)
        );
        let is_error = loaded.problems.iter().any(Problem::is_error);
        assert_eq!(loaded.config.is_none(), is_error, "{text}");
        for problem in &loaded.problems {
            assert!(!problem.message.ends_with('.'), "{}", problem.message);
        }
    }
}

#[test]
fn what_the_faults_are_added_to_is_right_by_itself() {
    for text in [
        endpoint::BEFORE,
        subscription::BEFORE,
        group::BEFORE,
        trial::BEFORE,
    ] {
        assert_eq!(render_all(&load_text(text).problems), "", "{text}");
    }
}

#[test]
fn every_code_is_unique_explained_and_raised_by_a_test() {
    let ids: BTreeSet<_> = codes::ALL.iter().map(|code| code.id).collect();
    assert_eq!(ids.len(), codes::ALL.len());
    let faults = faults();
    let mut raised: BTreeSet<_> = faults
        .iter()
        .flat_map(|(_, codes)| *codes)
        .copied()
        .collect();
    // These need more than a short text; each has its own test.
    raised.extend(["SH0100", "SH0111", "SH0123", "SH0205"]);
    assert_eq!(ids, raised);
    for code in codes::ALL {
        assert!(code.explanation.len() > 40, "{}", code.id);
        assert_eq!(codes::find(&code.id.to_lowercase()), Some(*code));
    }
}

#[test]
fn everything_has_a_bound() {
    let large = "#".repeat(FILE_BYTES_MAX + 1);
    assert_eq!(codes_of(&load_text(&large).problems), ["SH0100"]);
    let pointers = vec!["\"/a\""; 17].join(",");
    let many = format!("[source.a]\nverify = {{ scheme = \"none\" }}\nkey = [{pointers}]");
    assert_eq!(codes_of(&load_text(&many).problems), ["SH0111"]);
    let literal: String = (0..600)
        .map(|n| format!("[source.s{n}]\nverify = {{ scheme = \"bearer\", secrets = [\"a\"] }}\n"))
        .collect();
    let loaded = load_text(&literal);
    assert_eq!(loaded.problems.len(), read::PROBLEMS_MAX + 1);
    assert!(
        loaded.config.is_some(),
        "warnings alone keep nothing from being put in force"
    );
    let loaded = load_text(&format!("{literal}wrong = 1"));
    assert!(
        loaded.config.is_none(),
        "no number of warnings hides an error"
    );
    let wrong: String = (0..600).map(|n| format!("wrong{n} = 1\n")).collect();
    let problems = load_text(&wrong).problems;
    assert_eq!(problems.len(), read::PROBLEMS_MAX + 1);
    let last = problems.last().unwrap();
    assert_eq!(
        (last.code, &*last.message),
        ("SH0123", "100 more problems are not shown")
    );
}

#[test]
fn a_broken_resource_is_not_reported_as_missing_too() {
    let text =
        "[endpoint.e]\nurl = 1\n[subscription.s]\nsources = [\"switchhook\"]\nendpoint = \"e\"";
    assert_eq!(codes_of(&load_text(text).problems), ["SH0103"]);
}

#[test]
fn all_syntax_errors_are_shown() {
    let problems = load_text("[server]\ningest = \nadmin = \"a\nx = 1\nx = 2\n").problems;
    assert!(problems.len() >= 2, "{}", render_all(&problems));
    assert!(
        problems
            .iter()
            .all(|p| p.code == "SH0101" && p.place.line.is_some())
    );
}
