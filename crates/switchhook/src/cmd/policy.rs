//! `switchhook policy`: retry policies, and the schedule that each gives.
//!
//! The preview comes from the function that schedules, by way of the API's own view of it. With a
//! configuration file it needs no gateway: a policy can be looked at before it is put in force.

use std::path::PathBuf;

use clap::Subcommand;
use switchhook_wire::api::{BandView, PolicyPreview};
use switchhook_wire::config::{STANDARD, standard};

use super::Global;
use super::resource::{Action, PolicyFlags};
use crate::exit::{Code, Failure, Outcome};
use crate::output::{Output, span, table};
use crate::{client, config};

/// Width of the longest bar of the curve, in characters.
const CURVE_WIDTH: u64 = 48;

/// What to do with policies.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    Any(Action<PolicyFlags>),
    /// Show when each attempt comes: a table and a curve
    Preview {
        /// Its name
        name: String,
        /// Read the policy from this file instead of a gateway [default: switchhook.toml, if it is there]
        #[arg(long, short, value_name = "FILE")]
        config: Option<PathBuf>,
    },
}

/// Does it.
pub(super) async fn run(command: Command, global: &Global, output: Output) -> Outcome {
    let (name, file) = match command {
        Command::Any(action) => return action.run(&global.client()?, output).await,
        Command::Preview { name, config } => (name, config),
    };
    let preview = match from_file(&name, file, output)? {
        Some(preview) => preview,
        None => from_gateway(&name, global, output).await?,
    };
    output.show(&preview, preview_text)
}

/// The preview from the file, if there is a file and the policy is in it.
fn from_file(
    name: &str,
    file: Option<PathBuf>,
    output: Output,
) -> Result<Option<PolicyPreview>, Failure> {
    let named = file.is_some();
    let Some(path) = config::file(file) else {
        return Ok(None);
    };
    let config = config::load(Some(path.clone()), output)?;
    let preview = config
        .plan
        .policies
        .get(name)
        .map(|policy| PolicyPreview::from(&**policy));
    if preview.is_none() && named {
        let known: Vec<_> = config.plan.policies.keys().map(|name| &**name).collect();
        let failure = Failure::new(
            Code::NotFound,
            format!("{} has no policy `{name}`", path.display()),
        );
        return Err(failure.hint(format!("it has {}", known.join(", "))));
    }
    Ok(preview)
}

/// The preview from the gateway. The built-in policy needs none.
async fn from_gateway(
    name: &str,
    global: &Global,
    output: Output,
) -> Result<PolicyPreview, Failure> {
    match global
        .client()?
        .get(&["v1", "policies", name, "preview"])
        .await
    {
        Err(client::Error::Unreachable { .. }) if name == STANDARD => {
            output.say("no gateway answers; this is the built-in policy");
            Ok(PolicyPreview::from(&standard()))
        }
        other => Ok(other?),
    }
}

fn preview_text(preview: &PolicyPreview) -> String {
    let header = [
        "ATTEMPT",
        "EARLIEST",
        "EXPECTED",
        "LATEST",
        "TOTAL",
        "AT THE LATEST",
    ];
    let first = ["1".to_owned(), span(0), span(0), span(0), span(0), span(0)];
    let rows = preview.bands.iter().map(|band| {
        [
            band.attempt.to_string(),
            span(band.earliest_ms),
            span(band.expected_ms),
            span(band.latest_ms),
            span(band.expected_total_ms),
            span(band.latest_total_ms),
        ]
    });
    let rows = std::iter::once(first).chain(rows);
    let mut text = format!(
        "policy {}: at most {} attempts, gives up {} after acceptance\n\n{}\n",
        preview.policy,
        preview.max_attempts,
        span(preview.max_age_ms),
        table(header, rows),
    );
    text.push_str(&curve(&preview.bands));
    if preview.attempts_that_fit < preview.max_attempts {
        text.push_str(&format!(
            "\nonly {} of {} attempts are sure to fit into {}\n",
            preview.attempts_that_fit,
            preview.max_attempts,
            span(preview.max_age_ms),
        ));
    }
    text
}

/// One bar for each delay: dark up to the earliest moment, light up to the latest.
fn curve(bands: &[BandView]) -> String {
    let longest_ms = bands.iter().map(|band| band.latest_ms).max().unwrap_or(0);
    if longest_ms == 0 {
        return String::new();
    }
    let columns = |ms: u64| {
        let exact = u128::from(ms) * u128::from(CURVE_WIDTH);
        usize::try_from(exact.div_ceil(u128::from(longest_ms))).unwrap_or(0)
    };
    let mut text = format!(
        "\ndelay before each attempt, {} is the whole width\n",
        span(longest_ms)
    );
    for band in bands {
        let (dark, all) = (columns(band.earliest_ms), columns(band.latest_ms));
        let bar = format!(
            "{}{}",
            "█".repeat(dark),
            "░".repeat(all.saturating_sub(dark))
        );
        text.push_str(&format!("{:>4}  {bar}\n", band.attempt));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preview_is_a_table_and_a_curve() {
        insta::assert_snapshot!(preview_text(&PolicyPreview::from(&standard())), @r"
        policy standard: at most 7 attempts, gives up 1d after acceptance

        ATTEMPT  EARLIEST  EXPECTED  LATEST  TOTAL   AT THE LATEST
        1        0s        0s        0s      0s      0s
        2        5s        5.6s      6.2s    5.6s    6.2s
        3        5m        5m37s     6m15s   5m43s   6m21s
        4        30m       33m45s    37m30s  39m28s  43m51s
        5        2h        2h15m     2h30m   2h54m   3h14m
        6        5h        5h37m     6h15m   8h32m   9h29m
        7        10h       11h15m    12h30m  19h47m  21h59m

        delay before each attempt, 12h30m is the whole width
           2  █
           3  █
           4  ██░
           5  ████████░░
           6  ████████████████████░░░░
           7  ███████████████████████████████████████░░░░░░░░░
        ");
    }

    #[test]
    fn a_policy_that_never_waits_has_no_curve_and_does_not_divide_by_zero() {
        let band = BandView {
            attempt: 2,
            earliest_ms: 0,
            expected_ms: 0,
            latest_ms: 0,
            earliest_total_ms: 0,
            expected_total_ms: 0,
            latest_total_ms: 0,
        };
        assert_eq!(curve(&[band]), "");
        assert_eq!(curve(&[]), "");
    }
}
