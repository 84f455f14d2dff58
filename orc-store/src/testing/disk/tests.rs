//! The fake disk keeps what was synced and nothing else for sure.

use std::collections::BTreeSet;

use super::*;

fn file(disk: &FakeDisk) -> Arc<dyn DiskFile> {
    disk.open("a", OpenMode::Create).unwrap()
}

#[test]
fn a_crash_keeps_what_was_synced_and_tears_the_rest_at_sectors() {
    let mut torn = 0;
    for seed in 0..50 {
        let disk = FakeDisk::new();
        let written = file(&disk);
        written.write_at(0, &[1; 2048]).unwrap();
        written.sync_data().unwrap();
        disk.sync_dir().unwrap();
        written.write_at(512, &[2; 1536]).unwrap();
        let after = disk.crashed(&Rng::seeded(seed)).content("a").unwrap();
        assert_eq!(after[..512], [1; 512]);
        assert!(after.chunks(512).all(|sector| sector.iter().all(|byte| *byte == sector[0])));
        torn += usize::from(after.contains(&1) && after[512..].contains(&1) && after[512..].contains(&2));
    }
    assert!(torn > 5, "{torn} of 50 writes were torn");
}

#[test]
fn names_are_lost_without_a_sync_of_the_folder() {
    let disk = FakeDisk::new();
    file(&disk).sync_data().unwrap();
    let kept = (0..20).filter(|seed| disk.crashed(&Rng::seeded(*seed)).content("a").is_some()).count();
    assert!(kept > 0 && kept < 20);
    disk.sync_dir().unwrap();
    assert!((0..20).all(|seed| disk.crashed(&Rng::seeded(seed)).content("a").is_some()));
}

#[test]
fn a_failed_sync_loses_what_a_later_one_reports_as_synced() {
    let disk = FakeDisk::new();
    let written = file(&disk);
    disk.sync_dir().unwrap();
    let kind = ErrorKind::Other;
    disk.fault(Some(DiskFault { after: 0, of: Some(DiskOp::Sync), kind, lasting: false }));
    written.write_at(0, b"x").unwrap();
    assert_eq!(written.sync_data().unwrap_err().kind(), kind);
    written.sync_data().unwrap();
    assert_eq!(disk.content("a").unwrap(), b"x");
    assert_eq!(disk.crashed(&Rng::seeded(1)).content("a").unwrap(), b"");
}

#[test]
fn a_full_disk_refuses_growth_and_the_power_fails_for_good() {
    let disk = FakeDisk::new();
    let written = file(&disk);
    disk.capacity(Some(10));
    written.write_at(0, &[1; 10]).unwrap();
    assert_eq!(written.write_at(5, &[1; 6]).unwrap_err().kind(), ErrorKind::StorageFull);
    disk.fail_after(1);
    written.write_at(0, b"y").unwrap();
    // The power fails in this write: it is answered with an error, and may be found all the same.
    assert!(written.write_at(0, b"z").is_err());
    let first = |content: Option<Vec<u8>>| content.and_then(|bytes| bytes.first().copied()).unwrap_or_default();
    let seen: BTreeSet<u8> = (0..64).map(|seed| first(disk.crashed(&Rng::seeded(seed)).content("a"))).collect();
    assert!(seen.contains(&b'z') && seen.contains(&b'y'), "{seen:?}");
    // All later operations are of no effect.
    assert!(written.write_at(0, b"w").is_err() && written.sync_data().is_err() && disk.sync_dir().is_err());
    assert_eq!(disk.content("a").unwrap()[0], b'z');
}
