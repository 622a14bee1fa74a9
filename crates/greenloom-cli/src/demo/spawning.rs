//! Tasks: `spawn` and `join`, and a `sleep` that only the sleeper notices.

use std::time::{Duration, Instant};

use greenloom::{JoinError, JoinHandle};

use super::{Check, Step};

const EATING: Duration = Duration::from_secs(2);
const PLAYING: Duration = Duration::from_secs(1);
const TASKS: u32 = 10;
const NAP: Duration = Duration::from_millis(200);

pub(super) const EAT_AND_PLAY: Step = Step {
    title: "Eat for 2 s and play for 1 s: spawned, done in 2 s",
    story: &["Both tasks sleep in blocking style. While one sleeps, the other runs."],
    show: |guide| {
        let start = Instant::now();
        let act = move |what: &'static str, time: Duration| {
            greenloom::spawn(move || {
                let begun = start.elapsed();
                greenloom::sleep(time);
                (what, begun, start.elapsed())
            })
        };
        let results = guide
            .watched("ms", EATING, move || [act("eat", EATING), act("play", PLAYING)].map(JoinHandle::join));
        let took = start.elapsed();
        for result in results.iter().flatten() {
            let (what, begun, ended) = result;
            guide.measured(what, *ended - *begun, "");
        }
        guide.measured("both", took, "one after the other would take 3 s");
        let all = results.iter().all(Result::is_ok);
        Check::new(all && took >= EATING && took < EATING + PLAYING, "as long as the longer one, not as both")
    },
};

pub(super) const VALUE: Step = Step {
    title: "What a task leaves behind",
    story: &["join() gives a task's value, or an error if it was killed."],
    show: |guide| {
        let answer = greenloom::spawn(|| {
            greenloom::sleep(Duration::from_millis(50));
            6 * 7
        });
        let early = answer.is_finished();
        let value = answer.join();
        let endless = greenloom::spawn(|| greenloom::sleep(Duration::from_secs(3600)));
        greenloom::yield_now();
        endless.kill();
        let killed = endless.join();
        guide.say(format_args!("spawn(|| 6 * 7).join()    {}", shown(&value)));
        guide.say(format_args!("a killed sleeper          {}", shown(&killed)));
        let passed = !early && matches!(value, Ok(42)) && matches!(killed, Err(JoinError::Killed));
        Check::new(passed, "the value came back, and the killed one said so")
    },
};

fn shown<T: std::fmt::Debug>(result: &Result<T, JoinError>) -> String {
    match result {
        Ok(value) => format!("Ok({value:?})"),
        Err(error) => format!("Err: {error}"),
    }
}

pub(super) const TEN: Step = Step {
    title: "Ten tasks of 0.2 s each",
    story: &["Called one after the other, then spawned: the function is the same."],
    show: |guide| {
        let task = |number: u32| {
            greenloom::sleep(NAP);
            number * number
        };
        let start = Instant::now();
        let one_by_one: Vec<u32> = guide.watched("ms", NAP * TASKS, move || (0..TASKS).map(task).collect());
        let serial = start.elapsed();

        let start = Instant::now();
        let spawned: Vec<_> = (0..TASKS).map(|number| greenloom::spawn(move || task(number))).collect();
        let together: Vec<u32> = greenloom::join_all(spawned).into_iter().flatten().collect();
        let concurrent = start.elapsed();

        guide.measured("one after the other", serial, "");
        guide.measured("spawned", concurrent, &times(serial, concurrent));
        Check::new(
            one_by_one == together && concurrent < serial / 2,
            "the same squares in less than half the time",
        )
    },
};

/// How many times faster, for people.
pub(super) fn times(slow: Duration, fast: Duration) -> String {
    format!("{:.1}x", slow.as_secs_f64() / fast.as_secs_f64().max(1e-9))
}
