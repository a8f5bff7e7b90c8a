//! A token server on loopback, and those who ask it.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::future::join_all;
use switchhook_core::secret::SecretRef;
use tokio::time::timeout;

use super::*;
use crate::dispatch::transport::lab::{self, Asked, LONG, Service, transport};
use crate::secrets::Origin;

const LIFE: Duration = Duration::from_secs(3_600);

fn loopback() -> Vec<IpNet> {
    vec!["127.0.0.0/8".parse().unwrap()]
}

/// A token server whose n-th answer is `answer(n)`, from 1, and those who ask it.
struct Lab {
    tokens: Tokens,
    secrets: Secrets,
    client: Arc<ClientCredentials>,
    fetches: Arc<AtomicU32>,
    now: Instant,
}

impl Lab {
    async fn start(answer: impl Fn(u32, &Asked) -> (u16, String) + Send + Sync + 'static) -> Self {
        let fetches = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&fetches);
        let service =
            Service::start(move |asked| answer(counted.fetch_add(1, Ordering::SeqCst) + 1, asked));
        let client = ClientCredentials {
            token_url: service.await.url("/token").parse().unwrap(),
            client_id: "my client".into(),
            client_secret: SecretRef::Named("idp".into()),
            scope: None,
            audience: None,
            in_body: false,
        };
        Self {
            tokens: Tokens::new(transport()),
            secrets: Secrets::new(
                BTreeMap::from([("idp".into(), Origin::Env("IDP".into()))]),
                |_| Some("pass+word".to_owned()),
            ),
            client: Arc::new(client),
            fetches,
            now: Instant::now(),
        }
    }

    /// Gives `t1`, `t2`, … that live for an hour.
    async fn giving_tokens() -> Self {
        Self::start(|n, _| {
            let body =
                format!(r#"{{"access_token":"t{n}","token_type":"Bearer","expires_in":3600}}"#);
            (200, body)
        })
        .await
    }

    async fn lease(&self, later: Duration, refused: Option<&Arc<Token>>) -> Result<Lease, Fault> {
        let times = (self.now + later, Instant::now() + LONG);
        let allow = loopback();
        let lease = self
            .tokens
            .lease(&self.client, &allow, &self.secrets, refused, times);
        timeout(LONG, lease).await.unwrap()
    }

    async fn text(&self, later: Duration) -> String {
        text(&self.lease(later, None).await.unwrap().token)
    }

    fn fetches(&self) -> u32 {
        self.fetches.load(Ordering::SeqCst)
    }
}

fn text(token: &Token) -> String {
    String::from_utf8(token.text.expose().to_vec()).unwrap()
}

#[tokio::test]
async fn fifty_attempts_at_once_fetch_one_token_and_later_ones_none() {
    let lab = Lab::giving_tokens().await;
    let leases = join_all((0..50).map(|_| lab.lease(Duration::ZERO, None))).await;
    for lease in leases {
        let lease = lease.unwrap();
        assert_eq!((&*text(&lease.token), lease.is_fresh), ("t1", true));
        assert_eq!(lease.token.header, "Bearer t1");
        assert!(lease.token.header.is_sensitive());
    }
    let later = lab.lease(LIFE - RENEWED_BEFORE - Duration::from_secs(1), None);
    let later = later.await.unwrap();
    assert_eq!((&*text(&later.token), later.is_fresh), ("t1", false));
    assert_eq!(lab.fetches(), 1);
}

