//! Jobs on the thread pool, and names that are looked up there.

#[path = "util/child.rs"]
mod child;

use child::{in_child, stderr};
use greenloom::net::{TcpListener, TcpStream, ToSocketAddrs};
use greenloom::{JoinError, join_all, offload, sleep, spawn, timeout, yield_now};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

const MS: Duration = Duration::from_millis(1);

/// The calling thread's number for the system.
fn thread() -> i32 {
    // SAFETY: cannot fail.
    unsafe { libc::gettid() }
}

#[test]
fn others_run_while_a_job_blocks_its_thread() {
    let here = thread();
    let (open, gate) = mpsc::channel::<()>();
    let there = spawn(move || {
        offload(move || {
            gate.recv().unwrap();
            thread()
        })
    });
    let ticks = spawn(|| (0..5).for_each(|_| sleep(MS)));
    ticks.join().unwrap();
    assert!(!there.is_finished());
    open.send(()).unwrap();
    assert_ne!(there.join().unwrap(), here);
}

#[test]
fn jobs_run_side_by_side() {
    let began = Instant::now();
    let jobs = (0..20).map(|i| {
        spawn(move || {
            offload(move || {
                std::thread::sleep(50 * MS);
                i
            })
        })
    });
    let results: Vec<i32> = join_all(jobs).into_iter().map(Result::unwrap).collect();
    assert_eq!(results, (0..20).collect::<Vec<_>>());
    assert!(began.elapsed() < 900 * MS, "{:?}", began.elapsed());
}

#[test]
fn many_jobs_are_done_by_few_threads() {
    let jobs = (0..500).map(|i| spawn(move || offload(move || i)));
    let sum: usize = join_all(jobs).into_iter().map(Result::unwrap).sum();
    assert_eq!(sum, 499 * 500 / 2);
}

#[test]
fn a_panic_goes_on_in_the_caller() {
    let task = spawn(|| offload(|| std::panic::resume_unwind(Box::new("from the pool"))));
    let result: Result<(), JoinError> = task.join();
    assert_eq!(result.unwrap_err().message(), Some("from the pool"));
    assert_eq!(offload(|| 1), 1);
}

