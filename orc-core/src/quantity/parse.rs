//! Reading quantities.

use super::{Format, Quantity, QuantityError, amount::Amount};

/// Decimal places kept: a nano is the smallest amount.
const NANO: i32 = -9;

/// Digits that always fit into an `i128`.
const DIGITS: usize = 37;

/// Splits into sign, whole digits, fraction digits and suffix.
fn split(text: &str) -> Result<(bool, &str, &str, &str), QuantityError> {
    let (negative, rest) = match text.as_bytes().first() {
        None => return Err(QuantityError::Form),
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        Some(_) => (false, text),
    };
    let digits = |t: &str| t.bytes().take_while(u8::is_ascii_digit).count();
    let (whole, rest) = rest.split_at(digits(rest));
    let (fraction, suffix) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(digits(rest)),
        None => ("", rest),
    };
    let letters = suffix.bytes().take_while(|b| b"eEinumkKMGTP".contains(b)).count();
    let tail = suffix[letters..].trim_start_matches(['+', '-']);
    let signs = suffix.len() - letters - tail.len();
    if signs > 1 || !tail.bytes().all(|b| b.is_ascii_digit()) {
        return Err(QuantityError::Form);
    }
    if whole.is_empty() && fraction.is_empty() && suffix.is_empty() && !text.contains('.') {
        return Err(QuantityError::Form);
    }
    Ok((negative, whole.trim_start_matches('0'), fraction, suffix))
}

/// Whether Kubernetes keeps the spelling of a quantity instead of writing it anew: where a quick look says that it is the
/// canonical one, which lets a few others pass (`+1`, `1.`, `1.500`). The rule of `ParseQuantity` in apimachinery's `resource`.
pub(super) fn keeps_spelling(text: &str) -> bool {
    /// Digits that are sure to fit into 64 bits.
    const SURE: usize = 18;
    let Ok((_, whole, fraction, suffix)) = split(text) else { return false };
    let Ok((_, exponent, format)) = factor(suffix) else { return false };
    let whole = if whole.is_empty() { "0" } else { whole };
    let digits = format!("{whole}{fraction}");
    let Ok(number) = digits.parse::<i64>() else { return false };
    if format == Format::BinarySi {
        // Each factor of 1024 takes three digits of the fifteen that are sure to fit.
        let taken = whole.len() + usize::try_from(exponent * 3 / 10 + 1).unwrap_or(usize::MAX);
        return fraction.is_empty() && taken <= 15 && number & 7 != 0;
    }
    let scale = exponent - i32::try_from(fraction.len()).unwrap_or(i32::MAX);
    digits.len() <= SURE && scale >= NANO && scale % 3 == 0 && !digits.ends_with("000") && !digits.starts_with('0')
}

/// The factor of a suffix: base two or ten, and its exponent.
fn factor(suffix: &str) -> Result<(u32, i32, Format), QuantityError> {
    let decimal = |exponent| Ok((10, exponent, Format::DecimalSi));
    let binary = |exponent| Ok((2, exponent, Format::BinarySi));
    match suffix {
        "" => decimal(0),
        "n" => decimal(-9),
        "u" => decimal(-6),
        "m" => decimal(-3),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => binary(10),
        "Mi" => binary(20),
        "Gi" => binary(30),
        "Ti" => binary(40),
        "Pi" => binary(50),
        "Ei" => binary(60),
        _ => {
            let exponent = suffix.strip_prefix(['e', 'E']).ok_or(QuantityError::Suffix)?;
            let exponent: i32 = exponent.parse().map_err(|_| QuantityError::Suffix)?;
            // Kept small enough that scales never overflow.
            Ok((10, exponent.clamp(-1_000_000, 1_000_000), Format::DecimalExponent))
        }
    }
}

pub(super) fn quantity(text: &str) -> Result<Quantity, QuantityError> {
    let (negative, whole, fraction, suffix) = split(text)?;
    let (base, exponent, mut format) = factor(suffix)?;
    let mut digits = format!("{whole}{fraction}");
    let mut scale = -i32::try_from(fraction.len()).map_err(|_| QuantityError::Number)?;
    let mut more = false;
    if digits.len() > DIGITS {
        more = digits[DIGITS..].bytes().any(|b| b != b'0');
        scale += i32::try_from(digits.len() - DIGITS).map_err(|_| QuantityError::Number)?;
        digits.truncate(DIGITS);
    }
    let mut mantissa: i128 = if digits.is_empty() { 0 } else { digits.parse().map_err(|_| QuantityError::Number)? };
    if more {
        mantissa += 1;
    }
    if base == 10 {
        scale += exponent;
    } else {
        (mantissa, scale) = shift(mantissa, scale, exponent);
    }
    let mut amount = Amount::new(mantissa, scale);
    if amount.parts().1 < NANO {
        amount = Amount::new(amount.at_scale(NANO), NANO);
    }
    if format == Format::BinarySi {
        amount = amount.min(Amount::new(i128::from(i64::MAX), 0));
        if amount.sign() > 0 && amount < Amount::new(1, 0) {
            format = Format::DecimalSi;
        }
    }
    Ok(Quantity { amount: if negative { amount.neg() } else { amount }, format })
}

/// `mantissa * 2^exponent` at a decimal scale; digits that an `i128` cannot hold are given up from the end.
fn shift(mut mantissa: i128, mut scale: i32, exponent: i32) -> (i128, i32) {
    let factor = 1_i128 << exponent;
    loop {
        if let Some(product) = mantissa.checked_mul(factor) {
            return (product, scale);
        }
        mantissa = mantissa / 10 + (mantissa % 10).signum();
        scale += 1;
    }
}
