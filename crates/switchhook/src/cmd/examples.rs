//! Two examples for the `--help` of every command. Each is a command line that parses; a test sees to it.

use clap::Command;

/// Command path, and its examples.
const EXAMPLES: &[(&str, [&str; 2])] = &[
    (
        "",
        ["switchhook demo", "switchhook serve -c switchhook.toml"],
    ),
    (
        "demo",
        ["switchhook demo", "switchhook demo --for 10s --json"],
    ),
    (
        "serve",
        [
            "switchhook serve",
            "switchhook serve -c /etc/switchhook/switchhook.toml",
        ],
    ),
    (
        "send",
        [
            "switchhook send web --wait",
            "switchhook send web Text --set channel.from.id=c-1 --set text=hello --wait=30s",
        ],
    ),
    (
        "tail",
        [
            "switchhook tail --failed",
            "switchhook tail --endpoint crm --status 5xx --json",
        ],
    ),
    (
        "check",
        [
            "switchhook check switchhook.toml",
            "switchhook check --explain SH0104",
        ],
    ),
    (
        "policy",
        [
            "switchhook policy list",
            "switchhook policy preview standard",
        ],
    ),
    (
        "policy list",
        ["switchhook policy list", "switchhook policy list --json"],
    ),
    (
        "policy get",
        [
            "switchhook policy get standard",
            "switchhook policy get standard --json",
        ],
    ),
    (
        "policy set",
        [
            "switchhook policy set quick --delays 5s,15s,45s",
            "switchhook policy set quick -f quick.json",
        ],
    ),
    (
        "policy delete",
        [
            "switchhook policy delete quick",
            "switchhook policy delete quick --yes",
        ],
    ),
    (
        "policy preview",
        [
            "switchhook policy preview standard",
            "switchhook policy preview quick -c switchhook.toml --json",
        ],
    ),
    (
        "source",
        ["switchhook source list", "switchhook source get web"],
    ),
    (
        "source list",
        ["switchhook source list", "switchhook source list --json"],
    ),
    (
        "source get",
        [
            "switchhook source get web",
            "switchhook source get web --json",
        ],
    ),
    (
        "source set",
        [
            "switchhook source set web --preset open-messaging --secret web",
            "switchhook source set crm -f source.json",
        ],
    ),
    (
        "source delete",
        [
            "switchhook source delete web",
            "switchhook source delete web --yes",
        ],
    ),
    (
        "endpoint",
        ["switchhook endpoint list", "switchhook endpoint probe crm"],
    ),
    (
        "endpoint list",
        [
            "switchhook endpoint list",
            "switchhook endpoint list --json",
        ],
    ),
    (
        "endpoint get",
        [
            "switchhook endpoint get crm",
            "switchhook endpoint get crm --json",
        ],
    ),
    (
        "endpoint set",
        [
            "switchhook endpoint set crm --url https://crm.example.com/hook --concurrency 16",
            "switchhook endpoint set local --url http://127.0.0.1:9000/hook --allow-private 127.0.0.0/8",
        ],
    ),
    (
        "endpoint delete",
        [
            "switchhook endpoint delete crm",
            "switchhook endpoint delete crm --yes",
        ],
    ),
    (
        "endpoint probe",
        [
            "switchhook endpoint probe crm",
            "switchhook endpoint probe crm --json",
        ],
    ),
    (
        "subscription",
        [
            "switchhook subscription list",
            "switchhook subscription get web-to-crm",
        ],
    ),
    (
        "subscription list",
        [
            "switchhook subscription list",
            "switchhook subscription list --json",
        ],
    ),
    (
        "subscription get",
        [
            "switchhook subscription get web-to-crm",
            "switchhook subscription get web-to-crm --json",
        ],
    ),
    (
        "subscription set",
        [
            "switchhook subscription set web-to-crm --source web --endpoint crm",
            "switchhook subscription set ends --source bus --type v2.detail.events.conversation.{id}.customer.end --endpoint crm --policy quick",
        ],
    ),
    (
        "subscription delete",
        [
            "switchhook subscription delete web-to-crm",
            "switchhook subscription delete web-to-crm --yes",
        ],
    ),
    (
        "secret",
        [
            "switchhook secret list",
            "switchhook secret set web -f ./web-secret",
        ],
    ),
    (
        "secret list",
        ["switchhook secret list", "switchhook secret list --json"],
    ),
    (
        "secret set",
        [
            "switchhook secret set web -f ./web-secret",
            "switchhook secret set web --data-dir /var/lib/switchhook",
        ],
    ),
    (
        "secret delete",
        [
            "switchhook secret delete web",
            "switchhook secret delete web --yes",
        ],
    ),
    (
        "event",
        [
            "switchhook event list --since 15m",
            "switchhook event timeline evt_01932b5f000070008000000000000001",
        ],
    ),
    (
        "event list",
        [
            "switchhook event list --since 15m",
            "switchhook event list --source web --type Text --json",
        ],
    ),
    (
        "event get",
        [
            "switchhook event get evt_01932b5f000070008000000000000001",
            "switchhook event get evt_01932b5f000070008000000000000001 --json",
        ],
    ),
    (
        "event timeline",
        [
            "switchhook event timeline evt_01932b5f000070008000000000000001",
            "switchhook event timeline evt_01932b5f000070008000000000000001 --json",
        ],
    ),
    (
        "dlq",
        [
            "switchhook dlq list",
            "switchhook dlq replay --endpoint crm",
        ],
    ),
    (
        "dlq list",
        [
            "switchhook dlq list --endpoint crm",
            "switchhook dlq list --reason exhausted --since 24h --json",
        ],
    ),
    (
        "dlq get",
        [
            "switchhook dlq get dlv_01932b5f000070008000000000000001",
            "switchhook dlq get dlv_01932b5f000070008000000000000001 --json",
        ],
    ),
    (
        "dlq replay",
        [
            "switchhook dlq replay --endpoint crm --status 503",
            "switchhook dlq replay --all --dry-run",
        ],
    ),
    (
        "dlq discard",
        [
            "switchhook dlq discard --endpoint crm --dry-run",
            "switchhook dlq discard --reason refused --until 7d --yes",
        ],
    ),
    (
        "dlq export",
        [
            "switchhook dlq export --endpoint crm",
            "switchhook dlq export --since 2026-11-20T10:00:00Z",
        ],
    ),
    (
        "store",
        ["switchhook store status", "switchhook store verify ./data"],
    ),
    (
        "store status",
        ["switchhook store status", "switchhook store status --json"],
    ),
    (
        "store verify",
        [
            "switchhook store verify ./data",
            "switchhook store verify -c switchhook.toml --json",
        ],
    ),
    (
        "store backup",
        [
            "switchhook store backup /var/backups/switchhook.db",
            "switchhook store backup copy.db --json",
        ],
    ),
    (
        "store restore",
        [
            "switchhook store restore copy.db ./data-new",
            "switchhook store restore copy.db ./data-new --json",
        ],
    ),
    (
        "bench",
        [
            "switchhook bench",
            "switchhook bench --duration 10s --connections 512 --proxy --json",
        ],
    ),
    (
        "sim",
        [
            "switchhook sim endpoint",
            "switchhook sim endpoint crm=ok wfm=fail:50%",
        ],
    ),
    (
        "sim endpoint",
        [
            "switchhook sim endpoint crm=ok:12ms wfm=outage:5s/10s bi=rate-limit:429/3s/20%",
            "switchhook sim endpoint --listen 127.0.0.1:9000 --secret-file ./secret --dead-letters dead.jsonl",
        ],
    ),
    (
        "version",
        [
            "switchhook version",
            "switchhook version --server http://127.0.0.1:8081 --json",
        ],
    ),
];

