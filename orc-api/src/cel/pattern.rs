//! Regular expressions as schemas and rules hold them: Go's RE2, matched anywhere in the text.
//!
//! The `regex` crate is of the same family: linear in the text, no look-around, no back-references. Differences that are
//! evened out here: Go's `\z` and named groups are the same, `\pN` and `(?U)` too; Go's `\C` (one byte) is refused by
//! both today. `\d`, `\w`, `\s` and `\b` are ASCII in Go.

use super::types::Opaque;
use super::value::OpaqueValue;
use regex::{Regex, RegexBuilder};

/// The most memory that a compiled pattern may take, in bytes. Go's own limit is 1000 repetitions; this bounds what nested
/// repetitions such as `((a{100}){100}){100}` cost.
const SIZE_LIMIT: usize = 4 << 20;
/// Nesting of groups; Go refuses above 1000, the parser here recurses.
const NEST_LIMIT: u32 = 200;

/// A compiled pattern.
#[derive(Clone, Debug)]
pub struct Pattern {
    source: String,
    regex: Regex,
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl OpaqueValue for Pattern {
    fn kind(&self) -> Opaque {
        Opaque::Pattern
    }
    fn same(&self, other: &dyn OpaqueValue) -> bool {
        other.as_any().downcast_ref::<Self>() == Some(self)
    }
    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

/// Why a pattern does not compile, in Go's words where they are known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("error parsing regexp: {0}")]
pub struct PatternError(String);

impl Pattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// When it is not a regular expression, or takes more memory than a pattern may.
    pub fn compile(source: &str) -> Result<Self, PatternError> {
        let built = RegexBuilder::new(&ascii_classes(source)).size_limit(SIZE_LIMIT).nest_limit(NEST_LIMIT).build();
        match built {
            Ok(regex) => Ok(Self { source: source.to_owned(), regex }),
            Err(error) => Err(PatternError(go_words(source, &error))),
        }
    }

    /// The pattern as it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether the pattern occurs in the text.
    pub fn matches(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// The compiled expression.
    pub fn regex(&self) -> &Regex {
        &self.regex
    }
}

/// Writes Go's ASCII classes for the ones that mean all of Unicode here.
fn ascii_classes(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let (mut chars, mut inside) = (source.chars(), false);
    while let Some(c) = chars.next() {
        match c {
            '\\' => escape(chars.next(), inside, &mut out),
            '[' if inside => {
                // Go takes a bracket inside a class as itself unless it starts `[:alpha:]`; here it would nest.
                out.push_str(if chars.as_str().starts_with(':') { "[" } else { "\\[" });
            }
            '[' => {
                inside = true;
                out.push('[');
                open_class(&mut chars, &mut out);
            }
            ':' if inside && chars.as_str().starts_with(']') && out.contains("[:") => {
                chars.next();
                out.push_str(":]");
            }
            ']' => {
                inside = false;
                out.push(']');
            }
            // Set operators of this crate that are plain characters in Go.
            '&' | '~' if inside => {
                out.push('\\');
                out.push(c);
            }
            '-' if inside && chars.as_str().starts_with('-') => out.push_str("\\-"),
            c => out.push(c),
        }
    }
    out
}

/// A `]` right after `[` or `[^` is itself.
fn open_class(chars: &mut std::str::Chars<'_>, out: &mut String) {
    if chars.as_str().starts_with('^') {
        chars.next();
        out.push('^');
    }
    if chars.as_str().starts_with(']') {
        chars.next();
        out.push_str("\\]");
    }
}

fn escape(escaped: Option<char>, inside: bool, out: &mut String) {
    match (escaped, inside) {
        (Some('d'), false) => out.push_str("[0-9]"),
        (Some('d'), true) => out.push_str("0-9"),
        (Some('w'), false) => out.push_str("[0-9A-Za-z_]"),
        (Some('w'), true) => out.push_str("0-9A-Za-z_"),
        (Some('s'), false) => out.push_str(r"[\t\n\f\r ]"),
        (Some('s'), true) => out.push_str(r"\t\n\f\r "),
        (Some('D'), _) => out.push_str("[^0-9]"),
        (Some('W'), _) => out.push_str("[^0-9A-Za-z_]"),
        (Some('S'), _) => out.push_str(r"[^\t\n\f\r ]"),
        (Some('b'), false) => out.push_str("(?-u:\\b)"),
        (Some(other), _) => {
            out.push('\\');
            out.push(other);
        }
        (None, _) => out.push('\\'),
    }
}

fn go_words(source: &str, error: &regex::Error) -> String {
    let text = error.to_string();
    let known = [
        ("unclosed group", "missing closing )"),
        ("unopened group", "unexpected )"),
        ("unclosed character class", "missing closing ]"),
        ("repetition operator missing expression", "missing argument to repetition operator"),
        ("look-around", "invalid or unsupported Perl syntax"),
        ("backreferences", "invalid escape sequence"),
        ("unrecognized escape sequence", "invalid escape sequence"),
        ("invalid character class range", "invalid character class range"),
        ("incomplete escape sequence", "trailing backslash at end of expression"),
        ("exceeds size limit", "expression too large"),
        ("size limit", "expression too large"),
        ("nested", "expression nests too deeply"),
        ("nest limit", "expression nests too deeply"),
    ];
    let words = known.iter().find(|(here, _)| text.contains(here)).map(|(_, go)| (*go).to_owned());
    let words = words.unwrap_or_else(|| text.lines().last().unwrap_or("invalid").trim_start_matches("error: ").into());
    format!("{words}: `{source}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_go_patterns() {
        let matches = |pattern: &str, text: &str| Pattern::compile(pattern).unwrap().matches(text);
        assert!(matches(r"^\d+$", "12") && !matches(r"^\d+$", "٣"), "digits are ASCII");
        assert!(matches(r"^[\w-]+$", "a-b_1") && !matches(r"^[\w-]+$", "é"));
        assert!(matches(r"^[a&&b]+$", "&ab") && matches("^[[]$", "[") && matches("^[]a]+$", "]a"));
        assert!(matches(r"^[[:alpha:]_]+$", "ab_") && !matches(r"^[[:alpha:]_]+$", "1"));
        assert!(matches("b", "abc"), "patterns are not anchored");
    }

    #[test]
    fn refuses_with_the_words_of_go() {
        let error = |pattern: &str| Pattern::compile(pattern).unwrap_err().to_string();
        assert_eq!(error("("), "error parsing regexp: missing closing ): `(`");
        assert!(error("(?=a)").contains("unsupported Perl syntax"));
        assert!(error("((a{100}){100}){100}").contains("expression too large"));
        assert!(Pattern::compile(&"(".repeat(100_000)).is_err());
    }
}
