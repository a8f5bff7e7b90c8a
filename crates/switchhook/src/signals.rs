//! Ctrl-C and SIGTERM: both mean "end in order". A second one means "end at once". SIGHUP means "read the file again".

use tokio::signal::unix::{self, SignalKind};

use crate::exit::{Code, Failure, Outcome};

/// Which signal came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    /// Ctrl-C.
    Interrupt,
    /// A supervisor's wish.
    Terminate,
}

impl Signal {
    /// How the process ends after it has drained.
    pub(crate) fn outcome(self) -> Outcome {
        match self {
            Self::Interrupt => Err(Failure::silent(Code::Interrupted)),
            Self::Terminate => Ok(()),
        }
    }
}

/// The signals that this process listens to from now on.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: unix::Signal,
    terminate: unix::Signal,
}

impl Signals {
    /// Listens.
    ///
    /// # Errors
    /// When the system does not let us.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let listen = |kind| {
            unix::signal(kind)
                .map_err(|error| Failure::unexpected("signals cannot be caught", error))
        };
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    /// The next one.
    pub(crate) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.terminate.recv() => Signal::Terminate,
        }
    }

    /// Does `work`, unless another signal says to end at once.
    ///
    /// # Errors
    /// When that signal comes; the work is dropped where it stands.
    pub(crate) async fn unless_again<T>(
        &mut self,
        work: impl Future<Output = T>,
    ) -> Result<T, Failure> {
        tokio::select! {
            done = work => Ok(done),
            _ = self.next() => Err(Failure::new(Code::Interrupted, "ended at once, without waiting for requests under way")
                .hint("nothing that was acknowledged is lost; what was under way is sent again after the next start")),
        }
    }
}

/// SIGHUP: the configuration file is to be read again.
#[derive(Debug)]
pub(crate) struct Hangups(unix::Signal);

impl Hangups {
    /// Listens. From now on a hangup does not end the process.
    ///
    /// # Errors
    /// When the system does not let us.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let listened = unix::signal(SignalKind::hangup());
        listened
            .map(Self)
            .map_err(|error| Failure::unexpected("signals cannot be caught", error))
    }

    /// The next one. Several that come while nobody waits are one.
    pub(crate) async fn next(&mut self) {
        // It never ends: `None` would mean that the runtime is gone.
        let _ended = self.0.recv().await;
    }
}
