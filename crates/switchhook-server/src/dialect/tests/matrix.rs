//! Made in one, read in all.

use super::*;

/// What every dialect says of the webhook `id`, without what only it has.
async fn read_in_all(api: &Api, id: &str) -> [Value; 5] {
    let mut read = Vec::new();
    let mut etags = Vec::new();
    for uri in [
        format!("{A}/{id}"),
        format!("{B}/{id}"),
        format!("{C}/{id}"),
        format!("{D}/{id}"),
        format!("{D}/{id}/webhook"),
    ] {
        let answer = api.get(&uri).await;
        let body = answer.expect(200);
        assert_eq!(body["id"], id, "{uri}");
        etags.push((answer.etag(), body["version"].clone()));
        read.push(body);
    }
    assert!(etags.iter().all(|one| *one == etags[0]), "{etags:?}");
    assert!(etags[0].0.starts_with('"'), "{etags:?}");
    read.try_into().unwrap()
}

/// Asserts that all dialects and `/v1` agree.
async fn agree(api: &Api, id: &str, name: &str, url: &str, kinds: &[&str]) {
    let [a, b, c, d, e] = read_in_all(api, id).await;
    for body in [&a, &b, &c, &d, &e] {
        assert_eq!(body["name"], name);
    }
    assert_eq!(a["endpoint"], url);
    assert_eq!(b["address"], url);
    assert_eq!(d["settings"]["url"], url);
    assert_eq!(e["url"], url);
    assert_eq!(a["eventTypes"], json!(kinds));
    let filters = b["eventFilters"].as_array().unwrap().iter();
    let of_b: Vec<&str> = filters
        .map(|filter| filter["eventType"].as_str().unwrap())
        .collect();
    assert_eq!(of_b, kinds);
    let bindings = api
        .get(&format!("{D}/{id}/eventbindings"))
        .await
        .expect(200);
    assert_eq!(bindings["events"], json!(kinds));
    let enabled = a["state"] == "enabled";
    assert_eq!(b["enabled"], enabled);
    assert_eq!(d["enabled"], enabled);
    assert_eq!(e["enabled"], enabled);
    // One retry policy in three words.
    let (attempts, retries) = (
        c["retryPolicy"]["maxAttempts"].as_u64().unwrap(),
        |n: &Value| n.as_u64().unwrap() + 1,
    );
    assert_eq!(retries(&a["retryPolicy"]["retryCount"]), attempts);
    assert_eq!(
        retries(&d["settings"]["retryPolicy"]["maxRetries"]),
        attempts
    );
}

#[tokio::test]
async fn a_webhook_that_was_made_in_one_dialect_is_read_in_all() {
    let api = Api::start().await;
    let id = Api::id(&api.post(A, &webhook_a("from a")).await);
    let kinds = ["call:created", "routing.queue.conversation.created"];
    agree(&api, &id, "from a", "http://127.18.0.9:65001/a", &kinds).await;

    let id = Api::id(&api.post(B, &webhook_b("from b")).await);
    let kinds = ["call:created", "call:answered"];
    agree(&api, &id, "from b", "http://127.18.0.9:65001/b", &kinds).await;

    let id = Api::id(&api.post(D, &integration("from d")).await);
    agree(&api, &id, "from d", "http://127.18.0.9:65001/d", &[]).await;
}

#[tokio::test]
async fn a_subscription_of_the_file_or_of_v1_is_a_webhook_in_every_dialect() {
    let api = Api::start().await;
    let id = api.resource("subscriptions/filed").await["id"]
        .as_str()
        .unwrap()
        .to_owned();
    agree(&api, &id, "filed", "http://127.18.0.9:65001/filed", &["*"]).await;

    let body = json!({"url": "http://127.18.0.9:65001/v1", "allow_private": ["127.0.0.0/8"]});
    api.put_v1("endpoints/mine", body).await;
    let body = json!({"title": "By v1", "sources": ["web"], "types": ["call:created"], "endpoint": "mine", "enabled": false});
    api.put_v1("subscriptions/mine", body).await;
    let id = api.resource("subscriptions/mine").await["id"]
        .as_str()
        .unwrap()
        .to_owned();
    agree(
        &api,
        &id,
        "By v1",
        "http://127.18.0.9:65001/v1",
        &["call:created"],
    )
    .await;
}

