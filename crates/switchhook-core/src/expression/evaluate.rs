//! What an expression comes to, for one event, within a budget.
//!
//! Each part evaluated costs a step, and so does each item passed over, compared or looked through (text:
//! each [`BYTES_PER_STEP`]). What is made costs memory. Both budgets only ever shrink during one
//! evaluation, and no `||`, `&&` or comprehension forgives that they ran out.
//!
//! As CEL has it, `&&`, `||`, `all` and `exists` forgive any other error when another part decides the
//! result. Beyond CEL: a field of something that is no map is missing, and `has` is false wherever its
//! path breaks off; bodies often hold `null` where an object may stand.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::arithmetic;
use super::call;
use super::report::{mismatch, missing, shown};
use super::term::{Key, Term, Text};
use super::tree::{Field, Fold, Kind, Literal, Node, Operator, Way};
use super::{EvaluationError, MADE_BYTES_MAX, Position, STEPS_MAX, Subject};

/// How much text is compared or searched for one step.
const BYTES_PER_STEP: usize = 32;
/// What an error costs that does not end the evaluation, in steps: its text has to be made.
const FORGIVEN_STEPS: usize = 16;
/// What a function, or text made of an id or a time, costs beside what it reads, in steps.
const CALL_STEPS: usize = 4;
/// What an item of a list or map costs, in bytes, beside the text it holds.
const ITEM_BYTES: usize = 64;

/// The outcome of a part.
pub(super) type Outcome<T> = Result<T, EvaluationError>;

/// One evaluation.
pub(super) struct Machine<'a> {
    subject: &'a Subject<'a>,
    locals: Vec<Term<'a>>,
    steps_left: usize,
    made_bytes_left: usize,
}

impl<'a> Machine<'a> {
    /// With the whole budget.
    pub(super) const fn new(subject: &'a Subject<'a>) -> Self {
        Self {
            subject,
            locals: Vec::new(),
            steps_left: STEPS_MAX,
            made_bytes_left: MADE_BYTES_MAX,
        }
    }

    /// Takes `steps` from the budget.
    pub(super) const fn spend(&mut self, steps: usize) -> Outcome<()> {
        match self.steps_left.checked_sub(steps) {
            Some(left) => {
                self.steps_left = left;
                Ok(())
            }
            None => {
                self.steps_left = 0;
                Err(EvaluationError::Steps)
            }
        }
    }

    /// Pays for reading through `bytes` bytes of text.
    pub(super) const fn read(&mut self, bytes: usize) -> Outcome<()> {
        self.spend(bytes / BYTES_PER_STEP)
    }

    /// Pays for making `bytes` bytes of text and `items` items.
    pub(super) fn make(&mut self, bytes: usize, items: usize) -> Outcome<()> {
        let cost = bytes.saturating_add(items.saturating_mul(ITEM_BYTES));
        match self.made_bytes_left.checked_sub(cost) {
            Some(left) => {
                self.made_bytes_left = left;
                self.read(cost)
            }
            None => {
                self.made_bytes_left = 0;
                Err(EvaluationError::Memory)
            }
        }
    }

