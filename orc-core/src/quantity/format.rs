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
            let (digits, scale) = thousands(amount);
            if scale == 0 { f.write_str(&digits) } else { write!(f, "{digits}e{scale}") }
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

/// The digits at the scale rounded down to a multiple of three, and that scale. As text: with up to two more zeros they may be
/// too many for a number.
fn thousands(amount: Amount) -> (String, i32) {
    let (mantissa, exact) = amount.parts();
    let scale = exact.div_euclid(3) * 3;
    (format!("{mantissa}{}", ["", "0", "00"][exact.abs_diff(scale) as usize]), scale)
}

fn decimal(amount: Amount, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let (digits, scale) = thousands(amount);
    f.write_str(&digits)?;
    if let Some((suffix, _)) = DECIMAL.iter().find(|(_, s)| *s == scale) {
        return f.write_str(suffix);
    }
    // Past the last suffix the digits are written out.
    (18..scale).try_for_each(|_| f.write_str("0"))?;
    f.write_str("E")
}
