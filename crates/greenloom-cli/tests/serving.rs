//! `greenloom serve` and `greenloom load`: five hundred clients, limits, and the end on request.

mod common;

use std::io::Read;
use std::process::Command;
use std::time::{Duration, Instant};

use common::{ask, connect, listening, run, serve, start_command};
use rustix::process::Signal;

#[test]
fn five_hundred_clients_get_their_replies() {
    for (service, cores) in [("echo", "1"), ("upper", "2")] {
        let (server, address) = serve(&[service, "--cores", cores]);
        let load = run(&[
            "load",
            "--addr",
            &address.to_string(),
            "--clients",
            "500",
            "--messages",
            "5",
            "--size",
            "100",
        ]);
        assert_eq!(load.code(), 0, "{load:?}");
        assert!(load.stdout.contains("2,500 to 500 clients"), "{}", load.stdout);
        assert!(load.stdout.contains(&format!("server: {service}")), "{}", load.stdout);
        assert!(load.stdout.contains("p99.9") && load.stdout.contains("errors     none"), "{}", load.stdout);
        server.signal(Signal::TERM);
        let ended = server.finish();
        assert_eq!(ended.code(), 0, "{ended:?}");
        assert!(ended.stdout.contains("served 500 connections"), "{}", ended.stdout);
    }
}

#[test]
fn a_message_larger_than_all_buffers_comes_back() {
    let (_server, address) = serve(&["upper"]);
    let size = (16 << 20).to_string();
    let load =
        run(&["load", "--addr", &address.to_string(), "--clients", "2", "--messages", "1", "--size", &size]);
    assert_eq!(load.code(), 0, "{load:?}");
}

#[test]
fn sigterm_drains() {
    for signal in [Signal::TERM, Signal::INT] {
        let (mut server, address) = serve(&["upper", "--grace", "30"]);
        let client = connect(address);
        assert_eq!(ask(&client, "before").unwrap(), "BEFORE");
        server.signal(signal);
        assert!(server.line().contains("accepting no more, 1 connections open"));
        // The one that is open goes on; nobody else gets in.
        assert_eq!(ask(&client, "after").unwrap(), "AFTER");
        let refused = std::net::TcpStream::connect(address).and_then(|stream| ask(&stream, "late"));
        assert!(refused.is_err(), "{refused:?}");
        let start = Instant::now();
        drop(client);
        let ended = server.finish();
        assert_eq!(ended.code(), 0, "{ended:?}");
        assert!(ended.stdout.contains("0 cut off"), "{}", ended.stdout);
        assert!(start.elapsed() < Duration::from_secs(15), "it did not wait for the whole grace");
    }
}

#[test]
fn a_second_signal_does_not_wait() {
    let (mut server, address) = serve(&["echo", "--grace", "300"]);
    let client = connect(address);
    assert_eq!(ask(&client, "x").unwrap(), "x");
    server.signal(Signal::TERM);
    assert!(server.line().contains("accepting no more"));
    server.signal(Signal::TERM);
    assert_eq!(server.finish().code(), 143);
}

#[test]
fn a_connection_that_does_not_finish_is_cut_off_after_the_grace() {
    let (server, address) = serve(&["echo", "--grace", "0.3", "--cores", "2"]);
    let mut client = connect(address);
    assert_eq!(ask(&client, "x").unwrap(), "x");
    server.signal(Signal::TERM);
    let ended = server.finish();
    assert_eq!(ended.code(), 0, "{ended:?}");
    assert!(ended.stdout.contains("1 cut off"), "{}", ended.stdout);
    // The end of the connection, by whatever name.
    assert!(matches!(client.read(&mut [0; 1]), Ok(0) | Err(_)));
}

