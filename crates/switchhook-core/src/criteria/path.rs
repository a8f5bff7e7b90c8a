//! The paths into a body that criteria and field maps use: a small part of JSONPath.
//!
//! `$` is the whole body; `.name`, `['name']`, `[n]` and `[*]` go on from there. A path may also begin
//! with a name (`a.b.c`). There are no filters, slices, unions or recursive descent: each path names one
//! place, or with `[*]` the items of a list, and is followed in one pass. At most [`STEPS_MAX`] steps.

use serde_json::Value;

/// Most steps of a path; Genesys events nest fewer than ten deep.
pub(crate) const STEPS_MAX: usize = 16;
/// Longest path, in bytes.
const TEXT_BYTES_MAX: usize = 512;

/// A parsed path; equal paths lead to the same place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Path(Vec<Step>);

/// One step down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// To the member of this name.
    Name(Box<str>),
    /// To the item at this place, from 0.
    Index(usize),
    /// To every item.
    Every,
}

/// Text that is no path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Nothing was given.
    #[error("a path must not be empty; `$` is the whole body")]
    Empty,
    /// Longer than any useful one.
    #[error("a path may have at most {TEXT_BYTES_MAX} bytes and {STEPS_MAX} steps")]
    TooLong,
    /// `..`
    #[error("path `{0}`: recursive descent (`..`) is not supported; write every step")]
    Descent(String),
    /// `[?(…)]`, `[(…)]`, `[1:2]`, `[1,2]`
    #[error(
        "path `{0}`: only `['name']`, `[number]` and `[*]` may stand in brackets; filters, scripts, \
         slices and unions are not supported"
    )]
    Bracket(String),
    /// Anything else.
    #[error("`{0}` is no path; write it like `$.a.b[0].c` or `a.b`")]
    Shape(String),
}

impl Path {
    /// Reads a path.
    ///
    /// # Errors
    /// When `text` is none, or uses what is not supported.
    pub(crate) fn parse(text: &str) -> Result<Self, PathError> {
        if text.is_empty() {
            return Err(PathError::Empty);
        }
        if text.len() > TEXT_BYTES_MAX {
            return Err(PathError::TooLong);
        }
        if text.contains("..") {
            return Err(PathError::Descent(text.into()));
        }
        let mut steps = Vec::new();
        let mut rest = match text.strip_prefix('$') {
            Some(rest) => rest,
            None => name(text, text, &mut steps)?,
        };
        while !rest.is_empty() {
            if steps.len() == STEPS_MAX {
                return Err(PathError::TooLong);
            }
            rest = if let Some(rest) = rest.strip_prefix('.') {
                name(text, rest, &mut steps)?
            } else if let Some(rest) = rest.strip_prefix('[') {
                bracket(rest, &mut steps).ok_or_else(|| PathError::Bracket(text.into()))?
            } else {
                return Err(PathError::Shape(text.into()));
            };
        }
        Ok(Self(steps))
    }

    /// The steps, from the whole body down.
    pub(crate) fn steps(&self) -> &[Step] {
        &self.0
    }

    /// The place it names; `None` when nothing is there. `[*]` leads nowhere.
    pub(crate) fn find<'v>(&self, body: &'v Value) -> Option<&'v Value> {
        self.0.iter().try_fold(body, |value, step| go(value, step))
    }

    /// Every place it names, in the order of the body.
    pub(crate) fn find_all<'v>(&self, body: &'v Value) -> Vec<&'v Value> {
        let mut found = vec![body];
        for step in &self.0 {
            let next = found.into_iter();
            found = match step {
                Step::Every => next.filter_map(Value::as_array).flatten().collect(),
                Step::Name(_) | Step::Index(_) => {
                    next.filter_map(|value| go(value, step)).collect()
                }
            };
        }
        found
    }
}

/// One step down from `value` to one place.
fn go<'v>(value: &'v Value, step: &Step) -> Option<&'v Value> {
    match step {
        Step::Name(name) => value.get(&**name),
        Step::Index(index) => value.get(*index),
        Step::Every => None,
    }
}

/// Reads a name off `rest` of the path `text`.
fn name<'t>(text: &str, rest: &'t str, steps: &mut Vec<Step>) -> Result<&'t str, PathError> {
    let end = rest.find(['.', '[']).unwrap_or(rest.len());
    let (name, rest) = rest.split_at_checked(end).unwrap_or((rest, ""));
    let odd = |c: char| c.is_whitespace() || c.is_control() || "]()*?@'\"$,:".contains(c);
    if name.is_empty() || name.contains(odd) {
        return Err(PathError::Shape(text.into()));
    }
    steps.push(Step::Name(name.into()));
    Ok(rest)
}

/// Reads what stands in brackets off `rest`, and the bracket that ends it.
fn bracket<'t>(rest: &'t str, steps: &mut Vec<Step>) -> Option<&'t str> {
    if let Some(quote) = rest.chars().next().filter(|c| matches!(c, '\'' | '"')) {
        let (name, rest) = rest.get(1..)?.split_once(quote)?;
        steps.push(Step::Name(name.into()));
        return rest.strip_prefix(']');
    }
    let (inside, rest) = rest.split_once(']')?;
    steps.push(if inside == "*" {
        Step::Every
    } else if inside.bytes().all(|byte| byte.is_ascii_digit()) {
        Step::Index(inside.parse().ok()?)
    } else {
        return None;
    });
    Some(rest)
}
