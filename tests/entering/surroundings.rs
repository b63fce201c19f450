//! Descriptors, environment and folder of workers.

use crate::ENTERED;
use crate::common::{self, program, run, text};

#[test]
fn a_worker_has_its_own_files_and_none_of_its_parents() {
    let _guard = common::guard();
    let folder = tempfile::tempdir().unwrap();
    let output = run(program(ENTERED).arg("descriptors").arg(folder.path()).env("TMPDIR", folder.path()));
    let stdout = text(&output.stdout);
    let mut lines = stdout.lines();
    assert_eq!(lines.next(), Some("main runs"), "{stdout}{}", text(&output.stderr));
    for kind in ["pool", "process"] {
        let line = lines.next().unwrap_or_default();
        let logs = [0, 1, 2].map(|log| format!("true {}/log{log}", folder.path().display()));
        let gone = "No such file or directory (os error 2)";
        let expected = ["/dev/null", gone, &logs[0], &logs[1], &logs[2], ""];
        assert_eq!(line, format!("{expected:?}"), "{kind}");
    }
    for log in 0..3 {
        // The process has emptied what the pool's worker wrote: each opens the files anew.
        assert_eq!(std::fs::read_to_string(folder.path().join(format!("log{log}"))).unwrap(), "a task\n");
    }
}

#[test]
fn closed_streams_of_the_parent_change_nothing() {
    let _guard = common::guard();
    let output = run(program("sh").args(["-c", "exec \"$0\" double <&-", ENTERED]));
    assert_eq!((text(&output.stdout), text(&output.stderr)), ("main runs\n[2, 4, 6]\n".to_owned(), String::new()));
}

#[test]
#[cfg(target_os = "linux")]
fn all_workers_of_a_pool_have_the_umask_of_its_start() {
    let _guard = common::guard();
    let output = run(program(ENTERED).arg("umask"));
    assert_eq!((text(&output.stdout), text(&output.stderr)), ("main runs\n{\"027\"} 077\n".to_owned(), String::new()));
}

#[test]
fn all_workers_of_a_pool_have_the_environment_and_the_folder_of_its_start() {
    let _guard = common::guard();
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().canonicalize().unwrap().join("inner");
    std::fs::create_dir(&inner).unwrap();
    let output = run(program(ENTERED).arg("alike").arg(&inner).current_dir("/").env("POOLMAP_WORKERS", "1"));
    let expected = format!(
        "main runs\npool {{({inner:?}, \"before+kept\")}}\nglobal [(\"/\", \"after+\")]\nremoved {{\"before+kept\"}}\n\
         global [(\"/\", \"after+\")]\nprocess (\"/\", \"at last+\")\n",
    );
    assert_eq!((text(&output.stdout), text(&output.stderr)), (expected, String::new()));
}
