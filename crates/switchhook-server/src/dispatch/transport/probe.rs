//! One request over a connection of its own, with the time of each step: what a probe of an endpoint looks at.
//!
//! It goes the way of every delivery, through the guard and with the endpoint's certificates, but never over a connection that was kept, and keeps none: a
//! kept one would tell nothing about names, connecting and TLS. What was found out before a failure is reported too.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use switchhook_core::endpoint::Endpoint;
use tokio::time::{Instant, timeout_at};

use super::{Answer, Channel, Transport};
use crate::dispatch::guard::{Fault, Steps};
use crate::dispatch::tls::Terms;

/// What a probe found.
#[derive(Debug)]
pub struct Probed {
    /// How the connection came to be.
    pub steps: Steps,
    /// From the request to the head of its answer.
    pub first_byte: Option<Duration>,
    /// The status of the answer, read whole.
    pub result: Result<StatusCode, Fault>,
}

impl Transport {
    /// Sends one request without a body to `endpoint` over a new connection, all before `deadline`.
    pub async fn probe(
        &self,
        endpoint: &Arc<Endpoint>,
        method: Method,
        headers: HeaderMap,
        deadline: Instant,
    ) -> Probed {
        let (mut steps, mut first_byte) = (Steps::default(), None);
        let channel = Terms::read(&endpoint.tls, &*self.secrets)
            .and_then(|terms| Channel::to_endpoint(&self.guard, endpoint, terms));
        let result = match channel {
            Ok(channel) => {
                let asked = self.look(&channel, method, headers, &mut steps, &mut first_byte);
                let answer = timeout_at(deadline, asked).await;
                answer.unwrap_or_else(|_| Err(channel.late()))
            }
            Err(fault) => Err(fault),
        };
        Probed {
            steps,
            first_byte,
            result: result.map(|answer| answer.status),
        }
    }

    async fn look(
        &self,
        channel: &Channel,
        method: Method,
        headers: HeaderMap,
        steps: &mut Steps,
        first_byte: &mut Option<Duration>,
    ) -> Result<Answer, Fault> {
        let request = channel.request(method, headers, Bytes::new());
        let mut connection = channel.connect(&self.guard, steps).await?;
        let began = Instant::now();
        let answer = connection.send_request(request).await;
        let answer = answer.map_err(|error| channel.broken(&error))?;
        *first_byte = Some(began.elapsed());
        channel.finish(connection, answer).await
    }
}
