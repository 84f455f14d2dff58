//! A test for each fuzz target of a crate; tests take this in by its path.

/// Tests of the targets by name; `TARGETS`, `CASES` and `drive_some` are those of the caller. All targets must be named, and each
/// must have a program in `fuzz/`.
macro_rules! targets {
    ($($name:ident)*) => {
        $(#[test] fn $name() { drive_some(TARGETS, stringify!($name), CASES); })*

        #[test]
        fn all_targets_have_a_test() {
            let tested = [$(stringify!($name)),*];
            assert_eq!(TARGETS.iter().map(|target| target.name).collect::<Vec<_>>(), tested);
            let programs = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/Cargo.toml"));
            assert!(tested.iter().all(|name| programs.contains(&format!("name = \"{name}\""))), "each has a program");
        }
    };
}
