//! Files that are damaged, are something else, or cannot be written.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;

use super::common::guard;
use super::records::{HEAD_BYTES, outputs};
use super::{JOURNALED, Place};

#[test]
fn a_record_that_was_cut_short_is_dropped_wherever_it_was() {
    let _guard = guard();
    let place = Place::new();
    let expected = place.run("one by one", 8).printed;
    let whole = fs::read(place.journal()).unwrap();
    let last = *outputs(&place.journal()).last().unwrap();
    let cuts = (last + 1..whole.len()).step_by(if cfg!(debug_assertions) { 5 } else { 1 });
    for cut in cuts.chain([last + HEAD_BYTES, whole.len() - 1]) {
        fs::write(place.journal(), &whole[..cut]).unwrap();
        let again = place.run("one by one", 8);
        assert_eq!((again.printed, again.executed.len()), (expected.clone(), 1), "cut at {cut}");
        assert!(again.stderr.contains(&format!("{} bytes are dropped", cut - last)), "{}", again.stderr);
        assert_eq!(outputs(&place.journal()).len(), 8);
        assert_eq!(place.run("one by one", 8).stderr.lines().count(), 1, "nothing is dropped any more");
    }
}

#[test]
fn a_file_that_is_damaged_or_something_else_is_refused_and_not_changed() {
    let _guard = guard();
    let place = Place::new();
    place.run("map", 8);
    let whole = fs::read(place.journal()).unwrap();
    let starts = outputs(&place.journal());
    let refused = |bytes: &[u8], says: &str| {
        fs::write(place.journal(), bytes).unwrap();
        let ran = place.run("map", 8);
        assert!(ran.printed.starts_with("error: could not use the journal"), "{}", ran.printed);
        assert!(ran.printed.contains(place.journal().to_str().unwrap()), "{}", ran.printed);
        assert!(ran.printed.contains(says) && ran.printed.contains("option: true"), "{}", ran.printed);
        assert!(ran.executed.is_empty());
        assert_eq!(fs::read(place.journal()).unwrap(), bytes);
    };
    for at in [starts[2], starts[3] + 5, starts[4] + 9, starts[5] + HEAD_BYTES + 3, starts[6] + 50] {
        let mut changed = whole.clone();
        changed[at] ^= 0x40;
        refused(&changed, "it is damaged at byte ");
    }
    let mut changed = whole.clone();
    changed[30] ^= 1;
    refused(&changed, "its header is damaged");
    changed.clone_from(&whole);
    changed[16] = 9;
    refused(&changed, "version 9");
    refused(b"step,result\n1,2\n", "the file is no journal");
    refused(b"x", "the file is no journal");
    // The last record may be what a machine was writing when its power failed.
    changed.clone_from(&whole);
    *changed.last_mut().unwrap() ^= 1;
    fs::write(place.journal(), &changed).unwrap();
    assert_eq!(place.run("map", 8).executed.len(), 1);
}

#[test]
fn paths_that_cannot_be_a_journal_are_errors() {
    let _guard = guard();
    let place = Place::new();
    let ran = |path: &Path| {
        let mut command = place.command_of(Path::new(JOURNALED), "map", 3);
        if fs::metadata(place.0.path()).unwrap().uid() == 0 {
            // Whom the permissions of files hold for.
            command.uid(65534).gid(65534);
        }
        let ran = place.ran(command.arg(path));
        assert!(ran.printed.starts_with("error: could not use the journal"), "{}", ran.printed);
        assert!(ran.printed.contains(path.to_str().unwrap()) && ran.executed.is_empty(), "{}", ran.printed);
        ran.printed
    };
    assert!(ran(place.0.path()).contains("no regular file") || !cfg!(target_os = "linux"));
    assert!(ran(Path::new("/no/such/folder/journal")).contains("No such file"));
    assert!(ran(Path::new("/dev/full")).contains("no regular file"));
    let read_only = place.0.path().join("read-only");
    fs::write(&read_only, "").unwrap();
    fs::set_permissions(&read_only, fs::Permissions::from_mode(0o444)).unwrap();
    fs::set_permissions(place.0.path(), fs::Permissions::from_mode(0o755)).unwrap();
    assert!(ran(&read_only).contains("Permission denied"));
}
