//! Uids and generated names.

use super::Rng;

/// The characters of generated names: no vowels and nothing that reads like another, as apimachinery's `util/rand`.
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// The longest base of a generated name, so that base and suffix stay within a DNS label.
const MAX_BASE: usize = 58;

/// A maker of identifiers. Clones share the stream.
#[derive(Clone, Debug)]
pub struct Ids(Rng);

impl Ids {
    /// Identifiers drawn from a stream of random numbers.
    pub fn new(rng: Rng) -> Self {
        Self(rng)
    }

    /// A version 4 UUID (RFC 9562).
    pub fn uid(&self) -> String {
        let bits = (u128::from(self.0.next()) << 64) | u128::from(self.0.next());
        let bits = (bits & !(0xF << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
        let hex = format!("{bits:032x}");
        format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }

    /// Five characters for generated names.
    pub fn suffix(&self) -> String {
        (0..5).map(|_| char::from(ALPHABET[self.0.below(27) as usize])).collect()
    }

    /// A name from a `generateName` base, which is cut so that the name fits a DNS label.
    pub fn generate(&self, base: &str) -> String {
        let mut end = base.len().min(MAX_BASE);
        while !base.is_char_boundary(end) {
            end -= 1;
        }
        format!("{}{}", &base[..end], self.suffix())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uids_are_version_4() {
        let ids = Ids::new(Rng::seeded(1));
        let uid = ids.uid();
        assert_eq!(uid.len(), 36);
        assert_eq!(&uid[14..15], "4");
        assert!(matches!(&uid[19..20], "8" | "9" | "a" | "b"));
        assert_ne!(uid, ids.uid());
    }

    #[test]
    fn generated_names_fit_a_label() {
        let ids = Ids::new(Rng::seeded(1));
        assert_eq!(ids.generate(&"x".repeat(80)).len(), 63);
        assert!(ids.generate("web-").starts_with("web-"));
    }
}
