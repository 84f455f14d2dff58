//! Whether a text names an image: the grammar of `distribution/reference`.

/// `[host[:port]/]path[:tag][@digest]`.
pub(super) fn is_valid(image: &str) -> bool {
    let (rest, digest) = image.split_once('@').map_or((image, None), |(rest, digest)| (rest, Some(digest)));
    if !digest.is_none_or(is_digest) {
        return false;
    }
    // A colon after the last slash begins a tag; one before it, a port.
    let slash = rest.rfind('/').map_or(0, |at| at + 1);
    let (name, tag) = match rest[slash..].rfind(':') {
        Some(at) => (&rest[..slash + at], Some(&rest[slash + at + 1..])),
        None => (rest, None),
    };
    let path = match name.split_once('/') {
        Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => Some(path).filter(|_| is_host(host)),
        _ => Some(name),
    };
    tag.is_none_or(is_tag) && path.is_some_and(|path| path.split('/').all(is_component))
}

fn is_host(host: &str) -> bool {
    let (name, port) = host.rsplit_once(':').map_or((host, None), |(name, port)| (name, Some(port)));
    let digits = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-.[]:".contains(&byte);
    !name.is_empty() && name.bytes().all(allowed) && port.is_none_or(digits)
}

/// Lower case letters and digits, with single separators (`.`, `_`, `__`, any number of `-`) between them.
fn is_component(part: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends = part.bytes().next().is_some_and(plain) && part.bytes().last().is_some_and(plain);
    let separators = part.split(|one: char| one.is_ascii_lowercase() || one.is_ascii_digit());
    let allowed = |between: &str| matches!(between, "" | "." | "_" | "__") || between.bytes().all(|byte| byte == b'-');
    ends && separators.into_iter().all(allowed)
}

fn is_tag(tag: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    tag.len() <= 128
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|byte| word(byte) || b".-".contains(&byte))
}

fn is_digest(digest: &str) -> bool {
    let Some((algorithm, hex)) = digest.split_once(':') else { return false };
    let named = algorithm.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
    named && hex.len() >= 32 && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_from_other_texts() {
        let digest = format!("nginx@sha256:{}", "a".repeat(64));
        for good in ["host", "nginx:1.27", "library/nginx", "localhost/a", "r.example:5000/a/b-c__d.e:v1_2", &digest] {
            assert!(is_valid(good), "{good}");
        }
        for bad in ["", "Nginx", "a b", "nginx:", "nginx:a b", "/a", "a//b", "a..b", "a@sha256:1", "a@b", "-a"] {
            assert!(!is_valid(bad), "{bad}");
        }
    }
}
