//! Rules for names, labels, keys and other short texts.
//!
//! Each function returns the broken rules as texts (empty: the value is fine), so that the caller chooses the field
//! and the kind of error. The rules follow RFC 1123, RFC 1035 and RFC 6335 as Kubernetes applies them.

/// Longest DNS label.
pub const LABEL_MAX: usize = 63;
/// Longest DNS subdomain.
pub const SUBDOMAIN_MAX: usize = 253;

const LABEL_FMT: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const SUBDOMAIN_FMT: &str = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const LABEL_MSG: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character";
const SUBDOMAIN_MSG: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character";
const DNS1035_MSG: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character";
const WILDCARD_MSG: &str = "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character";
const QUALIFIED_FMT: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const QUALIFIED_MSG: &str =
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";

/// The text for a value longer than `limit`, counted in "characters" as the older rules say it.
pub fn max_len_text(limit: usize) -> String {
    format!("must be no more than {limit} characters")
}

fn max_bytes_text(limit: usize) -> String {
    format!("must be no more than {limit} bytes")
}

/// The text for a value outside `low..=high`.
pub fn range_text(low: i64, high: i64) -> String {
    format!("must be between {low} and {high}, inclusive")
}

/// The text for a value that does not match a pattern.
pub fn regex_text(message: &str, pattern: &str, examples: &[&str]) -> String {
    if examples.is_empty() {
        return format!("{message} (regex used for validation is '{pattern}')");
    }
    let examples: String = examples.iter().map(|e| format!("'{e}', ")).collect::<Vec<_>>().join(" or ");
    format!("{message} (e.g. {examples}regex used for validation is '{pattern}')")
}

fn lower(b: u8) -> bool {
    b.is_ascii_lowercase() || b.is_ascii_digit()
}

/// First and last byte satisfy `edge`, all satisfy `edge` or are in `inner`; not empty.
fn edged(text: &str, edge: impl Fn(u8) -> bool, inner: &[u8]) -> bool {
    let bytes = text.as_bytes();
    match (bytes.first(), bytes.last()) {
        (Some(&first), Some(&last)) => {
            edge(first) && edge(last) && bytes.iter().all(|&b| edge(b) || inner.contains(&b))
        }
        _ => false,
    }
}

fn label_matches(text: &str) -> bool {
    edged(text, lower, b"-")
}

fn subdomain_matches(text: &str) -> bool {
    text.split('.').all(label_matches)
}

/// A DNS label (RFC 1123): `web-1`.
pub fn dns1123_label(value: &str) -> Vec<String> {
    let mut errors = too_long(value, LABEL_MAX);
    if !label_matches(value) {
        errors.push(if subdomain_matches(value) {
            "must not contain dots".to_owned()
        } else {
            regex_text(LABEL_MSG, LABEL_FMT, &["my-name", "123-abc"])
        });
    }
    errors
}

/// A DNS subdomain (RFC 1123): `a.example.com`.
pub fn dns1123_subdomain(value: &str) -> Vec<String> {
    let mut errors = too_long(value, SUBDOMAIN_MAX);
    if !subdomain_matches(value) {
        errors.push(regex_text(SUBDOMAIN_MSG, SUBDOMAIN_FMT, &["example.com"]));
    }
    errors
}

/// A DNS subdomain whose labels may hold underscores: a name in a pod's DNS search list.
pub fn dns1123_subdomain_with_underscore(value: &str) -> Vec<String> {
    let label = |text: &str| {
        let text = text.strip_prefix('_').unwrap_or(text);
        edged(text, lower, b"-_")
    };
    let mut errors = too_long(value, SUBDOMAIN_MAX);
    if !value.split('.').all(label) {
        const FMT: &str = r"_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*";
        const MSG: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must start and end with an alphanumeric character";
        errors.push(regex_text(MSG, FMT, &["example.com"]));
    }
    errors
}

/// A DNS label that starts with a letter (RFC 1035).
pub fn dns1035_label(value: &str) -> Vec<String> {
    let mut errors = too_long(value, LABEL_MAX);
    if !(label_matches(value) && value.as_bytes()[0].is_ascii_lowercase()) {
        errors.push(regex_text(DNS1035_MSG, "[a-z]([-a-z0-9]*[a-z0-9])?", &["my-name", "abc-123"]));
    }
    errors
}

