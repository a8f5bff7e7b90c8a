//! Which API is meant, who we are there, and where changes are kept.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};
use switchhook_core::secret::Secret;
use switchhook_core::time::rfc3339;
use switchhook_genesys::change::Changes;
use switchhook_genesys::client::{Answer, Ask, Client};
use switchhook_genesys::refusal::Error;
use switchhook_genesys::region::{self, Bases};
use switchhook_genesys::surroundings::Machine;
use switchhook_genesys::token::{Credentials, Style};
use switchhook_genesys::transport::{Times, Trust};

use super::{failure, now};
use crate::config;
use crate::exit::{Code, Failure, Outcome};
use crate::output::{Output, cut};

/// Where changes are kept unless something else is said.
const STATE_DIR: &str = ".switchhook";

/// Which API, as whom.
#[derive(Debug, Args)]
pub(crate) struct Access {
    /// Base URL of the API
    #[arg(long, global = true, value_name = "URL", conflicts_with = "region")]
    base: Option<String>,
    /// Region of Genesys Cloud: AWS region or host (also: GENESYSCLOUD_REGION)
    #[arg(long, global = true, value_name = "REGION")]
    region: Option<String>,
    /// Id of the OAuth client (also: GENESYSCLOUD_OAUTHCLIENT_ID)
    #[arg(long, global = true, value_name = "ID")]
    client_id: Option<String>,
    /// File with the secret of the OAuth client (also: GENESYSCLOUD_OAUTHCLIENT_SECRET, the secret itself)
    #[arg(long, global = true, value_name = "FILE")]
    client_secret_file: Option<PathBuf>,
    /// Where id and secret stand in the request for a token
    #[arg(long, global = true, value_enum, default_value_t = TokenStyle::Basic)]
    token_style: TokenStyle,
    /// Send the secret over plain http to another machine
    #[arg(long, global = true)]
    allow_plain_http: bool,
    /// PEM file with the certificates to trust instead of the machine's
    #[arg(long, global = true, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Longest time for one request
    #[arg(long, global = true, value_name = "DURATION", value_parser = config::span, default_value = "30s")]
    timeout: Duration,
    /// Directory of the journal, the dead changes and the audit lines [default: ./.switchhook]
    #[arg(long, global = true, value_name = "DIR")]
    state_dir: Option<PathBuf>,
}

/// Where id and secret stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TokenStyle {
    /// In the header, as Genesys Cloud wants it
    Basic,
    /// In the form
    Form,
}

impl Access {
    /// A client of the API.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        let bases = self.bases()?;
        let credentials = Credentials {
            client_id: self.client_id()?.into(),
            client_secret: self.client_secret()?,
            style: match self.token_style {
                TokenStyle::Basic => Style::Basic,
                TokenStyle::Form => Style::Form,
            },
        };
        let times = Times {
            total: self.timeout,
            ..Times::default()
        };
        Ok(Client::new(
            bases,
            credentials,
            &self.trust()?,
            times,
            Arc::new(Machine),
        ))
    }

    /// The same for the API at `base`.
    pub(crate) fn is_named(&self) -> bool {
        self.base.is_some()
            || self.region.is_some()
            || config::setting("GENESYSCLOUD_REGION").is_some()
    }

    /// Names the API, where the flags do not.
    pub(crate) fn name(&mut self, base: &str) {
        self.base = Some(base.to_owned());
    }

    /// Whom to trust.
    pub(crate) fn trust(&self) -> Result<Trust, Failure> {
        let ca = self.ca_file.as_deref().map(config::text).transpose()?;
        Trust::new(ca.as_deref().map(str::as_bytes))
            .map_err(|error| Failure::usage(error.to_string()))
    }

    /// The state directory; it is made where it is not there.
    pub(crate) fn changes(&self) -> Result<Changes, Failure> {
        Changes::open(self.state_dir(), now()).map_err(|error| failure(&error))
    }

    /// Where the state directory is, or would be.
    pub(crate) fn state_dir(&self) -> &Path {
        let named = self.state_dir.as_deref();
        named.unwrap_or(Path::new(STATE_DIR))
    }

    fn bases(&self) -> Result<Bases, Failure> {
        let region = self
            .region
            .clone()
            .or_else(|| config::setting("GENESYSCLOUD_REGION"));
        let bases = match (&self.base, &region) {
            (Some(base), _) => Bases::of_url(base, self.allow_plain_http),
            (None, Some(region)) => Bases::of_region(region),
            (None, None) => {
                return Err(Failure::usage("no API is named").hint(
                    "give --base URL (a gateway: http://127.0.0.1:8081) or --region, or set GENESYSCLOUD_REGION",
                ));
            }
        };
        bases.map_err(|error| {
            let failure = Failure::usage(error.to_string());
            match error {
                region::Error::Plain(_) => {
                    failure.hint("if you mean it: --allow-plain-http sends it all the same")
                }
                region::Error::Region { .. } | region::Error::Base { .. } => failure,
            }
        })
    }

    /// The id of the OAuth client.
    pub(crate) fn client_id(&self) -> Result<String, Failure> {
        let id = self
            .client_id
            .clone()
            .or_else(|| config::setting("GENESYSCLOUD_OAUTHCLIENT_ID"));
        id.ok_or_else(|| {
            Failure::new(Code::Denied, "no OAuth client is named")
                .hint("give --client-id, or set GENESYSCLOUD_OAUTHCLIENT_ID")
        })
    }

    fn client_secret(&self) -> Result<Secret, Failure> {
        let text = match &self.client_secret_file {
            Some(path) => Some(config::text(path)?.trim().to_owned()),
            None => config::setting("GENESYSCLOUD_OAUTHCLIENT_SECRET"),
        };
        let text = text.filter(|text| !text.is_empty());
        text.map(|text| Secret::new(text.into_bytes()))
            .ok_or_else(|| {
                Failure::new(Code::Denied, "the OAuth client has no secret")
                    .hint("give --client-secret-file, or set GENESYSCLOUD_OAUTHCLIENT_SECRET")
            })
    }
}

