//! The configuration of the gateway that is measured.

use std::net::SocketAddr;

use super::{Args, CONCURRENCY, SECRET};

/// The configuration for `args`, with the receiver at `to`.
pub(super) fn toml(args: &Args, to: SocketAddr) -> String {
    let secret = String::from_utf8_lossy(SECRET);
    let mut text = format!(
        r#"[server]
ingest = "127.0.0.1:0"
admin = "127.0.0.1:0"
data_dir = "./data"
max_connections = 4096

[source.bench]
verify = {{ scheme = "genesys-signature", secrets = ["{secret}"] }}
type = "/type"
dedup = {{ id = "/id" }}
body_max = "5MB"
{}"#,
        args.features.source(),
    );
    for n in 0..args.endpoints() {
        let path = args.path(n);
        text.push_str(&format!(
            "\n[endpoint.e{n}]\nurl = \"http://{to}/{path}\"\nallow_private = [\"127.0.0.0/8\"]\nconcurrency = {CONCURRENCY}\n{}",
            args.features.endpoint(),
        ));
    }
    for n in 0..args.subscriptions() {
        let endpoint = n % args.endpoints();
        text.push_str(&format!(
            "\n[subscription.s{n}]\nsources = [\"bench\"]\nendpoint = \"e{endpoint}\"\n{}",
            args.features.subscription(),
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use switchhook_core::plan::Plan;
    use switchhook_core::subscription::Order;
    use switchhook_core::transform::Transform;
    use switchhook_wire::config::load_toml;

    use super::*;

    fn plan(args: &Args) -> Plan {
        let text = toml(args, "127.0.0.1:9000".parse().unwrap());
        let loaded = load_toml(&text, "bench.toml", &|_| None);
        let config = loaded.config;
        config
            .unwrap_or_else(|| panic!("{text}: {:?}", loaded.problems))
            .plan
    }

    #[test]
    fn the_generated_configuration_has_no_error_and_what_was_asked_for() {
        let args = Args::of("--fan-out 3 --endpoints 2 --black-hole 1");
        let plan = plan(&args);
        assert_eq!((plan.subscriptions.len(), plan.endpoints.len()), (3, 2));
        assert_eq!(plan.endpoints["e0"].url.path(), "/black-hole-0");
        assert_eq!(plan.endpoints["e1"].url.path(), "/e1");
        assert_eq!(args.live_subscriptions(), 1);
    }

    #[test]
    fn every_feature_is_switched_on_by_its_flag_and_off_without() {
        let plain = plan(&Args::of(""));
        let (endpoint, subscription) = (&plain.endpoints["e0"], &plain.subscriptions["s0"]);
        assert!(endpoint.signers.is_empty() && endpoint.seal.is_none());
        assert!(subscription.when.is_none() && subscription.transform == Transform::None);
        assert_eq!(subscription.order, Order::None);
        let all = plan(&Args::of(
            "--order key --failing-share 1% --filter event.data.type==\"bench.event\" --map --sign",
        ));
        let (endpoint, subscription) = (&all.endpoints["e0"], &all.subscriptions["s0"]);
        assert_eq!(endpoint.url.path(), "/every-100-fails/e0");
        assert_eq!(endpoint.signers.len(), 1);
        assert!(subscription.when.is_some() && subscription.transform != Transform::None);
        assert_eq!(subscription.order, Order::Key);
        let sealed = plan(&Args::of("--encrypt"));
        assert!(sealed.endpoints["e0"].seal.is_some());
    }
}
