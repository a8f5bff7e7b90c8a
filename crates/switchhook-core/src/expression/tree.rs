//! The shape of a compiled expression.
//!
//! Names are resolved when it is compiled: what is left to find out is what only the event knows.

use std::sync::Arc;

use super::Position;
use super::call::Function;

/// A part of an expression.
#[derive(Debug)]
pub(super) struct Node {
    /// Where it was written.
    pub at: Position,
    /// How many parts lie below it on the longest way, with itself; at most `HEIGHT_MAX`.
    pub height: u16,
    /// What it is.
    pub kind: Kind,
}

/// What a part does.
#[derive(Debug)]
pub(super) enum Kind {
    /// A constant.
    Literal(Literal),
    /// The whole event as a map.
    Event,
    /// A field of the event.
    Field(Field),
    /// Whether the event has that field: it is not null.
    HasField(Field),
    /// The variable of the comprehension that is this many comprehensions deep, from 0.
    Local(usize),
    /// A member of a map.
    Select(Box<Node>, Box<str>),
    /// Whether a map has that member.
    Has(Box<Node>, Box<str>),
    /// An item of a list, or the member of a map under a computed key.
    Index(Box<Node>, Box<Node>),
    /// `!`
    Not(Box<Node>),
    /// `-`
    Negate(Box<Node>),
    /// `&&` over two or more.
    Every(Vec<Node>),
    /// `||` over two or more.
    Some(Vec<Node>),
    /// An operator with two sides.
    Binary(Operator, Box<Node>, Box<Node>),
    /// `condition ? then : otherwise`
    Choice(Box<[Node; 3]>),
    /// A list.
    List(Vec<Node>),
    /// A map of keys and values.
    Map(Vec<(Node, Node)>),
    /// A function; the value it is called on comes first.
    Call(Function, Vec<Node>),
    /// A comprehension.
    Fold(Box<Fold>),
}

/// A constant.
#[derive(Debug)]
pub(super) enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(Arc<str>),
    Bytes(Arc<[u8]>),
}

/// What `event` has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Type,
    Source,
    Time,
    Id,
    Key,
    Headers,
    Data,
}

impl Field {
    /// All of them.
    pub(super) const ALL: [Self; 7] = [
        Self::Type,
        Self::Source,
        Self::Time,
        Self::Id,
        Self::Key,
        Self::Headers,
        Self::Data,
    ];

    /// As it is written.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Type => "type",
            Self::Source => "source",
            Self::Time => "time",
            Self::Id => "id",
            Self::Key => "key",
            Self::Headers => "headers",
            Self::Data => "data",
        }
    }

    /// The field called `name`.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.name() == name)
    }
}

/// An operator with two sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
}

/// Every operator: how it is written, and how tightly it binds.
const OPERATORS: [(&str, u8, Operator); 12] = [
    ("in", 0, Operator::In),
    ("==", 0, Operator::Equal),
    ("!=", 0, Operator::NotEqual),
    ("<", 0, Operator::Less),
    ("<=", 0, Operator::LessOrEqual),
    (">", 0, Operator::Greater),
    (">=", 0, Operator::GreaterOrEqual),
    ("+", 1, Operator::Add),
    ("-", 1, Operator::Subtract),
    ("*", 2, Operator::Multiply),
    ("/", 2, Operator::Divide),
    ("%", 2, Operator::Remainder),
];

impl Operator {
    /// As it is written.
    pub(super) fn mark(self) -> &'static str {
        OPERATORS
            .iter()
            .find(|(.., operator)| *operator == self)
            .map_or("", |(mark, ..)| mark)
    }

    /// The operator written `mark`, and how tightly it binds.
    pub(super) fn from_mark(mark: &str) -> Option<(Self, u8)> {
        OPERATORS
            .iter()
            .find(|(known, ..)| *known == mark)
            .map(|(_, binds, operator)| (*operator, *binds))
    }
}

/// A comprehension: something done with each item of a list, or each key of a map.
#[derive(Debug)]
pub(super) struct Fold {
    /// Which.
    pub way: Way,
    /// The list or map.
    pub over: Node,
    /// `map` with three arguments takes only items of which this holds.
    pub only: Option<Node>,
    /// What is worked out for each item.
    pub body: Node,
}

/// Which comprehension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    All,
    Exists,
    ExistsOne,
    Filter,
    Map,
}

impl Way {
    /// The comprehension called `name`.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "all" => Self::All,
            "exists" => Self::Exists,
            "exists_one" | "existsOne" => Self::ExistsOne,
            "filter" => Self::Filter,
            "map" => Self::Map,
            _ => return None,
        })
    }
}
