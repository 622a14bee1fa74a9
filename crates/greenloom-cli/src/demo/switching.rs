//! Coroutines by hand: nothing runs but what is switched to. No scheduler, no waiting, no input or output.

use std::cell::{OnceCell, RefCell};
use std::hint;
use std::rc::Rc;
use std::time::{Duration, Instant};

use greenloom::greenlet::{self, Greenlet};

use super::{Check, Guide, Step};
use crate::output;

/// Pieces of work in each of the two jobs of the first step.
const PIECES: u64 = 300_000;
/// Runs of which the quickest counts: other programs on the machine can only slow one down.
const RUNS: usize = 3;
const TASKS: usize = 20;
const ROUNDS: usize = 5;

pub(super) const NOTHING_GAINED: Step = Step {
    title: "Switching alone gains nothing",
    story: &[
        "Two jobs of pure computation: one after the other, then as coroutines",
        "that switch to each other after every piece.",
    ],
    show: |guide| {
        let (serial, expected) = best(one_after_the_other);
        let (switched, results) = best(by_turns);
        let each = switched.saturating_sub(serial) / (2 * PIECES as u32);
        let remark = format!("{} switches, {} each", output::grouped(2 * PIECES), output::duration(each));
        guide.measured("one after the other", serial, "");
        guide.measured("by turns", switched, &remark);
        let no_quicker = switched.as_secs_f64() >= 0.8 * serial.as_secs_f64();
        Check::new(results == expected && no_quicker, "the same results, and no quicker")
    },
};

/// A computation whose every step needs the one before.
struct Job(u64);

impl Job {
    fn piece(&mut self) {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= hint::black_box(self.0 << 17);
    }
}

const SEEDS: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0x2545_f491_4f6c_dd1d];

fn one_after_the_other() -> [u64; 2] {
    SEEDS.map(|seed| {
        let mut job = Job(seed);
        (0..PIECES).for_each(|_| job.piece());
        job.0
    })
}

fn by_turns() -> [u64; 2] {
    let other = Rc::new(OnceCell::<Greenlet<u64>>::new());
    let coroutine = |partner: Rc<OnceCell<Greenlet<u64>>>| {
        Greenlet::new(move |seed| {
            let mut job = Job(seed);
            for _ in 0..PIECES {
                job.piece();
                // The value matters only to a partner that starts: it is its seed.
                partner.get().expect("both are made before one runs").switch(SEEDS[1]);
            }
            job.0
        })
    };
    let first = coroutine(other.clone());
    let second = coroutine(Rc::new(OnceCell::from(first.clone())));
    let _ = other.set(second.clone());
    // Each returns here at its end: the running greenlet is its parent.
    [first.switch(SEEDS[0]), second.switch(0)]
}

fn best<T>(work: impl Fn() -> T) -> (Duration, T) {
    let runs = (0..RUNS).map(|_| {
        let start = Instant::now();
        let result = work();
        (start.elapsed(), result)
    });
    runs.min_by_key(|(took, _)| *took).expect("at least one run")
}

pub(super) const EAT_AND_PLAY: Step = Step {
    title: "Eat and play, by explicit switches",
    story: &["The first switch starts a coroutine with a value, the next goes on there."],
    show: |guide| {
        let diary = Diary { guide: *guide, lines: Rc::default() };
        let play = Greenlet::new({
            let (diary, eat_again) = (diary.clone(), greenlet::current());
            move |toy: &'static str| {
                diary.note(format!("play  starts with {toy}, throws it, and switches back"));
                let word = eat_again.switch("well played");
                diary.note(format!("play  hears \"{word}\" and ends"));
                "tired"
            }
        });
        let eat = Greenlet::new({
            let (diary, main) = (diary.clone(), greenlet::current());
            move |food: &'static str| {
                diary.note(format!("eat   starts with {food}, takes a bite, and switches"));
                let word = main.switch("had a bite");
                diary.note(format!("eat   hears \"{word}\", takes another, and ends"));
                "full"
            }
        });
        // In this order: each switch comes back before the next is made.
        let said = [
            eat.switch("an apple"),
            play.switch("a ball"),
            eat.switch("bon appetit"),
            play.switch("bedtime"),
        ];
        diary.note(format!("main  got back: {}", said.join(", ")));
        let order: Vec<String> =
            diary.lines.borrow().iter().map(|line| line.chars().take(4).collect()).collect();
        let passed = order == ["eat ", "play", "eat ", "play", "main"]
            && said == ["had a bite", "well played", "full", "tired"]
            && eat.is_dead()
            && play.is_dead();
        Check::new(passed, "each went on where it had left off")
    },
};

/// What happened, shown as it happens.
#[derive(Clone)]
struct Diary {
    guide: Guide,
    lines: Rc<RefCell<Vec<String>>>,
}

impl Diary {
    fn note(&self, line: String) {
        self.guide.say(&line);
        self.lines.borrow_mut().push(line);
    }
}

pub(super) const TWENTY: Step = Step {
    title: "Twenty tasks, switched by hand",
    story: &["A scheduler is a list and a loop: each gets a turn until all have ended."],
    show: |guide| {
        let turns = Rc::new(RefCell::new(Vec::new()));
        let tasks: Vec<Greenlet<usize>> = (0..TASKS)
            .map(|number| {
                let (turns, main) = (turns.clone(), greenlet::current());
                Greenlet::new(move |mut round| {
                    while round < ROUNDS {
                        turns.borrow_mut().push(number);
                        round = main.switch(number);
                    }
                    number
                })
            })
            .collect();
        let start = Instant::now();
        let mut switches = 0;
        for round in 0..=ROUNDS {
            for task in &tasks {
                task.switch(round);
                switches += 2;
            }
        }
        let took = start.elapsed();
        let turns = turns.borrow();
        let shown: Vec<String> = turns.iter().take(TASKS + 3).map(ToString::to_string).collect();
        guide.say(format_args!("{} ...", shown.join(" ")));
        guide.measured(&format!("{switches} switches"), took, "");
        let fair = turns.iter().copied().eq((0..ROUNDS).flat_map(|_| 0..TASKS));
        let ended = tasks.iter().all(Greenlet::is_dead);
        Check::new(fair && ended, "everybody had five turns, in order")
    },
};
