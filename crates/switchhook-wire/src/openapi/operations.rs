//! What each route takes and answers, by type.

use schemars::JsonSchema;
use schemars::generate::SchemaGenerator;
use serde_json::{Value, json};

use super::resource;
use crate::api;
use crate::config::Kind;

/// A route as it is described.
#[derive(Debug, Clone)]
pub(super) struct Operation {
    pub(super) method: &'static str,
    pub(super) path: String,
    pub(super) params: Vec<Param>,
    pub(super) body: Option<Body>,
    pub(super) answers: Vec<Answer>,
}

/// A parameter that may be left out.
#[derive(Debug, Clone)]
pub(super) struct Param {
    pub(super) name: String,
    /// `query` or `header`.
    pub(super) place: &'static str,
    pub(super) what: String,
    pub(super) schema: Value,
}

/// What is sent.
#[derive(Debug, Clone)]
pub(super) struct Body {
    pub(super) schema: Value,
    pub(super) is_needed: bool,
}

/// An answer that is no refusal.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) what: &'static str,
    pub(super) shape: Shape,
    /// Whether it carries a tag.
    pub(super) is_tagged: bool,
}

/// What an answer is made of.
#[derive(Debug, Clone)]
pub(super) enum Shape {
    None,
    Json(Value),
    /// Text of this media type.
    Text(&'static str),
}

/// Operations as they are added.
struct Table<'s> {
    schemas: &'s mut SchemaGenerator,
    all: Vec<Operation>,
}

/// The operation that was added last.
struct Added<'t, 's>(&'t mut Table<'s>);

impl<'s> Table<'s> {
    fn add(&mut self, method: &'static str, path: impl Into<String>) -> Added<'_, 's> {
        self.all.push(Operation {
            method,
            path: path.into(),
            params: Vec::new(),
            body: None,
            answers: Vec::new(),
        });
        Added(self)
    }

    fn get<T: JsonSchema>(&mut self, path: impl Into<String>) -> Added<'_, 's> {
        self.add("GET", path)
            .answers::<T>(200, "What was asked for")
    }

    fn post<B: JsonSchema, T: JsonSchema>(
        &mut self,
        path: impl Into<String>,
        status: u16,
    ) -> Added<'_, 's> {
        self.add("POST", path)
            .takes::<B>(false)
            .keyed()
            .answers::<T>(status, "What was done")
    }
}

impl Added<'_, '_> {
    fn operation(&mut self) -> Option<&mut Operation> {
        self.0.all.last_mut()
    }

    fn param(mut self, param: Param) -> Self {
        if let Some(operation) = self.operation() {
            operation.params.push(param);
        }
        self
    }

    fn answer(mut self, answer: Answer) -> Self {
        if let Some(operation) = self.operation() {
            operation.answers.push(answer);
        }
        self
    }

    fn answers<T: JsonSchema>(self, status: u16, what: &'static str) -> Self {
        let schema = self.0.schemas.subschema_for::<T>().to_value();
        self.answer(Answer {
            status,
            what,
            shape: Shape::Json(schema),
            is_tagged: false,
        })
    }

    fn text(self, media_type: &'static str) -> Self {
        self.answer(Answer {
            status: 200,
            what: "What was asked for, as it comes",
            shape: Shape::Text(media_type),
            is_tagged: false,
        })
    }

    fn empty(self, status: u16, what: &'static str) -> Self {
        self.answer(Answer {
            status,
            what,
            shape: Shape::None,
            is_tagged: false,
        })
    }

    /// Its answers carry a tag.
    fn tagged(mut self) -> Self {
        if let Some(operation) = self.operation() {
            for answer in &mut operation.answers {
                answer.is_tagged = true;
            }
        }
        self
    }

    fn takes<B: JsonSchema>(mut self, is_needed: bool) -> Self {
        let schema = self.0.schemas.subschema_for::<B>().to_value();
        if let Some(operation) = self.operation() {
            operation.body = Some(Body { schema, is_needed });
        }
        self
    }

