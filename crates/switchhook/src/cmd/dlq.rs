//! `switchhook dlq`: dead letters, and bulk actions on all that match a filter.
//!
//! An action acts on the filter, never on a page that was shown. Without a filter it needs `--all`, so
//! that a forgotten flag cannot select everything.

use clap::{Args, Subcommand};
use switchhook_core::delivery::DeadReason;
use switchhook_wire::api::{
    BulkResult, DeadLetterFilter, DeadLetterQuery, DeadLetterView, PAGE_SIZE_MAX, SelectionRequest,
};

use crate::client::Client;
use crate::config;
use crate::exit::{Code, Failure, Outcome};
use crate::output::{Output, cut, list, table};

/// What to do with dead letters.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List dead letters, oldest first
    List {
        #[command(flatten)]
        filter: Filter,
        /// Most dead letters to list
        #[arg(long, default_value_t = 50, value_name = "N")]
        limit: usize,
    },
    /// Show a dead letter with its event
    Get {
        /// Delivery id, `dlv_…`
        id: String,
    },
    /// Try again all that match; they keep their event ids
    Replay(Selection),
    /// Give up all that match for good
    Discard {
        #[command(flatten)]
        selection: Selection,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Write all that match as JSON lines, bodies included
    Export {
        #[command(flatten)]
        filter: Filter,
    },
}

/// Which dead letters. Everything that is set must hold.
#[derive(Debug, Args)]
pub(crate) struct Filter {
    /// Meant for this endpoint
    #[arg(long, value_name = "NAME")]
    endpoint: Option<String>,
    /// Of this subscription
    #[arg(long, value_name = "NAME")]
    subscription: Option<String>,
    /// With exactly this event type
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Whose last answer had exactly this status, for example 503
    #[arg(long, value_parser = status)]
    status: Option<u16>,
    /// Given up for this reason
    #[arg(long, value_parser = clap::builder::PossibleValuesParser::new(DeadReason::ALL.iter().map(|reason| reason.name())))]
    reason: Option<String>,
    /// Given up since: a time, or a span such as 15m
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Given up before: a time, or a span such as 15m
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Of this event, `evt_…`
    #[arg(long, value_name = "ID")]
    event: Option<String>,
}

/// A filter, or everything.
#[derive(Debug, Args)]
pub(crate) struct Selection {
    #[command(flatten)]
    filter: Filter,
    /// All dead letters; needed when no filter is given
    #[arg(long)]
    all: bool,
    /// Only count; change nothing
    #[arg(long)]
    dry_run: bool,
}

/// An exact status; the gateway selects by nothing wider.
fn status(text: &str) -> Result<u16, String> {
    let status = text.parse().ok();
    let status = status.filter(|status| (100..=599).contains(status));
    status.ok_or_else(|| {
        "write one status, 100 to 599, for example 503; a class such as 5xx cannot be selected, --reason and --endpoint can"
            .to_owned()
    })
}

impl Filter {
    fn wire(self) -> Result<DeadLetterFilter, Failure> {
        Ok(DeadLetterFilter {
            endpoint: self.endpoint,
            subscription: self.subscription,
            kind: self.kind,
            status: self.status,
            reason: self.reason,
            event_id: self.event,
            since: config::instant(self.since.as_deref())?,
            until: config::instant(self.until.as_deref())?,
        })
    }
}

impl Selection {
    /// The filter, unless nothing was chosen at all.
    fn request(self) -> Result<SelectionRequest, Failure> {
        let (all, dry_run) = (self.all, self.dry_run);
        let filter = self.filter.wire()?;
        let empty = filter == DeadLetterFilter::default();
        if empty && !all {
            return Err(Failure::usage("no filter was given")
                .hint("name what is meant, for example --endpoint crm, or give --all"));
        }
        if all && !empty {
            return Err(Failure::usage("--all and a filter contradict each other")
                .hint("leave one of them out"));
        }
        Ok(SelectionRequest {
            filter,
            all,
            dry_run,
        })
    }
}

/// Does it.
pub(super) async fn run(command: Command, client: &Client, output: Output) -> Outcome {
    match command {
        Command::List { filter, limit } => {
            let mut query = DeadLetterQuery::from(filter.wire()?);
            query.page_size = Some(limit.clamp(1, PAGE_SIZE_MAX));
            let letters: Vec<DeadLetterView> =
                client.list(&["v1", "deadLetters"], &query, limit).await?;
            list(output, &letters, "dead letters", letters_table)
        }
        Command::Get { id } => {
            let letter: DeadLetterView = client.get(&["v1", "deadLetters", &id]).await?;
            output.show(&letter, letter_text)
        }
        Command::Replay(selection) => {
            let request = selection.request()?;
            let result = act(client, "deadLetters:replay", &request).await?;
            finish(
                output,
                &result,
                result.replayed,
                "replayed",
                request.dry_run,
            )
        }
        Command::Discard { selection, yes } => discard(selection, yes, client, output).await,
        Command::Export { filter } => {
            let query = DeadLetterQuery::from(filter.wire()?);
            let path = ["v1", "deadLetters:export"];
            let mut lines = client.stream(&path, &query, "application/x-ndjson").await?;
            while let Some(line) = lines.next().await? {
                output.line(&line)?;
            }
            Ok(())
        }
    }
}

