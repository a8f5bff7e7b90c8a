//! `switchhook group`: endpoints that share subscriptions, how far each partition has got, and moving them.
//!
//! `seek` and `rebalance` only say what they would do unless `--execute` is given; what they say comes from the
//! gateway, which does exactly that when it is told to. Events that a seek leaves out stay in the log.

mod map;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use http::Method;
use switchhook_wire::api::{
    GroupDescription, PAGE_SIZE_MAX, Page, PauseRequest, PauseState, Rebalance, RebalanceAnswer,
    Seek, SeekAnswer, SeekTo,
};

use super::resource::{Action, Force, GroupFlags, LIST_MAX};
use crate::client::Client;
use crate::config;
use crate::exit::{Failure, Outcome};
use crate::output::{Output, counted, list, table};

/// An offset after every other; the gateway stops at the end of its log.
const LATEST: u64 = i64::MAX as u64;
/// An offset before every other; the gateway begins with the oldest event it has.
const EARLIEST: u64 = 1;

/// What to do with groups.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List all
    List,
    /// Show who works on which partition, how far it has got, and when it will have caught up
    Describe {
        /// Its name
        name: String,
    },
    /// Show the offsets and the lag of every partition
    Lag {
        /// Its name
        name: String,
    },
    /// Move the cursors: forwards leaves events out, backwards delivers them again
    Seek(SeekArgs),
    /// Spread the partitions evenly over the members that are available, with the fewest moves
    Rebalance {
        /// Its name
        name: String,
        /// Do it; without this it is only shown
        #[arg(long)]
        execute: bool,
    },
    /// Stop sending for every subscription of the group; what comes in is kept
    Pause {
        /// Its name
        name: String,
        /// Why, for whoever looks at it
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Go on sending
    Resume {
        /// Its name
        name: String,
        /// Why, for the audit log
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Make one, or replace it as a whole
    Set {
        /// Its name
        name: String,
        /// JSON body in the shape of the configuration file; `-` is standard input
        #[arg(long, short, value_name = "FILE")]
        file: Option<PathBuf>,
        #[command(flatten)]
        flags: GroupFlags,
        #[command(flatten)]
        force: Force,
    },
    /// Delete one
    Delete {
        /// Its name
        name: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
        #[command(flatten)]
        force: Force,
    },
}

/// Which cursors, and where to.
#[derive(Debug, Args)]
pub(crate) struct SeekArgs {
    /// Name of the group
    name: String,
    #[command(flatten)]
    to: To,
    /// Which subscription of the group; needed where several use it
    #[arg(long, value_name = "NAME")]
    subscription: Option<String>,
    /// These partitions only, for example 0,3
    #[arg(long, value_delimiter = ',', value_name = "N")]
    partitions: Vec<u16>,
    /// Do it; without this it is only shown
    #[arg(long)]
    execute: bool,
}

/// Where cursors go.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct To {
    /// To this offset
    #[arg(long, value_name = "N")]
    to_offset: Option<u64>,
    /// To the first event accepted at this time or after: a time, or a span such as 15m
    #[arg(long, value_name = "TIME")]
    to_time: Option<String>,
    /// So many offsets on, or back with a minus: --by -100
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    by: Option<i64>,
    /// To the end of the log: everything up to now is left out
    #[arg(long)]
    to_latest: bool,
    /// To the oldest event of the log: everything is delivered again
    #[arg(long)]
    to_earliest: bool,
}

impl To {
    /// The place, and the flag that says it; a span before now becomes the time it stands for.
    fn place(self) -> Result<(SeekTo, String), Failure> {
        if let Some(offset) = self.to_offset {
            return Ok((SeekTo::Offset(offset), format!("--to-offset {offset}")));
        }
        if let Some(by) = self.by {
            return Ok((SeekTo::Delta(by), format!("--by {by}")));
        }
        if let Some(time) = config::instant(self.to_time.as_deref())? {
            let flag = format!("--to-time {time}");
            return Ok((SeekTo::Time(time), flag));
        }
        if self.to_latest {
            return Ok((SeekTo::Offset(LATEST), "--to-latest".to_owned()));
        }
        Ok((SeekTo::Offset(EARLIEST), "--to-earliest".to_owned()))
    }
}