    /// Its body must be there.
    fn needed(mut self) -> Self {
        if let Some(body) = self
            .operation()
            .and_then(|operation| operation.body.as_mut())
        {
            body.is_needed = true;
        }
        self
    }

    /// Its query has the members of `Q`.
    fn query<Q: JsonSchema>(mut self) -> Self {
        let schema = schemars::generate::SchemaSettings::draft2020_12()
            .with(|settings| settings.inline_subschemas = true)
            .into_generator()
            .into_root_schema_for::<Q>();
        let members = schema.get("properties").and_then(Value::as_object).cloned();
        for (name, mut schema) in members.unwrap_or_default() {
            let what = schema.get("description").and_then(Value::as_str);
            let what = what.unwrap_or_default().to_owned();
            if let Some(schema) = schema.as_object_mut() {
                schema.remove("description");
                schema.remove("default");
            }
            self = self.param(Param {
                name,
                place: "query",
                what,
                schema: without_null(schema),
            });
        }
        self
    }

    fn flag(self, name: &str, what: &str) -> Self {
        self.param(Param {
            name: name.to_owned(),
            place: "query",
            what: what.to_owned(),
            schema: json!({ "type": "boolean" }),
        })
    }

    fn header(self, name: &str, what: &str) -> Self {
        self.param(Param {
            name: name.to_owned(),
            place: "header",
            what: what.to_owned(),
            schema: json!({ "type": "string" }),
        })
    }

    fn keyed(self) -> Self {
        self.param(Param {
            name: "Idempotency-Key".to_owned(),
            place: "header",
            what: "A repeat with this key gets the first answer, for 24 hours".to_owned(),
            schema: json!({ "type": "string", "pattern": "^[!-~]{1,255}$" }),
        })
    }

    /// A change of something that has versions.
    fn versioned(self) -> Self {
        self.header(
            "If-Match",
            "The tag of the version that the change is meant for",
        )
        .keyed()
        .flag("dryRun", "Only check it")
        .flag("force", "Do it although deliveries wait")
    }
}

/// A parameter that is absent is not `null`.
fn without_null(mut schema: Value) -> Value {
    if let Some(types) = schema.get_mut("type") {
        if let Some(several) = types.as_array_mut() {
            several.retain(|name| name != "null");
        }
        if let Some([only]) = types.as_array().map(Vec::as_slice) {
            *types = only.clone();
        }
    }
    schema
}

/// Every operation of `/v1`.
pub(super) fn all(schemas: &mut SchemaGenerator) -> Vec<Operation> {
    let mut table = Table {
        schemas,
        all: Vec::new(),
    };
    of_events(&mut table);
    of_resources(&mut table);
    of_secrets(&mut table);
    of_endpoints(&mut table);
    of_groups_and_jobs(&mut table);
    of_gateway(&mut table);
    of_identity(&mut table);
    table.all
}

fn of_events(table: &mut Table<'_>) {
    table
        .get::<api::EventList>("/v1/events")
        .query::<api::EventQuery>();
    table.get::<api::EventView>("/v1/events/{id}").param(Param {
        name: "payload".to_owned(),
        place: "query",
        what: "`raw` answers with the exact bytes".to_owned(),
        schema: json!({ "enum": ["raw"] }),
    });
    table.get::<api::TimelineView>("/v1/events/{id}/timeline");
    table.get::<api::Explanation>("/v1/events/{id}/explain");
    table
        .get::<api::AttemptList>("/v1/attempts")
        .query::<api::AttemptQuery>();
    table
        .get::<api::DeadLetterList>("/v1/deadLetters")
        .query::<api::DeadLetterQuery>();
    table.get::<api::DeadLetterView>("/v1/deadLetters/{id}");
    table
        .add("GET", "/v1/deadLetters:export")
        .query::<api::DeadLetterFilter>()
        .text("application/x-ndjson");
    for action in ["replay", "discard"] {
        table
            .post::<api::SelectionRequest, api::BulkResult>(
                format!("/v1/deadLetters:{action}"),
                200,
            )
            .needed();
    }
}

