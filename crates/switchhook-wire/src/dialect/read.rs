//! Reading the body of a request: every fault at once, with the field it is about.
//!
//! Each getter notes what is wrong and gives `None`, so that reading goes on. A field that is not known is a fault with
//! the nearest name that is. `null` is as good as absent. Bounds: [`error::FAULTS_MAX`](super::error::FAULTS_MAX) faults;
//! values are shown in at most [`SHOWN_CHARS_MAX`] characters, and never those of a field that may hold a secret.

mod events;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use ipnet::IpNet;
use serde_json::{Map, Value as Json};
use switchhook_core::guard;
use url::Url;

use super::error::{Code, FAULTS_MAX, Fault};
use super::{DESCRIPTION_CHARS_MAX, Edit, NAME_CHARS_MAX};
pub(super) use events::Strange;

/// Longest part of a value that a fault repeats, in characters.
const SHOWN_CHARS_MAX: usize = 80;

/// What a request does with a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// Makes one: what is not given takes its default.
    Create,
    /// Replaces what the dialect can express: what is not given takes its default.
    Replace,
    /// Changes what is given.
    Patch,
}

impl How {
    /// Whether what is not given takes its default.
    pub(super) fn is_whole(self) -> bool {
        self != Self::Patch
    }
}

/// A body that is being read.
#[derive(Debug, Default)]
pub(super) struct Reader<'a> {
    faults: Vec<Fault>,
    /// Ranges that endpoints may lie in although they are private; `None` where that is another one's to judge.
    allow: Option<&'a [IpNet]>,
    /// Why the address guard refuses the URL: told beside other faults; without any, what the endpoint allows itself
    /// counts as well.
    blocked: Option<Fault>,
    /// Event types that nobody knows: a fault, unless the webhook has them already.
    strange: Vec<Strange>,
}

/// An object in it. `path` ends with a dot unless it is empty.
#[derive(Debug, Clone)]
pub(super) struct Object<'j> {
    fields: &'j Map<String, Json>,
    path: String,
}

impl Object<'_> {
    /// The field as it is named in a fault.
    pub(super) fn at(&self, name: &str) -> String {
        format!("{}{name}", self.path)
    }
}

impl<'j> Object<'j> {
    /// The value of `name`; `null` counts as absent.
    pub(super) fn get(&self, name: &str) -> Option<&'j Json> {
        self.fields.get(name).filter(|value| !value.is_null())
    }

    /// Whether `name` is there, be it `null`.
    pub(super) fn has(&self, name: &str) -> bool {
        self.fields.contains_key(name)
    }
}

/// The text as JSON.
pub(super) fn parse(body: &[u8]) -> Result<Json, Vec<Fault>> {
    let fault = |detail: String, hint: &str| {
        vec![Fault {
            field: String::new(),
            code: Code::Syntax,
            detail,
            hint: Some(hint.to_owned()),
        }]
    };
    if body.is_empty() {
        return Err(fault("the body is empty".into(), "send a JSON object"));
    }
    let json: Json = serde_json::from_slice(body).map_err(|error| {
        let detail = format!(
            "the body is not JSON: line {}, column {}",
            error.line(),
            error.column()
        );
        fault(detail, "send a JSON object")
    })?;
    if json.is_object() {
        Ok(json)
    } else {
        Err(fault(
            format!("the body is {}", type_of(&json)),
            "send a JSON object",
        ))
    }
}

impl<'a> Reader<'a> {
    /// For endpoints that may lie in `allow`.
    pub(super) fn new(allow: Option<&'a [IpNet]>) -> Self {
        Self {
            allow,
            ..Self::default()
        }
    }

    /// What was read, or everything that is wrong.
    pub(super) fn finish(self, mut edit: Edit) -> Result<Edit, Vec<Fault>> {
        let Self {
            mut faults,
            strange,
            blocked,
            allow: _,
        } = self;
        if faults.is_empty() {
            edit.strange = strange;
            return Ok(edit);
        }
        faults.extend(strange.into_iter().map(|strange| strange.fault));
        faults.extend(blocked);
        Err(faults)
    }

