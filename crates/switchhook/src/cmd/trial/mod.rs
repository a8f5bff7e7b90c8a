//! `switchhook test`: the `[[test]]` blocks of a configuration, run offline through the core that the gateway runs.
//!
//! Nothing is sent and no secret is read: where one would stand, `<secret:NAME>` stands, and a signature shows as
//! `<signature>`. What is judged is in [`judge`]; here the file and the fixtures are read and the report is shown.
//! Exit code 1 when a test fails, 3 when the configuration is not valid.

mod difference;
mod judge;
mod request;

use std::path::{Path, PathBuf};

use serde_json::Value;
use switchhook_core::plan::Plan;
use switchhook_wire::api::{TestDifference, TestReport, TestResult};
use switchhook_wire::config::Test;
use switchhook_wire::config::test::{Event, Given};

use crate::config;
use crate::exit::{Code, Failure, Outcome};
use crate::output::{Output, counted, cut};

/// What somebody who has no test yet should write.
const EXAMPLE: &str = r#"write one into the configuration:

[[test]]
name = "a text goes to the CRM"
event = { source = "web", type = "Text", data = { id = "1" } }
expect = { matches = ["web-to-crm"] }"#;

/// What to run.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Configuration file [default: switchhook.toml]
    file: Option<PathBuf>,
    /// Only the tests whose name holds this text
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
}

/// Runs the tests.
pub(super) fn run(args: Args, output: Output) -> Outcome {
    let file = args.file.unwrap_or_else(|| config::FILE_DEFAULT.into());
    let config = config::load(Some(file), output)?;
    let wanted = args.filter.as_deref().unwrap_or_default();
    let tests = config.tests.iter();
    let results = tests
        .filter(|test| test.name.contains(wanted))
        .map(|test| result(&config.plan, test))
        .collect();
    let report = reported(results);
    output.show(&report, report_text)?;
    if report.tests.is_empty() && !output.is_json() {
        output.say(&nothing_to_run(args.filter.as_deref()));
    }
    match report.failed {
        0 => Ok(()),
        _ => Err(Failure::silent(Code::Unexpected)),
    }
}

fn nothing_to_run(filter: Option<&str>) -> String {
    match filter {
        Some(text) => format!("no test has `{text}` in its name"),
        None => EXAMPLE.to_owned(),
    }
}

fn reported(tests: Vec<TestResult>) -> TestReport {
    let passed = tests.iter().filter(|test| test.passed).count() as u64;
    TestReport {
        passed,
        failed: tests.len() as u64 - passed,
        tests,
    }
}

/// Runs one test; its fixture is read here.
fn result(plan: &Plan, test: &Test) -> TestResult {
    let event = match &test.event {
        Given::Event(event) => Ok(event.clone()),
        Given::File(path) => fixture(path),
    };
    match event {
        Ok(event) => judge::judge(plan, test, &event),
        Err(error) => TestResult {
            name: test.name.clone(),
            defined_at: test.defined_at.clone(),
            error: Some(error),
            ..TestResult::default()
        },
    }
}

fn fixture(path: &Path) -> Result<Event, String> {
    let shown = path.display();
    let text = config::text(path).map_err(|failure| failure.message)?;
    let json: Value =
        serde_json::from_str(&text).map_err(|error| format!("{shown} is not JSON: {error}"))?;
    Event::from_json(&json).map_err(|problems| {
        let said: Vec<String> = problems.iter().map(|one| one.message.clone()).collect();
        format!("{shown} is no event: {}", said.join("; "))
    })
}

fn report_text(report: &TestReport) -> String {
    let mut text: String = report.tests.iter().map(result_text).collect();
    let of = counted(report.tests.len() as u64, "test");
    text.push_str(&match (report.passed, report.failed) {
        (0, 0) => of,
        (_, 0) => format!("{of}, all passed"),
        (_, failed) => format!("{of}, {failed} failed"),
    });
    text
}

fn result_text(result: &TestResult) -> String {
    let name = cut(&result.name, 100);
    if result.passed {
        return format!("ok    {name}\n");
    }
    let place = result.defined_at.as_deref().unwrap_or_default();
    let mut text = format!("FAIL  {name}   {place}\n");
    for line in result.error.iter().flat_map(|error| error.lines()) {
        text.push_str(&format!("        {}\n", cut(line, 400)));
    }
    for found in &result.differences {
        text.push_str(&difference_text(found));
    }
    for delivery in &result.deliveries {
        text.push_str(&format!(
            "      {} {}: {}\n",
            if delivery.taken { "✓" } else { "✗" },
            delivery.subscription,
            cut(&delivery.text, 400),
        ));
    }
    text
}

fn difference_text(found: &TestDifference) -> String {
    let of = found.subscription.as_ref();
    let of = of.map(|name| format!(" of {name}")).unwrap_or_default();
    let mut text = format!("      {}{of}\n", found.what);
    let mut lines = difference::lines(&found.expected, &found.found);
    if let Some(last) = lines
        .last_mut()
        .filter(|_| found.found.is_null() && found.what != "body")
    {
        *last = "+ none".to_owned();
    }
    for line in lines {
        text.push_str(&format!("        {line}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use switchhook_wire::api::TestDelivery;

    use super::*;

    #[test]
    fn a_report_shows_for_each_failure_what_was_expected_what_came_and_why() {
        let failed = TestResult {
            name: "vip goes to the CRM".into(),
            defined_at: Some("switchhook.toml:42".into()),
            differences: vec![
                TestDifference {
                    what: "matches".into(),
                    subscription: None,
                    expected: json!(["web-to-crm"]),
                    found: json!([]),
                },
                TestDifference {
                    what: "body".into(),
                    subscription: Some("web-to-bi".into()),
                    expected: json!({"queue": "vip", "id": "1"}),
                    found: json!({"queue": "std", "id": "1", "more": true}),
                },
            ],
            deliveries: vec![TestDelivery {
                subscription: "web-to-crm".into(),
                text: "its `when` is false".into(),
                ..TestDelivery::default()
            }],
            ..TestResult::default()
        };
        let passed = TestResult {
            name: "all is well".into(),
            passed: true,
            ..TestResult::default()
        };
        insta::assert_snapshot!(report_text(&reported(vec![passed, failed])), @r#"
        ok    all is well
        FAIL  vip goes to the CRM   switchhook.toml:42
              matches
                - ["web-to-crm"]
                + []
              body of web-to-bi
                - /queue  "vip"
                + /queue  "std"
                + /more  true
              ✗ web-to-crm: its `when` is false
        2 tests, 1 failed
        "#);
    }
}