fn of_resources(table: &mut Table<'_>) {
    for kind in Kind::ALL {
        let path = format!("/v1/{}", kind.plural());
        if kind == Kind::Group {
            table.get::<api::GroupList>(&path).query::<api::ListQuery>();
        } else {
            table
                .get::<api::ResourceList>(&path)
                .query::<api::ListQuery>();
        }
        let one = format!("{path}/{{name}}");
        table
            .get::<api::ResourceView>(&one)
            .header("If-None-Match", "A tag: 304 if it is still the current one")
            .empty(304, "It is still what the asker has")
            .tagged();
        let mut put = table
            .add("PUT", &one)
            .versioned()
            .header("If-None-Match", "`*`: only if it is not there")
            .flag("takeOver", "Do it although another file declares it")
            .param(Param {
                name: "managedBy".to_owned(),
                place: "query",
                what: "The file that declares it from now on".to_owned(),
                schema: json!({ "type": "string", "maxLength": 256 }),
            })
            .answers::<api::ResourceView>(200, "It was changed, or would be")
            .answers::<api::ResourceView>(201, "It was made")
            .tagged();
        if let Some(operation) = put.operation() {
            operation.body = Some(Body {
                schema: resource::reference(kind),
                is_needed: true,
            });
        }
        table
            .add("DELETE", &one)
            .versioned()
            .flag("takeOver", "Do it although another file declares it")
            .empty(204, "It is gone");
    }
}

fn of_secrets(table: &mut Table<'_>) {
    table
        .get::<api::SecretList>("/v1/secrets")
        .query::<api::ListQuery>();
    let one = "/v1/secrets/{name}";
    table
        .get::<api::SecretView>(one)
        .header("If-None-Match", "A tag: 304 if it is still the current one")
        .empty(304, "It is still what the asker has")
        .tagged();
    table
        .add("PUT", one)
        .versioned()
        .header("If-None-Match", "`*`: only if it is not there")
        .takes::<api::SecretSet>(true)
        .answers::<api::SecretView>(200, "It has another value, or would have")
        .answers::<api::SecretView>(201, "It was made")
        .tagged();
    table
        .add("DELETE", one)
        .versioned()
        .empty(204, "It is gone");
    table
        .add("POST", "/v1/secrets/{name}/rotate")
        .versioned()
        .takes::<api::SecretRotation>(false)
        .answers::<api::SecretView>(200, "It has another value, or would have")
        .tagged();
}

fn of_endpoints(table: &mut Table<'_>) {
    table.get::<api::PolicyPreview>("/v1/policies/{name}/preview");
    table.post::<api::TestEventRequest, api::TestEventAnswer>("/v1/sources/{name}/test-event", 202);
    table.post::<Value, api::ProbeView>("/v1/endpoints/{name}/probe", 200);
    table
        .get::<api::BreakerList>("/v1/breakers")
        .query::<api::ListQuery>();
    table
        .add("PUT", "/v1/endpoints/{name}/breaker")
        .takes::<api::BreakerCommand>(true)
        .keyed()
        .answers::<api::BreakerState>(200, "How it stands now");
    for action in ["pause", "resume"] {
        let path = format!("/v1/endpoints/{{name}}/{action}");
        table.post::<api::PauseRequest, api::BreakerState>(path, 200);
        let path = format!("/v1/subscriptions/{{name}}/{action}");
        table.post::<api::PauseRequest, api::PauseState>(path, 200);
    }
}

