//! `switchhook audit verify`: whether the audit log is what it was, and what can be said of it.
//!
//! The log comes from the running gateway, from an export, or from a stopped store. It is compared with the checkpoints
//! that lie beside it and with those that were kept elsewhere. Only these prove it against who can write the store, so it
//! says up to which entry they do. A key that was given proves more than one that comes from where the log comes from.
//!
//! What is looked at and how is decided in [`switchhook_core::audit::verifier`]. Bounds: the log is read line by line,
//! [`notes::NOTES_MAX`] checkpoints of files, [`LINES_MAX`] lines that are no entries.

use std::fmt::Display;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use switchhook_core::audit::checkpoint::{self, NoteKey, Trust};
use switchhook_core::audit::verifier::{Finding, Kept, Report, Verifier, Witnesses};
use switchhook_store::embedded;
use switchhook_wire::api::{AuditKey, CheckpointQuery, CheckpointView, PAGE_SIZE_MAX};

use super::{exported, lines, notes};
use crate::client::Client;
use crate::cmd::{Global, store};
use crate::exit::{Code, Failure, Outcome};
use crate::output::{Output, counted, cut};

/// Lines that are no entries and are named one by one; the others are counted.
const LINES_MAX: usize = 100;

/// What to verify, and with what.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Verify this export instead of the running gateway's log
    #[arg(long, value_name = "FILE", conflicts_with = "data_dir")]
    file: Option<PathBuf>,
    /// Verify the store in this data directory; works without a gateway
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Checkpoints that were kept elsewhere, as in `[audit] checkpoint_file`; can be given again
    #[arg(long, value_name = "FILE")]
    against: Vec<PathBuf>,
    /// Public key that the checkpoints must be signed with, as `name+id+key`; can be given again
    #[arg(long, value_name = "KEY")]
    key: Vec<NoteKey>,
}

/// Where the log comes from.
enum Subject {
    Gateway(Box<Client>),
    Export(PathBuf),
    Store(PathBuf),
}

/// Which keys count, and why.
struct Trusted {
    keys: Vec<NoteKey>,
    /// `given`, `gateway`, `store`, or `none`.
    from: &'static str,
    /// The key that signs where the log comes from.
    known: Option<AuditKey>,
}

/// What was kept elsewhere.
#[derive(Default)]
struct Outside {
    /// Those that a key that counts has signed.
    count: u64,
    /// The most entries that one of them knows.
    entries: Option<u64>,
}

/// Something that is wrong, with a word for programs.
struct Found {
    code: &'static str,
    text: String,
}

/// What became of it.
struct Verified {
    report: Report,
    found: Vec<Found>,
    more: u64,
}

/// Verifies.
pub(super) async fn run(args: Args, global: &Global, output: Output) -> Outcome {
    let subject = match (args.file, args.data_dir) {
        (Some(file), _) => Subject::Export(file),
        (None, Some(dir)) => Subject::Store(dir),
        (None, None) => Subject::Gateway(Box::new(global.client()?)),
    };
    let known = known(&subject).await?;
    let trusted = Trusted::new(args.key, known, &subject)?;
    if trusted.keys.is_empty() && !args.against.is_empty() {
        let failure = Failure::usage("checkpoints say nothing without the key that signs them");
        return Err(failure.hint(
            "give it with --key; the gateway says it in its log at the start and at GET /v1/audit/key",
        ));
    }
    let store = trusted.known.as_ref().map(|known| &*known.store);
    let mut witnesses = Witnesses::new(trusted.keys.clone(), store);
    // Before the log is read: so it has all that they know.
    let outside = add_outside(&args.against, &trusted, &mut witnesses)?;
    let mut verified = match &subject {
        Subject::Gateway(client) => of_gateway(client, witnesses).await?,
        Subject::Export(file) => of_export(file, witnesses)?,
        Subject::Store(dir) => {
            let report = embedded::verify_audit(dir, witnesses).map_err(store::failure)?;
            Verified::of(report, Vec::new(), 0)
        }
    };
    verified.found.extend(trusted.other_key());
    show(&subject, &trusted, &outside, &verified, output)
}

/// The key and the store that the other side says it has.
async fn known(subject: &Subject) -> Result<Option<AuditKey>, Failure> {
    match subject {
        Subject::Gateway(client) => Ok(Some(client.get(&["v1", "audit", "key"]).await?)),
        Subject::Export(_) => Ok(None),
        Subject::Store(dir) => {
            if !dir.is_dir() {
                let message = format!("there is no data directory {}", dir.display());
                return Err(Failure::new(Code::NotFound, message));
            }
            let body = embedded::setting(dir, AuditKey::SETTING).map_err(store::failure)?;
            Ok(body.and_then(|body| serde_json::from_slice(&body).ok()))
        }
    }
}