    /// What `node` comes to.
    pub(super) fn evaluate(&mut self, node: &'a Node) -> Outcome<Term<'a>> {
        self.spend(1)?;
        match &node.kind {
            Kind::Literal(literal) => Ok(constant(literal)),
            Kind::Event => self.event(),
            Kind::Field(field) => self.field(*field),
            Kind::HasField(field) => {
                let term = self.field(*field)?;
                Ok(Term::Bool(!matches!(term, Term::Null)))
            }
            Kind::Local(slot) => Ok(self.locals.get(*slot).cloned().unwrap_or(Term::Null)),
            Kind::Select(map, name) => {
                let map = self.evaluate(map)?;
                map.member(name).ok_or_else(|| missing(node))
            }
            Kind::Has(map, name) => match self.evaluate(map) {
                Ok(map) => Ok(Term::Bool(map.member(name).is_some())),
                Err(EvaluationError::Missing(_)) => {
                    self.spend(FORGIVEN_STEPS)?;
                    Ok(Term::Bool(false))
                }
                Err(error) => Err(error),
            },
            Kind::Index(from, index) => {
                let from = self.evaluate(from)?;
                let index = self.evaluate(index)?;
                look_up(&from, &index).ok_or_else(|| missing(node))
            }
            Kind::Not(inner) => self.condition(inner, "!").map(|bool| Term::Bool(!bool)),
            Kind::Negate(inner) => {
                let term = self.evaluate(inner)?;
                arithmetic::negate(node.at, &term)
            }
            Kind::Every(parts) => self.decide(parts, "&&", false),
            Kind::Some(parts) => self.decide(parts, "||", true),
            Kind::Binary(operator, left, right) => {
                let left = self.evaluate(left)?;
                let right = self.evaluate(right)?;
                self.binary(node.at, *operator, &left, &right)
            }
            Kind::Choice(parts) => {
                let [condition, then, otherwise] = &**parts;
                let chosen = if self.condition(condition, "? :")? {
                    then
                } else {
                    otherwise
                };
                self.evaluate(chosen)
            }
            Kind::List(items) => {
                self.make(0, items.len())?;
                let items = items.iter().map(|item| self.evaluate(item));
                Ok(Term::List(items.collect::<Outcome<_>>()?))
            }
            Kind::Map(entries) => self.map(entries),
            Kind::Call(function, arguments) => {
                self.spend(CALL_STEPS)?;
                let arguments = arguments.iter().map(|argument| self.evaluate(argument));
                let arguments: Vec<Term<'a>> = arguments.collect::<Outcome<_>>()?;
                call::call(self, node.at, *function, &arguments)
            }
            Kind::Fold(fold) => self.fold(node.at, fold),
        }
    }

    /// A part that must be a boolean.
    fn condition(&mut self, node: &'a Node, what: &str) -> Outcome<bool> {
        let term = self.evaluate(node)?;
        if let Term::Bool(bool) = term {
            return Ok(bool);
        }
        let shown = shown(&term);
        let message = format!("`{what}` needs a bool here and found {shown}");
        Err(node.at.failed(message))
    }

    /// `&&` and `||`: the first part that is `decider` settles it, whatever failed before.
    fn decide(&mut self, parts: &'a [Node], what: &str, decider: bool) -> Outcome<Term<'a>> {
        let mut verdict = Verdict::new(decider);
        for part in parts {
            let outcome = self.condition(part, what);
            if self.settles(&mut verdict, outcome)? {
                break;
            }
        }
        verdict.term()
    }

    /// Adds one outcome to `verdict`; true when it settles the matter.
    fn settles(&mut self, verdict: &mut Verdict, outcome: Outcome<bool>) -> Outcome<bool> {
        if outcome.is_err() {
            self.spend(FORGIVEN_STEPS)?;
        }
        verdict.take(outcome)
    }

    /// The whole event.
    fn event(&mut self) -> Outcome<Term<'a>> {
        self.make(0, Field::ALL.len())?;
        let members = Field::ALL.into_iter().map(|field| {
            let term = self.field(field)?;
            Ok((Key::Text(Text::Of(field.name())), term))
        });
        Ok(Term::Record(Arc::new(members.collect::<Outcome<_>>()?)))
    }

    fn field(&mut self, field: Field) -> Outcome<Term<'a>> {
        let event = self.subject.event();
        Ok(match field {
            Field::Type => Term::text(&event.kind),
            Field::Source => Term::text(&event.source),
            Field::Time => {
                self.spend(CALL_STEPS)?;
                Term::made(crate::time::rfc3339(event.received_at))
            }
            Field::Id => {
                self.spend(CALL_STEPS)?;
                Term::made(event.id.to_string())
            }
            Field::Key => event.key.as_deref().map_or(Term::Null, Term::text),
            Field::Headers => {
                self.make(0, event.headers.len())?;
                let mut headers = BTreeMap::new();
                for (name, value) in event.headers.iter() {
                    headers
                        .entry(Key::Text(Text::Of(name)))
                        .or_insert_with(|| Term::text(value));
                }
                Term::Record(Arc::new(headers))
            }
            Field::Data => self.subject.json().map_or(Term::Null, Term::from),
        })
    }

