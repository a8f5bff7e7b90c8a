//! One request over a connection of its own to a server that is no endpoint, such as one that gives tokens.
//!
//! It goes through the same guard, with the system's certificates, and no connection is kept: it is asked for now and
//! then, and what a kept one would save is not worth a pool that several endpoints with different allow lists share.

use bytes::Bytes;
use http::{HeaderMap, Method};
use ipnet::IpNet;
use tokio::time::{Instant, timeout_at};
use url::Url;

use super::{Answer, BODY_BYTES_MAX, Channel, Transport};
use crate::dispatch::guard::{Fault, Steps};

impl Transport {
    /// Posts `body` to `url` and reads the answer, up to [`BODY_BYTES_MAX`] bytes of it, all before `deadline`.
    ///
    /// # Errors
    /// When there is no usable answer; the text names the host and no header.
    pub(in crate::dispatch) async fn ask(
        &self,
        url: &Url,
        allow: &[IpNet],
        headers: HeaderMap,
        body: Bytes,
        deadline: Instant,
    ) -> Result<Answer, Fault> {
        let channel = Channel::new(&self.guard, url, allow, None)?;
        let request = channel.request(Method::POST, headers, body);
        let asked = async {
            let mut connection = channel.connect(&self.guard, &mut Steps::default()).await?;
            let answer = connection.send_request(request).await;
            let answer = answer.map_err(|error| channel.broken(&error))?;
            let (answer, _) = channel.read(answer, BODY_BYTES_MAX).await?;
            Ok(answer)
        };
        timeout_at(deadline, asked)
            .await
            .unwrap_or_else(|_| Err(channel.late()))
    }
}
