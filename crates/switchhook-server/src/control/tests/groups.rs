//! Groups: as they work, and moving cursors and partitions.

use serde_json::{Value, json};
use switchhook_wire::api::{GroupDescription, ResourceView};

use super::{Api, CONFIG, event};

const GROUP: &str = r#"
[endpoint.one]
url = "http://127.18.0.9:65001/one"
allow_private = ["127.0.0.0/8"]

[endpoint.two]
url = "http://127.18.0.9:65001/two"
allow_private = ["127.0.0.0/8"]

[group.pool]
members = ["one", "two"]
partitions = 4

[subscription.shared]
sources = ["web"]
types = ["Call", "Chat"]
group = "pool"
policy = "slow"
"#;

async fn grouped() -> Api {
    Api::with(&format!("{CONFIG}{GROUP}")).await
}

async fn sent(api: &Api, kind: &str, count: usize) {
    for _ in 0..count {
        let body = json!({"type": kind});
        let answer = api.post("/v1/sources/web/test-event", body).await;
        assert_eq!(answer.status, 202, "{}", answer.text());
    }
}

fn end_of(api: &Api) -> u64 {
    api.gateway().store.tail().end().0
}

/// Waits until every partition has committed everything, and `waiting` deliveries wait.
async fn caught_up(api: &Api, waiting: u64) -> Value {
    let end = end_of(api);
    let uri = "/v1/groups/pool";
    api.until(uri, |group| {
        let partitions = group["subscriptions"][0]["partitions"].as_array();
        let all = partitions.into_iter().flatten();
        let sum: u64 = all
            .clone()
            .filter_map(|lane| lane["waiting"].as_u64())
            .sum();
        all.clone().count() == 4
            && sum == waiting
            && all.clone().all(|lane| lane["committed"] == end)
    })
    .await
}

#[tokio::test]
async fn a_group_says_who_works_on_what_and_how_far_it_has_got() {
    let api = grouped().await;
    sent(&api, "Call", 3).await;
    let shown = caught_up(&api, 3).await;
    let group: GroupDescription = serde_json::from_value(shown.clone()).unwrap();
    let members: Vec<_> = group
        .members
        .iter()
        .map(|member| (&*member.endpoint, member.available, member.partitions))
        .collect();
    assert_eq!(members, [("one", true, 2), ("two", true, 2)]);
    let shared = &group.subscriptions[0];
    let waiting: u64 = shared.partitions.iter().map(|lane| lane.waiting).sum();
    let figures = (shared.lag, waiting, shared.estimated_per_second);
    // Nothing listens, so each waits for its retry; the seed says 80 a second for each type.
    assert_eq!(figures, (0, 3, 160));
    assert_eq!(shared.drain_seconds, None);
    // It is a resource as well.
    let resource: ResourceView = serde_json::from_value(shown).unwrap();
    assert_eq!(resource.body["partitions"], 4);
    let list = api.get("/v1/groups").await.json();
    assert_eq!(list["entities"][0]["name"], "pool");
    assert_eq!(api.get("/v1/groups/none").await.problem(), "not-found");
    let refused = api.delete("/v1/endpoints/one").await;
    assert_eq!(refused.problem(), "owned-by-file");
}

#[tokio::test]
async fn a_seek_counts_first_and_then_skips_or_replays() {
    let api = grouped().await;
    for uri in ["/v1/groups/pool/pause", "/v1/groups/pool/resume"] {
        let answer = api.post(uri, json!({"reason": "seek"})).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    api.post("/v1/subscriptions/shared/pause", json!({})).await;
    let events = (0..20).map(|n| event(n, "Call", b"{}")).collect();
    api.bury(events, |_, _| None).await;
    let end = end_of(&api);
    let uri = "/v1/groups/pool/seek";
    let dry = api.post(uri, json!({"to": {"offset": end}})).await.json();
    let shown = (&dry["dryRun"], &dry["subscription"], &dry["replayed"]);
    assert_eq!(shown, (&json!(true), &json!("shared"), &json!(0)));
    assert!(dry["skipped"].as_u64() > Some(0), "{dry}");
    let ahead = json!({"to": {"offset": end}, "dryRun": false});
    let done = api.post(uri, ahead).await.json();
    assert_eq!(done["skipped"], dry["skipped"]);
    caught_up(&api, 0).await;

    let back = json!({"to": {"delta": -1_000}, "dryRun": false});
    let done = api.post(uri, back).await.json();
    assert_eq!(
        (&done["replayed"], &done["skipped"]),
        (&json!(20), &json!(0))
    );
    let job = format!("/v1/jobs/{}", done["job"].as_str().unwrap());
    let job = api.until(&job, |job| job["state"] == "done").await;
    assert_eq!(
        (&job["total"], &job["done"]),
        (&json!(20), &json!(20)),
        "{job}"
    );
    let audit = api.get("/v1/audit").await.json();
    let actions: Vec<&str> = audit["entities"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["action"].as_str().unwrap())
        .collect();
    assert_eq!(actions[..3], ["replay.start", "group.seek", "group.seek"]);
}

#[tokio::test]
async fn a_seek_that_cannot_be_is_refused() {
    let api = grouped().await;
    for (body, problem) in [
        (json!({"to": {"time": "yesterday"}}), "invalid-request"),
        (
            json!({"to": {"offset": 1}, "partitions": [4]}),
            "invalid-request",
        ),
        (
            json!({"to": {"offset": 1}, "subscription": "web-to-crm"}),
            "not-found",
        ),
        (json!({"to": {"nowhere": 1}}), "invalid-request"),
    ] {
        let refused = api.post("/v1/groups/pool/seek", body.clone()).await;
        assert_eq!(refused.problem(), problem, "{body}");
    }
}

#[tokio::test]
async fn a_rebalance_shows_its_moves_and_does_them_only_when_told() {
    let api = grouped().await;
    let dry = api
        .post("/v1/groups/pool/rebalance", json!({}))
        .await
        .json();
    assert_eq!(dry, json!({"dryRun": true, "moves": []}));
    let done = json!({"dryRun": false});
    let done = api.post("/v1/groups/pool/rebalance", done).await.json();
    assert_eq!(done, json!({"dryRun": false, "moves": []}));
    let audit = api.get("/v1/audit?action=group.rebalance").await.json();
    assert_eq!(audit["entities"].as_array().unwrap().len(), 1);
}