impl Trusted {
    fn new(
        given: Vec<NoteKey>,
        known: Option<AuditKey>,
        subject: &Subject,
    ) -> Result<Self, Failure> {
        let (keys, from) = match &known {
            _ if !given.is_empty() => (given, "given"),
            None => (given, "none"),
            Some(known) => {
                let key: Result<NoteKey, _> = known.key.parse();
                let key = key.map_err(|error| {
                    Failure::unexpected(format!("`{}` is no key", cut(&known.key, 80)), error)
                })?;
                (vec![key], subject.word())
            }
        };
        Ok(Self { keys, from, known })
    }

    /// That the other side signs with a key that was not given.
    fn other_key(&self) -> Option<Found> {
        let known = self.known.as_ref()?;
        let is_given = |key: &NoteKey| key.to_string() == known.key;
        if self.keys.iter().any(is_given) {
            return None;
        }
        let text = format!(
            "checkpoints are signed with {} now, which is not a key that was given",
            cut(&known.key, 200)
        );
        Some(Found {
            code: "other-key",
            text,
        })
    }

    /// What there is to say about them.
    fn words(&self) -> &'static str {
        match self.from {
            "given" => "as given",
            "none" => "none: only the chain is checked",
            "gateway" => {
                "as the gateway gives it, trusted since no other was given: keep it elsewhere, and give it with --key"
            }
            _ => {
                "as the store has it, trusted since no other was given: who wrote the store may have written it too; give the one that you keep elsewhere with --key"
            }
        }
    }
}

impl Subject {
    const fn word(&self) -> &'static str {
        match self {
            Self::Gateway(_) => "gateway",
            Self::Export(_) => "export",
            Self::Store(_) => "store",
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Gateway(_) => "the running gateway".to_owned(),
            Self::Export(path) | Self::Store(path) => path.display().to_string(),
        }
    }
}

impl Verified {
    /// `unread` lines were no entries, and `more` besides.
    fn of(report: Report, unread: Vec<Found>, more: u64) -> Self {
        let findings = report.findings.iter().map(|finding| Found {
            code: code(finding),
            text: cut(&finding.to_string(), 300),
        });
        Self {
            found: findings.chain(unread).collect(),
            more: report.more.saturating_add(more),
            report,
        }
    }
}

/// The word for a finding. It never changes its meaning.
const fn code(finding: &Finding) -> &'static str {
    match finding {
        Finding::Broken { .. } => "broken",
        Finding::Missing { .. } => "missing",
        Finding::Disordered { .. } => "disordered",
        Finding::Rewritten { .. } => "rewritten",
        Finding::Truncated { .. } => "truncated",
        Finding::BadSignature(_) => "bad-signature",
        Finding::UnknownKey(_) => "unknown-key",
        Finding::OtherStore { .. } => "other-store",
        Finding::Unreadable { .. } => "unreadable",
    }
}

/// Adds the checkpoints in `files`.
fn add_outside(
    files: &[PathBuf],
    trusted: &Trusted,
    witnesses: &mut Witnesses,
) -> Result<Outside, Failure> {
    let mut outside = Outside::default();
    let store = trusted.known.as_ref().map(|known| &*known.store);
    for file in files {
        for notes::Text { line, text } in notes::read(file)? {
            let counts = checkpoint::parse(&text).ok().filter(|note| {
                note.trust(&trusted.keys) == Trust::Signed
                    && store.is_none_or(|store| *store == *note.checkpoint.store)
            });
            if let Some(note) = counts {
                outside.count += 1;
                outside.entries = outside.entries.max(Some(note.checkpoint.entries));
            }
            let name = format!("{}:{line}", file.display());
            witnesses.add(Kept::Outside(name.into()), &text);
        }
    }
    Ok(outside)
}

async fn of_gateway(client: &Client, mut witnesses: Witnesses) -> Result<Verified, Failure> {
    let query = CheckpointQuery {
        after: None,
        page_size: Some(PAGE_SIZE_MAX),
    };
    let path = ["v1", "audit", "checkpoints"];
    let kept: Vec<CheckpointView> = client.list(&path, &query, usize::MAX).await?;
    for CheckpointView { entries, note, .. } in kept {
        witnesses.add(Kept::Inside(entries.to_string().into()), &note);
    }
    let mut reading = Reading::new(witnesses);
    let mut lines = exported(client, 1).await?;
    while let Some(line) = lines.next().await? {
        reading.line(&line);
    }
    Ok(reading.finish())
}

