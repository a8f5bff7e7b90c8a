//! The other processes of the bench: the receiver and the bare proxy. They end when their standard input
//! does, which happens whatever becomes of the bench.

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr};

use clap::Subcommand;
use http::Uri;
use serde_json::json;
use switchhook_sim::load::{Proxy, Receiver};

use crate::exit::{Failure, Outcome};
use crate::output::Output;

/// What a process of the bench is.
#[derive(Debug, Subcommand)]
pub(crate) enum Role {
    /// Answers 200 and measures end to end
    Receiver,
    /// Forwards and keeps nothing
    Proxy {
        /// Forwards on the wire at once
        #[arg(long)]
        concurrency: usize,
        /// Where to forward to
        targets: Vec<Uri>,
    },
}

/// Plays the role until standard input ends.
pub(in crate::cmd) async fn run(role: Role, output: Output) -> Outcome {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let failed = |error| Failure::unexpected("it cannot listen", error);
    match role {
        Role::Receiver => {
            let receiver = Receiver::start(any).await.map_err(failed)?;
            ready(receiver.addr(), output).await
        }
        Role::Proxy {
            concurrency,
            targets,
        } => {
            let proxy = Proxy::start(any, targets, concurrency)
                .await
                .map_err(failed)?;
            ready(proxy.addr(), output).await
        }
    }
}

async fn ready(addr: SocketAddr, output: Output) -> Outcome {
    output.json(&json!({"type": "ready", "listen": format!("http://{addr}")}))?;
    // Nothing is ever written there; how it ends does not matter.
    let ended = tokio::task::spawn_blocking(|| std::io::stdin().read(&mut [0]));
    ended.await.ok();
    Ok(())
}
