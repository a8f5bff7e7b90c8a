//! Files that declare resources for a gateway: what `switchhook plan` and `apply` read.
//!
//! They have the sections of the configuration file that are resources, and a `name` under which the gateway notes what
//! they manage; without one it is the name of the file. References to the environment are filled in here, on the machine
//! that reads the file: the gateway's own environment is not for everybody to see.
//!
//! A file mentions what it declares, what other files declare, and what the gateway has. So it is checked together with
//! these, and a problem of it has its line. What the gateway shows of a resource has its secrets masked; problems that come
//! from that are nobody's.

use std::path::Path as FilePath;
use std::sync::Arc;

use serde_json::Value as Json;
use toml::de::DeTable;

use super::declared::{Declared, Raw};
use super::document::{Document, Path};
use super::interpolate::{self, Env};
use super::kind::{ApiResource, Kind, Origin};
use super::node::{self, Node, Value};
use super::problem::Problem;
use super::read::{Item, Report, shown};
use super::remote::{self, DeclaredWebhook, Remote};
use super::{FILE_BYTES_MAX, codes, masking};
use crate::api::Owner;

/// Every section and key at the top of such a file.
const SECTIONS: [&str; 9] = [
    "version",
    "name",
    "source",
    "policy",
    "endpoint",
    "group",
    "subscription",
    "genesys",
    "webhook",
];
/// Longest name of a file, in bytes: the gateway takes no longer one.
const NAME_BYTES_MAX: usize = 256;

/// A file that declares resources.
#[derive(Debug, Clone)]
pub struct Declaration {
    /// The name under which the gateway notes what it manages.
    pub name: String,
    /// The management API at which its webhooks are.
    pub remote: Option<Remote>,
    /// Its webhooks at that API.
    pub webhooks: Vec<DeclaredWebhook>,
    document: Document,
    filled: Node,
    written: Node,
}

/// A resource of a declaration.
#[derive(Debug, Clone, PartialEq)]
pub struct DeclaredResource {
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// The declaration that it is from.
    pub managed_by: String,
    /// File and line, for example `prod.toml:42`.
    pub defined_at: Option<String>,
    /// What is sent to the gateway.
    pub body: Json,
}

impl Declaration {
    /// Reads the text of the file called `file_name`.
    ///
    /// # Errors
    /// When it cannot be read at all, or declares what is no resource: every problem.
    pub fn read(text: &str, file_name: &str, env: Env<'_>) -> Result<Self, Vec<Problem>> {
        let (table, errors) = DeTable::parse_recoverable(text);
        let written = node::from_toml(&table);
        let document = Document::file(file_name, text, masking::hidden_spans(&written));
        let mut report = Report::new(document.clone());
        for error in errors {
            let mut spot = report.document.spot(&error.span(), &Path::default());
            // As in the configuration file: better no line than a secret.
            spot.snippet = spot
                .snippet
                .filter(|line| !masking::is_credential_name(&line.text));
            let message = error.message().replace('\n', ", ");
            report.push(Problem::new(codes::SYNTAX, spot, message, None));
        }
        if text.len() > FILE_BYTES_MAX {
            let message = format!(
                "the file has {} bytes, at most {FILE_BYTES_MAX} are allowed",
                text.len()
            );
            report.add(codes::TOO_LARGE, &Item::top(&written), message, None);
        }
        let mut filled = interpolate::fill(&Item::top(&written), Some(env), &mut report);
        // A body of the API has no environment: what was filled in is the text that it is.
        settle(&mut filled);
        let name = declared_name(&filled, file_name, &mut report);
        let (remote, webhooks) = elsewhere(&filled, &mut report);
        let mut problems = report.finish();
        let is_named = name.is_some();
        let read = Self {
            name: name.unwrap_or_default(),
            remote,
            webhooks,
            document,
            filled,
            written,
        };
        if is_named && !problems.iter().any(Problem::is_error) {
            return Ok(read);
        }
        problems.extend(read.misshapen());
        Err(problems)
    }

    /// What is wrong with its resources by themselves. What they mention may be at the gateway, so that is not judged here.
    fn misshapen(&self) -> impl Iterator<Item = Problem> {
        let mut report = Report::new(self.document.clone());
        self.join(&mut Declared::default(), &mut report);
        let found = report.finish().into_iter();
        found.filter(|problem| problem.code != codes::UNKNOWN_REFERENCE.id)
    }

    /// Its resources, by kind and in the order of their names.
    #[must_use]
    pub fn resources(&self) -> Vec<DeclaredResource> {
        let of_kind = |kind: Kind| {
            let section = self.filled.field(kind.name());
            let fields = section.map(Node::fields).unwrap_or_default();
            fields.iter().map(move |field| DeclaredResource {
                kind,
                name: field.key.clone(),
                managed_by: self.name.clone(),
                defined_at: self.document.line(&field.key_span),
                body: escaped(node::to_json(&field.node)),
            })
        };
        Kind::ALL.into_iter().flat_map(of_kind).collect()
    }