    fn map(&mut self, entries: &'a [(Node, Node)]) -> Outcome<Term<'a>> {
        self.make(0, entries.len())?;
        let mut members = BTreeMap::new();
        for (key, value) in entries {
            let found = self.evaluate(key)?;
            let name = found.key().ok_or_else(|| {
                let shown = shown(&found);
                key.at.failed(format!("{shown} cannot be the key of a map"))
            })?;
            let value = self.evaluate(value)?;
            if members.insert(name, value).is_some() {
                let shown = shown(&found);
                return Err(key.at.failed(format!("the map has the key {shown} twice")));
            }
        }
        Ok(Term::Record(Arc::new(members)))
    }

    fn fold(&mut self, at: Position, fold: &'a Fold) -> Outcome<Term<'a>> {
        let over = self.evaluate(&fold.over)?;
        let each = over.each().ok_or_else(|| {
            at.failed(format!(
                "only a list or map can be passed over, not {}",
                shown(&over)
            ))
        })?;
        let mut verdict = Verdict::new(fold.way == Way::Exists);
        let mut made = Vec::new();
        let mut count = 0_usize;
        for item in each {
            self.spend(1)?;
            self.locals.push(item.clone());
            let step = self.fold_step(fold);
            self.locals.pop();
            match (fold.way, step) {
                (Way::All | Way::Exists, step) => {
                    let holds = step.map(|found| matches!(found, Some(Term::Bool(true))));
                    if self.settles(&mut verdict, holds)? {
                        break;
                    }
                }
                (_, Err(error)) => return Err(error),
                (_, Ok(None)) => {}
                (Way::ExistsOne, Ok(Some(found))) => {
                    count += usize::from(matches!(found, Term::Bool(true)));
                }
                (Way::Filter, Ok(Some(found))) => {
                    if matches!(found, Term::Bool(true)) {
                        self.make(0, 1)?;
                        made.push(item);
                    }
                }
                (Way::Map, Ok(Some(found))) => {
                    self.make(0, 1)?;
                    made.push(found);
                }
            }
        }
        match fold.way {
            Way::All | Way::Exists => verdict.term(),
            Way::ExistsOne => Ok(Term::Bool(count == 1)),
            Way::Filter | Way::Map => Ok(Term::List(made.into())),
        }
    }

    /// What the body of a comprehension makes of the present item; `None` when `map` leaves it out.
    fn fold_step(&mut self, fold: &'a Fold) -> Outcome<Option<Term<'a>>> {
        if let Some(only) = &fold.only
            && !self.condition(only, "map")?
        {
            return Ok(None);
        }
        if fold.way == Way::Map {
            return self.evaluate(&fold.body).map(Some);
        }
        self.condition(&fold.body, "all, exists or filter")
            .map(|bool| Some(Term::Bool(bool)))
    }

    fn binary(
        &mut self,
        at: Position,
        operator: Operator,
        left: &Term<'a>,
        right: &Term<'a>,
    ) -> Outcome<Term<'a>> {
        let ordered = |machine: &mut Self, fits: fn(Ordering) -> bool| {
            let order = machine.order(at, operator, left, right)?;
            Ok(Term::Bool(order.is_some_and(fits)))
        };
        match operator {
            Operator::Equal => self.same(left, right).map(Term::Bool),
            Operator::NotEqual => self.same(left, right).map(|same| Term::Bool(!same)),
            Operator::Less => ordered(self, Ordering::is_lt),
            Operator::LessOrEqual => ordered(self, Ordering::is_le),
            Operator::Greater => ordered(self, Ordering::is_gt),
            Operator::GreaterOrEqual => ordered(self, Ordering::is_ge),
            Operator::In => self.is_in(at, left, right),
            Operator::Add
            | Operator::Subtract
            | Operator::Multiply
            | Operator::Divide
            | Operator::Remainder => arithmetic::join(self, at, operator, left, right),
        }
    }

    /// Whether the two are equal; values of different types never are, numbers compare as numbers.
    pub(super) fn same(&mut self, left: &Term<'a>, right: &Term<'a>) -> Outcome<bool> {
        self.spend(1)?;
        if let (Some(left), Some(right)) = (left.number(), right.number()) {
            return Ok(left.order(right) == Some(Ordering::Equal));
        }
        match (left, right) {
            (Term::Null, Term::Null) => Ok(true),
            (Term::Bool(left), Term::Bool(right)) => Ok(left == right),
            (Term::Text(left), Term::Text(right)) => {
                self.read(left.len().min(right.len()))?;
                Ok(left == right)
            }
            (Term::Bytes(left), Term::Bytes(right)) => {
                self.read(left.len().min(right.len()))?;
                Ok(left == right)
            }
            (Term::Timestamp(left), Term::Timestamp(right)) => Ok(left == right),
            (Term::Duration(left), Term::Duration(right)) => Ok(left == right),
            _ => self.same_items(left, right),
        }
    }

    /// Whether two lists, or two maps, hold the same.
    fn same_items(&mut self, left: &Term<'a>, right: &Term<'a>) -> Outcome<bool> {
        let (Some(count), Some(others)) = (left.len(), right.len()) else {
            return Ok(false);
        };
        if left.is_map() != right.is_map() || count != others {
            return Ok(false);
        }
        let Some(each) = left.each() else {
            return Ok(false);
        };
        for (index, found) in each.enumerate() {
            let pair = if left.is_map() {
                found
                    .key()
                    .and_then(|key| left.at_key(&key).zip(right.at_key(&key)))
            } else {
                right.item(index).map(|other| (found, other))
            };
            let Some((one, other)) = pair else {
                return Ok(false);
            };
            if !self.same(&one, &other)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// How two values of one type compare; `None` with NaN.
    fn order(
        &mut self,
        at: Position,
        operator: Operator,
        left: &Term<'a>,
        right: &Term<'a>,
    ) -> Outcome<Option<Ordering>> {
        if let (Some(left), Some(right)) = (left.number(), right.number()) {
            return Ok(left.order(right));
        }
        Ok(Some(match (left, right) {
            (Term::Bool(left), Term::Bool(right)) => left.cmp(right),
            (Term::Text(left), Term::Text(right)) => {
                self.read(left.len().min(right.len()))?;
                left.cmp(right)
            }
            (Term::Bytes(left), Term::Bytes(right)) => {
                self.read(left.len().min(right.len()))?;
                left.cmp(right)
            }
            (Term::Timestamp(left), Term::Timestamp(right)) => left.cmp(right),
            (Term::Duration(left), Term::Duration(right)) => left.cmp(right),
            _ => return Err(mismatch(at, operator, left, right)),
        }))
    }

    fn is_in(&mut self, at: Position, item: &Term<'a>, within: &Term<'a>) -> Outcome<Term<'a>> {
        if within.is_map() {
            let key = item.key();
            if key.is_none() && item.number().is_none() {
                return Err(mismatch(at, Operator::In, item, within));
            }
            let found = key.and_then(|key| within.at_key(&key));
            return Ok(Term::Bool(found.is_some()));
        }
        let Some(each) = within.each() else {
            return Err(mismatch(at, Operator::In, item, within));
        };
        for other in each {
            if self.same(item, &other)? {
                return Ok(Term::Bool(true));
            }
        }
        Ok(Term::Bool(false))
    }
}

/// The fold of booleans that one of them settles.
struct Verdict {
    decider: bool,
    settled: bool,
    failed: Option<EvaluationError>,
}

impl Verdict {
    const fn new(decider: bool) -> Self {
        Self {
            decider,
            settled: false,
            failed: None,
        }
    }

    /// Takes one outcome; true when it settles the matter. A spent budget settles it as an error.
    fn take(&mut self, outcome: Outcome<bool>) -> Outcome<bool> {
        match outcome {
            Ok(bool) => self.settled = bool == self.decider,
            Err(error) if error.is_final() => return Err(error),
            Err(error) => {
                self.failed.get_or_insert(error);
            }
        }
        Ok(self.settled)
    }

    fn term<'a>(self) -> Outcome<Term<'a>> {
        match self.failed {
            Some(error) if !self.settled => Err(error),
            Some(_) | None => Ok(Term::Bool(self.settled == self.decider)),
        }
    }
}

/// The value of a constant.
fn constant(literal: &Literal) -> Term<'_> {
    match literal {
        Literal::Null => Term::Null,
        Literal::Bool(bool) => Term::Bool(*bool),
        Literal::Int(number) => Term::Int(*number),
        Literal::Uint(number) => Term::Uint(*number),
        Literal::Double(number) => Term::Double(*number),
        Literal::Text(text) => Term::text(text),
        Literal::Bytes(bytes) => Term::Bytes(Arc::clone(bytes)),
    }
}

/// An item of a list, or the member of a map under a key.
fn look_up<'a>(from: &Term<'a>, index: &Term<'a>) -> Option<Term<'a>> {
    let key = index.key()?;
    if from.is_map() {
        return from.at_key(&key);
    }
    let Key::Whole(index) = key else {
        return None;
    };
    from.item(usize::try_from(index).ok()?)
}
