//! How a job goes: a bar that is drawn over itself on a terminal, a line now and then elsewhere.
//!
//! Ctrl-C ends the watching and never the job. Bounds: one look each [`LOOK_EVERY`], one plain line each
//! [`LINE_EVERY`]; the rate shown is measured over the last [`WINDOW`].

use std::collections::VecDeque;
use std::time::Duration;

use switchhook_wire::api::{Job, JobState};
use tokio::time::Instant;

use crate::client::Client;
use crate::exit::{Code, Failure, Outcome};
use crate::output::{Output, span};
use crate::signals::Signals;

/// How often the gateway is asked.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often a line is written where nothing can be drawn over.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// Over which time the rate is measured: long enough that single batches do not show.
const WINDOW: Duration = Duration::from_secs(10);
/// Width of the bar, in characters.
const BAR_WIDTH: u64 = 32;

/// Shows `job` until it has ended.
pub(in crate::cmd) async fn watch(mut job: Job, client: &Client, output: Output) -> Outcome {
    let mut signals = Signals::listen()?;
    let mut bar = Bar::new(output);
    bar.show(&job);
    while !job.state.is_over() {
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            _ = signals.next() => {
                output.must_say(&left(&job));
                return Err(Failure::silent(Code::Interrupted));
            }
        }
        job = client.get(&["v1", "jobs", &job.id]).await?;
        bar.show(&job);
    }
    output.show(&job, ended)?;
    match job.state {
        JobState::Failed => Err(Failure::silent(Code::Unexpected)),
        JobState::Cancelled => Err(Failure::silent(Code::Partial)),
        JobState::Counting | JobState::Running | JobState::Paused | JobState::Done => Ok(()),
    }
}

/// What to tell somebody who stops watching.
fn left(job: &Job) -> String {
    let id = &job.id;
    format!(
        "{id} goes on without you. Come back: switchhook job get {id} --watch   stop it: switchhook job cancel {id}"
    )
}

/// How a job ended, or where it stands.
pub(in crate::cmd) fn ended(job: &Job) -> String {
    let mut text = format!(
        "{}  {}: {} of {} put to work",
        job.id,
        job.state.name(),
        job.done,
        job.total
    );
    if job.skipped > 0 {
        text.push_str(&format!(", {} left out", job.skipped));
    }
    if let Some(failed) = job.failed.filter(|failed| *failed > 0) {
        text.push_str(&format!(", {failed} dead letters again"));
    }
    if let Some(error) = &job.error {
        text.push_str(&format!("\n{error}"));
    }
    text
}

struct Bar {
    output: Output,
    lines: usize,
    said_at: Option<Instant>,
    samples: VecDeque<(Instant, u64)>,
}

impl Bar {
    fn new(output: Output) -> Self {
        Self {
            output,
            lines: 0,
            said_at: None,
            samples: VecDeque::new(),
        }
    }

    fn show(&mut self, job: &Job) {
        let now = Instant::now();
        let measured = self.measure(now, job.done);
        if self.output.is_quiet() {
            return;
        }
        if self.output.is_drawable() {
            self.output.redraw(self.lines, &bar_text(job, measured));
            self.lines = 1;
        } else if self.said_at.is_none_or(|at| now - at >= LINE_EVERY) {
            self.output.say(&line_text(job, measured));
            self.said_at = Some(now);
        }
    }

    /// Deliveries a second over the window; `None` before there are two looks.
    fn measure(&mut self, now: Instant, done: u64) -> Option<f64> {
        self.samples.push_back((now, done));
        while self.samples.len() > 2
            && self
                .samples
                .front()
                .is_some_and(|(at, _)| now - *at > WINDOW)
        {
            self.samples.pop_front();
        }
        let (at, before) = *self.samples.front()?;
        let seconds = (now - at).as_secs_f64();
        (seconds > 0.0).then(|| done.saturating_sub(before) as f64 / seconds)
    }
}