/// Says who we are, and tries what we may read.
pub(super) async fn whoami(access: &Access, output: Output) -> Outcome {
    let client = access.client()?;
    let token = client.token().await.map_err(|error| failure(&error))?;
    let one = [("pageSize", "1".to_owned())];
    let (mut reads, mut rate) = (Map::new(), None);
    for (name, path) in [
        ("eventTypes", &["api", "v2", "eventtypes"][..]),
        ("webhooks", &["api", "v2", "webhooks"]),
        ("integrations", &["api", "v2", "integrations"]),
    ] {
        let answer = client
            .call(
                &Ask {
                    query: &one,
                    ..Ask::get(path)
                },
                &mut (),
            )
            .await;
        rate = answer.as_ref().ok().and_then(|answer| answer.rate).or(rate);
        reads.insert(name.to_owned(), verdict(&answer)?);
    }
    // Genesys Cloud tells whose token it is; others need not know the path.
    let me = client
        .call(&Ask::get(&["api", "v2", "tokens", "me"]), &mut ())
        .await
        .ok();
    let organization = me
        .as_ref()
        .and_then(|me| me.body.pointer("/organization/name")?.as_str());
    let who = json!({
        "base": client.bases().api.as_str(),
        "clientId": access.client_id()?,
        "organization": organization,
        "scope": token.scope,
        "tokenEndsAt": rfc3339(token.ends_at),
        "reads": reads,
        "rate": rate.map(|rate| json!({"count": rate.count, "allowed": rate.allowed, "resetSeconds": rate.reset_s})),
    });
    output.show(&who, |who| text(who, organization))
}

fn verdict(answer: &Result<Answer, Error>) -> Result<Value, Failure> {
    match answer {
        Ok(_) => Ok("allowed".into()),
        Err(Error::Refused(refusal)) => {
            Ok(format!("{}: {}", refusal.status, refusal.message).into())
        }
        Err(error) => Err(failure(error)),
    }
}

fn text(who: &Value, organization: Option<&str>) -> String {
    let word = |name: &str| {
        who.get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let mut text = format!("client {} at {}", word("clientId"), word("base"));
    if let Some(name) = organization {
        text.push_str(&format!("\norganization {}", cut(name, 120)));
    }
    text.push_str(&format!("\ntoken good until {}", word("tokenEndsAt")));
    if who.get("scope").is_some_and(Value::is_string) {
        text.push_str(&format!("\nscope {}", cut(&word("scope"), 400)));
    }
    for (name, verdict) in who
        .get("reads")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        text.push_str(&format!(
            "\nread {name}: {}",
            cut(verdict.as_str().unwrap_or_default(), 200)
        ));
    }
    if let Some(rate) = who.get("rate").filter(|rate| rate.is_object()) {
        let number = |name: &str| rate.get(name).and_then(Value::as_u64).unwrap_or_default();
        text.push_str(&format!(
            "\nrate {} of {}, begins anew in {} s",
            number("count"),
            number("allowed"),
            number("resetSeconds")
        ));
    }
    text
}
