//! What the real kubectl can do with a real cluster, verb by verb: the table is in `rows/`, the page about it is `docs/kubectl.md`.
//!
//! The cluster is `orc up` with two nodes of this machine; pods run programs by the image `host`. Rows run side by side, each in a
//! namespace of its own where it changes something. `ORC_KUBECTL_ROWS=TEXT` runs only the rows that have the text in their verb or
//! line. A row for a newer or an older kubectl than the one on the path is skipped, by name.

#![allow(unreachable_pub, reason = "the modules of a test binary are seen by nobody else")]

mod client;
mod page;
mod row;
mod rows;
mod run;
#[path = "../support/mod.rs"]
mod support;

use run::{Numbered, World};

#[test]
fn every_verb_does_what_the_table_says() {
    let table = rows::all();
    let only = std::env::var("ORC_KUBECTL_ROWS").unwrap_or_default();
    let numbered = table.iter().enumerate().map(|(number, row)| Numbered { number, row });
    let chosen: Vec<_> = numbered.filter(|one| one.row.verb.contains(&only) || one.row.line.contains(&only)).collect();
    assert!(!chosen.is_empty(), "no row has {only:?} in it");
    let world = World::up(&chosen);
    let minor = client::minor(&world.cluster);
    let (fit, other): (Vec<_>, Vec<_>) = chosen.into_iter().partition(|one| one.row.minors.contains(&minor));
    for Numbered { row, .. } in &other {
        let std::ops::Range { start, end } = row.minors;
        let needs = if minor < start { format!("1.{start} or later") } else { format!("one before 1.{end}") };
        println!("skipped: {}: {} (kubectl is 1.{minor}; the row needs {needs})", row.verb, row.line);
    }
    let wrong = world.run(&fit);
    let count = wrong.len();
    assert!(wrong.is_empty(), "{count} of {} rows are wrong (kubectl 1.{minor}):\n\n{}", fit.len(), wrong.join("\n\n"));
}
