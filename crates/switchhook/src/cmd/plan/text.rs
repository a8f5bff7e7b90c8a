//! A plan for people: one line for each resource, one for each field that differs, and how many.

use serde_json::Value;
use switchhook_wire::apply::{Action, FieldChange, Step};

use crate::output::{counted, cut};

/// Characters of a value that are shown.
const VALUE_CHARS: usize = 60;

/// Everything that differs. What is unchanged is only counted.
pub(super) fn shown(steps: &[Step]) -> String {
    let differing = steps.iter().filter(|step| step.action != Action::Unchanged);
    differing.map(step_text).collect()
}

/// One resource and its fields.
fn step_text(step: &Step) -> String {
    let sign = match step.action {
        Action::Create => '+',
        Action::Update => '~',
        Action::Delete => '-',
        Action::Unchanged => ' ',
        Action::Conflict => '!',
    };
    let place = step.conflict.clone().or_else(|| step.defined_at.clone());
    let place = place.unwrap_or_default();
    let line = format!(
        "{sign} {:<8} {}  {place}",
        step.action.name(),
        step.object()
    );
    let mut text = format!("{}\n", line.trim_end());
    if step.action == Action::Update || step.action == Action::Conflict {
        text.push_str(&fields_text(&step.fields));
    }
    text
}

/// One line for each field that differs.
pub(super) fn fields_text(fields: &[FieldChange]) -> String {
    fields.iter().map(field_text).collect()
}

fn field_text(field: &FieldChange) -> String {
    let (gateway, file) = (value_text(&field.gateway), value_text(&field.file));
    format!("      {}  {gateway} -> {file}\n", cut(&field.pointer, 120))
}

/// A value, or that there is none.
pub(in crate::cmd) fn value_text(value: &Option<Value>) -> String {
    value.as_ref().map_or_else(
        || "(none)".to_owned(),
        |value| cut(&value.to_string(), VALUE_CHARS),
    )
}

/// How many of each; `webhooks` is what is to be done with those at other APIs, which are counted too.
pub(super) fn summary(steps: &[Step], webhooks: &[Action]) -> String {
    let of = |action| {
        let all = steps.iter().map(|step| step.action);
        all.chain(webhooks.iter().copied())
            .filter(|it| *it == action)
            .count() as u64
    };
    let elsewhere = match webhooks.len() as u64 {
        0 => String::new(),
        n => format!(" ({} elsewhere among them)", counted(n, "webhook")),
    };
    let adopted = steps
        .iter()
        .filter(|step| step.adopts && step.action == Action::Unchanged);
    let adopted = match adopted.count() as u64 {
        0 => String::new(),
        n => format!(
            "; apply notes for {} which file declares it",
            counted(n, "resource")
        ),
    };
    let is_same = |action: &Action| *action == Action::Unchanged;
    if steps.iter().all(|step| is_same(&step.action)) && webhooks.iter().all(is_same) {
        return format!(
            "nothing differs: {} unchanged{elsewhere}{adopted}",
            of(Action::Unchanged)
        );
    }
    let conflicts = match of(Action::Conflict) {
        0 => String::new(),
        n => format!(", {}", counted(n, "conflict")),
    };
    format!(
        "{} to create, {} to update, {} to delete, {} unchanged{conflicts}{elsewhere}{adopted}",
        of(Action::Create),
        of(Action::Update),
        of(Action::Delete),
        of(Action::Unchanged),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use switchhook_wire::config::Kind;

    use super::*;

    fn step(action: Action, name: &str) -> Step {
        Step {
            action,
            kind: Kind::Endpoint,
            name: name.to_owned(),
            managed_by: "prod".to_owned(),
            defined_at: Some("prod.toml:3".to_owned()),
            fields: Vec::new(),
            adopts: false,
            conflict: None,
            etag: None,
            takes_over: false,
            body: None,
        }
    }

    #[test]
    fn a_plan_shows_what_differs_and_counts_the_rest() {
        let mut update = step(Action::Update, "crm");
        update.fields = vec![FieldChange {
            pointer: "/timeout/total".to_owned(),
            gateway: Some(json!("5s")),
            file: None,
        }];
        let mut conflict = step(Action::Conflict, "erp");
        conflict.conflict = Some("managed by the file `test`".to_owned());
        let mut same = step(Action::Unchanged, "wfm");
        same.adopts = true;
        let steps = [step(Action::Create, "new"), update, same, conflict];
        let text = shown(&steps) + &summary(&steps, &[]);
        insta::assert_snapshot!(text, @r#"
        + create   endpoint/new  prod.toml:3
        ~ update   endpoint/crm  prod.toml:3
              /timeout/total  "5s" -> (none)
        ! conflict endpoint/erp  managed by the file `test`
        1 to create, 1 to update, 0 to delete, 1 unchanged, 1 conflict; apply notes for 1 resource which file declares it
        "#);
        let steps = [step(Action::Unchanged, "a")];
        assert_eq!(shown(&steps), "");
        assert_eq!(summary(&steps, &[]), "nothing differs: 1 unchanged");
    }

    #[test]
    fn webhooks_at_other_apis_are_in_the_counts() {
        let steps = [step(Action::Unchanged, "a")];
        assert_eq!(
            summary(&steps, &[Action::Update, Action::Unchanged]),
            "0 to create, 1 to update, 0 to delete, 2 unchanged (2 webhooks elsewhere among them)"
        );
        assert_eq!(
            summary(&steps, &[Action::Unchanged]),
            "nothing differs: 2 unchanged (1 webhook elsewhere among them)"
        );
    }
}
