//! Every road by which a URL comes in takes the one guard: what it must refuse is refused on each.
//!
//! The forms are those of `switchhook-core/tests/guard`. Create, update and the file take all of them, the other roads
//! enough of them to show that they end at the same reader.

use http::Method;
use serde_json::{Value, json};

use super::*;

const FORMS: &str = include_str!("../../../../switchhook-core/tests/guard/forms.txt");

/// Of the forms, a road that is not walked with all of them is walked with every one of this number: a prime, so that all
/// kinds have their turn.
const STRIDE: usize = 13;

/// Every form that is refused when it is written.
fn refused() -> Vec<String> {
    let lines = FORMS.lines();
    let texts = lines.filter_map(|line| line.strip_prefix("refused "));
    texts
        .map(|text| serde_json::from_str(text).unwrap())
        .collect()
}

/// The name of an endpoint that is there before, and the webhooks that are.
struct Site {
    api: Api,
    /// By dialect: A, B, D.
    webhooks: [String; 3],
}

const HONEST: &str = "https://example.com/hook";

impl Site {
    async fn start() -> Self {
        let api = Api::start().await;
        let made = api.put("/v1/endpoints/there", json!({"url": HONEST})).await;
        assert_eq!(made.status, 201, "{}", made.text());
        let mut webhooks = Vec::new();
        for (uri, body) in [
            ("/api/v2/webhooks", webhook_a(HONEST)),
            ("/api/v2/webhooks/webhooks", webhook_b(HONEST)),
            ("/api/v2/integrations", integration(HONEST)),
        ] {
            let made = api.post(uri, body).await;
            assert_eq!(made.status, 201, "{uri}: {}", made.text());
            webhooks.push(made.json()["id"].as_str().unwrap().to_owned());
        }
        let webhooks = webhooks.try_into().unwrap();
        Self { api, webhooks }
    }

    /// Everything that is configured.
    async fn state(&self) -> Value {
        let mut all = Vec::new();
        for kind in ["endpoints", "subscriptions", "policies"] {
            let page = self.api.get(&format!("/v1/{kind}?pageSize=500")).await;
            assert_eq!(page.status, 200, "{}", page.text());
            all.push(page.json()["entities"].clone());
        }
        all.into()
    }

    /// The answer on a road with this URL.
    async fn walk(&self, road: Road, url: &str) -> Answer {
        let [a, b, d] = &self.webhooks;
        let (method, uri, body) = match road {
            Road::Create => (
                Method::PUT,
                "/v1/endpoints/new".to_owned(),
                json!({"url": url}),
            ),
            Road::Update => (
                Method::PUT,
                "/v1/endpoints/there".to_owned(),
                json!({"url": url}),
            ),
            Road::Apply => {
                let uri = "/v1/endpoints/new?managedBy=site.toml".to_owned();
                (Method::PUT, uri, json!({"url": url}))
            }
            Road::DryRun => {
                let uri = "/v1/endpoints/new?dryRun=true".to_owned();
                (Method::PUT, uri, json!({"url": url}))
            }
            Road::Token => {
                let auth = json!({
                    "scheme": "oauth2", "token_url": url, "client_id": "us",
                    "client_secret": "{{secret:web}}",
                });
                let body = json!({"url": HONEST, "auth": auth});
                (Method::PUT, "/v1/endpoints/new".to_owned(), body)
            }
            Road::MakeA => (Method::POST, "/api/v2/webhooks".to_owned(), webhook_a(url)),
            Road::MakeB => (
                Method::POST,
                "/api/v2/webhooks/webhooks".to_owned(),
                webhook_b(url),
            ),
            Road::MakeD => (
                Method::POST,
                "/api/v2/integrations".to_owned(),
                integration(url),
            ),
            Road::ChangeA => (Method::PUT, format!("/api/v2/webhooks/{a}"), webhook_a(url)),
            Road::ChangeB => (
                Method::PATCH,
                format!("/api/v2/webhooks/webhooks/{b}"),
                json!({"address": url}),
            ),
            Road::ChangeD => (
                Method::PUT,
                format!("/api/v2/integrations/{d}"),
                integration(url),
            ),
        };
        let request = self.api.meant(method, &uri, body.to_string()).await;
        self.api.send(request).await
    }
}