#[tokio::test]
async fn a_change_in_one_dialect_is_seen_in_all_and_keeps_what_it_has_no_word_for() {
    let api = Api::start().await;
    let id = Api::id(&api.post(D, &integration("many hands")).await);
    let name = api.name_of(&id).await;
    let mut body = api.resource(&format!("subscriptions/{name}")).await["body"].clone();
    body["when"] = "event.type != 'x'".into();
    api.put_v1(&format!("subscriptions/{name}"), body).await;
    let mut body = api.resource(&format!("endpoints/{name}")).await["body"].clone();
    body["timeout"] = "3s".into();
    api.put_v1(&format!("endpoints/{name}"), body).await;

    let a = json!({
        "name": "renamed by A",
        "endpoint": "http://127.18.0.9:65001/new",
        "eventTypes": ["call:created"],
        "state": "disabled",
    });
    let changed = api.put(&format!("{A}/{id}"), &a).await.expect(200);
    assert_eq!(changed["name"], "renamed by A");
    agree(
        &api,
        &id,
        "renamed by A",
        "http://127.18.0.9:65001/new",
        &["call:created"],
    )
    .await;

    let etag = api.get(&format!("{B}/{id}")).await.etag();
    let put = api
        .ask(
            &format!("PUT {B}/{id}"),
            &[("if-match", &etag)],
            &webhook_b("by B"),
        )
        .await;
    put.expect(200);
    let retry = json!({"maxAttempts": 4, "retryDuration": 7});
    api.put(&format!("{C}/{id}"), &retry).await.expect(200);
    let kinds = ["call:created", "call:answered"];
    agree(&api, &id, "by B", "http://127.18.0.9:65001/b", &kinds).await;

    let subscription = api.resource(&format!("subscriptions/{name}")).await["body"].clone();
    assert_eq!(subscription["when"], "event.type != 'x'");
    assert_eq!(subscription["map"], json!({"queue": "queueName"}));
    let endpoint = api.resource(&format!("endpoints/{name}")).await["body"].clone();
    assert_eq!(endpoint["timeout"], "3s");
    assert_eq!(endpoint["method"], "PUT");
    assert_eq!(endpoint["headers"]["X-Event"], "{{eventId}}");
    let policy = api.resource(&format!("policies/{name}")).await["body"].clone();
    assert_eq!(policy["matrix"], json!({"delays": ["1s", "2s", "4s"]}));
}

#[tokio::test]
async fn what_was_read_can_be_sent_back_in_every_dialect_and_then_nothing_has_changed() {
    let api = Api::start().await;
    let id = Api::id(&api.post(B, &webhook_b("round trip")).await);
    let retry = json!({"maxAttempts": 7, "retryDuration": 4321});
    api.put(&format!("{C}/{id}"), &retry).await.expect(200);
    let etag = api.get(&format!("{A}/{id}")).await.etag();
    for uri in [
        format!("{A}/{id}"),
        format!("{B}/{id}"),
        format!("{C}/{id}"),
        format!("{D}/{id}"),
        format!("{D}/{id}/webhook"),
    ] {
        let shown = api.get(&uri).await.expect(200);
        let put = api
            .ask(&format!("PUT {uri}"), &[("if-match", &etag)], &shown)
            .await;
        assert_eq!(put.expect(200), shown, "{uri}");
        assert_eq!(put.etag(), etag, "{uri}");
    }
}

#[tokio::test]
async fn lists_have_every_webhook_in_pages() {
    let api = Api::start().await;
    for n in 0..5 {
        Api::id(&api.post(A, &webhook_a(&format!("listed {n}"))).await);
    }
    for list in [A, B, D] {
        let (mut uri, mut names) = (format!("{list}?pageSize=2"), Vec::new());
        let mut pages = 0;
        loop {
            let page = api.get(&uri).await.expect(200);
            assert_eq!(
                (page["total"].as_u64(), page["pageCount"].as_u64()),
                (Some(6), Some(3))
            );
            let entities = page["entities"].as_array().unwrap();
            names.extend(
                entities
                    .iter()
                    .map(|it| it["name"].as_str().unwrap().to_owned()),
            );
            pages += 1;
            match page["nextUri"].as_str() {
                Some(next) => uri = next.to_owned(),
                None => break,
            }
        }
        assert_eq!((pages, names.len()), (3, 6), "{list}: {names:?}");
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 6);
    }
    assert_eq!(
        api.get(&format!("{A}?pageSize=501")).await.refused(400),
        ["pageSize"]
    );
    assert_eq!(
        api.get(&format!("{A}?pageNumber=1&page=2"))
            .await
            .refused(400),
        ["page"]
    );
    assert_eq!(
        api.get(&format!("{A}?pagesize=1")).await.refused(400),
        ["pagesize"]
    );
}

#[tokio::test]
async fn the_catalogue_is_read_page_after_page() {
    let api = Api::start().await;
    let (mut ids, mut page) = (Vec::new(), 1);
    loop {
        let uri = format!("/api/v2/eventtypes?pageSize=100&page={page}");
        let body = api.get(&uri).await.expect(200);
        for entity in body["entities"].as_array().unwrap() {
            for member in ["id", "name", "description"] {
                assert!(!entity[member].as_str().unwrap().is_empty(), "{entity}");
            }
            ids.push(entity["id"].as_str().unwrap().to_owned());
        }
        if page >= body["totalPageCount"].as_u64().unwrap() {
            assert_eq!(body["total"].as_u64().unwrap(), ids.len() as u64);
            break;
        }
        page += 1;
    }
    assert!(page > 1, "{} event types", ids.len());
    for known in [
        "call:created",
        "call:answered",
        "routing.queue.member.update",
        "integration.message.failed",
    ] {
        assert!(ids.iter().any(|id| id == known), "{known}");
    }
}
