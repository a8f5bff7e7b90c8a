//! Promise: a target is asked politely, without credentials, and never where the gateway would not go.

use http::header::AUTHORIZATION;
use ipnet::IpNet;
use serde_json::json;
use switchhook_genesys::probe::{Verdict, probe};
use switchhook_genesys::transport::Trust;
use url::Url;

use crate::lab::{Does, Lab};

async fn verdict(head: u16, get: u16) -> (Verdict, Vec<String>) {
    let lab = Lab::bare(move |seen| {
        let status = if seen.method == "HEAD" { head } else { get };
        Does::Answers(
            status,
            vec![("location", "http://127.0.0.1:1/".into())],
            String::new(),
        )
    })
    .await;
    let allow: [IpNet; 1] = ["127.0.0.1/32".parse().unwrap()];
    let target: Url = format!("{}/hook", lab.base()).parse().unwrap();
    let probed = probe(&target, &allow, &Trust::new(None).unwrap()).await;
    for seen in lab.seen() {
        assert_eq!(seen.header("x-switchhook-probe"), "1");
        assert!(seen.headers.get(AUTHORIZATION).is_none() && seen.body.is_empty());
    }
    (probed.verdict, lab.lines())
}

#[tokio::test]
async fn a_head_that_is_not_known_is_followed_by_a_get() {
    let (head, both) = (
        vec!["HEAD /hook".to_owned()],
        vec!["HEAD /hook".to_owned(), "GET /hook".to_owned()],
    );
    assert_eq!(verdict(200, 500).await, (Verdict::Well, head.clone()));
    assert_eq!(verdict(302, 500).await, (Verdict::Well, head.clone()));
    assert_eq!(verdict(401, 500).await, (Verdict::Answers, head.clone()));
    assert_eq!(verdict(503, 200).await, (Verdict::Failing, head));
    assert_eq!(verdict(405, 200).await, (Verdict::Well, both.clone()));
    assert_eq!(verdict(404, 404).await, (Verdict::Answers, both.clone()));
    assert_eq!(verdict(501, 405).await, (Verdict::Answers, both.clone()));
    assert_eq!(verdict(405, 502).await, (Verdict::Failing, both));
}

#[tokio::test]
async fn a_private_address_is_not_connected_to_unless_it_is_listed() {
    let lab = Lab::bare(|_| Does::json(200, json!({}))).await;
    let allow: [IpNet; 1] = ["10.0.0.0/8".parse().unwrap()];
    for (url, allow) in [
        (format!("http://{}/", lab.address), &[][..]),
        (format!("http://{}/", lab.address), &allow),
        (format!("http://localhost:{}/", lab.address.port()), &allow),
        (format!("https://localhost:{}/", lab.address.port()), &allow),
        (format!("http://u:p@{}/", lab.address), &allow),
    ] {
        let probed = probe(&url.parse().unwrap(), allow, &Trust::new(None).unwrap()).await;
        assert_eq!(probed.verdict, Verdict::Unreachable, "{url}");
        assert!(probed.steps[0].result.is_err(), "{url}");
    }
    assert!(lab.seen().is_empty(), "nothing was connected to");
}