#[test]
fn connections_over_the_limit_wait_for_their_turn() {
    let (_server, address) = serve(&["upper", "--max-conns", "2"]);
    let first = connect(address);
    let second = connect(address);
    assert_eq!(ask(&first, "one").unwrap(), "ONE");
    assert_eq!(ask(&second, "two").unwrap(), "TWO");
    let third = connect(address);
    third.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    ask(&third, "three").unwrap_err();
    drop(first);
    third.set_read_timeout(Some(common::PATIENCE)).unwrap();
    let mut reply = [0; 5];
    (&third).read_exact(&mut reply).unwrap();
    assert_eq!(&reply, b"THREE");
}

#[test]
fn running_out_of_descriptors_neither_kills_the_server_nor_spins() {
    let mut command = Command::new("sh");
    // Room for some ten connections beside what the program needs itself.
    command.args(["-c", "ulimit -n 24; exec \"$0\" serve upper --addr 127.0.0.1:0"]);
    command.arg(env!("CARGO_BIN_EXE_greenloom"));
    let mut server = start_command(command);
    let address = listening(&mut server);
    let clients: Vec<_> = (0..40).map(|_| connect(address)).collect();
    std::thread::sleep(Duration::from_millis(500));
    let before = cpu_time(&server);
    std::thread::sleep(Duration::from_millis(1000));
    let spent = cpu_time(&server) - before;
    assert!(spent <= Duration::from_millis(300), "{spent:?} of CPU time in a second of waiting");
    assert_eq!(ask(&clients[0], "still here").unwrap(), "STILL HERE");
    drop(clients);
    let late = connect(address);
    assert_eq!(ask(&late, "and again").unwrap(), "AND AGAIN");
    drop(late);
    server.signal(Signal::TERM);
    let ended = server.finish();
    assert_eq!(ended.code(), 0, "{ended:?}");
    assert!(ended.stderr.contains("cannot accept: Too many open files"), "{}", ended.stderr);
}

/// CPU time that the process has used, from its `stat` file.
fn cpu_time(server: &common::Running) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", server.id())).unwrap();
    // Fields 14 and 15, in ticks of 10 ms; the name in field 2 may hold spaces.
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

#[test]
fn a_limit_that_is_too_low_is_a_clear_error() {
    let mut command = Command::new("sh");
    command
        .args(["-c", "ulimit -n 100; exec \"$0\" load --clients 500"])
        .arg(env!("CARGO_BIN_EXE_greenloom"));
    let ended = start_command(command).finish();
    assert_eq!(ended.code(), 1, "{ended:?}");
    assert!(ended.stderr.contains("500 sockets need 564 file descriptors"), "{}", ended.stderr);
}

#[test]
fn the_soft_limit_is_raised_when_it_is_too_low() {
    let (_server, address) = serve(&["echo"]);
    let mut command = Command::new("sh");
    let script = format!("ulimit -S -n 64; exec \"$0\" load --clients 200 --messages 1 --addr {address}");
    command.args(["-c", &script]).arg(env!("CARGO_BIN_EXE_greenloom"));
    let ended = start_command(command).finish();
    assert_eq!(ended.code(), 0, "{ended:?}");
}

#[test]
fn errors_of_the_clients_are_counted() {
    // A port that was just free, with nobody on it.
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let load = run(&["load", "--addr", &address.to_string(), "--clients", "7"]);
    assert_eq!(load.code(), 1, "{load:?}");
    assert!(load.stdout.contains("7 x connect: Connection refused"), "{}", load.stdout);
}

#[test]
fn an_interrupt_ends_the_load_with_what_it_has() {
    let (_server, address) = serve(&["echo"]);
    let load = common::start(&["load", "--addr", &address.to_string(), "--messages", "100000000"]);
    std::thread::sleep(Duration::from_millis(700));
    load.signal(Signal::INT);
    let ended = load.finish();
    assert_eq!(ended.code(), 130, "{ended:?}");
    assert!(ended.stdout.contains("stopped by Ctrl-C"), "{}", ended.stdout);
    assert!(ended.stdout.contains("round trip "), "{}", ended.stdout);
}