    pub(super) fn fault(
        &mut self,
        field: String,
        code: Code,
        detail: String,
        hint: Option<String>,
    ) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(Fault {
                field,
                code,
                detail,
                hint,
            });
        }
    }

    /// `json` as an object at `field` that has no fields but `known`.
    pub(super) fn object<'j>(
        &mut self,
        json: &'j Json,
        field: &str,
        known: &[&str],
    ) -> Option<Object<'j>> {
        let object = self.open_object(json, field)?;
        for name in object.fields.keys() {
            if !known.contains(&name.as_str()) {
                let detail = format!("there is no field `{}`", shown(name));
                self.fault(object.at(name), Code::Unknown, detail, nearest(name, known));
            }
        }
        Some(object)
    }

    /// `json` as an object with any fields.
    pub(super) fn open_object<'j>(&mut self, json: &'j Json, field: &str) -> Option<Object<'j>> {
        let Some(fields) = json.as_object() else {
            self.wrong_type(field.to_owned(), json, "an object");
            return None;
        };
        let path = if field.is_empty() {
            String::new()
        } else {
            format!("{field}.")
        };
        Some(Object { fields, path })
    }

    /// The object that is the field `name`.
    pub(super) fn inner<'j>(
        &mut self,
        object: &Object<'j>,
        name: &str,
        known: &[&str],
    ) -> Option<Object<'j>> {
        self.object(object.get(name)?, &object.at(name), known)
    }

    /// Notes that `name` is not there.
    pub(super) fn missing(&mut self, object: &Object<'_>, name: &str) {
        let field = object.at(name);
        self.fault(field, Code::Missing, "must be given".to_owned(), None);
    }

    fn wrong_type(&mut self, field: String, json: &Json, wanted: &str) {
        let detail = format!("must be {wanted}, and is {}", type_of(json));
        self.fault(field, Code::Value, detail, None);
    }

    /// `Some` if `name` is there or the body must have it, which is a fault then.
    fn needed<'j>(&mut self, object: &Object<'j>, name: &str, needed: bool) -> Option<&'j Json> {
        let value = object.get(name);
        if value.is_none() && needed {
            self.missing(object, name);
        }
        value
    }

    /// A text of at most `chars_max` characters.
    pub(super) fn text<'j>(
        &mut self,
        object: &Object<'j>,
        name: &str,
        chars_max: usize,
    ) -> Option<&'j str> {
        self.text_of(object.get(name)?, object.at(name), chars_max)
    }

    fn text_of<'j>(&mut self, json: &'j Json, field: String, chars_max: usize) -> Option<&'j str> {
        let Some(text) = json.as_str() else {
            self.wrong_type(field, json, "a text");
            return None;
        };
        let chars = text.chars().count();
        if chars > chars_max {
            let detail = format!("has {chars} characters, at most {chars_max} are allowed");
            self.fault(field, Code::Range, detail, None);
            return None;
        }
        Some(text)
    }

    pub(super) fn boolean(&mut self, object: &Object<'_>, name: &str) -> Option<bool> {
        let json = object.get(name)?;
        if json.as_bool().is_none() {
            self.wrong_type(object.at(name), json, "true or false");
        }
        json.as_bool()
    }

    /// A whole number. `unit` follows numbers in a fault, for example ` ms`.
    pub(super) fn whole(
        &mut self,
        object: &Object<'_>,
        name: &str,
        range: RangeInclusive<u64>,
        unit: &str,
    ) -> Option<u64> {
        let json = object.get(name)?;
        let (low, high) = (range.start(), range.end());
        let allowed = format!("{low} to {high}{unit} are allowed");
        let whole = json.as_u64().or_else(|| {
            // Many languages write a whole number as 3.0.
            let number = json.as_f64()?;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "it is whole, not negative and exact"
            )]
            (number.fract() == 0.0 && (0.0..9e15).contains(&number)).then_some(number as u64)
        });
        match whole {
            Some(number) if range.contains(&number) => Some(number),
            _ if json.is_number() => {
                let detail = format!("is {json}{unit}, {allowed}");
                self.fault(object.at(name), Code::Range, detail, None);
                None
            }
            _ => {
                self.wrong_type(object.at(name), json, "a whole number");
                None
            }
        }
    }

    /// One of `words`.
    pub(super) fn choice<T: Copy>(
        &mut self,
        object: &Object<'_>,
        name: &str,
        words: &[(&str, T)],
    ) -> Option<T> {
        let text = self.text(object, name, 64)?;
        let found = words.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let detail = format!(
                "is `{}`, and must be one of {}",
                shown(text),
                words.join(", ")
            );
            self.fault(object.at(name), Code::Value, detail, nearest(text, &words));
        }
        found.map(|(_, value)| *value)
    }

    /// What a person calls the webhook.
    pub(super) fn title(&mut self, object: &Object<'_>, how: How) -> Option<String> {
        self.needed(object, "name", how.is_whole())?;
        let text = self.text(object, "name", NAME_CHARS_MAX)?;
        if text.trim().is_empty() || text.contains(char::is_control) {
            let detail = "must have a character that can be seen, and no control character";
            self.fault(object.at("name"), Code::Value, detail.to_owned(), None);
            return None;
        }
        Some(text.to_owned())
    }

    /// What a webhook is for: `Some(None)` where it is to have no description.
    pub(super) fn description(&mut self, object: &Object<'_>, how: How) -> Option<Option<String>> {
        let text = self.text(object, "description", DESCRIPTION_CHARS_MAX);
        match text {
            Some(text) => Some(Some(text.to_owned()).filter(|text| !text.is_empty())),
            None => (how.is_whole() || object.has("description")).then_some(None),
        }
    }

    /// A URL that deliveries could go to. Whether they may is judged when the resource is checked.
    pub(super) fn url(&mut self, object: &Object<'_>, name: &str, how: How) -> Option<String> {
        self.needed(object, name, how.is_whole())?;
        let text = self.text(object, name, 2_048)?;
        match Url::parse(text) {
            Ok(url) => {
                let allow = self.allow.filter(|_| url.has_host());
                self.blocked = allow.and_then(|allow| blocked(&url, allow, object.at(name)));
                if !url.has_host() {
                    self.fault(object.at(name), Code::Value, "has no host".to_owned(), None);
                    return None;
                }
                Some(text.to_owned())
            }
            // A text that is no URL may be anything: it is not repeated.
            Err(error) => {
                let hint = Some("write for example `https://example.com/hook`".to_owned());
                let detail = format!("is not a URL: {error}");
                self.fault(object.at(name), Code::Value, detail, hint);
                None
            }
        }
    }

    /// A list of at most `items_max` items, each with its field.
    pub(super) fn list<'j>(
        &mut self,
        object: &Object<'j>,
        name: &str,
        items_max: usize,
    ) -> Option<Vec<(String, &'j Json)>> {
        let json = object.get(name)?;
        let Some(items) = json.as_array() else {
            self.wrong_type(object.at(name), json, "a list");
            return None;
        };
        if items.len() > items_max {
            let detail = format!("has {} items, at most {items_max} are allowed", items.len());
            self.fault(object.at(name), Code::Range, detail, None);
            return None;
        }
        let field = object.at(name);
        let at = |(at, item)| (format!("{field}[{at}]"), item);
        Some(items.iter().enumerate().map(at).collect())
    }

    /// Texts by name.
    pub(super) fn texts(
        &mut self,
        object: &Object<'_>,
        name: &str,
        chars_max: usize,
    ) -> Option<BTreeMap<String, String>> {
        let inner = self.open_object(object.get(name)?, &object.at(name))?;
        let mut texts = BTreeMap::new();
        for key in inner.fields.keys() {
            if let Some(text) = self.text(&inner, key, chars_max) {
                texts.insert(key.clone(), text.to_owned());
            }
        }
        Some(texts)
    }
}