async fn discard(selection: Selection, yes: bool, client: &Client, output: Output) -> Outcome {
    let mut request = selection.request()?;
    if !yes && !request.dry_run {
        output.can_ask()?;
        request.dry_run = true;
        let count = act(client, "deadLetters:discard", &request).await?.matched;
        if count == 0 {
            return finish(output, &BulkResult::default(), Some(0), "discarded", false);
        }
        output.confirm(
            &format!("discarding {count} dead letters for good"),
            Some(count),
        )?;
        request.dry_run = false;
    }
    let result = act(client, "deadLetters:discard", &request).await?;
    finish(
        output,
        &result,
        result.discarded,
        "discarded",
        request.dry_run,
    )
}

async fn act(
    client: &Client,
    path: &str,
    request: &SelectionRequest,
) -> Result<BulkResult, Failure> {
    Ok(client
        .send(http::Method::POST, &["v1", path], request)
        .await?)
}

/// Says what a bulk action did; a part that could not be done is exit code 8.
fn finish(
    output: Output,
    result: &BulkResult,
    done: Option<u64>,
    verb: &str,
    dry_run: bool,
) -> Outcome {
    let skipped = result.skipped.unwrap_or(0);
    output.show(result, |result| match (dry_run, done) {
        (true, _) => format!("{} would be {verb}; nothing was changed", result.matched),
        (false, done) => format!("{} of {} {verb}", done.unwrap_or(0), result.matched),
    })?;
    if skipped == 0 {
        return Ok(());
    }
    let failure = Failure::new(Code::Partial, format!("{skipped} could not be {verb}"));
    Err(failure.hint(
        "their subscription or endpoint may be gone; `switchhook dlq list` shows what is left",
    ))
}

fn letters_table(letters: &[DeadLetterView]) -> String {
    let rows = letters.iter().map(|letter| {
        [
            letter.at.clone(),
            letter.id.clone(),
            cut(&letter.subscription, 24),
            cut(&letter.endpoint, 24),
            letter.reason.clone(),
            last_result(letter),
            letter.attempts.to_string(),
            letter.gap.clone(),
            cut(&letter.event.kind, 40),
        ]
    });
    let header = [
        "GIVEN UP",
        "DELIVERY",
        "SUBSCRIPTION",
        "ENDPOINT",
        "REASON",
        "LAST",
        "ATTEMPTS",
        "GAP",
        "TYPE",
    ];
    table(header, rows)
}

fn last_result(letter: &DeadLetterView) -> String {
    let status = letter.status.map(|status| status.to_string());
    status
        .or_else(|| letter.error.clone())
        .unwrap_or_else(|| "-".to_owned())
}

fn letter_text(letter: &DeadLetterView) -> String {
    let detail = letter
        .detail
        .as_deref()
        .map(|detail| format!("  \"{}\"", cut(detail, 400)));
    let mut text = format!(
        "{}  {} -> {}\ngave up at {} after {} attempts: {}, last result {}{}\nevent {}  {}  {}\n",
        letter.id,
        letter.subscription,
        letter.endpoint,
        letter.at,
        letter.attempts,
        letter.reason,
        last_result(letter),
        detail.unwrap_or_default(),
        letter.event.id,
        cut(&letter.event.source, 64),
        cut(&letter.event.kind, 128),
    );
    text.push_str(match &*letter.gap {
        "skipped" => "the later events of its key went on without it\n",
        "halted" => "the later events of its key wait until it is replayed or discarded\n",
        _ => "",
    });
    if let Some(body) = &letter.event.body {
        text.push_str(&format!("\n{body:#}\n"));
    }
    text.push_str(&format!(
        "\nnothing is lost: switchhook dlq replay --event {}\n",
        letter.event.id
    ));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(text: &str) -> Result<SelectionRequest, Failure> {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            selection: Selection,
        }
        let words = std::iter::once("x").chain(text.split_whitespace());
        <Line as clap::Parser>::try_parse_from(words)
            .unwrap()
            .selection
            .request()
    }

    #[test]
    fn everything_is_selected_only_when_it_is_written_out() {
        assert_eq!(selection("").unwrap_err().code, Code::Usage);
        assert_eq!(selection("--dry-run").unwrap_err().code, Code::Usage);
        assert_eq!(
            selection("--all --endpoint crm").unwrap_err().code,
            Code::Usage
        );
        let all = selection("--all --dry-run").unwrap();
        assert_eq!(
            (all.filter, all.all, all.dry_run),
            (DeadLetterFilter::default(), true, true)
        );
        let some = selection("--endpoint crm --status 503 --reason exhausted --type a.b").unwrap();
        assert_eq!(
            serde_json::to_value(&some.filter).unwrap(),
            serde_json::json!({"endpoint": "crm", "status": 503, "reason": "exhausted", "type": "a.b"})
        );
    }
}
