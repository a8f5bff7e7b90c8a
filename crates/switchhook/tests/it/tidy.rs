//! Promise: the rules of `docs/architecture.md` hold, and what the pages point at is there.
//!
//! These checks read the sources as text: they are for what the compiler cannot see. Exceptions stand here, with
//! what they are for, and a check fails when an exception is no longer needed.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

/// Which of our crates each may use.
const DIRECTIONS: [(&str, &[&str]); 7] = [
    ("switchhook-core", &[]),
    ("switchhook-wire", &["switchhook-core"]),
    ("switchhook-store", &["switchhook-core"]),
    (
        "switchhook-genesys",
        &["switchhook-core", "switchhook-wire"],
    ),
    (
        "switchhook-server",
        &["switchhook-core", "switchhook-store", "switchhook-wire"],
    ),
    (
        "switchhook-sim",
        &["switchhook-core", "switchhook-store", "switchhook-wire"],
    ),
    (
        "switchhook",
        &[
            "switchhook-core",
            "switchhook-genesys",
            "switchhook-server",
            "switchhook-sim",
            "switchhook-store",
            "switchhook-wire",
        ],
    ),
];

/// What the core must not use: runtimes, sockets, files, clocks, chance.
const NOT_IN_CORE: [&str; 13] = [
    "tokio",
    "hyper",
    "hyper-util",
    "axum",
    "rustls",
    "rusqlite",
    "rustix",
    "libc",
    "tempfile",
    "rand",
    "getrandom",
    "fastrand",
    "serde",
];

/// Lines of a file without its tests.
const LINES_MAX: usize = 500;

/// Files that are longer, and how long they may be. A number here only ever shrinks.
const LONG: [(&str, usize); 0] = [];

/// Names that say nothing about what is decided inside.
const EMPTY_WORDS: [&str; 9] = [
    "util",
    "utils",
    "common",
    "helper",
    "helpers",
    "manager",
    "misc",
    "shared",
    "lib_utils",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

/// Every file under `dir`, with its path from the root.
fn files(dir: &str) -> Vec<(String, String)> {
    let root = root();
    let mut found = Vec::new();
    let mut open = vec![root.join(dir)];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(
                fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        } else if let Ok(text) = fs::read_to_string(&path) {
            found.push((
                path.strip_prefix(&root)
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned(),
                text,
            ));
        }
    }
    assert!(!found.is_empty(), "{dir} is empty");
    found.sort();
    found
}

/// Rust sources that ship: no tests, no benches.
fn sources() -> Vec<(String, String)> {
    let mut sources = files("crates");
    sources.retain(|(path, _)| {
        path.ends_with(".rs")
            && path.contains("/src/")
            && !path.contains("/tests/")
            && !path.ends_with("/tests.rs")
    });
    for (_, text) in &mut sources {
        text.truncate(without_tests(text).len());
    }
    sources
}

/// The part of a source above its tests.
fn without_tests(text: &str) -> &str {
    text.find("\n#[cfg(test)]\nmod tests {")
        .map_or(text, |at| &text[..at])
}

