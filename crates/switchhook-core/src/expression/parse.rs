//! From tokens to a tree, after the grammar of the CEL language definition.
//!
//! The parser calls itself once for each bracket, sign, or `? :` inside another; it refuses more than
//! [`NESTING_MAX`] of them, and a tree higher than [`HEIGHT_MAX`] (a chain such as `a + a + …` is high
//! without being nested). So neither reading nor evaluating nor dropping an expression can run out of
//! stack. Names, functions and their number of arguments are checked here.

use super::call::Function;
use super::token::{Token, tokens};
use super::tree::{Field, Fold, Kind, Literal, Node, Operator, Way};
use super::{ExpressionError, Position};

/// Most brackets, signs and choices inside one another. People nest fewer than ten.
pub(super) const NESTING_MAX: usize = 48;
/// Most parts on the way from the whole expression to any part of it.
pub(super) const HEIGHT_MAX: u16 = 128;
/// Most comprehensions inside one another: three make a cubic cost, which the step budget then ends.
pub(super) const FOLD_NESTING_MAX: usize = 3;
/// Most comprehensions in one expression.
pub(super) const FOLDS_MAX: usize = 32;

/// Words that CEL keeps for itself.
const RESERVED: [&str; 17] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "in",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "while",
];

/// The tree of `text`.
///
/// # Errors
/// At the first thing that does not fit.
pub(super) fn parse(text: &str) -> Result<Node, ExpressionError> {
    let mut parser = Parser {
        tokens: tokens(text)?,
        next: 0,
        nesting: 0,
        folds: 0,
        locals: Vec::new(),
    };
    let node = parser.expression()?;
    if *parser.peek() == Token::End {
        Ok(node)
    } else {
        Err(parser.unexpected("an operator or the end"))
    }
}

struct Parser<'t> {
    tokens: Vec<(Token<'t>, Position)>,
    next: usize,
    nesting: usize,
    folds: usize,
    locals: Vec<&'t str>,
}

type Parsed<T = Node> = Result<T, ExpressionError>;

