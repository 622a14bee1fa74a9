//! Files pass: they never wait for anybody, and are read and written as whole as libc does it.

use crate::plain::*;
use crate::{hooked, sandbox, tasks};
use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::os::fd::{AsRawFd, IntoRawFd};
use std::os::unix::fs::OpenOptionsExt;

#[test]
fn a_file_is_read_and_written() {
    sandbox::begin();
    let directory = directory("files");
    let data = pattern(200_000);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        // Means nothing to a file.
        .custom_flags(libc::O_NONBLOCK)
        .open(directory.join("file"))
        .unwrap();
    assert_eq!(write(&file, &data), Ok(200_000));
    assert_eq!(write(&file, &[]), Ok(0));
    file.seek(SeekFrom::Start(0)).unwrap();
    let mut buffer = vec![0; 300_000];
    assert_eq!(read(&file, &mut buffer), Ok(200_000));
    assert!(buffer[..200_000] == data);
    assert_eq!(read(&file, &mut buffer), Ok(0));
    assert_eq!(read(&File::open(&directory).unwrap(), &mut buffer), Err(libc::EISDIR));
    assert_eq!(tasks::parks(), 0);
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn what_is_not_in_memory_is_waited_for() {
    sandbox::begin();
    let directory = directory("cold");
    let path = directory.join("file");
    let data = pattern(3_000_000);
    let mut file = File::create_new(&path).unwrap();
    file.write_all(&data).unwrap();
    file.sync_all().unwrap();
    drop(file);
    for is_mistaken in [false, true] {
        let file = File::open(&path).unwrap();
        // SAFETY: takes no pointer.
        unsafe {
            // All but the first half.
            libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED);
            libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_RANDOM);
            let mut first = vec![0; 10_000];
            assert_eq!(libc::pread(file.as_raw_fd(), first.as_mut_ptr().cast(), first.len(), 0), 10_000);
        }
        let file = if is_mistaken { in_place_of_a_pipe(file) } else { file };
        let mut buffer = vec![0; data.len()];
        assert_eq!(read(&file, &mut buffer), Ok(3_000_000));
        assert!(buffer == data);
    }
    std::fs::remove_dir_all(directory).unwrap();
}

/// The file under a number that the hooks know as a pipe's, since its close went unseen.
fn in_place_of_a_pipe(file: File) -> File {
    let (reader, writer) = pipe();
    assert_eq!(write(&writer, b"data"), Ok(4));
    assert_eq!(read(&reader, &mut [0; 4]), Ok(4));
    let fd = reader.into_raw_fd();
    // SAFETY: takes no pointer, and `fd` is ours.
    own(unsafe { libc::dup2(file.as_raw_fd(), fd) }).into()
}

#[test]
fn a_number_may_become_a_file_unseen() {
    sandbox::begin();
    let directory = directory("unseen");
    let path = directory.join("file");
    let file =
        in_place_of_a_pipe(OpenOptions::new().append(true).read(true).create_new(true).open(&path).unwrap());
    let data = pattern(100_000);
    assert_eq!(write(&file, &data), Ok(100_000));
    let mut buffer = vec![0; 200_000];
    let file = in_place_of_a_pipe(File::open(&path).unwrap());
    assert_eq!(read(&file, &mut buffer), Ok(100_000));
    assert!(buffer[..100_000] == data);
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_number_may_become_a_pipe_or_a_socket_unseen() {
    sandbox::begin();
    let directory = directory("unseen2");
    let file = File::create_new(directory.join("file")).unwrap();
    assert_eq!(write(&file, b"data"), Ok(4));
    let fd = file.into_raw_fd();
    let (reader, writer) = pipe();
    // SAFETY: takes no pointer, and `fd` is ours.
    assert_eq!(unsafe { libc::dup2(reader.as_raw_fd(), fd) }, fd);
    let task = waiting(move || read(&fd, &mut [0; 8]));
    assert_eq!(write(&writer, b"data"), Ok(4));
    assert_eq!(task.join().unwrap(), Ok(4));
    let (a, b) = sockets(libc::SOCK_STREAM);
    // SAFETY: as above.
    assert_eq!(unsafe { libc::dup2(a.as_raw_fd(), fd) }, fd);
    let task = waiting(move || read(&fd, &mut [0; 8]));
    assert_eq!(write(&b, b"data"), Ok(4));
    assert_eq!(task.join().unwrap(), Ok(4));
    assert_eq!(hooked::close(fd), 0);
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn devices_without_a_poll_pass() {
    sandbox::begin();
    let null = OpenOptions::new().read(true).write(true).open("/dev/null").unwrap();
    assert_eq!(read(&null, &mut [0; 8]), Ok(0));
    assert_eq!(write(&null, b"data"), Ok(4));
    assert_eq!(read(&File::open("/dev/zero").unwrap(), &mut [0; 8]), Ok(8));
    assert_eq!(read(&File::open("/dev/urandom").unwrap(), &mut [0; 8]), Ok(8));
    let mut status = [0; 100_000];
    assert!(read(&File::open("/proc/self/status").unwrap(), &mut status).unwrap() > 500);
}
