//! `switchhook secret`: which secrets there are, and new values for those that the gateway keeps.
//!
//! A value comes from a file or from standard input, never from the command line, which every process can see, and it
//! goes one way: nothing shows it again. The line break at its end, which editors and `echo` write, is not part of it.

use std::path::PathBuf;

use clap::Subcommand;
use http::Method;
use serde_json::json;
use switchhook_wire::api::{PAGE_SIZE_MAX, SecretPlace, SecretRotation, SecretSet, SecretView};

use super::Global;
use super::resource::{Force, LIST_MAX};
use crate::config;
use crate::exit::{Failure, Outcome};
use crate::output::{Output, cut, list, span, table};

/// What to do with secrets.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List all: version, age, and what uses each; never a value
    List,
    /// Set a value, which counts at once and alone
    Set {
        /// Its name
        name: String,
        /// File with the value; `-` is standard input
        #[arg(long, short, value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Set another value, and let the one before count for a while
    Rotate {
        /// Its name
        name: String,
        /// File with the new value; `-` is standard input
        #[arg(long, short, value_name = "FILE")]
        file: Option<PathBuf>,
        /// Have the gateway make a random value, which nobody gets to see
        #[arg(long, conflicts_with = "file")]
        random: bool,
        /// For how long both count, at most 30d [default: 24h]
        #[arg(long, value_name = "TIME")]
        overlap: Option<String>,
    },
    /// Delete one
    Delete {
        /// Its name
        name: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
        /// Do it although resources use it
        #[arg(long)]
        force: bool,
    },
}

/// Does it.
pub(super) async fn run(command: Command, global: &Global, output: Output) -> Outcome {
    let client = global.client()?;
    match command {
        Command::List => {
            let query = json!({"pageSize": PAGE_SIZE_MAX});
            let all: Vec<SecretView> = client.list(&["v1", "secrets"], &query, LIST_MAX).await?;
            list(output, &all, "secrets", secrets_table)
        }
        Command::Set { name, file } => {
            let body = SecretSet {
                value: Some(value(file)?),
                base64: None,
            };
            let path = ["v1", "secrets", &name];
            let one: SecretView = client.put(&path, &json!({}), &body).await?;
            output.show(&one, secret_text)
        }
        Command::Rotate {
            name,
            file,
            random,
            overlap,
        } => {
            let value = if random { None } else { Some(value(file)?) };
            let body = SecretRotation {
                value,
                base64: None,
                overlap,
            };
            let path = ["v1", "secrets", &name, "rotate"];
            let one: SecretView = client.send(Method::POST, &path, &body).await?;
            output.show(&one, secret_text)
        }
        Command::Delete { name, yes, force } => {
            if !yes {
                output.confirm(&format!("deleting secret {name}"), None)?;
            }
            let query = json!({"force": force.then_some(true)});
            let deleted = client.delete(&["v1", "secrets", &name], &query).await;
            deleted.map_err(Force::failure)?;
            let deleted = json!({"kind": "secret", "name": name, "deleted": true});
            output.show(&deleted, |_| format!("secret {name}  deleted"))
        }
    }
}

/// The value in `file` or on standard input.
fn value(file: Option<PathBuf>) -> Result<String, Failure> {
    let mut value = match file {
        Some(path) => config::text(&path)?,
        None => config::stdin()?,
    };
    let line = value.strip_suffix('\n');
    let line = line.map(|line| line.strip_suffix('\r').unwrap_or(line));
    if let Some(length) = line.map(str::len) {
        value.truncate(length);
    }
    if value.is_empty() {
        return Err(Failure::usage("the value is empty")
            .hint("give it on standard input or with --file; a rotation takes --random as well"));
    }
    Ok(value)
}

fn secrets_table(all: &[SecretView]) -> String {
    let rows = all.iter().map(|one| {
        [
            one.name.clone(),
            one.version.to_string(),
            place(one),
            one.age_ms.map(span).unwrap_or_default(),
            one.overlap_until.clone().unwrap_or_default(),
            cut(&one.users.join(", "), 100),
        ]
    });
    let header = ["NAME", "VERSION", "FROM", "AGE", "OVERLAP UNTIL", "USERS"];
    table(header, rows)
}

/// Where the value is.
fn place(one: &SecretView) -> String {
    match &one.place {
        Some(SecretPlace::File(path)) => path.clone(),
        Some(SecretPlace::Env(variable)) => format!("${variable}"),
        None => "store".to_owned(),
    }
}

fn secret_text(one: &SecretView) -> String {
    let overlap = one
        .overlap_until
        .as_ref()
        .map(|until| format!("  the value before counts until {until}"));
    format!(
        "secret {}  version {}{}",
        one.name,
        one.version,
        overlap.unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn one_line_break_at_the_end_is_no_part_of_the_value() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("web");
        for (text, expected) in [
            ("a", "a"),
            ("a\n", "a"),
            ("a\r\n", "a"),
            ("a\n\n", "a\n"),
            (" a\r", " a\r"),
        ] {
            fs::write(&path, text).unwrap();
            assert_eq!(value(Some(path.clone())).unwrap(), expected, "{text:?}");
        }
        fs::write(&path, "\n").unwrap();
        assert!(value(Some(path)).is_err());
    }
}
