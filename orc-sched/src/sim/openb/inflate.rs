//! The order in which tasks come.

use orc_core::env::Rng;

use super::trace::{Task, Trace};

/// How much more GPU than there is the tasks ask for together, so that capacity is reached whatever the list.
const DEMAND: f64 = 1.3;

/// The tasks in the order of a seed: sorted by name, shuffled, and then as many drawn again as it takes to ask for 1.3 times the
/// cluster's GPU; where there are more already, random ones are left out.
pub fn arrivals<'a>(trace: &'a Trace, rng: &Rng) -> Vec<&'a Task> {
    let mut tasks: Vec<&Task> = trace.tasks.iter().collect();
    tasks.sort_by(|a, b| a.name.cmp(&b.name));
    shuffle(&mut tasks, rng);
    let most = (trace.capacity() as f64 * DEMAND) as i64;
    let mut demand: i64 = tasks.iter().map(|task| task.ask.gpu()).sum();
    while demand > most {
        let gone = tasks.remove(draw(rng, tasks.len()));
        demand -= gone.ask.gpu();
    }
    let drawn_from = tasks.clone();
    // A list without demand for GPU cannot be inflated.
    while demand > 0 {
        let next = drawn_from[draw(rng, drawn_from.len())];
        if demand + next.ask.gpu() > most {
            break;
        }
        demand += next.ask.gpu();
        tasks.push(next);
    }
    tasks
}

/// Fisher and Yates.
pub(super) fn shuffle<T>(items: &mut [T], rng: &Rng) {
    for last in (1..items.len()).rev() {
        items.swap(last, draw(rng, last + 1));
    }
}

fn draw(rng: &Rng, below: usize) -> usize {
    usize::try_from(rng.below(below as u64)).unwrap_or_default()
}
