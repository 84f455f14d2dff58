//! `docs/kubectl.md` and the table tell the same.

use std::collections::BTreeMap;

use crate::rows;

const PAGE: &str = include_str!("../../../docs/kubectl.md");

/// The verbs of the page with the least kubectl that it names: rows `| \`verb\` | 1.N | text |`.
fn told() -> BTreeMap<String, String> {
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let lines = PAGE.lines().filter(|line| line.starts_with("| `")).map(cells);
    lines.map(|cells| (cells[0].trim_matches('`').to_owned(), cells[1].clone())).collect()
}

/// The verbs of the table with the least kubectl that any of their rows takes.
fn tested() -> BTreeMap<String, String> {
    let mut least: BTreeMap<String, u32> = BTreeMap::new();
    for row in rows::all() {
        let minor = least.entry(row.verb.to_owned()).or_insert(u32::MAX);
        *minor = (*minor).min(row.minors.start);
    }
    let shown = |minor| if minor == 0 { "any".to_owned() } else { format!("1.{minor}") };
    least.into_iter().map(|(verb, minor)| (verb, shown(minor))).collect()
}

#[test]
fn the_page_lists_the_verbs_of_the_table_and_no_others() {
    let (told, tested) = (told(), tested());
    let missing: Vec<_> = tested.iter().filter(|(verb, since)| told.get(*verb) != Some(since)).collect();
    assert!(missing.is_empty(), "docs/kubectl.md does not have, with this version: {missing:?}");
    let untested: Vec<_> = told.keys().filter(|verb| !tested.contains_key(*verb)).collect();
    assert!(untested.is_empty(), "docs/kubectl.md has verbs that no row tests: {untested:?}");
}

#[test]
fn every_verb_has_a_row_of_bad_input() {
    let rows = rows::all();
    let bad = |verb: &String| rows.iter().any(|row| row.verb == verb && row.code != Some(0));
    let without: Vec<_> = tested().into_keys().filter(|verb| !bad(verb)).collect();
    assert!(without.is_empty(), "no bad input is tried with: {without:?}");
}