    /// Adds everything that it declares; what another one has declared is a problem.
    fn join(&self, all: &mut Declared, report: &mut Report) {
        for kind in Kind::ALL {
            let (Some(section), Some(written)) = (
                self.filled.field(kind.name()),
                self.written.field(kind.name()),
            ) else {
                continue;
            };
            let top = Item::top(&self.filled);
            let path = top
                .path
                .with(super::document::Step::Key(kind.name().to_owned()));
            let section = Item {
                node: section,
                path,
            };
            let Some(table) = report.open_table(&section) else {
                continue;
            };
            for (field, written) in table.fields.iter().zip(written.fields()) {
                let item = section.child(field);
                if let Some(other) = all.declared_at(kind, &field.key) {
                    let message = format!(
                        "{} `{}` is already declared at {other}",
                        kind.name(),
                        shown(&field.key)
                    );
                    report.add(codes::TWICE, &item, message, None);
                    continue;
                }
                let defined_at = report.document.line(&field.key_span);
                let raw = Raw {
                    kind,
                    name: &field.key,
                    item,
                    key_span: field.key_span.clone(),
                    origin: Origin {
                        owner: Owner::Api,
                        defined_at,
                    },
                    body: masking::masked(&node::to_json(&written.node)),
                };
                all.add(raw, report);
            }
        }
    }
}

/// Everything that is wrong with `declarations` beside the resources that the gateway has besides, and its secrets.
#[must_use]
pub fn check_declarations(
    declarations: &[Declaration],
    others: &[ApiResource],
    secrets: impl IntoIterator<Item = Arc<str>>,
) -> Vec<Problem> {
    let mut all = Declared::default();
    all.secrets.extend(secrets);
    let mut problems = Vec::new();
    for declaration in declarations {
        let mut report = Report::new(declaration.document.clone());
        declaration.join(&mut all, &mut report);
        problems.extend(report.finish());
    }
    let mut of_the_gateway = Report::new(Document::default());
    for other in others {
        all.add_api(other, &mut of_the_gateway);
    }
    let together = all.merged(Report::new(Document::default()));
    // What it has was accepted once: only what it mentions can be missing now.
    let missing = |problem: &Problem| {
        problem.place.file.is_some() || problem.code == codes::UNKNOWN_REFERENCE.id
    };
    problems.extend(together.problems.into_iter().filter(missing));
    problems
}

/// The name that the file gives itself, else that of the file.
fn declared_name(filled: &Node, file_name: &str, report: &mut Report) -> Option<String> {
    let top = report.table(&Item::top(filled), &SECTIONS)?;
    if let Some(item) = top.get("version")
        && let Some(version) = report.integer(&item, 0..=i64::MAX)
        && version != 1
    {
        let message = format!("version {version} is not supported, only 1 is");
        report.add(codes::VERSION, &item, message, None);
    }
    let Some(item) = top.get("name") else {
        let name = FilePath::new(file_name).file_name()?;
        return Some(name.to_string_lossy().into_owned());
    };
    let name = report.text(&item)?.text.clone();
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        let message = format!(
            "the name of a file has 1 to {NAME_BYTES_MAX} bytes, this one has {}",
            name.len()
        );
        report.add(codes::OUT_OF_RANGE, &item, message, None);
    }
    Some(name)
}

/// What the file declares at another API, and how to reach that.
fn elsewhere(filled: &Node, report: &mut Report) -> (Option<Remote>, Vec<DeclaredWebhook>) {
    let top = Item::top(filled);
    let section = |name: &str| {
        let mut fields = filled.fields().iter();
        fields.find(move |field| field.key == name)
    };
    let (api, hooks) = (section("genesys"), section("webhook"));
    let remote = api.and_then(|field| remote::remote(&top.child(field), report));
    let Some(hooks) = hooks else {
        return (remote, Vec::new());
    };
    let item = top.child(hooks);
    if api.is_none() {
        let message = "there are webhooks and no API to make them at".to_owned();
        let hint = "add `[genesys]` with `base` or `region`, `client_id` and `client_secret`";
        report.add(codes::MISSING, &item, message, Some(hint.to_owned()));
    }
    (remote, remote::webhooks(&item, report))
}

/// Strings that came from the environment are strings like others.
fn settle(node: &mut Node) {
    match &mut node.value {
        Value::Text(text) => text.is_reference = false,
        Value::Table(fields) => fields.iter_mut().for_each(|field| settle(&mut field.node)),
        Value::Array(items) => items.iter_mut().for_each(settle),
        Value::Integer(_)
        | Value::Float(_)
        | Value::Bool(_)
        | Value::Other(_)
        | Value::Unfilled => {}
    }
}

