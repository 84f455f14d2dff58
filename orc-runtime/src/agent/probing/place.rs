//! The address of an HTTP probe, and where redirects lead from it.

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::target::authority;

/// A URL, in the parts that a request needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) tls: bool,
    pub(super) host: String,
    pub(super) port: u16,
    /// Host and port as they were written, for the `Host` header and for messages.
    pub(super) authority: String,
    /// Path and query, encoded; begins with `/`.
    pub(super) path: String,
}

impl Place {
    /// A place on a host; what a path must not hold is encoded.
    pub(super) fn new(tls: bool, host: &str, port: u16, path: &str) -> Self {
        Self { tls, host: host.to_owned(), port, authority: authority(host, port), path: encoded(path) }
    }

    /// As errors name it.
    pub(super) fn url(&self) -> String {
        format!("{}://{}{}", if self.tls { "https" } else { "http" }, self.authority, self.path)
    }

    /// Where a `Location` leads from here (RFC 3986, 5.2). `None` for one that is no HTTP address.
    pub(super) fn resolve(&self, location: &str) -> Option<Self> {
        let location = location.split('#').next().unwrap_or_default();
        if let Some(rest) = location.strip_prefix("//") {
            return Self::at(self.tls, rest);
        }
        match location.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => return Self::at(false, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => return Self::at(true, rest),
            // An address may stand in a query.
            Some((scheme, _)) if scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) => return None,
            _ => {}
        }
        Some(Self { path: encoded(&self.reference(location)), ..self.clone() })
    }

    fn at(tls: bool, rest: &str) -> Option<Self> {
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (written, path) = rest.split_at(end);
        let parsed: http::uri::Authority = written.parse().ok()?;
        let host = parsed.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = parsed.port_u16().unwrap_or(if tls { 443 } else { 80 });
        Some(Self { tls, host, port, authority: written.to_owned(), path: encoded(path) })
    }

    /// A path relative to this one's.
    fn reference(&self, location: &str) -> String {
        let path = self.path.split('?').next().unwrap_or_default();
        match location.chars().next() {
            None => self.path.clone(),
            Some('/') => location.to_owned(),
            Some('?') => format!("{path}{location}"),
            Some(_) => {
                let folder = path.rfind('/').map_or("/", |at| &path[..=at]);
                without_dots(&format!("{folder}{location}"))
            }
        }
    }
}

/// Takes `.` and `..` out of a path.
fn without_dots(path: &str) -> String {
    let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.trim_start_matches('/').split('/') {
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            other => kept.push(other),
        }
    }
    let path = format!("/{}", kept.join("/"));
    query.map_or(path.clone(), |query| format!("{path}?{query}"))
}

fn encoded(path: &str) -> String {
    const MUST: &AsciiSet =
        &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'\\').add(b'^').add(b'`').add(b'{').add(b'|').add(b'}');
    let slash = if path.starts_with('/') { "" } else { "/" };
    format!("{slash}{}", utf8_percent_encode(path, MUST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_leads_on() {
        let from = Place::new(false, "10.0.0.1", 8080, "/a/b?c=d");
        for (location, want) in [
            ("/x", "http://10.0.0.1:8080/x"),
            ("x?y=1#z", "http://10.0.0.1:8080/a/x?y=1"),
            ("../x", "http://10.0.0.1:8080/x"),
            ("?q", "http://10.0.0.1:8080/a/b?q"),
            ("/x?to=http://else", "http://10.0.0.1:8080/x?to=http://else"),
            ("https://10.0.0.1/s", "https://10.0.0.1/s"),
            ("//other:81", "http://other:81/"),
        ] {
            assert_eq!(from.resolve(location).map(|place| place.url()).as_deref(), Some(want), "{location}");
        }
        assert_eq!(from.resolve("ftp://10.0.0.1/s"), None);
        assert_eq!(from.resolve("https://10.0.0.1/s").unwrap().port, 443);
        assert_eq!(from.resolve("http://[::1]:81/").unwrap().host, "::1");
    }

    #[test]
    fn a_path_is_encoded() {
        assert_eq!(Place::new(true, "::1", 443, "a b?é").url(), "https://[::1]:443/a%20b?%C3%A9");
    }
}