/// Puts the examples under the help of `command` and of everything below it.
pub(super) fn attach(command: Command) -> Command {
    attach_at(command, "")
}

fn attach_at(command: Command, path: &str) -> Command {
    let names: Vec<String> = command
        .get_subcommands()
        .map(|sub| sub.get_name().to_owned())
        .collect();
    let command = match EXAMPLES.iter().find(|(known, _)| *known == path) {
        Some((_, [one, two])) => command.after_help(format!("Examples:\n  {one}\n  {two}")),
        None => command,
    };
    names.into_iter().fold(command, |command, name| {
        let below = format!("{path} {name}").trim_start().to_owned();
        command.mut_subcommand(name, |sub| attach_at(sub, &below))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn paths(command: &Command, path: &str, into: &mut BTreeSet<String>) {
        for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
            let below = format!("{path} {}", sub.get_name()).trim_start().to_owned();
            paths(sub, &below, into);
            into.insert(below);
        }
    }

    #[test]
    fn every_command_has_two_examples_and_each_is_a_command_line_of_that_command() {
        let mut commands = BTreeSet::from([String::new()]);
        paths(&super::super::command(), "", &mut commands);
        let known: BTreeSet<_> = EXAMPLES
            .iter()
            .map(|(path, _)| (*path).to_owned())
            .collect();
        assert_eq!(known, commands);
        for (path, examples) in EXAMPLES {
            for example in examples {
                assert!(
                    example.starts_with(&format!("switchhook {path}")),
                    "{example}"
                );
                let parsed = super::super::parse(example.split_whitespace().map(Into::into));
                assert!(parsed.is_ok(), "{example}: {}", parsed.unwrap_err());
            }
        }
    }
}