/// The lines of `sources` that hold one of `words`, comments aside, as `path:line: text`.
fn lines_with(
    sources: &[(String, String)],
    words: &[&str],
    allowed: impl Fn(&str) -> bool,
) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in sources.iter().filter(|(path, _)| !allowed(path)) {
        for (number, line) in text.lines().enumerate() {
            let is_comment = line.trim_start().starts_with("//");
            if !is_comment && words.iter().any(|word| line.contains(word)) {
                found.push(format!("{path}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    found
}

fn dependencies(crate_name: &str) -> BTreeSet<String> {
    let text =
        fs::read_to_string(root().join("crates").join(crate_name).join("Cargo.toml")).unwrap();
    let section = text
        .lines()
        .skip_while(|line| *line != "[dependencies]")
        .skip(1);
    let entries = section.take_while(|line| !line.starts_with('['));
    entries
        .filter_map(|line| line.split(['.', '=', ' ']).next())
        .map(str::to_owned)
        .collect()
}

#[test]
fn crates_use_each_other_in_one_direction_only() {
    let known: BTreeSet<&str> = DIRECTIONS.iter().map(|(name, _)| *name).collect();
    let there: BTreeSet<String> = fs::read_dir(root().join("crates"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(
        there.iter().map(String::as_str).collect::<BTreeSet<_>>(),
        known,
        "a crate needs its rule here"
    );
    for (name, allowed) in DIRECTIONS {
        let used: BTreeSet<String> = dependencies(name)
            .into_iter()
            .filter(|used| used.starts_with("switchhook"))
            .collect();
        let forbidden: Vec<_> = used
            .iter()
            .filter(|used| !allowed.contains(&used.as_str()))
            .collect();
        assert!(forbidden.is_empty(), "{name} must not use {forbidden:?}");
    }
}

#[test]
fn the_core_touches_no_socket_file_clock_or_chance() {
    let used = dependencies("switchhook-core");
    let forbidden: Vec<_> = NOT_IN_CORE
        .iter()
        .filter(|name| used.contains(**name))
        .collect();
    assert!(forbidden.is_empty(), "{forbidden:?}");
    let words = [
        "Instant",
        "SystemTime",
        "std::fs",
        "std::env",
        "std::thread",
        "TcpStream",
        "UdpSocket",
        "now_v7",
        "::now()",
    ];
    let found = lines_with(&sources(), &words, |path| {
        !path.starts_with("crates/switchhook-core/")
    });
    assert_eq!(found, [""; 0]);
}

#[test]
fn shapes_are_derived_in_wire_only() {
    let sources = sources();
    let derives: Vec<_> = lines_with(&sources, &["derive("], |path| {
        path.starts_with("crates/switchhook-wire/")
    })
    .into_iter()
    .filter(|line| line.contains("Serialize") || line.contains("Deserialize"))
    .collect();
    assert_eq!(derives, [""; 0]);
}

#[test]
fn only_output_prints() {
    let words = ["println!(", "print!(", "eprintln!(", "eprint!(", "dbg!("];
    let found = lines_with(&sources(), &words, |path| {
        path == "crates/switchhook/src/output.rs"
    });
    assert_eq!(found, [""; 0]);
}

#[test]
fn only_the_binary_reads_its_surroundings() {
    // Broken on purpose and in no release.
    let sabotage = "crates/switchhook-store/src/embedded/writer/sabotage.rs";
    let allowed = |path: &str| path.starts_with("crates/switchhook/") || path == sabotage;
    let found = lines_with(&sources(), &["env::var", "env::args"], allowed);
    assert_eq!(found, [""; 0]);
}

#[test]
fn only_observe_names_metrics() {
    let observe = |path: &str| path.starts_with("crates/switchhook-server/src/observe/");
    assert_eq!(
        lines_with(&sources(), &["prometheus_client"], observe),
        [""; 0]
    );
}

#[test]
fn a_file_fits_the_mind() {
    let mut long: BTreeMap<&str, usize> = LONG.into_iter().collect();
    let mut problems = Vec::new();
    for (path, text) in sources() {
        let (lines, most) = (text.lines().count(), long.remove(path.as_str()));
        match most {
            Some(most) if lines <= LINES_MAX => {
                problems.push(format!("{path} needs no exception of {most} any more"))
            }
            Some(most) if lines > most => {
                problems.push(format!("{path} has {lines} lines, its exception is {most}"))
            }
            None if lines > LINES_MAX => {
                problems.push(format!("{path} has {lines} lines, {LINES_MAX} are allowed"))
            }
            _ => {}
        }
    }
    problems.extend(
        long.keys()
            .map(|path| format!("{path} has an exception and does not exist")),
    );
    assert_eq!(problems, [""; 0]);
}

#[test]
fn a_file_is_named_after_what_it_decides() {
    let files = files("crates");
    let empty = files.iter().filter(|(path, _)| {
        Path::new(path).components().any(|part| {
            let name = Path::new(part.as_os_str())
                .file_stem()
                .and_then(OsStr::to_str);
            name.is_some_and(|name| EMPTY_WORDS.contains(&name))
        })
    });
    assert_eq!(empty.map(|(path, _)| path).collect::<Vec<_>>(), [""; 0]);
}

/// The pages that people read.
fn pages() -> Vec<(String, String)> {
    let top = ["README.md", "CHANGELOG.md"]
        .into_iter()
        .filter_map(|name| {
            fs::read_to_string(root().join(name))
                .ok()
                .map(|text| (name.to_owned(), text))
        });
    let mut pages = files("docs");
    pages.retain(|(path, _)| path.ends_with(".md"));
    pages.extend(top);
    pages
}

#[test]
fn every_link_between_pages_leads_somewhere() {
    let mut broken = Vec::new();
    for (path, text) in pages() {
        let place = root().join(&path);
        for link in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let target = link.split('#').next().unwrap_or_default();
            let elsewhere =
                target.is_empty() || target.contains("://") || target.starts_with("mailto:");
            if !elsewhere && !place.parent().unwrap().join(target).exists() {
                broken.push(format!("{path}: {link}"));
            }
        }
    }
    assert_eq!(broken, [""; 0]);
}

/// Every `SH` with four digits in `text`.
fn codes(text: &str) -> BTreeSet<&str> {
    let found = text
        .match_indices("SH")
        .filter_map(|(at, _)| text.get(at..at + 6));
    found
        .filter(|code| code[2..].bytes().all(|byte| byte.is_ascii_digit()))
        .collect()
}

#[test]
fn every_error_code_has_its_entry() {
    let place = "crates/switchhook-wire/src/config/codes.rs";
    let table = fs::read_to_string(root().join(place)).unwrap();
    let defined: BTreeSet<&str> = table
        .lines()
        .filter(|line| line.contains(" = \"SH"))
        .flat_map(codes)
        .collect();
    assert!(!defined.is_empty());
    // The table itself may tell which codes are used up.
    let sources = sources().into_iter().filter(|(path, _)| path != place);
    for (path, text) in pages().into_iter().chain(sources) {
        let unknown: Vec<_> = codes(&text)
            .into_iter()
            .filter(|code| !defined.contains(code))
            .collect();
        assert!(unknown.is_empty(), "{path} names {unknown:?}");
    }
}

#[test]
fn a_broken_rule_would_be_seen() {
    let source = |text: &str| vec![("crates/x/src/a.rs".to_owned(), text.to_owned())];
    let printing = source("fn a() {\n    println!(\"a\");\n    // println!(\"b\");\n}\n");
    assert_eq!(
        lines_with(&printing, &["println!("], |_| false),
        ["crates/x/src/a.rs:2: println!(\"a\");"]
    );
    assert_eq!(without_tests("a\n#[cfg(test)]\nmod tests {\n"), "a");
    assert_eq!(
        codes("see SH0104 and SHA256, SH12"),
        BTreeSet::from(["SH0104"])
    );
}
