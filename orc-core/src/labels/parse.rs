//! The text form of label selectors: a lexer, and a parser with one token of look-ahead.
//!
//! The grammar is small but its error texts are part of the API, so the parser mirrors Kubernetes' states: which
//! token was found where, and what was expected instead.

use super::{Operator, Requirement, SelectorError};
use crate::validation::{FieldError, FieldPath, names};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Error,
    End,
    Identifier,
    Not,
    Open,
    Close,
    Comma,
    Compare(Operator),
}

const SPECIAL: &[char] = &['=', '!', '(', ')', ',', '>', '<'];
const BINARY: &str = "in, notin, =, ==, !=, gt, lt";

fn symbol(text: &str) -> Option<Token> {
    Some(match text {
        ")" => Token::Close,
        "," => Token::Comma,
        "!" => Token::Not,
        "==" => Token::Compare(Operator::DoubleEquals),
        "=" => Token::Compare(Operator::Equals),
        "!=" => Token::Compare(Operator::NotEquals),
        "(" => Token::Open,
        ">" => Token::Compare(Operator::GreaterThan),
        "<" => Token::Compare(Operator::LessThan),
        _ => return None,
    })
}

fn lex(text: &str) -> Vec<(Token, String)> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start_matches([' ', '\t', '\r', '\n']);
    while let Some(first) = rest.chars().next() {
        let length = if SPECIAL.contains(&first) {
            // The longest symbol; `=>` is two.
            let two = rest.get(..2).filter(|t| symbol(t).is_some()).map(|_| 2);
            two.unwrap_or(first.len_utf8())
        } else {
            rest.find(|c| SPECIAL.contains(&c) || [' ', '\t', '\r', '\n'].contains(&c)).unwrap_or(rest.len())
        };
        let (literal, tail) = rest.split_at(length);
        let token = match literal {
            "in" => Token::Compare(Operator::In),
            "notin" => Token::Compare(Operator::NotIn),
            _ if SPECIAL.contains(&first) => symbol(literal).unwrap_or(Token::Error),
            _ => Token::Identifier,
        };
        tokens.push((token, literal.to_owned()));
        rest = tail.trim_start_matches([' ', '\t', '\r', '\n']);
    }
    tokens.push((Token::End, String::new()));
    tokens
}

struct Parser {
    tokens: Vec<(Token, String)>,
    at: usize,
}

impl Parser {
    /// The next token; where a value is expected, `in` and `notin` are ordinary words.
    fn peek(&self, words: bool) -> (Token, &str) {
        let (token, literal) = &self.tokens[self.at.min(self.tokens.len() - 1)];
        match token {
            Token::Compare(Operator::In | Operator::NotIn) if words => (Token::Identifier, literal),
            token => (*token, literal),
        }
    }

    fn next(&mut self, words: bool) -> (Token, String) {
        let (token, literal) = self.peek(words);
        let taken = (token, literal.to_owned());
        self.at += 1;
        taken
    }

    fn requirement(&mut self) -> Result<Requirement, SelectorError> {
        let (mut token, mut literal) = self.next(true);
        let not = token == Token::Not;
        if not {
            (token, literal) = self.next(true);
        }
        if token != Token::Identifier {
            return Err(found(&literal, ", expected: identifier"));
        }
        let broken = names::qualified_name(&literal);
        if !broken.is_empty() {
            let error = FieldError::invalid(&FieldPath::nil(), &literal, broken.join("; "));
            return Err(SelectorError::new(error.to_string()));
        }
        let alone = matches!(self.peek(true).0, Token::End | Token::Comma);
        if not || alone {
            let operator = if not { Operator::DoesNotExist } else { Operator::Exists };
            return Requirement::new(literal, operator, []);
        }
        let operator = match self.next(false) {
            (Token::Compare(operator), _) => operator,
            (_, other) => return Err(found(&other, &format!(", expected: {BINARY}"))),
        };
        let values = match operator {
            Operator::In | Operator::NotIn => self.set()?,
            _ => vec![self.exact()?],
        };
        Requirement::new(literal, operator, values)
    }

    fn exact(&mut self) -> Result<String, SelectorError> {
        if matches!(self.peek(true).0, Token::End | Token::Comma) {
            return Ok(String::new());
        }
        match self.next(true) {
            (Token::Identifier, literal) => Ok(literal),
            (_, literal) => Err(found(&literal, ", expected: identifier")),
        }
    }

    fn set(&mut self) -> Result<Vec<String>, SelectorError> {
        match self.next(true) {
            (Token::Open, _) => {}
            (_, literal) => return Err(found(&literal, " expected: '('")),
        }
        match self.peek(true) {
            (Token::Identifier | Token::Comma, _) => {
                let values = self.values()?;
                match self.next(true) {
                    (Token::Close, _) => Ok(values),
                    (_, literal) => Err(found(&literal, ", expected: ')'")),
                }
            }
            (Token::Close, _) => {
                self.at += 1;
                // `x in ()` is `x in ("")`.
                Ok(vec![String::new()])
            }
            (_, literal) => Err(found(literal, ", expected: ',', ')' or identifier")),
        }
    }

    fn values(&mut self) -> Result<Vec<String>, SelectorError> {
        let mut values = Vec::new();
        loop {
            match self.next(true) {
                (Token::Identifier, literal) => {
                    values.push(literal);
                    match self.peek(true) {
                        (Token::Comma, _) => {}
                        (Token::Close, _) => return Ok(values),
                        (_, literal) => return Err(found(literal, ", expected: ',' or ')'")),
                    }
                }
                (Token::Comma, _) => {
                    if values.is_empty() {
                        values.push(String::new());
                    }
                    match self.peek(true).0 {
                        Token::Close => {
                            values.push(String::new());
                            return Ok(values);
                        }
                        Token::Comma => {
                            self.at += 1;
                            values.push(String::new());
                        }
                        _ => {}
                    }
                }
                (_, literal) => return Err(found(&literal, ", expected: ',', or identifier")),
            }
        }
    }
}

fn found(literal: &str, rest: &str) -> SelectorError {
    SelectorError::new(format!("found '{literal}'{rest}"))
}

/// The conditions of a selector's text.
pub(super) fn requirements(text: &str) -> Result<Vec<Requirement>, SelectorError> {
    let mut parser = Parser { tokens: lex(text), at: 0 };
    let mut list = Vec::new();
    loop {
        match parser.peek(true) {
            (Token::Identifier | Token::Not, _) => {
                let requirement = parser
                    .requirement()
                    .map_err(|e| SelectorError::new(format!("unable to parse requirement: {e}")))?;
                list.push(requirement);
                match parser.next(true) {
                    (Token::End, _) => return Ok(list),
                    (Token::Comma, _) => match parser.peek(true) {
                        (Token::Identifier | Token::Not, _) => {}
                        (_, literal) => return Err(found(literal, ", expected: identifier after ','")),
                    },
                    (_, literal) => return Err(found(&literal, ", expected: ',' or 'end of string'")),
                }
            }
            (Token::End, _) => return Ok(list),
            (_, literal) => return Err(found(literal, ", expected: !, identifier, or 'end of string'")),
        }
    }
}
