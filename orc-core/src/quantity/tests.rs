//! Tests of parsing, printing and arithmetic.

use super::*;
use proptest::prelude::*;

fn q(text: &str) -> Quantity {
    Quantity::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"))
}

#[test]
fn canonical_forms() {
    for (text, canonical) in [
        ("0", "0"),
        ("1", "1"),
        ("1000m", "1"),
        ("0.5", "500m"),
        ("1.5Gi", "1536Mi"),
        ("1024Mi", "1Gi"),
        ("1Ki", "1Ki"),
        ("1000Ki", "1000Ki"),
        ("1000", "1k"),
        ("1500", "1500"),
        ("12e6", "12e6"),
        ("1e3", "1e3"),
        ("100Mi", "100Mi"),
        ("0.5Ki", "512"),
        ("0.1Ki", "102400m"),
        ("-1500m", "-1500m"),
        ("+5", "5"),
        (".5", "500m"),
        ("5.", "5"),
        ("1n", "1n"),
        ("0.1n", "1n"),
        ("1E", "1E"),
        ("1e2", "100"),
        ("1e-1", "100e-3"),
        ("1Ei", "1Ei"),
        ("100000000000000000000", "100E"),
        ("64Ei", "9223372036854775807"),
        ("0.00001Ki", "10240u"),
        ("1e5", "100e3"),
        ("9223372036854775807758077580775807759e20", "922337203685477580775807758077580775900e18"),
    ] {
        assert_eq!(q(text).to_string(), canonical, "{text}");
    }
}

#[test]
fn refuses_others() {
    for text in ["", "abc", "1.2.3", "1 ", " 1", "1--1", "1e3x", "-", "1i "] {
        assert_eq!(Quantity::parse(text), Err(QuantityError::Form), "{text:?}");
    }
    for text in ["1KK", "1Kii", "1i", "1K", "1mm", "1e+", "1kM5", "++1"] {
        assert_eq!(Quantity::parse(text), Err(QuantityError::Suffix), "{text:?}");
    }
}

#[test]
fn values_round_up() {
    assert_eq!((q("100m").value(), q("1001m").value(), q("-100m").value()), (1, 2, -1));
    assert_eq!((q("1.5").milli_value(), q("1u").milli_value(), q("1Ki").milli_value()), (1500, 1, 1_024_000));
    assert_eq!(q("1e30").value(), i64::MAX);
    assert_eq!((q("1500m").as_integer(), q("2").as_integer()), (None, Some(2)));
}

#[test]
fn order_and_sums() {
    assert_eq!(q("1"), q("1000m"));
    assert!(q("1Gi") > q("1G") && q("-1") < q("0") && q("-2") < q("-1") && q("1e100") > q("1Ei"));
    assert_eq!(q("1Gi").add(q("1Mi")).to_string(), "1025Mi");
    assert_eq!(q("1").sub(q("100m")).to_string(), "900m");
    assert_eq!(Quantity::ZERO.add(q("1Ki")).to_string(), "1Ki");
    assert_eq!(q("100m").mul(3).to_string(), "300m");
}

proptest! {
    #[test]
    fn print_parses_back(text in "-?[0-9]{1,12}(\\.[0-9]{0,9})?(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|e-?[0-9])?") {
        let first = q(&text);
        let printed = first.to_string();
        prop_assert_eq!(q(&printed), first, "{} printed {}", text, printed);
        prop_assert_eq!(q(&printed).to_string(), printed);
    }

    #[test]
    fn sums_undo(a in any::<i32>(), b in any::<i32>()) {
        let (a, b) = (Quantity::from_milli(a.into()), Quantity::from_integer(b.into(), Format::BinarySi));
        prop_assert_eq!(a.add(b).sub(b), a);
        prop_assert_eq!(a.cmp(&b), a.sub(b).sign().cmp(&0));
    }

    #[test]
    fn never_panics(text in "[-+0-9.eEinumkKMGTP]{0,60}") {
        if let Ok(quantity) = Quantity::parse(&text) {
            let _ = (quantity.to_string(), quantity.value(), quantity.milli_value(), quantity.add(quantity));
        }
    }
}
