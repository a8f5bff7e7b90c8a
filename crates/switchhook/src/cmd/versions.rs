//! `switchhook config` and `switchhook reload`: what is in force at the gateway, its versions, and going back to one.

use clap::Subcommand;
use serde_json::json;
use switchhook_wire::api::{
    ConfigChange, ConfigReloaded, ConfigRollback, ConfigVersion, ConfigView, Owner,
};

use super::resource::Force;
use crate::client::Client;
use crate::exit::Outcome;
use crate::output::{Output, counted, cut, list, span, table};

/// Versions that a gateway keeps.
const VERSIONS_MAX: usize = 50;
/// Names of a version that are shown in a list, in characters.
const CHANGES_CHARS: usize = 80;

/// What to do with the configuration of a gateway that runs.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show what is in force, and whose it is
    Show,
    /// List the versions of the file that were in force
    Versions,
    /// Go back to an earlier version of the file, and stay there until the file changes
    Rollback {
        /// Which [default: the one before]
        version: Option<u64>,
        /// Only say what would change
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        force: Force,
    },
}

/// How to read the file again.
#[derive(Debug, clap::Args)]
pub(crate) struct ReloadArgs {
    /// Only say what would change
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    force: Force,
}

/// Does it.
pub(super) async fn run(command: Command, client: &Client, output: Output) -> Outcome {
    match command {
        Command::Show => {
            let view: ConfigView = client.get(&["v1", "config"]).await?;
            output.show(&view, view_text)
        }
        Command::Versions => {
            let path = ["v1", "config", "versions"];
            let all: Vec<ConfigVersion> = client.list(&path, &(), VERSIONS_MAX).await?;
            list(output, &all, "versions", versions_table)
        }
        Command::Rollback {
            version,
            dry_run,
            force,
        } => {
            let body = ConfigRollback { version };
            tell(client, "config:rollback", (dry_run, force), &body, output).await
        }
    }
}

/// Has the gateway read its file again.
pub(super) async fn reload(args: ReloadArgs, client: &Client, output: Output) -> Outcome {
    let how = (args.dry_run, args.force);
    tell(client, "config:reload", how, &json!({}), output).await
}

async fn tell(
    client: &Client,
    path: &str,
    (dry_run, force): (bool, Force),
    body: &impl serde::Serialize,
    output: Output,
) -> Outcome {
    let query = json!({
        "force": force.is_set().then_some(true),
        "dryRun": dry_run.then_some(true),
    });
    let done: ConfigReloaded = client
        .post(&["v1", path], &query, body)
        .await
        .map_err(Force::failure)?;
    output.show(&done, reloaded_text)
}

/// What differs, one on each line.
fn changes_text(changes: &[ConfigChange]) -> String {
    changes
        .iter()
        .map(|change| format!("  {:<8} {}\n", change.change.name(), change.object))
        .collect()
}

fn restart_text(needed: &[String]) -> String {
    if needed.is_empty() {
        return String::new();
    }
    format!("restart needed: {}\n", needed.join(", "))
}

fn reloaded_text(done: &ConfigReloaded) -> String {
    let head = match (done.changed, done.dry_run) {
        (true, false) => format!("version {} is in force", done.version),
        (true, true) => format!("would be version {}; nothing was changed", done.version),
        (false, _) => format!("nothing has changed: version {} is in force", done.version),
    };
    let pinned = match &done.pinned {
        Some(_) if done.dry_run => "the file would not count until it changes\n",
        Some(_) => "pinned: the file does not count until it changes\n",
        None => "",
    };
    format!(
        "{head}\n{}{pinned}{}",
        changes_text(&done.changes),
        restart_text(&done.restart_needed)
    )
}

fn versions_table(versions: &[ConfigVersion]) -> String {
    let rows = versions.iter().map(|version| {
        let changes: Vec<&str> = version.changes.iter().map(|c| c.object.as_str()).collect();
        let how = match version.text_of {
            Some(of) => format!("{} to {of}", version.cause.name()),
            None => version.cause.name().to_owned(),
        };
        [
            version.number.to_string(),
            version.at.clone(),
            cut(&version.actor, 32),
            how,
            cut(&version.hash, 13),
            cut(&changes.join(" "), CHANGES_CHARS),
        ]
    });
    table(["VERSION", "AT", "WHO", "HOW", "HASH", "CHANGES"], rows)
}