fn of_groups_and_jobs(table: &mut Table<'_>) {
    for action in ["pause", "resume"] {
        let path = format!("/v1/groups/{{name}}/{action}");
        table.post::<api::PauseRequest, api::Page<api::PauseState>>(path, 200);
    }
    table.post::<api::Rebalance, api::RebalanceAnswer>("/v1/groups/{name}/rebalance", 200);
    table
        .post::<api::Seek, api::SeekAnswer>("/v1/groups/{name}/seek", 200)
        .needed();
    table
        .get::<api::JobList>("/v1/jobs")
        .query::<api::JobQuery>();
    table
        .post::<api::JobRequest, api::Job>("/v1/jobs", 202)
        .needed()
        .answers::<api::JobCount>(200, "How much it would be");
    table.get::<api::Job>("/v1/jobs/{id}");
    table
        .add("PATCH", "/v1/jobs/{id}")
        .takes::<api::JobCommand>(true)
        .keyed()
        .answers::<api::Job>(200, "How it stands now");
}

fn of_gateway(table: &mut Table<'_>) {
    table
        .get::<api::AlertList>("/v1/alerts")
        .query::<api::ListQuery>();
    table
        .get::<api::AuditList>("/v1/audit")
        .query::<api::AuditQuery>();
    table
        .add("GET", "/v1/audit:export")
        .query::<api::AuditExportQuery>()
        .text("application/x-ndjson");
    table
        .get::<api::CheckpointList>("/v1/audit/checkpoints")
        .query::<api::CheckpointQuery>();
    table.get::<api::AuditKey>("/v1/audit/key");
    table.get::<api::StatsView>("/v1/stats");
    table.add("GET", "/v1/stream").text("text/event-stream");
    table.get::<api::VersionView>("/v1/version");
    table.get::<api::StoreStatus>("/v1/store/status");
    table.post::<Value, Value>("/v1/store/backup", 200).needed();
    table.get::<Value>("/v1/openapi.json");
    table.get::<api::ConfigView>("/v1/config");
    table
        .get::<api::ConfigVersionList>("/v1/config/versions")
        .query::<api::ConfigVersionQuery>();
    table
        .add("POST", "/v1/config:reload")
        .keyed()
        .flag("dryRun", "Only check it")
        .flag("force", "Do it although deliveries wait")
        .answers::<api::ConfigReloaded>(200, "What has changed");
    table
        .post::<api::ConfigRollback, api::ConfigReloaded>("/v1/config:rollback", 200)
        .flag("dryRun", "Only check it")
        .flag("force", "Do it although deliveries wait");
}

fn of_identity(table: &mut Table<'_>) {
    table
        .get::<api::SecretList>("/v1/secrets")
        .query::<api::ListQuery>();
    table.get::<api::SecretView>("/v1/secrets/{name}").tagged();
    table
        .add("PUT", "/v1/secrets/{name}")
        .takes::<api::SecretSet>(true)
        .versioned()
        .header("If-None-Match", "`*`: only if it is not there")
        .answers::<api::SecretView>(200, "It has another value")
        .answers::<api::SecretView>(201, "It was made")
        .tagged();
    table
        .post::<api::SecretRotation, api::SecretView>("/v1/secrets/{name}/rotate", 200)
        .tagged();
    table
        .add("DELETE", "/v1/secrets/{name}")
        .versioned()
        .empty(204, "It is gone");
    table
        .get::<api::Page<api::TokenView>>("/v1/tokens")
        .query::<api::ListQuery>();
    table
        .post::<api::TokenRequest, api::TokenMade>("/v1/tokens", 201)
        .needed();
    table.get::<api::TokenView>("/v1/tokens/{id}");
    table
        .get::<api::Page<api::ClientView>>("/v1/clients")
        .query::<api::ListQuery>();
    table
        .post::<api::ClientRequest, api::ClientMade>("/v1/clients", 201)
        .needed();
    table.get::<api::ClientView>("/v1/clients/{id}");
    table.post::<api::ClientRotation, api::ClientMade>("/v1/clients/{id}/rotate", 200);
    for path in ["/v1/tokens/{id}", "/v1/clients/{id}"] {
        table
            .add("DELETE", path)
            .keyed()
            .flag("force", "Although nobody could make another one afterwards")
            .empty(204, "It is gone");
    }
}