/// Does it.
pub(super) async fn run(command: Command, client: &Client, output: Output) -> Outcome {
    match command {
        Command::List => {
            let query = serde_json::json!({"pageSize": PAGE_SIZE_MAX});
            let all: Vec<GroupDescription> =
                client.list(&["v1", "groups"], &query, LIST_MAX).await?;
            list(output, &all, "groups", groups_table)
        }
        Command::Describe { name } => {
            let group = described(client, &name).await?;
            output.show(&group, map::description)
        }
        Command::Lag { name } => {
            let group = described(client, &name).await?;
            output.show(&group, map::lags)
        }
        Command::Seek(args) => seek(args, client, output).await,
        Command::Rebalance { name, execute } => rebalance(&name, execute, client, output).await,
        Command::Pause { name, reason } => pause(&name, "pause", reason, client, output).await,
        Command::Resume { name, reason } => pause(&name, "resume", reason, client, output).await,
        Command::Set {
            name,
            file,
            flags,
            force,
        } => {
            let set: Action<GroupFlags> = Action::Set {
                name,
                file,
                flags,
                force,
            };
            set.run(client, output).await
        }
        Command::Delete { name, yes, force } => {
            let delete: Action<GroupFlags> = Action::Delete { name, yes, force };
            delete.run(client, output).await
        }
    }
}

async fn described(client: &Client, name: &str) -> Result<GroupDescription, Failure> {
    Ok(client.get(&["v1", "groups", name]).await?)
}

async fn seek(args: SeekArgs, client: &Client, output: Output) -> Outcome {
    let again = args.again();
    let (to, flag) = args.to.place()?;
    let request = Seek {
        to,
        subscription: args.subscription,
        partitions: (!args.partitions.is_empty()).then_some(args.partitions),
        dry_run: !args.execute,
    };
    let path = ["v1", "groups", &args.name, "seek"];
    let answer: SeekAnswer = client.send(Method::POST, &path, &request).await?;
    output.show(&answer, seek_text)?;
    if answer.dry_run && !answer.partitions.is_empty() {
        output.say(&format!(
            "nothing was changed. To do it: {again} {flag} --execute"
        ));
    }
    Ok(())
}

impl SeekArgs {
    /// The command line that does the same, without its place.
    fn again(&self) -> String {
        let mut line = format!("switchhook group seek {}", self.name);
        if let Some(subscription) = &self.subscription {
            line.push_str(&format!(" --subscription {subscription}"));
        }
        if !self.partitions.is_empty() {
            let numbers: Vec<_> = self.partitions.iter().map(u16::to_string).collect();
            line.push_str(&format!(" --partitions {}", numbers.join(",")));
        }
        line
    }
}

fn seek_text(answer: &SeekAnswer) -> String {
    if answer.partitions.is_empty() {
        return format!("{}: every partition is there already", answer.subscription);
    }
    let rows = answer.partitions.iter().map(|step| {
        let what = if step.to > step.from {
            "left out"
        } else {
            "delivered again"
        };
        [
            step.partition.to_string(),
            step.from.to_string(),
            step.to.to_string(),
            format!("{} {what}", counted(step.events, "event")),
        ]
    });
    let mut text = table(["PARTITION", "FROM", "TO", "EVENTS"], rows);
    let would = if answer.dry_run { "would be" } else { "were" };
    let will = if answer.dry_run {
        "would be"
    } else {
        "will be"
    };
    text.push_str(&format!(
        "\n{}: {} {would} left out, {} {will} delivered again",
        answer.subscription,
        counted(answer.skipped, "event"),
        counted(answer.replayed, "event"),
    ));
    if let Some(job) = &answer.job {
        text.push_str(&format!("\nwatch it: switchhook job get {job} --watch"));
    }
    text
}

async fn rebalance(name: &str, execute: bool, client: &Client, output: Output) -> Outcome {
    let path = ["v1", "groups", name, "rebalance"];
    let request = Rebalance { dry_run: !execute };
    let answer: RebalanceAnswer = client.send(Method::POST, &path, &request).await?;
    output.show(&answer, rebalance_text)?;
    if answer.dry_run && !answer.moves.is_empty() {
        output.say(&format!(
            "nothing was changed. To do it: switchhook group rebalance {name} --execute"
        ));
    }
    Ok(())
}

fn rebalance_text(answer: &RebalanceAnswer) -> String {
    if answer.moves.is_empty() {
        return "the partitions are spread evenly already".to_owned();
    }
    let word = |endpoint: &Option<String>| endpoint.clone().unwrap_or_else(|| "-".to_owned());
    let rows = answer.moves.iter().map(|step| {
        [
            step.subscription.clone(),
            step.partition.to_string(),
            word(&step.from),
            word(&step.to),
        ]
    });
    let (n, would) = (
        counted(answer.moves.len() as u64, "partition"),
        if answer.dry_run { " would" } else { "" },
    );
    let text = table(["SUBSCRIPTION", "PARTITION", "FROM", "TO"], rows);
    format!("{text}\n{n}{would} change hands; each keeps its order and its cursor")
}

