//! Reading requests: query parameters one by one, JSON bodies as a whole.
//!
//! Every fault of a query is reported at once. A parameter that is not known is one of them, so that a misspelt filter
//! cannot select everything. Bounds: [`BODY_BYTES_MAX`] for a body; a query is part of the head, which the listener limits.

use std::fmt::Display;
use std::ops::RangeInclusive;

use axum::body::Body;
use http::Uri;
use serde::de::DeserializeOwned;
use switchhook_core::time::UnixMs;
use switchhook_wire::api::{PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX, time};
use switchhook_wire::problem::{self, FieldError, Kind};
use url::form_urlencoded;

use super::answer::{Answer, Refusal};

/// Largest body of a request: the largest resource is a few hundred KiB.
pub(crate) const BODY_BYTES_MAX: usize = 1024 * 1024;
/// Most faults that are reported of one request.
const FAULTS_MAX: usize = 50;

/// Codes of faults: those of the configuration, where the same words mean the same.
const UNKNOWN: &str = "SH0104";
const OUT_OF_RANGE: &str = "SH0105";
const NOT_ONE_OF: &str = "SH0108";
const MALFORMED: &str = "SH0103";

/// Faults of a request's parts as they are found.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    found: Vec<FieldError>,
    /// Pointer to what the names are members of.
    under: &'static str,
}

impl Faults {
    /// For members of what the pointer names: `under`.
    pub(crate) fn under(under: &'static str) -> Self {
        Self {
            under,
            ..Self::default()
        }
    }

    /// Notes that `name` is wrong.
    pub(crate) fn malformed(&mut self, name: &str, detail: impl ToString) {
        self.add(name, MALFORMED, detail.to_string(), None);
    }

    fn add(&mut self, name: &str, code: &str, detail: String, hint: Option<String>) {
        if self.found.len() < FAULTS_MAX {
            let pointer = format!(
                "{}/{}",
                self.under,
                name.replace('~', "~0").replace('/', "~1")
            );
            self.found.push(FieldError {
                pointer,
                code: code.to_owned(),
                detail,
                hint,
            });
        }
    }

    /// The value of `name` as `read` takes it; its error becomes a fault.
    pub(crate) fn parsed<T, E: Display>(
        &mut self,
        name: &str,
        text: Option<String>,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        read(&text?)
            .map_err(|error| self.malformed(name, error))
            .ok()
    }

    pub(crate) fn time(&mut self, name: &str, text: Option<String>) -> Option<UnixMs> {
        self.parsed(name, text, time::parse)
    }

    /// The one of `words` that the value is.
    pub(crate) fn word<T>(
        &mut self,
        name: &str,
        text: Option<String>,
        words: &[&str],
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let text = text?;
        let found = read(&text);
        if found.is_none() {
            let shown: String = text.chars().take(40).collect();
            let known = format!("known are {}", words.join(", "));
            self.add(
                name,
                NOT_ONE_OF,
                format!("`{shown}` does not exist here"),
                Some(known),
            );
        }
        found
    }

    /// What was found.
    pub(crate) fn take(self) -> Vec<FieldError> {
        self.found
    }

    /// A refusal if there was any fault.
    pub(crate) fn none(self) -> Answer<()> {
        if self.found.is_empty() {
            Ok(())
        } else {
            Err(Refusal::faults(Kind::InvalidRequest, self.found))
        }
    }
}

/// The parameters of a query. Each is taken by its name; what is left in the end is unknown.
#[derive(Debug)]
pub(crate) struct Params {
    left: Vec<(String, String)>,
    known: Vec<&'static str>,
    pub(crate) faults: Faults,
}

impl Params {
    pub(crate) fn of(uri: &Uri) -> Self {
        let pairs = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
        Self {
            left: pairs.into_owned().collect(),
            known: Vec::new(),
            faults: Faults::default(),
        }
    }

    /// The value of `name`; one that is empty counts as absent.
    pub(crate) fn text(&mut self, name: &'static str) -> Option<String> {
        self.known.push(name);
        let mut values = Vec::new();
        self.left.retain_mut(|(key, value)| {
            let takes = key == name;
            if takes {
                values.push(std::mem::take(value));
            }
            !takes
        });
        if values.len() > 1 {
            self.faults.malformed(
                name,
                format!("`{name}` is set {} times, once is allowed", values.len()),
            );
        }
        values.pop().filter(|value| !value.is_empty())
    }

