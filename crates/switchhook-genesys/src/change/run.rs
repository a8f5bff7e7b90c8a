//! Making a change: planned, tried, ended, each on disk before the next.

use http::Method;
use serde_json::Value;
use switchhook_core::secret::Secret;
use switchhook_core::time::UnixMs;
use switchhook_wire::change::{AuditLine, DeadChange, Done, Failed, Planned, Tried};
use switchhook_wire::dialect::notifications::{Body as PolicyBody, RetryPolicy};
use tokio::time::Instant;

use super::identity::{change_id, identity, key};
use super::journal::{Journal, Open};
use super::trail::Trail;
use super::{Changes, KEY_LIFE_MS, Made, Operation, Wish, text_of};
use crate::client::{Client, Ended, Witness};
use crate::dialect::{Dialect, masked};
use crate::limits::{Rules, is_certain};
use crate::refusal::Error;
use crate::surroundings::Surroundings;
use crate::webhook::{Ending, Sender};

/// A change as it goes on: new, or one that was begun before.
struct Begun {
    id: String,
    planned: Planned,
    planned_at: UnixMs,
    /// It was begun before.
    is_resumed: bool,
    /// The last request that may have been received, of one that was begun before.
    again: Option<Tried>,
}

impl Changes {
    /// Makes a change, or finishes an equal one that was begun before.
    ///
    /// # Errors
    /// Why it failed for good; it is in the dead letters then, unless these or the journal cannot be written.
    pub async fn make(&mut self, client: &Client, wish: &Wish) -> Result<Made, Error> {
        let begun = self.begin(client, wish, None)?;
        self.go_on(client, wish, begun).await
    }

    /// Makes the change of a dead letter once more, as whichever OAuth client: when it is in force, the letter is gone.
    ///
    /// # Errors
    /// As [`Changes::make`], and when there is no such letter, it is for another API, or its body is masked.
    pub async fn again(&mut self, client: &Client, id: &str) -> Result<Made, Error> {
        let dead = self.letters.all().iter().find(|dead| dead.id == id);
        let dead = dead.ok_or_else(|| Error::Journal(format!("there is no dead change `{id}`")))?;
        let (operation, dialect) = (&dead.change.operation, &dead.change.dialect);
        if dead.change.base != client.bases().api.as_str() {
            return Err(Error::Journal(format!(
                "{id} is for {}, name that base",
                dead.change.base
            )));
        }
        if dead.change.is_masked {
            return Err(Error::Journal(format!(
                "{id} has a secret in its body, which is not kept; apply it again from its file"
            )));
        }
        let wish = Wish {
            operation: Operation::from_name(operation).ok_or_else(|| {
                Error::Journal(format!("{id} has the unknown operation `{operation}`"))
            })?,
            dialect: Dialect::from_name(dialect).ok_or_else(|| {
                Error::Journal(format!("{id} has the unknown dialect `{dialect}`"))
            })?,
            target: dead.change.target.clone(),
            body: dead.change.body.clone(),
        };
        let begun = self.begin(client, &wish, Some(id))?;
        let made = self.go_on(client, &wish, begun).await?;
        // An equal change of this client had no end and was finished instead.
        if made.id != id {
            self.letters.remove(id)?;
        }
        Ok(made)
    }

