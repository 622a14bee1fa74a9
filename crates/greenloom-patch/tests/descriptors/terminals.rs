//! Terminals: they know no way of not waiting but their mode, which other processes share.

use crate::plain::*;
use crate::{sandbox, tasks};
use greenloom::{sleep, spawn};
use std::os::fd::{AsRawFd, OwnedFd};

/// The side of the program that shows the terminal, and the terminal.
fn terminal() -> (OwnedFd, OwnedFd) {
    // SAFETY: the pointers are valid for the calls.
    unsafe {
        let (mut shown, mut terminal) = (0, 0);
        let null = std::ptr::null_mut();
        assert_eq!(libc::openpty(&mut shown, &mut terminal, null, null.cast(), null.cast()), 0);
        (own(shown), own(terminal))
    }
}

#[test]
fn a_read_waits_for_a_line() {
    sandbox::begin();
    let (shown, terminal) = terminal();
    let task = waiting(move || {
        let mut line = [0; 80];
        let read = read(&terminal, &mut line);
        (read, line, terminal)
    });
    assert_eq!(write(&shown, b"ab"), Ok(2));
    sleep(5 * MS);
    assert!(!task.is_finished());
    assert_eq!(write(&shown, b"c\n"), Ok(2));
    let (read, line, _terminal) = task.join().unwrap();
    assert_eq!(read, Ok(4));
    assert_eq!(&line[..4], b"abc\n");
}

#[test]
fn an_emulator_s_write_waits_for_a_reader_on_the_same_thread() {
    sandbox::begin();
    let (shown, terminal) = terminal();
    // Without lines there is no limit to their length.
    // SAFETY: zeros are a valid mode, and it is valid for the calls.
    unsafe {
        let mut mode: libc::termios = std::mem::zeroed();
        assert_eq!(libc::tcgetattr(terminal.as_raw_fd(), &mut mode), 0);
        libc::cfmakeraw(&mut mode);
        assert_eq!(libc::tcsetattr(terminal.as_raw_fd(), libc::TCSANOW, &mode), 0);
    }
    let data = pattern(200_000);
    let expected = data.clone();
    let writer = waiting(move || (write(&shown, &data), shown));
    let reader = spawn(move || {
        let mut all = Vec::new();
        let mut buffer = [0; 10_000];
        while all.len() < 200_000 {
            let len = read(&terminal, &mut buffer).unwrap() as usize;
            all.extend_from_slice(&buffer[..len]);
        }
        all
    });
    let (written, shown) = writer.join().unwrap();
    assert_eq!(written, Ok(200_000));
    assert!(reader.join().unwrap() == expected);
    assert_eq!(flags(&shown) & libc::O_NONBLOCK, 0);
}

#[test]
fn a_full_terminal_is_waited_for() {
    sandbox::begin();
    let (shown, terminal) = terminal();
    let full = terminal.try_clone().unwrap();
    // SAFETY: takes no pointer. The other way to be full: stopped by its user.
    assert_eq!(unsafe { libc::tcflow(full.as_raw_fd(), libc::TCOOFF) }, 0);
    let task = waiting(move || write(&terminal, b"data"));
    // SAFETY: as above.
    assert_eq!(unsafe { libc::tcflow(full.as_raw_fd(), libc::TCOON) }, 0);
    assert_eq!(task.join().unwrap(), Ok(4));
    assert_eq!(read(&shown, &mut [0; 8]), Ok(4));
}

#[test]
fn a_nonblocking_one_gives_eagain() {
    sandbox::begin();
    let (shown, terminal) = terminal();
    set_nonblocking(&terminal);
    assert_eq!(read(&terminal, &mut [0; 8]), Err(libc::EAGAIN));
    assert_eq!(flags(&terminal) & libc::O_NONBLOCK, libc::O_NONBLOCK);
    assert!(shown.as_raw_fd() >= 0);
    assert_eq!(tasks::parks(), 0);
}