impl<'t> Parser<'t> {
    fn peek(&self) -> &Token<'t> {
        self.tokens
            .get(self.next)
            .map_or(&Token::End, |(token, _)| token)
    }

    fn at(&self) -> Position {
        self.tokens
            .get(self.next)
            .or(self.tokens.last())
            .map_or(Position::START, |(_, at)| *at)
    }

    /// Takes `mark` if it is next.
    fn take(&mut self, mark: &str) -> bool {
        let found = matches!(self.peek(), Token::Mark(found) if *found == mark);
        self.next += usize::from(found);
        found
    }

    fn expect(&mut self, mark: &str) -> Parsed<()> {
        if self.take(mark) {
            Ok(())
        } else {
            Err(self.unexpected(&format!("`{mark}`")))
        }
    }

    fn unexpected(&self, wanted: &str) -> ExpressionError {
        let found = match self.peek() {
            Token::Int(_) | Token::Uint(_) | Token::Double(_) => "a number".into(),
            Token::Text(_) | Token::Bytes(_) => "a string".into(),
            Token::Name(name) => format!("`{}`", super::clip(name)),
            Token::Mark("=") => "`=` (to compare, write `==`)".into(),
            Token::Mark(mark) => format!("`{mark}`"),
            Token::End => "the end".into(),
        };
        self.at()
            .error(format!("{found} where {wanted} should stand"))
    }

    /// A node over `children`.
    fn node(at: Position, children: &[u16], kind: Kind) -> Parsed {
        let height = children.iter().max().map_or(1, |height| height + 1);
        if height > HEIGHT_MAX {
            return Err(at.error(format!(
                "the expression chains more than {HEIGHT_MAX} parts; split it"
            )));
        }
        Ok(Node { at, height, kind })
    }

    /// Runs `inner` one level deeper.
    fn nested<T>(&mut self, inner: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.nesting == NESTING_MAX {
            return Err(self.at().error(format!(
                "the expression nests more than {NESTING_MAX} deep; split it"
            )));
        }
        self.nesting += 1;
        let result = inner(self);
        self.nesting -= 1;
        result
    }

    /// A choice or anything that binds tighter.
    fn expression(&mut self) -> Parsed {
        let condition = self.some()?;
        if !self.take("?") {
            return Ok(condition);
        }
        let then = self.nested(Self::expression)?;
        self.expect(":")?;
        let otherwise = self.nested(Self::expression)?;
        let heights = [condition.height, then.height, otherwise.height];
        Self::node(
            condition.at,
            &heights,
            Kind::Choice(Box::new([condition, then, otherwise])),
        )
    }

    fn some(&mut self) -> Parsed {
        self.chain("||", Self::every, Kind::Some)
    }

    fn every(&mut self) -> Parsed {
        self.chain("&&", |parser| parser.binary(0), Kind::Every)
    }

    /// Parts joined by `mark`, in one node however many there are.
    fn chain(
        &mut self,
        mark: &str,
        part: impl Fn(&mut Self) -> Parsed,
        kind: fn(Vec<Node>) -> Kind,
    ) -> Parsed {
        let first = part(self)?;
        if !matches!(self.peek(), Token::Mark(found) if *found == mark) {
            return Ok(first);
        }
        let at = first.at;
        let mut parts = vec![first];
        while self.take(mark) {
            parts.push(part(self)?);
        }
        let heights: Vec<u16> = parts.iter().map(|part| part.height).collect();
        Self::node(at, &heights, kind(parts))
    }

    /// Operators that bind at least as tightly as `level`; equal ones group to the left.
    fn binary(&mut self, level: u8) -> Parsed {
        let mut left = self.unary()?;
        while let Some((operator, binds)) = self.operator() {
            if binds < level {
                break;
            }
            let at = self.at();
            self.next += 1;
            let right = self.binary(binds + 1)?;
            let heights = [left.height, right.height];
            let kind = Kind::Binary(operator, Box::new(left), Box::new(right));
            left = Self::node(at, &heights, kind)?;
        }
        Ok(left)
    }

    /// The operator that is next, and how tightly it binds.
    fn operator(&self) -> Option<(Operator, u8)> {
        let mark = match self.peek() {
            Token::Name("in") => "in",
            Token::Mark(mark) => mark,
            Token::Int(_)
            | Token::Uint(_)
            | Token::Double(_)
            | Token::Text(_)
            | Token::Bytes(_)
            | Token::Name(_)
            | Token::End => return None,
        };
        Operator::from_mark(mark)
    }

    fn unary(&mut self) -> Parsed {
        let at = self.at();
        if self.take("!") {
            let inner = self.nested(Self::unary)?;
            return Self::node(at, &[inner.height], Kind::Not(Box::new(inner)));
        }
        if self.take("-") {
            if let Token::Int(magnitude) = *self.peek() {
                self.next += 1;
                let literal = 0_i64.checked_sub_unsigned(magnitude);
                let literal = self.literal(at, literal.map(Literal::Int))?;
                return self.postfix(literal);
            }
            let inner = self.nested(Self::unary)?;
            return Self::node(at, &[inner.height], Kind::Negate(Box::new(inner)));
        }
        let primary = self.primary()?;
        self.postfix(primary)
    }

    fn literal(&self, at: Position, literal: Option<Literal>) -> Parsed {
        let literal = literal.ok_or_else(|| {
            at.error("an int lies between -2^63 and 2^63-1; write `u` behind a larger one")
        })?;
        Self::node(at, &[], Kind::Literal(literal))
    }

    /// Members, items and calls behind `node`.
    fn postfix(&mut self, mut node: Node) -> Parsed {
        loop {
            let at = self.at();
            node = if self.take(".") {
                let Token::Name(name) = *self.peek() else {
                    return Err(self.unexpected("a field name"));
                };
                self.next += 1;
                if self.take("(") {
                    self.member_call(at, node, name)?
                } else {
                    Self::select(at, node, name)?
                }
            } else if self.take("[") {
                let index = self.nested(Self::expression)?;
                self.expect("]")?;
                let heights = [node.height, index.height];
                Self::node(at, &heights, Kind::Index(Box::new(node), Box::new(index)))?
            } else {
                return Ok(node);
            };
        }
    }

    fn select(at: Position, node: Node, name: &str) -> Parsed {
        if matches!(node.kind, Kind::Event) {
            let field = Field::from_name(name).ok_or_else(|| {
                let known = Field::ALL.map(Field::name).join(", ");
                at.error(format!(
                    "an event has no `{}`; it has {known} (a field of the body is `event.data.{}`)",
                    super::clip(name),
                    super::clip(name)
                ))
            })?;
            return Self::node(at, &[], Kind::Field(field));
        }
        let height = node.height;
        Self::node(at, &[height], Kind::Select(Box::new(node), name.into()))
    }

    /// `node.name(…)`, with its bracket already taken.
    fn member_call(&mut self, at: Position, node: Node, name: &'t str) -> Parsed {
        if let Some(way) = Way::from_name(name) {
            return self.fold(at, node, way, name);
        }
        let mut arguments = vec![node];
        arguments.extend(self.list(")")?);
        Self::call(at, name, true, arguments)
    }

    fn call(at: Position, name: &str, member: bool, arguments: Vec<Node>) -> Parsed {
        let function =
            Function::find(name, member, arguments.len()).map_err(|why| at.error(why))?;
        let heights: Vec<u16> = arguments.iter().map(|node| node.height).collect();
        Self::node(at, &heights, Kind::Call(function, arguments))
    }

    /// `over.name(variable, body)`, with its bracket already taken.
    fn fold(&mut self, at: Position, over: Node, way: Way, name: &str) -> Parsed {
        self.folds += 1;
        if self.folds > FOLDS_MAX || self.locals.len() == FOLD_NESTING_MAX {
            return Err(at.error(format!(
                "at most {FOLDS_MAX} of all, exists, exists_one, filter and map, and at most \
                 {FOLD_NESTING_MAX} inside one another"
            )));
        }
        let Token::Name(variable) = *self.peek() else {
            return Err(self.unexpected(&format!("the variable of `{name}`")));
        };
        if RESERVED.contains(&variable) || ["event", "true", "false", "null"].contains(&variable) {
            return Err(self
                .at()
                .error(format!("`{variable}` cannot be a variable")));
        }
        self.next += 1;
        self.expect(",")?;
        self.locals.push(variable);
        let inner = self.list(")");
        self.locals.pop();
        let mut inner = inner?.into_iter();
        let (only, body) = match (inner.next(), inner.next(), inner.next()) {
            (Some(body), None, None) => (None, body),
            (Some(only), Some(body), None) if way == Way::Map => (Some(only), body),
            _ => {
                return Err(at.error(format!(
                    "`{name}` takes a variable and an expression, as in `list.{name}(x, x > 1)`"
                )));
            }
        };
        let heights = [
            over.height,
            only.as_ref().map_or(0, |only| only.height),
            body.height,
        ];
        let fold = Fold {
            way,
            over,
            only,
            body,
        };
        Self::node(at, &heights, Kind::Fold(Box::new(fold)))
    }

    /// Expressions with commas between them, up to and with `end`; a last comma may stand alone.
    fn list(&mut self, end: &str) -> Parsed<Vec<Node>> {
        let mut items = Vec::new();
        loop {
            if self.take(end) {
                return Ok(items);
            }
            items.push(self.nested(Self::expression)?);
            if !self.take(",") {
                self.expect(end)?;
                return Ok(items);
            }
        }
    }

    fn primary(&mut self) -> Parsed {
        let at = self.at();
        let token = self.peek().clone();
        self.next += 1;
        match token {
            Token::Int(number) => self.literal(at, i64::try_from(number).ok().map(Literal::Int)),
            Token::Uint(number) => self.literal(at, Some(Literal::Uint(number))),
            Token::Double(number) => self.literal(at, Some(Literal::Double(number))),
            Token::Text(text) => self.literal(at, Some(Literal::Text(text.into()))),
            Token::Bytes(bytes) => self.literal(at, Some(Literal::Bytes(bytes.into()))),
            Token::Name(name) => self.name(at, name),
            Token::Mark("(") => {
                let inner = self.nested(Self::expression)?;
                self.expect(")")?;
                Ok(inner)
            }
            Token::Mark("[") => {
                let items = self.list("]")?;
                let heights: Vec<u16> = items.iter().map(|node| node.height).collect();
                Self::node(at, &heights, Kind::List(items))
            }
            Token::Mark("{") => self.map(at),
            Token::Mark(_) | Token::End => {
                self.next -= 1;
                Err(self.unexpected("a value"))
            }
        }
    }

    fn map(&mut self, at: Position) -> Parsed {
        let mut entries = Vec::new();
        while !self.take("}") {
            let key = self.nested(Self::expression)?;
            self.expect(":")?;
            entries.push((key, self.nested(Self::expression)?));
            if !self.take(",") {
                self.expect("}")?;
                break;
            }
        }
        let heights: Vec<u16> = entries
            .iter()
            .map(|(key, value)| key.height.max(value.height))
            .collect();
        Self::node(at, &heights, Kind::Map(entries))
    }

    fn name(&mut self, at: Position, name: &'t str) -> Parsed {
        match name {
            "true" => return self.literal(at, Some(Literal::Bool(true))),
            "false" => return self.literal(at, Some(Literal::Bool(false))),
            "null" => return self.literal(at, Some(Literal::Null)),
            _ => {}
        }
        if self.take("(") {
            let arguments = self.list(")")?;
            return if name == "has" {
                Self::has(at, arguments)
            } else {
                Self::call(at, name, false, arguments)
            };
        }
        if let Some(slot) = self.locals.iter().rposition(|local| *local == name) {
            return Self::node(at, &[], Kind::Local(slot));
        }
        if name == "event" {
            return Self::node(at, &[], Kind::Event);
        }
        Err(at.error(format!(
            "there is no `{}`; an expression begins at `event`, as in `event.data.name`",
            super::clip(name)
        )))
    }

    fn has(at: Position, arguments: Vec<Node>) -> Parsed {
        let mut arguments = arguments.into_iter();
        match (arguments.next().map(|node| node.kind), arguments.next()) {
            (Some(Kind::Field(field)), None) => Self::node(at, &[], Kind::HasField(field)),
            (Some(Kind::Select(node, name)), None) => {
                Self::node(at, &[node.height], Kind::Has(node, name))
            }
            _ => Err(at.error("`has` takes a field, as in `has(event.data.name)`")),
        }
    }
}
