//! `+ - * / %`, and the sign.
//!
//! Numbers of different kinds do not add up, as CEL has it; every overflow and division of a whole number
//! by zero is an error. Text, bytes and lists are put together, times moved and subtracted.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "arithmetic takes few operators and types; every other is refused alike"
)]

use super::Position;
use super::evaluate::{Machine, Outcome};
use super::report::{mismatch, shown};
use super::term::Term;
use super::tree::Operator;

/// `-term`
///
/// # Errors
/// When it is no number with a sign, or the least int.
pub(super) fn negate<'a>(at: Position, term: &Term<'a>) -> Outcome<Term<'a>> {
    let negated = match term {
        Term::Int(number) => number.checked_neg().map(Term::Int),
        Term::Double(number) => Some(Term::Double(-number)),
        _ => None,
    };
    negated.ok_or_else(|| at.failed(format!("`-` does not take {}", shown(term))))
}

/// `+ - * / %`
///
/// # Errors
/// When the operator does not join the two, by overflow, or by division by zero.
pub(super) fn join<'a>(
    machine: &mut Machine<'a>,
    at: Position,
    operator: Operator,
    left: &Term<'a>,
    right: &Term<'a>,
) -> Outcome<Term<'a>> {
    let result = match (left, right) {
        (Term::Int(left), Term::Int(right)) => whole(operator, *left, *right).map(Term::Int),
        (Term::Uint(left), Term::Uint(right)) => natural(operator, *left, *right).map(Term::Uint),
        (Term::Double(left), Term::Double(right)) => {
            return fraction(operator, *left, *right)
                .ok_or_else(|| at.failed("`%` takes whole numbers"));
        }
        _ => return join_others(machine, at, operator, left, right),
    };
    result.ok_or_else(|| {
        at.failed(format!(
            "{} {} {} overflows or divides by zero",
            shown(left),
            operator.mark(),
            shown(right)
        ))
    })
}

fn whole(operator: Operator, left: i64, right: i64) -> Option<i64> {
    match operator {
        Operator::Add => left.checked_add(right),
        Operator::Subtract => left.checked_sub(right),
        Operator::Multiply => left.checked_mul(right),
        Operator::Divide => left.checked_div(right),
        Operator::Remainder => left.checked_rem(right),
        _ => None,
    }
}

fn natural(operator: Operator, left: u64, right: u64) -> Option<u64> {
    match operator {
        Operator::Add => left.checked_add(right),
        Operator::Subtract => left.checked_sub(right),
        Operator::Multiply => left.checked_mul(right),
        Operator::Divide => left.checked_div(right),
        Operator::Remainder => left.checked_rem(right),
        _ => None,
    }
}

fn fraction<'a>(operator: Operator, left: f64, right: f64) -> Option<Term<'a>> {
    match operator {
        Operator::Add => Some(Term::Double(left + right)),
        Operator::Subtract => Some(Term::Double(left - right)),
        Operator::Multiply => Some(Term::Double(left * right)),
        Operator::Divide => Some(Term::Double(left / right)),
        _ => None,
    }
}

/// Text, bytes and lists put together; times moved and subtracted.
fn join_others<'a>(
    machine: &mut Machine<'a>,
    at: Position,
    operator: Operator,
    left: &Term<'a>,
    right: &Term<'a>,
) -> Outcome<Term<'a>> {
    use Operator::{Add, Subtract};
    let found = match (operator, left, right) {
        (Add, Term::Text(left), Term::Text(right)) => {
            machine.make(left.len().saturating_add(right.len()), 0)?;
            Some(Term::made([&**left, &**right].concat()))
        }
        (Add, Term::Bytes(left), Term::Bytes(right)) => {
            machine.make(left.len().saturating_add(right.len()), 0)?;
            Some(Term::Bytes([&**left, &**right].concat().into()))
        }
        (Add, Term::Timestamp(time), Term::Duration(by))
        | (Add, Term::Duration(by), Term::Timestamp(time)) => {
            time.checked_add(*by).ok().map(Term::Timestamp)
        }
        (Add, Term::Duration(left), Term::Duration(right)) => {
            left.checked_add(*right).map(Term::Duration)
        }
        (Subtract, Term::Timestamp(time), Term::Duration(by)) => {
            time.checked_sub(*by).ok().map(Term::Timestamp)
        }
        (Subtract, Term::Timestamp(left), Term::Timestamp(right)) => {
            Some(Term::Duration(left.duration_since(*right)))
        }
        (Subtract, Term::Duration(left), Term::Duration(right)) => {
            left.checked_sub(*right).map(Term::Duration)
        }
        (Add, left, right) if !left.is_map() && !right.is_map() => {
            match (left.each(), right.each()) {
                (Some(first), Some(second)) => {
                    machine.make(0, left.len().unwrap_or(0) + right.len().unwrap_or(0))?;
                    Some(Term::List(first.chain(second).collect()))
                }
                _ => None,
            }
        }
        _ => None,
    };
    found.ok_or_else(|| mismatch(at, operator, left, right))
}