    pub(crate) fn time(&mut self, name: &'static str) -> Option<UnixMs> {
        let text = self.text(name);
        self.faults.time(name, text)
    }

    pub(crate) fn parsed<T, E: Display>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.text(name);
        self.faults.parsed(name, text, read)
    }

    pub(crate) fn number(&mut self, name: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        let (low, high) = (*range.start(), *range.end());
        let number = self.parsed(name, |text| {
            text.parse::<u64>()
                .map_err(|_| format!("`{name}` must be a whole number from {low} to {high}"))
        })?;
        if !range.contains(&number) {
            let detail = format!("`{name}` is {number}, {low} to {high} are allowed");
            self.faults.add(name, OUT_OF_RANGE, detail, None);
            return None;
        }
        Some(number)
    }

    pub(crate) fn flag(&mut self, name: &'static str) -> bool {
        let text = self.text(name);
        self.faults
            .word(name, text, &["true", "false"], |text| text.parse().ok())
            .unwrap_or(false)
    }

    /// Entities of one page.
    pub(crate) fn page_size(&mut self) -> usize {
        let number = self.number("pageSize", 1..=PAGE_SIZE_MAX as u64);
        number
            .and_then(|number| usize::try_from(number).ok())
            .unwrap_or(PAGE_SIZE_DEFAULT)
    }

    /// A refusal if anything was wrong or is left over.
    pub(crate) fn finish(mut self) -> Answer<()> {
        let known = match self.known.as_slice() {
            [] => "this request takes no parameters".to_owned(),
            names => format!("known are {}", names.join(", ")),
        };
        for (name, _) in std::mem::take(&mut self.left) {
            let shown: String = name.chars().take(40).collect();
            self.faults.add(
                &shown,
                UNKNOWN,
                format!("unknown parameter `{shown}`"),
                Some(known.clone()),
            );
        }
        self.faults.none()
    }
}

/// Reads a whole body as JSON; `None` when it is empty.
pub(crate) async fn optional_json<T: DeserializeOwned>(body: Body) -> Answer<Option<T>> {
    let bytes = axum::body::to_bytes(body, BODY_BYTES_MAX)
        .await
        .map_err(|_| Refusal::from(problem::Body::body_too_large(BODY_BYTES_MAX)))?;
    if bytes.is_empty() {
        return Ok(None);
    }
    serde_json::from_slice(&bytes).map(Some).map_err(|error| {
        let kind = if error.is_data() {
            Kind::InvalidRequest
        } else {
            Kind::NotJson
        };
        Refusal::new(kind, format!("the body cannot be read: {error}"))
    })
}

/// Reads a whole body as JSON.
pub(crate) async fn needed_json<T: DeserializeOwned>(body: Body) -> Answer<T> {
    optional_json(body)
        .await?
        .ok_or_else(|| Refusal::new(Kind::NotJson, "the body is empty, JSON is needed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(query: &'static str) -> Params {
        Params::of(&Uri::from_static(query))
    }

    #[test]
    fn every_fault_of_a_query_is_found_at_once() {
        let mut params =
            params("/v1/x?since=yesterday&pageSize=501&souce=web&source=a&source=b&deep=maybe");
        params.time("since");
        params.page_size();
        params.text("source");
        params.flag("deep");
        let body = params.finish().unwrap_err().body().clone();
        let found: Vec<_> = body
            .errors
            .iter()
            .map(|e| (e.pointer.as_str(), e.code.as_str()))
            .collect();
        assert_eq!(
            found,
            [
                ("/since", MALFORMED),
                ("/pageSize", OUT_OF_RANGE),
                ("/source", MALFORMED),
                ("/deep", NOT_ONE_OF),
                ("/souce", UNKNOWN),
            ]
        );
    }

    #[test]
    fn what_is_set_is_read_and_what_is_empty_is_absent() {
        let mut params = params("/v1/x?type=a%20b&key=&deep=true&before=7");
        assert_eq!(params.text("type").as_deref(), Some("a b"));
        assert_eq!(params.text("key"), None);
        assert!(params.flag("deep"));
        assert_eq!(params.number("before", 1..=9), Some(7));
        assert_eq!(params.page_size(), PAGE_SIZE_DEFAULT);
        params.finish().unwrap();
    }
}
