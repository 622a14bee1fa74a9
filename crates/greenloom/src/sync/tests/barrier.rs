//! The barrier under kills and timeouts: one that leaves counts as not having come.

use super::*;
use crate::sync::Barrier;
use crate::{spawn, timeout};
use std::rc::Rc;

#[test]
fn whoever_is_killed_is_missing_and_another_can_come_instead() {
    for seed in 0..scaled(40) {
        on_hub(seed, || {
            for (victim, step) in (0..3).flat_map(|victim| (0..4).map(move |step| (victim, step))) {
                let barrier = Rc::new(Barrier::new(3));
                let come = || {
                    let barrier = barrier.clone();
                    spawn(move || barrier.wait().is_leader())
                };
                let mut tasks: Vec<_> = (0..3).map(|_| come()).collect();
                for _ in 0..step {
                    yield_now();
                }
                tasks[victim].kill();
                let mut leaders = 0;
                match tasks.remove(victim).join() {
                    Ok(leader) => leaders += u32::from(leader),
                    Err(_) => tasks.push(come()),
                }
                for task in tasks {
                    leaders += u32::from(task.join().unwrap());
                }
                assert_eq!(leaders, 1);
                assert_eq!(format!("{barrier:?}"), "Barrier { size: 3, waiting: 0 }");
            }
        });
    }
}

#[test]
fn timeouts_at_the_moment_of_opening_break_nothing() {
    for seed in 0..scaled(200) {
        on_hub(seed, move || {
            let random = Random::new(seed);
            let barrier = Rc::new(Barrier::new(2));
            let tasks: Vec<_> = (0..5)
                .map(|_| {
                    let barrier = barrier.clone();
                    let (late, patience) = (MS * random.below(3) as u32, MS * random.below(3) as u32);
                    spawn(move || {
                        sleep(late);
                        timeout(patience, || barrier.wait().is_leader())
                    })
                })
                .collect();
            let results: Vec<_> = crate::join_all(tasks).into_iter().map(Result::unwrap).collect();
            let passed = |leader| results.iter().filter(|result| **result == Ok(leader)).count();
            assert_eq!(passed(true), passed(false));
            assert_eq!(format!("{barrier:?}"), "Barrier { size: 2, waiting: 0 }");
        });
    }
}