/// `*.` and a DNS subdomain (RFC 1034 section 4.3.3).
pub fn wildcard_dns1123_subdomain(value: &str) -> Vec<String> {
    let mut errors = too_long(value, SUBDOMAIN_MAX);
    if !value.strip_prefix("*.").is_some_and(subdomain_matches) {
        errors.push(regex_text(WILDCARD_MSG, &format!(r"\*\.{SUBDOMAIN_FMT}"), &["*.example.com"]));
    }
    errors
}

fn too_long(value: &str, limit: usize) -> Vec<String> {
    if value.len() > limit { vec![max_len_text(limit)] } else { Vec::new() }
}

fn alnum(b: u8) -> bool {
    b.is_ascii_alphanumeric()
}

/// A qualified name: `name` or `prefix.example.com/Name`; label and annotation keys, finalizers, resource names.
pub fn qualified_name(value: &str) -> Vec<String> {
    let mut errors = Vec::new();
    let parts: Vec<&str> = value.split('/').collect();
    let name = match parts.as_slice() {
        [name] => *name,
        [prefix, name] => {
            if prefix.is_empty() {
                errors.push("prefix part must be non-empty".to_owned());
            } else {
                errors.extend(dns1123_subdomain_bytes(prefix).into_iter().map(|e| format!("prefix part {e}")));
            }
            *name
        }
        _ => {
            let text = regex_text(QUALIFIED_MSG, QUALIFIED_FMT, &["MyName", "my.name", "123-abc"]);
            return vec![format!(
                "a valid label key {text} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            )];
        }
    };
    if name.is_empty() {
        errors.push("name part must be non-empty".to_owned());
    } else if name.len() > LABEL_MAX {
        errors.push(format!("name part {}", max_bytes_text(LABEL_MAX)));
    }
    if !edged(name, alnum, b"-_.") {
        let text = regex_text(QUALIFIED_MSG, QUALIFIED_FMT, &["MyName", "my.name", "123-abc"]);
        errors.push(format!("name part {text}"));
    }
    errors
}

fn dns1123_subdomain_bytes(value: &str) -> Vec<String> {
    let mut errors = if value.len() > SUBDOMAIN_MAX { vec![max_bytes_text(SUBDOMAIN_MAX)] } else { Vec::new() };
    if !subdomain_matches(value) {
        errors.push(regex_text(SUBDOMAIN_MSG, SUBDOMAIN_FMT, &["example.com"]));
    }
    errors
}

/// The value of a label.
pub fn label_value(value: &str) -> Vec<String> {
    let mut errors = if value.len() > LABEL_MAX { vec![max_bytes_text(LABEL_MAX)] } else { Vec::new() };
    if !value.is_empty() && !edged(value, alnum, b"-_.") {
        let message = format!("a valid label must be an empty string or {}", QUALIFIED_MSG.replacen("must ", "", 1));
        errors.push(regex_text(&message, &format!("({QUALIFIED_FMT})?"), &["MyValue", "my_value", "12345"]));
    }
    errors
}

/// A name that can be one segment of a URL path: RBAC names and others that are otherwise free.
pub fn path_segment(value: &str) -> Vec<String> {
    match value {
        "." => return vec!["may not be '.'".to_owned()],
        ".." => return vec!["may not be '..'".to_owned()],
        _ => {}
    }
    ["/", "%"].iter().filter(|c| value.contains(**c)).map(|c| format!("may not contain '{c}'")).collect()
}

/// The name of a port (RFC 6335, lower case).
pub fn port_name(value: &str) -> Vec<String> {
    let mut errors = too_long(value, 15);
    let bytes = value.as_bytes();
    if bytes.is_empty() || !bytes.iter().all(|&b| lower(b) || b == b'-') {
        errors.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".to_owned());
    }
    if !bytes.iter().any(u8::is_ascii_lowercase) {
        errors.push("must contain at least one letter (a-z)".to_owned());
    }
    if value.contains("--") {
        errors.push("must not contain consecutive hyphens".to_owned());
    }
    if value.starts_with('-') || value.ends_with('-') {
        errors.push("must not begin or end with a hyphen".to_owned());
    }
    errors
}

/// A port number.
pub fn port_number(value: i64) -> Vec<String> {
    in_range(value, 1, 65535)
}

/// A number within `low..=high`.
pub fn in_range(value: i64, low: i64, high: i64) -> Vec<String> {
    if (low..=high).contains(&value) { Vec::new() } else { vec![range_text(low, high)] }
}

/// A percentage: `50%`.
pub fn percent(value: &str) -> Vec<String> {
    let digits = value.strip_suffix('%').unwrap_or("");
    if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
        return Vec::new();
    }
    const MSG: &str = "a valid percent string must be a numeric string followed by an ending '%'";
    vec![regex_text(MSG, "[0-9]+%", &["1%", "93%"])]
}

/// The name of an HTTP header in a probe.
pub fn http_header_name(value: &str) -> Vec<String> {
    if !value.is_empty() && value.bytes().all(|b| alnum(b) || b == b'-') {
        return Vec::new();
    }
    const MSG: &str = "a valid HTTP header must consist of alphanumeric characters or '-'";
    vec![regex_text(MSG, "[-A-Za-z0-9]+", &["X-Header-Name"])]
}

/// The name of an environment variable: any printable ASCII but `=`.
pub fn env_var(value: &str) -> Vec<String> {
    if value.is_empty() {
        return vec!["environment variable name must be non-empty".to_owned()];
    }
    if value.bytes().all(|b| (0x20..0x7f).contains(&b) && b != b'=') {
        return Vec::new();
    }
    vec!["a valid environment variable name must consist only of printable ASCII characters other than '='".to_owned()]
}

/// A C identifier.
pub fn c_identifier(value: &str) -> Vec<String> {
    let bytes = value.as_bytes();
    let fine = bytes.first().is_some_and(|b| b.is_ascii_alphabetic() || *b == b'_')
        && bytes.iter().all(|&b| alnum(b) || b == b'_');
    if fine {
        return Vec::new();
    }
    const MSG: &str = "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_'";
    vec![regex_text(MSG, "[A-Za-z_][A-Za-z0-9_]*", &["my_name", "MY_NAME", "MyName"])]
}

/// A key of a config map or secret: it becomes a file name.
pub fn config_map_key(value: &str) -> Vec<String> {
    let mut errors = too_long(value, SUBDOMAIN_MAX);
    if value.is_empty() || !value.bytes().all(|b| alnum(b) || b"-_.".contains(&b)) {
        const MSG: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'";
        errors.push(regex_text(MSG, "[-._a-zA-Z0-9]+", &["key.name", "KEY_NAME", "key-name"]));
    }
    match value {
        "." => errors.push("must not be '.'".to_owned()),
        ".." => errors.push("must not be '..'".to_owned()),
        _ if value.starts_with("..") => errors.push("must not start with '..'".to_owned()),
        _ => {}
    }
    errors
}

/// Most bytes that all annotations of an object may have together, keys included.
pub const ANNOTATIONS_MAX: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn labels_and_subdomains() {
        assert!(dns1123_label("a-1").is_empty());
        assert_eq!(dns1123_label("a.b"), ["must not contain dots"]);
        assert_eq!(dns1123_label(&"a".repeat(64)), ["must be no more than 63 characters"]);
        assert!(dns1123_subdomain("a.b-c.d").is_empty());
        assert!(dns1123_subdomain("a..b")[0].ends_with(
            r"(e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
        ));
        assert!(dns1035_label("a1").is_empty() && !dns1035_label("1a").is_empty() && !dns1035_label("").is_empty());
        assert!(wildcard_dns1123_subdomain("*.a.b").is_empty() && !wildcard_dns1123_subdomain("*").is_empty());
    }

    #[test]
    fn qualified_names() {
        assert!(qualified_name("example.com/Name_1").is_empty());
        assert_eq!(qualified_name("/a"), ["prefix part must be non-empty"]);
        assert_eq!(qualified_name("a/").len(), 2);
        assert_eq!(qualified_name("a/b/c").len(), 1);
        assert!(label_value("").is_empty() && label_value("a_b.C").is_empty() && !label_value("-v").is_empty());
    }

    #[test]
    fn other_names() {
        assert!(port_name("http-2").is_empty());
        assert_eq!(port_name("--").len(), 3);
        assert_eq!(path_segment("a/b%"), ["may not contain '/'", "may not contain '%'"]);
        assert!(config_map_key("a.b").is_empty() && !config_map_key("..a").is_empty());
        assert!(env_var("A B").is_empty() && !env_var("A=").is_empty());
        assert!(percent("10%").is_empty() && !percent("%").is_empty());
    }

    proptest! {
        #[test]
        fn a_label_is_a_subdomain_and_a_label_value(value in "[a-z0-9.A-Z_-]{0,70}") {
            if dns1123_label(&value).is_empty() {
                prop_assert!(dns1123_subdomain(&value).is_empty());
                prop_assert!(label_value(&value).is_empty());
                prop_assert!(qualified_name(&value).is_empty());
            }
        }
    }
}
