//! One piece of work that many wait for.
//!
//! It runs in a task of its own, so that it comes to an end although those who wait give up: a key that takes longer to
//! derive than one attempt may last would otherwise never be had.

use std::future::Future;

use switchhook_core::delivery::Failure;
use tokio::sync::watch;

use super::guard::Fault;

/// See the module. All clones are the same work.
#[derive(Clone)]
pub(super) struct Flight<T>(watch::Receiver<Option<Result<T, Fault>>>);

impl<T: Clone + Send + Sync + 'static> Flight<T> {
    /// Starts `work`.
    pub(super) fn start(work: impl Future<Output = Result<T, Fault>> + Send + 'static) -> Self {
        let (landing, landed) = watch::channel(None);
        tokio::spawn(async move {
            landing.send_replace(Some(work.await));
        });
        Self(landed)
    }

    /// What came of it.
    ///
    /// # Errors
    /// When the work failed.
    pub(super) async fn land(mut self) -> Result<T, Fault> {
        let landed = self.0.wait_for(Option::is_some).await;
        let result = landed.ok().and_then(|landed| landed.clone());
        result.unwrap_or_else(|| {
            // It cannot be told what was at fault; the endpoint was not.
            let text = "what the request needs could not be made: an internal error";
            Err(Fault::new(Failure::Secret, text))
        })
    }

    /// Whether both are the same work.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.0.same_channel(&other.0)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::oneshot;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn work_ends_although_those_who_wait_give_up() {
        let (end, ended) = oneshot::channel::<u8>();
        let flight = Flight::start(async { Ok(ended.await.unwrap()) });
        assert!(
            timeout(Duration::ZERO, flight.clone().land())
                .await
                .is_err()
        );
        end.send(7).unwrap();
        assert_eq!(flight.clone().land().await, Ok(7));
        assert_eq!(flight.land().await, Ok(7));
    }

    #[tokio::test]
    async fn work_that_panics_is_an_error_and_no_endless_wait() {
        let flight: Flight<()> = Flight::start(async { panic!("on purpose") });
        assert_eq!(flight.land().await.unwrap_err().failure, Failure::Secret);
    }
}
