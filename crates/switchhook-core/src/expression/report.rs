//! How errors name places and values of an event.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a path is made of few kinds of parts; any other is `…`"
)]

use super::term::Term;
use super::tree::{Kind, Literal, Node, Operator};
use super::{EvaluationError, Position, clip};

/// The error of a field or item that is not there.
pub(super) fn missing(node: &Node) -> EvaluationError {
    EvaluationError::Missing(clip(&path(node)).into_owned())
}

/// How a field is reached, as it would be written.
fn path(node: &Node) -> String {
    match &node.kind {
        Kind::Field(field) => format!("event.{}", field.name()),
        Kind::Event => "event".into(),
        Kind::Select(from, name) => format!("{}.{name}", path(from)),
        Kind::Index(from, index) => match &index.kind {
            Kind::Literal(Literal::Int(index)) => format!("{}[{index}]", path(from)),
            Kind::Literal(Literal::Text(name)) => format!("{}[\"{name}\"]", path(from)),
            _ => format!("{}[…]", path(from)),
        },
        _ => "…".into(),
    }
}

/// The error of an operator between values it does not join.
pub(super) fn mismatch(
    at: Position,
    operator: Operator,
    left: &Term<'_>,
    right: &Term<'_>,
) -> EvaluationError {
    let hint = if left.number().is_some() && right.number().is_some() {
        "; make both the same with `int(…)` or `double(…)`"
    } else {
        ""
    };
    at.failed(format!(
        "`{}` does not join {} and {}{hint}",
        operator.mark(),
        shown(left),
        shown(right)
    ))
}

/// A value for an error text: its type, and what it is when that is short.
pub(super) fn shown(term: &Term<'_>) -> String {
    let name = term.type_name();
    match term {
        Term::Null => name.into(),
        Term::Bool(bool) => format!("{name} {bool}"),
        Term::Int(number) => format!("{name} {number}"),
        Term::Uint(number) => format!("{name} {number}"),
        Term::Double(number) => format!("{name} {number:?}"),
        Term::Text(text) => format!("{name} {:?}", clip(text)),
        Term::Bytes(_)
        | Term::Array(_)
        | Term::List(_)
        | Term::Object(_)
        | Term::Record(_)
        | Term::Timestamp(_)
        | Term::Duration(_) => format!("a {name}"),
    }
}