fn of_export(path: &Path, witnesses: Witnesses) -> Result<Verified, Failure> {
    let failed = |error: std::io::Error| notes::unreadable(path, &error);
    let mut reading = Reading::new(witnesses);
    for line in BufReader::new(File::open(path).map_err(failed)?).lines() {
        reading.line(&line.map_err(failed)?);
    }
    Ok(reading.finish())
}

/// A log that comes line by line.
struct Reading {
    verifier: Verifier,
    at: u64,
    unread: Vec<Found>,
    more: u64,
}

impl Reading {
    fn new(witnesses: Witnesses) -> Self {
        Self {
            verifier: Verifier::new(witnesses),
            at: 0,
            unread: Vec::new(),
            more: 0,
        }
    }

    fn line(&mut self, line: &str) {
        self.at += 1;
        let Err(why) = lines::look(&mut self.verifier, line) else {
            return;
        };
        if self.unread.len() >= LINES_MAX {
            self.more += 1;
            return;
        }
        let text = format!("line {} is no entry of an audit log: {why}", self.at);
        self.unread.push(Found {
            code: "unreadable-line",
            text: cut(&text, 300),
        });
    }

    fn finish(self) -> Verified {
        Verified::of(self.verifier.finish(), self.unread, self.more)
    }
}

/// Says what was checked and what was found; the exit code says whether that is anything.
fn show(
    subject: &Subject,
    trusted: &Trusted,
    outside: &Outside,
    verified: &Verified,
    output: Output,
) -> Outcome {
    let report = &verified.report;
    let found: Vec<Value> = verified
        .found
        .iter()
        .map(|found| json!({ "code": found.code, "text": found.text }))
        .collect();
    let keys: Vec<String> = trusted.keys.iter().map(ToString::to_string).collect();
    let inside = report.checkpoints.saturating_sub(outside.count);
    let unproved = unproved(report.entries, outside);
    let value = json!({
        "subject": subject.word(),
        "of": subject.name(),
        "entries": report.entries,
        "head": HEXLOWER.encode(&report.head),
        "keys": keys,
        "keysFrom": trusted.from,
        "checkpointsInside": inside,
        "checkpointsOutside": outside.count,
        "provedUpTo": outside.entries,
        "unproved": unproved,
        "intact": verified.found.is_empty() && verified.more == 0,
        "findings": found,
        "moreFindings": verified.more,
    });
    let text = || {
        let mut text = row(
            "log",
            format!("{}, up to entry {}", subject.name(), report.entries),
        );
        text += &row("head", HEXLOWER.encode(&report.head));
        for key in &keys {
            text += &row("key", key);
        }
        text += &row("", trusted.words());
        text += &row(
            "inside",
            format!("{} beside the log", counted(inside, "checkpoint")),
        );
        text += &row(
            "outside",
            format!("{} kept elsewhere", counted(outside.count, "checkpoint")),
        );
        for found in &verified.found {
            text += &row(found.code, &found.text);
        }
        if verified.more > 0 {
            text += &row(
                "",
                format!("and {}", counted(verified.more, "more finding")),
            );
        }
        if verified.found.is_empty() {
            text += &row("found", "nothing");
        }
        text + &unproved.map_or_else(String::new, |unproved| row("note", unproved))
    };
    output.show(&value, |_| text())?;
    match verified.found.len() as u64 + verified.more {
        0 => Ok(()),
        count => Err(Failure::new(
            Code::Unexpected,
            format!("the audit log has {}", counted(count, "finding")),
        )
        .hint("keep the store and the checkpoints as they are: they show what was done")),
    }
}

fn row(name: &str, words: impl Display) -> String {
    format!("{name:<16}{words}\n")
}

/// What cannot be known from this, in words.
fn unproved(entries: u64, outside: &Outside) -> Option<String> {
    match outside.entries {
        None => Some(
            "without a checkpoint from outside (--against) this does not find a log that was cut or written anew together \
             with its checkpoints, nor a store that was rolled back as a whole"
                .to_owned(),
        ),
        Some(known) if known < entries => Some(format!(
            "what came after entry {known} is under no checkpoint from outside yet: only the store itself speaks for it"
        )),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_up_to_where_checkpoints_from_outside_prove_the_log() {
        let known = |entries| Outside { count: 1, entries };
        assert!(unproved(5, &known(None)).unwrap().contains("--against"));
        assert!(unproved(5, &known(Some(3))).unwrap().contains("entry 3"));
        assert_eq!(unproved(5, &known(Some(5))), None);
        assert_eq!(unproved(5, &known(Some(7))), None, "it is a finding then");
    }
}
