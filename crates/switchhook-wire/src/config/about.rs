//! What a subscription says about itself (`title`, `description`, `properties`): checked here, shown by the API and by
//! every dialect, and without effect on what is delivered.
//!
//! It stays in the body of the resource; the checked value has no use for it.

use super::codes;
use super::masking::{is_credential_property, refuse_mask};
use super::node::Value;
use super::read::{Item, Report, Table, shown};

/// Keys of a subscription that are read here.
pub(super) const KEYS: [&str; 3] = ["title", "description", "properties"];

/// Longest title, in characters: what fits a line of a list.
const TITLE_CHARS_MAX: usize = 256;
/// Longest description, in characters.
const DESCRIPTION_CHARS_MAX: usize = 1_024;
/// Most properties, and the most characters of a key and a value: all of them fit a page, and a body of the API.
const PROPERTIES_MAX: usize = 64;
const KEY_CHARS_MAX: usize = 128;
const VALUE_CHARS_MAX: usize = 1_024;

/// Whether all of it is right.
pub(super) fn check(table: &Table<'_>, report: &mut Report) -> Option<()> {
    let title = table.or("title", (), |item| {
        let title = report.text(item)?;
        fits(item, &title.text, TITLE_CHARS_MAX, report)
    });
    let description = table.or("description", (), |item| {
        let description = text(item, report)?;
        fits(item, description, DESCRIPTION_CHARS_MAX, report)
    });
    let properties = table.or("properties", (), |item| properties(item, report));
    title.and(description).and(properties)
}

fn properties(item: &Item<'_>, report: &mut Report) -> Option<()> {
    let fields = report.open_table(item)?.fields;
    if fields.len() > PROPERTIES_MAX {
        let n = fields.len();
        let message = format!("{n} properties are too many, at most {PROPERTIES_MAX} are allowed");
        report.add(codes::TOO_MANY, item, message, None);
        return None;
    }
    let mut good = Some(());
    for field in fields {
        let item = item.child(field);
        let key = match field.key.chars().count() {
            1..=KEY_CHARS_MAX => Some(()),
            n => {
                let message = format!(
                    "the name of property `{}` has {n} characters, 1 to {KEY_CHARS_MAX} are allowed",
                    shown(&field.key)
                );
                report.add(codes::OUT_OF_RANGE, &item, message, None);
                None
            }
        };
        let value = text(&item, report);
        let value = value.and_then(|value| fits(&item, value, VALUE_CHARS_MAX, report));
        // What is shown as the mask must not become it. What else is called `***` is a text like any other.
        let value = value.filter(|()| {
            let is_hidden = is_credential_property(&field.key);
            !(is_hidden && text_of(&item).is_some_and(|text| refuse_mask(text, &item, report)))
        });
        good = good.and(key).and(value);
    }
    good
}

fn text_of<'n>(item: &Item<'n>) -> Option<&'n str> {
    if let Value::Text(text) = &item.node.value {
        return Some(&text.text);
    }
    None
}

/// A string that may be empty.
fn text<'n>(item: &Item<'n>, report: &mut Report) -> Option<&'n str> {
    if matches!(&item.node.value, Value::Text(text) if text.text.is_empty()) {
        return Some("");
    }
    report.text(item).map(|text| text.text.as_str())
}

fn fits(item: &Item<'_>, text: &str, max: usize, report: &mut Report) -> Option<()> {
    let n = text.chars().count();
    if n <= max {
        return Some(());
    }
    let message = format!("{n} characters are too many, at most {max} are allowed");
    report.add(codes::OUT_OF_RANGE, item, message, None);
    None
}
