//! The option `progress`: what stands on standard error while a call runs, and that nothing stands on standard output.

mod common;

use std::fs::File;
use std::io::Read;
use std::process::Stdio;

use common::{program, run, text};
use nix::pty::{Winsize, openpty};

/// What a scenario wrote to standard error, which is no terminal.
fn lines(arguments: &[&str]) -> String {
    let output = run(program(env!("CARGO_BIN_EXE_visible")).args(arguments).env_remove("RUST_BACKTRACE"));
    assert_eq!(text(&output.stdout), "", "{arguments:?} wrote to standard output");
    text(&output.stderr)
}

#[test]
fn without_a_terminal_the_last_line_has_every_task() {
    let _guard = common::guard();
    for arguments in [["map", "400"], ["chunks", "400"], ["unordered", "400"]] {
        let lines = lines(&arguments);
        assert!(lines.starts_with("square: 400/400 tasks in ") && lines.lines().count() == 1, "{arguments:?}: {lines}");
    }
    assert_eq!(lines(&["off", "400"]), "");
}

#[test]
fn tasks_count_once_whatever_becomes_of_them() {
    let _guard = common::guard();
    let lines = lines(&["try", "40", "1"]);
    assert!(lines.starts_with("step: 40/40 tasks in ") && lines.lines().count() == 1, "{lines}");
    // Four workers died at their first execution; four tasks returned an error, and four panicked.
    assert!(lines.ends_with("/s, 8 failed, 4 retried\n"), "{lines}");
    let again = self::lines(&["again", "40", "1"]);
    assert!(again.starts_with("step: 40/40 tasks in ") && again.lines().count() == 1, "{again}");
    // Those that return an error or panic are executed twice more.
    assert!(again.ends_with("/s, 8 failed, 20 retried\n"), "{again}");
}

#[test]
fn a_task_that_runs_for_long_is_named() {
    let _guard = common::guard();
    let lines = lines(&["slow", "1", "12500"]);
    let (named, last) = lines.split_once('\n').unwrap();
    assert!(named.starts_with("sleep: 0/1 tasks, ") && named.contains(", task 0 has run for 1"), "{lines}");
    assert!(last.starts_with("sleep: 1/1 tasks in ") && !last.contains("has run"), "{lines}");
}

#[test]
fn a_length_that_is_not_known_is_not_shown() {
    let _guard = common::guard();
    let unknown = lines(&["unknown", "300"]);
    assert!(unknown.starts_with("square: 150 tasks in "), "{unknown}");
    let endless = lines(&["endless"]);
    assert!(endless.starts_with("square: ended at ") && !endless.contains('/'), "{endless}");
}

#[test]
fn a_call_that_ends_early_says_so() {
    let _guard = common::guard();
    let dropped = lines(&["dropped", "100", "50"]);
    assert!(dropped.starts_with("sleep: ended at ") && dropped.contains("/100 tasks"), "{dropped}");
    let failed = lines(&["fails", "100", "1"]);
    assert!(failed.starts_with("step: ended at ") && failed.contains(" of `visible::step` "), "{failed}");
    let panicked = lines(&["panics", "1", "1"]);
    assert!(panicked.ends_with('\n') && panicked.contains("\nsleep: ended at "), "{panicked}");
}

#[test]
fn a_long_call_writes_a_line_now_and_then() {
    let _guard = common::guard();
    let lines = lines(&["slow", "36", "400"]);
    let (last, before) =
        lines.lines().collect::<Vec<_>>().split_last().map(|(last, rest)| (*last, rest.len())).unwrap();
    assert!((1..=3).contains(&before) && lines.contains(" s left\n"), "{lines}");
    assert!(last.starts_with("sleep: 36/36 tasks in "), "{lines}");
}

/// What a scenario draws on a terminal of so many columns.
fn drawn(columns: u16, arguments: &[&str]) -> String {
    let size = Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    let pty = openpty(Some(&size), None).unwrap();
    let mut command = program(env!("CARGO_BIN_EXE_visible"));
    command.args(arguments).env("TERM", "xterm").env_remove("RUST_BACKTRACE");
    command.stdout(Stdio::null()).stderr(Stdio::from(pty.slave));
    let mut child = common::Killed(command.spawn().unwrap());
    // The command holds the terminal's other end too.
    drop(command);
    let mut master = File::from(pty.master);
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let mut part = [0; 4096];
        // A terminal whose other end is closed is an error on Linux.
        while let Ok(count @ 1..) = master.read(&mut part) {
            bytes.extend_from_slice(&part[..count]);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    });
    common::wait_until("the program ends", || child.0.try_wait().unwrap().is_some());
    reader.join().unwrap()
}

/// The lines of what was drawn one over the other on a terminal of so many columns, without what moves the cursor.
fn frames(drawn: &str, columns: usize) -> Vec<String> {
    let mut frames = vec![String::new()];
    let mut letters = drawn.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\u{1b}' => while letters.next().is_some_and(|letter| !letter.is_ascii_alphabetic()) {},
            '\r' | '\n' => frames.push(String::new()),
            letter => {
                frames.last_mut().unwrap().push(letter);
                if frames.last().unwrap().chars().count() == columns {
                    frames.push(String::new());
                }
            }
        }
    }
    frames.retain(|frame| !frame.trim().is_empty());
    frames
}

#[test]
fn a_terminal_gets_a_bar_that_fits() {
    let _guard = common::guard();
    for columns in [80, 50, 30, 12] {
        let frames = frames(&drawn(columns, &["slow", "6", "300"]), columns.into());
        // What wraps goes on in a line that begins in another way.
        let begins =
            |frame: &String| frame.starts_with("sleep ") || frame.starts_with(|letter: char| letter.is_ascii_digit());
        assert!(frames.iter().all(begins), "at {columns} columns: {frames:?}");
        assert!(frames.iter().any(|frame| frame.contains("/6")), "at {columns} columns: {frames:?}");
        if columns == 80 {
            assert!(frames.iter().any(|frame| frame.contains('░') && frame.contains("/6, ")), "{frames:?}");
            assert!(frames.last().unwrap().contains("█ 6 in "), "{frames:?}");
        }
    }
}

#[test]
fn errors_stand_on_lines_of_their_own_below_the_bar() {
    let _guard = common::guard();
    let frames = frames(&drawn(80, &["fails", "100", "1"]), 80);
    let place = frames.iter().position(|frame| frame.contains(" of `visible::step` "));
    assert!(place.is_some_and(|place| frames[place - 1].contains(" ended at ")), "{frames:?}");
}

#[test]
fn a_length_that_is_not_known_has_no_bar() {
    let _guard = common::guard();
    let unknown = frames(&drawn(80, &["unknown", "300"]), 80);
    assert!(unknown.last().unwrap().starts_with("square 150 in "), "{unknown:?}");
}
