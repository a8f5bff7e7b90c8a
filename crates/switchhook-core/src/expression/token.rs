//! The tokens of an expression, after the lexical grammar of the CEL language definition.
//!
//! One pass over the text, which `compile` has bounded to 8 KiB. Strings come out with their escapes
//! resolved; a sign is a token of its own, so that `1-1` is a difference.

use super::{ExpressionError, Position};

/// One token.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token<'t> {
    /// A whole number without its sign.
    Int(u64),
    /// A whole number that ends in `u`.
    Uint(u64),
    /// A number with a fraction or an exponent.
    Double(f64),
    /// A string.
    Text(String),
    /// A string with the prefix `b`.
    Bytes(Vec<u8>),
    /// A name or a word of the language.
    Name(&'t str),
    /// An operator or bracket.
    Mark(&'static str),
    /// The end of the text.
    End,
}

/// All marks; a longer one stands before the mark it begins with.
const MARKS: [&str; 25] = [
    "<=", ">=", "==", "!=", "&&", "||", "(", ")", "[", "]", "{", "}", ".", ",", "?", ":", "+", "-",
    "*", "/", "%", "!", "<", ">", "=",
];

/// The tokens of `text` and where each begins; the last is [`Token::End`].
///
/// # Errors
/// At the first thing that is no token.
pub(super) fn tokens(text: &str) -> Result<Vec<(Token<'_>, Position)>, ExpressionError> {
    let mut scanner = Scanner {
        rest: text,
        at: Position::START,
    };
    let mut found = Vec::new();
    loop {
        scanner.skip_blank();
        let at = scanner.at;
        let token = scanner.next()?;
        let end = token == Token::End;
        found.push((token, at));
        if end {
            return Ok(found);
        }
    }
}

/// What is left of the text, and where that is.
struct Scanner<'t> {
    rest: &'t str,
    at: Position,
}

impl<'t> Scanner<'t> {
    fn next(&mut self) -> Result<Token<'t>, ExpressionError> {
        let Some(first) = self.rest.chars().next() else {
            return Ok(Token::End);
        };
        let second = self.rest.chars().nth(1);
        if first.is_ascii_digit() || (first == '.' && second.is_some_and(|c| c.is_ascii_digit())) {
            return self.number();
        }
        if let Some((raw, bytes, prefix)) = string_prefix(self.rest) {
            return self.string(raw, bytes, prefix);
        }
        if first.is_ascii_alphabetic() || first == '_' {
            let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            return Ok(Token::Name(self.take_while(word)));
        }
        for mark in MARKS {
            if self.rest.starts_with(mark) {
                self.take(mark.len());
                return Ok(Token::Mark(mark));
            }
        }
        Err(self.at.error(format!(
            "`{}` stands for nothing here",
            first.escape_debug()
        )))
    }

    /// Passes over white space and comments (`//` to the end of the line).
    fn skip_blank(&mut self) {
        loop {
            self.take_while(|c| matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0c'));
            if !self.rest.starts_with("//") {
                return;
            }
            self.take_while(|c| c != '\n');
        }
    }

    /// Takes `bytes` bytes, which end at a character boundary.
    fn take(&mut self, bytes: usize) -> &'t str {
        let (taken, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        self.at = self.at.after(taken);
        self.rest = rest;
        taken
    }

    fn take_while(&mut self, is_part: impl Fn(char) -> bool) -> &'t str {
        let end = self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len());
        self.take(end)
    }

    fn number(&mut self) -> Result<Token<'t>, ExpressionError> {
        let at = self.at;
        let refuse = |text: &str| at.error(format!("`{text}` is no number"));
        if self.rest.starts_with("0x") || self.rest.starts_with("0X") {
            self.take(2);
            let digits = self.take_while(|c| c.is_ascii_alphanumeric());
            let (digits, token) = unsigned(digits);
            return u64::from_str_radix(digits, 16)
                .map(token)
                .map_err(|_| refuse(digits));
        }
        let len = double_len(self.rest);
        let text = self.take(len);
        if text.contains(['.', 'e', 'E']) {
            let double: f64 = text.parse().map_err(|_| refuse(text))?;
            return Ok(Token::Double(double)).and_then(|token| self.apart(token));
        }
        let suffix = self.take_while(|c| matches!(c, 'u' | 'U'));
        let number = text.parse().map_err(|_| refuse(text))?;
        match suffix {
            "" => self.apart(Token::Int(number)),
            "u" | "U" => self.apart(Token::Uint(number)),
            other => Err(refuse(other)),
        }
    }

    /// Refuses a letter that follows a number at once, as in `1x`.
    fn apart(&self, token: Token<'t>) -> Result<Token<'t>, ExpressionError> {
        match self.rest.chars().next() {
            Some(c) if c.is_ascii_alphanumeric() || c == '_' => {
                Err(self.at.error(format!("`{c}` cannot follow a number")))
            }
            Some(_) | None => Ok(token),
        }
    }

    /// A string whose prefix letters take `prefix` bytes.
    fn string(
        &mut self,
        raw: bool,
        bytes: bool,
        prefix: usize,
    ) -> Result<Token<'t>, ExpressionError> {
        let at = self.at;
        self.take(prefix);
        let quote = ["\"\"\"", "'''", "\"", "'"]
            .into_iter()
            .find(|quote| self.rest.starts_with(quote))
            .unwrap_or("'");
        self.take(quote.len());
        let mut out = Vec::new();
        loop {
            if self.rest.starts_with(quote) {
                self.take(quote.len());
                break;
            }
            match self.rest.chars().next() {
                None => return Err(at.error("the string that begins here does not end")),
                Some('\n' | '\r') if quote.len() == 1 => {
                    return Err(at.error("a line break in a string needs `\\n` or three quotes"));
                }
                Some('\\') if !raw => self.escape(bytes, &mut out)?,
                Some(c) => {
                    self.take(c.len_utf8());
                    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                }
            }
        }
        if bytes {
            return Ok(Token::Bytes(out));
        }
        String::from_utf8(out)
            .map(Token::Text)
            .map_err(|_| at.error("the string is no Unicode text"))
    }

    /// Reads an escape into `out`; a number stands for an octet in bytes, for a code point in text.
    fn escape(&mut self, bytes: bool, out: &mut Vec<u8>) -> Result<(), ExpressionError> {
        let at = self.at;
        let refuse = || at.error("this escape stands for nothing");
        self.take(1);
        let letter = self.rest.chars().next().ok_or_else(refuse)?;
        let (skip, digits, radix) = match letter {
            'x' | 'X' => (1, 2, 16),
            'u' if !bytes => (1, 4, 16),
            'U' if !bytes => (1, 8, 16),
            '0'..='3' => (0, 3, 8),
            other => {
                let plain = plain_escape(other).ok_or_else(refuse)?;
                self.take(other.len_utf8());
                out.push(plain);
                return Ok(());
            }
        };
        self.take(skip);
        let number = self.rest.get(..digits).ok_or_else(refuse)?;
        if !number.chars().all(|c| c.is_digit(radix)) {
            return Err(refuse());
        }
        let code = u32::from_str_radix(number, radix).map_err(|_| refuse())?;
        self.take(digits);
        if bytes {
            out.push(u8::try_from(code).map_err(|_| refuse())?);
        } else {
            let char = char::from_u32(code).ok_or_else(refuse)?;
            out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
        }
        Ok(())
    }
}

