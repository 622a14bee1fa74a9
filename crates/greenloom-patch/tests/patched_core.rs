//! The runtime is linked into the program that is patched, so its own calls are redirected as well. They must not
//! become waits.

mod common;

use common::child::{in_child, stderr};
use common::{ms, patched, together};
use greenloom::net as cooperative;
use greenloom::{hubs, offload, spawn, yield_now};
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, RwLock};
use std::time::Duration;

#[test]
fn its_own_sockets_work_as_before() {
    patched();
    let listener = cooperative::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = spawn(move || {
        for _ in 0..50 {
            let (mut stream, _) = listener.accept().unwrap();
            drop(spawn(move || {
                let mut buffer = [0; 5];
                stream.read_exact(&mut buffer).unwrap();
                stream.write_all(&buffer).unwrap();
            }));
        }
    });
    // A client of std talks to it as well as one of its own.
    let (_, _) = together(50, move |number| {
        let mut answer = [0; 5];
        if number % 2 == 0 {
            let mut stream = cooperative::TcpStream::connect(address).unwrap();
            stream.write_all(b"hello").unwrap();
            stream.read_exact(&mut answer).unwrap();
        } else {
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            stream.write_all(b"hello").unwrap();
            stream.read_exact(&mut answer).unwrap();
        }
        assert_eq!(&answer, b"hello");
    });
    server.join().unwrap();
}

#[test]
fn wake_ups_jobs_and_children_work_as_before() {
    patched();
    let (sums, _) = together(100, |number| offload(move || number * 2));
    assert_eq!(sums.iter().sum::<usize>(), 9900);
    let (outputs, _) = together(5, |number| {
        greenloom::process::Command::new("echo").arg(number.to_string()).output().unwrap().stdout
    });
    assert_eq!(outputs[3], b"3\n");
    let (sender, receiver) = greenloom::sync::channel::bounded(1);
    let thread = std::thread::spawn(move || (0..1000).for_each(|n| sender.send(n).unwrap()));
    let task = spawn(move || receiver.iter().sum::<i32>());
    assert_eq!(task.join().unwrap(), 499_500);
    thread.join().unwrap();
}

