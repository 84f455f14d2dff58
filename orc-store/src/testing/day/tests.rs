//! The day passes over a medium that keeps its promises, and notices each broken one.

use std::time::Duration;

use super::*;

fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(future)
}

fn live(tape: Tape, seed: u64, minutes: u64) -> Result<Report, BrokenDay> {
    let day = Day::of(tape).seed(seed).lasting(Duration::from_secs(60 * minutes));
    run(day.lives(Duration::from_secs(180), 80).live())
}

#[test]
fn a_sound_medium_passes() {
    let (mut lost, mut unanswered, mut failures) = (0, 0, 0);
    for seed in 0..6 {
        let report = live(Tape::new(), seed, 20).unwrap_or_else(|broken| panic!("{broken}"));
        let busy = report.crashes > 2 && report.changes > 500 && report.lists > 10 && report.resumed > 8;
        assert!(busy && report.lasted >= Duration::from_secs(1200), "{report}");
        lost += report.lost_relaxed;
        unanswered += report.unanswered;
        failures += report.failed_writes;
    }
    assert!(lost > 20 && unanswered > 1 && failures > 20, "{lost} lost, {unanswered} unanswered, {failures} failures");
}

#[test]
fn a_day_is_a_function_of_its_seed() {
    let day = |seed| live(Tape::new(), seed, 20).unwrap();
    assert_eq!(day(3), day(3));
    assert_ne!(day(3), day(4));
}

/// A day over a medium with a defect ends with the law that the defect breaks.
fn notices(defect: Defect, law: &str) {
    let broken = (0..8).find_map(|seed| live(Tape::with(defect), seed, 60).err());
    let broken = broken.unwrap_or_else(|| panic!("{defect:?} is not noticed"));
    assert!(broken.violation.law.contains(law), "{defect:?}: {broken}");
    assert!(broken.to_string().contains("ORC_DAY_SEED="), "{broken}");
}

#[test]
fn lost_changes_are_noticed() {
    notices(Defect::LosesAcknowledged, "everything acknowledged as durable is there");
    notices(Defect::LosesFromTheMiddle, "everything acknowledged as durable is there");
    notices(Defect::LosesAtStop, "everything acknowledged as durable is there");
}

#[test]
fn changes_that_nobody_made_are_noticed() {
    notices(Defect::InventsChanges, "what is there was asked for");
    notices(Defect::GarblesChanges, "what is there was asked for");
}

#[test]
fn revisions_that_are_used_again_are_noticed() {
    notices(Defect::ReusesRevisions, "no revision is used twice");
}

#[test]
fn gaps_in_feeds_are_noticed() {
    // The writer reads what the feed told the store, and is refused.
    notices(Defect::FeedsWithGaps, "a write succeeds, or the medium has failed");
}