/// `body` as the API takes it, where `${` must be written `$${` as in a file.
fn escaped(body: Json) -> Json {
    match body {
        Json::String(text) => Json::String(text.replace("${", "$${")),
        Json::Array(items) => Json::Array(items.into_iter().map(escaped).collect()),
        Json::Object(fields) => Json::Object(
            fields
                .into_iter()
                .map(|(key, value)| (key, escaped(value)))
                .collect(),
        ),
        other @ (Json::Null | Json::Bool(_) | Json::Number(_)) => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::{RemotePlace, WebhookRetry};

    const FILE: &str = r#"
name = "prod"
[endpoint.crm]
url = "${env:URL}"
headers = { X-Price = "$${a}" }
[subscription.web-to-crm]
sources = ["web"]
endpoint = "crm"
order = "none"
"#;

    fn env(name: &str) -> Option<String> {
        (name == "URL").then(|| "https://crm.example.com/".to_owned())
    }

    fn read(text: &str, name: &str) -> Declaration {
        Declaration::read(text, name, &env).unwrap_or_else(|problems| panic!("{problems:?}"))
    }

    fn web() -> ApiResource {
        let verify = json!({"scheme": "open-messaging", "secrets": ["***"]});
        ApiResource {
            kind: Kind::Source,
            name: "web".to_owned(),
            body: json!({ "verify": verify }),
        }
    }

    fn codes_of(problems: &[Problem]) -> Vec<&str> {
        problems.iter().map(|problem| problem.code).collect()
    }

    #[test]
    fn a_section_that_does_not_exist_hides_no_other_mistake() {
        let text = "[webhok.x]\n[server]\n[endpoint.crm]\nurl = \"ftp://x\"\nfoo = 1\n";
        let problems = Declaration::read(text, "x.toml", &env).unwrap_err();
        let lines: Vec<_> = problems.iter().filter_map(|it| it.place.line).collect();
        assert_eq!(lines, [1, 2, 4, 5], "{problems:?}");
    }

    #[test]
    fn a_file_declares_bodies_as_the_api_takes_them_under_its_name() {
        let declared = read(FILE, "dir/x.toml").resources();
        let names: Vec<_> = declared.iter().map(|d| (d.kind, &*d.name)).collect();
        assert_eq!(
            names,
            [(Kind::Endpoint, "crm"), (Kind::Subscription, "web-to-crm")]
        );
        let crm = declared.first().unwrap();
        assert_eq!(crm.managed_by, "prod");
        assert_eq!(crm.defined_at.as_deref(), Some("dir/x.toml:3"));
        let body = json!({"url": "https://crm.example.com/", "headers": {"X-Price": "$${a}"}});
        assert_eq!(crm.body, body);
        assert_eq!(read("", "dir/x.toml").name, "x.toml");
    }

    #[test]
    fn what_is_mentioned_may_be_on_the_gateway_whose_masks_are_no_problem() {
        let file = [read(FILE, "x.toml")];
        assert_eq!(check_declarations(&file, &[web()], []), []);
        let alone = check_declarations(&file, &[], []);
        assert_eq!(codes_of(&alone), ["SH0201"]);
        let place = &alone.first().unwrap().place;
        assert_eq!(
            (place.line, &*place.pointer),
            (Some(7), "/subscription/web-to-crm/sources/0")
        );
    }

    #[test]
    fn what_two_files_declare_is_named_where_it_stands_the_second_time() {
        let files = [
            read(FILE, "x.toml"),
            read("[endpoint.crm]\nurl = \"https://a.example/\"", "y.toml"),
        ];
        let problems = check_declarations(&files, &[web()], []);
        assert_eq!(codes_of(&problems), ["SH0138"]);
        let problem = problems.first().unwrap();
        assert_eq!(problem.place.file.as_deref(), Some("y.toml"));
        assert!(problem.message.contains("x.toml:3"), "{}", problem.message);
    }

    #[test]
    fn webhooks_at_another_api_are_declared_beside_resources() {
        let text = r#"
[genesys]
base = "http://127.0.0.1:8081"
client_id = "id"
client_secret = "${env:URL}"
[webhook.stats]
url = "https://stats.example.com/"
event_types = ["v2.users.{id}.presence"]
retry = { max_attempts = 5, duration = "1h" }
"#;
        let read = read(text, "x.toml");
        assert_eq!(read.webhooks.len(), 1);
        let stats = read.webhooks.first().unwrap();
        assert_eq!((stats.dialect, &*stats.name), ("webhooks", "stats"));
        assert_eq!(stats.retry, Some(WebhookRetry::Spread(5, 3_600)));
        assert_eq!(stats.defined_at.as_deref(), Some("x.toml:6"));
        let remote = read.remote.clone().unwrap();
        assert_eq!(
            remote.place,
            RemotePlace::Base("http://127.0.0.1:8081".into())
        );
        assert!(
            !format!("{remote:?}").contains("crm.example.com"),
            "no secret is shown"
        );
        // A file that nothing is there for names what is missing.
        let faults = Declaration::read("[webhook.a]\nurl = \"x\"", "x.toml", &env).unwrap_err();
        assert_eq!(codes_of(&faults), ["SH0102", "SH0102"]);
    }

    #[test]
    fn settings_of_a_gateway_and_variables_that_are_not_set_are_refused() {
        let text = "[server]\ningest = \"127.0.0.1:1\"\n[endpoint.a]\nurl = \"${env:NO}\"";
        let problems = Declaration::read(text, "x.toml", &env).unwrap_err();
        assert_eq!(codes_of(&problems), ["SH0104", "SH0203"]);
    }
}