/// Why no endpoint may have this URL, if `allow` is all that it may have besides public addresses.
pub(super) fn blocked(url: &Url, allow: &[IpNet], field: String) -> Option<Fault> {
    let blocked = guard::check_url(url, allow).err()?;
    let hint =
        "`[server] dialect_allow_private` has the ranges that are allowed to endpoints made here";
    Some(Fault {
        field,
        code: Code::Value,
        detail: blocked.to_string(),
        hint: Some(hint.to_owned()),
    })
}

/// The start of a value, for a fault.
pub(super) fn shown(text: &str) -> String {
    if text.chars().count() <= SHOWN_CHARS_MAX {
        return text.to_owned();
    }
    text.chars().take(SHOWN_CHARS_MAX).chain(['…']).collect()
}

/// Says which of `known` is nearest to what was written, or which there are.
fn nearest(wrong: &str, known: &[&str]) -> Option<String> {
    Some(crate::config::nearest(wrong, known))
}

const fn type_of(json: &Json) -> &'static str {
    match json {
        Json::Null => "null",
        Json::Bool(_) => "true or false",
        Json::Number(_) => "a number",
        Json::String(_) => "a text",
        Json::Array(_) => "a list",
        Json::Object(_) => "an object",
    }
}

impl Reader<'_> {
    /// The members that the gateway gives: they are compared, never set.
    pub(super) fn identity(&mut self, object: &Object<'_>, how: How, edit: &mut Edit) {
        edit.version = self.whole(object, "version", 0..=u64::MAX, "");
        edit.id = self.text(object, "id", 64).map(str::to_owned);
        if how == How::Create
            && let Some(name) = ["id", "version"]
                .into_iter()
                .find(|name| object.get(name).is_some())
        {
            let detail = "is given by the gateway, and cannot be chosen".to_owned();
            self.fault(object.at(name), Code::Value, detail, None);
        }
    }
}
