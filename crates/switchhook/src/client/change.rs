//! Changing what has versions: the client reads which one is there and says that it means that one.
//!
//! So two people who change the same thing at the same time do not overwrite each other: the second one is told.

use http::header::ETAG;
use http::{HeaderValue, Method};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Client, Error, value, with_query};

/// The version that a change is meant for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Version {
    /// The one with this tag.
    Tagged(HeaderValue),
    /// None: it is to be made.
    Absent,
}

impl Client {
    /// The version of `path` that is there now.
    pub(crate) async fn version(&self, path: &[&str]) -> Result<Version, Error> {
        let asked = self.answer(Method::GET, self.url(path), None, "application/json", None);
        match asked.await {
            Ok(answer) => Ok(answer
                .headers()
                .get(ETAG)
                .map_or(Version::Absent, |tag| Version::Tagged(tag.clone()))),
            Err(error) if error.status() == Some(404) => Ok(Version::Absent),
            Err(error) => Err(error),
        }
    }

    /// The same client for one change, which is then made once however often it is sent.
    pub(crate) fn with_key(&self, key: HeaderValue) -> Self {
        Self {
            http: self.http.clone(),
            base: self.base.clone(),
            bearer: self.bearer.clone(),
            patience: self.patience,
            key: Some(key),
        }
    }

    /// Sends `body` to `path` with the members of `query` that are set.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &impl Serialize,
        body: &impl Serialize,
    ) -> Result<T, Error> {
        let url = with_query(self.url(path), query);
        let body = serde_json::to_vec(body).unwrap_or_default();
        self.call(Method::POST, url, Some(body)).await
    }

    /// Makes `path`, or replaces what is there now, with the members of `query` that are set.
    pub(crate) async fn put<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &impl Serialize,
        body: &impl Serialize,
    ) -> Result<T, Error> {
        let version = self.version(path).await?;
        self.put_version(path, query, body, version).await
    }

    /// The same for the version that the caller has seen.
    pub(crate) async fn put_version<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &impl Serialize,
        body: &impl Serialize,
        version: Version,
    ) -> Result<T, Error> {
        let url = with_query(self.url(path), query);
        let body = serde_json::to_vec(body).unwrap_or_default();
        let accept = "application/json";
        let asked = self.answer(Method::PUT, url.clone(), Some(body), accept, Some(version));
        value(asked.await?, url).await
    }

    /// Deletes the version that the caller has seen, with the members of `query` that are set.
    pub(crate) async fn delete_version(
        &self,
        path: &[&str],
        query: &impl Serialize,
        version: Version,
    ) -> Result<(), Error> {
        let url = with_query(self.url(path), query);
        self.answer(Method::DELETE, url, None, "application/json", Some(version))
            .await
            .map(drop)
    }

    /// Deletes what `path` names as it is now, with the members of `query` that are set.
    pub(crate) async fn delete(&self, path: &[&str], query: &impl Serialize) -> Result<(), Error> {
        let version = match self.version(path).await? {
            Version::Absent => None,
            tagged @ Version::Tagged(_) => Some(tagged),
        };
        let url = with_query(self.url(path), query);
        self.answer(Method::DELETE, url, None, "application/json", version)
            .await
            .map(drop)
    }
}
