//! Plain `std`, many tasks, one thread: `cargo run -p greenloom-patch --example blocking_std`.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    greenloom_patch::install()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    // A server as one writes it with a thread for each connection, with tasks instead.
    greenloom::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            greenloom::spawn(move || -> std::io::Result<()> {
                let mut name = String::new();
                stream.read_to_string(&mut name)?;
                std::thread::sleep(Duration::from_millis(300));
                write!(stream, "Hello, {name}!")
            });
        }
    });
    let began = Instant::now();
    let clients = (1..=100).map(|number| {
        greenloom::spawn(move || -> std::io::Result<String> {
            let mut stream = TcpStream::connect(address)?;
            write!(stream, "number {number}")?;
            stream.shutdown(std::net::Shutdown::Write)?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).map(|_| answer)
        })
    });
    let answers: Vec<_> = greenloom::try_join_all(clients)?;
    println!("{} ... {}", answers[0].as_ref().unwrap(), answers[99].as_ref().unwrap());
    println!("100 answers that take 0.3 s each, on one thread: {:.2?}", began.elapsed());
    Ok(())
}
