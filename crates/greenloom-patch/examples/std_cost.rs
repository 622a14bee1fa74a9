//! What a call costs that does not wait, redirected and not: `cargo run --release -p greenloom-patch --example std_cost`.

use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Mutex;
use std::time::Instant;

const CALLS: u32 = 2000;
const ROUNDS: usize = 200;

/// What is measured, and its best times in ns a call: as it is, and redirected.
struct Case {
    name: &'static str,
    call: Box<dyn FnMut()>,
    best: [f64; 2],
}

fn case(name: &'static str, call: impl FnMut() + 'static) -> Case {
    Case { name, call: Box::new(call), best: [f64::MAX; 2] }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut here = TcpStream::connect(listener.local_addr()?)?;
    let (mut there, _) = listener.accept()?;
    there.write_all(b"x")?;
    let seen = here.try_clone()?;
    let mut place = [0];
    let (mut reader, mut writer) = std::io::pipe()?;
    let mut null = std::fs::File::create("/dev/null")?;
    let mutex = Mutex::new(0_u64);
    let mut byte = [0];
    let mut cases = [
        case("TcpStream: peek at a byte that is there", move || {
            seen.peek(&mut place).expect("a byte");
        }),
        case("TcpStream: write and read a byte", move || {
            here.write_all(b"x").expect("room");
            there.read_exact(&mut byte).expect("a byte");
        }),
        case("pipe: write and read a byte", move || {
            writer.write_all(b"x").expect("room");
            reader.read_exact(&mut byte).expect("a byte");
        }),
        case("/dev/null: write a byte", move || null.write_all(b"x").expect("room")),
        case("File: open and close", || drop(std::fs::File::open("/dev/null").expect("a file"))),
        case("Mutex: lock and unlock", move || *mutex.lock().expect("no panic") += black_box(1)),
    ];
    // The hub is there, as in a program with tasks.
    greenloom::yield_now();
    for _ in 0..ROUNDS {
        for redirected in [0, 1] {
            if redirected == 1 {
                greenloom_patch::install()?;
            }
            for case in &mut cases {
                let began = Instant::now();
                (0..CALLS).for_each(|_| (case.call)());
                let took = began.elapsed().as_nanos() as f64 / f64::from(CALLS);
                case.best[redirected] = case.best[redirected].min(took);
            }
        }
        greenloom_patch::unpatch()?;
    }
    println!("{:<40}{:>10}{:>14}{:>12}", "ns", "as it is", "redirected", "difference");
    for Case { name, best: [plain, redirected], .. } in cases {
        println!("{name:<40}{plain:>10.0}{redirected:>14.0}{:>12.0}", redirected - plain);
    }
    Ok(())
}
