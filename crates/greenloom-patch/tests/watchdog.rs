//! A hub that does not move on is told of, with the function that it is blocked in; one that sleeps or moves is not.

use greenloom_patch::watchdog::{Progress, Stall, Watchdog};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

const AFTER: Duration = Duration::from_millis(50);

#[derive(Default)]
struct Hub {
    beats: AtomicU64,
    sleeps: AtomicBool,
    over: AtomicBool,
}

impl Progress for Hub {
    fn beat(&self) -> Option<u64> {
        (!self.sleeps.load(Ordering::SeqCst)).then(|| self.beats.load(Ordering::SeqCst))
    }

    fn frames(&self, _sleeping: bool) -> Vec<String> {
        vec!["app.py:12 in handler".into()]
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }
}

fn watched() -> (Arc<Hub>, Watchdog, mpsc::Receiver<Stall>) {
    let (sender, stalls) = mpsc::channel();
    let hub = Arc::new(Hub::default());
    let watchdog = Watchdog::start(AFTER, move |stall| sender.send(stall.clone()).unwrap()).unwrap();
    // SAFETY: cannot fail.
    watchdog.watch(unsafe { libc::gettid() }, Arc::clone(&hub) as Arc<dyn Progress>);
    (hub, watchdog, stalls)
}

#[inline(never)]
fn a_function_that_blocks(time: Duration) {
    // SAFETY: no memory is passed.
    unsafe { libc::usleep(time.as_micros() as u32) };
    std::hint::black_box(time);
}

#[test]
fn who_blocks_is_named_once_for_each_stall() {
    let (hub, watchdog, stalls) = watched();
    for _ in 0..2 {
        a_function_that_blocks(AFTER * 8);
        hub.beats.fetch_add(1, Ordering::SeqCst);
        // The next look sees the beat.
        hub.sleeps.store(true, Ordering::SeqCst);
        a_function_that_blocks(AFTER * 2);
        hub.sleeps.store(false, Ordering::SeqCst);
    }
    drop(watchdog);
    let stalls: Vec<Stall> = stalls.iter().collect();
    assert_eq!(stalls.len(), 2, "{stalls:?}");
    for stall in &stalls {
        let text = stall.to_string();
        assert!(stall.lasted >= AFTER && !stall.computing, "{text}");
        let called = stall.called().unwrap_or_else(|| panic!("{text}"));
        assert!(called.symbol.as_deref().is_some_and(|symbol| symbol.contains("sleep")), "{text}");
        let caller = stall.caller().unwrap_or_else(|| panic!("{text}"));
        assert!(
            caller.symbol.as_deref().is_some_and(|symbol| symbol.contains("a_function_that_blocks")),
            "{text}"
        );
        assert!(text.contains("app.py:12 in handler"), "{text}");
    }
}

#[test]
fn one_that_sleeps_moves_or_is_gone_is_left_alone() {
    let (hub, watchdog, stalls) = watched();
    hub.sleeps.store(true, Ordering::SeqCst);
    a_function_that_blocks(AFTER * 4);
    hub.sleeps.store(false, Ordering::SeqCst);
    hub.over.store(true, Ordering::SeqCst);
    a_function_that_blocks(AFTER * 4);
    drop(watchdog);
    assert_eq!(stalls.iter().count(), 0);
}

#[test]
fn a_computation_is_called_one() {
    let (_hub, watchdog, stalls) = watched();
    let began = std::time::Instant::now();
    let stall = loop {
        if let Ok(stall) = stalls.try_recv() {
            break stall;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "no report");
    };
    drop(watchdog);
    // On a busy machine it may just have been waiting for a CPU, which the kernel calls running as well.
    assert!(stall.computing && stall.called().is_none(), "{stall}");
    assert!(stall.to_string().contains("it is computing"), "{stall}");
}
