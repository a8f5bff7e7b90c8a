//! `switchhook secret`: which secrets there are, and their values on this machine.
//!
//! No request carries a value, so `set` and `delete` do not ask the gateway: they write and remove files
//! in `secrets/` of its data directory, on the machine where it runs. A value comes from a file or from
//! standard input, never from the command line. It counts from its next use on; nothing is restarted.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;
use switchhook_wire::api::{PAGE_SIZE_MAX, ResourceView};
use switchhook_wire::config::is_name;

use super::Global;
use super::resource::{LIST_MAX, resources_table};
use crate::config;
use crate::exit::{Code, Failure, Outcome};
use crate::output::{Output, list};

/// Only the owner reads a secret.
const MODE: u32 = 0o600;

/// What to do with secrets.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List all names, and where each value comes from; never a value
    List,
    /// Set a value on this machine, read from a file or standard input
    Set {
        /// Its name
        name: String,
        /// File with the value; `-` is standard input
        #[arg(long, short, value_name = "FILE")]
        file: Option<PathBuf>,
        #[command(flatten)]
        place: Place,
    },
    /// Delete a value on this machine
    Delete {
        /// Its name
        name: String,
        #[command(flatten)]
        place: Place,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

/// Whose secret.
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// Data directory of the gateway [default: that of the configuration file]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Configuration file that names the data directory
    #[arg(long, short, value_name = "FILE", conflicts_with = "data_dir")]
    config: Option<PathBuf>,
}

impl Place {
    /// The file of the secret `name`. The directory must be there: the gateway makes it when it starts.
    fn file(self, name: &str, output: Output) -> Result<PathBuf, Failure> {
        if !is_name(name) {
            return Err(
                Failure::usage(format!("`{name}` cannot be the name of a secret")).hint(
                    "use 1 to 64 of a-z, 0-9, `.`, `_`, `-`, starting with a letter or digit",
                ),
            );
        }
        let data_dir = match self.data_dir {
            Some(dir) => dir,
            None => config::load(self.config, output)?.server.data_dir,
        };
        let secrets = data_dir.join("secrets");
        if !secrets.is_dir() {
            let message = format!("there is no directory {}", secrets.display());
            return Err(Failure::new(Code::NotFound, message)
                .hint("start the gateway once, and name its data directory with --data-dir"));
        }
        Ok(secrets.join(name))
    }
}

/// Does it.
pub(super) async fn run(command: Command, global: &Global, output: Output) -> Outcome {
    match command {
        Command::List => {
            let query = json!({"pageSize": PAGE_SIZE_MAX});
            let client = global.client()?;
            let all: Vec<ResourceView> = client.list(&["v1", "secrets"], &query, LIST_MAX).await?;
            list(output, &all, "secrets", resources_table)
        }
        Command::Set { name, file, place } => {
            let target = place.file(&name, output)?;
            let value = match file {
                Some(path) => config::text(&path)?,
                None => config::stdin()?,
            };
            if value.trim().is_empty() {
                return Err(Failure::usage("the value is empty")
                    .hint("give it on standard input or with --file"));
            }
            write(&target, value.as_bytes()).map_err(|error| {
                Failure::unexpected(format!("{} cannot be written", target.display()), error)
            })?;
            let done = json!({"kind": "secret", "name": name, "file": target});
            output.show(&done, |_| format!("secret {name}  {}", target.display()))
        }
        Command::Delete { name, place, yes } => {
            let target = place.file(&name, output)?;
            if !yes {
                output.confirm(&format!("deleting secret {name}"), None)?;
            }
            fs::remove_file(&target).map_err(|error| {
                let missing = error.kind() == io::ErrorKind::NotFound;
                let code = if missing {
                    Code::NotFound
                } else {
                    Code::Unexpected
                };
                Failure::new(
                    code,
                    format!("{} cannot be deleted: {error}", target.display()),
                )
            })?;
            let done = json!({"kind": "secret", "name": name, "deleted": true});
            output.show(&done, |_| format!("secret {name}  deleted"))
        }
    }
}

/// Puts `value` in the place of `target` at once, so that no reader sees a part of it.
fn write(target: &Path, value: &[u8]) -> io::Result<()> {
    // A name that no secret can have: the gateway passes it over.
    let part = target.with_file_name(format!(".part-{}", std::process::id()));
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(MODE)
        .open(&part)?;
    let written = file
        .write_all(value)
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&part, target));
    if written.is_err() {
        // What is left is a part that nobody reads.
        fs::remove_file(&part).ok();
    }
    written
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_value_replaces_the_one_before_and_only_its_owner_can_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("web");
        for value in [&b"a longer value"[..], b"short"] {
            write(&target, value).unwrap();
            assert_eq!(fs::read(&target).unwrap(), value);
        }
        assert_eq!(
            fs::metadata(&target).unwrap().permissions().mode() & 0o777,
            MODE
        );
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_name_cannot_lead_out_of_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("secrets")).unwrap();
        let output = Output::new(false, true, true);
        let file = |name: &str| {
            Place {
                data_dir: Some(dir.path().into()),
                config: None,
            }
            .file(name, output)
        };
        for name in [
            "",
            ".",
            "..",
            "../web",
            "a/b",
            "/etc/passwd",
            ".part-1",
            "Web",
        ] {
            assert_eq!(file(name).unwrap_err().code, Code::Usage, "{name}");
        }
        assert_eq!(file("web").unwrap(), dir.path().join("secrets/web"));
    }
}