async fn pause(
    name: &str,
    action: &str,
    reason: Option<String>,
    client: &Client,
    output: Output,
) -> Outcome {
    let path = ["v1", "groups", name, action];
    let request = PauseRequest { reason };
    let states: Page<PauseState> = client.send(Method::POST, &path, &request).await?;
    list(
        output,
        &states.entities,
        "subscription uses this group",
        |states| {
            let lines: Vec<_> = states.iter().map(super::resource::pause_text).collect();
            lines.join("\n")
        },
    )
}

fn groups_table(groups: &[GroupDescription]) -> String {
    let rows = groups.iter().map(|group| {
        let available = group.members.iter().filter(|member| member.available);
        let lag = group.subscriptions.iter().map(|user| user.lag).max();
        [
            group.name.clone(),
            group.affinity.clone(),
            format!("{} of {}", available.count(), group.members.len()),
            group.partitions.to_string(),
            group.subscriptions.len().to_string(),
            lag.unwrap_or(0).to_string(),
        ]
    });
    let header = [
        "NAME",
        "AFFINITY",
        "AVAILABLE",
        "PARTITIONS",
        "SUBSCRIPTIONS",
        "LAG",
    ];
    table(header, rows)
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use switchhook_wire::api::{PartitionMove, SeekMove};

    use super::*;

    fn seek_args(line: &str) -> Result<SeekArgs, clap::Error> {
        #[derive(Parser)]
        struct Line {
            #[command(flatten)]
            args: SeekArgs,
        }
        let words = std::iter::once("x").chain(line.split_whitespace());
        Ok(Line::try_parse_from(words)?.args)
    }

    #[test]
    fn a_seek_goes_to_one_place_and_says_the_command_that_does_it() {
        for (flags, place) in [
            ("--to-offset 7", SeekTo::Offset(7)),
            ("--by -100", SeekTo::Delta(-100)),
            ("--by 100", SeekTo::Delta(100)),
            ("--to-latest", SeekTo::Offset(LATEST)),
            ("--to-earliest", SeekTo::Offset(EARLIEST)),
            (
                "--to-time 2026-11-20T10:00:00.000Z",
                SeekTo::Time("2026-11-20T10:00:00.000Z".into()),
            ),
        ] {
            let args = seek_args(&format!("pool {flags} --partitions 0,3")).unwrap();
            assert_eq!(args.again(), "switchhook group seek pool --partitions 0,3");
            assert_eq!(args.to.place().unwrap(), (place, flags.to_owned()));
        }
        for line in ["pool", "pool --to-latest --by 3", "pool --to-offset x"] {
            assert!(seek_args(line).is_err(), "{line}");
        }
    }

    #[test]
    fn a_dry_run_says_what_would_happen_and_a_seek_what_did() {
        let mut answer = SeekAnswer {
            subscription: "web-to-pool".into(),
            dry_run: true,
            partitions: vec![
                SeekMove {
                    partition: 0,
                    from: 10,
                    to: 30,
                    events: 12,
                },
                SeekMove {
                    partition: 3,
                    from: 40,
                    to: 30,
                    events: 1,
                },
            ],
            skipped: 12,
            replayed: 1,
            job: None,
        };
        insta::assert_snapshot!(seek_text(&answer), @r"
        PARTITION  FROM  TO  EVENTS
        0          10    30  12 events left out
        3          40    30  1 event delivered again
        web-to-pool: 12 events would be left out, 1 event would be delivered again
        ");
        answer.dry_run = false;
        answer.job = Some("job_1".into());
        insta::assert_snapshot!(seek_text(&answer), @r"
        PARTITION  FROM  TO  EVENTS
        0          10    30  12 events left out
        3          40    30  1 event delivered again
        web-to-pool: 12 events were left out, 1 event will be delivered again
        watch it: switchhook job get job_1 --watch
        ");
    }

    #[test]
    fn a_rebalance_shows_each_partition_that_changes_hands() {
        let answer = RebalanceAnswer {
            dry_run: true,
            moves: vec![PartitionMove {
                subscription: "web-to-pool".into(),
                partition: 3,
                from: Some("a".into()),
                to: None,
            }],
        };
        insta::assert_snapshot!(rebalance_text(&answer), @r"
        SUBSCRIPTION  PARTITION  FROM  TO
        web-to-pool   3          a     -
        1 partition would change hands; each keeps its order and its cursor
        ");
    }
}
