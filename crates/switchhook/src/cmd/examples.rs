//! Two examples for the `--help` of every command. Each is a command line that parses; a test sees to it.

use clap::Command;

/// Every command, followed by its examples, which are indented.
const EXAMPLES: &str = include_str!("examples.txt");

/// Every command with its examples.
fn all() -> impl Iterator<Item = (&'static str, Vec<&'static str>)> {
    let heads = EXAMPLES.lines().enumerate();
    let heads = heads.filter(|(_, line)| !line.starts_with(' '));
    heads.map(|(at, head)| {
        let below = EXAMPLES.lines().skip(at + 1);
        let examples = below.take_while(|line| line.starts_with(' '));
        (head, examples.map(str::trim).collect())
    })
}

/// Puts the examples under the help of `command` and of everything below it.
pub(super) fn attach(command: Command) -> Command {
    attach_at(command, "switchhook")
}

fn attach_at(command: Command, path: &str) -> Command {
    let names: Vec<String> = command
        .get_subcommands()
        .map(|sub| sub.get_name().to_owned())
        .collect();
    let command = match all().find(|(known, _)| *known == path) {
        Some((_, examples)) => {
            command.after_help(format!("Examples:\n  {}", examples.join("\n  ")))
        }
        None => command,
    };
    names.into_iter().fold(command, |command, name| {
        let below = format!("{path} {name}");
        command.mut_subcommand(name, |sub| attach_at(sub, &below))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn paths(command: &Command, path: &str, into: &mut BTreeSet<String>) {
        into.insert(path.to_owned());
        for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
            paths(sub, &format!("{path} {}", sub.get_name()), into);
        }
    }

    #[test]
    fn every_command_has_two_examples_and_each_is_a_command_line_of_that_command() {
        let mut commands = BTreeSet::new();
        paths(&super::super::command(), "switchhook", &mut commands);
        let known: BTreeSet<_> = all().map(|(path, _)| path.to_owned()).collect();
        assert_eq!(known, commands);
        for (path, examples) in all() {
            assert_eq!(examples.len(), 2, "{path}");
            for example in examples {
                assert!(example.starts_with(path), "{example}");
                let parsed = super::super::parse(example.split_whitespace().map(Into::into));
                assert!(parsed.is_ok(), "{example}: {}", parsed.unwrap_err());
            }
        }
    }
}
