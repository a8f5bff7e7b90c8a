//! Where log lines go: stderr, as text on a terminal and as JSON elsewhere.
//!
//! `SWITCHHOOK_LOG` chooses what is logged, for example `info,switchhook_server::dispatch=debug`. A filter
//! that cannot be read is said and replaced by the default; it must not keep the gateway from starting.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

use crate::config;
use crate::output::Output;

/// Starts to log what `SWITCHHOOK_LOG` names, or `default`.
pub(crate) fn start(default: &str, output: Output) {
    let filter = match config::setting("SWITCHHOOK_LOG").map(EnvFilter::try_new) {
        Some(Ok(filter)) => filter,
        Some(Err(error)) => {
            output.must_say(&format!(
                "warning: SWITCHHOOK_LOG cannot be read ({error}); using {default}"
            ));
            EnvFilter::new(default)
        }
        None => EnvFilter::new(default),
    };
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    // A second start in one process changes nothing, which only tests do.
    if io::stderr().is_terminal() {
        lines.with_ansi(output.is_coloured()).try_init().ok();
    } else {
        lines.json().flatten_event(true).try_init().ok();
    }
}