#[tokio::test]
async fn a_token_is_renewed_before_its_end_while_the_old_one_is_still_used() {
    let lab = Lab::giving_tokens().await;
    assert_eq!(lab.text(Duration::ZERO).await, "t1");
    let late = LIFE - RENEWED_BEFORE + Duration::from_secs(1);
    assert_eq!(lab.text(late).await, "t1");
    let renewed = async {
        while lab.text(late).await != "t2" {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, renewed).await.unwrap();
    assert_eq!(lab.fetches(), 2);
}

#[tokio::test]
async fn a_token_at_its_end_is_waited_for_anew() {
    let lab = Lab::giving_tokens().await;
    assert_eq!(lab.text(Duration::ZERO).await, "t1");
    assert_eq!(
        lab.text(LIFE - USED_BEFORE + Duration::from_secs(1)).await,
        "t2"
    );
}

#[tokio::test]
async fn a_refused_token_is_renewed_once_for_all_that_had_it() {
    let lab = Lab::giving_tokens().await;
    let refused = lab.lease(Duration::ZERO, None).await.unwrap().token;
    let again = join_all((0..10).map(|_| lab.lease(Duration::ZERO, Some(&refused)))).await;
    assert!(
        again
            .into_iter()
            .all(|lease| text(&lease.unwrap().token) == "t2")
    );
    let late = lab.lease(Duration::ZERO, Some(&refused)).await.unwrap();
    assert_eq!((&*text(&late.token), late.is_fresh), ("t2", false));
    assert_eq!(lab.fetches(), 2);
}

#[tokio::test]
async fn a_fetch_that_failed_is_not_repeated_at_once() {
    let lab = Lab::start(|n, _| match n {
        1 => (503, "the secret was pass+word".to_owned()),
        _ => (200, r#"{"access_token":"t"}"#.to_owned()),
    })
    .await;
    for _ in 0..3 {
        let fault = lab.lease(Duration::ZERO, None).await.err().unwrap();
        assert_eq!(fault.failure, Failure::Secret);
        let says =
            "no token from 127.0.0.1 for client `my client` with secret `idp`: it answered 503";
        assert_eq!(fault.text, says);
    }
    assert_eq!(lab.fetches(), 1);
    assert_eq!(lab.text(FAILED_FOR * 2).await, "t");
}

#[tokio::test]
async fn a_token_that_cannot_be_renewed_is_used_to_its_end() {
    let lab = Lab::start(|n, _| match n {
        1 => (200, r#"{"access_token":"t1","expires_in":3600}"#.to_owned()),
        _ => (500, String::new()),
    })
    .await;
    assert_eq!(lab.text(Duration::ZERO).await, "t1");
    let late = LIFE - RENEWED_BEFORE + Duration::from_secs(1);
    let failed = async {
        while lab.fetches() < 2 {
            assert_eq!(lab.text(late).await, "t1");
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, failed).await.unwrap();
    assert_eq!(lab.text(late).await, "t1");
}

#[tokio::test]
async fn a_client_that_is_not_accepted_is_told_in_words_and_a_new_secret_counts_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("idp");
    fs::write(&path, "wrong").unwrap();
    let right = format!("Basic {}", BASE64.encode(b"my+client:right"));
    let lab = Lab::start(
        move |_, asked| match asked.header("authorization") == right {
            true => (200, r#"{"access_token":"t"}"#.to_owned()),
            false => (
                401,
                r#"{"error":"invalid_client","error_description":"wrong"}"#.to_owned(),
            ),
        },
    );
    let origins = BTreeMap::from([("idp".into(), Origin::File(path.clone()))]);
    let lab = Lab {
        secrets: Secrets::new(origins, |_| None),
        ..lab.await
    };
    let fault = lab.lease(Duration::ZERO, None).await.err().unwrap();
    assert!(
        fault.text.ends_with(
            "it answered 401 `invalid_client`: it does not accept this client and secret"
        ),
        "{fault}"
    );
    fs::write(&path, "right").unwrap();
    assert_eq!(lab.text(Duration::ZERO).await, "t");
}

#[tokio::test]
async fn a_request_is_written_as_rfc_6749_says() {
    for in_body in [false, true] {
        let lab = Lab::start(|_, asked| {
            let told = format!("{}|{}", asked.header("authorization"), asked.body);
            let told = BASE64.encode(told.as_bytes());
            assert_eq!(
                asked.header("content-type"),
                "application/x-www-form-urlencoded"
            );
            assert_eq!(
                (asked.header("accept"), &*asked.path),
                ("application/json", "/token")
            );
            (200, format!(r#"{{"access_token":"{told}"}}"#))
        });
        let mut lab = lab.await;
        lab.client = Arc::new(ClientCredentials {
            scope: Some("a b".into()),
            audience: Some("https://api".into()),
            in_body,
            ..(*lab.client).clone()
        });
        let told = BASE64
            .decode(lab.text(Duration::ZERO).await.as_bytes())
            .unwrap();
        let form = "grant_type=client_credentials&scope=a+b&audience=https%3A%2F%2Fapi";
        let basic = BASE64.encode(b"my+client:pass%2Bword");
        let expected = match in_body {
            false => format!("Basic {basic}|{form}"),
            true => format!("|{form}&client_id=my+client&client_secret=pass%2Bword"),
        };
        assert_eq!(String::from_utf8(told).unwrap(), expected);
    }
}

#[tokio::test]
async fn a_token_server_is_judged_by_the_guard_with_the_endpoints_allow_list() {
    let lab = Lab::giving_tokens().await;
    let times = (lab.now, Instant::now() + LONG);
    let lease = lab
        .tokens
        .lease(&lab.client, &[], &lab.secrets, None, times);
    assert_eq!(lease.await.err().unwrap().failure, Failure::Secret);
    assert_eq!(lab.fetches(), 0);
}

#[tokio::test]
async fn an_attempt_that_cannot_wait_does_not_blame_its_endpoint() {
    let silent = lab::Lab::start(lab::Act::Hang("")).await;
    let mut lab = Lab::giving_tokens().await;
    lab.client = Arc::new(ClientCredentials {
        token_url: silent.url().parse().unwrap(),
        ..(*lab.client).clone()
    });
    let allow = loopback();
    let times = (lab.now, lab.now + Duration::from_millis(50));
    let lease = lab
        .tokens
        .lease(&lab.client, &allow, &lab.secrets, None, times);
    let fault = timeout(LONG, lease).await.unwrap().err().unwrap();
    assert_eq!(fault.failure, Failure::Secret);
    assert!(fault.text.contains("did not answer within"), "{fault}");
}

#[test]
fn only_a_bearer_token_that_can_be_sent_is_taken() {
    let at = Instant::now();
    let read = |answer: &str| Token::read(answer.as_bytes(), at);
    let good = read(r#"{"access_token":"t","token_type":"bearer"}"#).unwrap();
    assert_eq!(
        (good.renew_at, good.end_at),
        (
            at + LIFE_DEFAULT - RENEWED_BEFORE,
            at + LIFE_DEFAULT - USED_BEFORE
        )
    );
    let long = format!(
        r#"{{"access_token":"{}"}}"#,
        "x".repeat(VALUE_BYTES_MAX + 1)
    );
    for (answer, says) in [
        ("t", "no JSON object"),
        (r#"{"token":"t"}"#, "no `access_token`"),
        (r#"{"access_token":7}"#, "no `access_token`"),
        (
            r#"{"access_token":"t","token_type":"mac"}"#,
            "no bearer token",
        ),
        (r#"{"access_token":""}"#, "cannot stand in a header"),
        (r#"{"access_token":"a\nb"}"#, "cannot stand in a header"),
        (&long, "too long"),
    ] {
        let why = read(answer).err().unwrap();
        assert!(why.contains(says), "{why}");
    }
}

#[test]
fn a_life_is_believed_up_to_a_day() {
    let of = |text: &str| life(Some(&serde_json::from_str(text).unwrap()));
    for (text, seconds) in [
        ("3600", 3_600),
        ("\"3600\"", 3_600),
        ("1.5e3", 1_500),
        ("0", 0),
        ("-5", 0),
        ("864000", 86_400),
        ("\"soon\"", 300),
        ("\"NaN\"", 300),
        ("null", 300),
    ] {
        assert_eq!(of(text), Duration::from_secs(seconds), "{text}");
    }
    assert_eq!(life(None), LIFE_DEFAULT);
}