/// What a one-letter escape stands for.
const fn plain_escape(letter: char) -> Option<u8> {
    Some(match letter {
        'a' => 7,
        'b' => 8,
        'f' => 12,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 11,
        '\\' => b'\\',
        '?' => b'?',
        '"' => b'"',
        '\'' => b'\'',
        '`' => b'`',
        _ => return None,
    })
}

/// Whether `text` begins a string: is it raw, is it bytes, and how long is its prefix.
fn string_prefix(text: &str) -> Option<(bool, bool, usize)> {
    let letters: String = text
        .chars()
        .take(3)
        .collect::<String>()
        .to_ascii_lowercase();
    [
        ("rb", true, true),
        ("br", true, true),
        ("r", true, false),
        ("b", false, true),
        ("", false, false),
    ]
    .into_iter()
    .find(|(prefix, ..)| {
        letters
            .strip_prefix(prefix)
            .is_some_and(|rest| rest.starts_with(['"', '\'']))
    })
    .map(|(prefix, raw, bytes)| (raw, bytes, prefix.len()))
}

/// Digits without a `u` at their end, and which token they make.
fn unsigned<'t>(digits: &str) -> (&str, fn(u64) -> Token<'t>) {
    digits
        .strip_suffix(['u', 'U'])
        .map_or((digits, Token::Int), |digits| (digits, Token::Uint))
}

/// How many bytes of `text` make its leading decimal number, fraction and exponent with it.
fn double_len(text: &str) -> usize {
    let digits = |from: usize| {
        let rest = text.get(from..).unwrap_or("");
        rest.find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len())
    };
    let mut len = digits(0);
    if text.get(len..).is_some_and(|rest| rest.starts_with('.')) && digits(len + 1) > 0 {
        len += 1 + digits(len + 1);
    }
    if text
        .get(len..)
        .is_some_and(|rest| rest.starts_with(['e', 'E']))
    {
        let sign = text
            .get(len + 1..)
            .is_some_and(|rest| rest.starts_with(['+', '-']));
        let exponent = len + 1 + usize::from(sign);
        if digits(exponent) > 0 {
            len = exponent + digits(exponent);
        }
    }
    len
}
