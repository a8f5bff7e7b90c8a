//! What came of the `[[test]]` blocks of a configuration: the answer of `switchhook test --json`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// All tests of one file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TestReport {
    /// Tests that hold.
    pub passed: u64,
    /// Tests that do not.
    pub failed: u64,
    /// Each test, in the order of the file.
    pub tests: Vec<TestResult>,
}

/// One test.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TestResult {
    /// Its name.
    pub name: String,
    /// File and line, for example `switchhook.toml:42`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub defined_at: Option<String>,
    /// Whether everything that it expects came.
    pub passed: bool,
    /// Everything that did not.
    pub differences: Vec<TestDifference>,
    /// What each subscription that was asked made of the event.
    pub deliveries: Vec<TestDelivery>,
    /// Why it could not be run: the fixture cannot be read, the body cannot be made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Something that was expected and did not come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TestDifference {
    /// What: `matches`, `body`, `headers.x-team`, `verdict` or `delay`.
    pub what: String,
    /// The subscription, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscription: Option<String>,
    /// What was expected.
    pub expected: Value,
    /// What came.
    pub found: Value,
}

/// What a subscription made of a test's event.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TestDelivery {
    /// Its name.
    pub subscription: String,
    /// Whether it takes it.
    pub taken: bool,
    /// Why, or why not, in one sentence.
    pub text: String,
    /// The body that would be sent, where it is JSON; else as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    /// `retry`, `done`, `dead` or `hold`, with a given answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<String>,
    /// Shortest delay to the next attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earliest_ms: Option<u64>,
    /// Longest delay to the next attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest_ms: Option<u64>,
}
