//! Webhooks of the three dialects: reading them, and what is sent to make, change and delete one.
//!
//! * An update reads what is there, keeps what the wish does not name, and sends it with `If-Match`. When it changed in
//!   between (409, 412, 428), that begins anew, a bounded number of times.
//! * A webhook is found by its id or its name. Of several with one name, that with the wish's URL is meant; if that does
//!   not decide, nothing is changed.
//! * Every request of a change has an idempotency key that follows from the change's key and from the request itself, so
//!   that a repeat has the same one, and two different requests of one change never do.

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use http::Method;
use serde_json::{Value, json};
use switchhook_wire::change::Tried;
use switchhook_wire::dialect::notifications::RetryPolicy;
use uuid::Uuid;

use crate::client::{Answer, Ask, Client, Witness};
use crate::dialect::Dialect;
use crate::limits::{Rules, may_reread};
use crate::pages;
use crate::refusal::Error;

/// Where dialect C has the retry policies.
const POLICIES: [&str; 4] = ["api", "v2", "notifications", "webhooks"];

/// A webhook as it is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its id.
    pub id: String,
    /// Its tag, where the API gives one.
    pub etag: Option<String>,
    /// As the dialect shows it.
    pub body: Value,
}

/// What became of a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It was made.
    Created,
    /// It was changed.
    Updated,
    /// It was so already; nothing was sent.
    Unchanged,
    /// It is gone.
    Deleted,
    /// Its retry policy was set.
    Set,
}

impl Effect {
    /// Its word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Unchanged => "unchanged",
            Self::Deleted => "deleted",
            Self::Set => "set",
        }
    }
}

/// The end of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ending {
    pub(crate) effect: Effect,
    pub(crate) id: Option<String>,
    pub(crate) etag: Option<String>,
    pub(crate) is_replayed: bool,
}

/// Every webhook of a dialect.
///
/// # Errors
/// When the list is not to be had.
pub async fn list(
    client: &Client,
    dialect: Dialect,
    witness: &mut dyn Witness,
) -> Result<Vec<Value>, Error> {
    pages::all(client, dialect.list(), "pageNumber", witness).await
}

/// The webhook with this id or name.
///
/// # Errors
/// When there is none, there are several, or it is not to be had.
pub async fn get(client: &Client, dialect: Dialect, name: &str) -> Result<Found, Error> {
    Sender::reading(client, &mut ())
        .find(dialect, name, None)
        .await?
        .ok_or_else(|| absent(name))
}

/// The event types of an integration.
///
/// # Errors
/// When they are not to be had.
pub async fn bound(client: &Client, id: &str) -> Result<Vec<String>, Error> {
    Sender::reading(client, &mut ()).bound(id).await
}

fn absent(name: &str) -> Error {
    Error::Absent {
        name: name.to_owned(),
    }
}

/// What sends the requests of one change.
pub(crate) struct Sender<'a> {
    pub(crate) client: &'a Client,
    pub(crate) witness: &'a mut dyn Witness,
    /// The change's key; empty while only reading.
    pub(crate) key: &'a str,
    pub(crate) rules: Rules,
}

impl<'a> Sender<'a> {
    fn reading(client: &'a Client, witness: &'a mut dyn Witness) -> Self {
        Self {
            client,
            witness,
            key: "",
            rules: Rules::USUAL,
        }
    }

    async fn read(&mut self, path: &[&str]) -> Result<Answer, Error> {
        let ask = Ask {
            rules: self.rules,
            ..Ask::get(path)
        };
        self.client.call(&ask, self.witness).await
    }

    async fn send(
        &mut self,
        method: Method,
        path: &[&str],
        body: Option<&Value>,
        if_match: Option<&str>,
    ) -> Result<Answer, Error> {
        let key = request_key(self.key, &method, path, body);
        let ask = Ask {
            method,
            path,
            query: &[],
            body,
            if_match,
            key: Some(&key),
            rules: self.rules,
        };
        self.client.call(&ask, self.witness).await
    }

