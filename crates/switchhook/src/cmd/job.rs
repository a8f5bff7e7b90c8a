//! `switchhook job`: replays that the gateway works on, and what can be done with one.

use clap::Subcommand;
use http::Method;
use switchhook_core::time::UnixMs;
use switchhook_wire::api::{Job, JobCommand, JobQuery, JobWish, PAGE_SIZE_MAX};

use super::breaker::ago;
use super::replay::progress;
use crate::client::Client;
use crate::config;
use crate::exit::Outcome;
use crate::output::{Output, list, table};

/// What to do with jobs.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List jobs, newest first
    List {
        /// Most jobs to list
        #[arg(long, default_value_t = 50, value_name = "N")]
        limit: usize,
    },
    /// Show one
    Get {
        /// Job id, `job_…`
        id: String,
        /// Show how it goes until it has ended
        #[arg(long)]
        watch: bool,
    },
    /// Stop one for a while; what it put to work goes on
    Pause {
        /// Job id, `job_…`
        id: String,
    },
    /// Let one go on where it stopped
    Resume {
        /// Job id, `job_…`
        id: String,
    },
    /// End one for good; what it put to work goes on
    Cancel {
        /// Job id, `job_…`
        id: String,
    },
}

/// Does it.
pub(super) async fn run(command: Command, client: &Client, output: Output) -> Outcome {
    let (id, state) = match command {
        Command::List { limit } => {
            let query = JobQuery {
                page_size: Some(limit.clamp(1, PAGE_SIZE_MAX)),
                ..JobQuery::default()
            };
            let jobs: Vec<Job> = client.list(&["v1", "jobs"], &query, limit).await?;
            let now = config::now();
            return list(output, &jobs, "jobs", |jobs| jobs_table(jobs, now));
        }
        Command::Get { id, watch } => {
            let job: Job = client.get(&["v1", "jobs", &id]).await?;
            if watch {
                return progress::watch(job, client, output).await;
            }
            return output.show(&job, job_text);
        }
        Command::Pause { id } => (id, JobWish::Paused),
        Command::Resume { id } => (id, JobWish::Running),
        Command::Cancel { id } => (id, JobWish::Cancelled),
    };
    let path = ["v1", "jobs", &id];
    let job: Job = client
        .send(Method::PATCH, &path, &JobCommand { state })
        .await?;
    output.show(&job, progress::ended)
}

fn jobs_table(jobs: &[Job], now: UnixMs) -> String {
    let rows = jobs.iter().map(|job| {
        [
            job.id.clone(),
            job.state.name().to_owned(),
            format!("{}/{}", job.done, job.total),
            format!("{}/s", job.rate_per_second),
            job.to.clone(),
            ago(&job.created_at, now),
            job.actor.clone(),
        ]
    });
    table(["JOB", "STATE", "DONE", "RATE", "TO", "AGE", "BY"], rows)
}

fn job_text(job: &Job) -> String {
    let select = serde_json::to_value(&job.select).unwrap_or_default();
    let mut text = format!(
        "{}\nto {} at {}/s, offsets {} to {}, next {}\nselected: {select}\nmade {} by {}\n",
        progress::ended(job),
        job.to,
        job.rate_per_second,
        job.from,
        job.until.saturating_sub(1),
        job.position,
        job.created_at,
        job.actor,
    );
    for (word, at) in [("started", &job.started_at), ("ended", &job.ended_at)] {
        if let Some(at) = at {
            text.push_str(&format!("{word} {at}\n"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn jobs_are_shown_with_what_they_select_and_how_far_they_are() {
        let job: Job = serde_json::from_value(json!({
            "id": "job_1", "kind": "replay", "state": "running", "select": {"status": "dead", "subscription": "web-to-crm"},
            "subscription": "web-to-crm", "to": "web-to-bi", "ratePerSecond": 10, "total": 1204, "done": 420, "skipped": 2,
            "from": 1, "until": 5000, "position": 977, "createdAt": "2026-11-20T09:59:00.000Z",
            "startedAt": "2026-11-20T09:59:01.000Z", "actor": "first"
        }))
        .unwrap();
        insta::assert_snapshot!(jobs_table(std::slice::from_ref(&job), UnixMs(1_795_168_800_000)), @r"
        JOB    STATE    DONE      RATE  TO         AGE  BY
        job_1  running  420/1204  10/s  web-to-bi  1m   first
        ");
        insta::assert_snapshot!(job_text(&job), @r#"
        job_1  running: 420 of 1204 put to work, 2 left out
        to web-to-bi at 10/s, offsets 1 to 4999, next 977
        selected: {"status":"dead","subscription":"web-to-crm"}
        made 2026-11-20T09:59:00.000Z by first
        started 2026-11-20T09:59:01.000Z
        "#);
    }
}