fn view_text(view: &ConfigView) -> String {
    let mut text = format!("file      {}\n", view.file.as_deref().unwrap_or("none"));
    if let Some(version) = &view.version {
        let (number, at, actor) = (version.number, &version.at, cut(&version.actor, 32));
        text.push_str(&format!("version   {number}  since {at} by {actor}\n"));
    }
    if let Some(pin) = &view.pinned {
        let number = pin.version;
        text.push_str(&format!(
            "pinned    version {number} counts until the file changes\n"
        ));
    }
    if let Some(read) = view.last_read.as_ref().filter(|read| !read.succeeded) {
        text.push_str(&format!("refused   {}\n", read.at));
        for problem in &read.problems {
            text.push_str(&format!("  {problem}\n"));
        }
    }
    text.push_str(&restart_text(&view.restart_needed));
    text.push_str(&settings_text(view));
    let owner = |owner| match owner {
        Owner::File => "file",
        Owner::Api => "api",
        Owner::BuiltIn => "built in",
    };
    let rows = view.resources.iter().map(|resource| {
        let place = resource.defined_at.clone().or(resource.managed_by.clone());
        [
            resource.kind.clone(),
            resource.name.clone(),
            owner(resource.owner).to_owned(),
            place.unwrap_or_default(),
        ]
    });
    text.push('\n');
    text.push_str(&table(["KIND", "NAME", "OWNER", "DECLARED IN"], rows));
    text
}

fn settings_text(view: &ConfigView) -> String {
    let of = &view.settings;
    let alert = |shown: Option<String>| shown.unwrap_or_else(|| "off".to_owned());
    let size = of
        .retention_bytes_max
        .map_or("no limit".to_owned(), |bytes| counted(bytes, "byte"));
    format!(
        "ingest    {}\nadmin     {}\ndata      {}  {}\nlimits    {} connections, {} requests under way\n\
         keep      events {}, attempts {}, dead letters {}, {size}\nalerts    lag {}, backlog age {}, disk {}\n",
        of.ingest,
        of.admin,
        of.data_dir,
        of.durability,
        of.max_connections,
        of.concurrency,
        span(of.retention_events_ms),
        span(of.retention_attempts_ms),
        span(of.retention_dead_ms),
        alert(of.alert_lag.map(|lag| lag.to_string())),
        alert(of.alert_backlog_age_ms.map(span)),
        alert(
            of.alert_disk_per_mille
                .map(|share| format!("{}.{} %", share / 10, share % 10))
        ),
    )
}

#[cfg(test)]
mod tests {
    use switchhook_wire::api::{ConfigCause, ConfigChangeKind, ConfigPin};

    use super::*;

    #[test]
    fn what_a_reload_did_is_told_with_what_needs_a_restart() {
        let change = |object: &str, change| ConfigChange {
            object: object.to_owned(),
            change,
        };
        let done = ConfigReloaded {
            version: 4,
            changed: true,
            changes: vec![
                change("endpoint/crm", ConfigChangeKind::Changed),
                change("subscription/b", ConfigChangeKind::Created),
            ],
            restart_needed: vec!["server.ingest".to_owned(), "store.durability".to_owned()],
            pinned: None,
            dry_run: false,
        };
        insta::assert_snapshot!(reloaded_text(&done), @r"
        version 4 is in force
          changed  endpoint/crm
          created  subscription/b
        restart needed: server.ingest, store.durability
        ");
        let pinned = ConfigReloaded {
            pinned: Some(ConfigPin::default()),
            dry_run: true,
            restart_needed: Vec::new(),
            changes: Vec::new(),
            ..done
        };
        insta::assert_snapshot!(reloaded_text(&pinned), @r"
        would be version 4; nothing was changed
        the file would not count until it changes
        ");
    }

    #[test]
    fn versions_are_listed_with_who_and_what() {
        let version = ConfigVersion {
            number: 3,
            at: "2026-11-20T10:00:00.000Z".into(),
            actor: "first".into(),
            cause: ConfigCause::Rollback,
            hash: "0123456789abcdef".into(),
            text_of: Some(1),
            changes: vec![ConfigChange {
                object: "endpoint/crm".into(),
                change: ConfigChangeKind::Changed,
            }],
        };
        insta::assert_snapshot!(versions_table(&[version]), @r"
        VERSION  AT                        WHO    HOW            HASH           CHANGES
        3        2026-11-20T10:00:00.000Z  first  rollback to 1  0123456789ab…  endpoint/crm
        ");
    }
}