    /// Makes the webhook as `wish` has it, or changes the one that is called `target`. `again` continues a change whose
    /// request may have been received: it is sent once more, whatever is there by now.
    pub(crate) async fn apply(
        &mut self,
        dialect: Dialect,
        target: &str,
        wish: &Value,
        again: Option<&Tried>,
    ) -> Result<Ending, Error> {
        let (body, events) = dialect.split(wish);
        let mut rereads = 0;
        let list = format!("/{}", dialect.list().join("/"));
        let mut creates =
            again.is_some_and(|tried| tried.method == "POST" && tried.path.ends_with(&list));
        let ending = loop {
            let found = match creates {
                true => None,
                false => self.find(dialect, target, dialect.url(&body)).await?,
            };
            creates = false;
            let result = match found {
                Some(found) => self.update(dialect, found, &body, again.is_some()).await,
                None => self.create(dialect, &body).await,
            };
            match result {
                Err(Error::Refused(refusal))
                    if may_reread(refusal.status, rereads, &self.rules) =>
                {
                    // A 409 where nothing was there: somebody has just made it, perhaps an earlier try of ours.
                    rereads += 1;
                }
                other => break other?,
            }
        };
        match (events, &ending.id) {
            (Some(events), Some(id)) => {
                let id = id.clone();
                self.bind(&id, &events, ending).await
            }
            (Some(_) | None, _) => Ok(ending),
        }
    }

    async fn create(&mut self, dialect: Dialect, body: &Value) -> Result<Ending, Error> {
        let answer = self
            .send(Method::POST, dialect.list(), Some(body), None)
            .await?;
        Ok(Ending {
            effect: Effect::Created,
            id: Some(id_of(&answer.body, "POST", dialect.list())?),
            etag: answer.etag,
            is_replayed: answer.is_replayed,
        })
    }

    async fn update(
        &mut self,
        dialect: Dialect,
        found: Found,
        wish: &Value,
        must_send: bool,
    ) -> Result<Ending, Error> {
        if dialect.covers(&found.body, wish) && !must_send {
            return Ok(Ending {
                effect: Effect::Unchanged,
                id: Some(found.id),
                etag: found.etag,
                is_replayed: false,
            });
        }
        let body = dialect.merge(&found.body, wish);
        let path = [dialect.list(), &[found.id.as_str()]].concat();
        let answer = self
            .send(Method::PUT, &path, Some(&body), found.etag.as_deref())
            .await?;
        Ok(Ending {
            effect: Effect::Updated,
            id: Some(found.id),
            etag: answer.etag,
            is_replayed: answer.is_replayed,
        })
    }

    /// Binds the event types that an integration does not have yet. Those it has beyond them stay.
    async fn bind(&mut self, id: &str, events: &[String], ending: Ending) -> Result<Ending, Error> {
        let there = match ending.effect {
            Effect::Created => Vec::new(),
            Effect::Updated | Effect::Unchanged | Effect::Deleted | Effect::Set => {
                self.bound(id).await?
            }
        };
        let missing: Vec<&String> = events
            .iter()
            .filter(|event| !there.contains(event))
            .collect();
        if missing.is_empty() {
            return Ok(ending);
        }
        let path = [Dialect::Integrations.list(), &[id, "eventbindings"]].concat();
        self.send(
            Method::POST,
            &path,
            Some(&json!({ "events": missing })),
            None,
        )
        .await?;
        let effect = match ending.effect {
            Effect::Unchanged => Effect::Updated,
            Effect::Created | Effect::Updated | Effect::Deleted | Effect::Set => ending.effect,
        };
        // The tag is that of before the binding.
        Ok(Ending {
            effect,
            etag: None,
            ..ending
        })
    }

    async fn bound(&mut self, id: &str) -> Result<Vec<String>, Error> {
        let path = [Dialect::Integrations.list(), &[id, "eventbindings"]].concat();
        let answer = self.read(&path).await?;
        let events = answer.body.get("events").and_then(Value::as_array);
        let texts = events.into_iter().flatten().filter_map(Value::as_str);
        Ok(texts.map(str::to_owned).collect())
    }