/// `[██████····]  420 of 1000  9.8/s  about 59s left`.
fn bar_text(job: &Job, measured: Option<f64>) -> String {
    let share = u128::from(job.done.min(job.total)) * u128::from(BAR_WIDTH);
    let filled = share.checked_div(u128::from(job.total)).unwrap_or(0);
    let filled = usize::try_from(filled).unwrap_or(0);
    let width = usize::try_from(BAR_WIDTH).unwrap_or(0);
    let empty = width.saturating_sub(filled);
    format!(
        "[{}{}]  {}",
        "█".repeat(filled),
        "·".repeat(empty),
        line_text(job, measured)
    )
}

fn line_text(job: &Job, measured: Option<f64>) -> String {
    let mut text = format!("{}  {} of {}", job.state.name(), job.done, job.total);
    if job.skipped > 0 {
        text.push_str(&format!(", {} left out", job.skipped));
    }
    if job.state == JobState::Running {
        let wanted = job.rate_per_second;
        let rate = measured.map_or_else(|| "-".to_owned(), |rate| format!("{rate:.1}"));
        text.push_str(&format!("  {rate} of {wanted}/s"));
        if let Some(ms) = left_ms(job, measured) {
            text.push_str(&format!("  about {} left", span(ms)));
        }
    }
    text
}

/// How long the rest takes at the measured rate, or at the one that was asked for before there is one.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast from f64 stops at the ends of u64; it is a figure for people"
)]
fn left_ms(job: &Job, measured: Option<f64>) -> Option<u64> {
    let rest = job
        .total
        .saturating_sub(job.done)
        .saturating_sub(job.skipped);
    let rate = measured.unwrap_or_else(|| f64::from(job.rate_per_second));
    // Whole seconds: the figure is an estimate.
    (rest > 0 && rate > 0.0).then(|| (rest as f64 / rate).ceil() as u64 * 1_000)
}

#[cfg(test)]
mod tests {
    use switchhook_wire::api::{JobKind, JobSelection};

    use super::*;

    fn job(state: JobState, done: u64) -> Job {
        Job {
            id: "job_1".into(),
            kind: JobKind::Replay,
            state,
            select: JobSelection::default(),
            subscription: None,
            to: "web-to-crm".into(),
            rate_per_second: 10,
            total: 1_000,
            done,
            skipped: 0,
            failed: None,
            from: 1,
            until: 1_001,
            position: done + 1,
            created_at: "2026-11-20T10:00:00.000Z".into(),
            started_at: None,
            ended_at: None,
            actor: "first".into(),
            error: None,
        }
    }

    #[test]
    fn progress_is_a_bar_with_rate_and_time_left() {
        for (job, measured, text) in [
            (
                job(JobState::Running, 420),
                Some(9.75),
                "[█████████████···················]  running  420 of 1000  9.8 of 10/s  about 1m left",
            ),
            (
                job(JobState::Running, 0),
                None,
                "[································]  running  0 of 1000  - of 10/s  about 1m40s left",
            ),
            (
                job(JobState::Running, 420),
                Some(0.0),
                "[█████████████···················]  running  420 of 1000  0.0 of 10/s",
            ),
            (
                job(JobState::Paused, 1_000),
                None,
                "[████████████████████████████████]  paused  1000 of 1000",
            ),
        ] {
            assert_eq!(bar_text(&job, measured), text);
        }
        let counting = Job {
            total: 0,
            ..job(JobState::Counting, 0)
        };
        assert!(bar_text(&counting, None).ends_with("]  counting  0 of 0"));
    }

    #[test]
    fn the_end_says_what_was_left_out_and_what_failed() {
        let ended_job = Job {
            skipped: 3,
            failed: Some(2),
            error: Some("the subscription is gone".into()),
            ..job(JobState::Failed, 995)
        };
        assert_eq!(
            ended(&ended_job),
            "job_1  failed: 995 of 1000 put to work, 3 left out, 2 dead letters again\nthe subscription is gone"
        );
    }

    #[test]
    fn the_rate_is_that_of_the_last_window() {
        let mut bar = Bar::new(Output::new(false, true, true));
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        for (seconds, done, rate) in [
            (0, 0, None),
            (5, 100, Some(20.0)),
            (10, 200, Some(20.0)),
            (15, 200, Some(10.0)),
            (21, 200, Some(0.0)),
        ] {
            assert_eq!(bar.measure(at(seconds), done), rate, "{seconds}");
        }
    }
}
