//! Resources as a file that declares them.
//!
//! What comes out reads back as what went in. A value that the gateway does not show stays the mask, which a plan takes as
//! "what is there"; a comment says so. What TOML cannot say is left out, and a comment says that.

use serde_json::{Map, Value as Json};

use super::{ORDER, has_mask};
use crate::api::ResourceView;
use crate::config::MASK;

/// The file that declares `views`; with `name`, what it manages is noted under that.
#[must_use]
pub fn export(views: &[ResourceView], name: Option<&str>) -> String {
    let mut text = String::new();
    if let Some(name) = name {
        text.push_str(&format!("name = {}\n", Json::from(name)));
    }
    for kind in ORDER {
        for view in views.iter().filter(|view| view.kind == kind.name()) {
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(&one(view));
        }
    }
    text
}

/// The section of a resource.
fn one(view: &ResourceView) -> String {
    let (kind, name) = (&view.kind, &view.name);
    if let Some(place) = null_in(&view.body, "") {
        return format!(
            "# {kind} `{name}` is left out: TOML has no null, and one stands at {place}\n"
        );
    }
    let of_kind = Map::from_iter([(name.clone(), view.body.clone())]);
    let whole = Json::Object(Map::from_iter([(kind.clone(), Json::Object(of_kind))]));
    let Ok(section) = toml::to_string_pretty(&whole) else {
        return format!("# {kind} `{name}` is left out: it cannot be written as TOML\n");
    };
    if has_mask(&view.body) {
        return format!(
            "# `{MASK}` stands for a value that the gateway does not show. Before you change anything of {kind} `{name}`,\n\
             # write {{{{secret:NAME}}}} in its place, or the value.\n{section}"
        );
    }
    section
}

/// Where a null stands.
fn null_in(body: &Json, at: &str) -> Option<String> {
    match body {
        Json::Null => Some(at.to_owned()),
        Json::Array(items) => items
            .iter()
            .enumerate()
            .find_map(|(index, item)| null_in(item, &format!("{at}/{index}"))),
        Json::Object(fields) => fields
            .iter()
            .find_map(|(key, value)| null_in(value, &format!("{at}/{key}"))),
        Json::Bool(_) | Json::Number(_) | Json::String(_) => None,
    }
}
