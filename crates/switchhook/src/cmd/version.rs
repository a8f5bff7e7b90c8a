//! `switchhook version`: what this program is, and what runs where `--server` points.

use serde_json::json;
use switchhook_wire::api::VersionView;

use super::Global;
use crate::exit::Outcome;
use crate::output::Output;

/// Prints the version. The gateway is asked only when `--server` names it, since it need not run.
pub(super) async fn run(global: &Global, output: Output) -> Outcome {
    let own = env!("CARGO_PKG_VERSION");
    let server: Option<VersionView> = match global.server {
        Some(_) => Some(global.client()?.get(&["v1", "version"]).await?),
        None => None,
    };
    output.show(
        &json!({"version": own, "server": server}),
        |_| match &server {
            Some(server) => {
                format!(
                    "switchhook {own}\ngateway    {} with store {}",
                    server.version, server.store
                )
            }
            None => format!("switchhook {own}"),
        },
    )
}
