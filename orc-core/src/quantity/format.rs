//! Printing quantities in canonical form: no fraction, the largest suffix that keeps the amount exact.

use super::{Format, amount::Amount};
use std::fmt;

const DECIMAL: [(&str, i32); 10] =
    [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];
const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

pub(super) fn write(amount: Amount, format: Format, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if amount.sign() == 0 {
        return f.write_str("0");
    }
    match format {
        Format::BinarySi => match binary(amount) {
            Some((number, suffix)) => write!(f, "{number}{suffix}"),
            None => decimal(amount, f),
        },
        Format::DecimalSi => decimal(amount, f),
        Format::DecimalExponent => {
            let (mantissa, scale) = thousands(amount);
            if scale == 0 { write!(f, "{mantissa}") } else { write!(f, "{mantissa}e{scale}") }
        }
    }
}

/// The amount in units of 1024^n; none where it has a fraction or is below 1024, which print as decimals.
fn binary(amount: Amount) -> Option<(i128, &'static str)> {
    let limit = Amount::new(1024, 0);
    if !amount.is_whole() || (amount < limit && amount.neg() < limit) {
        return None;
    }
    let (mut number, mut step) = (amount.at_scale(0), 0);
    while step + 1 < BINARY.len() && number % 1024 == 0 {
        number /= 1024;
        step += 1;
    }
    Some((number, BINARY[step]))
}

/// The scale rounded down to a multiple of three.
fn thousands(amount: Amount) -> (i128, i32) {
    let (_, scale) = amount.parts();
    let scale = scale.div_euclid(3) * 3;
    (amount.at_scale(scale), scale)
}

fn decimal(amount: Amount, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let (mantissa, scale) = thousands(amount);
    if let Some((suffix, _)) = DECIMAL.iter().find(|(_, s)| *s == scale) {
        return write!(f, "{mantissa}{suffix}");
    }
    // Past the last suffix the digits are written out.
    write!(f, "{mantissa}")?;
    (18..scale).try_for_each(|_| f.write_str("0"))?;
    f.write_str("E")
}