fn webhook_a(url: &str) -> Value {
    json!({"name": "a", "endpoint": url, "eventTypes": ["call:created"], "state": "enabled"})
}

fn webhook_b(url: &str) -> Value {
    json!({"name": "b", "address": url, "enabled": true, "eventFilters": [{"eventType": "call:created"}]})
}

fn integration(url: &str) -> Value {
    json!({"name": "d", "type": "webhook", "enabled": true, "settings": {"url": url}})
}

/// A way in for a URL through the API.
#[derive(Debug, Clone, Copy)]
enum Road {
    Create,
    Update,
    Apply,
    DryRun,
    Token,
    MakeA,
    MakeB,
    MakeD,
    ChangeA,
    ChangeB,
    ChangeD,
}

const ROADS: [Road; 11] = [
    Road::Create,
    Road::Update,
    Road::Apply,
    Road::DryRun,
    Road::Token,
    Road::MakeA,
    Road::MakeB,
    Road::MakeD,
    Road::ChangeA,
    Road::ChangeB,
    Road::ChangeD,
];

#[tokio::test]
async fn a_hostile_url_is_refused_on_every_road_of_the_api_and_changes_nothing() {
    let site = Site::start().await;
    let before = site.state().await;
    let forms = refused();
    for (n, road) in ROADS.into_iter().enumerate() {
        let stride = if matches!(road, Road::Create | Road::Update) {
            1
        } else {
            STRIDE
        };
        // Each road with other forms than the one before.
        for form in forms.iter().skip(n).step_by(stride) {
            let answer = site.walk(road, form).await;
            let status = answer.status.as_u16();
            assert!(
                matches!(status, 400 | 422),
                "{road:?} {form:?}: {status} {}",
                answer.text()
            );
        }
    }
    assert_eq!(site.state().await, before);
}

#[tokio::test]
async fn an_honest_url_passes_on_every_road_of_the_api() {
    let site = Site::start().await;
    for (n, road) in ROADS.into_iter().enumerate() {
        let answer = site
            .walk(road, &format!("https://hooks.example.com/{n}"))
            .await;
        assert!(answer.status.is_success(), "{road:?}: {}", answer.text());
    }
}

#[test]
fn a_hostile_url_is_refused_in_a_file() {
    let text = |form: &str| {
        let escaped = form.chars().map(|letter| match letter {
            '"' | '\\' => format!("\\{letter}"),
            ' '..='~' => letter.to_string(),
            _ => format!("\\U{:08x}", u32::from(letter)),
        });
        escaped.collect::<String>()
    };
    for form in refused() {
        let form = text(&form);
        for key in ["url", "auth"] {
            let endpoint = match key {
                "url" => format!("url = \"{form}\""),
                _ => format!(
                    "url = \"{HONEST}\"\nauth = {{ scheme = \"oauth2\", token_url = \"{form}\", client_id = \"us\", \
                     client_secret = \"{{{{secret:web}}}}\" }}"
                ),
            };
            let file = format!("[secret.web]\nenv = \"WEB_SECRET\"\n[endpoint.e]\n{endpoint}\n");
            let loaded = load_toml(&file, "site.toml", &environment);
            let told: Vec<&str> = loaded.problems.iter().map(|it| it.code).collect();
            assert!(loaded.config.is_none(), "{file}");
            assert!(!told.is_empty(), "{file}");
        }
    }
    let honest = format!("[endpoint.e]\nurl = \"{}\"\n", text(HONEST));
    assert!(
        load_toml(&honest, "site.toml", &environment)
            .config
            .is_some()
    );
}
