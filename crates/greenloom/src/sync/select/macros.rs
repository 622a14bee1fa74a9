//! The `select!` macro: turns its arms into cases, waits, and runs the arm whose case was chosen.

/// Waits for the first of several things and runs the arm that belongs to it.
///
/// | arm | is ready |
/// | --- | --- |
/// | `recv(receiver) -> pattern => ...` | when a value can be received, or all senders are gone; the pattern gets a `Result<T, RecvError>` |
/// | `send(sender, value) -> pattern => ...` | when the value can be sent, or all receivers are gone; the pattern gets a `Result<(), SendError<T>>` |
/// | `wait(event) => ...` | when an [`Event`](crate::sync::Event) is set or an [`AsyncResult`](crate::sync::AsyncResult) is ready |
/// | `after(duration) => ...` | when nothing else was for so long |
/// | `at(instant) => ...` | when nothing else was until then |
/// | `default => ...` | at once, if nothing else is |
///
/// Of several that are ready one is chosen at random (see [`select`](crate::sync::select)). Exactly one thing happens:
/// nothing is received or sent but by the arm that runs. A value to be sent is computed when the select begins, and
/// dropped if another arm is chosen; a [`Send`](crate::sync::select::Send) in a [`Select`](crate::sync::select::Select)
/// gives it back.
///
/// It is an expression, and `break`, `continue`, `return` and `?` work in its arms.
///
/// ```
/// use greenloom::sync::{Event, channel};
/// use std::rc::Rc;
/// use std::time::Duration;
///
/// let (jobs, queue) = channel::bounded(1);
/// let stop = Rc::new(Event::new());
/// let worker = greenloom::spawn({
///     let stop = stop.clone();
///     move || {
///         let mut done = 0;
///         loop {
///             greenloom::select! {
///                 recv(queue) -> job => match job {
///                     Ok(job) => done += job,
///                     Err(_) => break "no more jobs",
///                 },
///                 wait(stop) => break "stopped",
///                 after(Duration::from_secs(60)) => break "nothing to do",
///             }
///         }
///     }
/// });
/// jobs.send(1).unwrap();
/// greenloom::yield_now();
/// stop.set();
/// assert_eq!(worker.join().unwrap(), "stopped");
/// ```
#[macro_export]
macro_rules! select {
    // The arms that are done, the default arm, the rest: first its head, then its body.
    (@arms [$($done:tt)*] $default:tt recv($receiver:expr $(,)?) -> $pattern:pat => $($rest:tt)*) => {
        $crate::select!(@body [$($done)*] $default
            [case source result Recv ($receiver) () ($pattern)] $($rest)*)
    };
    (@arms [$($done:tt)*] $default:tt send($sender:expr, $value:expr $(,)?) -> $pattern:pat => $($rest:tt)*) => {
        $crate::select!(@body [$($done)*] $default
            [case source result Send ($sender) ($value) ($pattern)] $($rest)*)
    };
    (@arms [$($done:tt)*] $default:tt wait($event:expr $(,)?) => $($rest:tt)*) => {
        $crate::select!(@body [$($done)*] $default [case source result Wait ($event) () (())] $($rest)*)
    };
    (@arms [$($done:tt)*] $default:tt after($duration:expr $(,)?) => $($rest:tt)*) => {
        $crate::select!(@body [$($done)*] $default [case source result After ($duration) () (())] $($rest)*)
    };
    (@arms [$($done:tt)*] $default:tt at($instant:expr $(,)?) => $($rest:tt)*) => {
        $crate::select!(@body [$($done)*] $default [case source result At ($instant) () (())] $($rest)*)
    };
    (@arms [$($done:tt)*] [] default => $($rest:tt)*) => {
        $crate::select!(@default [$($done)*] $($rest)*)
    };
    (@arms [$($done:tt)*] [$($body:expr)?]) => {
        $crate::select!(@run [$($done)*] [$($body)?])
    };
    (@arms $done:tt $default:tt $($rest:tt)*) => {
        compile_error!(concat!("not an arm of select!: ", stringify!($($rest)*)))
    };

    (@body [$($done:tt)*] $default:tt [$($arm:tt)*] $body:block, $($rest:tt)*) => {
        $crate::select!(@arms [$($done)* {$($arm)* ($body)}] $default $($rest)*)
    };
    (@body [$($done:tt)*] $default:tt [$($arm:tt)*] $body:block $($rest:tt)*) => {
        $crate::select!(@arms [$($done)* {$($arm)* ($body)}] $default $($rest)*)
    };
    (@body [$($done:tt)*] $default:tt [$($arm:tt)*] $body:expr, $($rest:tt)*) => {
        $crate::select!(@arms [$($done)* {$($arm)* ($body)}] $default $($rest)*)
    };
    (@body [$($done:tt)*] $default:tt [$($arm:tt)*] $body:expr) => {
        $crate::select!(@arms [$($done)* {$($arm)* ($body)}] $default)
    };

    (@default $done:tt $body:block, $($rest:tt)*) => { $crate::select!(@arms $done [$body] $($rest)*) };
    (@default $done:tt $body:block $($rest:tt)*) => { $crate::select!(@arms $done [$body] $($rest)*) };
    (@default $done:tt $body:expr, $($rest:tt)*) => { $crate::select!(@arms $done [$body] $($rest)*) };
    (@default $done:tt $body:expr) => { $crate::select!(@arms $done [$body]) };

    (@run [] [$body:expr]) => { $body };
    // Each `case`, `source` and `result` was written by another expansion, so they are different names.
    (@run
        [$({$case:ident $source:ident $result:ident $kind:ident ($on:expr) ($($value:expr)?) ($pattern:pat) ($body:expr)})*]
        [$($default:expr)?]
    ) => {{
        // What the arms borrow is given back before one of them runs.
        let ($($result,)*) = {
            $(
                let $source = &$on;
                let mut $case = $crate::sync::select::$kind::new($source $(, $value)?);
            )*
            $crate::sync::select::choose_in_macro(
                &[$($crate::sync::select::Case::from(&mut $case)),*],
                $crate::select!(@is_there $($default)?),
            );
            ($($case.take(),)*)
        };
        $crate::select!(@pick [$({$result ($pattern) ($body)})*] [$($default)?])
    }};

    (@is_there) => { false };
    (@is_there $default:expr) => { true };

    (@pick [{$result:ident ($pattern:pat) ($body:expr)} $($rest:tt)*] $default:tt) => {
        if let Some(value) = $result {
            let $pattern = value;
            $body
        } else {
            $crate::select!(@pick [$($rest)*] $default)
        }
    };
    (@pick [] [$default:expr]) => { $default };
    (@pick [] []) => { unreachable!("select! without a default arm ends with a case") };

    () => { compile_error!("select! needs an arm") };
    ($($arms:tt)+) => { $crate::select!(@arms [] [] $($arms)+) };
}
