//! The few forms of DER (ITU-T X.690) that a certificate is made of.

/// SEQUENCE.
pub(super) const SEQUENCE: u8 = 0x30;
/// OCTET STRING.
pub(super) const OCTETS: u8 = 0x04;
/// BOOLEAN TRUE.
pub(super) const TRUE: [u8; 3] = [0x01, 0x01, 0xff];

/// A value with its tag and length.
pub(super) fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let length = content.len();
    if length < 0x80 {
        out.push(length as u8);
    } else {
        let bytes = length.to_be_bytes();
        let used = &bytes[bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len() - 1)..];
        out.push(0x80 | used.len() as u8);
        out.extend_from_slice(used);
    }
    out.extend_from_slice(content);
    out
}

/// A SEQUENCE of parts that are encoded already.
pub(super) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tagged(SEQUENCE, &parts.concat())
}

/// A positive INTEGER from big-endian bytes.
pub(super) fn integer(bytes: &[u8]) -> Vec<u8> {
    let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len().saturating_sub(1));
    let mut content = bytes[start..].to_vec();
    if content.first().is_none_or(|first| first & 0x80 != 0) {
        content.insert(0, 0);
    }
    tagged(0x02, &content)
}

/// An OBJECT IDENTIFIER of at least two arcs.
pub(super) fn oid(arcs: &[u64]) -> Vec<u8> {
    let mut content = Vec::new();
    let first = arcs.first().copied().unwrap_or_default() * 40 + arcs.get(1).copied().unwrap_or_default();
    for arc in std::iter::once(first).chain(arcs.iter().skip(2).copied()) {
        let mut groups = vec![(arc & 0x7f) as u8];
        let mut rest = arc >> 7;
        while rest > 0 {
            groups.push((rest & 0x7f) as u8 | 0x80);
            rest >>= 7;
        }
        content.extend(groups.iter().rev());
    }
    tagged(0x06, &content)
}

/// A BIT STRING of whole bytes.
pub(super) fn bits(bytes: &[u8]) -> Vec<u8> {
    tagged(0x03, &[&[0], bytes].concat())
}

/// A BIT STRING of named bits, bit 0 first, without trailing zeros.
pub(super) fn named_bits(set: u16) -> Vec<u8> {
    let Some(last) = (0..16).rev().find(|bit| set & (1 << bit) != 0) else { return tagged(0x03, &[0]) };
    let mut bytes = vec![0_u8; last / 8 + 1];
    for bit in (0..=last).filter(|bit| set & (1 << bit) != 0) {
        bytes[bit / 8] |= 0x80 >> (bit % 8);
    }
    let unused = 7 - (last % 8) as u8;
    tagged(0x03, &[&[unused], bytes.as_slice()].concat())
}

/// A time: UTCTime until 2049, GeneralizedTime after (RFC 5280, 4.1.2.5).
pub(super) fn time(at: jiff::Timestamp) -> Vec<u8> {
    let civil = at.to_zoned(jiff::tz::TimeZone::UTC).datetime();
    let rest =
        format!("{:02}{:02}{:02}{:02}{:02}Z", civil.month(), civil.day(), civil.hour(), civil.minute(), civil.second());
    if (1950..2050).contains(&civil.year()) {
        tagged(0x17, format!("{:02}{rest}", civil.year() % 100).as_bytes())
    } else {
        tagged(0x18, format!("{:04}{rest}", civil.year()).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_encoded_as_the_standard_shows_them() {
        assert_eq!(integer(&[0, 0x80]), [2, 2, 0, 0x80]);
        assert_eq!(integer(&[0]), [2, 1, 0]);
        assert_eq!(oid(&[1, 2, 840, 10045, 4, 3, 2]), [6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2]);
        assert_eq!(named_bits(0b101), [3, 2, 5, 0b1010_0000]);
        assert_eq!(named_bits(1 << 8), [3, 3, 7, 0, 0x80]);
        assert_eq!(tagged(OCTETS, &[0; 200])[..3], [4, 0x81, 200]);
        assert_eq!(time(jiff::Timestamp::UNIX_EPOCH), tagged(0x17, b"700101000000Z"));
    }
}