    /// The change to go on with: an equal one that has no end or may be in force, that of the dead letter `letter`, or a
    /// new one.
    fn begin(
        &mut self,
        client: &Client,
        wish: &Wish,
        letter: Option<&str>,
    ) -> Result<Begun, Error> {
        let around = client.around();
        let (now, base) = (around.now(), client.bases().api.as_str());
        let seal: Secret = client.seal();
        let identity = identity(&seal, base, wish);
        let open = self
            .journal
            .open_changes()
            .find(|open| open.planned.identity == identity)
            .cloned();
        if let Some(open) = open {
            return self.resume(open, around.entropy(), now);
        }
        let dead = self
            .letters
            .all()
            .iter()
            .find(|dead| match letter {
                Some(id) => dead.id == id,
                None => dead.change.identity == identity,
            })
            .cloned();
        if dead.is_none() {
            self.letters.has_room()?;
        }
        let (body, is_masked) = masked(&wish.body);
        let mut begun = Begun {
            id: change_id(around.entropy()),
            planned: Planned {
                base: base.to_owned(),
                operation: wish.operation.name().to_owned(),
                dialect: wish.dialect.name().to_owned(),
                target: wish.target.clone(),
                body,
                is_masked,
                identity,
                key: key(around.entropy()),
            },
            planned_at: now,
            is_resumed: false,
            again: None,
        };
        if let Some(dead) = dead {
            begun.id = dead.id;
            begun.is_resumed = true;
            let planned_at = super::moment(&dead.planned_at);
            // What was refused changed nothing: its key may be known with that refusal. And a key is worth something only
            // for the OAuth client that sent it: another one looks at what is there instead.
            let is_ours = dead.change.identity == begun.planned.identity;
            let may_be_in_force = !dead.failed.is_certain && now.since_ms(planned_at) < KEY_LIFE_MS;
            if may_be_in_force && !is_ours && wish.operation == Operation::Delete {
                // What is gone may have been deleted by the first one.
                begun.again = dead.last;
            } else if may_be_in_force && is_ours {
                begun.planned.key = dead.change.key;
                begun.planned_at = planned_at;
                begun.again = dead.last;
            }
        }
        self.journal
            .planned(&begun.id, begun.planned.clone(), begun.planned_at)?;
        Ok(begun)
    }

    /// The change that has no end, with its key as long as a server remembers it; then with one made of `entropy`.
    fn resume(&mut self, open: Open, entropy: u128, now: UnixMs) -> Result<Begun, Error> {
        let knows_key = now.since_ms(open.planned_at) < KEY_LIFE_MS;
        let planned = match knows_key {
            true => open.planned,
            false => Planned {
                key: key(entropy),
                ..open.planned
            },
        };
        let again = open.last.filter(|_| knows_key);
        let planned_at = if knows_key { open.planned_at } else { now };
        if !knows_key {
            self.journal.planned(&open.id, planned.clone(), now)?;
        }
        Ok(Begun {
            id: open.id,
            planned,
            planned_at,
            is_resumed: true,
            again,
        })
    }

    async fn go_on(&mut self, client: &Client, wish: &Wish, begun: Begun) -> Result<Made, Error> {
        let Begun {
            id,
            planned,
            planned_at,
            is_resumed,
            again,
        } = begun;
        let began = Instant::now();
        let mut recorder = Recorder {
            journal: &mut self.journal,
            trail: &mut self.trail,
            around: client.around(),
            id: &id,
            planned: &planned,
            number: 0,
            last: again.clone(),
        };
        let result = send(client, wish, &planned.key, again.as_ref(), &mut recorder).await;
        let (tries, last) = (recorder.number, recorder.last.take());
        let latency_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let now = client.around().now();
        self.audit_end(&id, &planned, result.as_ref().err(), latency_ms, now)?;
        match result {
            Ok(ending) => {
                let done = Done {
                    result: ending.effect.name().to_owned(),
                    object: ending.id.clone(),
                    tries,
                    latency_ms,
                };
                // The letter goes first: one that stays is only made once more.
                self.letters.remove(&id)?;
                self.journal.done(&id, done, now)?;
                Ok(Made {
                    id,
                    effect: ending.effect,
                    object: ending.id,
                    etag: ending.etag,
                    is_replayed: ending.is_replayed,
                    is_resumed,
                    tries,
                    latency_ms,
                })
            }
            Err(error @ Error::Journal(_)) => Err(error),
            Err(error) => {
                let failed = Failed {
                    status: error.status(),
                    error: error.to_string(),
                    is_certain: error.is_certain() && last.is_none(),
                    tries,
                    latency_ms,
                };
                let dead = DeadChange {
                    at: text_of(now),
                    id: id.clone(),
                    planned_at: text_of(planned_at),
                    change: planned,
                    last,
                    failed: failed.clone(),
                };
                let dead = self.after(dead);
                self.letters.add(dead)?;
                self.journal.failed(&id, failed, now)?;
                Err(error)
            }
        }
    }

