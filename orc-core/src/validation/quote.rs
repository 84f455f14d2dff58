//! Text as Go prints it: `%q` strings and `encoding/json`, which Kubernetes' messages are made of.

use serde_json::Value;
use std::fmt::Write as _;

/// A string as Go's `%q` prints it.
pub fn go_quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            c if (c as u32) < 0x20 || c == '\u{7f}' => _ = write!(out, "\\x{:02x}", c as u32),
            c if is_printable(c) => out.push(c),
            c if (c as u32) < 0x1_0000 => _ = write!(out, "\\u{:04x}", c as u32),
            c => _ = write!(out, "\\U{:08x}", c as u32),
        }
    }
    out.push('"');
    out
}

/// Close to Go's `strconv.IsPrint`: controls, separators other than the space and invisible marks are not printable.
fn is_printable(c: char) -> bool {
    let hidden = matches!(c as u32, 0xa0 | 0xad | 0x2000..=0x200f | 0x2028..=0x202f | 0x205f..=0x206f | 0x3000 | 0xfeff
        | 0xe000..=0xf8ff | 0xfff0..=0xfffb | 0xe0000..);
    !c.is_control() && !hidden
}

/// A value as Go's `encoding/json` writes it: `<`, `>` and `&` escaped inside strings.
pub fn go_json(value: &Value) -> String {
    let plain = value.to_string();
    if !plain.contains(['<', '>', '&', '\u{2028}', '\u{2029}']) {
        return plain;
    }
    let mut out = String::with_capacity(plain.len() + 16);
    for c in plain.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => _ = write!(out, "\\u{:04x}", c as u32),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_like_go() {
        assert_eq!(go_quote("a\"b\\\n\u{1}\u{e9}"), "\"a\\\"b\\\\\\n\\x01\u{e9}\"");
        assert_eq!(go_quote("\u{200b}"), "\"\\u200b\"");
        assert_eq!(go_json(&serde_json::json!({"a": "<b>"})), "{\"a\":\"\\u003cb\\u003e\"}");
    }
}