#[test]
#[cfg_attr(miri, ignore = "looks at the clock, and Miri is slow")]
fn a_caller_that_is_killed_or_late_goes_at_once_and_the_result_is_dropped() {
    struct Counted(Arc<AtomicUsize>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let dropped = Arc::new(AtomicUsize::new(0));
    let job = |dropped: &Arc<AtomicUsize>| {
        let result = Counted(dropped.clone());
        let (open, gate) = mpsc::channel::<()>();
        let job = move || {
            gate.recv().unwrap();
            result
        };
        (open, job)
    };
    let (open_first, first) = job(&dropped);
    let (open_second, second) = job(&dropped);
    let killed = spawn(move || drop(offload(first)));
    yield_now();
    killed.kill();
    assert!(matches!(killed.join(), Err(JoinError::Killed)));
    assert!(timeout(MS, || offload(second)).is_err());
    // Both jobs are still under way.
    assert_eq!(dropped.load(Ordering::SeqCst), 0);
    open_first.send(()).unwrap();
    open_second.send(()).unwrap();
    let began = Instant::now();
    while dropped.load(Ordering::SeqCst) < 2 {
        sleep(MS);
        assert!(began.elapsed() < Duration::from_secs(10));
    }
}

#[test]
fn it_is_called_right_there_without_a_hub_and_while_unwinding() {
    let (here, there) = std::thread::spawn(|| (thread(), offload(thread))).join().unwrap();
    assert_eq!(here, there);
    struct OnDrop(Arc<AtomicUsize>);
    impl Drop for OnDrop {
        fn drop(&mut self) {
            self.0.store(offload(|| 5), Ordering::SeqCst);
        }
    }
    let seen = Arc::new(AtomicUsize::new(0));
    let on_drop = OnDrop(seen.clone());
    let task = spawn(move || {
        let _on_drop = on_drop;
        sleep(Duration::from_secs(60));
    });
    yield_now();
    task.kill();
    assert!(task.join().is_err());
    assert_eq!(seen.load(Ordering::SeqCst), 5);
}

/// How many of many jobs run at the same time.
fn side_by_side() -> usize {
    let (most, now) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let jobs = (0..20).map(|_| {
        let (most, now) = (most.clone(), now.clone());
        spawn(move || {
            offload(move || {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::sleep(10 * MS);
                now.fetch_sub(1, Ordering::SeqCst);
            })
        })
    });
    join_all(jobs).into_iter().for_each(|job| job.unwrap());
    most.load(Ordering::SeqCst)
}

#[test]
#[cfg_attr(miri, ignore = "Miri starts no processes")]
fn the_number_of_threads_is_bounded() {
    let output = in_child("the_number_of_threads_is_bounded", &[("GREENLOOM_THREADS", "2")], || {
        assert_eq!(side_by_side(), 2);
        greenloom::set_offload_threads(4);
        assert_eq!(side_by_side(), 4);
    });
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
#[cfg_attr(greenloom_threads, ignore = "coroutines are threads there, so threads cannot be counted")]
#[cfg_attr(miri, ignore = "Miri starts no processes")]
fn idle_threads_of_the_pool_do_not_hide_a_deadlock() {
    let test = "idle_threads_of_the_pool_do_not_hide_a_deadlock";
    let output = in_child(test, &[("RUST_BACKTRACE", "0")], || {
        // The harness has a thread more; the forked child has only this one.
        // SAFETY: the child uses nothing that the other thread may have had.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: ends a process that has gone wrong.
            unsafe { libc::alarm(10) };
            spawn(|| offload(|| ())).join().unwrap();
            std::thread::sleep(20 * MS);
            let began = Instant::now();
            let waiting = std::panic::catch_unwind(|| drop(greenloom::sync::Semaphore::new(0).acquire()));
            let report = *waiting.unwrap_err().downcast::<String>().unwrap();
            let good = report.starts_with("deadlock: main waits") && began.elapsed() < 900 * MS;
            // SAFETY: nothing of the parent's is run.
            unsafe { libc::_exit(i32::from(!good)) };
        }
        let mut status = 0;
        // SAFETY: valid for the call.
        unsafe { libc::waitpid(child, &mut status, 0) };
        assert_eq!(status, 0);
    });
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
#[cfg_attr(miri, ignore = "Miri looks up no names")]
fn a_name_is_looked_up_while_others_run() {
    let listener = TcpListener::bind("localhost:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let client = spawn(move || TcpStream::connect(("localhost", port)).unwrap().peer_addr().unwrap());
    listener.accept().unwrap();
    assert!(client.join().unwrap().ip().is_loopback());
    let found: Vec<SocketAddr> =
        spawn(|| format!("localhost:{}", 7).to_socket_addrs().unwrap().collect()).join().unwrap();
    assert!(found.iter().all(|address| address.ip().is_loopback() && address.port() == 7));
    assert!(!found.is_empty());
}

#[test]
fn literal_addresses_are_not_looked_up_and_nonsense_is_an_error() {
    let one = |address: &str| address.to_socket_addrs().map(|mut found| found.next().unwrap());
    assert_eq!(one("127.0.0.1:80").unwrap(), SocketAddr::from(([127, 0, 0, 1], 80)));
    assert_eq!(one("[::1]:80").unwrap(), SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 80)));
    assert_eq!(("::1", 9).to_socket_addrs().unwrap().next().unwrap().ip(), "::1".parse::<IpAddr>().unwrap());
    assert_eq!((String::from("10.0.0.1"), 9).to_socket_addrs().unwrap().len(), 1);
    for nonsense in ["localhost", "localhost:port", "127.0.0.1:99999", ""] {
        assert!(one(nonsense).is_err(), "{nonsense:?}");
    }
    let slice = [SocketAddr::from(([1, 2, 3, 4], 5))];
    assert_eq!((&slice[..]).to_socket_addrs().unwrap().collect::<Vec<_>>(), slice);
}
