//! `switchhook replay`: delivers events of the log again, as a job of the gateway.
//!
//! First the gateway counts what is selected; the count freezes the selection, so that what comes in meanwhile is never
//! replayed. Then a person confirms it, and the job is made. The job is the gateway's: it goes on when this command
//! ends, and after a restart.

pub(super) mod progress;

use clap::Args as ClapArgs;
use http::Method;
use switchhook_core::delivery::DeadReason;
use switchhook_wire::api::{
    JOB_RATE_DEFAULT, JOB_RATE_MAX, Job, JobCount, JobKind, JobRequest, JobSelection, JobStatus,
};

use crate::client::Client;
use crate::config;
use crate::exit::{Failure, Outcome};
use crate::output::{Output, counted, span};

/// What to deliver again, where to, and how fast.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    #[command(flatten)]
    select: Select,
    /// The subscription that gets them [default: the one of --subscription]
    #[arg(long, value_name = "NAME")]
    to: Option<String>,
    /// Deliveries a second: 10/s, or max
    #[arg(long, default_value = "10/s", value_name = "RATE", value_parser = rate)]
    rate: u32,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Only count; change nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not wait for its end
    #[arg(long)]
    detach: bool,
}

/// Which events. Everything that is set must hold.
#[derive(Debug, ClapArgs)]
struct Select {
    /// This event, `evt_…`; several may be given
    #[arg(long = "event", value_name = "ID")]
    events: Vec<String>,
    /// From this source
    #[arg(long)]
    source: Option<String>,
    /// Of exactly this type
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// With this ordering key, for example a conversation id
    #[arg(long)]
    key: Option<String>,
    /// Accepted since: a time, or a span such as 15m
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Accepted before: a time, or a span such as 15m
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// At this offset of the log or after
    #[arg(long, value_name = "N")]
    from_offset: Option<u64>,
    /// Before this offset of the log
    #[arg(long, value_name = "N")]
    to_offset: Option<u64>,
    /// What became of them for the subscription
    #[arg(long, value_name = "STATUS", value_parser = ["dead", "delivered", "any"])]
    status: Option<String>,
    /// Given up for this reason
    #[arg(long, value_parser = clap::builder::PossibleValuesParser::new(DeadReason::ALL.iter().map(|reason| reason.name())))]
    reason: Option<String>,
    /// The subscription that they were for
    #[arg(long, value_name = "NAME")]
    subscription: Option<String>,
}

/// `10/s`, `10` or `max`, as deliveries a second.
fn rate(text: &str) -> Result<u32, String> {
    let number = match text {
        "max" => return Ok(JOB_RATE_MAX),
        text => text.strip_suffix("/s").unwrap_or(text),
    };
    let rate = number.parse().ok();
    rate.filter(|rate| (1..=JOB_RATE_MAX).contains(rate))
        .ok_or_else(|| {
            format!("write deliveries a second, 1/s to {JOB_RATE_MAX}/s, for example {JOB_RATE_DEFAULT}/s, or max")
        })
}

impl Select {
    fn wire(self) -> Result<JobSelection, Failure> {
        let select = JobSelection {
            event_ids: (!self.events.is_empty()).then_some(self.events),
            source: self.source,
            kind: self.kind,
            key: self.key,
            since: config::instant(self.since.as_deref())?,
            until: config::instant(self.until.as_deref())?,
            from_offset: self.from_offset,
            to_offset: self.to_offset,
            status: match self.status.as_deref() {
                Some("dead") => JobStatus::Dead,
                Some("delivered") => JobStatus::Delivered,
                _ => JobStatus::Any,
            },
            subscription: self.subscription,
            reason: self.reason,
        };
        let only_whose = JobSelection {
            subscription: select.subscription.clone(),
            ..JobSelection::default()
        };
        if select == only_whose {
            return Err(Failure::usage("nothing says which events are meant").hint(
                "name some, for example --since 1h or --status dead; --from-offset 1 means the whole log",
            ));
        }
        Ok(select)
    }
}