    /// Deletes the webhook. One that is gone already was deleted, if this change may have done so.
    pub(crate) async fn delete(
        &mut self,
        dialect: Dialect,
        target: &str,
        again: bool,
    ) -> Result<Ending, Error> {
        let gone = |id: Option<String>| Ending {
            effect: Effect::Deleted,
            id,
            etag: None,
            is_replayed: false,
        };
        let mut rereads = 0;
        loop {
            let found = match self.find(dialect, target, None).await? {
                Some(found) => found,
                None if again => return Ok(gone(None)),
                None => return Err(absent(target)),
            };
            let path = [dialect.list(), &[found.id.as_str()]].concat();
            match self
                .send(Method::DELETE, &path, None, found.etag.as_deref())
                .await
            {
                Ok(_) => return Ok(gone(Some(found.id))),
                Err(Error::Refused(refusal))
                    if may_reread(refusal.status, rereads, &self.rules) =>
                {
                    rereads += 1
                }
                // Somebody else deleted it in between, or an earlier try did.
                Err(Error::Refused(refusal)) if refusal.status == 404 => {
                    return Ok(gone(Some(found.id)));
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Sets the retry policy of the webhook with this id.
    pub(crate) async fn set_policy(
        &mut self,
        id: &str,
        policy: RetryPolicy,
        again: bool,
    ) -> Result<Ending, Error> {
        let path = [&POLICIES[..], &[id]].concat();
        let wish = json!({"retryPolicy": {"maxAttempts": policy.max_attempts, "retryDuration": policy.retry_duration}});
        let mut rereads = 0;
        loop {
            let there = self.read(&path).await?;
            let ending = |effect, etag, is_replayed| Ending {
                effect,
                id: Some(id.to_owned()),
                etag,
                is_replayed,
            };
            if there.body.get("retryPolicy") == wish.get("retryPolicy") && !again {
                return Ok(ending(Effect::Unchanged, there.etag, false));
            }
            match self
                .send(Method::PUT, &path, Some(&wish), there.etag.as_deref())
                .await
            {
                Ok(answer) => return Ok(ending(Effect::Set, answer.etag, answer.is_replayed)),
                Err(Error::Refused(refusal))
                    if may_reread(refusal.status, rereads, &self.rules) =>
                {
                    rereads += 1
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The webhook with the id or the name `target`; of several with the name, that with `url`.
    pub(crate) async fn find(
        &mut self,
        dialect: Dialect,
        target: &str,
        url: Option<&str>,
    ) -> Result<Option<Found>, Error> {
        if Uuid::try_parse(target).is_ok() {
            return self.read_one(dialect, target).await;
        }
        let all = list(self.client, dialect, self.witness).await?;
        let named = all
            .iter()
            .filter(|body| dialect.title(body) == Some(target));
        let mut named: Vec<&Value> = named.collect();
        if named.len() > 1 {
            named.retain(|body| url.is_some() && dialect.url(body) == url);
        }
        let ids: Vec<&str> = match named.as_slice() {
            [] => all
                .iter()
                .filter(|body| dialect.title(body) == Some(target))
                .filter_map(plain_id)
                .collect(),
            found => found.iter().filter_map(|body| plain_id(body)).collect(),
        };
        match ids.as_slice() {
            [] => Ok(None),
            [id] => self.read_one(dialect, id).await,
            ids => Err(Error::Ambiguous {
                name: target.to_owned(),
                ids: ids.iter().map(|id| (*id).to_owned()).collect(),
            }),
        }
    }

    async fn read_one(&mut self, dialect: Dialect, id: &str) -> Result<Option<Found>, Error> {
        let path = [dialect.list(), &[id]].concat();
        match self.read(&path).await {
            Ok(answer) => Ok(Some(Found {
                id: id.to_owned(),
                etag: answer.etag,
                body: answer.body,
            })),
            Err(Error::Refused(refusal)) if refusal.status == 404 => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn plain_id(body: &Value) -> Option<&str> {
    body.get("id")?.as_str()
}

fn id_of(body: &Value, method: &str, path: &[&str]) -> Result<String, Error> {
    plain_id(body)
        .map(str::to_owned)
        .ok_or_else(|| Error::Foreign {
            asked: format!("{method} /{}", path.join("/")),
            what: "no `id` in it".to_owned(),
        })
}

/// The idempotency key of one request of a change.
#[must_use]
pub fn request_key(
    change_key: &str,
    method: &Method,
    path: &[&str],
    body: Option<&Value>,
) -> String {
    let body = body.map(Value::to_string).unwrap_or_default();
    let text = format!("{method} /{}\n{body}", path.join("/"));
    let hash = HEXLOWER.encode(digest(&SHA256, text.as_bytes()).as_ref());
    format!("{change_key}-{}", hash.get(..8).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeat_has_the_same_key_and_another_request_has_another() {
        let body = json!({"name": "a"});
        let key = request_key("k", &Method::POST, &["api", "v2", "webhooks"], Some(&body));
        assert_eq!(
            key,
            request_key("k", &Method::POST, &["api", "v2", "webhooks"], Some(&body))
        );
        assert!(key.starts_with("k-") && key.len() == 10, "{key}");
        for other in [
            request_key("l", &Method::POST, &["api", "v2", "webhooks"], Some(&body)),
            request_key("k", &Method::PUT, &["api", "v2", "webhooks"], Some(&body)),
            request_key(
                "k",
                &Method::POST,
                &["api", "v2", "integrations"],
                Some(&body),
            ),
            request_key(
                "k",
                &Method::POST,
                &["api", "v2", "webhooks"],
                Some(&json!({"name": "b"})),
            ),
            request_key("k", &Method::POST, &["api", "v2", "webhooks"], None),
        ] {
            assert_ne!(key, other);
        }
    }
}
