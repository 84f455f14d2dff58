//! From text to syntax tree, by the parser of the `cel` crate.
//!
//! The crate's evaluator is not used: it counts no cost, and Kubernetes' types and functions are not in it.

use super::error::{CompileError, Issue};
use super::macros;
use cel::common::ast::SourceInfo;
use cel::parser::Expression;
use std::sync::LazyLock;

/// The longest expression, in bytes. Kubernetes bounds expressions by the request alone; its parser by 100 000 characters.
pub const MAX_SOURCE: usize = 16 * 1024;
/// How deep brackets may nest, and how many operators an expression may have: the parser and we recurse for each.
const MAX_NESTING: usize = 40;
const MAX_OPERATORS: usize = 2000;
/// Stack for parsing and checking, in bytes: the parser takes about 20 KiB for each level in unoptimised builds.
const STACK: usize = 32 << 20;

static ENV: LazyLock<cel::Env> = LazyLock::new(macros::environment);

/// Runs something that recurses over an expression with enough stack.
pub(super) fn with_stack<R>(then: impl FnOnce() -> R) -> R {
    stacker::grow(STACK, then)
}

pub(super) fn parse(source: &str) -> Result<(Expression, SourceInfo), CompileError> {
    let refuse = |message: String| CompileError { issues: vec![issue(source, 0, message)] };
    if source.len() > MAX_SOURCE {
        let text = format!("expression code point size exceeds limit: size: {}, limit {MAX_SOURCE}", source.len());
        return Err(CompileError { issues: vec![Issue { line: 1, column: 1, message: text, snippet: String::new() }] });
    }
    bounded(source).map_err(refuse)?;
    let parser = ENV.parser().enable_ident_escape_syntax(true);
    parser.parse_with_source_info(source).map_err(|errors| CompileError {
        issues: errors.errors.iter().map(|error| placed(source, error.pos, error.msg.clone())).collect(),
    })
}

/// Refuses what would recurse too deep, by looking at brackets and operators outside of texts.
fn bounded(source: &str) -> Result<(), String> {
    let (mut depth, mut operators) = (0_usize, 0_usize);
    let mut chars = source.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' | '\'' => skip_text(&mut chars, c),
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            '+' | '-' | '*' | '/' | '%' | '?' | '!' | '.' | '&' | '|' | '<' | '>' | '=' => operators += 1,
            _ => {}
        }
        if depth > MAX_NESTING {
            return Err(format!("expression recursion limit exceeded: {MAX_NESTING}"));
        }
        if operators > MAX_OPERATORS {
            return Err(format!("expression has more than {MAX_OPERATORS} operators"));
        }
    }
    Ok(())
}

fn skip_text(chars: &mut std::str::Chars<'_>, quote: char) {
    while let Some(c) = chars.next() {
        match c {
            '\\' => _ = chars.next(),
            c if c == quote => return,
            _ => {}
        }
    }
}

fn placed(source: &str, (line, column): (isize, isize), message: String) -> Issue {
    let line = usize::try_from(line).unwrap_or(1).max(1);
    let column = usize::try_from(column).unwrap_or(1).max(1);
    Issue { line, column, message, snippet: source.lines().nth(line - 1).unwrap_or_default().to_owned() }
}

/// An issue at a character of the source.
pub(super) fn issue(source: &str, offset: usize, message: String) -> Issue {
    let before: String = source.chars().take(offset).collect();
    let line = before.matches('\n').count();
    let column = before.chars().rev().take_while(|c| *c != '\n').count();
    let snippet = source.lines().nth(line).unwrap_or_default().to_owned();
    Issue { line: line + 1, column: column + 1, message, snippet }
}