#[test]
fn hubs_on_several_threads_share_locks_of_std() {
    patched();
    let hubs = hubs(3);
    let shared = Arc::new(Mutex::new(0_u64));
    let tasks: Vec<_> = (0..30)
        .map(|_| {
            let shared = Arc::clone(&shared);
            hubs.spawn(move || {
                for round in 0..200 {
                    let mut count = shared.lock().unwrap();
                    *count += 1;
                    if round % 50 == 0 {
                        // Held while others of this thread, and of the other threads, want it.
                        std::thread::sleep(ms(1));
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.join().unwrap();
    }
    assert_eq!(*shared.lock().unwrap(), 6000);
    hubs.join();
}

#[test]
fn threads_with_hubs_come_and_go_under_load() {
    patched();
    let ended = Arc::new(AtomicUsize::new(0));
    let threads: Vec<_> = (0..20)
        .map(|_| {
            let ended = Arc::clone(&ended);
            std::thread::spawn(move || {
                let tasks = (0..50).map(|_| {
                    spawn(|| {
                        let (mut reader, mut writer) = std::io::pipe().unwrap();
                        let task = spawn(move || {
                            std::thread::sleep(ms(2));
                            writer.write_all(b"x").unwrap();
                        });
                        let mut text = String::new();
                        reader.read_to_string(&mut text).unwrap();
                        task.join().unwrap();
                        assert_eq!(text, "x");
                    })
                });
                for task in greenloom::join_all(tasks) {
                    task.unwrap();
                }
                // One that never ends is killed with its thread.
                drop(spawn(|| std::thread::sleep(Duration::from_secs(1000))));
                yield_now();
                ended.fetch_add(1, Ordering::Relaxed);
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(ended.load(Ordering::Relaxed), 20);
}

#[test]
fn a_task_that_prints_into_a_full_pipe_does_not_let_others_into_its_lock() {
    fn fill_stdout() {
        patched();
        let (reader, writer) = std::io::pipe().unwrap();
        // SAFETY: both are open.
        assert_eq!(unsafe { libc::dup2(writer.as_raw_fd(), 1) }, 1);
        drop(writer);
        let thread = std::thread::spawn(move || {
            std::thread::sleep(ms(200));
            let mut reader = reader;
            let mut text = Vec::new();
            reader.read_to_end(&mut text).unwrap();
            text.len()
        });
        let line = "x".repeat(999);
        let tasks: Vec<_> = (0..4)
            .map(|_| {
                let line = line.clone();
                spawn(move || (0..100).for_each(|_| println!("{line}")))
            })
            .collect();
        for task in tasks {
            task.join().unwrap();
        }
        // SAFETY: stdout, which nobody uses from here on.
        drop(unsafe { std::fs::File::from_raw_fd(1) });
        assert_eq!(thread.join().unwrap(), 400_000);
    }
    let output =
        in_child("a_task_that_prints_into_a_full_pipe_does_not_let_others_into_its_lock", &[], fill_stdout);
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn a_deadlock_in_a_lock_of_std_is_reported_with_the_functions_name() {
    fn lock_twice() {
        patched();
        greenloom::testing::Builder::new().run(|| {
            let mutex = std::rc::Rc::new(Mutex::new(()));
            let guard = mutex.lock().unwrap();
            let task = spawn({
                let mutex = std::rc::Rc::clone(&mutex);
                move || drop(mutex.lock().unwrap())
            });
            let _again = mutex.lock();
            drop((guard, task));
        });
    }
    let output = in_child("a_deadlock_in_a_lock_of_std_is_reported_with_the_functions_name", &[], lock_twice);
    let said = stderr(&output);
    assert!(!output.status.success());
    assert!(said.contains("deadlock: main waits"), "{said}");
    assert!(said.matches("waits for").count() >= 2 && said.contains("of libc"), "{said}");
}

#[test]
fn a_forked_child_goes_on_with_its_tasks() {
    fn fork_with_tasks() {
        patched();
        let (reader, mut writer) = std::io::pipe().unwrap();
        let sleeper = spawn(|| std::thread::sleep(ms(50)));
        let waits = spawn(move || {
            let mut reader = reader;
            let mut byte = [0];
            reader.read_exact(&mut byte).unwrap();
            byte[0]
        });
        yield_now();
        // SAFETY: the child goes on with this thread alone, as a child of such a program does.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            sleeper.join().unwrap();
            // One for each of the two processes, whose tasks wait for the same pipe.
            writer.write_all(b"xx").unwrap();
            assert_eq!(waits.join().unwrap(), b'x');
            let output = std::process::Command::new("echo").arg("child").output().unwrap();
            assert_eq!(output.stdout, b"child\n");
            std::process::exit(0);
        }
        let mut status = 0;
        // SAFETY: our child.
        assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
        assert_eq!(status, 0);
        sleeper.join().unwrap();
        assert_eq!(waits.join().unwrap(), b'x');
        drop(writer);
    }
    let output = in_child("a_forked_child_goes_on_with_its_tasks", &[], fork_with_tasks);
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn code_that_a_child_runs_before_another_program_is_not_a_place_for_other_tasks() {
    use std::os::unix::process::CommandExt;
    patched();
    let runs = Arc::new(AtomicUsize::new(0));
    let (mut seen, mut writer) = std::io::pipe().unwrap();
    let busy: Vec<_> = (0..10)
        .map(|_| {
            let runs = Arc::clone(&runs);
            spawn(move || {
                for _ in 0..10 {
                    std::thread::sleep(ms(5));
                    runs.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let (statuses, _) = together(5, {
        let runs = Arc::clone(&runs);
        let writer = writer.try_clone().unwrap();
        let writer = Arc::new(writer);
        move |_| {
            let (runs, mut writer) = (Arc::clone(&runs), writer.try_clone().unwrap());
            let before_exec = move || {
                let before = runs.load(Ordering::Relaxed);
                std::thread::sleep(ms(30));
                let same = runs.load(Ordering::Relaxed) == before;
                writer.write_all(if same { b"y" } else { b"n" })
            };
            let mut command = std::process::Command::new("true");
            // SAFETY: nothing in there allocates or locks.
            unsafe { command.pre_exec(before_exec) };
            command.status().unwrap()
        }
    });
    assert!(statuses.iter().all(std::process::ExitStatus::success));
    for task in busy {
        task.join().unwrap();
    }
    assert_eq!(runs.load(Ordering::Relaxed), 100);
    writer.write_all(b".").unwrap();
    let mut answers = [0; 6];
    seen.read_exact(&mut answers).unwrap();
    assert_eq!(&answers, b"yyyyy.");
}

#[test]
fn who_waits_for_a_lock_when_it_is_undone_gets_it() {
    fn undo() {
        // SAFETY: ends the process with a signal if it hangs.
        unsafe { libc::alarm(60) };
        patched();
        let shared = Arc::new((Mutex::new(0), Condvar::new(), RwLock::new(())));
        let (mut count, reading) = (shared.0.lock().unwrap(), shared.2.read().unwrap());
        let lockers: Vec<_> = (0..5)
            .map(|_| {
                let shared = Arc::clone(&shared);
                spawn(move || *shared.0.lock().unwrap() += 1)
            })
            .collect();
        let writer = spawn({
            let shared = Arc::clone(&shared);
            move || drop(shared.2.write().unwrap())
        });
        let late = spawn({
            let shared = Arc::clone(&shared);
            move || {
                let (mutex, condition) = (Mutex::new(()), &shared.1);
                condition.wait_timeout(mutex.lock().unwrap(), ms(100)).unwrap().1.timed_out()
            }
        });
        yield_now();
        greenloom_patch::unpatch().unwrap();
        // While this task has the locks, the others look, and must not take the thread along.
        greenloom::sleep(ms(30));
        assert!(!lockers.iter().any(|locker| locker.is_finished()) && !writer.is_finished());
        *count += 1;
        drop((count, reading));
        lockers.into_iter().for_each(|locker| locker.join().unwrap());
        writer.join().unwrap();
        assert!(late.join().unwrap());
        assert_eq!(*shared.0.lock().unwrap(), 6);
    }
    let output = in_child("who_waits_for_a_lock_when_it_is_undone_gets_it", &[], undo);
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn undoing_it_leaves_waiting_tasks_and_all_that_follow_alone() {
    fn undo() {
        patched();
        let waiting = spawn(|| std::thread::sleep(ms(50)));
        yield_now();
        greenloom_patch::unpatch().unwrap();
        let began = std::time::Instant::now();
        let naps: Vec<_> = (0..3).map(|_| spawn(|| std::thread::sleep(ms(20)))).collect();
        waiting.join().unwrap();
        greenloom::join_all(naps);
        // One after the other again.
        assert!(began.elapsed() >= ms(60));
        let report = greenloom_patch::install();
        assert!(report.is_ok(), "once more");
        assert!(together(20, |_| std::thread::sleep(ms(100))).1 < ms(1000));
    }
    let output = in_child("undoing_it_leaves_waiting_tasks_and_all_that_follow_alone", &[], undo);
    assert!(output.status.success(), "{}", stderr(&output));
}
