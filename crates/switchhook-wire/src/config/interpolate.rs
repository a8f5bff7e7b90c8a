//! References to the environment, filled after parsing and in strings only.
//!
//! `${env:X}`, `${env:X:-default}`, `${env:X:?message}`; `$${` is a literal `${`. What comes out is always a
//! string in the place of a string: a variable can never add a key, a table or a comment. What is filled
//! in is not looked at again. `{{secret:x}}` is left alone; it is looked up at every use.

use super::codes;
use super::node::{Node, Text, Value};
use super::read::{Item, Report};

/// The environment: a variable's value by its name.
pub type Env<'e> = &'e dyn Fn(&str) -> Option<String>;

/// Fills every string below `item`; without an environment every reference is a problem.
pub(super) fn fill(item: &Item<'_>, env: Option<Env<'_>>, report: &mut Report) -> Node {
    let value = match &item.node.value {
        Value::Table(fields) => Value::Table(
            fields
                .iter()
                .map(|field| {
                    let mut filled = field.clone();
                    filled.node = fill(&item.child(field), env, report);
                    filled
                })
                .collect(),
        ),
        Value::Array(nodes) => Value::Array(
            nodes
                .iter()
                .enumerate()
                .map(|(i, node)| fill(&item.element(i, node), env, report))
                .collect(),
        ),
        Value::Text(text) if text.text.contains("${") => match fill_text(&text.text, env) {
            Ok(text) => Value::Text(text),
            Err(fault) => {
                report.add(fault.code, item, fault.message, Some(fault.hint));
                Value::Unfilled
            }
        },
        value @ (Value::Text(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Bool(_)
        | Value::Other(_)
        | Value::Unfilled) => value.clone(),
    };
    Node {
        span: item.node.span.clone(),
        value,
    }
}

struct Fault {
    code: &'static codes::Code,
    message: String,
    hint: String,
}

fn malformed(message: String) -> Fault {
    Fault {
        code: codes::REFERENCE,
        message,
        hint: "write `${env:NAME}`, `${env:NAME:-default}` or `${env:NAME:?message}`, or `$${` for a literal `${`"
            .to_owned(),
    }
}

fn fill_text(text: &str, env: Option<Env<'_>>) -> Result<Text, Fault> {
    let (mut out, mut rest, mut references) = (String::new(), text, 0_u32);
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(before) = before.strip_suffix('$') {
            out.push_str(before);
            out.push_str("${");
            rest = after;
            continue;
        }
        let Some((reference, after)) = after.split_once('}') else {
            return Err(malformed("`${` is not closed by `}`".to_owned()));
        };
        out.push_str(before);
        out.push_str(&look_up(reference, env)?);
        references += 1;
        rest = after;
    }
    out.push_str(rest);
    let is_reference =
        references == 1 && text.starts_with("${") && text.find('}') == Some(text.len() - 1);
    Ok(Text {
        text: out,
        from_env: references > 0,
        is_reference,
    })
}

fn look_up(reference: &str, env: Option<Env<'_>>) -> Result<String, Fault> {
    let Some(inner) = reference.strip_prefix("env:") else {
        let name: String = reference.chars().take(40).collect();
        return Err(malformed(format!(
            "`${{{name}}}` is no reference: only `env:` exists"
        )));
    };
    let end = inner
        .find(":-")
        .into_iter()
        .chain(inner.find(":?"))
        .min()
        .unwrap_or(inner.len());
    let (name, alternative) = inner.split_at_checked(end).unwrap_or((inner, ""));
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        let name: String = name.chars().take(40).collect();
        return Err(malformed(format!(
            "`{name}` is not the name of an environment variable"
        )));
    }
    let Some(env) = env else {
        return Err(Fault {
            code: codes::REFERENCE,
            message: format!("`${{env:{name}}}` cannot be used in a resource made through the API"),
            hint: "name a secret instead: `{{secret:name}}`".to_owned(),
        });
    };
    match (env(name), alternative.split_at_checked(2)) {
        (Some(value), _) => Ok(value),
        (None, Some((":-", default))) => Ok(default.to_owned()),
        (None, Some((":?", message))) if !message.is_empty() => {
            Err(not_set(name, message.to_owned()))
        }
        (None, _) => Err(not_set(
            name,
            format!("set it, or give a default: `${{env:{name}:-…}}`"),
        )),
    }
}

fn not_set(name: &str, hint: String) -> Fault {
    Fault {
        code: codes::ENV_NOT_SET,
        message: format!("`${{env:{name}}}` is not set"),
        hint,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn env(name: &str) -> Option<String> {
        match name {
            "PORT" => Some("8080".into()),
            "TRICK" => Some("${env:PORT}\"\n[server]".into()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    fn filled(text: &str) -> Result<String, &'static str> {
        fill_text(text, Some(&env))
            .map(|t| t.text)
            .map_err(|fault| fault.code.id)
    }

    #[test]
    fn references_are_filled_and_what_is_filled_in_is_not_looked_at_again() {
        let table = [
            ("plain", Ok("plain")),
            ("${env:PORT}", Ok("8080")),
            (
                "127.0.0.1:${env:PORT}/${env:PORT}",
                Ok("127.0.0.1:8080/8080"),
            ),
            ("${env:NONE:-8081}", Ok("8081")),
            ("${env:NONE:-}", Ok("")),
            ("${env:NONE:-a:?b}", Ok("a:?b")),
            ("${env:EMPTY:-x}", Ok("")),
            ("${env:TRICK}", Ok("${env:PORT}\"\n[server]")),
            ("$${env:PORT}", Ok("${env:PORT}")),
            ("{{secret:web}}", Ok("{{secret:web}}")),
            ("$5 {x}", Ok("$5 {x}")),
            ("${env:NONE}", Err("SH0203")),
            ("${env:NONE:?ask ops}", Err("SH0203")),
            ("${env:PORT", Err("SH0204")),
            ("${PORT}", Err("SH0204")),
            ("${env:}", Err("SH0204")),
            ("${env:A B}", Err("SH0204")),
        ];
        for (text, want) in table {
            assert_eq!(filled(text), want.map(str::to_owned), "{text}");
        }
    }

    #[test]
    fn only_a_whole_reference_counts_as_one() {
        for (text, want) in [
            ("${env:PORT}", true),
            ("${env:PORT} ", false),
            ("${env:PORT}${env:PORT}", false),
        ] {
            assert_eq!(
                fill_text(text, Some(&env)).map(|t| t.is_reference).ok(),
                Some(want),
                "{text}"
            );
        }
    }

    #[test]
    fn without_an_environment_no_variable_can_be_read() {
        assert_eq!(
            fill_text("${env:PORT:-1}", None).err().map(|f| f.code.id),
            Some("SH0204")
        );
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[${}:envA?-]{0,30}") {
            let _ = filled(&text);
        }
    }
}
