//! Standard base64 with padding, as Go's decoder reads it (line breaks are skipped, the position of a mistake is told).

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

pub(super) fn encode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = (0..3).fold(0u32, |w, i| (w << 8) | u32::from(chunk.get(i).copied().unwrap_or(0)));
        for i in 0..4 {
            let digit = ALPHABET[((word >> (18 - 6 * i)) & 63) as usize];
            out.push(if i <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

/// The bytes, or the position of the first mistake.
pub(super) fn decode(text: &str) -> Result<Vec<u8>, usize> {
    let (mut out, mut word, mut digits, mut padding) = (Vec::with_capacity(text.len() / 4 * 3), 0u32, 0, 0);
    for (at, byte) in text.bytes().enumerate() {
        if byte == b'\n' || byte == b'\r' {
            continue;
        }
        match ALPHABET.iter().position(|&c| c == byte) {
            Some(digit) if padding == 0 => {
                word = (word << 6) | u32::try_from(digit).unwrap_or(0);
                digits += 1;
            }
            None if byte == b'=' && digits >= 2 && digits + padding < 4 => padding += 1,
            _ => return Err(at),
        }
        if digits == 4 {
            out.extend_from_slice(&word.to_be_bytes()[1..]);
            (word, digits) = (0, 0);
        }
    }
    match (digits, padding) {
        (0, 0) => Ok(out),
        (2, 2) => {
            out.push((word >> 4) as u8);
            Ok(out)
        }
        (3, 1) => {
            out.extend_from_slice(&[(word >> 10) as u8, (word >> 2) as u8]);
            Ok(out)
        }
        _ => Err(text.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::{decode, encode};
    use proptest::prelude::*;

    #[test]
    fn known_texts() {
        assert_eq!(encode(b"f"), "Zg==");
        assert_eq!(encode(b"foobar"), "Zm9vYmFy");
        assert_eq!(decode("Zm9v\nYg=="), Ok(b"foob".to_vec()));
        assert_eq!(decode("!!"), Err(0));
        assert!(decode("Zg").is_err() && decode("Zg=a").is_err() && decode("Zg===").is_err());
    }

    proptest! {
        #[test]
        fn round_trip(bytes: Vec<u8>) {
            prop_assert_eq!(decode(&encode(&bytes)), Ok(bytes));
        }

        #[test]
        fn never_panics(text: String) {
            let _ = decode(&text);
        }
    }
}