/// Counts, asks, starts, and shows how it goes.
pub(super) async fn run(args: Args, client: &Client, output: Output) -> Outcome {
    let mut request = JobRequest {
        kind: JobKind::Replay,
        select: args.select.wire()?,
        to: args.to,
        rate_per_second: args.rate,
        dry_run: true,
    };
    if request.to.is_none() && request.select.subscription.is_none() {
        return Err(
            Failure::usage("nothing says which subscription gets the events").hint(
                "name it: --subscription NAME, or --to NAME for another one than they were for",
            ),
        );
    }
    let will_ask = !args.yes && !args.dry_run;
    if will_ask {
        output.can_ask()?;
    }
    let path = ["v1", "jobs"];
    let count: JobCount = client.send(Method::POST, &path, &request).await?;
    if args.dry_run || count.total == 0 {
        return output.show(&count, |count| {
            format!("{}; nothing was changed", count_text(count))
        });
    }
    output.say(&count_text(&count));
    if will_ask {
        let question = format!("replaying {}", counted(count.total, "event"));
        output.confirm(&question, Some(count.total))?;
    }
    request.dry_run = false;
    request.select.to_offset = Some(count.until);
    let job: Job = client.send(Method::POST, &path, &request).await?;
    if args.detach {
        return output.show(&job, |job| {
            format!(
                "{}  watch it: switchhook job get {} --watch",
                job.id, job.id
            )
        });
    }
    progress::watch(job, client, output).await
}

/// What was counted.
fn count_text(count: &JobCount) -> String {
    if count.total == 0 {
        return format!(
            "nothing in the log up to offset {} is selected",
            count.until
        );
    }
    let time = span(count.seconds.saturating_mul(1_000));
    let mut text = format!(
        "{} to {}: offsets {} to {}, about {time} at this rate",
        counted(count.total, "event"),
        count.to,
        count.from,
        count.until.saturating_sub(1),
    );
    if let Some(first) = count.sample.first() {
        text.push_str(&format!("\n  the first is {first}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn select(line: &str) -> Result<JobSelection, Failure> {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            select: Select,
        }
        let words = std::iter::once("x").chain(line.split_whitespace());
        let line = <Line as clap::Parser>::try_parse_from(words).unwrap();
        line.select.wire()
    }

    #[test]
    fn the_whole_log_is_selected_only_when_it_is_written_out() {
        for line in [
            "",
            "--subscription a",
            "--status any",
            "--subscription a --status any",
        ] {
            assert_eq!(
                select(line).unwrap_err().code,
                crate::exit::Code::Usage,
                "{line}"
            );
        }
        assert_eq!(select("--from-offset 1").unwrap().from_offset, Some(1));
        let some = select("--event evt_1 --event evt_2 --type a.b --status dead --subscription s");
        assert_eq!(
            serde_json::to_value(some.unwrap()).unwrap(),
            serde_json::json!({"eventIds": ["evt_1", "evt_2"], "type": "a.b", "status": "dead", "subscription": "s"})
        );
    }

    #[test]
    fn a_rate_is_deliveries_a_second_within_its_bounds() {
        for (text, expected) in [
            ("10/s", Some(10)),
            ("10", Some(10)),
            ("max", Some(JOB_RATE_MAX)),
            ("10000/s", Some(10_000)),
            ("10001/s", None),
            ("0/s", None),
            ("-1", None),
            ("10/min", None),
            ("", None),
        ] {
            assert_eq!(rate(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn a_count_says_how_much_where_to_and_how_long() {
        let count = JobCount {
            total: 1_204,
            from: 10,
            until: 5_011,
            to: "web-to-crm".into(),
            seconds: 121,
            sample: vec!["evt_1".into(), "evt_2".into()],
        };
        insta::assert_snapshot!(count_text(&count), @r"
        1204 events to web-to-crm: offsets 10 to 5010, about 2m1s at this rate
          the first is evt_1
        ");
        let none = JobCount { total: 0, ..count };
        insta::assert_snapshot!(count_text(&none), @r"nothing in the log up to offset 5011 is selected");
    }
}