    /// What stands in the dead letters after `dead`: a refusal of another OAuth client does not tell whether the change of
    /// the first one is in force, so that its key and its last request are kept.
    fn after(&self, dead: DeadChange) -> DeadChange {
        let before = self.letters.all().iter().find(|before| {
            before.id == dead.id
                && before.change.identity != dead.change.identity
                && !before.failed.is_certain
        });
        match before {
            Some(before) if dead.failed.is_certain => DeadChange {
                at: dead.at,
                failed: Failed {
                    is_certain: false,
                    ..dead.failed
                },
                ..before.clone()
            },
            Some(_) | None => dead,
        }
    }

    fn audit_end(
        &mut self,
        id: &str,
        planned: &Planned,
        error: Option<&Error>,
        latency_ms: u64,
        now: UnixMs,
    ) -> Result<(), Error> {
        self.trail.add(&AuditLine {
            at: text_of(now),
            change: id.to_owned(),
            operation: planned.operation.clone(),
            target: planned.target.clone(),
            number: 0,
            method: String::new(),
            path: String::new(),
            status: error.and_then(Error::status),
            outcome: if error.is_some() { "failed" } else { "done" }.to_owned(),
            latency_ms,
            error: error.map(Error::to_string),
            correlation_id: error.and_then(Error::correlation_id).map(str::to_owned),
        })?;
        self.trail.sync()
    }
}

async fn send(
    client: &Client,
    wish: &Wish,
    key: &str,
    again: Option<&Tried>,
    recorder: &mut Recorder<'_>,
) -> Result<Ending, Error> {
    let rules = match wish.operation {
        Operation::SetPolicy => Rules::POLICY,
        Operation::Apply | Operation::Delete => Rules::USUAL,
    };
    let mut sender = Sender {
        client,
        witness: recorder,
        key,
        rules,
    };
    match wish.operation {
        Operation::Apply => {
            sender
                .apply(wish.dialect, &wish.target, &wish.body, again)
                .await
        }
        Operation::Delete => {
            sender
                .delete(wish.dialect, &wish.target, again.is_some())
                .await
        }
        Operation::SetPolicy => {
            let policy = policy(&wish.body)?;
            sender
                .set_policy(&wish.target, policy, again.is_some())
                .await
        }
    }
}

fn policy(body: &Value) -> Result<RetryPolicy, Error> {
    serde_json::from_value::<PolicyBody>(body.clone())
        .map(|body| body.retry_policy)
        .map_err(|error| Error::Journal(format!("the change has no retry policy: {error}")))
}

/// Writes down every try of one change.
struct Recorder<'a> {
    journal: &'a mut Journal,
    trail: &'a mut Trail,
    around: &'a dyn Surroundings,
    id: &'a str,
    planned: &'a Planned,
    /// Requests so far.
    number: u32,
    /// The last request that changes something and ended so that nobody knows whether it did.
    last: Option<Tried>,
}

impl Recorder<'_> {
    fn tried(&self, method: &Method, path: &str) -> Tried {
        Tried {
            number: self.number,
            method: method.to_string(),
            path: path.to_owned(),
        }
    }
}

impl Witness for Recorder<'_> {
    fn before(&mut self, method: &Method, path: &str) -> Result<(), Error> {
        self.number += 1;
        if method == Method::GET {
            return Ok(());
        }
        let tried = self.tried(method, path);
        self.journal.tried(self.id, tried, self.around.now())
    }

    fn after(&mut self, ended: &Ended<'_>) -> Result<(), Error> {
        let is_harmless = match (ended.status, ended.error) {
            // A success of one request says nothing about the next one that fails.
            (_, None) => true,
            (Some(status), Some(_)) => is_certain(status),
            (None, Some(error)) => error.is_certain(),
        };
        if ended.method != Method::GET && !is_harmless {
            self.last = Some(self.tried(ended.method, ended.path));
        }
        self.trail.add(&AuditLine {
            at: text_of(self.around.now()),
            change: self.id.to_owned(),
            operation: self.planned.operation.clone(),
            target: self.planned.target.clone(),
            number: self.number,
            method: ended.method.to_string(),
            path: ended.path.to_owned(),
            status: ended.status,
            outcome: if ended.status.is_some() {
                "answered"
            } else {
                "broken"
            }
            .to_owned(),
            latency_ms: ended.latency_ms,
            error: ended.error.map(Error::to_string),
            correlation_id: ended.correlation_id.map(str::to_owned),
        })
    }
}
